//! What is moved: the patterns of a selection, in gitignore syntax.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use segue_contract::{Select, StepError};

/// Compiled patterns.
#[derive(Debug)]
pub(crate) struct Chosen {
    include: Option<Gitignore>,
    exclude: Option<Gitignore>,
}

impl Chosen {
    /// Compiles a selection.
    pub(crate) fn new(select: &Select) -> Result<Self, StepError> {
        Ok(Self { include: compile(&select.include)?, exclude: compile(&select.exclude)? })
    }

    /// Whether every path is taken.
    pub(crate) fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// Whether a path is left out, with everything below it.
    pub(crate) fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.exclude.as_ref().is_some_and(|list| list.matched(path, is_dir).is_ignore())
    }

    /// Whether a path is taken by itself; `parent` says whether its directory was.
    pub(crate) fn includes(&self, path: &[u8], is_dir: bool, parent: bool) -> bool {
        let Some(list) = &self.include else { return true };
        let found = list.matched(Path::new(OsStr::from_bytes(path)), is_dir);
        found.is_ignore() || (parent && !found.is_whitelist())
    }

    /// Whether directories are taken only when something below them is.
    pub(crate) fn is_partial(&self) -> bool {
        self.include.is_some()
    }
}

fn compile(patterns: &[String]) -> Result<Option<Gitignore>, StepError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let wrong = |pattern: &str, e: ignore::Error| {
        StepError::permanent(format!("cannot use pattern {pattern:?}"))
            .because(e)
            .remedy("write it in gitignore syntax")
    };
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|e| wrong(pattern, e))?;
    }
    builder.build().map(Some).map_err(|e| wrong(&patterns.join(" "), e))
}
