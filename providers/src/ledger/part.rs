//! Partial ledgers: the records of a load or pass that is still running. Appended in path order; a mark
//! (length, checksum, last path) lets a later run trust exactly what an earlier one had made durable.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use xxhash_rust::xxh3::Xxh3;

use super::{LedgerError, Record, codec};

/// Written to the file in pieces of this size.
const BUFFER: usize = 128 * 1024;

/// How far a partial ledger is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartMark {
    /// Bytes.
    pub(crate) len: u64,
    /// XXH3-128 of them.
    pub(crate) checksum: u128,
    /// Records in them.
    pub(crate) records: u64,
    /// The path of the last one: the low-water mark.
    pub(crate) last: Option<Vec<u8>>,
}

/// A partial ledger being written.
pub(crate) struct PartWriter {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    digest: Xxh3,
    before: Vec<u8>,
    mark: PartMark,
}

impl PartWriter {
    /// Starts an empty one at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, LedgerError> {
        if let Some(dir) = path.parent() {
            paths::create_dir_all(dir)?;
        }
        Ok(Self::over(path, paths::create_private(path)?))
    }

    fn over(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            file,
            buffer: Vec::with_capacity(BUFFER + 4096),
            scratch: Vec::new(),
            digest: Xxh3::new(),
            before: Vec::new(),
            mark: PartMark::default(),
        }
    }

    /// Goes on behind `len` bytes that have this checksum; what lies beyond is cut off.
    pub(crate) fn resume(path: &Path, len: u64, checksum: u128) -> Result<Self, LedgerError> {
        let file = paths::open_with(path, OpenOptions::new().read(true).write(true))?;
        let mut part = Self::over(path, file);
        let mut reader = PartReader::open(path, Some(len))?;
        while let Some(record) = reader.next_record()? {
            part.mark.records += 1;
            part.before.clone_from(&record.path);
        }
        if part.mark.records > 0 {
            part.mark.last = Some(part.before.clone());
        }
        let fail = |e| PathError::new("read", path, e);
        let mut from = (&part.file).take(len);
        let mut bytes = vec![0; BUFFER];
        loop {
            let got = from.read(&mut bytes).map_err(fail)?;
            if got == 0 {
                break;
            }
            part.digest.update(bytes.get(..got).unwrap_or_default());
            part.mark.len += got as u64;
        }
        part.mark.checksum = part.digest.digest128();
        if part.mark.len != len || part.mark.checksum != checksum {
            return Err(LedgerError::damaged(path, "it is not what the checkpoint says"));
        }
        part.file.set_len(len).map_err(fail)?;
        part.file.seek(SeekFrom::Start(len)).map_err(fail)?;
        Ok(part)
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), LedgerError> {
        self.scratch.clear();
        codec::encode(record, &mut self.before, &mut self.scratch);
        self.buffer.extend_from_slice(&(self.scratch.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&self.scratch);
        self.mark.records += 1;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&mut self) -> Result<(), LedgerError> {
        self.digest.update(&self.buffer);
        self.file.write_all(&self.buffer).map_err(|e| PathError::new("write", &self.path, e))?;
        self.mark.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything durable and says how far that is.
    pub(crate) fn sync(&mut self) -> Result<PartMark, LedgerError> {
        self.flush()?;
        self.file.sync_data().map_err(|e| PathError::new("sync", &self.path, e))?;
        self.mark.checksum = self.digest.digest128();
        if self.mark.records > 0 {
            self.mark.last = Some(self.before.clone());
        }
        Ok(self.mark.clone())
    }

    /// Records so far.
    pub(crate) fn records(&self) -> u64 {
        self.mark.records
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A partial ledger being read.
pub(crate) struct PartReader {
    path: PathBuf,
    from: BufReader<std::io::Take<File>>,
    before: Vec<u8>,
}

impl PartReader {
    /// Opens the one at `path`, up to `len` bytes or to its end.
    pub(crate) fn open(path: &Path, len: Option<u64>) -> Result<Self, LedgerError> {
        let file = paths::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            from: BufReader::with_capacity(BUFFER, file.take(len.unwrap_or(u64::MAX))),
            before: Vec::new(),
        })
    }

    /// The next record.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, LedgerError> {
        let mut head = Vec::with_capacity(4);
        let fail = |e| PathError::new("read", &self.path, e);
        (&mut self.from).take(4).read_to_end(&mut head).map_err(fail)?;
        if head.is_empty() {
            return Ok(None);
        }
        let len = <[u8; 4]>::try_from(head.as_slice())
            .map(u32::from_le_bytes)
            .map_err(|_| LedgerError::damaged(&self.path, "it ends early"))?;
        let mut bytes = vec![0; len as usize];
        self.from.read_exact(&mut bytes).map_err(|e| PathError::new("read", &self.path, e))?;
        codec::decode(&bytes, &mut self.before)
            .map(Some)
            .ok_or_else(|| LedgerError::damaged(&self.path, "a record makes no sense"))
    }
}
