//! What a run is about to write, noted before it does: so that the run after its death can tell its writes from those of
//! somebody who should not have written. The notes belong to the ledger that the pass began from; they outlive the
//! process, not a power cut: after one, what the dead run wrote is compared by content, and kept aside where it differs.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use segue_contract::paths::{self, PathError};
use segue_contract::{StepError, UnitJob};

use super::collection::{Key, Write};
use super::ledger::key_hash;
use crate::engines::beside::{self, named, remove_others, side_file};

/// Key hash and version.
const NOTE: usize = 16 + 8;
/// In a note's version: it is a deletion.
const DELETION: u64 = 1 << 63;

/// See the module.
pub(crate) struct Notes {
    path: PathBuf,
    file: Mutex<Option<File>>,
    dead: HashSet<(u128, u64)>,
    /// The keys of what a dead run was about to delete.
    deleted: HashSet<u128>,
}

impl Notes {
    /// The notes of passes from a job's ledger; those from others are removed.
    pub(crate) fn open(artifacts: &std::path::Path, job: &UnitJob) -> Result<Self, StepError> {
        let base = side_file(artifacts, "writes", job);
        remove_others(&base, &named(&base, job.ledger.as_ref()))?;
        let notes = Self::looked_at(artifacts, job)?;
        // A torn last note is one whose write had not returned: nothing was written under it.
        if let Ok(file) = paths::open_with(&notes.path, OpenOptions::new().write(true)) {
            let cut = file.metadata().and_then(|about| file.set_len(about.len() / NOTE as u64 * NOTE as u64));
            cut.map_err(|e| PathError::new("write", &notes.path, e))?;
        }
        Ok(notes)
    }

    /// The same for those who only look.
    pub(crate) fn looked_at(artifacts: &std::path::Path, job: &UnitJob) -> Result<Self, StepError> {
        let path = named(&side_file(artifacts, "writes", job), job.ledger.as_ref());
        let bytes = beside::read(&path)?.unwrap_or_default();
        let dead: HashSet<(u128, u64)> = bytes.chunks_exact(NOTE).filter_map(parse).collect();
        let deleted =
            dead.iter().filter(|(_, version)| version & DELETION != 0).map(|(key, _)| *key).collect();
        Ok(Self { path, file: Mutex::new(None), dead, deleted })
    }

    /// Whether a run died in the middle.
    pub(crate) fn is_resumed(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Whether a dead run was about to write this version.
    pub(crate) fn knows(&self, key: &Key, version: u64) -> bool {
        self.dead.contains(&(key_hash(key), version))
    }

    /// Whether a dead run was about to delete this document.
    pub(crate) fn knows_deletion(&self, key: &Key) -> bool {
        self.deleted.contains(&key_hash(key))
    }

    /// Notes a batch that is about to be sent.
    pub(crate) fn note(&self, batch: &[Write]) -> Result<(), StepError> {
        let mut bytes = Vec::with_capacity(batch.len() * NOTE);
        for write in batch {
            bytes.extend_from_slice(&key_hash(&write.key).to_le_bytes());
            let deletion = if write.body.is_none() { DELETION } else { 0 };
            bytes.extend_from_slice(&(write.version | deletion).to_le_bytes());
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match file.take() {
            Some(open) => open,
            None => {
                let mut options = OpenOptions::new();
                paths::open_with(&self.path, options.append(true).create(true).mode(0o600))?
            }
        };
        let done = file.insert(open).write_all(&bytes);
        done.map_err(|e| PathError::new("write", &self.path, e).into())
    }
}

fn parse(bytes: &[u8]) -> Option<(u128, u64)> {
    let (key, version) = bytes.split_first_chunk()?;
    Some((u128::from_le_bytes(*key), u64::from_le_bytes(*version.first_chunk()?)))
}
