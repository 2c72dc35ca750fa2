//! What a pass is about to put under its final name, noted before it does. After a death the next run
//! finds here that a path which looks foreign is Segue's own doing, and no stale writer's.
//!
//! Notes belong to the ledger that the pass began from. They are not removed when the pass ends, for it counts only
//! when the journal names its new ledger: a death before that leaves the old ledger, and the notes that explain what
//! lies at the written side beyond it. The first pass from another ledger removes them.
//!
//! The notes outlive the process, not a power cut: after one, what a dead pass wrote and its ledger does
//! not know is compared by content, and kept aside when that differs. Nothing is lost either way.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StepError};
use xxhash_rust::xxh3::xxh3_128;

use super::tree::Look;
use crate::engines::beside::{named, read, remove_others};
use crate::ledger::{Kind, Time};

/// Key hash, inode, size, seconds, nanoseconds.
const NOTE: usize = 16 + 8 + 8 + 8 + 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Note {
    ino: u64,
    size: u64,
    mtime: Time,
}

/// The notes of this run and of the dead ones before it.
#[derive(Debug)]
pub(crate) struct Inflight {
    path: PathBuf,
    file: Mutex<Option<File>>,
    known: HashMap<u128, Vec<Note>>,
    /// The same by what was put there: a file with several names is noted under one of them.
    files: HashSet<Note>,
}

impl Inflight {
    /// Opens the notes of passes from `ledger` (`None`: of a load) and removes those from earlier ledgers. All lie
    /// at `base` with the ledger's name behind it.
    pub(crate) fn open(base: &Path, ledger: Option<&ArtifactName>) -> Result<Self, StepError> {
        remove_others(base, &named(base, ledger))?;
        let (notes, bytes) = Self::looked_at(base, ledger)?;
        // A torn last note is one whose write had not returned: nothing was done under it.
        let whole = bytes / NOTE * NOTE;
        if whole < bytes {
            let file = paths::open_with(&notes.path, OpenOptions::new().write(true))?;
            file.set_len(whole as u64).map_err(|e| PathError::new("write", &notes.path, e))?;
        }
        Ok(notes)
    }

    /// The same for those who only look, beside a run perhaps; and how many bytes there are.
    pub(crate) fn looked_at(base: &Path, ledger: Option<&ArtifactName>) -> Result<(Self, usize), StepError> {
        let path = named(base, ledger);
        let (mut known, mut files) = (HashMap::<u128, Vec<Note>>::new(), HashSet::new());
        let bytes = read(&path)?.unwrap_or_default();
        for note in bytes.chunks_exact(NOTE) {
            if let Some((key, note)) = parse(note) {
                known.entry(key).or_default().push(note);
                files.insert(note);
            }
        }
        Ok((Self { path, file: Mutex::new(None), known, files }, bytes.len()))
    }

    /// The notes of all earlier runs, from whichever ledger, for those who only look.
    pub(crate) fn of_all(base: &Path) -> Result<Self, StepError> {
        let mut all = Self {
            path: base.to_owned(),
            file: Mutex::new(None),
            known: HashMap::new(),
            files: HashSet::new(),
        };
        let (Some(dir), Some(prefix)) = (base.parent(), base.file_name()) else { return Ok(all) };
        let listed = match std::fs::read_dir(dir) {
            Ok(listed) => listed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(all),
            Err(e) => return Err(PathError::new("list", dir, e).into()),
        };
        for entry in listed {
            let path = entry.map_err(|e| PathError::new("list", dir, e))?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if !name.starts_with(prefix.as_encoded_bytes()) {
                continue;
            }
            // It may have been removed by a run meanwhile.
            for note in read(&path)?.unwrap_or_default().chunks_exact(NOTE) {
                if let Some((key, note)) = parse(note) {
                    all.known.entry(key).or_default().push(note);
                }
            }
        }
        Ok(all)
    }

    /// Whether an earlier run died in the middle.
    pub(crate) fn is_resumed(&self) -> bool {
        !self.known.is_empty()
    }

