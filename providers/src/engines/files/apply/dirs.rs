//! Directories: made before what is below them, finished (owner, mode, attributes, times) after it.

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use segue_contract::{Finding, Severity, StepError};

use super::{Applier, Change, Slot};
use crate::engines::files::clock;
use crate::engines::files::meta;
use crate::engines::files::put::{
    Outcome, Stop, There, alias_of, collision, is_displaced, is_own_load, is_same_data, record_of, refuse,
    unreadable, unwritten,
};
use crate::engines::files::scan::Entry;
use crate::engines::files::tree::{Look, name_of, split};
use crate::engines::files::work::Unknown;
use crate::engines::files::xattr::{Place, Xattrs};
use crate::ledger::{Kind, Record, is_below};

/// A directory that is not finished yet.
pub(crate) struct OpenDir {
    pub(super) path: Vec<u8>,
    /// What it becomes; `None`: it is removed once it is empty.
    pub(super) plan: Option<Plan>,
    /// What is recorded for it; `None`: it is recorded already.
    pub(super) record: Option<Record>,
    /// Whether it differs from what the ledger had.
    pub(super) changed: bool,
}

/// What a directory becomes.
pub(super) struct Plan {
    look: Look,
    xattrs: Xattrs,
}

impl Applier<'_, '_> {
    /// Makes a directory, or takes up one that is there.
    pub(super) fn open_dir(&mut self, change: Change) -> Result<(), StepError> {
        let Some(entry) = &change.new else { return Ok(()) };
        let path = &change.path;
        let work = self.hand.work;
        let started = clock::now();
        let xattrs = self.hand.from.parent(path).and_then(|dir| meta::xattrs_at(&dir, name_of(path)));
        let xattrs = match xattrs {
            Ok(xattrs) => xattrs,
            Err(e) => {
                self.slots.push_back(match unreadable("read the attributes", e) {
                    Stop::Aside(reason) => Slot::Aside(change, reason),
                    // Renamed or removed since the scan: that is the next pass's.
                    Stop::Later => Slot::Done(change, Outcome::Later),
                    Stop::Failed(error) => return Err(error),
                });
                return Ok(());
            }
        };
        match self.make_dir(&change, entry) {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return Err(error),
            // Something came into its place, or its directory is gone.
            Err(Stop::Later | Stop::Aside(_)) => {
                self.hand.to.forget();
                self.slots.push_back(Slot::Done(change, Outcome::Later));
                return Ok(());
            }
        }
        let mut record = record_of(work, entry, &entry.look);
        record.xattrs = xattrs.digest();
        record.set_print(work.read, entry.look.print_read(started));
        let same = change.old.as_ref().filter(|old| {
            // The root's times move with the marker.
            is_same_data(old, &record)
                || (path.is_empty()
                    && is_same_data(&Record { mtime: record.mtime, ..(*old).clone() }, &record))
        });
        if let Some(old) = same {
            record.changed_in = old.changed_in;
        }
        let changed = same.is_none();
        self.slots.push_back(Slot::Dir(Box::new(OpenDir {
            path: path.clone(),
            plan: Some(Plan { look: entry.look, xattrs }),
            record: Some(record),
            changed,
        })));
        Ok(())
    }

    /// Takes up a directory that an earlier run of this load recorded, for what is still missing below it.
    pub(crate) fn resume_dir(&mut self, entry: &Entry) -> Result<(), StepError> {
        let change = Change { new: Some(entry.clone()), old: None, path: entry.path.clone(), force: false };
        self.open_dir(change)?;
        if let Some(Slot::Dir(dir)) = self.slots.back_mut() {
            dir.record = None;
        }
        Ok(())
    }

    fn make_dir(&mut self, change: &Change, entry: &Entry) -> Result<(), Stop> {
        let path = &change.path;
        if path.is_empty() {
            return Ok(());
        }
        let work = self.hand.work;
        let fail = |e| unwritten(&work.to, "create directory", path, e);
        let dir = self.hand.to.parent(path).map_err(fail)?;
        let name = name_of(path);
        let mode = Mode::from_raw_mode(0o700);
        let fresh = is_own_load(work) && !work.resumed;
        if !fresh && let Some(look) = work.to.look_at(&dir, name).map_err(fail)? {
            if change.old.is_none() && alias_of(&work.to, &dir, path).is_some() {
                return Err(collision(work, &dir, path));
            }
            if look.kind == Kind::Dir {
                return Ok(self.check_dir(change, entry, &look)?);
            }
            self.clear_way(change, &dir, look)?;
        } else if work.unknown == Unknown::Stale
            && change.old.as_ref().is_some_and(|old| old.kind == Kind::Dir)
            && !work.inflight.knows(path, None)
        {
            let find = crate::engines::files::keep::find(path, "deleted", None);
            work.finds.note(&find)?;
            self.tally.stale.push(find);
        }
        match rustix::fs::mkdirat(&dir, name, mode) {
            Ok(()) => {
                self.tally.touched = true;
                if work.unknown == Unknown::Stale {
                    let made = work.to.look_at(&dir, name).map_err(fail)?;
                    work.inflight.note(path, made.as_ref())?;
                }
            }
            Err(Errno::EXIST) if fresh => return Err(collision(work, &dir, path)),
            Err(e) => return Err(fail(e)),
        }
        Ok(())
    }

