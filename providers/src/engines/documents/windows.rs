//! Scanning in windows of change numbers: each is asked for by itself, so that nothing has to be kept open at the system
//! between two, nothing is lost at the end of a page, and a dead run is gone on from where it was. Several at once; their
//! width follows from how many documents the last ones held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use segue_contract::{StepError, StepIo};

use super::collection::{Collection, Found, Stand, Want, Window};

/// Documents that a window is to hold, if the system likes no fewer.
const WANTED: u64 = 2_000;
/// Bytes that a window is to hold: so many times the workers are in memory at once.
const WANTED_BYTES: u64 = 4 << 20;
/// A slice of which so many times the documents that are wanted at once are left is swept, in windows of so many times.
const SWEPT: (u64, u64) = (10, 40);
/// Change numbers of a window: the first, the least, the most.
const WIDTH: (u64, u64, u64) = (1_000, 1, 4_000_000);

/// What is left of each slice, and what of it is done.
pub(crate) struct Windows {
    left: Mutex<VecDeque<Window>>,
    width: AtomicU64,
    /// How many documents are a good piece of a sweep; 0: not known yet.
    piece: AtomicU64,
    done: Mutex<Vec<Done>>,
}

/// How far a slice is: everything below `low`, and what lies beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Done {
    low: u64,
    beyond: BTreeMap<u64, u64>,
}

impl Done {
    fn add(&mut self, from: u64, to: u64) {
        self.beyond.insert(from, to);
        while let Some(end) = self.beyond.remove(&self.low) {
            self.low = self.low.max(end);
        }
    }
}

impl Windows {
    /// Everything that is settled.
    pub(crate) fn all(stand: &Stand) -> Self {
        Self::new(&vec![0; stand.slices.len()], &stand.settled())
    }

    /// Of each slice the numbers from `from` up to and without `to`.
    pub(crate) fn new(from: &[u64], to: &[u64]) -> Self {
        let each = from.iter().zip(to).enumerate();
        let left = each.filter(|(_, (from, to))| from < to).map(|(slice, (from, to))| Window {
            slice: slice as u32,
            from: *from,
            to: *to,
        });
        Self {
            left: Mutex::new(left.collect()),
            width: AtomicU64::new(WIDTH.0),
            piece: AtomicU64::new(0),
            done: Mutex::new(from.iter().map(|low| Done { low: *low, beyond: BTreeMap::new() }).collect()),
        }
    }