    /// Notes that `path` is about to be what `look` says; `None`: to be removed.
    pub(crate) fn note(&self, path: &[u8], look: Option<&Look>) -> Result<(), StepError> {
        let note = look.map_or(Note { ino: 0, size: 0, mtime: Time::default() }, |look| Note {
            ino: look.ino,
            size: look.size,
            mtime: look.mtime,
        });
        let mut bytes = Vec::with_capacity(NOTE);
        bytes.extend_from_slice(&xxh3_128(path).to_le_bytes());
        bytes.extend_from_slice(&note.ino.to_le_bytes());
        bytes.extend_from_slice(&note.size.to_le_bytes());
        bytes.extend_from_slice(&note.mtime.s.to_le_bytes());
        bytes.extend_from_slice(&note.mtime.ns.to_le_bytes());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            let mut options = OpenOptions::new();
            *file = Some(paths::open_with(&self.path, options.append(true).create(true).mode(0o600))?);
        }
        match file.as_mut().map(|file| file.write_all(&bytes)) {
            Some(Err(e)) => Err(PathError::new("write", &self.path, e).into()),
            _ => Ok(()),
        }
    }

    /// Whether an earlier run left `path` like this; `None`: without anything.
    pub(crate) fn knows(&self, path: &[u8], look: Option<&Look>) -> bool {
        if self.known.is_empty() {
            return false;
        }
        // What was done to a file was done to all its names.
        if let Some(look) = look.filter(|look| look.kind != Kind::Dir && look.nlink > 1)
            && self.files.contains(&Note { ino: look.ino, size: look.size, mtime: look.mtime })
        {
            return true;
        }
        let notes = self.known.get(&xxh3_128(path)).map_or(&[][..], Vec::as_slice);
        notes.iter().any(|note| match look {
            // What is put into a directory moves its times.
            Some(look) if look.kind == Kind::Dir => note.ino == look.ino,
            Some(look) => (note.ino, note.size, note.mtime) == (look.ino, look.size, look.mtime),
            None => true,
        })
    }

    /// Whether an earlier run made what is at `path` now, whatever it put in since. A run that died between the note and
    /// the file noted no inode: then only what is empty, or no file, can be its own.
    pub(crate) fn made(&self, path: &[u8], look: &Look) -> bool {
        if self.known.is_empty() || look.kind == Kind::Dir {
            return false;
        }
        let notes = self.known.get(&xxh3_128(path)).map_or(&[][..], Vec::as_slice);
        let is_bare = look.kind != Kind::File || look.size == 0;
        notes.iter().any(|note| note.ino == look.ino || (note.ino == 0 && is_bare))
    }

    /// Forgets everything: the ledger, which stays the same, knows it.
    pub(crate) fn clear(&self) -> Result<(), StepError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(PathError::new("remove", &self.path, e).into())
            }
            _ => Ok(()),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(u128, Note)> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (ino, rest) = rest.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (s, rest) = rest.split_first_chunk()?;
    let (ns, _) = rest.split_first_chunk()?;
    let mtime = Time { s: i64::from_le_bytes(*s), ns: u32::from_le_bytes(*ns) };
    let note = Note { ino: u64::from_le_bytes(*ino), size: u64::from_le_bytes(*size), mtime };
    Some((u128::from_le_bytes(*key), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ino: u64, size: u64) -> Look {
        let never = Time::default();
        Look {
            kind: Kind::File,
            mode: 0o600,
            uid: 0,
            gid: 0,
            size,
            mtime: never,
            atime: never,
            ctime: never,
            ino,
            dev: 1,
            nlink: 1,
            rdev: 0,
            blocks: 0,
        }
    }

    #[test]
    fn only_what_a_note_names_and_describes_was_made_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("inflight");
        let all = || Inflight::of_all(&base).unwrap();
        // Without a note, or once it is lost, it is somebody else's.
        assert!(!all().made(b"d/.segue-tmp-1", &file(7, 0)));
        let run = Inflight::open(&base, None).unwrap();
        run.note(b"d/.segue-tmp-1", None).unwrap();
        // The run may have died before the file was there: one with content cannot be its own.
        assert!(all().made(b"d/.segue-tmp-1", &file(7, 0)));
        assert!(!all().made(b"d/.segue-tmp-1", &file(7, 5)));
        run.note(b"d/.segue-tmp-1", Some(&file(7, 0))).unwrap();
        assert!(all().made(b"d/.segue-tmp-1", &file(7, 5)), "it was written to since");
        assert!(!all().made(b"d/.segue-tmp-1", &file(8, 5)), "another file");
        assert!(!all().made(b"e/.segue-tmp-1", &file(7, 5)), "another place");
    }
}
