//! A sealed file, what every kind of ledger is on disk: a header, records behind their lengths, an end, a checksum. Written
//! beside its place, synced, and only then under the name that holds the checksum; read only after the whole was checked.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use segue_contract::ArtifactName;
use segue_contract::paths::{self, PathError};
use xxhash_rust::xxh3::Xxh3;

use super::LedgerError;

/// What finished files are called, and then their checksum.
pub(super) const PREFIX: &str = "ledger-";
/// What files are called while they are written.
pub(super) const UNFINISHED: &str = ".ledger-";
/// Written and read in pieces of this size.
const BUFFER: usize = 256 * 1024;
/// The bytes of the checksum, XXH3-128, at the very end.
const CHECKSUM: usize = 16;
/// The bytes of a record's length; one of zero ends the records: none is that short.
const LENGTH: usize = 4;

/// Makes unfinished names of one process differ.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What a kind of sealed file begins with.
pub(crate) struct Layout {
    /// Its first bytes.
    pub(crate) magic: &'static [u8; 8],
    /// The layout that this version writes.
    pub(crate) version: u32,
    /// The oldest that it reads.
    pub(crate) oldest: u32,
    /// Bytes of the header behind the two.
    pub(crate) header: usize,
    /// Bytes of the shortest end.
    pub(crate) end: usize,
}

impl Layout {
    fn header_len(&self) -> usize {
        self.magic.len() + 4 + self.header
    }

    fn shortest(&self) -> u64 {
        (self.header_len() + LENGTH + self.end + CHECKSUM) as u64
    }
}

/// A file being written; dropped unfinished it removes what it wrote.
pub(crate) struct SealedWriter {
    dir: PathBuf,
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    /// Bytes that were written out of the buffer.
    flushed: u64,
    digest: Xxh3,
}

impl SealedWriter {
    /// Begins one in the directory `artifacts`.
    pub(crate) fn create(artifacts: &Path, layout: &Layout, header: &[u8]) -> Result<Self, LedgerError> {
        paths::create_dir_all(artifacts)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = artifacts.join(format!("{UNFINISHED}{}-{number}.new", std::process::id()));
        let file = paths::create_private(&path)?;
        let mut buffer = Vec::with_capacity(BUFFER + 4096);
        buffer.extend_from_slice(layout.magic);
        buffer.extend_from_slice(&layout.version.to_le_bytes());
        buffer.extend_from_slice(header);
        let dir = artifacts.to_owned();
        Ok(Self { dir, path, file: Some(file), buffer, flushed: 0, digest: Xxh3::new() })
    }

    /// Appends a record.
    pub(crate) fn record(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        self.buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LedgerError> {
        self.digest.update(&self.buffer);
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer).map_err(|e| PathError::new("write", &self.path, e))?;
        }
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Where the next record will begin.
    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// The same file without name and checksum, to be read by the process that wrote it and by nobody else: it goes with the
    /// process.
    pub(crate) fn into_reader(mut self, layout: &Layout) -> Result<SealedReader, LedgerError> {
        self.flush()?;
        let file = paths::open(&self.path)?;
        let len = file.metadata().map_err(|e| PathError::new("read", &self.path, e))?.len();
        // Its name goes when `self` is dropped.
        SealedReader::of(self.path.clone(), file, len, layout)
    }

