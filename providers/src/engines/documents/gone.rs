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
use super::sides::{Sides, each_at_once};
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
    let Some(counted) = census_like(sides, &known, here)? else { return Ok(None) };
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
fn census_like(sides: &Sides<'_>, like: &Census, here: &Stand) -> Result<Option<Census>, StepError> {
    let parts = vec![0; usize::try_from(like.parts_of(here)).unwrap_or(0)];
    let mut census = Census { width: like.width, parts, elsewhere: 0 };
    let settled = (0..).zip(&here.slices).filter(|(_, stand)| stand.settled > 0);
    let windows: Vec<_> =
        settled.map(|(slice, stand)| [Window { slice, from: 0, to: stand.settled }]).collect();
    let of_slice = |window: &[Window; 1]| again(sides.io, || sides.read.census(window, like.width));
    for counts in each_at_once(&windows, sides.workers(), of_slice)? {
        let Some(counts) = counts else { return Ok(None) };
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
        let slices = (0..).zip(&here.slices);
        let asked: Vec<Vec<Piece>> =
            slices.flat_map(|(slice, stand)| requests(parts, census.width, slice, stand.settled)).collect();
        let of_some = |some: &Vec<Piece>| {
            let windows: Vec<Window> = some.iter().map(|piece| piece.window).collect();
            again(sides.io, || sides.read.census(&windows, 1))
        };
        for (some, counts) in asked.iter().zip(each_at_once(&asked, sides.workers(), of_some)?) {
            let Some(counts) = counts else { return Ok(None) };
            let places = some.iter().flat_map(Piece::places);
            places.zip(counts).for_each(|(at, count)| add(&mut fine.there, at, count));
        }
        Ok(Some(fine))
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

/// A window of a part, and where its numbers are in the lists.
struct Piece {
    begin: usize,
    window: Window,
}

impl Piece {
    fn numbers(&self) -> u64 {
        self.window.to - self.window.from
    }

    fn places(&self) -> std::ops::Range<usize> {
        self.begin..self.begin + self.numbers() as usize
    }
}

/// The windows of some parts in a slice, none of them larger than what can be counted at once; as many as that in one request.
fn requests(parts: &[usize], width: u64, slice: u32, settled: u64) -> Vec<Vec<Piece>> {
    let pieces = parts.iter().enumerate().flat_map(|(at, part)| {
        let first = *part as u64 * width;
        let end = (first + width).min(settled);
        let begin = at as u64 * width;
        (first..end).step_by(CENSUS_PARTS_MAX as usize).map(move |from| {
            let window = Window { slice, from, to: (from + CENSUS_PARTS_MAX).min(end) };
            Piece { begin: (begin + from - first) as usize, window }
        })
    });
    let (mut requests, mut numbers): (Vec<Vec<Piece>>, u64) = (Vec::new(), 0);
    for piece in pieces {
        numbers += piece.numbers();
        match requests.last_mut() {
            Some(last) if numbers <= CENSUS_PARTS_MAX => last.push(piece),
            _ => {
                numbers = piece.numbers();
                requests.push(vec![piece]);
            }
        }
    }
    requests
}

fn add(list: &mut [u8], at: usize, count: u64) {
    if let Some(sum) = list.get_mut(at) {
        *sum = sum.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
    }
}
