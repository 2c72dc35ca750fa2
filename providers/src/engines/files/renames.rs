//! Renames: what vanished at one path and appeared at another with the same inode is renamed at the written side,
//! too, instead of being copied and deleted; a directory with all that is in it in one go.
//!
//! It happens before a pass carries anything. A walk holds back what it finds; the matches among that are renamed at
//! the written side; each is in a log before it is done; and the ledger with the log applied is what the pass is made
//! from, in a walk of its own. So a rename only moves things: what is to be believed of them, the pass decides as
//! always (a renamed file is read and hashed, for nothing else proves that its content is what it was). A pass that
//! died has its successor apply the same log first.
//!
//! Left to the pass, which copies: files with several names, cycles (one of their members), a directory that is not
//! in every entry as the ledger says, what a stale writer touched, and all of it when there is more than the window
//! holds, or so little that copying costs less than walking again.

mod log;
mod matching;

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, RenameFlags};
use rustix::io::Errno;
use segue_contract::StepError;

use super::apply::Change;
use super::put::{is_displaced, is_untouched};
use super::scan::Scan;
use super::tree::{Look, OpenDirs, name_of, split};
use super::work::Work;
use crate::ledger::{Kind, Record, compare_paths, is_below};
pub(crate) use log::MoveLog;
use matching::Edge;

/// Changes that a walk holds back, to match them: about 700 bytes each. A directory of half as many files.
pub(crate) const WINDOW: usize = 64 * 1024;
/// Walks that a pass may end with renames; then it copies. A rename in a renamed directory takes a second one.
pub(crate) const ROUNDS: usize = 4;
/// Tries to order chains of renames; what is left is copied.
const ORDERINGS: usize = 64;
/// What a walk costs for each path, and a copy for each file and byte, in nanoseconds: only their ratio matters.
const COST_NS: (u64, u64, u64) = (2_000, 50_000, 1);

/// Renames at the written side what was renamed at the other. `held` is in path order; `seen` is how many paths the
/// walk saw. Gives whether anything was renamed: then the walk is to be made again.
pub(crate) fn carry(
    work: &Work<'_>,
    log: &mut MoveLog,
    held: &[Change],
    seen: u64,
) -> Result<bool, StepError> {
    let edges = matching::find(work, held)?;
    let (walk, file, byte) = COST_NS;
    let files = edges.iter().filter(|edge| edge.record.kind != Kind::Dir).count() as u64;
    let bytes: u64 = edges.iter().map(|edge| edge.record.size).sum();
    if edges.is_empty() || files * file + bytes * byte < seen * walk {
        return Ok(false);
    }
    let mut mover = Mover { work, log, held, to: OpenDirs::new(&work.to), moved: false };
    let rest = mover.directories(edges)?;
    mover.files(rest)?;
    Ok(mover.moved)
}

struct Mover<'a> {
    work: &'a Work<'a>,
    log: &'a mut MoveLog,
    held: &'a [Change],
    to: OpenDirs<'a>,
    moved: bool,
}

