//! The log of renames done at the written side since a ledger, and that ledger with the log applied. Directories that
//! were made for what is renamed into them are in it, too: the other side may have renamed them on, or put a file in their
//! place, before the pass walks again.
//!
//! Like the notes of a pass, it belongs to the ledger that the pass began from, and is there until a pass begins from
//! another. It outlives the process, not a power cut: after one, what was renamed is found by its content.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StepError, UnitJob};

use crate::engines::beside::{named, remove_others, side_file};
use crate::engines::files::clock;
use crate::engines::files::tree::{Look, Tree};
use crate::engines::files::work::Work;
use crate::ledger::{Kind, LedgerReader, LedgerWriter, Print, Record, compare_paths, is_below};

/// One rename, or a directory that was made.
struct Move {
    /// Empty (no root is renamed): it was made.
    from: Vec<u8>,
    to: Vec<u8>,
    /// The inode that was renamed, at the written side.
    ino: u64,
    /// Where it ends in the file.
    end: u64,
}

/// See the module.
pub(crate) struct MoveLog {
    path: PathBuf,
    file: Option<File>,
    moves: Vec<Move>,
}

impl MoveLog {
    /// Opens the log of passes from a job's ledger, as far as what it says was done, and removes those from others.
    pub(crate) fn open(job: &UnitJob, work: &Work<'_>) -> Result<Self, StepError> {
        let base = side_file(work.io.artifacts(), "moves", job);
        let path = named(&base, job.ledger.as_ref());
        remove_others(&base, &path)?;
        let bytes = match paths::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        let mut log = Self { path, file: None, moves: Vec::new() };
        let mut rest = bytes.as_slice();
        while let Some((mut step, left)) = parse(rest) {
            rest = left;
            step.end = (bytes.len() - rest.len()) as u64;
            log.moves.push(step);
        }
        // Each is done before the next is written: only the last may not be.
        let last = log.moves.last();
        if last.is_some_and(|last| !is_done(&work.to, last)) {
            log.moves.pop();
        }
        if !bytes.is_empty() {
            log.cut()?;
        }
        Ok(log)
    }

    /// Appends a rename that is about to be done.
    pub(super) fn append(&mut self, from: &[u8], to: &[u8], ino: u64) -> Result<(), StepError> {
        let mut bytes = Vec::with_capacity(from.len() + to.len() + 16);
        for part in [from, to] {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&ino.to_le_bytes());
        let end = self.moves.last().map_or(0, |last| last.end) + bytes.len() as u64;
        let write = self.file()?.write_all(&bytes);
        write.map_err(|e| PathError::new("write", &self.path, e))?;
        self.moves.push(Move { from: from.to_vec(), to: to.to_vec(), ino, end });
        Ok(())
    }

    /// Appends a directory that was made.
    pub(super) fn append_made(&mut self, path: &[u8], ino: u64) -> Result<(), StepError> {
        self.append(&[], path, ino)
    }

    /// The last one could not be done.
    pub(super) fn take_back(&mut self) -> Result<(), StepError> {
        self.moves.pop();
        self.cut()
    }

