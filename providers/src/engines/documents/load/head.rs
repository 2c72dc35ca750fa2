//! What a load that dies leaves for the next run: the log of what it carried, and the head that says how far that is.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{Side, StepError};
use serde::{Deserialize, Serialize};

use crate::engines::beside;
use crate::engines::documents::collection::Stand;
use crate::engines::documents::ledger::{decode, encode};
use crate::engines::documents::runs::{Entry, Runs};
use crate::engines::documents::send::Sink;
use crate::engines::documents::versions::Versions;

/// Written to the file in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// How far a load is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where the side that is read stood when the load began: what came later is a pass's.
    pub(super) stand: Stand,
    pub(super) versions: Versions,
    /// The incarnation of the unit that is written.
    pub(super) written: String,
    /// How far each slice is carried.
    pub(super) lows: Vec<u64>,
    /// How much of the log is about that.
    pub(super) len: u64,
    /// Where the unit that is written stood, where clients write there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<Stand>,
}

impl Head {
    /// Reads one; `None`: there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, StepError> {
        let Some(bytes) = beside::read(path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            StepError::permanent(format!("{} makes no sense", path.display()))
                .because(e)
                .remedy("remove it: the load then begins again")
        })
    }

    /// Writes it, durably.
    pub(super) fn write(&self, path: &Path) -> Result<(), StepError> {
        let bytes = serde_json::to_vec(self).map_err(|e| StepError::permanent(e.to_string()))?;
        Ok(paths::replace(path, &bytes)?)
    }
}

/// What was carried, in the order in which it was.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    len: u64,
}

impl Log {
    /// Opens it, cut to what the head knows of.
    pub(super) fn open(path: &Path, len: u64) -> Result<Self, StepError> {
        let mut options = OpenOptions::new();
        let file = paths::open_with(path, options.append(true).create(true).read(true).mode(0o600))?;
        file.set_len(len).map_err(|e| PathError::new("write", path, e))?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::with_capacity(BUFFER + 4096), len })
    }

    fn flush(&mut self) -> Result<(), StepError> {
        self.file.write_all(&self.buffer).map_err(|e| PathError::new("write", &self.path, e))?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes it durable. Returns its length.
    pub(super) fn sync(&mut self) -> Result<u64, StepError> {
        self.flush()?;
        self.file.sync_data().map_err(|e| PathError::new("write", &self.path, e))?;
        Ok(self.len)
    }

    /// All of it, to be sorted; and the highest versions in it, of the side that was read and of the other.
    pub(super) fn entries(&mut self, dir: &Path, read: Side) -> Result<(Runs, (u64, u64)), StepError> {
        self.flush()?;
        let mut from = BufReader::with_capacity(BUFFER, paths::open(&self.path)?);
        let mut runs = Runs::new(dir);
        let wrong = |e| PathError::new("read", &self.path, e);
        let mut left = self.len;
        let mut highest = (0, 0);
        while left > 0 {
            let mut len = [0; 4];
            from.read_exact(&mut len).map_err(wrong)?;
            let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
            from.read_exact(&mut bytes).map_err(wrong)?;
            left = left.saturating_sub(4 + bytes.len() as u64);
            let entry = bytes
                .split_first()
                .and_then(|(gone, rest)| Some((*gone != 0, decode(rest, &mut Vec::new())?)));
            let (gone, record) = entry.ok_or_else(|| {
                StepError::permanent(format!("{} makes no sense", self.path.display()))
                    .remedy("remove it and the file beside it whose name begins with load-head: the load begins again")
            })?;
            highest.0 = record.mark(read).version.max(highest.0);
            highest.1 = record.mark(read.other()).version.max(highest.1);
            runs.push(Entry { record, gone })?;
        }
        Ok((runs, highest))
    }
}

impl Sink for Log {
    fn push(&mut self, entry: Entry) -> Result<(), StepError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.push(u8::from(entry.gone));
        // Each by itself: the log may be cut after any.
        encode(&entry.record, &mut Vec::new(), &mut self.buffer);
        let len = (self.buffer.len() - start - 4) as u32;
        if let Some(place) = self.buffer.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }
}
