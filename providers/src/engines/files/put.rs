//! Carrying one path that is no directory: the worker's part.

mod alias;
mod nodes;
mod regular;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use segue_contract::{StaleFind, StepError};
use xxhash_rust::xxh3::xxh3_128;

use super::content::{ContentError, Copier};
use super::keep::{self, Aside};
use super::made;
use super::meta;
use super::scan::Entry;
use super::tree::{Look, OpenDirs, Tree, beside, name_of};
use super::work::{Unknown, Work};
use crate::ledger::{Kind, Print, Record};
pub(crate) use alias::{alias_of, collision};

/// A path to carry.
pub(crate) struct Job {
    pub(crate) seq: u64,
    pub(crate) entry: Entry,
    pub(crate) old: Option<Record>,
    /// Carried whatever the ledger says.
    pub(crate) force: bool,
}

/// What became of it.
pub(crate) enum Outcome {
    /// The written side has it.
    Carried(Box<Carried>),
    /// It cannot be read: left as it is there, and said.
    Aside(String),
    /// It kept changing, or is gone: the next pass sees.
    Later,
    /// The step cannot go on.
    Failed(StepError),
}

/// A path that was carried.
pub(crate) struct Carried {
    pub(crate) record: Record,
    /// Whether anything was changed on the written side.
    pub(crate) written: bool,
    pub(crate) stale: Option<StaleFind>,
    /// What could not be kept of it (attributes).
    pub(crate) lacks: Option<String>,
}

/// What lies where a path is to be written.
pub(crate) enum There {
    /// Nothing, as it should be.
    Nothing,
    /// What Segue last put there.
    Ours(Look),
    /// Something else, or nothing where something should be.
    Other(Option<Look>, &'static str),
    /// Another path of this tree, which the written side takes for this one (names that differ by case only).
    Alias(Vec<u8>),
}

/// One worker's hands: what it keeps open, and its buffers.
pub(crate) struct Hand<'w> {
    pub(crate) work: &'w Work<'w>,
    pub(crate) from: OpenDirs<'w>,
    pub(crate) to: OpenDirs<'w>,
    pub(crate) copier: Copier<'w>,
}

impl<'w> Hand<'w> {
    pub(crate) fn new(work: &'w Work<'w>) -> Self {
        Self {
            work,
            from: OpenDirs::new(&work.from),
            to: OpenDirs::new(&work.to),
            copier: Copier::new(work.io, &work.clones),
        }
    }

    /// Carries one path.
    pub(crate) fn put(&mut self, job: &Job) -> Outcome {
        let done = match job.entry.look.kind {
            Kind::File => self.put_file(job),
            _ => self.put_node(job),
        };
        let outcome = done.unwrap_or_else(|stop| match stop {
            Stop::Aside(reason) => Outcome::Aside(reason),
            Stop::Later => Outcome::Later,
            Stop::Failed(error) => Outcome::Failed(error),
        });
        if matches!(outcome, Outcome::Later) {
            // What is open may be what is gone by now.
            self.from.forget();
            self.to.forget();
        }
        outcome
    }

    /// The open directories that hold `path` on both sides.
    fn dirs(&mut self, path: &[u8]) -> Result<(Arc<OwnedFd>, Arc<OwnedFd>), Stop> {
        let from = self.from.parent(path).map_err(|e| unreadable("open its directory", e))?;
        let to =
            self.to.parent(path).map_err(|e| unwritten(&self.work.to, "open the directory of", path, e))?;
        Ok((from, to))
    }

    /// What lies at `path` on the written side, against the ledger and the notes of dead runs.
    pub(crate) fn there(
        &mut self,
        dir: &OwnedFd,
        path: &[u8],
        old: Option<&Record>,
    ) -> Result<There, StepError> {
        let look = self.work.to.look_at(dir, name_of(path));
        let look = look.map_err(|e| self.work.to.failed("look at", path, e))?;
        if self.work.inflight.knows(path, look.as_ref()) {
            return Ok(look.map_or(There::Nothing, There::Ours));
        }
        Ok(match (look, old) {
            (None, None) => There::Nothing,
            (None, Some(_)) => There::Other(None, "deleted"),
            (Some(look), None) => match alias_of(&self.work.to, dir, path) {
                Some(other) => There::Alias(other),
                None => There::Other(Some(look), "created"),
            },
            (Some(look), Some(old)) if is_untouched(&look, old, old.print(self.work.write())) => {
                if old.print(self.work.write()).hot
                    && self.hash_there(dir, path, &look, old.plain)? != Some(old.hash)
                {
                    There::Other(Some(look), "changed")
                } else {
                    There::Ours(look)
                }
            }
            (Some(look), Some(old)) if self.is_only_touched(dir, path, &look, old)? => There::Ours(look),
            (Some(look), Some(_)) => There::Other(Some(look), "changed"),
        })
    }

