//! The ledger: what Segue carried, a record a path, with how it looked on each side when Segue last saw it.
//!
//! One ledger serves passes and verification in both directions. It is a flat file in path-component
//! order (a directory, then its subtree), read and written as a stream, so that memory stays bounded
//! whatever the tree's size. Its name holds its checksum, and nothing of it is believed before the whole
//! file was checked against both.

mod buckets;
mod codec;
mod part;
mod read;
pub(crate) mod sealed;
pub(crate) mod varint;
mod write;

use std::cmp::Ordering;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, Side, StepError};

pub use buckets::{BUCKETS, Bucket, Buckets};
pub(crate) use part::{PartMark, PartReader, PartWriter};
pub use read::{LedgerReader, LedgerSummary, summary};
pub use write::LedgerWriter;

/// A point in time: seconds and nanoseconds since 1970, as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds.
    pub s: i64,
    /// Nanoseconds within the second.
    pub ns: u32,
}

impl Time {
    /// The nanoseconds from `earlier` to this; negative when it is not earlier.
    pub fn since_ns(self, earlier: Self) -> i128 {
        i128::from(self.s - earlier.s) * 1_000_000_000 + i128::from(self.ns) - i128::from(earlier.ns)
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// Only in partial ledgers: the path was removed.
    Gone,
}

impl Kind {
    /// The word for it in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "directory",
            Self::File => "file",
            Self::Symlink => "symbolic link",
            Self::Fifo => "named pipe",
            Self::Char => "character device",
            Self::Block => "block device",
            Self::Gone => "nothing",
        }
    }
}

/// How a path looked on one side when Segue last saw or wrote it; equal prints mean that nobody touched it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Print {
    /// Inode number; 0 when the path was never seen there.
    pub ino: u64,
    /// Size in bytes; 0 for directories.
    pub size: u64,
    /// Time of the last content change, which anybody can set.
    pub mtime: Time,
    /// Time of the last change of any kind, which nobody can set.
    pub ctime: Time,
    /// It had changed within two seconds before it was looked at: a change in the same clock tick may hide.
    pub hot: bool,
}

/// One path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The path below the root, raw bytes, no slash at either end; empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes, of files; 0 otherwise.
    pub size: u64,
    /// Time of the last content change.
    pub mtime: Time,
    /// Device number, of device nodes.
    pub rdev: u64,
    /// Whether the file has more names than this one on the side that was read.
    pub linked: bool,
    /// The first path of the hard-link group that this is a later name of.
    pub first: Option<Vec<u8>>,
    /// The text of a symbolic link.
    pub symlink: Vec<u8>,
    /// XXH3-128 of the extended attributes, ACLs included; 0 without any.
    pub xattrs: u128,
    /// XXH3-128 of the content, of files.
    pub hash: u128,
    /// Whether that is of every byte, as ledgers of layout 1 have it: else blocks of zeros are left out of it.
    pub plain: bool,
    /// The pass that last changed it.
    pub changed_in: u64,
    /// How it looked at the declared source.
    pub source: Print,
    /// How it looked at the declared target.
    pub target: Print,
}

impl Record {
    /// A path of a kind, of which nothing else is known.
    pub(crate) fn bare(path: Vec<u8>, kind: Kind) -> Self {
        Self {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            rdev: 0,
            linked: false,
            first: None,
            symlink: Vec::new(),
            xattrs: 0,
            hash: 0,
            plain: false,
            changed_in: 0,
            source: Print::default(),
            target: Print::default(),
        }
    }

    /// The print of one side.
    pub fn print(&self, side: Side) -> &Print {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Replaces the print of one side.
    pub fn set_print(&mut self, side: Side, print: Print) {
        match side {
            Side::Source => self.source = print,
            Side::Target => self.target = print,
        }
    }
}

/// Compares two paths component by component, so that a directory is followed by its subtree.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        if x != y {
            // A slash ends a component, and no name holds a zero byte.
            let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
            return rank(*x).cmp(&rank(*y));
        }
    }
    a.len().cmp(&b.len())
}

/// Whether `path` lies below `dir` (which may be the root, empty).
pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    if dir.is_empty() {
        return !path.is_empty();
    }
    path.len() > dir.len() && path.starts_with(dir) && path.get(dir.len()) == Some(&b'/')
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is not what its name says, or ends early.
    #[error("ledger {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a later version.
    #[error("ledger {} has layout {found}, and this version reads {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file system failed.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl LedgerError {
    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

impl From<LedgerError> for StepError {
    fn from(error: LedgerError) -> Self {
        let remedy = match &error {
            LedgerError::Damaged { .. } => {
                "nothing of it was used; restore the file from a backup of the state directory, or redo the load: \
                 both sides are then scanned again and equal content is kept"
            }
            LedgerError::Version { .. } => "run the version of segue that wrote it, or a later one",
            LedgerError::Path(_) => {
                let LedgerError::Path(path) = error else {
                    return Self::permanent("ledger");
                };
                return path.into();
            }
        };
        Self::permanent(error.to_string()).remedy(remedy)
    }
}

/// What ledgers begin with that may lean on another one, of which they say only what changed since.
pub(crate) const LEANING: &[u8; 8] = b"SGDOCUME";

/// The checksum in the name of the ledger that one leans on, by the header behind its layout.
pub(crate) fn leans_on(header: &[u8]) -> Option<u128> {
    header.try_into().map(u128::from_le_bytes).ok().filter(|base| *base != 0)
}

/// The ledgers that some of `artifacts` lean on, which are of no use without them.
///
/// # Errors
/// One is there, and cannot be read.
pub fn bases(artifacts: &Path, names: &[ArtifactName]) -> Result<Vec<ArtifactName>, StepError> {
    let mut bases = Vec::new();
    for name in names {
        let path = artifacts.join(&name.0);
        if !path.exists() {
            continue;
        }
        let mut begin = Vec::new();
        let read = paths::open(&path)?.take(BEGIN).read_to_end(&mut begin);
        read.map_err(|e| PathError::new("read", &path, e))?;
        let header = begin.strip_prefix(LEANING.as_slice()).and_then(|rest| rest.get(LAYOUT..));
        bases.extend(header.and_then(leans_on).map(sealed::name_of));
    }
    Ok(bases)
}

/// The bytes of the number of a layout.
const LAYOUT: usize = 4;
/// The bytes of what ledgers begin with, up to the end of a base's checksum.
const BEGIN: u64 = 8 + LAYOUT as u64 + 16;

/// Deletes the ledgers in `artifacts` that are not in `keep`, nor leant on by one that is, and gives how many there were.
/// Called by the holder of the state's lock only: a ledger that a running step made is in nobody's list yet.
///
/// # Errors
/// When the directory cannot be listed, a file not be read or not be removed; what was removed stays removed.
pub fn collect(artifacts: &Path, keep: &[ArtifactName]) -> Result<usize, StepError> {
    let list = |e| PathError::new("list", artifacts, e);
    let bases = bases(artifacts, keep)?;
    let is_kept = |name: &str| keep.iter().chain(&bases).any(|kept| kept.0 == name);
    let mut removed = 0;
    for entry in std::fs::read_dir(artifacts).map_err(list)? {
        let entry = entry.map_err(list)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let finished = name.starts_with(sealed::PREFIX) && !is_kept(name);
        if finished || name.starts_with(sealed::UNFINISHED) {
            std::fs::remove_file(entry.path()).map_err(|e| PathError::new("remove", entry.path(), e))?;
            removed += 1;
        }
    }
    Ok(removed)
}
