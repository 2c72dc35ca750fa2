//! Symbolic links, named pipes and device nodes: nothing to read, made aside and renamed into place.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use segue_contract::{StaleFind, StepError};

use super::regular::{carried, is_to_look_again};
use super::{
    Carried, Hand, Job, Outcome, Stop, There, collision, is_displaced, is_own_load, is_same_data, record_of,
    refuse, temporary, unreadable, unwritten,
};
use crate::engines::files::clock;
use crate::engines::files::meta;
use crate::engines::files::scan::Scan;
use crate::engines::files::tree::{Look, name_of};
use crate::engines::files::work::Unknown;
use crate::engines::files::xattr::{Place, Xattrs};
use crate::ledger::{Kind, Record};

impl Hand<'_> {
    pub(super) fn put_node(&mut self, job: &Job) -> Result<Outcome, Stop> {
        let path = &job.entry.path;
        let (from, to) = self.dirs(path)?;
        let started = clock::now();
        let mut record = record_of(self.work, &job.entry, &job.entry.look);
        if record.kind == Kind::Symlink {
            record.symlink = match rustix::fs::readlinkat(&from, name_of(path), Vec::new()) {
                Ok(text) => text.into_bytes(),
                // No link any more.
                Err(Errno::INVAL) => return Ok(Outcome::Later),
                Err(e) => return Err(unreadable("read", e)),
            };
        }
        let xattrs =
            meta::xattrs_at(&from, name_of(path)).map_err(|e| unreadable("read the attributes", e))?;
        record.xattrs = xattrs.digest();
        match self.work.from.look_at(&from, name_of(path)) {
            Ok(Some(now)) if now.ctime == job.entry.look.ctime && now.ino == job.entry.look.ino => {}
            // Replaced since the scan: that is the next pass's.
            _ => return Ok(Outcome::Later),
        }
        record.set_print(self.work.read, job.entry.look.print_read(started));
        let there = self.there(&to, path, job.old.as_ref())?;
        if let (There::Ours(_), Some(old)) = (&there, &job.old)
            && !job.force
            && is_same_data(old, &record)
            && !is_to_look_again(old, self.work.read)
        {
            record.changed_in = old.changed_in;
            record.set_print(self.work.write(), *old.print(self.work.write()));
            return Ok(Outcome::Carried(Box::new(Carried {
                record,
                written: false,
                stale: None,
                lacks: None,
            })));
        }
        if let There::Alias(other) = &there {
            return self.alias(&to, path, other);
        }
        let ours = matches!(there, There::Ours(_));
        let mut stale = if ours { self.make_room(job, &to, &there)? } else { None };
        if let There::Other(at, _) = &there {
            let equal = match at {
                Some(at) => self.is_equal_node(&to, path, at, &record)?,
                None => false,
            };
            match self.work.unknown {
                Unknown::Adopt if !equal => {
                    return Err(refuse(self.work, path, "is there and differs from the source").into());
                }
                Unknown::Own if !self.work.resumed => return Err(collision(self.work, &to, path)),
                Unknown::Own => stale = self.make_room(job, &to, &there)?,
                Unknown::Stale if !equal => stale = self.make_room(job, &to, &there)?,
                _ => {}
            }
        }
        self.place_node(job, &to, &there, record, &xattrs, stale)
    }

    /// Makes a node aside, as it is to be, and puts it in its place.
    fn place_node(
        &mut self,
        job: &Job,
        to: &OwnedFd,
        there: &There,
        mut record: Record,
        xattrs: &Xattrs,
        stale: Option<StaleFind>,
    ) -> Result<Outcome, Stop> {
        let path = &job.entry.path;
        let name = temporary(name_of(path));
        self.note_temporary(path, &name, None)?;
        make(to, &name, &record).map_err(|e| self.cannot_make(path, &record, e))?;
        let settled = meta::settle(&self.work.to, Place::At(to, &name), &job.entry.look, xattrs, false);
        let (_, refused) = settled.map_err(|e| {
            Self::drop_temporary(to, &name);
            e.stop(&self.work.to, path)
        })?;
        let made = meta::look(&self.work.to, Place::At(to, &name));
        let made = made.map_err(|e| unwritten(&self.work.to, "look at", path, e))?;
        if !is_own_load(self.work) {
            self.work.inflight.note(path, Some(&made))?;
        }
        self.land(to, &name, path, there)?;
        let after = meta::look(&self.work.to, Place::At(to, name_of(path)));
        let after = after.map_err(|e| unwritten(&self.work.to, "look at", path, e))?;
        record.set_print(self.work.write(), after.print_written(clock::now()));
        Ok(carried(self.work, record, true, stale, &refused))
    }

    fn is_equal_node(
        &self,
        to: &OwnedFd,
        path: &[u8],
        at: &Look,
        record: &Record,
    ) -> Result<bool, StepError> {
        if at.kind != record.kind || at.rdev != record.rdev {
            return Ok(false);
        }
        if at.kind != Kind::Symlink {
            return Ok(true);
        }
        match rustix::fs::readlinkat(to, name_of(path), Vec::new()) {
            Ok(text) => Ok(text.into_bytes() == record.symlink),
            Err(Errno::INVAL) => Ok(false),
            Err(e) if is_displaced(e) => Ok(false),
            Err(e) => Err(self.work.to.failed("read", path, e)),
        }
    }

    fn cannot_make(&self, path: &[u8], record: &Record, errno: Errno) -> Stop {
        if errno == Errno::PERM && matches!(record.kind, Kind::Char | Kind::Block) {
            return Stop::Aside("cannot make a device node at the written side: that needs root".to_owned());
        }
        if matches!(errno, Errno::PERM | Errno::NOSYS | Errno::NOTSUP) {
            return Stop::Aside(format!("the written side's file system keeps no {}", record.kind.as_str()));
        }
        unwritten(&self.work.to, "create", path, errno)
    }

    /// Removes what a run that died left under `name`, whatever it is.
    pub(crate) fn remove_any(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Stop> {
        let look = self.work.to.look_at(dir, name);
        match look.map_err(|e| unwritten(&self.work.to, "look at", path, e))? {
            Some(look) if look.kind == Kind::Dir => self.clear_dir(path, "created").map(drop),
            _ => self.unlink(dir, name, path),
        }
    }

    /// Removes a whole directory that lies where none should. What a dead run did not put there is kept aside, and found.
    pub(crate) fn clear_dir(&mut self, path: &[u8], what: &str) -> Result<Option<StaleFind>, Stop> {
        self.work.before_deleting()?;
        let Some(mut scan) = Scan::below(&self.work.to, path)? else { return Err(Stop::Later) };
        let fail = |path: &[u8], e| unwritten(&self.work.to, "open the directory of", path, e);
        let mut dirs = Vec::new();
        let mut foreign = false;
        while let Some(entry) = scan.next()? {
            let dir = self.to.parent(&entry.path).map_err(|e| fail(&entry.path, e))?;
            if !is_own_load(self.work) && !self.work.inflight.knows(&entry.path, Some(&entry.look)) {
                self.keep(&dir, &entry.path, Some(&entry.look), what)?;
                foreign = true;
            }
            if entry.look.kind == Kind::Dir {
                dirs.push(entry.path);
            } else {
                self.unlink(&dir, name_of(&entry.path), &entry.path)?;
            }
        }
        for path in &scan.aside.leftovers {
            let dir = self.to.parent(path).map_err(|e| fail(path, e))?;
            self.unlink(&dir, name_of(path), path)?;
        }
        self.to.forget();
        while let Some(path) = dirs.pop() {
            let dir = self.to.parent(&path).map_err(|e| fail(&path, e))?;
            match rustix::fs::unlinkat(&dir, name_of(&path), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(unwritten(&self.work.to, "remove", &path, e)),
            }
        }
        self.to.forget();
        let below = std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
        let kept = self.work.stale_dir().join(below);
        Ok(foreign.then(|| crate::engines::files::keep::find(path, what, Some(kept))))
    }
}

/// Makes a link or node under a temporary name, in place of what a dead run left there.
fn make(dir: &OwnedFd, name: &[u8], record: &Record) -> Result<(), Errno> {
    let once = || match record.kind {
        Kind::Symlink => rustix::fs::symlinkat(record.symlink.as_slice(), dir, name),
        kind => {
            let kind = match kind {
                Kind::Char => FileType::CharacterDevice,
                Kind::Block => FileType::BlockDevice,
                _ => FileType::Fifo,
            };
            rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(0o600), record.rdev)
        }
    };
    match once() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            once()
        }
        done => done,
    }
}