    fn file(&mut self) -> Result<&mut File, StepError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                paths::open_with(&self.path, options.append(true).create(true).mode(0o600))?
            }
        };
        Ok(self.file.insert(file))
    }

    fn cut(&mut self) -> Result<(), StepError> {
        let end = self.moves.last().map_or(0, |last| last.end);
        let cut = self.file()?.set_len(end);
        Ok(cut.map_err(|e| PathError::new("write", &self.path, e))?)
    }

    /// The ledger with the log applied: what it says of the written side is so again. `None`: the log is empty.
    pub(crate) fn apply(
        &self,
        work: &Work<'_>,
        ledger: &ArtifactName,
    ) -> Result<Option<ArtifactName>, StepError> {
        if self.moves.is_empty() {
            return Ok(None);
        }
        let artifacts = work.io.artifacts();
        let mut moved = self.moved(work, ledger)?.into_iter().peekable();
        let mut from = LedgerReader::open(artifacts, ledger)?;
        let mut writer = LedgerWriter::create(artifacts, from.about().pass)?;
        let ends = self.ends();
        while let Some(record) = from.next_record()? {
            if is_concerned(&ends, &record.path) {
                continue;
            }
            while let Some(next) = moved.next_if(|next| compare_paths(&next.path, &record.path).is_lt()) {
                writer.push(&next)?;
            }
            writer.push(&record)?;
        }
        for record in moved {
            writer.push(&record)?;
        }
        Ok(Some(writer.finish()?))
    }

    /// All paths that a rename led from or to.
    fn ends(&self) -> HashSet<&[u8]> {
        let ends = self.moves.iter().flat_map(|step| [step.from.as_slice(), step.to.as_slice()]);
        ends.filter(|path| !path.is_empty()).collect()
    }

    /// The records that the log concerns, with their paths of now, in path order.
    fn moved(&self, work: &Work<'_>, ledger: &ArtifactName) -> Result<Vec<Record>, StepError> {
        let mut from = LedgerReader::open(work.io.artifacts(), ledger)?;
        let ends = self.ends();
        let mut moved = Vec::new();
        while let Some(mut record) = from.next_record()? {
            if !is_concerned(&ends, &record.path) {
                continue;
            }
            let Some((path, itself)) = follow(&self.moves, &record.path) else { continue };
            if path != record.path {
                record.path = path;
                record.changed_in = work.pass;
            }
            if itself {
                refresh(work, &mut record)?;
            }
            moved.push(record);
        }
        self.add_made(work, &mut moved)?;
        moved.sort_by(|a, b| compare_paths(&a.path, &b.path));
        Ok(moved)
    }

    /// The directories that were made and are still there.
    fn add_made(&self, work: &Work<'_>, moved: &mut Vec<Record>) -> Result<(), StepError> {
        for (at, step) in self.moves.iter().enumerate().filter(|(_, step)| step.from.is_empty()) {
            let later = self.moves.get(at + 1..).unwrap_or_default();
            let Some((path, _)) = follow(later, &step.to) else { continue };
            let look = work.to.look(&path).map_err(|e| work.to.failed("look at", &path, e))?;
            if let Some(look) = look.filter(|look| look.kind == Kind::Dir && look.ino == step.ino) {
                moved.push(made_record(work, path, &look));
            }
        }
        Ok(())
    }
}

/// Where renames lead a path, and whether it was itself renamed; `None`: something was renamed over it.
fn follow(moves: &[Move], path: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut at = path.to_vec();
    let mut itself = false;
    for step in moves.iter().filter(|step| !step.from.is_empty()) {
        if at == step.from {
            at.clone_from(&step.to);
            itself = true;
        } else if is_below(&at, &step.from) {
            let rest = at.split_off(step.from.len());
            at = [step.to.as_slice(), &rest].concat();
        } else if at == step.to || is_below(&at, &step.to) {
            return None;
        }
    }
    Some((at, itself))
}

/// A directory that Segue made at the written side, and has not finished.
fn made_record(work: &Work<'_>, path: Vec<u8>, look: &Look) -> Record {
    let mut record = Record {
        mode: look.mode,
        uid: look.uid,
        gid: look.gid,
        mtime: look.mtime,
        changed_in: work.pass,
        ..Record::bare(path, Kind::Dir)
    };
    record.set_print(work.write(), look.print_written(clock::now()));
    record
}

/// Whether a path, or a directory above it, is in the set.
fn is_concerned(ends: &HashSet<&[u8]>, path: &[u8]) -> bool {
    let above =
        path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(at, _)| path.get(..at));
    above.chain([path]).any(|path| ends.contains(path))
}

/// A rename moves the change time, which is part of the print; nobody else's change may hide behind that.
fn refresh(work: &Work<'_>, record: &mut Record) -> Result<(), StepError> {
    let look = work.to.look(&record.path).map_err(|e| work.to.failed("look at", &record.path, e))?;
    let was = *record.print(work.write());
    if let Some(look) = look
        && look.ino == was.ino
        && (record.kind == Kind::Dir || (look.size, look.mtime) == (was.size, was.mtime))
    {
        let hot = was.hot;
        record.set_print(work.write(), Print { hot, ..look.print_written(clock::now()) });
    }
    Ok(())
}

fn is_done(to: &Tree, step: &Move) -> bool {
    to.look(&step.to).is_ok_and(|look| look.is_some_and(|look| look.ino == step.ino))
}

fn parse(bytes: &[u8]) -> Option<(Move, &[u8])> {
    fn part(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some((part.to_vec(), rest))
    }
    let (from, rest) = part(bytes)?;
    let (to, rest) = part(rest)?;
    let (ino, rest) = rest.split_first_chunk::<8>()?;
    Some((Move { from, to, ino: u64::from_le_bytes(*ino), end: 0 }, rest))
}