    /// The next window; the slices take turns.
    fn next(&self, swept: Option<u64>) -> Option<Window> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let slice = left.pop_front()?;
        let width = match swept {
            Some(wanted) if self.is_swept(slice, wanted) => wanted.saturating_mul(SWEPT.1),
            _ => self.width.load(Ordering::Relaxed),
        };
        let to = slice.to.min(slice.from.saturating_add(width));
        if to < slice.to {
            left.push_back(Window { from: to, ..slice });
        }
        Some(Window { to, ..slice })
    }

    /// Whether a window, or what is left of a slice, is large enough to be swept; the first ones say how large documents are.
    fn is_swept(&self, window: Window, wanted: u64) -> bool {
        self.piece.load(Ordering::Relaxed) > 0 && window.to - window.from >= wanted.saturating_mul(SWEPT.0)
    }

    /// Learns from a window how wide the next are to be.
    fn learn(&self, window: Window, found: &[Found], wanted: u64) {
        let bytes: u64 = found.iter().map(|f| f.body.len() as u64).sum();
        let count = found.len() as u64;
        let span = window.to - window.from;
        let by_count = span.saturating_mul(wanted) / count.max(1);
        let by_bytes = span.saturating_mul(WANTED_BYTES) / bytes.max(1);
        // A window with little in it says little of the next: twice as wide at most.
        let width = by_count.min(by_bytes).min(span.saturating_mul(2)).clamp(WIDTH.1, WIDTH.2);
        self.width.store(width, Ordering::Relaxed);
        let piece = count.saturating_mul(WANTED_BYTES) / bytes.max(1);
        if count > 0 {
            self.piece.store(piece.clamp(1, wanted), Ordering::Relaxed);
        }
    }

    /// How far each slice is done without a gap.
    pub(crate) fn lows(&self) -> Vec<u64> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().map(|done| done.low).collect()
    }

    fn add_done(&self, window: Window) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slice) = done.get_mut(window.slice as usize) {
            slice.add(window.from, window.to);
        }
    }

    /// Scans all windows with so many workers, and hands what each holds to `each`; a window is done when `each` returns.
    /// Afterwards `after` is called, by the same worker.
    pub(crate) fn run(
        &self,
        from: &dyn Collection,
        want: Want,
        workers: usize,
        io: &dyn StepIo,
        each: &(dyn Fn(Vec<Found>) -> Result<(), StepError> + Sync),
        after: &(dyn Fn() -> Result<(), StepError> + Sync),
    ) -> Result<(), StepError> {
        let most = from.limits().scan_documents_max;
        let wanted = match want {
            Want::Bodies => most.min(WANTED),
            // Keys are small. One window holds more than the one before: not so many that half of them are asked for again.
            Want::Keys => most - most / 4,
        }
        .max(1);
        let stop = AtomicBool::new(false);
        let failure: Mutex<Option<StepError>> = Mutex::new(None);
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(window) = self.next(from.sweeps().then_some(wanted)) else { return Ok(()) };
                let scan = Scan { windows: self, from, want, wanted, io, each };
                scan.one(window)?;
                self.add_done(window);
                after()?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..workers.max(1) {
                scope.spawn(|| {
                    if let Err(error) = work() {
                        stop.store(true, Ordering::Relaxed);
                        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // A worker that was stopped knows less than the one that failed.
                        let better = first
                            .as_ref()
                            .is_none_or(|first| first.class == segue_contract::ErrorClass::Cancelled);
                        if better {
                            *first = Some(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

struct Scan<'a> {
    windows: &'a Windows,
    from: &'a dyn Collection,
    want: Want,
    wanted: u64,
    io: &'a dyn StepIo,
    each: &'a (dyn Fn(Vec<Found>) -> Result<(), StepError> + Sync),
}

impl Scan<'_> {
    /// A large window in pieces. Once one was handed on, a failure is the step's, which is done again as a whole: nobody could
    /// tell which documents came already.
    fn sweep(&self, window: Window) -> Result<bool, StepError> {
        let mut handed_on = false;
        let piece = self.windows.piece.load(Ordering::Relaxed);
        super::again::again(self.io, || {
            let mut each = |found: Vec<Found>| {
                handed_on = true;
                if self.io.cancelled() { Err(StepError::cancelled()) } else { (self.each)(found) }
            };
            match self.from.sweep(window, self.want, piece, &mut each) {
                Err(error) if handed_on => Ok(Err(error)),
                swept => swept.map(Ok),
            }
        })?
    }

    /// One window, or its halves where it holds too much.
    fn one(&self, window: Window) -> Result<(), StepError> {
        if self.io.cancelled() {
            return Err(StepError::cancelled());
        }
        if self.from.sweeps() && self.windows.is_swept(window, self.wanted) && self.sweep(window)? {
            return Ok(());
        }
        match super::again::again(self.io, || self.from.scan(window, self.want))? {
            Some(found) => {
                self.windows.learn(window, &found, self.wanted);
                (self.each)(found)
            }
            None if window.to - window.from <= 1 => Err(StepError::permanent(format!(
                "one document of slice {} (change {}) is larger than a reply may be",
                window.slice, window.from
            ))
            .remedy("leave it out, or make it smaller")),
            None => {
                let middle = window.from + (window.to - window.from) / 2;
                self.windows.width.store(middle - window.from, Ordering::Relaxed);
                self.one(Window { to: middle, ..window })?;
                self.one(Window { from: middle, ..window })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_mark_waits_for_the_windows_before_it() {
        let windows = Windows::new(&[0, 5], &[10, 5]);
        windows.add_done(Window { slice: 0, from: 4, to: 7 });
        assert_eq!(windows.lows(), [0, 5]);
        windows.add_done(Window { slice: 0, from: 0, to: 4 });
        assert_eq!(windows.lows(), [7, 5]);
        windows.add_done(Window { slice: 0, from: 7, to: 10 });
        assert_eq!(windows.lows(), [10, 5]);
    }

    #[test]
    fn every_number_is_in_one_window() {
        let windows = Windows::new(&[3, 0, 7], &[9, 2_500, 7]);
        let mut seen = BTreeMap::new();
        while let Some(window) = windows.next(None) {
            for number in window.from..window.to {
                *seen.entry((window.slice, number)).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 6 + 2_500);
        assert!(seen.values().all(|times| *times == 1));
    }
}