    /// Whether a file has all that Segue last put there, and only its change time has moved: another name of it came
    /// or went, by a run that died perhaps. Nobody's write would be lost with it.
    fn is_only_touched(
        &mut self,
        dir: &OwnedFd,
        path: &[u8],
        look: &Look,
        old: &Record,
    ) -> Result<bool, StepError> {
        let print = Print { ctime: look.ctime, ..*old.print(self.work.write()) };
        if look.kind == Kind::Dir || !is_untouched(look, old, &print) {
            return Ok(false);
        }
        let xattrs = match meta::xattrs_at(dir, name_of(path)) {
            Ok(xattrs) => xattrs,
            // Gone, or something else, by now.
            Err(e) if is_displaced(e) => return Ok(false),
            Err(e) => return Err(self.work.to.failed("look at", path, e)),
        };
        Ok(xattrs.digest() == old.xattrs && self.hash_there(dir, path, look, old.plain)? == Some(old.hash))
    }

    /// The hash of a file on the written side.
    fn hash_there(
        &mut self,
        dir: &OwnedFd,
        path: &[u8],
        look: &Look,
        plain: bool,
    ) -> Result<Option<u128>, StepError> {
        if look.kind != Kind::File {
            return Ok(Some(0));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(dir, name_of(path), flags, Mode::empty()) {
            Ok(fd) if is_open_at(&fd, look) => fd,
            // Something else is there by now.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(e) => return Err(self.work.to.failed("read", path, e)),
        };
        match self.copier.hash_as(&fd, look.size, look.blocks, plain) {
            Ok(hash) => Ok(Some(hash)),
            Err(ContentError::Read(e) | ContentError::Write(e)) => Err(self.work.to.failed("read", path, e)),
            Err(ContentError::Cancelled) => Err(StepError::cancelled()),
        }
    }

    /// Keeps a stale version.
    pub(crate) fn keep(
        &mut self,
        dir: &OwnedFd,
        path: &[u8],
        look: Option<&Look>,
        what: &str,
    ) -> Result<StaleFind, Stop> {
        let find = match look {
            None => keep::find(path, what, None),
            Some(look) => {
                let aside = Aside { artifacts: self.work.io.artifacts(), below: self.work.stale_dir() };
                aside.keep(&mut self.copier, &self.work.to, dir, path, look, what)?
            }
        };
        self.work.finds.note(&find)?;
        Ok(find)
    }

    /// Removes what is no directory from the written side.
    pub(crate) fn unlink(&self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Stop> {
        self.work.before_deleting()?;
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(unwritten(&self.work.to, "remove", path, e)),
        }
    }

    /// Removes a name that this run made, and that nobody needs now.
    pub(crate) fn drop_temporary(dir: &OwnedFd, name: &[u8]) {
        // Best effort: it is noted, and the next pass removes it.
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
    }

    /// Notes that a temporary name is about to be made for `path`, and after that what it is. A load into an empty target
    /// needs no notes: all that is there is its own.
    pub(crate) fn note_temporary(
        &self,
        path: &[u8],
        name: &[u8],
        made: Option<&Look>,
    ) -> Result<(), StepError> {
        if is_own_load(self.work) {
            return Ok(());
        }
        self.work.inflight.note(&beside(path, name), made)
    }

    /// Puts a finished temporary name in the place of `path`. Where nothing was, nothing may have come meanwhile:
    /// another worker's name may be the same one to this file system.
    fn land(&self, dir: &OwnedFd, temporary: &[u8], path: &[u8], there: &There) -> Result<(), Stop> {
        let name = name_of(path);
        let fail = |e| {
            Self::drop_temporary(dir, temporary);
            unwritten(&self.work.to, "rename to", path, e)
        };
        if matches!(there, There::Nothing) {
            match rustix::fs::renameat_with(dir, temporary, dir, name, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(()),
                // A file system that cannot promise it.
                Err(Errno::INVAL | Errno::NOSYS) if alias_of(&self.work.to, dir, path).is_none() => {}
                Err(Errno::INVAL | Errno::NOSYS | Errno::EXIST) => {
                    Self::drop_temporary(dir, temporary);
                    return Err(collision(self.work, dir, path));
                }
                Err(e) => return Err(fail(e)),
            }
        }
        rustix::fs::renameat(dir, temporary, dir, name).map_err(fail)
    }

    /// The error for a full disk names what is still to come; that is counted by the caller.
    fn content_error(&self, path: &[u8], error: ContentError) -> Stop {
        match error {
            ContentError::Read(e) => unreadable("read", e),
            ContentError::Write(e) => Stop::Failed(self.work.to.failed("write", path, e)),
            ContentError::Cancelled => Stop::Failed(StepError::cancelled()),
        }
    }
}

/// Why a path was not carried.
pub(crate) enum Stop {
    Aside(String),
    Later,
    Failed(StepError),
}

impl Stop {
    /// What cannot be left to the next look.
    pub(crate) fn unless_later(self) -> Result<(), StepError> {
        match self {
            Self::Later | Self::Aside(_) => Ok(()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<StepError> for Stop {
    fn from(error: StepError) -> Self {
        Self::Failed(error)
    }
}

/// A failure on the side that is read: gone is for the next pass, the rest is set aside.
pub(crate) fn unreadable(doing: &str, errno: Errno) -> Stop {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ISDIR | Errno::SPIPE => Stop::Later,
        _ => Stop::Aside(format!("cannot {doing}: {}", std::io::Error::from(errno))),
    }
}

/// A failure on the side that is written: what is gone, or of another kind, by the time it is used is for the next look.
pub(crate) fn unwritten(tree: &Tree, doing: &'static str, path: &[u8], errno: Errno) -> Stop {
    if is_displaced(errno) { Stop::Later } else { Stop::Failed(tree.failed(doing, path, errno)) }
}

/// Whether a call failed because something is gone, or of another kind, by now.
pub(crate) fn is_displaced(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST | Errno::LOOP
    )
}

/// Whether what was opened is what was looked at.
pub(crate) fn is_open_at(fd: &OwnedFd, look: &Look) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (look.dev, look.ino))
}

/// Whether a path still is what Segue last saw or wrote. A later name of a file, made or removed, moves
/// the change time of all its names: for those it does not count.
pub(crate) fn is_untouched(look: &Look, record: &Record, print: &Print) -> bool {
    let print = if record.linked { &Print { ctime: look.ctime, ..*print } } else { print };
    look.kind == record.kind
        && (look.mode, look.uid, look.gid) == (record.mode, record.uid, record.gid)
        && (look.kind == Kind::Dir || look.same_as(print))
}

/// The temporary name for `name`, of this process alone.
pub(crate) fn temporary(name: &[u8]) -> Vec<u8> {
    format!("{}{:032x}", made::prefix(), xxh3_128(name)).into_bytes()
}

/// The record of a path as it was read.
pub(crate) fn record_of(work: &Work<'_>, entry: &Entry, look: &Look) -> Record {
    Record {
        mode: look.mode,
        uid: look.uid,
        gid: look.gid,
        size: look.size,
        mtime: look.mtime,
        rdev: look.rdev,
        linked: look.nlink > 1 && look.kind != Kind::Dir,
        first: entry.first.clone(),
        changed_in: work.pass,
        ..Record::bare(entry.path.clone(), look.kind)
    }
}

/// Whether two records say the same of the data.
pub(crate) fn is_same_data(a: &Record, b: &Record) -> bool {
    let meta = |r: &Record| (r.kind, r.mode, r.uid, r.gid, r.size, r.mtime, r.rdev, r.xattrs, r.hash);
    meta(a) == meta(b) && a.symlink == b.symlink && a.first == b.first
}

/// The refusal of a load that finds something foreign.
pub(crate) fn refuse(work: &Work<'_>, path: &[u8], why: &str) -> StepError {
    StepError::permanent(format!("{} {why}", work.to.full(path).display())).remedy(
        "move it away, or empty the target, or make it equal to the source: nothing there is overwritten in silence",
    )
}

/// Adds to the bytes written.
pub(crate) fn count(work: &Work<'_>, bytes: u64) {
    work.bytes.fetch_add(bytes, Ordering::Relaxed);
}

/// Whether unknown things at the written side are this load's own.
pub(crate) fn is_own_load(work: &Work<'_>) -> bool {
    work.unknown == Unknown::Own
}
