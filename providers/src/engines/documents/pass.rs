//! One incremental pass: what changed since the ledger is carried, what is gone is deleted, and what somebody else wrote to
//! the side that is written is kept aside and written over.
//!
//! The upper bound is what was settled on every copy when the pass began. Deletions cannot be asked for; that there are
//! none is known when the side that is read holds as many documents as the ledger, and else every key is looked at.

use std::time::Instant;

use segue_contract::{ArtifactName, PassReport, PassTimes, Side, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Found, Key, Stand, Want};
use super::foreign::{Finds, Foreign, look};
use super::gone::{self, Census};
use super::keys::{all, keys};
use super::ledger::{About, Reader, Record, about};
use super::merge::{Draft, merge};
use super::notes::Notes;
use super::runs::{Entry, Merged, Runs};
use super::send::Sender;
use super::sides::{Sides, position};
use super::versions::Versions;
use super::windows::Windows;
use super::{carried, micros, report_of};
use crate::engines::beside::side_file;

/// Keys that are asked for at once.
const READ_AT_ONCE: usize = 500;

/// See [`segue_contract::Engine::pass`]; `forced` are carried whatever the ledger says of them.
pub(crate) fn pass(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    forced: &[Key],
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    super::ledger_of(job)?;
    forget_load(job, io);
    carry(source, target, job, forced, io)
}

/// The same within a load: what that noted for its successor stays.
pub(crate) fn carry(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    forced: &[Key],
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    let began = Instant::now();
    let sides = Sides::open(source, target, job, io)?;
    let ledger = super::ledger_of(job)?;
    let known = about(io.artifacts(), ledger)?;
    let here = again(io, || sides.read.stand())?;
    let versions = known.versions.next(job.direction, &here, known.highest(sides.to()));
    if versions != known.versions {
        again(io, || sides.writes.remember(job, io))?;
    }
    let notes = Notes::open(io.artifacts(), job)?;
    if notes.is_resumed() {
        // A write that lands after the look would be taken for somebody else's.
        again(io, || sides.write.nothing_on_its_way())?;
    }
    let mut foreign = if sides.adds() {
        Foreign::nobody(known.stand(sides.to()), io)
    } else {
        look(&sides, ledger, &known, &notes, Finds::KeptAside)?
    };
    for key in forced {
        foreign.keys.push(Entry { record: Record::of(key.clone()), gone: false })?;
    }
    let sender = Sender::new(&sides, notes, versions.epoch, known.pass + 1, Runs::new(io.artifacts()));
    let pass = Pass { sides: &sides, ledger, known, here, versions, sender };
    pass.run(foreign, began)
}

/// A load that ended is in the ledger: what it noted for its successor is nobody's any more.
fn forget_load(job: &UnitJob, io: &dyn StepIo) {
    let [head, memo] = super::fill::FILES;
    for what in ["load", "load-head", head, memo] {
        // Best effort: a file that stays takes room and does no harm.
        let _ = std::fs::remove_file(side_file(io.artifacts(), what, job));
    }
}

struct Pass<'a> {
    sides: &'a Sides<'a>,
    ledger: &'a ArtifactName,
    known: About,
    /// Where the side that is read stood when the pass began.
    here: Stand,
    versions: Versions,
    sender: Sender<'a, Runs>,
}

