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
use super::ledger::{Census, Ledger, Mark, Marks, Record};
use super::runs::{Entry, Merged, Runs};
use super::sides::Sides;
use super::sorted::in_batches;

/// Numbers that are looked at one by one at most: two bytes each in memory.
const NUMBERS_MAX: usize = 16 << 20;

/// The documents of a ledger that are gone from the side that is read. `here`: the pass's bound. `None`: that cannot be told
/// without looking at every key.
pub(crate) fn find(
    sides: &Sides<'_>,
    ledger: &mut Ledger,
    here: &Stand,
) -> Result<Option<Merged>, StepError> {
    let tally = &ledger.about().tally;
    let live = tally.live(sides.from());
    let Some(known) = tally.census(sides.from(), here).cloned() else { return Ok(None) };
    let Some(counted) = counted(sides, &known, here)? else { return Ok(None) };
    let count = |census: &Census, part: usize| census.parts.get(part).copied().unwrap_or(0);
    let parts = 0..known.parts.len().max(counted.parts.len());
    let differs: Vec<usize> = parts.filter(|part| count(&known, *part) != count(&counted, *part)).collect();
    // Each of those without a number is asked for: not where they are most.
    if known.elsewhere > live / 2 {
        return Ok(None);
    }
    let Some(fine) = Fine::of(sides, &known, &differs, here)? else { return Ok(None) };
    let (gone, were_there) = fine.gone(sides, ledger, &known)?;
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
    let parts = vec![0; usize::try_from(like.parts_of(here)).unwrap_or(0)];
    let mut census = Census { width: like.width, parts, elsewhere: 0 };
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
        parts: &[usize],
        here: &Stand,
    ) -> Result<Option<Self>, StepError> {
        let width = usize::try_from(census.width).unwrap_or(usize::MAX);
        let numbers = parts.len().saturating_mul(width);
        if numbers > NUMBERS_MAX {
            return Ok(None);
        }
        let begins = parts.iter().enumerate().map(|(at, part)| (*part, at * width)).collect();
        let mut fine = Self { begins, width, there: vec![0; numbers], known: vec![0; numbers] };
        for (slice, stand) in (0..).zip(&here.slices) {
            let mut batch: Vec<(usize, Window)> = Vec::new();
            for (begin, window) in pieces(parts, census.width, slice, stand.settled) {
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
        let mut known = std::mem::take(&mut self.known);
        let is_unequal = |marks: &Marks| {
            let mark = marks.of(from);
            self.place(census, mark).is_some() || census.part_of(mark).is_none()
        };
        while let Some(record) = records.next_where(is_unequal)? {
            if let Some(at) = self.place(census, record.mark(from)) {
                add(&mut known, at, u64::from(record.mark(from).version > 0));
            }
            candidates.push(Entry { record, gone: false })?;
        }
        let is_suspected = |record: &Record| {
            self.place(census, record.mark(from)).is_none_or(|at| self.there.get(at) != known.get(at))
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
