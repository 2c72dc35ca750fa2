//! One side's directory tree: everything is opened relative to its root, and no component of a path
//! below it may be a symbolic link, so that nobody can lead a copy out of the tree.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use segue_contract::paths::PathError;
use segue_contract::{ErrorClass, StepError};

use super::identity::{Expected, IDENTITY, Identity};
use super::made::Temporaries;
use crate::ledger::{Kind, Print, Time};

/// The marker at the root of an endpoint.
pub const MARKER: &str = ".segue-marker";
/// What is Segue's at a root: its marker, with what is needed to replace that, and the root's own name.
const OWN: [&str; 5] =
    [MARKER, ".segue-marker.lock", ".segue-marker.new", IDENTITY, super::identity::UNFINISHED];
/// What the names of files that Segue is still writing start with; others may start so, too.
pub const TEMPORARY: &str = ".segue-tmp-";

/// Longest path handed to one system call; the kernel's limit is 4096 with the zero.
const PATH_PIECE: usize = 4000;
/// Directories that a worker keeps open: items come in path order, so few are needed.
const OPEN_DIRS: usize = 8;
/// What changed this shortly before it was looked at may change again unseen (protocol P4).
pub(crate) const HOT_NS: i128 = 2_000_000_000;

/// What stat says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    pub(crate) atime: Time,
    pub(crate) ctime: Time,
    pub(crate) ino: u64,
    pub(crate) dev: u64,
    pub(crate) nlink: u64,
    pub(crate) rdev: u64,
    pub(crate) blocks: u64,
}

impl Look {
    /// `None` for a socket, which is no data. Without `owners`, who owns it is left out (as zero):
    /// then Segue may not change owners, and they are not compared.
    pub(crate) fn of(stat: &Stat, owners: bool) -> Option<Self> {
        let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => Kind::Dir,
            rustix::fs::FileType::RegularFile => Kind::File,
            rustix::fs::FileType::Symlink => Kind::Symlink,
            rustix::fs::FileType::Fifo => Kind::Fifo,
            rustix::fs::FileType::CharacterDevice => Kind::Char,
            rustix::fs::FileType::BlockDevice => Kind::Block,
            _ => return None,
        };
        let time = |s, ns| Time { s, ns };
        Some(Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: if owners { stat.st_uid } else { 0 },
            gid: if owners { stat.st_gid } else { 0 },
            size: if kind == Kind::File { stat.st_size as u64 } else { 0 },
            mtime: time(stat.st_mtime, stat.st_mtime_nsec as u32),
            atime: time(stat.st_atime, stat.st_atime_nsec as u32),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec as u32),
            ino: stat.st_ino,
            dev: stat.st_dev,
            nlink: u64::from(stat.st_nlink as u32),
            rdev: match kind {
                Kind::Char | Kind::Block => stat.st_rdev,
                _ => 0,
            },
            blocks: stat.st_blocks as u64,
        })
    }

    /// The print of a side that others write, looked at not earlier than `now`.
    pub(crate) fn print_read(&self, now: Time) -> Print {
        Print { hot: now.since_ns(self.ctime) < HOT_NS, ..self.print() }
    }

    /// The print of what Segue has just written. It sets the time of the last change itself, so only
    /// where that is recent can somebody's write hide behind it.
    pub(crate) fn print_written(&self, now: Time) -> Print {
        Print { hot: self.kind == Kind::File && now.since_ns(self.mtime) < HOT_NS, ..self.print() }
    }

    fn print(&self) -> Print {
        Print { ino: self.ino, size: self.size, mtime: self.mtime, ctime: self.ctime, hot: false }
    }

    /// Whether this is what `print` was taken of, but for `hot`.
    pub(crate) fn same_as(&self, print: &Print) -> bool {
        Print { hot: false, ..*print } == self.print()
    }
}

/// A side's tree.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    fd: OwnedFd,
    /// What it must be.
    expected: Option<Expected>,
    /// What in it is not whole.
    temporaries: Option<Temporaries>,
    /// Whether owners are kept and compared: only root may change them.
    pub(crate) owners: bool,
}

/// The directory part and the last component of a path below the root.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// The name to give to `*at` calls: the root is its own `.`.
pub(crate) fn name_of(path: &[u8]) -> &[u8] {
    match split(path).1 {
        [] => b".",
        name => name,
    }
}

/// Whether a name at this place is Segue's own and no data.
pub(crate) fn is_own(dir: &[u8], name: &[u8]) -> bool {
    dir.is_empty() && OWN.iter().any(|own| own.as_bytes() == name)
}

/// Another name in the directory of `path`.
pub(crate) fn beside(path: &[u8], name: &[u8]) -> Vec<u8> {
    match split(path).0 {
        [] => name.to_vec(),
        dir => [dir, b"/", name].concat(),
    }
}

