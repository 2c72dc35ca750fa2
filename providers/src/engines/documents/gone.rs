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
//! is missing are asked for by key. No document is opened for it. Where the ledger is wrong (a ledger of an earlier version, a
//! write that landed twice), the count above does not come out, and every key is looked at. While clients write, the count
//! cannot come out: what was missed then is at most what changed since, and the next pass looks again; the last one, at the
//! fence, has nothing that changes under it.

use std::collections::BTreeMap;

use segue_contract::StepError;

use super::again::again;
use super::collection::{CENSUS_PARTS_MAX, Stand, Window};
use super::ledger::{Ledger, Mark, Record};
use super::runs::{Entry, Merged, Runs};
use super::sides::Sides;
use super::sorted::in_batches;

/// Numbers in a part at least: so few documents are read as quickly as none.
const WIDTH_MIN: u64 = 32;
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
        let highest = stand.bound();
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
    ledger: &mut Ledger,
    live: u64,
    known: &Census,
    here: &Stand,
) -> Result<Option<Merged>, StepError> {
    let Some(counted) = counted(sides, known, here)? else { return Ok(None) };
    let differs: Vec<bool> =
        known.parts.iter().zip(&counted.parts).map(|(known, there)| known != there).collect();
    // Each of those without a number is asked for: not where they are most.
    if known.elsewhere > live / 2 {
        return Ok(None);
    }
    let Some(fine) = Fine::of(sides, known, &differs, here)? else { return Ok(None) };
    let (gone, were_there) = fine.gone(sides, ledger, known)?;
    let after = again(sides.io, || sides.read.stand())?;
    if !after.is_of_one_unit_with(here) {
        return Ok(None);
    }
    let since = after.changes_since(&here.settled());
    let is_all = (counted.total() + were_there).abs_diff(live) <= since;
    if is_all { gone.finish().map(Some) } else { Ok(None) }
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
        for (slice, stand) in (0..).zip(&here.slices) {
            let mut batch: Vec<(usize, Window)> = Vec::new();
            for (begin, window) in pieces(&parts, census.width, slice, stand.settled) {
                let numbers: u64 = batch.iter().map(|(_, w)| w.to - w.from).sum();
                if numbers + (window.to - window.from) > CENSUS_PARTS_MAX
                    && !fine.count(sides, &std::mem::take(&mut batch))?
                {
                    return Ok(None);
                }
                batch.push((begin, window));
            }
            if !fine.count(sides, &batch)? {
                return Ok(None);
            }
        }
        Ok(Some(fine))
    }

    /// Adds what a slice has in some windows, each with where its numbers are in the lists; `false`: it cannot be counted.
    fn count(&mut self, sides: &Sides<'_>, batch: &[(usize, Window)]) -> Result<bool, StepError> {
        let windows: Vec<Window> = batch.iter().map(|(_, window)| *window).collect();
        if windows.is_empty() {
            return Ok(true);
        }
        let Some(counts) = again(sides.io, || sides.read.census(&windows, 1))? else { return Ok(false) };
        let places =
            batch.iter().flat_map(|(begin, window)| *begin..*begin + (window.to - window.from) as usize);
        places.zip(counts).for_each(|(at, count)| add(&mut self.there, at, count));
        Ok(true)
    }

    fn place(&self, census: &Census, mark: Mark) -> Option<usize> {
        let begin = self.begins.get(&census.part_of(mark)?)?;
        let inside = mark.number.checked_sub(1)? % census.width;
        Some(begin + usize::try_from(inside).ok().filter(|inside| *inside < self.width)?)
    }

    /// The records whose documents are not there any more, and how many of them the ledger has as being there: of those with a
    /// number that the side has not as often as the ledger, and of those without one, each is asked for by itself.
    fn gone(
        mut self,
        sides: &Sides<'_>,
        ledger: &mut Ledger,
        census: &Census,
    ) -> Result<(Runs, u64), StepError> {
        let (from, artifacts) = (sides.from(), sides.io.artifacts());
        // What may be gone as far as the parts say; a second time the ledger is not read.
        let mut candidates = Runs::new(artifacts);
        let mut records = ledger.records()?;
        while let Some(record) = records.next_record()? {
            let mark = record.mark(from);
            match self.place(census, mark) {
                Some(at) => add(&mut self.known, at, u64::from(mark.version > 0)),
                None if census.part_of(mark).is_some() => continue,
                None => {}
            }
            candidates.push(Entry { record, gone: false })?;
        }
        let is_suspected = |record: &Record| {
            self.place(census, record.mark(from)).is_none_or(|at| self.there.get(at) != self.known.get(at))
        };
        let (mut gone, mut were_there) = (Runs::new(artifacts), 0);
        let mut candidates = candidates.finish()?;
        in_batches(
            || candidates.next(),
            |entry| is_suspected(&entry.record).then_some(entry.record),
            |suspected| {
                // What a census misses may have changed since.
                let now = sides.now(from, &suspected)?;
                for (record, _) in suspected.into_iter().zip(now).filter(|(_, now)| now.is_none()) {
                    were_there += u64::from(record.mark(from).version > 0);
                    gone.push(Entry { record, gone: false })?;
                }
                Ok(())
            },
        )?;
        Ok((gone, were_there))
    }
}

/// The windows of some parts, none of them larger than what can be counted at once, each with where its numbers are in the lists.
fn pieces(
    parts: &[usize],
    width: u64,
    slice: u32,
    settled: u64,
) -> impl Iterator<Item = (usize, Window)> + '_ {
    parts.iter().enumerate().flat_map(move |(at, part)| {
        let first = *part as u64 * width;
        let end = (first + width).min(settled);
        let begin = at as u64 * width;
        (first..end).step_by(CENSUS_PARTS_MAX as usize).map(move |from| {
            let window = Window { slice, from, to: (from + CENSUS_PARTS_MAX).min(end) };
            ((begin + from - first) as usize, window)
        })
    })
}

fn add(list: &mut [u8], at: usize, count: u64) {
    if let Some(sum) = list.get_mut(at) {
        *sum = sum.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
    }
}