impl Pass<'_> {
    fn run(self, mut foreign: Foreign, began: Instant) -> Result<PassReport, StepError> {
        let io = self.sides.io;
        self.sender.tally().stale = std::mem::take(&mut foreign.finds);
        if let Some(version) = foreign.above {
            self.sender.raise_above(version);
        }
        self.changes()?;
        let mut wanted = std::mem::replace(&mut foreign.keys, Runs::new(io.artifacts()));
        self.set_aside_before(&mut wanted)?;
        self.carry_keys(wanted.finish()?)?;
        let read_us = micros(began.elapsed());
        let from = self.sides.from();
        let entries = std::mem::replace(&mut *self.sender.sink(), Runs::new(io.artifacts()));
        let census = Census::of(&self.here);
        let mut draft = merge(io.artifacts(), Some(self.ledger), entries.finish()?, from, census)?;
        let there_now = again(io, || self.sides.read.count())?;
        if there_now != draft.live {
            draft = self.deletions(draft)?;
        }
        let applied = micros(began.elapsed());
        let (written, stood) = self.stand_written(&foreign)?;
        let Self { known, here, versions, sender, .. } = self;
        let (_, tally, epoch) = sender.finish();
        let highest = |side: Side| {
            let seen = if side == from { tally.read_highest } else { tally.write_highest };
            known.highest(side).max(seen).max(foreign.above.filter(|_| side != from).unwrap_or(0))
        };
        let about = About {
            pass: known.pass + 1,
            records: 0,
            bytes: known.bytes + tally.bytes,
            aside: 0,
            source: if from == Side::Source { carried(&here) } else { written.clone() },
            target: if from == Side::Target { carried(&here) } else { written },
            source_highest: highest(Side::Source),
            target_highest: highest(Side::Target),
            versions: Versions { epoch, ..versions },
        };
        let live = draft.live;
        let ledger = draft.finish(about, true)?;
        let times = PassTimes {
            scan_us: read_us,
            apply_us: applied - read_us,
            sync_us: micros(began.elapsed()) - applied,
        };
        // A write that came from elsewhere meanwhile is looked at by the next pass: until then nothing is settled.
        let open = tally.later + u64::from(!stood);
        let at = position(&here, |slice| slice.settled, open);
        Ok(report_of(ledger, live, at, tally, times))
    }

    /// Carries what changed since the ledger; everything, where the unit was made anew.
    fn changes(&self) -> Result<(), StepError> {
        let known = self.known.stand(self.sides.from());
        let same = known.incarnation == self.here.incarnation && known.slices.len() == self.here.slices.len();
        let from: Vec<u64> = match same {
            true => known.slices.iter().map(|slice| slice.settled).collect(),
            false => vec![0; self.here.slices.len()],
        };
        let to: Vec<u64> = self.here.slices.iter().map(|slice| slice.settled).collect();
        let each = |found: Vec<Found>| self.sender.carry(found);
        Windows::new(&from, &to).run(
            &*self.sides.read,
            Want::Bodies,
            self.sides.workers(),
            self.sides.io,
            &each,
            &|| Ok(()),
        )
    }

    /// What earlier passes could not carry is tried again.
    fn set_aside_before(&self, wanted: &mut Runs) -> Result<(), StepError> {
        if self.known.aside == 0 {
            return Ok(());
        }
        let mut reader = Reader::open(self.sides.io.artifacts(), self.ledger)?;
        while let Some(record) = reader.next_record()? {
            if record.aside {
                wanted.push(Entry { record: Record::of(record.key), gone: false })?;
            }
        }
        Ok(())
    }

    /// Carries documents by their keys as they are now; those that are gone are deleted.
    fn carry_keys(&self, mut wanted: Merged) -> Result<(), StepError> {
        let mut some = Vec::with_capacity(READ_AT_ONCE);
        loop {
            let next = wanted.next()?;
            let last = next.is_none();
            some.extend(next.map(|entry| entry.record.key));
            if some.len() >= READ_AT_ONCE || last {
                self.carry_some(&std::mem::take(&mut some))?;
            }
            if last {
                return Ok(());
            }
        }
    }

    fn carry_some(&self, some: &[Key]) -> Result<(), StepError> {
        if some.is_empty() {
            return Ok(());
        }
        self.sides.go_on()?;
        let read = again(self.sides.io, || self.sides.read.read(some, Want::Bodies))?;
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for (key, document) in some.iter().zip(read) {
            match document {
                Some(document) => found.push(document),
                None => gone.push(Record::of(key.clone())),
            }
        }
        self.sender.carry(found)?;
        self.sender.delete(&gone, self.bound())
    }

    /// Above every change that was looked at.
    fn bound(&self) -> u64 {
        self.here.slices.iter().map(|slice| slice.settled).max().unwrap_or(0)
    }

    /// Finds the documents of the draft that the side that is read no longer has ([`gone`]), and deletes them; after every
    /// other write of the pass, with the version of what was settled before they were looked for.
    fn deletions(&self, draft: Draft) -> Result<Draft, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let before = again(io, || sides.read.stand())?;
        let number = before.slices.iter().map(|slice| slice.settled).max().unwrap_or(0);
        let (live, census) = (draft.live, draft.census.clone());
        // Only a step between two ledgers.
        let name = draft.finish(self.known.clone(), false)?;
        let deleted = match gone::find(sides, &name, live, &census, &self.here) {
            Ok(Some(gone)) => self.delete_found(gone, number),
            Ok(None) => keys(&*sides.read, sides.from(), &all(&before), sides.workers(), io)
                .and_then(|here| self.delete_all_but(&name, here, number)),
            Err(error) => Err(error),
        };
        let entries = std::mem::replace(&mut *self.sender.sink(), Runs::new(io.artifacts()));
        let merged = deleted.and_then(|()| {
            merge(io.artifacts(), Some(&name), entries.finish()?, sides.from(), Census::none())
        });
        // Best effort: it is collected otherwise.
        let _ = std::fs::remove_file(io.artifacts().join(&name.0));
        merged
    }

    /// Deletes what [`gone::find`] found.
    fn delete_found(&self, mut gone: Merged, number: u64) -> Result<(), StepError> {
        let mut some = Vec::new();
        loop {
            let next = gone.next()?;
            let last = next.is_none();
            some.extend(next.map(|entry| entry.record));
            if some.len() >= READ_AT_ONCE || last {
                self.sides.go_on()?;
                self.sender.delete(&std::mem::take(&mut some), number)?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Deletes the records of a ledger whose documents are not among those that were found, nor there now.
    fn delete_all_but(&self, ledger: &ArtifactName, mut here: Merged, number: u64) -> Result<(), StepError> {
        let mut reader = Reader::open(self.sides.io.artifacts(), ledger)?;
        let mut found = here.next()?;
        let mut doubtful = Vec::new();
        while let Some(record) = reader.next_record()? {
            while found.as_ref().is_some_and(|found| found.record.key < record.key) {
                found = here.next()?;
            }
            if found.as_ref().is_none_or(|found| found.record.key != record.key) {
                doubtful.push(record);
                if doubtful.len() >= READ_AT_ONCE {
                    self.delete_gone(std::mem::take(&mut doubtful), number)?;
                }
            }
        }
        self.delete_gone(doubtful, number)
    }

    /// A document that changed while the keys were looked at is in another window: it is asked for by itself.
    fn delete_gone(&self, doubtful: Vec<Record>, number: u64) -> Result<(), StepError> {
        if doubtful.is_empty() {
            return Ok(());
        }
        self.sides.go_on()?;
        let asked: Vec<Key> = doubtful.iter().map(|record| record.key.clone()).collect();
        let read = again(self.sides.io, || self.sides.read.read(&asked, Want::Keys))?;
        let gone = doubtful.into_iter().zip(read).filter(|(_, now)| now.is_none()).map(|(record, _)| record);
        self.sender.delete(&gone.collect::<Vec<_>>(), number)
    }

    /// Where the side that is written stands, and whether nobody else wrote there while the pass ran. If somebody did,
    /// the place from where the next pass looks stays where it was.
    fn stand_written(&self, foreign: &Foreign) -> Result<(Stand, bool), StepError> {
        if self.sides.adds() {
            // All that clients wrote there since the load began is looked at on the way back.
            return Ok((foreign.looked_from.clone(), true));
        }
        let now = again(self.sides.io, || self.sides.write.stand())?;
        let taken = self.sender.tally().taken;
        let sum = |stand: &Stand| stand.slices.iter().map(|slice| slice.all).sum::<u64>();
        let alone = now.incarnation == foreign.stand.incarnation
            && now.is_settled()
            && sum(&now) == sum(&foreign.stand) + taken;
        Ok(if alone {
            (now, true)
        } else {
            (foreign.looked_from.clone(), sum(&now) <= sum(&foreign.stand) + taken)
        })
    }
}

/// See [`segue_contract::Engine::repair`].
pub(crate) fn repair(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    keys: &[String],
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    let mut wanted: std::collections::BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    let mut forced = Vec::new();
    let mut reader = Reader::open(io.artifacts(), super::ledger_of(job)?)?;
    while let Some(record) = reader.next_record()? {
        if wanted.remove(record.key.to_string().as_str()) {
            forced.push(record.key);
        }
    }
    // What no ledger knows is at the written side alone.
    forced.extend(wanted.into_iter().map(|id| Key { id: id.to_owned(), place: None }));
    pass(source, target, job, &forced, io)
}
