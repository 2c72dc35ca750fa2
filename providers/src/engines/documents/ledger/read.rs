//! Reading a ledger: the whole file is checked first, then streamed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StepError};
use xxhash_rust::xxh3::Xxh3;

use super::write::{HEADER, MAGIC, PREFIX, VERSION};
use super::{About, Record, damaged, decode};

/// Read in pieces of this size.
const BUFFER: usize = 256 * 1024;
/// The shortest that a ledger can be: header, end of records, the length of what it says of itself, checksum.
const SHORTEST: u64 = (HEADER + 4 + 4 + 16) as u64;

/// What a ledger says of the whole.
pub(crate) fn about(artifacts: &Path, name: &ArtifactName) -> Result<About, StepError> {
    Ok(Reader::open(artifacts, name)?.about)
}

/// A checked ledger, read record by record.
pub(crate) struct Reader {
    path: PathBuf,
    from: BufReader<File>,
    before: Vec<u8>,
    scratch: Vec<u8>,
    left: u64,
    about: About,
}

impl Reader {
    pub(crate) fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, StepError> {
        let path = artifacts.join(&name.0);
        let mut file = paths::open(&path)?;
        let len = file.metadata().map_err(|e| PathError::new("read", &path, e))?.len();
        if len < SHORTEST {
            return Err(damaged(&path, &format!("it is only {len} bytes long")));
        }
        let mut header = [0; HEADER];
        read_at(&mut file, &path, 0, &mut header)?;
        if header.get(..8) != Some(MAGIC.as_slice()) {
            return Err(damaged(&path, "it is no ledger of documents"));
        }
        let found = header.get(8..).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        if found != VERSION {
            return Err(StepError::permanent(format!(
                "ledger {} has layout {found}, and this version reads {VERSION}",
                path.display()
            ))
            .remedy("run the version of segue that wrote it, or a later one"));
        }
        let checksum = checksum(&mut file, &path, len - 16)?;
        if name.0 != format!("{PREFIX}{checksum:032x}") {
            return Err(damaged(&path, "its content belongs to another name"));
        }
        let about = read_about(&mut file, &path, len)?;
        read_at(&mut file, &path, 0, &mut header)?;
        Ok(Self {
            path,
            from: BufReader::with_capacity(BUFFER, file),
            before: Vec::new(),
            scratch: Vec::new(),
            left: about.records,
            about,
        })
    }

    /// The next record, in the order of keys; `None` after the last.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, StepError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.fill(&mut len)?;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.resize(u32::from_le_bytes(len) as usize, 0);
        self.fill(&mut bytes)?;
        let record = decode(&bytes, &mut self.before);
        self.scratch = bytes;
        self.left -= 1;
        record.map(Some).ok_or_else(|| damaged(&self.path, "a record makes no sense"))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StepError> {
        Ok(self.from.read_exact(bytes).map_err(|e| PathError::new("read", &self.path, e))?)
    }
}

fn read_about(file: &mut File, path: &Path, len: u64) -> Result<About, StepError> {
    let mut size = [0; 4];
    read_at(file, path, len - 20, &mut size)?;
    let size = u64::from(u32::from_le_bytes(size));
    let Some(at) = (len - 20).checked_sub(size).filter(|at| *at >= HEADER as u64 + 4) else {
        return Err(damaged(path, "it ends early"));
    };
    let mut text = vec![0; size as usize];
    read_at(file, path, at, &mut text)?;
    serde_json::from_slice(&text).map_err(|e| damaged(path, &format!("its end makes no sense: {e}")))
}

fn read_at(file: &mut File, path: &Path, at: u64, into: &mut [u8]) -> Result<(), StepError> {
    Ok(file
        .seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(into))
        .map_err(|e| PathError::new("read", path, e))?)
}

/// The checksum of the first `len` bytes.
fn checksum(file: &mut File, path: &Path, len: u64) -> Result<u128, StepError> {
    file.seek(SeekFrom::Start(0)).map_err(|e| PathError::new("read", path, e))?;
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
