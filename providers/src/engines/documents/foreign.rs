//! Looking at the side that is written for what Segue did not write there (protocol P21). Where it stands says at once
//! whether there is anything: every write of anybody moves it. If it moved, what changed since is held against the ledger
//! and the notes of dead runs, and where documents are missing every key is looked at.

use segue_contract::{StaleFind, StepError, StepIo};

use super::again::again;
use super::collection::{Key, Stand, Want};
use super::keep;
use super::ledger::{Ledger, Record};
use super::notes::Notes;
use super::runs::{Entry, Merged, Runs};
use super::sides::Sides;
use super::sorted::{Join, in_batches};
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
    ledger: &mut Ledger,
    notes: &Notes,
    each: Finds,
) -> Result<Foreign, StepError> {
    let (to, io) = (sides.to(), sides.io);
    let stand = again(io, || sides.write.stand())?;
    let before = ledger.about().stand(to).clone();
    if !before.is_of_one_unit_with(&stand) {
        let unit = sides.job.writes().scope.join(", ");
        return Err(StepError::permanent(format!(
            "{}: {unit} is another one than the one that was loaded: it was deleted and made anew",
            sides.job.writes().address
        ))
        .remedy("nothing was written to it; find out who did that, and bring back the one that was there. To begin anew, give the migration another name in the spec"));
    }
    let ends = |stand: &Stand| stand.slices.iter().map(|slice| slice.all).collect::<Vec<_>>();
    let mut foreign = Foreign { looked_from: before.clone(), ..Foreign::nobody(&stand, io) };
    if ends(&before) == ends(&stand) && !notes.is_resumed() {
        return Ok(foreign);
    }
    again(io, || sides.write.show())?;
    let changed = sides.keys(to, &Windows::new(&before.settled(), &stand.settled()))?;
    Look { sides, notes, each, foreign: &mut foreign }.compare(ledger, changed)?;
    Ok(foreign)
}

struct Look<'a> {
    sides: &'a Sides<'a>,
    notes: &'a Notes,
    each: Finds,
    foreign: &'a mut Foreign,
}

impl Look<'_> {
    /// Holds what changed there against the ledger.
    fn compare(&mut self, ledger: &mut Ledger, changed: Merged) -> Result<(), StepError> {
        let to = self.sides.to();
        let mut join = Join::of(ledger.records()?, changed)?;
        // Documents that the side should have: those of the ledger, and those that were found beyond it.
        let mut expected = 0u64;
        while let Some((known, entry)) = join.next()? {
            let Some(Entry { record, .. }) = entry else {
                expected += u64::from(known.is_some_and(|known| known.mark(to).version > 0));
                continue;
            };
            self.foreign.seen += 1;
            expected += 1;
            let version = record.mark(to).version;
            if known.as_ref().is_some_and(|known| known.mark(to).version == version) {
                continue;
            }
            if self.notes.knows(&record.key, version) {
                // A run that died wrote it, and no ledger says so: whether it is still wanted is looked at by key.
                self.carry(record.key)?;
                continue;
            }
            self.found(record, version, if known.is_some() { "changed" } else { "created" })?;
        }
        let count = again(self.sides.io, || self.sides.write.count())?;
        if count == expected { Ok(()) } else { self.missing(ledger) }
    }

    fn found(&mut self, record: Record, version: u64, what: &str) -> Result<(), StepError> {
        let there = match self.each {
            Finds::Told => None,
            Finds::KeptAside => {
                let key = std::slice::from_ref(&record.key);
                self.sides.look_up(self.sides.to(), key, Want::Bodies)?.pop().flatten()
            }
        };
        let find = match there {
            Some(found) => keep::keep(self.sides, &found, what)?,
            None => keep::find(&record.key, what),
        };
        self.foreign.above = self.foreign.above.max(Some(version));
        self.foreign.finds.push(find);
        self.carry(record.key)
    }

    fn carry(&mut self, key: Key) -> Result<(), StepError> {
        self.foreign.keys.push(Entry { record: Record::of(key), gone: false })
    }

    /// Documents of the ledger that are no longer there.
    fn missing(&mut self, ledger: &mut Ledger) -> Result<(), StepError> {
        let to = self.sides.to();
        let there = self.sides.keys(to, &Windows::all(&self.foreign.stand))?;
        let mut join = Join::of(ledger.records()?, there)?;
        let not_found = |(record, found): (Option<Record>, Option<Entry>)| {
            record.filter(|record| found.is_none() && record.mark(to).version > 0)
        };
        in_batches(|| join.next(), not_found, |doubtful| self.missing_of(doubtful))
    }

    /// Those that are really gone; scans may not see all yet.
    fn missing_of(&mut self, doubtful: Vec<Record>) -> Result<(), StepError> {
        let (from, to) = (self.sides.from(), self.sides.to());
        let now = self.sides.now(to, &doubtful)?;
        let mut nobodys = Vec::new();
        for (record, _) in doubtful.into_iter().zip(now).filter(|(_, now)| now.is_none()) {
            self.foreign.above = self.foreign.above.max(Some(record.mark(to).version));
            self.carry(record.key.clone())?;
            if !self.notes.knows_deletion(&record.key) {
                nobodys.push(record);
            }
        }
        if nobodys.is_empty() {
            return Ok(());
        }
        // A deletion of what is gone on both sides is no loss, whoever did it.
        for (record, here) in nobodys.iter().zip(self.sides.now(from, &nobodys)?) {
            if here.is_some() {
                self.foreign.finds.push(keep::find(&record.key, "deleted"));
            }
        }
        Ok(())
    }
}
