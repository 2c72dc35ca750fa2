//! Which documents the side that is read no longer has. A deletion leaves no number that could be asked for; what can be asked
//! for is how many documents there are, and where a system can say that ([`Collection::census`]), how many of them changed last
//! in each part of all change numbers.
//!
//! **Numbers say where to look, and a count proves that all was found.** Let L be the keys that the ledger has after the pass
//! merged what it carried, S those of the documents whose last change is below the pass's bound. Each of S was carried, by this
//! pass or by one before, so S is a part of L. Every key that is called gone is in L, and was asked for by itself and not there.
//! So if as many are gone as L has more than S, and nothing changed from the bound on until all of that was looked at, then those
//! that are gone are exactly those of L that are not in S: whatever the ledger says of numbers, none was missed.
//!
//! The ledger says of each document in which change it was seen last. Parts in which it has as many documents as the side hold
//! none that is gone, if it is right; the keys of the others are read, a few hundred for each deletion instead of all that there
//! are. Where it is wrong (a ledger of an earlier version, a write that landed twice), the count above does not come out, and
//! every key is looked at. While clients write, the count cannot come out: what was missed then is at most what changed since,
//! and the next pass looks again; the last one, at the fence, has nothing that changes under it.

use std::sync::{Mutex, PoisonError};

use segue_contract::{ArtifactName, StepError};

use super::again::again;
use super::collection::{CENSUS_PARTS_MAX, Found, Key, Stand, Want, Window};
use super::ledger::{Mark, Reader, Record};
use super::runs::{Entry, Merged, Runs};
use super::send::Sink;
use super::sides::Sides;
use super::windows::Windows;

/// Numbers in a part at least: so few documents are read as quickly as none.
const WIDTH_MIN: u64 = 32;
/// Keys that are asked for at once.
const READ_AT_ONCE: usize = 500;
/// So many documents to be looked at are few, whatever their share.
const FEW: u64 = 2_000;

/// How many documents changed last in each part of all change numbers, over all slices.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    width: u64,
    parts: Vec<u64>,
    /// Documents of which that is not known, or that changed since.
    elsewhere: u64,
}

impl Census {
    /// An empty one, for a unit that stands so.
    pub(crate) fn of(stand: &Stand) -> Self {
        let highest = stand.slices.iter().map(|slice| slice.settled).max().unwrap_or(0);
        let width = highest.div_ceil(CENSUS_PARTS_MAX).max(WIDTH_MIN);
        let parts = usize::try_from(highest.div_ceil(width)).unwrap_or(0);
        Self { width, parts: vec![0; parts], elsewhere: 0 }
    }

    /// One that tells nothing.
    pub(crate) fn none() -> Self {
        Self { width: 1, parts: Vec::new(), elsewhere: 0 }
    }

    fn part_of(&self, mark: Mark) -> Option<usize> {
        let number = mark.number.checked_sub(1)?;
        usize::try_from(number / self.width).ok().filter(|part| *part < self.parts.len())
    }

    pub(crate) fn add(&mut self, mark: Mark) {
        match self.part_of(mark).and_then(|part| self.parts.get_mut(part)) {
            Some(count) => *count += 1,
            None => self.elsewhere += 1,
        }
    }

    fn total(&self) -> u64 {
        self.parts.iter().sum::<u64>() + self.elsewhere
    }
}

/// The documents of a ledger, `live` of them at the side that is read, that are gone from there. `here`: the pass's bound;
/// `known`: the ledger's census. `None`: that cannot be told without looking at every key.
pub(crate) fn find(
    sides: &Sides<'_>,
    ledger: &ArtifactName,
    live: u64,
    known: &Census,
    here: &Stand,
) -> Result<Option<Vec<Record>>, StepError> {
    let Some(counted) = counted(sides, known, here)? else { return Ok(None) };
    let pairs = known.parts.iter().zip(&counted.parts);
    let differs: Vec<bool> = pairs.clone().map(|(known, counted)| known != counted).collect();
    let each = pairs.zip(&differs).filter(|(_, differs)| **differs);
    let suspected = each.map(|((known, counted), _)| (*known).max(*counted)).sum::<u64>() + known.elsewhere;
    if suspected > FEW.max(live / 2) {
        return Ok(None);
    }
    let keys = keys_of(sides, windows(known, &differs, here))?;
    let is_suspected = |record: &Record| {
        let part = known.part_of(record.mark(sides.from()));
        part.is_none_or(|part| differs.get(part).copied().unwrap_or(true))
    };
    let gone = not_among(sides, ledger, keys, &is_suspected)?;
    let after = again(sides.io, || sides.read.stand())?;
    if after.incarnation != here.incarnation || after.slices.len() != here.slices.len() {
        return Ok(None);
    }
    let since: u64 =
        after.slices.iter().zip(&here.slices).map(|(now, then)| now.all.saturating_sub(then.settled)).sum();
    let were_there = gone.iter().filter(|record| record.mark(sides.from()).version > 0).count() as u64;
    Ok(((counted.total() + were_there).abs_diff(live) <= since).then_some(gone))
}

