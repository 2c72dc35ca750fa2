//! Writing a ledger: beside its place, checked, synced, and only then under the name that holds its checksum.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use segue_contract::ArtifactName;
use segue_contract::paths::{self, PathError};
use xxhash_rust::xxh3::Xxh3;

use super::{Buckets, LedgerError, Record, codec, compare_paths};

pub(super) const PREFIX: &str = "ledger-";
pub(super) const UNFINISHED: &str = ".ledger-";
pub(super) const MAGIC: &[u8; 8] = b"SGLEDGER";
/// The layout that this version writes.
pub(super) const VERSION: u32 = 1;
/// Magic, layout, pass.
pub(super) const HEADER: usize = 8 + 4 + 8;
/// Counts of records, files and bytes, the buckets, the checksum.
pub(super) const TRAILER: usize = 3 * 8 + super::BUCKETS * 24 + 16;
/// Written to the file in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// Makes unfinished names of one process differ.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A ledger being written; dropped unfinished it removes what it wrote.
pub struct LedgerWriter {
    dir: PathBuf,
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    digest: Xxh3,
    before: Vec<u8>,
    records: u64,
    files: u64,
    bytes: u64,
    buckets: Buckets,
}

impl LedgerWriter {
    /// Starts the ledger of pass number `pass` in the directory `artifacts`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(artifacts: &Path, pass: u64) -> Result<Self, LedgerError> {
        paths::create_dir_all(artifacts)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = artifacts.join(format!("{UNFINISHED}{}-{number}.new", std::process::id()));
        let file = paths::create_private(&path)?;
        let mut buffer = Vec::with_capacity(BUFFER + 4096);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        buffer.extend_from_slice(&pass.to_le_bytes());
        Ok(Self {
            dir: artifacts.to_owned(),
            path,
            file: Some(file),
            buffer,
            scratch: Vec::new(),
            digest: Xxh3::new(),
            before: Vec::new(),
            records: 0,
            files: 0,
            bytes: 0,
            buckets: Buckets::default(),
        })
    }

    /// Appends a record; records come in path order, each path once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, record: &Record) -> Result<(), LedgerError> {
        debug_assert!(
            self.records == 0 || compare_paths(&self.before, &record.path).is_lt(),
            "records out of order"
        );
        self.scratch.clear();
        codec::encode(record, &mut self.before, &mut self.scratch);
        self.buffer.extend_from_slice(&(self.scratch.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&self.scratch);
        self.records += 1;
        self.files += u64::from(record.kind == super::Kind::File);
        self.bytes += record.size;
        self.buckets.add(record);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LedgerError> {
        self.digest.update(&self.buffer);
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer).map_err(|e| PathError::new("write", &self.path, e))?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes the end, makes the file durable, and gives it its name.
    ///
    /// # Errors
    /// When the file cannot be written, synced or renamed.
    pub fn finish(mut self) -> Result<ArtifactName, LedgerError> {
        // A record of length zero ends the records: none is that short.
        self.buffer.extend_from_slice(&0u32.to_le_bytes());
        for count in [self.records, self.files, self.bytes] {
            self.buffer.extend_from_slice(&count.to_le_bytes());
        }
        for bucket in self.buckets.list() {
            self.buffer.extend_from_slice(&bucket.count.to_le_bytes());
            self.buffer.extend_from_slice(&bucket.sum.to_le_bytes());
        }
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

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Best effort: `collect` removes it otherwise.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
