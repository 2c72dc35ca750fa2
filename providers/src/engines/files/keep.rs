//! Keeping aside what a stale writer left, before it is overwritten or removed (protocol P21).

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use segue_contract::paths;
use segue_contract::{StaleFind, StepError};

use super::content::{ContentError, Copier};
use super::put::{Stop, is_open_at, unwritten};
use super::tree::{Look, Tree, failed, printed};
use crate::ledger::Kind;

/// Versions of one path kept in one pass; a further one takes the last place's name with a number more.
const VERSIONS: u32 = 10_000;

/// What became of what is to be kept.
pub(crate) enum Put {
    /// It is there, below the artifact directory.
    Kept(PathBuf),
    /// It went away by itself.
    Gone,
    /// There is no room for a copy.
    NoRoom,
}

/// Where to keep things: `below` is the directory in `artifacts`.
pub(crate) struct Aside<'a> {
    pub(crate) artifacts: &'a Path,
    pub(crate) below: PathBuf,
}

impl Aside<'_> {
    /// Keeps what is at `path` (whose directory is open as `dir`), and says so. The original stays.
    pub(crate) fn keep(
        &self,
        copier: &mut Copier<'_>,
        tree: &Tree,
        dir: &OwnedFd,
        path: &[u8],
        look: &Look,
        what: &str,
    ) -> Result<StaleFind, Stop> {
        let Put::Kept(kept) = self.put(copier, tree, dir, path, look, None)? else {
            return Ok(find(path, "deleted", None));
        };
        let mut found = find(path, what, Some(kept));
        found.process = holder(&tree.full(path));
        Ok(found)
    }

    /// Puts a second name, or a copy, of what is at `path` in its place. With `fits`, a copy is made only where that says that
    /// there is room, and the caller makes all of them durable; without it, it is made in any case, and is durable.
    pub(crate) fn put(
        &self,
        copier: &mut Copier<'_>,
        tree: &Tree,
        dir: &OwnedFd,
        path: &[u8],
        look: &Look,
        fits: Option<&dyn Fn() -> bool>,
    ) -> Result<Put, Stop> {
        let name = super::tree::name_of(path);
        let mut kept = self.place(path, look)?;
        if look.kind == Kind::Dir {
            return Ok(Put::Kept(kept));
        }
        kept = self.free_name(&kept)?;
        let place = self.artifacts.join(&kept);
        // What has other names goes on changing under them: a second name would keep nothing, and be one name too many there.
        let linked = if look.nlink > 1 {
            Err(Errno::MLINK)
        } else {
            rustix::fs::linkat(dir, name, CWD, &place, AtFlags::empty())
        };
        match linked {
            Ok(()) => {}
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::NOTSUP) => {
                if fits.is_some_and(|fits| !fits()) {
                    return Ok(Put::NoRoom);
                }
                copy_aside(copier, tree, dir, path, look, &place, fits.is_none())?;
            }
            Err(Errno::NOENT) => return Ok(Put::Gone),
            Err(e) => return Err(failed("keep aside", place, e).into()),
        }
        if let Some(parent) = place.parent().filter(|_| fits.is_none()) {
            paths::sync_dir(parent).map_err(StepError::from)?;
        }
        Ok(Put::Kept(kept))
    }

    /// Where a path is kept, with the directories that are needed. What was kept as a file or a link in this pass may be a
    /// directory by now: that goes into another place, for a kept link may lead anywhere.
    fn place(&self, path: &[u8], look: &Look) -> Result<PathBuf, StepError> {
        for version in 0..VERSIONS {
            let mut below = self.below.as_os_str().to_owned();
            if version > 0 {
                below.push(format!("-{version}"));
            }
            let kept = Path::new(&below).join(OsStr::from_bytes(path));
            let dir = if look.kind == Kind::Dir { Some(kept.as_path()) } else { kept.parent() };
            let dir = dir.unwrap_or(&kept);
            let is_taken = |at: &Path| {
                let found = std::fs::symlink_metadata(self.artifacts.join(at));
                found.is_ok_and(|found| !found.is_dir())
            };
            if dir.ancestors().any(is_taken) {
                continue;
            }
            paths::create_dir_all(&self.artifacts.join(dir))?;
            return Ok(kept);
        }
        Err(self.too_many(&self.below))
    }

    fn too_many(&self, kept: &Path) -> StepError {
        let place = self.artifacts.join(kept);
        StepError::permanent(format!("cannot keep another version of {}", place.display()))
            .remedy("look at the kept versions and move them away")
    }

    fn free_name(&self, kept: &Path) -> Result<PathBuf, StepError> {
        for version in 0..VERSIONS {
            let mut name = kept.as_os_str().to_owned();
            if version > 0 {
                name.push(format!(".{version}"));
            }
            if rustix::fs::lstat(self.artifacts.join(&name)).is_err() {
                return Ok(name.into());
            }
        }
        Err(self.too_many(kept))
    }
}

/// A find without the process behind it.
pub(crate) fn find(path: &[u8], what: &str, kept: Option<PathBuf>) -> StaleFind {
    StaleFind {
        key: printed(path),
        what: what.to_owned(),
        kept: kept.map(|kept| kept.to_string_lossy().into_owned()),
        process: None,
    }
}

fn copy_aside(
    copier: &mut Copier<'_>,
    tree: &Tree,
    dir: &OwnedFd,
    path: &[u8],
    look: &Look,
    place: &Path,
    durable: bool,
) -> Result<(), Stop> {
    let name = super::tree::name_of(path);
    let read = |e| unwritten(tree, "read", path, e);
    match look.kind {
        Kind::File => {}
        Kind::Symlink => {
            let text = match rustix::fs::readlinkat(dir, name, Vec::new()) {
                // No link any more.
                Err(Errno::INVAL) => return Err(Stop::Later),
                text => text.map_err(read)?,
            };
            return rustix::fs::symlink(text, place).map_err(|e| failed("keep aside", place, e).into());
        }
        // A pipe or a device node holds nothing.
        _ => return Ok(()),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let from = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(read)?;
    if !is_open_at(&from, look) {
        return Err(Stop::Later);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let to = rustix::fs::open(place, flags, Mode::from_raw_mode(0o600))
        .map_err(|e| failed("keep aside", place, e))?;
    copier.copy(&from, &to, look.size, look.blocks).map_err(|e| match e {
        ContentError::Read(e) => read(e),
        ContentError::Write(e) => failed("keep aside", place, e).into(),
        ContentError::Cancelled => StepError::cancelled().into(),
    })?;
    if durable { rustix::fs::fsync(&to).map_err(|e| failed("sync", place, e).into()) } else { Ok(()) }
}

/// Who has a path open now, as far as this user may see it: `name (pid)`.
pub(crate) fn holder(path: &Path) -> Option<String> {
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().filter(|pid| pid.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for fd in open.flatten() {
            if std::fs::read_link(fd.path()).is_ok_and(|at| at == path) {
                let name = paths::read_to_string(&process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} ({pid})", name.trim_end()));
            }
        }
    }
    None
}