impl Mover<'_> {
    /// Directories, the upper ones first. Gives the edges that are still to be done.
    fn directories<'e>(&mut self, edges: Vec<Edge<'e>>) -> Result<Vec<Edge<'e>>, StepError> {
        let (mut dirs, mut rest): (Vec<_>, Vec<_>) =
            edges.into_iter().partition(|edge| edge.record.kind == Kind::Dir);
        dirs.sort_by(|a, b| compare_paths(&a.record.path, &b.record.path));
        let mut gone: Option<Vec<u8>> = None;
        for edge in dirs {
            // What went along is looked at in the next walk.
            if gone.as_ref().is_some_and(|dir| is_below(&edge.record.path, dir)) {
                continue;
            }
            if self.directory(&edge)? {
                gone = Some(edge.record.path.clone());
                rest.retain(|other| !is_below(&other.record.path, &edge.record.path));
            }
        }
        Ok(rest)
    }

    fn directory(&mut self, edge: &Edge<'_>) -> Result<bool, StepError> {
        let Some((from, look)) = self.untouched(edge.record)? else { return Ok(false) };
        let Some(to) = self.parent(&edge.entry.path)? else { return Ok(false) };
        if self.at(&to, &edge.entry.path)?.is_some() || !self.is_whole(&edge.record.path)? {
            return Ok(false);
        }
        let done = self.rename(edge, &from, &to, &look, true)?;
        self.to.forget();
        Ok(done)
    }

    /// Whether a directory of the written side holds exactly what the ledger says, and nobody touched any of it.
    fn is_whole(&self, path: &[u8]) -> Result<bool, StepError> {
        let from = self.held.partition_point(|change| compare_paths(&change.path, path).is_le());
        let below = self.held.get(from..).unwrap_or_default().iter();
        let mut known: HashMap<&[u8], &Record> = below
            .take_while(|change| is_below(&change.path, path))
            .filter_map(|change| change.old.as_ref())
            .map(|record| (record.path.as_slice(), record))
            .collect();
        let Some(mut scan) = Scan::below(&self.work.to, path)? else { return Ok(false) };
        scan.next()?;
        while let Some(entry) = scan.next()? {
            let Some(record) = known.remove(entry.path.as_slice()) else { return Ok(false) };
            let print = record.print(self.work.write());
            if record.linked
                || !is_untouched(&entry.look, record, print)
                || (record.kind == Kind::Dir && entry.look.ino != print.ino)
            {
                return Ok(false);
            }
        }
        Ok(known.is_empty() && scan.aside.leftovers.is_empty() && scan.aside.sockets == 0)
    }

    /// Everything else: the end of a chain first.
    fn files(&mut self, mut edges: Vec<Edge<'_>>) -> Result<(), StepError> {
        for _ in 0..ORDERINGS {
            let taken: HashSet<&[u8]> = edges.iter().map(|edge| edge.record.path.as_slice()).collect();
            let (ready, mut waiting): (Vec<_>, Vec<_>) =
                edges.into_iter().partition(|edge| !taken.contains(edge.entry.path.as_slice()));
            if ready.is_empty() {
                // Cycles only: one member is copied, which opens its own.
                if waiting.pop().is_none() {
                    return Ok(());
                }
            }
            for edge in &ready {
                if self.work.stopping() {
                    return Err(StepError::cancelled());
                }
                self.file(edge)?;
            }
            edges = waiting;
        }
        Ok(())
    }

    fn file(&mut self, edge: &Edge<'_>) -> Result<(), StepError> {
        let Some((from, look)) = self.untouched(edge.record)? else { return Ok(()) };
        let path = &edge.entry.path;
        let Some(to) = self.parent(path)? else { return Ok(()) };
        let there = self.at(&to, path)?;
        if let Some(there) = &there {
            // Nothing but what Segue put there may be replaced; or it is the same entry, by a name of another case.
            let ours = self.known(path).is_some_and(|record| {
                let print = record.print(self.work.write());
                record.kind != Kind::Dir && !record.linked && !print.hot && is_untouched(there, record, print)
            });
            if !ours && (there.dev, there.ino) != (look.dev, look.ino) {
                return Ok(());
            }
        }
        self.rename(edge, &from, &to, &look, there.is_none()).map(drop)
    }

    /// Where a record is at the written side, if it is as Segue left it.
    fn untouched(&mut self, record: &Record) -> Result<Option<(Arc<OwnedFd>, Look)>, StepError> {
        let dir = match self.to.parent(&record.path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(e) => return Err(self.work.to.failed("open the directory of", &record.path, e)),
        };
        let print = record.print(self.work.write());
        let look = self.at(&dir, &record.path)?.filter(|look| {
            is_untouched(look, record, print)
                && look.ino == print.ino
                && (look.kind == Kind::Dir || look.nlink == 1)
        });
        Ok(look.map(|look| (dir, look)))
    }

    /// What the ledger says of a path that changed.
    fn known(&self, path: &[u8]) -> Option<&Record> {
        let at = self.held.binary_search_by(|change| compare_paths(&change.path, path)).ok()?;
        self.held.get(at)?.old.as_ref()
    }

    fn at(&self, dir: &OwnedFd, path: &[u8]) -> Result<Option<Look>, StepError> {
        self.work.to.look_at(dir, name_of(path)).map_err(|e| self.work.to.failed("look at", path, e))
    }

    /// The directory that is to hold `path`, made where it is missing as the pass would make it; `None`: something
    /// else is in its place.
    fn parent(&mut self, path: &[u8]) -> Result<Option<Arc<OwnedFd>>, StepError> {
        match self.to.parent(path) {
            Ok(dir) => return Ok(Some(dir)),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(self.work.to.failed("open the directory of", path, e)),
        }
        let dir = split(path).0;
        let Some(above) = (if dir.is_empty() { None } else { self.parent(dir)? }) else { return Ok(None) };
        // One that the ledger knows is missed by the pass.
        if self.known(dir).is_some() {
            return Ok(None);
        }
        match rustix::fs::mkdirat(&above, name_of(dir), Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                let made = self.at(&above, dir)?;
                self.work.inflight.note(dir, made.as_ref())?;
                if let Some(made) = made {
                    self.log.append_made(dir, made.ino)?;
                }
                Ok(self.to.parent(path).ok())
            }
            Err(e) if is_displaced(e) => Ok(None),
            Err(e) => Err(self.work.to.failed("create directory", dir, e)),
        }
    }

    /// One rename, in the log before it is done.
    fn rename(
        &mut self,
        edge: &Edge<'_>,
        from: &OwnedFd,
        to: &OwnedFd,
        look: &Look,
        free: bool,
    ) -> Result<bool, StepError> {
        let (old, new) = (&edge.record.path, &edge.entry.path);
        self.work.inflight.note(old, None)?;
        self.work.inflight.note(new, Some(look))?;
        self.log.append(old, new, look.ino)?;
        let plain = || rustix::fs::renameat(from, name_of(old), to, name_of(new));
        let done = if free {
            match rustix::fs::renameat_with(from, name_of(old), to, name_of(new), RenameFlags::NOREPLACE) {
                // A file system that cannot promise it.
                Err(Errno::INVAL | Errno::NOSYS) => plain(),
                done => done,
            }
        } else {
            plain()
        };
        match done {
            Ok(()) => {
                self.moved = true;
                Ok(true)
            }
            Err(e) => {
                self.log.take_back()?;
                match e {
                    Errno::XDEV | Errno::INVAL => Ok(false),
                    e if is_displaced(e) => Ok(false),
                    e => Err(self.work.to.failed("rename to", new, e)),
                }
            }
        }
    }
}
