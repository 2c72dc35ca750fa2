//! Recording, in path order, what became of each change.

use segue_contract::{SetAside, StepError};

use super::{Applier, Change, Slot};
use crate::engines::files::deletions;
use crate::engines::files::meta;
use crate::engines::files::put::{Carried, Outcome, Stop, There, is_displaced, is_untouched};
use crate::engines::files::tree::{name_of, printed, split};
use crate::engines::files::xattr::Place;
use crate::ledger::{Kind, Print, Record, is_below};

impl Applier<'_, '_> {
    pub(super) fn retire(&mut self, slot: Slot) -> Result<(), StepError> {
        match slot {
            Slot::Waiting(_) => Ok(()),
            Slot::Done(change, outcome) => {
                self.leave(&change.path)?;
                self.record(change, outcome)
            }
            Slot::Dir(mut dir) => {
                self.leave(&dir.path)?;
                if let Some(record) = dir.record.take() {
                    self.tally.written += u64::from(dir.changed);
                    self.out.push(&record)?;
                }
                self.tally.touched |= dir.changed;
                self.dirs.push(*dir);
                Ok(())
            }
            Slot::Link(change) => {
                self.leave(&change.path)?;
                self.link(change)
            }
            Slot::Remove(change) => {
                self.leave(&change.path)?;
                match self.remove(&change) {
                    Ok(()) => Ok(()),
                    Err(Stop::Failed(error)) => Err(error),
                    // Something else is there by now.
                    Err(Stop::Later | Stop::Aside(_)) => {
                        self.hand.to.forget();
                        self.tally.later += 1;
                        self.keep_old(change)
                    }
                }
            }
            Slot::Aside(change, reason) => {
                self.leave(&change.path)?;
                self.aside(&change.path, reason);
                self.keep_old(change)
            }
        }
    }

    fn record(&mut self, change: Change, outcome: Outcome) -> Result<(), StepError> {
        match outcome {
            Outcome::Carried(carried) => {
                let Carried { record, written, stale, lacks } = *carried;
                if let Some(stale) = stale {
                    self.tally.stale.push(stale);
                }
                if let Some(reason) = lacks {
                    self.aside(&record.path, reason);
                }
                self.tally.written += u64::from(written);
                self.tally.touched |= written;
                self.out.push(&record)?;
                if record.linked && record.first.is_none() {
                    self.groups.insert(record.path.clone(), record);
                }
                Ok(())
            }
            Outcome::Aside(reason) => {
                self.aside(&change.path, reason);
                self.keep_old(change)
            }
            Outcome::Later => self.later(change),
            // Why is with the first failure that came in.
            Outcome::Failed(_) => {
                self.failed = true;
                Ok(())
            }
        }
    }

    /// Leaves a path to the next pass.
    pub(super) fn later(&mut self, change: Change) -> Result<(), StepError> {
        self.tally.later += 1;
        if change.old.is_none() {
            self.remove_unknown(&change.path)?;
        } else if self.is_beyond(&change)? {
            self.remove_unknown(&change.path)?;
            return self.out.push(&gone(&change.path)).map_err(StepError::from);
        }
        self.keep_old(change)
    }

    /// Whether a run that died left something else at a path than the ledger will say: recorded as it was, it would be a
    /// stale writer's to the next pass.
    fn is_beyond(&mut self, change: &Change) -> Result<bool, StepError> {
        let work = self.hand.work;
        let Some(old) = change.old.as_ref().filter(|old| old.kind != Kind::Dir) else {
            return Ok(false);
        };
        let path = &change.path;
        if !work.inflight.is_resumed() {
            return Ok(false);
        }
        let Ok(dir) = self.hand.to.parent(path) else { return Ok(false) };
        let look = work.to.look_at(&dir, name_of(path)).map_err(|e| work.to.failed("look at", path, e))?;
        let as_recorded = look.is_some_and(|look| is_untouched(&look, old, old.print(work.write())));
        Ok(!as_recorded && work.inflight.knows(path, look.as_ref()))
    }

    /// What a run that died put there, and no ledger will name, for the path vanished or changed while it was
    /// read again: the next pass would take it for a stale writer's.
    fn remove_unknown(&mut self, path: &[u8]) -> Result<(), StepError> {
        let work = self.hand.work;
        if !work.inflight.is_resumed() {
            return Ok(());
        }
        let Ok(dir) = self.hand.to.parent(path) else { return Ok(()) };
        let There::Ours(look) = self.hand.there(&dir, path, None)? else { return Ok(()) };
        if look.kind == Kind::Dir {
            // It goes once what is below it is through, unless somebody put something in.
            self.doom(path);
            return Ok(());
        }
        let above = work.to.look(split(path).0);
        work.inflight.note(path, None)?;
        self.hand.unlink(&dir, name_of(path), path).or_else(Stop::unless_later)?;
        if let Ok(Some(above)) = above {
            meta::set_times(Place::Open(&dir), &above).map_err(|e| work.to.failed("change", path, e))?;
        }
        self.tally.touched = true;
        Ok(())
    }

    pub(super) fn aside(&mut self, path: &[u8], reason: String) {
        self.tally.set_aside.push(SetAside { key: printed(path), reason });
    }

    /// The ledger keeps what it had, and looks again in the next pass.
    pub(super) fn keep_old(&mut self, change: Change) -> Result<(), StepError> {
        if let Some(mut old) = change.old {
            old.set_print(self.hand.work.read, Print::default());
            self.out.push(&old)?;
        } else if self.replaced.as_ref() == Some(&change.path) {
            self.out.push(&gone(&change.path))?;
        }
        Ok(())
    }

    fn remove(&mut self, change: &Change) -> Result<(), Stop> {
        let path = &change.path;
        let work = self.hand.work;
        match self.hand.to.parent(path) {
            Ok(dir) => match self.hand.there(&dir, path, change.old.as_ref())? {
                // A deletion of what is gone is no loss, whoever did it.
                There::Nothing | There::Other(None, _) | There::Alias(_) => {}
                There::Ours(look) if look.kind == Kind::Dir => self.doom(path),
                There::Other(Some(look), _) if look.kind == Kind::Dir && change.old.is_some() => {
                    self.doom(path);
                }
                There::Other(Some(look), what) => {
                    let find = self.hand.keep(&dir, path, Some(&look), what)?;
                    self.tally.stale.push(find);
                    if look.kind == Kind::Dir {
                        self.doom(path);
                    } else {
                        work.inflight.note(path, None)?;
                        self.hand.unlink(&dir, name_of(path), path)?;
                    }
                    self.tally.touched = true;
                }
                There::Ours(look) => {
                    deletions::keep(&mut self.hand, &mut self.tally, &dir, path, &look)?;
                    work.inflight.note(path, None)?;
                    self.hand.unlink(&dir, name_of(path), path)?;
                    self.tally.touched = true;
                }
            },
            Err(e) if is_displaced(e) => {}
            Err(e) => return Err(work.to.failed("open the directory of", path, e).into()),
        }
        self.tally.deleted += 1;
        if !self.replaced.as_ref().is_some_and(|dir| is_below(path, dir)) {
            self.out.push(&gone(path)).map_err(StepError::from)?;
        }
        Ok(())
    }
}

/// The note in a partial ledger that a path was removed.
fn gone(path: &[u8]) -> Record {
    Record::bare(path.to_vec(), Kind::Gone)
}