/// The same by looking at every key of the side that is read.
pub(crate) fn among_all(
    sides: &Sides<'_>,
    ledger: &ArtifactName,
    here: &Stand,
) -> Result<Vec<Record>, StepError> {
    let slices = (0..).zip(&here.slices);
    let all = slices.map(|(slice, stand)| Window { slice, from: 0, to: stand.settled }).collect();
    let keys = keys_of(sides, all)?;
    not_among(sides, ledger, keys, &|_| true)
}

/// The census of the side that is read, in the parts of another.
fn counted(sides: &Sides<'_>, like: &Census, here: &Stand) -> Result<Option<Census>, StepError> {
    let mut census = Census { parts: vec![0; like.parts.len()], elsewhere: 0, ..like.clone() };
    for (slice, stand) in (0..).zip(&here.slices).filter(|(_, stand)| stand.settled > 0) {
        let window = Window { slice, from: 0, to: stand.settled };
        let Some(counts) = again(sides.io, || sides.read.census(window, like.width))? else {
            return Ok(None);
        };
        for (sum, count) in census.parts.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    Ok(Some(census))
}

/// The windows of the parts that differ, in every slice, up to its bound.
fn windows(census: &Census, differs: &[bool], here: &Stand) -> Vec<Window> {
    let mut list: Vec<Window> = Vec::new();
    for (slice, stand) in (0..).zip(&here.slices) {
        for (part, _) in (0..).zip(differs).filter(|(_, differs)| **differs) {
            let from: u64 = part * census.width;
            let to = (from + census.width).min(stand.settled);
            match list.last_mut().filter(|last| last.slice == slice && last.to == from) {
                _ if from >= to => {}
                Some(last) => last.to = to,
                None => list.push(Window { slice, from, to }),
            }
        }
    }
    list
}

/// The keys of the side that is read in some windows, in order.
fn keys_of(sides: &Sides<'_>, list: Vec<Window>) -> Result<Merged, StepError> {
    let runs = Mutex::new(Runs::new(sides.io.artifacts()));
    let each = |found: Vec<Found>| {
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        found.into_iter().try_for_each(|found| {
            Sink::push(&mut *runs, Entry { record: Record::unknown(found.key), gone: false })
        })
    };
    let windows = Windows::these(list);
    windows.run(&*sides.read, Want::Keys, sides.workers(), sides.io, &each, &|| Ok(()))?;
    runs.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
}

/// The suspected records of a ledger whose documents are not among those that were found, nor there now.
fn not_among(
    sides: &Sides<'_>,
    ledger: &ArtifactName,
    mut keys: Merged,
    is_suspected: &dyn Fn(&Record) -> bool,
) -> Result<Vec<Record>, StepError> {
    let mut reader = Reader::open(sides.io.artifacts(), ledger)?;
    let mut found = keys.next()?;
    let (mut gone, mut doubtful) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next_record()? {
        if !is_suspected(&record) {
            continue;
        }
        while found.as_ref().is_some_and(|found| found.record.key < record.key) {
            found = keys.next()?;
        }
        if found.as_ref().is_none_or(|found| found.record.key != record.key) {
            doubtful.push(record);
            if doubtful.len() >= READ_AT_ONCE {
                confirm(sides, &mut doubtful, &mut gone)?;
            }
        }
    }
    confirm(sides, &mut doubtful, &mut gone)?;
    Ok(gone)
}

/// A document that changed while the keys were looked at is in another window: it is asked for by itself.
fn confirm(sides: &Sides<'_>, doubtful: &mut Vec<Record>, gone: &mut Vec<Record>) -> Result<(), StepError> {
    let keys: Vec<Key> = doubtful.iter().map(|record| record.key.clone()).collect();
    let read = match keys.is_empty() {
        true => Vec::new(),
        false => again(sides.io, || sides.read.read(&keys, Want::Keys))?,
    };
    gone.extend(doubtful.drain(..).zip(read).filter(|(_, now)| now.is_none()).map(|(record, _)| record));
    Ok(())
}