/// A path below the root as people see it; the root is `.`.
pub(crate) fn printed(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    String::from_utf8_lossy(path).into_owned()
}

/// A failed call on a path, with what to do where that is plain.
pub(crate) fn failed(doing: &'static str, path: impl Into<PathBuf>, errno: Errno) -> StepError {
    let mut error = StepError::from(PathError::new(doing, path, errno));
    if errno == Errno::IO || errno == Errno::STALE {
        error.class = ErrorClass::Transient;
    }
    error
}

impl Tree {
    /// Opens the tree at `root`.
    pub(crate) fn open(root: &Path) -> Result<Self, StepError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|e| {
            let error = failed("open directory", root, e);
            match e {
                Errno::NOENT => error
                    .remedy("make the directory, mount what belongs there, or correct the path in the spec"),
                Errno::NOTDIR => error.remedy("name a directory in the spec"),
                _ => error,
            }
        })?;
        let owners = rustix::process::geteuid().is_root();
        Ok(Self { root: root.to_owned(), fd, expected: None, temporaries: None, owners })
    }

    /// The same tree, which must be this, with what in it is not whole.
    pub(crate) fn expecting(self, expected: Expected, temporaries: Temporaries) -> Self {
        Self { expected: Some(expected), temporaries: Some(temporaries), ..self }
    }

    /// Whether what is at a path was made by Segue, and is not whole.
    pub(crate) fn is_temporary(&self, path: &[u8], look: &Look) -> bool {
        self.temporaries.as_ref().is_some_and(|all| all.have(path, split(path).1, look))
    }

    /// From here on it must be this.
    pub(crate) fn expect(&mut self, identity: Identity) {
        if let Some(expected) = &mut self.expected {
            expected.set(identity);
        }
    }

    /// Proves that it is what it must be, through the descriptor that everything is read and written by, and that its
    /// path still leads there (protocol P27).
    pub(crate) fn prove(&self) -> Result<(), StepError> {
        self.expected.as_ref().map_or(Ok(()), |expected| expected.prove(&self.root, &self.fd))
    }

    /// The root's path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The root.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The whole path, for messages.
    pub(crate) fn full(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            return self.root.clone();
        }
        self.root.join(OsStr::from_bytes(path))
    }

    /// A failed call on a path of this tree.
    pub(crate) fn failed(&self, doing: &'static str, path: &[u8], errno: Errno) -> StepError {
        failed(doing, self.full(path), errno)
    }

    /// Opens a directory below the root (or the root itself, for the empty path).
    pub(crate) fn open_dir(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut rest = path;
        let mut at: Option<OwnedFd> = None;
        while rest.len() > PATH_PIECE {
            let piece = rest.get(..PATH_PIECE).unwrap_or_default();
            let cut = piece.iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?;
            at = Some(open_below(at.as_ref().unwrap_or(&self.fd), rest.get(..cut).unwrap_or_default())?);
            rest = rest.get(cut + 1..).unwrap_or_default();
        }
        open_below(at.as_ref().unwrap_or(&self.fd), if rest.is_empty() { b"." } else { rest })
    }

    /// What is at a path now; `None` when nothing is (or only a socket).
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Look>, Errno> {
        let dir = match self.open_dir(split(path).0) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(e) => return Err(e),
        };
        self.look_at(&dir, name_of(path))
    }

    /// What a name in an open directory is now.
    pub(crate) fn look_at(&self, dir: &OwnedFd, name: &[u8]) -> Result<Option<Look>, Errno> {
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Look::of(&stat, self.owners)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn open_below(at: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(at, path, flags, Mode::empty(), resolve) {
        // A kernel or sandbox without the call.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(at, path, flags, Mode::empty()),
        done => done,
    }
}

/// The directories that one worker has open on one side, the latest first.
pub(crate) struct OpenDirs<'a> {
    pub(crate) tree: &'a Tree,
    open: Vec<(Vec<u8>, Arc<OwnedFd>)>,
}

impl<'a> OpenDirs<'a> {
    /// None open yet.
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self { tree, open: Vec::with_capacity(OPEN_DIRS) }
    }

    /// The directory that holds `path`.
    pub(crate) fn parent(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        let dir = split(path).0;
        if let Some(at) = self.open.iter().position(|(name, _)| name == dir) {
            if at > 0 {
                self.open.swap(0, at);
            }
        } else {
            let fd = Arc::new(self.tree.open_dir(dir)?);
            self.open.truncate(OPEN_DIRS - 1);
            self.open.insert(0, (dir.to_vec(), fd));
        }
        self.open.first().map(|(_, fd)| Arc::clone(fd)).ok_or(Errno::BADF)
    }

    /// Closes every directory: one may have been replaced.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}
