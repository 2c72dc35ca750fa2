//! Abandoning: what Segue made at the declared target, and nobody else has touched, is removed; of a unit that others wrote
//! to as well, or that was there before, what Segue wrote. One that somebody deleted and made anew since is nobody's business
//! here.

use std::sync::Arc;

use segue_contract::{Direction, Finding, Severity, Side, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Collection, Documents, Want, Write, Written};
use super::fill::{self, Way};
use super::keys::keys;
use super::ledger::{Ledger, Record};
use super::load;
use super::made::Made;
use super::notes::Notes;
use super::runs::Entry;
use super::sides::{counted, shown, workers_of};
use super::sorted::{Join, in_batches};
use super::windows::Windows;

/// See [`segue_contract::Engine::release`].
pub(crate) fn release(
    target: &dyn Documents,
    job: &UnitJob,
    made_root: bool,
    io: &dyn StepIo,
) -> Result<(), StepError> {
    let job = &UnitJob { direction: Direction::Forward, ..job.clone() };
    fill::stop(target, job, io)?;
    let made = Made::of(io.artifacts(), job);
    if again(io, || target.exists(&job.target, io))? {
        let there = target.open(&job.target, io)?;
        // One that lands after the removal might make the unit anew.
        again(io, || there.nothing_on_its_way())?;
        let ledger = job.ledger.as_ref().map(|name| Ledger::open(io.artifacts(), name)).transpose()?;
        let origin = Origin::of(&*there, &made, ledger.as_ref(), io)?;
        let is_made = origin == Origin::Made;
        let notes = Notes::looked_at(io.artifacts(), job)?;
        let release = Release { job, io, there, is_made, notes };
        if origin == Origin::MadeAnew {
            release.leave_alone()?;
        } else if release.take_out(ledger)? == 0 && (made_root || is_made) {
            again(io, || target.remove(job, io))?;
        } else {
            again(io, || target.forget(job, io))?;
        }
    }
    load::forget(job, io);
    made.forget();
    Ok(())
}

/// Where the unit comes from that is there now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Segue made it.
    Made,
    /// Segue loaded it and did not make it.
    Loaded,
    /// Somebody made it, instead of the one that Segue made or loaded.
    MadeAnew,
}

impl Origin {
    fn of(
        there: &dyn Collection,
        made: &Made,
        ledger: Option<&Ledger>,
        io: &dyn StepIo,
    ) -> Result<Self, StepError> {
        let loaded = ledger.map(|ledger| ledger.about().target.incarnation.clone());
        let Some(known) = loaded.map_or_else(|| made.incarnation(), |loaded| Ok(Some(loaded)))? else {
            // A run died before it knew. A unit that is only half there cannot say which one it is.
            return Ok(if made.is_noted() { Self::Made } else { Self::Loaded });
        };
        let now = again(io, || there.stand())?.incarnation;
        Ok(match (known == now, made.is(&now)?) {
            (false, _) => Self::MadeAnew,
            (true, true) => Self::Made,
            (true, false) => Self::Loaded,
        })
    }
}

/// Whose a unit is that is to be released.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Segue made it, and whatever filled it did so for Segue: no ledger says what is in it yet.
    Segues,
    /// What clients put there cannot be told from what Segue added.
    Everybodys,
    /// What the ledger and the notes of dead runs know is Segue's.
    AsTheLedgerSays,
}

fn whose(job: &UnitJob, made: bool) -> Whose {
    match Way::of(job) {
        Way::Added => Whose::Everybodys,
        Way::Elsewhere if !made => Whose::Everybodys,
        Way::System | Way::Elsewhere if made && job.ledger.is_none() => Whose::Segues,
        Way::Copied | Way::System | Way::Elsewhere => Whose::AsTheLedgerSays,
    }
}

struct Release<'a> {
    job: &'a UnitJob,
    io: &'a dyn StepIo,
    there: Arc<dyn Collection>,
    /// Whether Segue made it.
    is_made: bool,
    /// What a run that died was about to write.
    notes: Notes,
}

