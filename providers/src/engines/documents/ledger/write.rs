//! Writing a ledger: beside its place, synced, and only then under the name that holds its checksum.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StepError};
use xxhash_rust::xxh3::Xxh3;

use super::{About, Record, encode};

/// What `ledger::collect` knows ledgers by.
pub(super) const PREFIX: &str = "ledger-";
const UNFINISHED: &str = ".ledger-";
pub(super) const MAGIC: &[u8; 8] = b"SGDOCUME";
/// The layout that this version writes.
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 8 + 4;
/// Written to the file in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// Makes unfinished names of one process differ.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A ledger being written; dropped unfinished it removes what it wrote.
pub(crate) struct Writer {
    dir: PathBuf,
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    digest: Xxh3,
    before: Vec<u8>,
    pub(crate) records: u64,
    pub(crate) aside: u64,
}

impl Writer {
    pub(crate) fn create(artifacts: &Path) -> Result<Self, StepError> {
        paths::create_dir_all(artifacts)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = artifacts.join(format!("{UNFINISHED}documents-{}-{number}.new", std::process::id()));
        let file = paths::create_private(&path)?;
        let mut buffer = Vec::with_capacity(BUFFER + 4096);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        Ok(Self {
            dir: artifacts.to_owned(),
            path,
            file: Some(file),
            buffer,
            scratch: Vec::new(),
            digest: Xxh3::new(),
            before: Vec::new(),
            records: 0,
            aside: 0,
        })
    }

    /// Appends a record; records come in the order of their keys, each key once.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), StepError> {
        self.scratch.clear();
        encode(record, &mut self.before, &mut self.scratch);
        self.buffer.extend_from_slice(&(self.scratch.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&self.scratch);
        self.records += 1;
        self.aside += u64::from(record.aside);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StepError> {
        self.digest.update(&self.buffer);
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer).map_err(|e| PathError::new("write", &self.path, e))?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes the end, makes the file durable, and gives it its name. The counts of `about` are filled in here.
    pub(crate) fn finish(mut self, mut about: About) -> Result<ArtifactName, StepError> {
        (about.records, about.aside) = (self.records, self.aside);
        let about = serde_json::to_vec(&about).map_err(|e| StepError::permanent(e.to_string()))?;
        // A record of length zero ends the records: none is that short.
        self.buffer.extend_from_slice(&0u32.to_le_bytes());
        self.buffer.extend_from_slice(&about);
        self.buffer.extend_from_slice(&(about.len() as u32).to_le_bytes());
        self.flush()?;
        let checksum = self.digest.digest128();
        let name = ArtifactName(format!("{PREFIX}{checksum:032x}"));
        if let Some(mut file) = self.file.take() {
            file.write_all(&checksum.to_le_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|e| PathError::new("write", &self.path, e))?;
        }
        paths::rename(&self.path, &self.dir.join(&name.0))?;
        paths::sync_dir(&self.dir)?;
        Ok(name)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Best effort: ledgers that nobody names are collected.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
