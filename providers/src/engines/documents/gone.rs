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
//! none that is gone, if it is right; in the others it is counted number by number, and the one or few documents of a number that
//! is missing are asked for by key. No document is opened for it. Where the ledger is wrong (a ledger of an earlier version, a write that landed twice), the count above does not come out, and
//! every key is looked at. While clients write, the count cannot come out: what was missed then is at most what changed since,
//! and the next pass looks again; the last one, at the fence, has nothing that changes under it.

use std::collections::BTreeMap;
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
/// Numbers that are looked at one by one at most: two bytes each in memory.
const NUMBERS_MAX: usize = 16 << 20;

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
    let differs: Vec<bool> =
        known.parts.iter().zip(&counted.parts).map(|(known, there)| known != there).collect();
    // Each of those without a number is asked for: not where they are most.
    if known.elsewhere > live / 2 {
        return Ok(None);
    }
    let Some(fine) = Fine::of(sides, known, &differs, here)? else { return Ok(None) };
    let gone = fine.gone(sides, ledger, known)?;
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
    let runs = Mutex::new(Runs::new(sides.io.artifacts()));
    let each = |found: Vec<Found>| {
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |found: Found| Entry { record: Record::unknown(found.key), gone: false };
        found.into_iter().try_for_each(|found| Sink::push(&mut *runs, entry(found)))
    };
    let to: Vec<u64> = here.slices.iter().map(|slice| slice.settled).collect();
    let windows = Windows::new(&vec![0; to.len()], &to);
    windows.run(&*sides.read, Want::Keys, sides.workers(), sides.io, &each, &|| Ok(()))?;
    let keys = runs.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
    not_among(sides, ledger, keys)
}

/// The census of the side that is read, in the parts of another.
fn counted(sides: &Sides<'_>, like: &Census, here: &Stand) -> Result<Option<Census>, StepError> {
    let mut census = Census { parts: vec![0; like.parts.len()], elsewhere: 0, ..like.clone() };
    for (slice, stand) in (0..).zip(&here.slices).filter(|(_, stand)| stand.settled > 0) {
        let window = [Window { slice, from: 0, to: stand.settled }];
        let Some(counts) = again(sides.io, || sides.read.census(&window, like.width))? else {
            return Ok(None);
        };
        for (sum, count) in census.parts.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    Ok(Some(census))
}

/// The parts that differ, number by number.
struct Fine {
    /// By the number of the part: where its numbers begin in the lists.
    begins: BTreeMap<usize, usize>,
    width: usize,
    /// How many documents the side that is read has with each number as that of their last change, over all slices.
    there: Vec<u8>,
    /// How many the ledger has.
    known: Vec<u8>,
}

impl Fine {
    fn of(
        sides: &Sides<'_>,
        census: &Census,
        differs: &[bool],
        here: &Stand,
    ) -> Result<Option<Self>, StepError> {
        let parts: Vec<usize> =
            (0..).zip(differs).filter(|(_, differs)| **differs).map(|(at, _)| at).collect();
        let width = usize::try_from(census.width).unwrap_or(usize::MAX);
        let numbers = parts.len().saturating_mul(width);
        if numbers > NUMBERS_MAX {
            return Ok(None);
        }
        let begins = parts.iter().enumerate().map(|(at, part)| (*part, at * width)).collect();
        let mut fine = Self { begins, width, there: vec![0; numbers], known: vec![0; numbers] };
        let at_once = usize::try_from(CENSUS_PARTS_MAX).unwrap_or(1) / width.max(1);
        for (slice, stand) in (0..).zip(&here.slices) {
            for some in parts.chunks(at_once.max(1)) {
                if !fine.count(sides, census, some, slice, stand.settled)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(fine))
    }

    /// Adds what a slice has in some parts; `false`: it cannot be counted.
    fn count(
        &mut self,
        sides: &Sides<'_>,
        census: &Census,
        parts: &[usize],
        slice: u32,
        settled: u64,
    ) -> Result<bool, StepError> {
        let window = |part: &usize| {
            let from = *part as u64 * census.width;
            Window { slice, from, to: (from + census.width).min(settled) }
        };
        let windows: Vec<Window> = parts.iter().map(window).filter(|w| w.from < w.to).collect();
        if windows.is_empty() {
            return Ok(true);
        }
        let Some(counts) = again(sides.io, || sides.read.census(&windows, 1))? else { return Ok(false) };
        let mut counts = counts.into_iter();
        for (part, window) in parts.iter().zip(&windows) {
            let begin = self.begins.get(part).copied().unwrap_or(usize::MAX);
            let len = usize::try_from(window.to - window.from).unwrap_or(0);
            for (at, count) in (begin..).zip(counts.by_ref().take(len)) {
                add(&mut self.there, at, count);
            }
        }
        Ok(true)
    }

    fn place(&self, census: &Census, mark: Mark) -> Option<usize> {
        let begin = self.begins.get(&census.part_of(mark)?)?;
        let inside = mark.number.checked_sub(1)? % census.width;
        Some(begin + usize::try_from(inside).ok().filter(|inside| *inside < self.width)?)
    }

    /// The records whose documents are not there any more: of those with a number that the side has not as often as the ledger,
    /// and of those without one, each is asked for by itself.
    fn gone(
        mut self,
        sides: &Sides<'_>,
        ledger: &ArtifactName,
        census: &Census,
    ) -> Result<Vec<Record>, StepError> {
        let from = sides.from();
        let mut reader = Reader::open(sides.io.artifacts(), ledger)?;
        while let Some(record) = reader.next_record()? {
            if let Some(at) = self.place(census, record.mark(from)) {
                add(&mut self.known, at, u64::from(record.mark(from).version > 0));
            }
        }
        let is_suspected = |record: &Record| match self.place(census, record.mark(from)) {
            Some(at) => self.there.get(at) != self.known.get(at),
            None => census.part_of(record.mark(from)).is_none(),
        };
        let (mut gone, mut doubtful) = (Vec::new(), Vec::new());
        let mut reader = Reader::open(sides.io.artifacts(), ledger)?;
        while let Some(record) = reader.next_record()? {
            if is_suspected(&record) {
                doubtful.push(record);
                if doubtful.len() >= READ_AT_ONCE {
                    confirm(sides, &mut doubtful, &mut gone)?;
                }
            }
        }
        confirm(sides, &mut doubtful, &mut gone)?;
        Ok(gone)
    }
}

fn add(list: &mut [u8], at: usize, count: u64) {
    if let Some(sum) = list.get_mut(at) {
        *sum = sum.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
    }
}

/// The records of a ledger whose documents are not among those that were found, nor there now.
fn not_among(sides: &Sides<'_>, ledger: &ArtifactName, mut keys: Merged) -> Result<Vec<Record>, StepError> {
    let mut reader = Reader::open(sides.io.artifacts(), ledger)?;
    let mut found = keys.next()?;
    let (mut gone, mut doubtful) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next_record()? {
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
