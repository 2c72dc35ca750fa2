//! Looking at the side that is written for what Segue did not write there (protocol P21). Where it stands says at once
//! whether there is anything: every write of anybody moves it. If it moved, what changed since is held against the ledger
//! and the notes of dead runs, and where documents are missing every key is looked at.

use segue_contract::{ArtifactName, StaleFind, StepError, StepIo};

use super::again::again;
use super::collection::{Key, Stand, Want};
use super::keep;
use super::keys::{all, keys};
use super::ledger::{About, Reader, Record};
use super::notes::Notes;
use super::runs::{Entry, Merged, Runs};
use super::sides::Sides;
use super::windows::Windows;
use crate::engines::report::Bounded;

/// What was found.
pub(crate) struct Foreign {
    /// What Segue did not write.
    pub(crate) finds: Bounded<StaleFind>,
    /// The keys of what is to be carried whatever the ledger says: theirs, and those of a run that died.
    pub(crate) keys: Runs,
    /// The highest version among them.
    pub(crate) above: Option<u64>,
    /// Where the side stood when it was looked at.
    pub(crate) stand: Stand,
    /// From where on it was looked at: the ledger's.
    pub(crate) looked_from: Stand,
    /// Documents that were looked at.
    pub(crate) seen: u64,
}

impl Foreign {
    /// Nothing was found, and nothing is looked for: clients write there, too.
    pub(crate) fn nobody(there: &Stand, io: &dyn StepIo) -> Self {
        Self {
            finds: Bounded::default(),
            keys: Runs::new(io.artifacts()),
            above: None,
            stand: there.clone(),
            looked_from: there.clone(),
            seen: 0,
        }
    }
}

/// What is done with a find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It is told: whoever only looks changes nothing.
    Told,
    /// It is kept aside, for it will be written over.
    KeptAside,
}

/// Looks at what was written since the ledger.
pub(crate) fn look(
    sides: &Sides<'_>,
    ledger: &ArtifactName,
    known: &About,
    notes: &Notes,
    each: Finds,
) -> Result<Foreign, StepError> {
    let (to, io) = (sides.to(), sides.io);
    let stand = again(io, || sides.write.stand())?;
    let before = known.stand(to).clone();
    if before.incarnation != stand.incarnation || before.slices.len() != stand.slices.len() {
        let unit = sides.job.writes().scope.join(", ");
        return Err(StepError::permanent(format!(
            "{}: {unit} is another one than the one that was loaded: it was deleted and made anew",
            sides.job.writes().address
        ))
        .remedy("nothing was written to it; find out who did that, then load it again: `segue apply --redo` with the unit's load step"));
    }
    let ends = |stand: &Stand| stand.slices.iter().map(|slice| slice.all).collect::<Vec<_>>();
    let mut foreign = Foreign { looked_from: before.clone(), ..Foreign::nobody(&stand, io) };
    if ends(&before) == ends(&stand) && !notes.is_resumed() {
        return Ok(foreign);
    }
    let since = Windows::new(&settled(&before), &settled(&stand));
    let changed = keys(&*sides.write, to, &since, sides.workers(), io)?;
    Look { sides, notes, each, foreign: &mut foreign }.compare(ledger, changed)?;
    Ok(foreign)
}

fn settled(stand: &Stand) -> Vec<u64> {
    stand.slices.iter().map(|slice| slice.settled).collect()
}

struct Look<'a> {
    sides: &'a Sides<'a>,
    notes: &'a Notes,
    each: Finds,
    foreign: &'a mut Foreign,
}

impl Look<'_> {
    /// Holds what changed there against the ledger.
    fn compare(&mut self, ledger: &ArtifactName, mut changed: Merged) -> Result<(), StepError> {
        let to = self.sides.to();
        let mut reader = Reader::open(self.sides.io.artifacts(), ledger)?;
        let mut known = reader.next_record()?;
        // Documents that the side should have: those of the ledger, and those that were found beyond it.
        let mut expected = 0u64;
        while let Some(entry) = changed.next()? {
            self.foreign.seen += 1;
            while known.as_ref().is_some_and(|known| known.key < entry.record.key) {
                expected += u64::from(known.as_ref().is_some_and(|known| known.mark(to).version > 0));
                known = reader.next_record()?;
            }
            let same = known.as_ref().filter(|known| known.key == entry.record.key);
            let version = entry.record.mark(to).version;
            expected += u64::from(same.is_none_or(|known| known.mark(to).version == 0));
            if same.is_some_and(|known| known.mark(to).version == version) {
                continue;
            }
            if self.notes.knows(&entry.record.key, version) {
                // A run that died wrote it, and no ledger says so: whether it is still wanted is looked at by key.
                self.carry(entry.record.key)?;
                continue;
            }
            let what = if same.is_some() { "changed" } else { "created" };
            self.found(&entry.record, version, what)?;
        }
        while let Some(record) = known {
            expected += u64::from(record.mark(to).version > 0);
            known = reader.next_record()?;
        }
        let count = again(self.sides.io, || self.sides.write.count())?;
        if count == expected { Ok(()) } else { self.missing(ledger) }
    }

    fn found(&mut self, record: &Record, version: u64, what: &str) -> Result<(), StepError> {
        let key = [record.key.clone()];
        let there = match self.each {
            Finds::Told => None,
            Finds::KeptAside => {
                let read = again(self.sides.io, || self.sides.write.read(&key, Want::Bodies))?;
                read.into_iter().next().flatten()
            }
        };
        let find = match there {
            Some(found) => keep::keep(self.sides, &found, what)?,
            None => keep::find(&record.key, what),
        };
        self.foreign.above = self.foreign.above.max(Some(version));
        self.foreign.finds.push(find);
        self.carry(record.key.clone())
    }

    fn carry(&mut self, key: Key) -> Result<(), StepError> {
        self.foreign.keys.push(Entry { record: Record::of(key), gone: false })
    }

    /// Documents of the ledger that are no longer there.
    fn missing(&mut self, ledger: &ArtifactName) -> Result<(), StepError> {
        let (sides, to) = (self.sides, self.sides.to());
        let every = all(&self.foreign.stand);
        let mut there = keys(&*sides.write, to, &every, sides.workers(), sides.io)?;
        let mut found = there.next()?;
        let mut reader = Reader::open(sides.io.artifacts(), ledger)?;
        while let Some(record) = reader.next_record()? {
            while found.as_ref().is_some_and(|found| found.record.key < record.key) {
                found = there.next()?;
            }
            let is_there = found.as_ref().is_some_and(|found| found.record.key == record.key);
            if is_there || record.mark(to).version == 0 {
                continue;
            }
            let key = [record.key.clone()];
            let now = again(sides.io, || sides.write.read(&key, Want::Keys))?;
            if now.into_iter().flatten().next().is_some() {
                continue;
            }
            self.foreign.above = self.foreign.above.max(Some(record.mark(to).version));
            self.carry(record.key.clone())?;
            if self.notes.knows_deletion(&record.key) {
                continue;
            }
            // A deletion of what is gone on both sides is no loss, whoever did it.
            let here = again(sides.io, || sides.read.read(&key, Want::Keys))?;
            if here.into_iter().flatten().next().is_some() {
                self.foreign.finds.push(keep::find(&record.key, "deleted"));
            }
        }
        Ok(())
    }
}
