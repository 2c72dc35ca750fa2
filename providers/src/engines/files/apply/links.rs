//! Later names of a file: linked once the first name is there.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use segue_contract::StepError;

use super::{Applier, Change};
use crate::engines::files::clock;
use crate::engines::files::put::{
    Hand, Stop, There, collision, is_same_data, record_of, refuse, temporary, unwritten,
};
use crate::engines::files::tree::{Look, name_of};
use crate::engines::files::work::Unknown;
use crate::ledger::{Kind, Record};

impl Applier<'_, '_> {
    /// Makes `change` another name of its group's first path.
    pub(super) fn link(&mut self, change: Change) -> Result<(), StepError> {
        match self.try_link(&change) {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            // The first name is set aside, or still changing, or something is gone: both wait for the next pass.
            Err(Stop::Later | Stop::Aside(_)) => {
                self.hand.to.forget();
                self.later(change)
            }
        }
    }

    fn try_link(&mut self, change: &Change) -> Result<(), Stop> {
        let work = self.hand.work;
        let Some(entry) = &change.new else { return Ok(()) };
        let Some(first) = &entry.first else { return Ok(()) };
        let path = &change.path;
        let fail = |e| unwritten(&work.to, "link", path, e);
        let first_dir = self.hand.to.parent(first).map_err(fail)?;
        let leader = work.to.look_at(&first_dir, name_of(first)).map_err(fail)?;
        let leader = leader.filter(|leader| leader.kind != Kind::Dir).ok_or(Stop::Later)?;
        let dir = self.hand.to.parent(path).map_err(fail)?;
        let mut record = self.link_record(change, &leader).ok_or(Stop::Later)?;
        let there = self.hand.there(&dir, path, change.old.as_ref())?;
        let at = work.to.look_at(&dir, name_of(path)).map_err(fail)?;
        if at.is_some_and(|at| at.ino == leader.ino && at.dev == leader.dev) {
            record.set_print(work.write(), leader.print_written(clock::now()));
            return Ok(self.push_link(change, record, false)?);
        }
        self.make_room(&dir, change, (&first_dir, first, &leader), &there)?;
        let name = temporary(name_of(path));
        self.hand.note_temporary(path, &name, Some(&leader))?;
        self.hand.unlink(&dir, &name, path)?;
        rustix::fs::linkat(&first_dir, name_of(first), &dir, name.as_slice(), AtFlags::empty())
            .map_err(fail)?;
        work.inflight.note(path, Some(&leader))?;
        rustix::fs::renameat(&dir, name.as_slice(), &dir, name_of(path)).map_err(|e| {
            Hand::drop_temporary(&dir, &name);
            fail(e)
        })?;
        let after = work.to.look_at(&dir, name_of(path)).map_err(fail)?.ok_or(Stop::Later)?;
        record.set_print(work.write(), after.print_written(clock::now()));
        Ok(self.push_link(change, record, true)?)
    }

    /// Keeps what a stale writer left where a later name is to be, and makes sure that a rename can replace it. `leader`:
    /// the first name's directory, path and look.
    fn make_room(
        &mut self,
        dir: &OwnedFd,
        change: &Change,
        leader: (&OwnedFd, &[u8], &Look),
        there: &There,
    ) -> Result<(), Stop> {
        let work = self.hand.work;
        let path = &change.path;
        let find = match there {
            There::Alias(other) => {
                let gone = matches!(work.from.look(other), Ok(None));
                return Err(if gone { Stop::Later } else { collision(work, dir, path) });
            }
            There::Nothing => None,
            There::Ours(at) if at.kind == Kind::Dir => self.hand.clear_dir(path, "created")?,
            There::Ours(_) => None,
            There::Other(at, what) => match (work.unknown, at) {
                (Unknown::Adopt, Some(at)) if !self.is_equal(dir, path, at, leader)? => {
                    return Err(refuse(work, path, "is there and differs from the source").into());
                }
                (Unknown::Own | Unknown::Stale, Some(at)) if at.kind == Kind::Dir => {
                    self.hand.clear_dir(path, what)?
                }
                (Unknown::Own | Unknown::Adopt, _) => None,
                (Unknown::Stale, at) => Some(self.hand.keep(dir, path, at.as_ref(), what)?),
            },
        };
        if let Some(find) = find {
            self.tally.stale.push(find);
        }
        Ok(())
    }

    /// The record of a later name; what belongs to the file comes from the first one's record. `None` when
    /// that is not known in this pass, or `leader`, which has the first name at the written side, is not that file:
    /// the first name may have become another file's since the scan.
    fn link_record(&mut self, change: &Change, leader: &Look) -> Option<Record> {
        let work = self.hand.work;
        let entry = change.new.as_ref()?;
        let first = self.groups.get(entry.first.as_deref()?);
        let group = first.filter(|first| first.print(work.read).ino == entry.look.ino)?;
        let written = group.print(work.write());
        if (written.ino, written.size, written.mtime) != (leader.ino, leader.size, leader.mtime) {
            return None;
        }
        let mut record = record_of(work, entry, &entry.look);
        (record.hash, record.plain) = (group.hash, group.plain);
        record.xattrs = group.xattrs;
        record.symlink.clone_from(&group.symlink);
        // Read between the two: the print is then no longer that of the side, and the next pass looks again.
        (record.mtime, record.size) = (group.mtime, group.size);
        (record.mode, record.uid, record.gid) = (group.mode, group.uid, group.gid);
        record.set_print(work.read, *group.print(work.read));
        Some(record)
    }

    fn push_link(&mut self, change: &Change, mut record: Record, written: bool) -> Result<(), StepError> {
        if let Some(old) = &change.old
            && is_same_data(old, &record)
            && !written
        {
            record.changed_in = old.changed_in;
        } else {
            self.tally.written += 1;
        }
        self.tally.touched |= written;
        self.out.push(&record).map_err(StepError::from)
    }

    fn is_equal(
        &mut self,
        dir: &OwnedFd,
        path: &[u8],
        at: &Look,
        (first_dir, first, leader): (&OwnedFd, &[u8], &Look),
    ) -> Result<bool, Stop> {
        if (at.kind, at.size, at.rdev) != (leader.kind, leader.size, leader.rdev) || at.kind != Kind::File {
            return Ok((at.kind, at.rdev) == (leader.kind, leader.rdev)
                && at.kind != Kind::File
                && at.kind != Kind::Symlink);
        }
        let mut hashes = Vec::new();
        for (dir, path, look) in [(dir, path, at), (first_dir, first, leader)] {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(dir, name_of(path), flags, Mode::empty());
            let fd = fd.map_err(|e| unwritten(&self.hand.work.to, "read", path, e))?;
            let hash = self.hand.copier.hash(&fd, look.size, look.blocks);
            hashes.push(hash.map_err(|_| self.hand.work.to.failed("read", path, Errno::IO))?);
        }
        Ok(hashes.windows(2).all(|pair| pair.first() == pair.last()))
    }
}
