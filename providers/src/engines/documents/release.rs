//! Abandoning: what Segue made at the declared target, and nobody else has touched, is removed; of a unit that others wrote
//! to as well, or that was there before, what Segue wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_contract::{Direction, Finding, Severity, Side, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Collection, Documents, Want, Write, Written};
use super::fill::Way;
use super::keys::{all, keys};
use super::ledger::{Reader, Record, about};
use super::notes::Notes;
use super::runs::Merged;
use super::sides::workers_of;
use crate::engines::beside::side_file;

/// Documents that are deleted at once at most.
const AT_ONCE: usize = 500;

/// The note that Segue makes the unit of a job's target, or made it.
pub(crate) fn made_note(artifacts: &Path, job: &UnitJob) -> PathBuf {
    let forward = UnitJob { direction: Direction::Forward, ..job.clone() };
    side_file(artifacts, "made", &forward)
}

/// See [`segue_contract::Engine::release`].
pub(crate) fn release(
    target: &dyn Documents,
    job: &UnitJob,
    made: bool,
    io: &dyn StepIo,
) -> Result<(), StepError> {
    let job = &UnitJob { direction: Direction::Forward, ..job.clone() };
    super::fill::stop(target, job, io)?;
    let note = made_note(io.artifacts(), job);
    if again(io, || target.exists(&job.target, io))? {
        let there = target.open(&job.target, io)?;
        // One that lands after the removal might make the unit anew.
        again(io, || there.nothing_on_its_way())?;
        let release = Release { job, io, there, notes: Notes::looked_at(io.artifacts(), job)? };
        let left = match whose(job, note.exists()) {
            Whose::Segues => 0,
            Whose::Everybodys => release.tell(release.count()?),
            Whose::AsTheLedgerSays if release.is_ours_alone()? => 0,
            Whose::AsTheLedgerSays => release.take_out()?,
        };
        if (made || note.exists()) && left == 0 {
            again(io, || target.remove(job, io))?;
        } else {
            again(io, || target.forget(job, io))?;
        }
    }
    for what in ["load", "load-head"] {
        let _ = std::fs::remove_file(side_file(io.artifacts(), what, job));
    }
    let _ = std::fs::remove_file(note);
    Ok(())
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
    /// What a run that died was about to write.
    notes: Notes,
}

impl Release<'_> {
    /// Whether nothing was written there since the ledger, and Segue made it: it can go as a whole.
    fn is_ours_alone(&self) -> Result<bool, StepError> {
        let made = made_note(self.io.artifacts(), self.job).exists();
        let Some(ledger) = self.job.ledger.as_ref().filter(|_| made && !self.notes.is_resumed()) else {
            return Ok(false);
        };
        let known = about(self.io.artifacts(), ledger)?;
        let now = again(self.io, || self.there.stand())?;
        Ok(known.stand(Side::Target) == &now)
    }

    /// How many documents there are.
    fn count(&self) -> Result<u64, StepError> {
        again(self.io, || self.there.count())
    }

    /// Tells how many documents stay, and gives that number.
    fn tell(&self, left: u64) -> u64 {
        if left > 0 {
            self.io.find(Finding {
                severity: Severity::Warning,
                code: "DOCUMENTS_LEFT".to_owned(),
                summary: format!(
                    "{left} documents in {} are not as segue wrote them, or somebody's, too, and were left there",
                    self.job.target.scope.join(", ")
                ),
                remedy: "look at them, and remove them by hand when nobody needs them".to_owned(),
            });
        }
        left
    }

    /// Deletes what has the version that Segue gave it; everything else is somebody's. Returns how many stay.
    fn take_out(&self) -> Result<u64, StepError> {
        let stand = again(self.io, || self.there.stand())?;
        let workers = workers_of(self.job);
        let mut there = keys(&*self.there, Side::Target, &all(&stand), workers, self.io)?;
        let mut known = match &self.job.ledger {
            Some(ledger) => Some(Reader::open(self.io.artifacts(), ledger)?),
            None => None,
        };
        let left = self.delete_known(&mut there, known.as_mut())?;
        Ok(self.tell(left))
    }

    fn delete_known(&self, there: &mut Merged, mut ledger: Option<&mut Reader>) -> Result<u64, StepError> {
        let mut next_known = || ledger.as_mut().map_or(Ok(None), |ledger| ledger.next_record());
        let mut known: Option<Record> = next_known()?;
        let (mut batch, mut left) = (Vec::new(), 0u64);
        while let Some(found) = there.next()? {
            let (key, version) = (found.record.key, found.record.target.version);
            while known.as_ref().is_some_and(|known| known.key < key) {
                known = next_known()?;
            }
            let carried = known.as_ref().is_some_and(|k| k.key == key && k.target.version == version);
            if carried || self.notes.knows(&key, version) {
                batch.push(Write { key, version: version + 1, body: None });
            } else {
                left += 1;
            }
            if batch.len() >= AT_ONCE {
                left += self.delete(&std::mem::take(&mut batch))?;
            }
        }
        left += self.delete(&batch)?;
        Ok(left)
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
