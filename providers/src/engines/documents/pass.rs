//! One incremental pass: what changed since the ledger is carried, what is gone is deleted, and what somebody else wrote to
//! the side that is written is kept aside and written over.
//!
//! The upper bound is what was settled on every copy when the pass began. Deletions cannot be asked for; that there are
//! none is known when the side that is read holds as many documents as the ledger. Else they are looked for ([`gone`]), where
//! the system counts its documents by the numbers of their last changes only where those counts and the ledger differ; and
//! every key is looked at where it does not, or where that does not account for all of them.

use std::time::Instant;

use segue_contract::{PassReport, PassTimes, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Found, Key, Stand, Want};
use super::deletions::Gathered;
use super::foreign::{Finds, Foreign, look};
use super::gone;
use super::ledger::{About, Draft, Ledger, Record, Stood};
use super::merge::merge;
use super::notes::Notes;
use super::runs::{Entry, Merged, Runs};
use super::send::Sender;
use super::sides::{Sides, position, shown};
use super::sorted::{Join, in_batches};
use super::versions::Versions;
use super::windows::Windows;
use super::{fill, load, micros, report_of};

/// See [`segue_contract::Engine::pass`]; `forced` are carried whatever the ledger says of them.
pub(crate) fn pass(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    forced: &[Key],
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    super::ledger_of(job)?;
    // A load that ended is in the ledger: what it noted is nobody's any more.
    load::forget(job, io);
    fill::forget(job, io);
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
    let mut ledger = Ledger::open(io.artifacts(), super::ledger_of(job)?)?;
    let known = ledger.about().clone();
    let here = shown(&*sides.read, io)?;
    sides.prove(&here, known.stand(sides.from()))?;
    // After the last number that is read, and before anything is written.
    let around = again(io, || sides.writes.surround(job, io))?;
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
        look(&sides, &mut ledger, &notes, Finds::KeptAside)?
    };
    for key in forced {
        foreign.keys.push(Entry { record: Record::of(key.clone()), gone: false })?;
    }
    let sender = Sender::new(&sides, notes, versions.epoch, known.pass + 1, Runs::new(io.artifacts()));
    let pass = Pass { sides: &sides, ledger, known, here, versions, sender };
    let mut report = pass.run(foreign, began)?;
    report.set_aside_total += around.len() as u64;
    report.set_aside.extend(around);
    Ok(report)
}

struct Pass<'a> {
    sides: &'a Sides<'a>,
    ledger: Ledger,
    known: About,
    /// Where the side that is read stood when the pass began.
    here: Stand,
    versions: Versions,
    sender: Sender<'a, Runs>,
}

