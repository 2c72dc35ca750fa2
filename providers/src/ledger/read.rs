//! Reading a ledger: the whole file is checked first, then streamed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use segue_contract::ArtifactName;
use segue_contract::paths::{self, PathError};
use xxhash_rust::xxh3::Xxh3;

use super::write::{HEADER, MAGIC, PREFIX, TRAILER, VERSION};
use super::{Bucket, Buckets, LedgerError, Record, codec, compare_paths};

/// Read in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// What a ledger says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSummary {
    /// The pass that wrote it.
    pub pass: u64,
    /// Records.
    pub records: u64,
    /// Records that are regular files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// For a quick comparison with another ledger.
    pub buckets: Buckets,
}

/// Checks a ledger and gives what it says of itself.
///
/// # Errors
/// [`LedgerError`] when it is missing, damaged or of a later layout.
pub fn summary(artifacts: &Path, name: &ArtifactName) -> Result<LedgerSummary, LedgerError> {
    Ok(LedgerReader::open(artifacts, name)?.summary)
}

/// A checked ledger, read record by record.
#[derive(Debug)]
pub struct LedgerReader {
    path: PathBuf,
    from: BufReader<File>,
    before: Vec<u8>,
    scratch: Vec<u8>,
    left: u64,
    summary: LedgerSummary,
}

impl LedgerReader {
    /// Opens and checks the ledger `name` in the directory `artifacts`.
    ///
    /// # Errors
    /// [`LedgerError`] when it is missing, damaged or of a later layout.
    pub fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, LedgerError> {
        let path = artifacts.join(&name.0);
        let mut file = paths::open(&path)?;
        let len = file.metadata().map_err(|e| PathError::new("read", &path, e))?.len();
        if len < (HEADER + 4 + TRAILER) as u64 {
            return Err(LedgerError::damaged(&path, format!("it is only {len} bytes long")));
        }
        let checksum = checksum(&mut file, &path, len - 16)?;
        let mut trailer = vec![0; TRAILER];
        read_at(&mut file, &path, len - TRAILER as u64, &mut trailer)?;
        let mut header = [0; HEADER];
        read_at(&mut file, &path, 0, &mut header)?;
        let stored = trailer.get(TRAILER - 16..).and_then(|b| b.try_into().ok());
        if stored.map(u128::from_le_bytes) != Some(checksum) {
            return Err(LedgerError::damaged(&path, "its checksum does not match its content"));
        }
        if name.0 != format!("{PREFIX}{checksum:032x}") {
            return Err(LedgerError::damaged(&path, "its content belongs to another name"));
        }
        let summary = parse_summary(&path, &header, &trailer)?;
        // Reading the header last left the file at the first record.
        Ok(Self {
            path,
            from: BufReader::with_capacity(BUFFER, file),
            before: Vec::new(),
            scratch: Vec::new(),
            left: summary.records,
            summary,
        })
    }

    /// What the ledger says of itself.
    pub fn about(&self) -> &LedgerSummary {
        &self.summary
    }

    /// The next record, in path order; `None` after the last.
    ///
    /// # Errors
    /// When the file cannot be read or, against its checksum, makes no sense.
    pub fn next_record(&mut self) -> Result<Option<Record>, LedgerError> {
        if self.left == 0 {
            return Ok(None);
        }
        let had = self.left < self.summary.records;
        let last = if had { Some(self.before.clone()) } else { None };
        let mut len = [0; 4];
        self.fill(&mut len)?;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(u32::from_le_bytes(len) as usize, 0);
        self.fill(&mut bytes)?;
        let record = codec::decode(&bytes, &mut self.before);
        self.scratch = bytes;
        self.left -= 1;
        match record {
            Some(record) if last.is_none_or(|last| compare_paths(&last, &record.path).is_lt()) => {
                Ok(Some(record))
            }
            _ => Err(LedgerError::damaged(&self.path, "a record makes no sense")),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LedgerError> {
        Ok(self.from.read_exact(bytes).map_err(|e| PathError::new("read", &self.path, e))?)
    }
}

fn read_at(file: &mut File, path: &Path, at: u64, into: &mut [u8]) -> Result<(), LedgerError> {
    Ok(file
        .seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(into))
        .map_err(|e| PathError::new("read", path, e))?)
}

/// The checksum of the first `len` bytes.
fn checksum(file: &mut File, path: &Path, len: u64) -> Result<u128, LedgerError> {
    let mut digest = Xxh3::new();
    let mut buffer = vec![0; BUFFER];
    let mut from = file.take(len);
    loop {
        let got = from.read(&mut buffer).map_err(|e| PathError::new("read", path, e))?;
        if got == 0 {
            return Ok(digest.digest128());
        }
        digest.update(buffer.get(..got).unwrap_or_default());
    }
}

fn parse_summary(path: &Path, header: &[u8], trailer: &[u8]) -> Result<LedgerSummary, LedgerError> {
    let number = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        field.map(u64::from_le_bytes).ok_or_else(|| LedgerError::damaged(path, "it ends early"))
    };
    if header.get(..8) != Some(MAGIC.as_slice()) {
        return Err(LedgerError::damaged(path, "it is not a ledger"));
    }
    let found = number(header, 8)? as u32;
    if found != VERSION {
        return Err(LedgerError::Version { path: path.to_owned(), found, known: VERSION });
    }
    let mut list = Vec::with_capacity(super::BUCKETS);
    for index in 0..super::BUCKETS {
        let at = 24 + index * 24;
        let low = number(trailer, at + 8)?;
        let high = number(trailer, at + 16)?;
        list.push(Bucket { count: number(trailer, at)?, sum: u128::from(high) << 64 | u128::from(low) });
    }
    Ok(LedgerSummary {
        pass: number(header, 12)?,
        records: number(trailer, 0)?,
        files: number(trailer, 8)?,
        bytes: number(trailer, 16)?,
        buckets: Buckets::from_list(list),
    })
}
