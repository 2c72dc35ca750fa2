//! File operations whose errors name the path: the only place that calls `std::fs` for whole files.

#![expect(clippy::disallowed_methods, reason = "this is the room that wraps them")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::ErrorClass;

/// A failed file operation: `cannot write /a/b: No space left on device (os error 28)`.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct PathError {
    /// What was attempted, a verb: `read`, `write`, `rename`.
    pub doing: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl PathError {
    /// Binds an I/O error to what was attempted and where.
    pub fn new(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.into(), source: source.into() }
    }

    /// A full disk or an interrupted call may pass by itself; the rest stays.
    pub fn class(&self) -> ErrorClass {
        match self.source.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy => {
                ErrorClass::Transient
            }
            _ => ErrorClass::Permanent,
        }
    }

    /// What the user can do, where that is plain from the error.
    pub fn remedy(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                "free space on the file system of {} and run the same command again; it goes on where it stopped",
                self.path.display()
            )),
            io::ErrorKind::PermissionDenied => Some(format!(
                "run as a user who may {} {}, or change its mode",
                self.doing,
                self.path.display()
            )),
            io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("the file system of {} is mounted read-only", self.path.display()))
            }
            _ => None,
        }
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, PathError> {
    fs::read(path).map_err(|e| PathError::new("read", path, e))
}

/// Reads a whole file as UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, PathError> {
    fs::read_to_string(path).map_err(|e| PathError::new("read", path, e))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, PathError> {
    File::open(path).map_err(|e| PathError::new("open", path, e))
}

/// Makes or truncates a file for writing, with mode 0600.
pub fn create_private(path: &Path) -> Result<File, PathError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| PathError::new("create", path, e))
}

/// Opens with the given options.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<File, PathError> {
    options.open(path).map_err(|e| PathError::new("open", path, e))
}

/// Makes a directory and its parents.
pub fn create_dir_all(path: &Path) -> Result<(), PathError> {
    fs::create_dir_all(path).map_err(|e| PathError::new("create directory", path, e))
}

/// Renames.
pub fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    fs::rename(from, to).map_err(|e| PathError::new("rename to", to, e))
}

/// Syncs a directory, so that names made or renamed in it survive a power cut.
pub fn sync_dir(path: &Path) -> Result<(), PathError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| PathError::new("sync directory", path, e))
}

/// Replaces a file so that a reader, or whoever comes after a power cut, sees the old or the new whole
/// content: written beside it with mode 0600, synced, renamed, directory synced.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), PathError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = create_private(&beside)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(|e| PathError::new("write", &beside, e))?;
    rename(&beside, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}