    /// Writes the end and gives the file its name; it is on the disk then, and so is the name.
    pub(crate) fn finish(mut self, end: &[u8]) -> Result<ArtifactName, LedgerError> {
        self.buffer.extend_from_slice(&[0; LENGTH]);
        self.buffer.extend_from_slice(end);
        self.flush()?;
        let checksum = self.digest.digest128();
        let name = name_of(checksum);
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

impl Drop for SealedWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Best effort: `collect` removes it otherwise.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A checked file, read record by record.
#[derive(Debug)]
pub(crate) struct SealedReader {
    path: PathBuf,
    from: BufReader<File>,
    /// Bytes without the checksum.
    len: u64,
    /// Where the first record begins.
    first: u64,
    /// The header behind magic and layout.
    pub(crate) header: Vec<u8>,
    scratch: Vec<u8>,
}

/// Which file it is, and that nobody has written to it since: device, inode, bytes, times of the last changes.
type Identity = (u64, u64, u64, [i64; 4]);

/// The files that this process has checked last, and found whole.
static CHECKED: Mutex<VecDeque<(PathBuf, Identity)>> = Mutex::new(VecDeque::new());
/// How many of them are known.
const CHECKED_MAX: usize = 64;

fn identity(of: &Metadata) -> Identity {
    (of.dev(), of.ino(), of.len(), [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

impl SealedReader {
    /// Opens and checks the file `name` in the directory `artifacts`; it stands before its first record then.
    pub(crate) fn open(artifacts: &Path, name: &ArtifactName, layout: &Layout) -> Result<Self, LedgerError> {
        let path = artifacts.join(&name.0);
        let (file, found) = stat(&path)?;
        Self::check(path, file, found.len(), name, layout)
    }

    /// The same; what this process has checked already, and nobody has touched since, is not read again for it.
    pub(crate) fn open_again(
        artifacts: &Path,
        name: &ArtifactName,
        layout: &Layout,
    ) -> Result<Self, LedgerError> {
        let path = artifacts.join(&name.0);
        let (file, found) = stat(&path)?;
        let this = (path.clone(), identity(&found));
        let checked = || CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        if checked().contains(&this) {
            return Self::of(path, file, found.len() - CHECKSUM as u64, layout);
        }
        let reader = Self::check(path, file, found.len(), name, layout)?;
        let mut checked = checked();
        checked.truncate(CHECKED_MAX - 1);
        checked.push_front(this);
        Ok(reader)
    }

    fn check(
        path: PathBuf,
        mut file: File,
        whole: u64,
        name: &ArtifactName,
        layout: &Layout,
    ) -> Result<Self, LedgerError> {
        if whole < layout.shortest() {
            return Err(LedgerError::damaged(&path, format!("it is only {whole} bytes long")));
        }
        let len = whole - CHECKSUM as u64;
        let checksum = checksum(&mut file, &path, len)?;
        let mut stored = [0; CHECKSUM];
        read_at(&mut file, &path, len, &mut stored)?;
        if u128::from_le_bytes(stored) != checksum {
            return Err(LedgerError::damaged(&path, "its checksum does not match its content"));
        }
        if *name != name_of(checksum) {
            return Err(LedgerError::damaged(&path, "its content belongs to another name"));
        }
        Self::of(path, file, len, layout)
    }

    /// One that is known to be whole; it stands before its first record then.
    fn of(path: PathBuf, mut file: File, len: u64, layout: &Layout) -> Result<Self, LedgerError> {
        let mut header = vec![0; layout.header_len()];
        read_at(&mut file, &path, 0, &mut header)?;
        let mut fields = header.split_off(layout.magic.len());
        if header != layout.magic {
            return Err(LedgerError::damaged(&path, "it is a file of another kind"));
        }
        let header = fields.split_off(4);
        let found = fields.try_into().map_or(0, u32::from_le_bytes);
        if !(layout.oldest..=layout.version).contains(&found) {
            return Err(LedgerError::Version { path, found, known: layout.version });
        }
        let from = BufReader::with_capacity(BUFFER, file);
        Ok(Self { path, from, len, first: layout.header_len() as u64, header, scratch: Vec::new() })
    }

    /// The same file once more, to be read by itself; what was checked is not checked again.
    pub(crate) fn again(&self, layout: &Layout) -> Result<Self, LedgerError> {
        Self::of(self.path.clone(), paths::open(&self.path)?, self.len, layout)
    }

    /// Goes to a record that begins there ([`SealedWriter::position`]).
    pub(crate) fn seek_to(&mut self, at: u64) -> Result<(), LedgerError> {
        // What is in the buffer already is not read again.
        let here = self.from.stream_position();
        here.and_then(|here| self.from.seek_relative(at.cast_signed() - here.cast_signed()))
            .map_err(|e| PathError::new("read", &self.path, e).into())
    }

    /// Goes back to before its first record.
    pub(crate) fn rewind(&mut self) -> Result<(), LedgerError> {
        let first = SeekFrom::Start(self.first);
        self.from.seek(first).map(drop).map_err(|e| PathError::new("read", &self.path, e).into())
    }

    /// The last `size` bytes before the checksum, or those before the last `skip` of them.
    pub(crate) fn end(&mut self, size: usize, skip: usize) -> Result<Vec<u8>, LedgerError> {
        let at = self.len.checked_sub((size + skip) as u64).filter(|at| *at >= self.header.len() as u64);
        let at = at.ok_or_else(|| self.damaged("it ends early"))?;
        let file = self.from.get_mut();
        let stood = file.stream_position().map_err(|e| PathError::new("read", &self.path, e))?;
        let mut bytes = vec![0; size];
        read_at(file, &self.path, at, &mut bytes)?;
        file.seek(SeekFrom::Start(stood)).map_err(|e| PathError::new("read", &self.path, e))?;
        Ok(bytes)
    }

    /// The bytes of the next record; none after the last one.
    pub(crate) fn next_bytes(&mut self) -> Result<&[u8], LedgerError> {
        let mut len = [0; LENGTH];
        self.from.read_exact(&mut len).map_err(|e| PathError::new("read", &self.path, e))?;
        self.scratch.resize(u32::from_le_bytes(len) as usize, 0);
        self.from.read_exact(&mut self.scratch).map_err(|e| PathError::new("read", &self.path, e))?;
        Ok(&self.scratch)
    }

    /// That the file is not what it should be.
    pub(crate) fn damaged(&self, why: impl Into<String>) -> LedgerError {
        LedgerError::damaged(&self.path, why)
    }
}

fn stat(path: &Path) -> Result<(File, Metadata), LedgerError> {
    let file = paths::open(path)?;
    let found = file.metadata().map_err(|e| PathError::new("read", path, e))?;
    Ok((file, found))
}

/// The name of the file with this checksum.
pub(crate) fn name_of(checksum: u128) -> ArtifactName {
    ArtifactName(format!("{PREFIX}{checksum:032x}"))
}

/// The checksum in a name.
pub(crate) fn checksum_in(name: &ArtifactName) -> Option<u128> {
    u128::from_str_radix(name.0.strip_prefix(PREFIX)?, 16).ok()
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
