//! `journal/head`: the last durable event, so that a lost tail cannot pass for a torn one.
//!
//! Written after every sync of the segments and not synced itself (except at open and close), it never runs
//! ahead of them: it may be old after a power cut, and is exact after anything else.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use xxhash_rust::xxh3::xxh3_64;

use super::frame::u64_at;
use super::{Mark, Seq};

const NAME: &str = "head";
const MAGIC: [u8; 8] = *b"SEGUEH\r\n";
const BYTES: usize = 32;
/// A reader beside a writer may see half of the 32 bytes change; it looks again this often.
const READ_ATTEMPTS: usize = 5;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadState {
    /// This event was durable (0: none was).
    Known(Mark),
    /// There is no head. Expected only where there is no event yet.
    Missing,
    /// It cannot be read: the file was damaged. The journal's own evidence remains.
    Unreadable,
}

impl HeadState {
    pub(super) fn mark(self) -> Option<Mark> {
        match self {
            Self::Known(mark) if mark.seq > Seq(0) => Some(mark),
            Self::Known(_) | Self::Missing | Self::Unreadable => None,
        }
    }
}

pub(super) struct Head {
    file: File,
    path: PathBuf,
}

impl Head {
    /// Opens it for writing, made if it is not there; the caller syncs the directory.
    pub(super) fn open(journal: &Path) -> Result<Self, PathError> {
        let path = journal.join(NAME);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = paths::open_with(&path, &options)?;
        Ok(Self { file, path })
    }

    pub(super) fn write(&self, mark: Mark) -> Result<(), PathError> {
        self.file.write_all_at(&encode(mark), 0).map_err(|e| PathError::new("write", &self.path, e))
    }

    pub(super) fn sync(&self) -> Result<(), PathError> {
        self.file.sync_all().map_err(|e| PathError::new("sync", &self.path, e))
    }
}

pub(super) fn read(journal: &Path) -> Result<HeadState, PathError> {
    let path = journal.join(NAME);
    for _ in 0..READ_ATTEMPTS {
        let bytes = match paths::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => return Ok(HeadState::Missing),
            Err(e) => return Err(e),
        };
        if let Some(mark) = decode(&bytes) {
            return Ok(HeadState::Known(mark));
        }
    }
    Ok(HeadState::Unreadable)
}

fn encode(mark: Mark) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&mark.seq.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&mark.checksum.to_le_bytes());
    let checksum = xxh3_64(&bytes[..24]);
    bytes[24..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Mark> {
    (bytes.len() == BYTES && bytes[..8] == MAGIC && u64_at(bytes, 24) == xxh3_64(&bytes[..24]))
        .then(|| Mark { seq: Seq(u64_at(bytes, 8)), checksum: u64_at(bytes, 16) })
}
