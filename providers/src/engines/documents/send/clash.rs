//! A version that was refused: somebody has a newer one there. Who that is decides what is done: Segue itself (a run that
//! died), a change that came while this one was carried, or a writer who should not have written.

use segue_contract::{StaleFind, StepError};

use super::super::collection::{Found, Key, Want, Write, Written};
use super::super::keep;
use super::super::ledger::Mark;
use super::{Going, Sender, Sink};

/// Tries of one document against versions that rise under it.
const TRIES: usize = 4;

impl<S: Sink> Sender<'_, S> {
    pub(super) fn settle_clashes(&self, mut clashed: Vec<Going>) -> Result<(), StepError> {
        if self.sides.adds() {
            return self.left_as_it_is(clashed);
        }
        for _ in 0..TRIES {
            if clashed.is_empty() {
                return Ok(());
            }
            let keys: Vec<Key> = clashed.iter().map(|one| one.found.key.clone()).collect();
            let there = self.sides.look_up(self.sides.to(), &keys, Want::Bodies)?;
            let here = self.sides.look_up(self.sides.from(), &keys, Want::Keys)?;
            let mut over = Vec::new();
            for ((one, there), here) in clashed.into_iter().zip(there).zip(here) {
                if self.settle(&one, there.as_ref(), here.as_ref())? {
                    over.push(one);
                }
            }
            clashed = self.write_over(over)?;
        }
        // Somebody writes there faster than this can look: the next pass goes on.
        for one in clashed {
            self.tally().later += 1;
            self.record(&one.found, 0, Mark::default(), false)?;
        }
        Ok(())
    }

    /// What clients wrote there stays: the ledger says what the source has, and verification whether that is the same.
    fn left_as_it_is(&self, clashed: Vec<Going>) -> Result<(), StepError> {
        let keys: Vec<Key> = clashed.iter().map(|one| one.found.key.clone()).collect();
        let there = self.sides.look_up(self.sides.to(), &keys, Want::Keys)?;
        for (one, there) in clashed.into_iter().zip(there) {
            self.record(
                &one.found,
                one.hash,
                there.map_or(Mark::default(), |there| Mark::new(there.version, there.number)),
                false,
            )?;
        }
        Ok(())
    }

    /// Settles one refusal; `true`: what is there is to be written over.
    fn settle(&self, one: &Going, there: Option<&Found>, here: Option<&Found>) -> Result<bool, StepError> {
        if let Some(there) = there
            && self.sides.hash(self.side(), &there.body).is_ok_and(|hash| hash == one.hash)
        {
            self.record(&one.found, one.hash, Mark::new(there.version, there.number), false)?;
            return Ok(false);
        }
        if here.is_none_or(|here| here.number != one.found.number) {
            // It changed, or was deleted, since it was read: the next pass has that. Until then the ledger knows that there
            // is such a document, and not what it is.
            self.tally().later += 1;
            let there = there.map_or(Mark::default(), |there| Mark::new(there.version, there.number));
            self.record(&one.found, 0, there, false)?;
            return Ok(false);
        }
        match there {
            Some(there) => {
                if !self.knows(&there.key, there.version) {
                    let find = keep::keep(self.sides, there, "changed")?;
                    self.tell_stale(find);
                }
                self.raise_above(there.version);
            }
            // A deletion is remembered there with a version that nobody can ask for.
            None => self.raise_above(one.write.version),
        }
        Ok(true)
    }

    /// Writes again with versions above those that were found. Gives those that were refused once more.
    fn write_over(&self, over: Vec<Going>) -> Result<Vec<Going>, StepError> {
        let mut again = Vec::new();
        let mut ready = Vec::with_capacity(over.len());
        for mut one in over {
            one.write.version = self.version(one.found.number)?;
            ready.push(one);
        }
        let batch: Vec<Write> = ready.iter().map(|one| one.write.clone()).collect();
        let written = if batch.is_empty() { Vec::new() } else { self.write_all(&batch)? };
        for (one, written) in ready.into_iter().zip(written) {
            match written {
                Written::Done { number } => self.done(&one, number)?,
                Written::Newer => again.push(one),
                Written::Refused(reason) | Written::Later(reason) => self.set_aside(&one.found, &reason)?,
            }
        }
        Ok(again)
    }

    pub(crate) fn knows(&self, key: &Key, version: u64) -> bool {
        self.notes.knows(key, version)
    }

    pub(crate) fn tell_stale(&self, find: StaleFind) {
        self.tally().stale.push(find);
    }
}
