//! `segue fmt`

use segue_contract::segue;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use segue_contract::paths::{self, PathError};
use segue_language::{Loaded, Secrets, Source, SpecPath, Variables};
use similar::TextDiff;

use crate::diagnostics::{self, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::spec_path;

/// How long a diff may take before it becomes coarser.
const DIFF_TIMEOUT_MS: u64 = 200;
/// Lines around a change that a diff shows.
const DIFF_CONTEXT: usize = 3;
/// What a spec's files end with.
const ENDING: &str = ".segue.hcl";

/// Write the spec's files in the canonical format
///
/// Names the files that change. Strings, heredocs and comments stay as they are; a file with syntax errors
/// is not touched.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue fmt --check --diff")]
pub(crate) struct Fmt {
    /// Change nothing; exit 1 when something would change
    #[arg(long)]
    check: bool,
    /// Show what changes, and change nothing but without --check
    #[arg(long)]
    diff: bool,
}

impl Fmt {
    /// Formats.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { check, diff } = self;
        let printer = &invocation.printer;
        let (mut changed, mut failed) = (false, false);
        for path in files(&spec_path(invocation))? {
            let text = paths::read_to_string(&path)?;
            let formatted = match segue_language::format(&text) {
                Ok(formatted) => formatted,
                Err(problems) => {
                    failed = true;
                    let source = Source { name: path.display().to_string(), path, text };
                    let loaded = Loaded {
                        sources: vec![source],
                        desired: None,
                        state_dir: None,
                        secrets: Secrets::default(),
                        variables: Variables::default(),
                        diagnostics: problems,
                    };
                    diagnostics::tell(printer, &loaded, Format::Human)?;
                    continue;
                }
            };
            if formatted == text {
                continue;
            }
            changed = true;
            let name = path.display().to_string();
            if *diff {
                printer.data(&unified(&name, &text, &formatted))?;
            } else {
                printer.data(&format!("{name}\n"))?;
            }
            if !check {
                replace(&path, &formatted)?;
            }
        }
        Ok(if failed || (*check && changed) { Exit::Error } else { Exit::Done })
    }
}

fn unified(name: &str, before: &str, after: &str) -> String {
    TextDiff::configure()
        .timeout(std::time::Duration::from_millis(DIFF_TIMEOUT_MS))
        .diff_lines(before, after)
        .unified_diff()
        .context_radius(DIFF_CONTEXT)
        .header(name, &format!("{name} (formatted)"))
        .to_string()
}

fn files(spec: &SpecPath) -> Result<Vec<PathBuf>, Failure> {
    let dir = match spec {
        SpecPath::File(file) => return Ok(vec![file.clone()]),
        SpecPath::Dir(dir) => dir,
    };
    let unlisted = |e| PathError::new("list", dir, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unlisted)? {
        let path = entry.map_err(unlisted)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(ENDING) && !name.starts_with('.') {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Failure::new(format!("no *{ENDING} file in {}", dir.display()))
            .remedy(format!("write one with `{}`, or name its directory with -C", segue(&["init"]))));
    }
    files.sort();
    Ok(files)
}

/// Replaces a file's text, whole or not at all; its mode stays, and a symlink stays one.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let path = std::fs::canonicalize(path).map_err(|e| PathError::new("find", path, e))?;
    let metadata = std::fs::metadata(&path).map_err(|e| PathError::new("examine", &path, e))?;
    paths::replace(&path, text.as_bytes())?;
    let mode = std::fs::Permissions::from_mode(metadata.permissions().mode());
    std::fs::set_permissions(&path, mode).map_err(|e| PathError::new("set the mode of", &path, e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{replace, unified};

    #[test]
    fn a_diff_names_the_file_and_shows_the_lines_that_change() {
        let diff = unified("a.segue.hcl", "a=1\nb = 2\n", "a = 1\nb = 2\n");
        insta::assert_snapshot!(diff, @r"
        --- a.segue.hcl
        +++ a.segue.hcl (formatted)
        @@ -1,2 +1,2 @@
        -a=1
        +a = 1
         b = 2
        ");
    }

    #[test]
    fn a_formatted_file_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.segue.hcl");
        segue_contract::paths::replace(&path, b"x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, "y").unwrap();
        assert_eq!(segue_contract::paths::read_to_string(&path).unwrap(), "y");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
