//! What a pass finds out of documents, in any order, brought into the order of keys: kept in memory as far as that goes,
//! sorted into files beyond it, and merged at the end. Of several entries of one key the last counts.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use segue_contract::StepError;
use segue_contract::paths::{self, PathError};

use super::ledger::{Record, decode, encode};

/// Entries in memory at most: about 200 bytes each.
const HELD: usize = 200_000;
const BUFFER: usize = 256 * 1024;

/// What became of a document: what the ledger is to say of it, or that there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) gone: bool,
}

/// Takes entries in.
pub(crate) struct Runs {
    dir: PathBuf,
    held: Vec<Entry>,
    files: Vec<Run>,
    held_max: usize,
}

/// One sorted file, which has no name any more: it goes with the process.
struct Run(File);

impl Runs {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), held: Vec::new(), files: Vec::new(), held_max: HELD }
    }

    pub(crate) fn push(&mut self, entry: Entry) -> Result<(), StepError> {
        self.held.push(entry);
        if self.held.len() >= self.held_max { self.spill() } else { Ok(()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.files.is_empty()
    }

    /// Sorts what is held; of each key the last stays.
    fn sorted(&mut self) -> Vec<Entry> {
        let mut held = std::mem::take(&mut self.held);
        // A stable sort: of equal keys the later one stays behind the earlier.
        held.sort_by(|a, b| a.record.key.cmp(&b.record.key));
        let mut out: Vec<Entry> = Vec::with_capacity(held.len());
        for entry in held {
            match out.last_mut() {
                Some(last) if last.record.key == entry.record.key => *last = entry,
                _ => out.push(entry),
            }
        }
        out
    }

    fn spill(&mut self) -> Result<(), StepError> {
        let sorted = self.sorted();
        let path = self.dir.join(format!(".run-{}-{}", std::process::id(), self.files.len()));
        let mut options = OpenOptions::new();
        let mut file = paths::open_with(&path, options.read(true).write(true).create_new(true).mode(0o600))?;
        let gone = std::fs::remove_file(&path);
        gone.map_err(|e| PathError::new("remove", &path, e))?;
        let mut bytes = Vec::with_capacity(BUFFER + 4096);
        let (mut before, mut scratch) = (Vec::new(), Vec::new());
        let wrong = |e| PathError::new("write", &path, e);
        for entry in &sorted {
            scratch.clear();
            scratch.push(u8::from(entry.gone));
            encode(&entry.record, &mut before, &mut scratch);
            bytes.extend_from_slice(&(scratch.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&scratch);
            if bytes.len() >= BUFFER {
                file.write_all(&bytes).map_err(wrong)?;
                bytes.clear();
            }
        }
        bytes.extend_from_slice(&0u32.to_le_bytes());
        file.write_all(&bytes).map_err(wrong)?;
        file.seek(SeekFrom::Start(0)).map_err(wrong)?;
        self.files.push(Run(file));
        Ok(())
    }

    /// All entries in the order of keys, each key once.
    pub(crate) fn finish(mut self) -> Result<Merged, StepError> {
        let last = self.sorted();
        let mut sources: Vec<Source> = Vec::new();
        for Run(file) in self.files {
            sources.push(Source::File {
                from: BufReader::with_capacity(BUFFER, file),
                before: Vec::new(),
                dir: self.dir.clone(),
            });
        }
        sources.push(Source::Memory(last.into_iter()));
        let mut merged = Merged { sources, heads: BinaryHeap::new() };
        for at in 0..merged.sources.len() {
            merged.pull(at)?;
        }
        Ok(merged)
    }
}

enum Source {
    File { from: BufReader<File>, before: Vec<u8>, dir: PathBuf },
    Memory(std::vec::IntoIter<Entry>),
}

impl Source {
    fn next(&mut self) -> Result<Option<Entry>, StepError> {
        let (from, before, dir) = match self {
            Self::Memory(list) => return Ok(list.next()),
            Self::File { from, before, dir } => (from, before, dir),
        };
        let wrong = |e| PathError::new("read", &*dir, e);
        let mut len = [0; 4];
        from.read_exact(&mut len).map_err(wrong)?;
        let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
        if bytes.is_empty() {
            return Ok(None);
        }
        from.read_exact(&mut bytes).map_err(wrong)?;
        let entry = bytes
            .split_first()
            .and_then(|(gone, rest)| Some(Entry { record: decode(rest, before)?, gone: *gone != 0 }));
        let broken = || StepError::permanent(format!("a sorted file in {} makes no sense", dir.display()));
        entry.map(Some).ok_or_else(broken)
    }
}

struct Head {
    entry: Entry,
    at: usize,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    /// By key; of one key the earlier run comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.entry.record.key, self.at).cmp(&(&other.entry.record.key, other.at))
    }
}

/// Gives entries out; see [`Runs::finish`].
pub(crate) struct Merged {
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merged {
    fn pull(&mut self, at: usize) -> Result<(), StepError> {
        if let Some(source) = self.sources.get_mut(at)
            && let Some(entry) = source.next()?
        {
            self.heads.push(Reverse(Head { entry, at }));
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>, StepError> {
        let Some(Reverse(mut head)) = self.heads.pop() else { return Ok(None) };
        self.pull(head.at)?;
        while self.heads.peek().is_some_and(|next| next.0.entry.record.key == head.entry.record.key) {
            let Some(Reverse(later)) = self.heads.pop() else { break };
            self.pull(later.at)?;
            head = later;
        }
        Ok(Some(head.entry))
    }
}

#[cfg(test)]
mod tests {
    use super::super::collection::Key;
    use super::super::ledger::Mark;
    use super::*;

    fn entry(id: &str, version: u64) -> Entry {
        let key = Key { id: id.to_owned(), place: None };
        let mark = Mark { version, number: 0 };
        Entry {
            record: Record { key, hash: 1, source: mark, target: Mark::default(), aside: false, pass: 1 },
            gone: version == 0,
        }
    }

    #[test]
    fn what_comes_in_any_order_goes_out_in_order_and_of_each_key_the_last() {
        for held_max in [2, 3, 7, 1000] {
            let dir = tempfile::tempdir().expect("tempdir");
            let mut runs = Runs { held_max, ..Runs::new(dir.path()) };
            for version in 1..=40u64 {
                runs.push(entry(&format!("key{:02}", version * 7 % 10), version)).expect("taken in");
            }
            runs.push(entry("key03", 0)).expect("taken in");
            let mut merged = runs.finish().expect("merged");
            let mut out = Vec::new();
            while let Some(entry) = merged.next().expect("read") {
                out.push((entry.record.key.id, entry.record.source.version, entry.gone));
            }
            let wanted: Vec<_> = (0..10u64)
                .map(|n| {
                    let last = (1..=40).rev().find(|v| v * 7 % 10 == n).unwrap_or(0);
                    if n == 3 { ("key03".to_owned(), 0, true) } else { (format!("key{n:02}"), last, false) }
                })
                .collect();
            assert_eq!(out, wanted, "{held_max} held");
            assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "no file stays");
        }
    }
}