    /// A directory is there: whether a stale writer changed or made it is told; it is made right at the end.
    fn check_dir(&mut self, change: &Change, entry: &Entry, look: &Look) -> Result<(), StepError> {
        let work = self.hand.work;
        if work.unknown != Unknown::Stale || work.inflight.knows(&change.path, Some(look)) {
            return Ok(());
        }
        let meta = |look: &Look| (look.mode, look.uid, look.gid);
        let touched = match &change.old {
            Some(old) if old.kind == Kind::Dir => meta(look) != (old.mode, old.uid, old.gid),
            // Made by a pass that died, or by somebody else: only its metadata could be lost.
            _ => meta(look) != meta(&entry.look) && look.mode != 0o700,
        };
        if touched {
            let what = if change.old.is_some() { "changed" } else { "created" };
            let find = crate::engines::files::keep::find(&change.path, what, None);
            work.finds.note(&find)?;
            self.tally.stale.push(find);
        }
        Ok(())
    }

    /// Removes what is no directory from where one is to be.
    fn clear_way(&mut self, change: &Change, dir: &std::os::fd::OwnedFd, look: Look) -> Result<(), Stop> {
        let path = &change.path;
        let work = self.hand.work;
        match self.hand.there(dir, path, change.old.as_ref())? {
            There::Other(_, what) => match work.unknown {
                Unknown::Adopt => return Err(refuse(work, path, "is there and is no directory").into()),
                Unknown::Own => {}
                Unknown::Stale => {
                    let find = self.hand.keep(dir, path, Some(&look), what)?;
                    self.tally.stale.push(find);
                }
            },
            There::Alias(_) => return Err(collision(work, dir, path)),
            There::Nothing | There::Ours(_) => {}
        }
        work.inflight.note(path, None)?;
        self.tally.touched = true;
        self.hand.unlink(dir, name_of(path), path)
    }

    /// Opens a directory only to remove it when everything below it is gone.
    pub(super) fn doom(&mut self, path: &[u8]) {
        self.dirs.push(OpenDir { path: path.to_vec(), plan: None, record: None, changed: true });
    }

    /// Finishes the directories that do not hold `path`.
    pub(super) fn leave(&mut self, path: &[u8]) -> Result<(), StepError> {
        while self.dirs.last().is_some_and(|dir| !is_below(path, &dir.path)) {
            self.leave_last()?;
        }
        Ok(())
    }

    pub(super) fn leave_last(&mut self) -> Result<(), StepError> {
        let Some(dir) = self.dirs.pop() else { return Ok(()) };
        match &dir.plan {
            Some(plan) => self.finish_dir(&dir.path, plan),
            None => self.remove_dir(&dir.path),
        }
    }

    fn finish_dir(&mut self, path: &[u8], plan: &Plan) -> Result<(), StepError> {
        let work = self.hand.work;
        let fd = match work.to.open_dir(path) {
            Ok(fd) => fd,
            // Somebody removed it, or put something in its place: the next pass looks at it again.
            Err(e) if is_displaced(e) => {
                self.lacking.insert(path.to_vec());
                self.tally.later += 1;
                return Ok(());
            }
            Err(e) => return Err(work.to.failed("open directory", path, e)),
        };
        let done = meta::settle(&work.to, Place::Open(&fd), &plan.look, &plan.xattrs, false);
        let (_, refused) = done.map_err(|e| e.at(&work.to, path))?;
        if !refused.is_empty() {
            self.lacking.insert(path.to_vec());
            let reason = format!("the written side does not keep its attributes {}", refused.join(", "));
            self.aside(path, reason);
        }
        Ok(())
    }

    fn remove_dir(&mut self, path: &[u8]) -> Result<(), StepError> {
        let work = self.hand.work;
        self.hand.to.forget();
        let dir = match self.hand.to.parent(path) {
            Ok(dir) => dir,
            Err(e) if is_displaced(e) => return Ok(()),
            Err(e) => return Err(work.to.failed("open the directory of", path, e)),
        };
        work.before_deleting()?;
        self.hand.work.inflight.note(path, None)?;
        match rustix::fs::unlinkat(&dir, name_of(path), AtFlags::REMOVEDIR) {
            Ok(()) => {
                self.tally.touched = true;
                Ok(())
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            // What a run that died had half written may be in it, which goes at the end of the pass.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.not_empty.push(path.to_vec());
                Ok(())
            }
            Err(e) => Err(work.to.failed("remove directory", path, e)),
        }
    }

    /// Removes the directories that were not empty before, now that what dead runs left is gone; the lower ones first, as
    /// they were met.
    pub(crate) fn remove_emptied(&mut self) -> Result<(), StepError> {
        let work = self.hand.work;
        for path in std::mem::take(&mut self.not_empty) {
            self.hand.to.forget();
            let Ok(dir) = self.hand.to.parent(&path) else { continue };
            let above = work.to.look(split(&path).0);
            work.before_deleting()?;
            match rustix::fs::unlinkat(&dir, name_of(&path), AtFlags::REMOVEDIR) {
                Ok(()) => {
                    self.tally.touched = true;
                    // The directory above was finished already.
                    if let Ok(Some(above)) = above {
                        meta::set_times(Place::Open(&dir), &above)
                            .map_err(|e| work.to.failed("change", &path, e))?;
                    }
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => work.io.find(Finding {
                    severity: Severity::Warning,
                    code: "FILES_NOT_EMPTY".to_owned(),
                    summary: format!(
                        "{} is gone from the other side, and was left because it holds entries that Segue did not write",
                        work.to.full(&path).display()
                    ),
                    remedy: "Look at what it holds and move it away.".to_owned(),
                }),
                Err(e) => return Err(work.to.failed("remove directory", &path, e)),
            }
        }
        Ok(())
    }
}
