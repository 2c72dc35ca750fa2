//! Which directory a path leads to, whether it exists yet or not.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use segue_contract::paths::{PathError, sync_dir};
use segue_contract::{Identity, StepError, paths};

/// A path whose existing part was resolved.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The whole path: symlinks of the part that exists resolved, the rest as written.
    pub(super) root: PathBuf,
    /// The nearest ancestor that exists (the root itself when that exists).
    pub(super) nearest: PathBuf,
    /// What is at `root`, `None` when nothing is.
    pub(super) found: Option<Metadata>,
    /// The symlink that leads nowhere, where that is why the rest does not exist.
    pub(super) dangling: Option<PathBuf>,
}

impl Place {
    /// Resolves a path.
    ///
    /// # Errors
    /// Some part of it cannot be looked at (no permission, a loop of symlinks).
    pub(super) fn of(path: &Path) -> Result<Self, StepError> {
        let mut rest: Vec<OsString> = Vec::new();
        let mut at = path.to_path_buf();
        let nearest = loop {
            match at.canonicalize() {
                Ok(real) => break real,
                Err(e) if missing(&e) => {}
                Err(e) => return Err(PathError::new("resolve", at, e).into()),
            }
            match at.components().next_back() {
                Some(last @ (Component::Normal(_) | Component::ParentDir)) => {
                    rest.push(last.as_os_str().to_owned());
                }
                _ => return Err(PathError::new("resolve", at, io::ErrorKind::NotFound).into()),
            }
            at.pop();
        };
        let mut root = nearest.clone();
        for part in rest.iter().rev() {
            if part == ".." {
                root.pop();
            } else {
                root.push(part);
            }
        }
        if rest.iter().any(|part| part == "..") {
            // Without the dots it may lead to something that exists, by way of another symlink.
            return Self::of(&root);
        }
        let dangling = rest
            .last()
            .map(|part| nearest.join(part))
            .filter(|at| fs::symlink_metadata(at).is_ok_and(|m| m.is_symlink()));
        let found = match fs::metadata(&root) {
            Ok(found) => Some(found),
            Err(e) if missing(&e) => None,
            Err(e) => return Err(PathError::new("look at", root, e).into()),
        };
        Ok(Self { root, nearest, found, dangling })
    }

    /// What the endpoint is: this machine and the resolved path.
    ///
    /// Not the inode, for a target has an identity before it is made, and it must be the same one
    /// afterwards. So one directory reached by two bind mounts has two identities; a pair of those is
    /// found by device and inode ([`super::look::pair`]), and two states on them by the marker, which
    /// both see.
    pub(super) fn identity(&self) -> Identity {
        let path = match self.root.to_str() {
            Some(text) => text.to_owned(),
            None => self.root.as_os_str().as_bytes().escape_ascii().to_string(),
        };
        Identity(format!("directory:{}:{path}", machine()))
    }

    /// Whether there is a directory.
    pub(super) fn is_dir(&self) -> bool {
        self.found.as_ref().is_some_and(Metadata::is_dir)
    }

    /// Whether the root is where a file system of its own begins.
    pub(super) fn is_mount_point(&self) -> bool {
        let (Some(found), Some(parent)) = (&self.found, self.root.parent()) else {
            return false;
        };
        fs::metadata(parent).is_ok_and(|parent| parent.dev() != found.dev())
    }

    /// A hidden directory beside this one, for a rehearsal; and whether that is on another file system.
    pub(super) fn scratch(&self, tag: &str) -> Result<(String, bool), StepError> {
        let (Some(parent), Some(name)) = (self.root.parent(), self.root.file_name().and_then(|n| n.to_str()))
        else {
            let what = format!("nothing lies beside {}: it cannot be rehearsed", self.root.display());
            return Err(StepError::permanent(what).remedy("Name a directory below it, in UTF-8."));
        };
        let beside = parent.join(format!(".{name}.rehearsal-{tag}"));
        let Some(beside) = beside.to_str() else {
            let what = format!("{} is no UTF-8: a place beside it has no name in a spec", parent.display());
            return Err(StepError::permanent(what).remedy("Name another target."));
        };
        Ok((beside.to_owned(), self.is_mount_point()))
    }

    /// Makes the directory and its parents, durably; `false` when it was there.
    pub(super) fn make(&self) -> Result<bool, StepError> {
        if self.is_dir() {
            return Ok(false);
        }
        let mut missing: Vec<&Path> = Vec::new();
        for at in self.root.ancestors() {
            if at == self.nearest {
                break;
            }
            missing.push(at);
        }
        if missing.is_empty() || self.dangling.is_some() {
            return Err(StepError::permanent(format!("{} is not a directory", self.root.display()))
                .remedy("Move it out of the way, or name another target."));
        }
        let mut made = false;
        for at in missing.into_iter().rev() {
            made = match DirBuilder::new().create(at) {
                Ok(()) => true,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => false,
                Err(e) => return Err(PathError::new("create directory", at, e).into()),
            };
            if let Some(parent) = at.parent() {
                sync_dir(parent)?;
            }
        }
        Ok(made)
    }
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// machine-id(5); a container may have none, then its host name.
fn machine() -> String {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|path| paths::read_to_string(Path::new(path)).ok())
        .map(|text| text.trim().to_owned())
        .find(|id| !id.is_empty())
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}