impl Pass<'_> {
    fn run(mut self, mut foreign: Foreign, began: Instant) -> Result<PassReport, StepError> {
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
        let sent = self.sent()?;
        let mut draft = merge(io.artifacts(), Some(&mut self.ledger), sent, from, &self.here)?;
        let there_now = again(io, || self.sides.read.count())?;
        if there_now != draft.live(from) {
            draft = self.deletions(draft)?;
        }
        let applied = micros(began.elapsed());
        let (written, stood) = self.stand_written(&foreign)?;
        let Self { known, here, versions, sender, .. } = self;
        let (_, tally, epoch) = sender.finish();
        let read = Stood { stand: here.carried(), highest: known.highest(from).max(tally.read_highest) };
        let above = tally.write_highest.max(foreign.above.unwrap_or(0));
        let written = Stood { stand: written, highest: known.highest(from.other()).max(above) };
        let (bytes, versions) = (known.bytes + tally.bytes, Versions { epoch, ..versions });
        let live = draft.live(from);
        let about = About::new(known.pass + 1, bytes, versions, from, read, written);
        let ledger = draft.finish(io.artifacts(), about)?;
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

    /// What became of the documents that were sent since this was asked last.
    fn sent(&self) -> Result<Merged, StepError> {
        let sent = std::mem::replace(&mut *self.sender.sink(), Runs::new(self.sides.io.artifacts()));
        sent.finish()
    }

    /// Carries what changed since the ledger; everything, where the unit was made anew.
    fn changes(&self) -> Result<(), StepError> {
        let from = self.sides.from();
        let known = self.known.stand(from);
        let to = self.here.settled();
        let since = match known.is_of_one_unit_with(&self.here) {
            true => known.settled(),
            false => vec![0; to.len()],
        };
        let each = |found: Vec<Found>| self.sender.carry(found);
        self.sides.scan(from, &Windows::new(&since, &to), Want::Bodies, &each)
    }

    /// What earlier passes could not carry is tried again.
    fn set_aside_before(&mut self, wanted: &mut Runs) -> Result<(), StepError> {
        if self.known.tally.aside == 0 {
            return Ok(());
        }
        let mut records = self.ledger.records()?;
        while let Some(record) = records.next_where(|marks| marks.aside)? {
            wanted.push(Entry { record: Record::of(record.key), gone: false })?;
        }
        Ok(())
    }

    /// Carries documents by their keys as they are now; those that are gone, and that the ledger does not have as being
    /// there, are deleted. The others are found among the deletions of the pass.
    fn carry_keys(&mut self, mut wanted: Merged) -> Result<(), StepError> {
        let mut gone = Runs::new(self.sides.io.artifacts());
        let carry = |some| self.carry_some(some, &mut gone);
        in_batches(|| wanted.next(), |entry| Some(entry.record), carry)?;
        if gone.is_empty() {
            return Ok(());
        }
        let Self { sides, ledger, sender, here, .. } = self;
        let from = sides.from();
        let mut join = Join::of(ledger.records()?, gone.finish()?)?;
        let nobodys = |(known, gone): (Option<Record>, Option<Entry>)| {
            gone.filter(|_| known.is_none_or(|known| known.mark(from).version == 0)).map(|entry| entry.record)
        };
        in_batches(|| join.next(), nobodys, |some| sender.delete(&some, here.bound()))
    }

    fn carry_some(&self, some: Vec<Record>, gone: &mut Runs) -> Result<(), StepError> {
        self.sides.go_on()?;
        let keys: Vec<Key> = some.iter().map(|record| record.key.clone()).collect();
        let now = self.sides.look_up(self.sides.from(), &keys, Want::Bodies)?;
        let mut found = Vec::new();
        for (record, document) in some.into_iter().zip(now) {
            match document {
                Some(document) => found.push(document),
                None => gone.push(Entry { record, gone: true })?,
            }
        }
        if !found.is_empty() {
            // They are as they are now, and may have what the beginning of the pass did not know. What cannot be carried of
            // it is told by the next pass.
            again(self.sides.io, || self.sides.writes.surround(self.sides.job, self.sides.io))?;
        }
        self.sender.carry(found)
    }

    /// Finds the documents of the draft that the side that is read no longer has ([`gone`]), and deletes them; after every
    /// other write of the pass, with the version of what was settled before they were looked for.
    fn deletions(&mut self, draft: Draft) -> Result<Draft, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let from = sides.from();
        let before = again(io, || sides.read.stand())?;
        let number = before.bound();
        let mut merged = draft.into_ledger(self.known.clone())?;
        let mut gathered = Gathered::new(sides);
        match gone::find(sides, &mut merged, &self.here)? {
            Some(gone) => gathered.add_all(gone)?,
            None => {
                // What is not seen would have to be asked for one by one.
                again(io, || sides.read.show())?;
                let here = sides.keys(from, &Windows::all(&before))?;
                self.all_but(&mut merged, here, &mut gathered)?;
            }
        }
        gathered.check(sides, &mut self.ledger)?.make(&self.sender, number)?;
        merge(io.artifacts(), Some(&mut merged), self.sent()?, from, &self.here)
    }

    /// The records of a ledger whose documents are not among those that were found, nor there now. One that changed while
    /// the keys were looked at is in another window: it is asked for by itself.
    fn all_but(&self, ledger: &mut Ledger, here: Merged, gathered: &mut Gathered) -> Result<(), StepError> {
        let mut join = Join::of(ledger.records()?, here)?;
        let not_found = |(record, found): (Option<Record>, Option<Entry>)| record.filter(|_| found.is_none());
        in_batches(
            || join.next(),
            not_found,
            |doubtful| {
                let now = self.sides.now(self.sides.from(), &doubtful)?;
                let gone = doubtful.into_iter().zip(now).filter(|(_, now)| now.is_none());
                gone.map(|(record, _)| record).try_for_each(|record| gathered.add(record))
            },
        )
    }

    /// Where the side that is written stands, and whether nobody else wrote there while the pass ran. If somebody did,
    /// the place from where the next pass looks stays where it was.
    fn stand_written(&self, foreign: &Foreign) -> Result<(Stand, bool), StepError> {
        if self.sides.adds() {
            // All that clients wrote there since the load began is looked at on the way back.
            return Ok((foreign.looked_from.clone(), true));
        }
        let now = again(self.sides.io, || self.sides.write.stand())?;
        let own = foreign.stand.changes() + self.sender.tally().taken;
        let alone = now.incarnation == foreign.stand.incarnation && now.is_settled() && now.changes() == own;
        Ok(if alone { (now, true) } else { (foreign.looked_from.clone(), now.changes() <= own) })
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
    let mut ledger = Ledger::open(io.artifacts(), super::ledger_of(job)?)?;
    let mut records = ledger.records()?;
    while let Some(record) = records.next_record()? {
        if wanted.remove(record.key.to_string().as_str()) {
            forced.push(record.key);
        }
    }
    // What no ledger knows is at the written side alone.
    forced.extend(wanted.into_iter().map(|id| Key { id: id.to_owned(), place: None }));
    pass(source, target, job, &forced, io)
}
