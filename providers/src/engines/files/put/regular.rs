//! Regular files: read, hashed and written in one go, under the final name only when whole (or at a
//! load into an empty target, where nobody looks yet).

use std::os::fd::OwnedFd;

use std::sync::PoisonError;

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use segue_contract::{Side, StaleFind};

use super::{
    Carried, Hand, Job, Outcome, Stop, There, alias_of, collision, count, is_open_at, is_own_load,
    is_same_data, is_untouched, record_of, refuse, temporary, unreadable, unwritten,
};
use crate::engines::files::clock;
use crate::engines::files::meta;
use crate::engines::files::tree::{Look, name_of};
use crate::engines::files::work::{Unknown, Work};
use crate::engines::files::xattr::{self, Place, Xattrs};
use crate::ledger::{Kind, Print, Record, Time};

/// How often a file that changes while it is read is taken again before it is left for the next pass.
const TRIES: usize = 3;
/// The longest clock tick of a file system with sub-second stamps.
const TICK_NS: i128 = 20_000_000;

/// What reading a file gave.
struct Taken {
    look: Look,
    xattrs: Xattrs,
    hash: u128,
    /// Whether every byte is in that: see [`Record::plain`].
    plain: bool,
    print: Print,
}

impl Hand<'_> {
    pub(super) fn put_file(&mut self, job: &Job) -> Result<Outcome, Stop> {
        let (from, to) = self.dirs(&job.entry.path)?;
        let mut look = job.entry.look;
        for _ in 0..TRIES {
            if self.work.stopping() {
                return Err(Stop::Failed(segue_contract::StepError::cancelled()));
            }
            match self.try_file(job, &from, &to, &look)? {
                Ok(outcome) => return Ok(outcome),
                Err(Some(now)) => look = now,
                Err(None) => return Ok(Outcome::Later),
            }
        }
        Ok(Outcome::Later)
    }

    /// One try; the inner error is how the file looks now that it changed meanwhile (`None`: no file any more).
    fn try_file(
        &mut self,
        job: &Job,
        from: &OwnedFd,
        to: &OwnedFd,
        look: &Look,
    ) -> Result<Result<Outcome, Option<Look>>, Stop> {
        let path = &job.entry.path;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let source = match rustix::fs::openat(from, name_of(path), flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner may leave the access time alone.
            Err(Errno::PERM) => rustix::fs::openat(from, name_of(path), flags, Mode::empty()),
            done => done,
        };
        let source = source.map_err(|e| unreadable("open", e))?;
        self.note_flags(path, &source);
        wait_for_tick(look.ctime);
        let started = clock::now();
        let xattrs = xattr::read(Place::Open(&source)).map_err(|e| unreadable("read the attributes", e))?;
        let there = if is_own_load(self.work) && !self.work.resumed {
            There::Nothing
        } else {
            self.there(to, path, job.old.as_ref())?
        };
        let taken =
            |(hash, plain)| Taken { look: *look, xattrs, hash, plain, print: look.print_read(started) };
        if let There::Alias(other) = &there {
            return self.alias(to, path, other).map(Ok);
        }
        if let Some(equal) = self.equal_content(job, to, &there, &source, look)? {
            if let Some(now) = changed(&self.work.from, &source, look)? {
                return Ok(Err(now));
            }
            return self.touch_up(job, to, &there, &taken(equal)).map(Ok);
        }
        if self.work.unknown == Unknown::Adopt && matches!(there, There::Other(..)) {
            return Err(Stop::Failed(refuse(self.work, path, "is there and differs from the source")));
        }
        self.write_file(job, to, &source, &there, taken)
    }

    /// Flags of `chattr` that keep a file from being changed are no part of what is carried: that is told.
    fn note_flags(&self, path: &[u8], source: &OwnedFd) {
        let seen = rustix::fs::statx(source, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
        // A file system without such flags says none.
        let flagged = seen.is_ok_and(|seen| {
            seen.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
        });
        if flagged {
            let mut known = self.work.flagged.lock().unwrap_or_else(PoisonError::into_inner);
            if known.0 == 0 {
                known.1 = path.to_vec();
            }
            known.0 += 1;
        }
    }

    /// The content's hash, when what is at the written side already has it.
    fn equal_content(
        &mut self,
        job: &Job,
        to: &OwnedFd,
        there: &There,
        source: &OwnedFd,
        look: &Look,
    ) -> Result<Option<(u128, bool)>, Stop> {
        let path = &job.entry.path;
        match there {
            There::Ours(at) if at.kind == Kind::File && !job.force && !self.work.resumed => {
                let Some(old) = job.old.as_ref() else {
                    return Ok(None);
                };
                // Known by its print; only worth reading first when the content probably did not change.
                let ours = is_untouched(at, old, old.print(self.work.write()));
                // A former later name of a file must get content of its own.
                if old.first.is_some() && at.nlink > 1 {
                    return Ok(None);
                }
                let moved = old.mtime != look.mtime && look.ino == old.print(self.work.read).ino;
                if !ours || old.kind != Kind::File || old.size != look.size || moved {
                    return Ok(None);
                }
                let hash = self.hash_source(path, source, look, old.plain)?;
                Ok((hash == old.hash).then_some((hash, old.plain)))
            }
            There::Other(Some(at), _) if at.kind == Kind::File && !is_own_load(self.work) => {
                if at.size != look.size || (at.nlink > 1 && look.nlink < 2) {
                    return Ok(None);
                }
                let Some(theirs) = self.hash_there(to, path, at, false)? else {
                    return Ok(None);
                };
                let hash = self.hash_source(path, source, look, false)?;
                Ok((hash == theirs && is_equal_enough(self.work.unknown, at, look)).then_some((hash, false)))
            }
            _ => Ok(None),
        }
    }

    fn hash_source(&mut self, path: &[u8], source: &OwnedFd, look: &Look, plain: bool) -> Result<u128, Stop> {
        let hash = self.copier.hash_as(source, look.size, look.blocks, plain);
        hash.map_err(|e| self.content_error(path, e))
    }

    /// The content is there: only the rest is made alike.
    fn touch_up(&mut self, job: &Job, to: &OwnedFd, there: &There, taken: &Taken) -> Result<Outcome, Stop> {
        let path = &job.entry.path;
        let (There::Ours(at) | There::Other(Some(at), _)) = there else {
            return Ok(Outcome::Later);
        };
        let mut record = record_of(self.work, &job.entry, &taken.look);
        (record.hash, record.plain) = (taken.hash, taken.plain);
        record.xattrs = taken.xattrs.digest();
        record.set_print(self.work.read, taken.print);
        if let Some(old) = &job.old
            && is_same_data(old, &record)
            && matches!(there, There::Ours(_))
            && !is_to_look_again(old, self.work.read)
        {
            record.changed_in = old.changed_in;
            let print = *old.print(self.work.write());
            let again = if at.same_as(&print) { at.print_written(clock::now()) } else { print };
            record.set_print(self.work.write(), again);
            return Ok(Outcome::Carried(Box::new(Carried {
                record,
                written: false,
                stale: None,
                lacks: None,
            })));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(to, name_of(path), flags, Mode::empty()) {
            Ok(fd) if is_open_at(&fd, at) => fd,
            // Something else is there by now.
            Ok(_) | Err(Errno::NXIO) => return Ok(Outcome::Later),
            Err(e) => return Err(unwritten(&self.work.to, "open", path, e)),
        };
        self.work.inflight.note(path, Some(&Look { mtime: taken.look.mtime, ..*at }))?;
        let (after, refused) =
            meta::settle(&self.work.to, Place::Open(&fd), &taken.look, &taken.xattrs, false)
                .map_err(|e| e.at(&self.work.to, path))?;
        record.set_print(self.work.write(), after.print_written(clock::now()));
        let same = job.old.as_ref().filter(|old| is_same_data(old, &record) && after.ctime == at.ctime);
        record.changed_in = same.map_or(record.changed_in, |old| old.changed_in);
        Ok(carried(self.work, record, same.is_none(), None, &refused))
    }

    /// Writes the whole file anew.
    fn write_file(
        &mut self,
        job: &Job,
        to: &OwnedFd,
        source: &OwnedFd,
        there: &There,
        taken: impl FnOnce((u128, bool)) -> Taken,
    ) -> Result<Result<Outcome, Option<Look>>, Stop> {
        let path = &job.entry.path;
        let straight = is_own_load(self.work);
        let name = if straight { name_of(path).to_vec() } else { temporary(name_of(path)) };
        let taken = taken((0, false));
        self.note_temporary(path, &name, None)?;
        let target = self.create(job, to, &name, &taken.look)?;
        let abandon = |stop: Stop| {
            // What is half written is no use to anybody, and the disk may be full.
            Self::drop_temporary(to, &name);
            stop
        };
        let made = meta::look(&self.work.to, Place::Open(&target));
        let made = made.map_err(|e| abandon(unwritten(&self.work.to, "look at", path, e)))?;
        self.note_temporary(path, &name, Some(&made))?;
        let copied = self.copier.copy(source, &target, taken.look.size, taken.look.blocks);
        let (hash, bytes) = copied.map_err(|e| abandon(self.content_error(path, e)))?;
        count(self.work, bytes);
        if let Some(now) = changed(&self.work.from, source, &taken.look)? {
            abandon(Stop::Later);
            return Ok(Err(now));
        }
        let bare = straight && !self.work.resumed;
        let (mut after, refused) =
            meta::settle(&self.work.to, Place::Open(&target), &taken.look, &taken.xattrs, bare)
                .map_err(|e| abandon(e.at(&self.work.to, path).into()))?;
        let mut stale = None;
        if !straight {
            stale = self.make_room(job, to, there).map_err(abandon)?;
            self.work.inflight.note(path, Some(&after))?;
            self.land(to, &name, path, there)?;
            // Renaming moves the change time.
            after = meta::look(&self.work.to, Place::Open(&target))
                .map_err(|e| self.work.to.failed("look at", path, e))?;
        }
        let mut record = record_of(self.work, &job.entry, &taken.look);
        record.hash = hash;
        record.xattrs = taken.xattrs.digest();
        record.set_print(self.work.read, taken.print);
        record.set_print(self.work.write(), after.print_written(clock::now()));
        Ok(Ok(carried(self.work, record, true, stale, &refused)))
    }

    fn create(&mut self, job: &Job, to: &OwnedFd, name: &[u8], look: &Look) -> Result<OwnedFd, Stop> {
        let path = &job.entry.path;
        // Also for reading: cloned content is hashed where it was put.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Nobody else's bits before the owner is right.
        let mode = if look.uid == 0 && look.gid == 0 { look.mode & 0o755 } else { look.mode & 0o700 };
        let make = || rustix::fs::openat(to, name, flags, Mode::from_raw_mode(mode));
        let made = match make() {
            Err(Errno::EXIST) if is_own_load(self.work) && !self.work.resumed => {
                return Err(collision(self.work, to, path));
            }
            // Half done by a run that died.
            Err(Errno::EXIST) => {
                if is_own_load(self.work) && alias_of(&self.work.to, to, path).is_some() {
                    return Err(collision(self.work, to, path));
                }
                self.remove_any(to, name, path)?;
                make()
            }
            done => done,
        };
        made.map_err(|e| unwritten(&self.work.to, "create", path, e))
    }

    /// Keeps what a stale writer left, and makes sure that a rename can replace it.
    pub(super) fn make_room(
        &mut self,
        job: &Job,
        to: &OwnedFd,
        there: &There,
    ) -> Result<Option<StaleFind>, Stop> {
        let path = &job.entry.path;
        match there {
            There::Ours(at) if at.kind == Kind::Dir => self.clear_dir(path, "created"),
            There::Other(Some(at), what) if at.kind == Kind::Dir => self.clear_dir(path, what),
            There::Other(..) if is_own_load(self.work) => Ok(None),
            There::Other(at, what) => Ok(Some(self.keep(to, path, at.as_ref(), what)?)),
            There::Ours(_) | There::Nothing | There::Alias(_) => Ok(None),
        }
    }
}

pub(super) fn carried(
    work: &Work<'_>,
    mut record: Record,
    written: bool,
    stale: Option<StaleFind>,
    refused: &[String],
) -> Outcome {
    if record.print(work.write()).mtime != record.mtime {
        work.coarse.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    let lacks = (!refused.is_empty())
        .then(|| format!("the written side does not keep its attributes {}", refused.join(", ")));
    if lacks.is_some() {
        // Every pass looks again, and says so again, as long as it is so.
        record.set_print(work.read, Print::default());
    }
    Outcome::Carried(Box::new(Carried { record, written, stale, lacks }))
}

/// Whether the last pass left this path to be looked at again whatever the prints say.
pub(super) fn is_to_look_again(old: &Record, read: Side) -> bool {
    *old.print(read) == Print::default()
}

/// How a file looks after it was read, when that is not how it looked before; inner `None`: no file.
fn changed(
    tree: &crate::engines::files::tree::Tree,
    source: &OwnedFd,
    before: &Look,
) -> Result<Option<Option<Look>>, Stop> {
    let stat = rustix::fs::fstat(source).map_err(|e| unreadable("look at", e))?;
    let now = Look::of(&stat, tree.owners);
    let key = |look: &Look| (look.kind, look.ino, look.size, look.mtime, look.ctime);
    if now.as_ref().map(key) == Some(key(before)) {
        return Ok(None);
    }
    Ok(Some(now.filter(|now| now.kind == Kind::File)))
}

/// What a stale writer left counts as equal only with the same owner, mode and time; a load adopts content.
fn is_equal_enough(unknown: Unknown, at: &Look, look: &Look) -> bool {
    let meta = |look: &Look| (look.mode, look.uid, look.gid, look.mtime);
    unknown == Unknown::Adopt || meta(at) == meta(look)
}

/// A change in the tick in which a file was read would leave no trace: its last change must be over.
fn wait_for_tick(ctime: Time) {
    // Whole seconds only: a file system with coarse stamps (FAT has two seconds).
    let tick = if ctime.ns == 0 { super::super::tree::HOT_NS } else { TICK_NS };
    let age = clock::now().since_ns(ctime);
    if (0..tick).contains(&age) {
        std::thread::sleep(std::time::Duration::from_nanos((tick - age) as u64));
    }
}