impl Release<'_> {
    /// Takes out what is Segue's, where the unit does not go as a whole. Returns how many documents are not.
    fn take_out(&self, ledger: Option<Ledger>) -> Result<u64, StepError> {
        let left = match whose(self.job, self.is_made) {
            Whose::Segues => 0,
            Whose::Everybodys => self.count()?,
            Whose::AsTheLedgerSays if self.is_ours_alone(ledger.as_ref())? => 0,
            Whose::AsTheLedgerSays => self.delete_known(ledger)?,
        };
        if left > 0 {
            self.tell(format!(
                "{left} documents in {} are not as segue wrote them, or somebody's, too, and were left there",
                self.name()
            ));
        }
        Ok(left)
    }

    /// Whether nothing was written there since the ledger, and Segue made it: it can go as a whole.
    fn is_ours_alone(&self, ledger: Option<&Ledger>) -> Result<bool, StepError> {
        let Some(ledger) = ledger.filter(|_| self.is_made && !self.notes.is_resumed()) else {
            return Ok(false);
        };
        Ok(ledger.about().target == again(self.io, || self.there.stand())?)
    }

    /// The unit is another than the one that was loaded, or made for it: nothing of it is Segue's.
    fn leave_alone(&self) -> Result<(), StepError> {
        let (name, count) = (self.name(), self.count()?);
        self.tell(format!(
            "{name} was deleted and made anew by somebody else since, and was left as it is, with {count} documents"
        ));
        Ok(())
    }

    /// How many documents there are.
    fn count(&self) -> Result<u64, StepError> {
        counted(&*self.there, self.io)
    }

    fn name(&self) -> String {
        self.job.target.scope.join(", ")
    }

    /// Tells what stays.
    fn tell(&self, summary: String) {
        self.io.find(Finding {
            severity: Severity::Warning,
            code: "DOCUMENTS_LEFT".to_owned(),
            summary,
            remedy: "look at them, and remove them by hand when nobody needs them".to_owned(),
        });
    }

    /// Deletes what has the version that Segue gave it; everything else is somebody's. Returns how many stay.
    fn delete_known(&self, mut ledger: Option<Ledger>) -> Result<u64, StepError> {
        let all = Windows::all(&shown(&*self.there, self.io)?);
        let there = keys(&*self.there, Side::Target, &all, workers_of(self.job), self.io)?;
        let mut join = Join::of(ledger.as_mut().map(Ledger::records).transpose()?, there)?;
        let (mut somebodys, mut undeleted) = (0, 0);
        let known = |(known, found): (Option<Record>, Option<Entry>)| {
            let Record { key, target, .. } = found?.record;
            let is_carried = known.is_some_and(|known| known.target.version == target.version);
            if is_carried || self.notes.knows(&key, target.version) {
                return Some(Write { key, version: target.version + 1, body: None });
            }
            somebodys += 1;
            None
        };
        in_batches(
            || join.next(),
            known,
            |batch| {
                undeleted += self.delete(&batch)?;
                Ok(())
            },
        )?;
        Ok(somebodys + undeleted)
    }

    /// Deletes some; how many of them stay.
    fn delete(&self, batch: &[Write]) -> Result<u64, StepError> {
        if self.io.cancelled() {
            return Err(StepError::cancelled());
        }
        let mut left = 0;
        for some in batch.chunks(self.there.limits().batch_documents_max.max(1)) {
            let written = again(self.io, || self.there.write(some))?;
            // A deletion that was answered too late and is made again is refused as not newer: the document is gone.
            let doubtful: Vec<_> =
                some.iter().zip(written).filter(|(_, w)| !matches!(w, Written::Done { .. })).collect();
            let keys: Vec<_> = doubtful.iter().map(|(write, _)| write.key.clone()).collect();
            if !keys.is_empty() {
                let now = again(self.io, || self.there.read(&keys, Want::Keys))?;
                left += now.iter().flatten().count() as u64;
            }
        }
        Ok(left)
    }
}
