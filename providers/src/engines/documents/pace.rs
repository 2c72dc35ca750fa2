//! How fast a system is written to: as many batches at once as it takes without saying that they are too many, and no
//! more than the spec allows. It is found by trying: one more after each good stretch, half as many when the system asks
//! for less or answers slower and slower.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Batches in a row that went well, for each that runs, before one more is tried.
const GOOD_STRETCH: usize = 4;
/// An answer that takes so much longer than the best of late means that batches wait for each other.
const SLOWER: u32 = 6;
/// Below this nothing is called slow.
const QUICK: Duration = Duration::from_millis(200);
/// The waits after refusals: doubled each time, from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

struct State {
    running: usize,
    allowed: usize,
    good: usize,
    best: Option<Duration>,
    refusals: u32,
}

/// See the module.
pub(crate) struct Pace {
    state: Mutex<State>,
    freed: Condvar,
    max: usize,
}

/// The right to have one batch on its way.
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    began: Instant,
}

impl Pace {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        let state = State { running: 0, allowed: max.div_ceil(2), good: 0, best: None, refusals: 0 };
        Self { state: Mutex::new(state), freed: Condvar::new(), max }
    }

    /// Waits for a turn.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running >= state.allowed {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running += 1;
        Turn { pace: self, began: Instant::now() }
    }

    /// A batch was taken.
    pub(crate) fn went_well(&self, turn: &Turn<'_>) {
        self.note(turn.began.elapsed());
    }

    fn note(&self, took: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refusals = 0;
        let best = state.best.map_or(took, |best| best.min(took));
        // What was good once may be long ago: it is forgotten slowly.
        state.best = Some(best + best / 64);
        if took > QUICK && took > best * SLOWER {
            state.allowed = (state.allowed / 2).max(1);
            state.good = 0;
            return;
        }
        state.good += 1;
        if state.good >= GOOD_STRETCH * state.allowed && state.allowed < self.max {
            state.allowed += 1;
            state.good = 0;
            self.freed.notify_all();
        }
    }

    /// The system asked for less. Returns how long to wait before the next try.
    pub(crate) fn too_much(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.allowed = (state.allowed / 2).max(1);
        state.good = 0;
        state.refusals = state.refusals.saturating_add(1);
        WAITS.1.min(WAITS.0 * 2u32.saturating_pow(state.refusals.min(16) - 1))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        self.pace.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(pace: &Pace) -> usize {
        pace.state.lock().expect("not poisoned").allowed
    }

    #[test]
    fn it_grows_while_all_is_well_and_halves_when_asked_to() {
        let pace = Pace::new(8);
        assert_eq!(allowed(&pace), 4);
        (0..200).for_each(|_| pace.note(Duration::from_millis(20)));
        assert_eq!(allowed(&pace), 8);
        let waits: Vec<Duration> = (0..12).map(|_| pace.too_much()).collect();
        assert_eq!(allowed(&pace), 1);
        assert!(waits.windows(2).all(|w| w[0] <= w[1]) && waits[11] == WAITS.1, "{waits:?}");
        (0..GOOD_STRETCH).for_each(|_| pace.note(Duration::from_millis(20)));
        assert_eq!(allowed(&pace), 2);
    }

    #[test]
    fn answers_that_become_much_slower_mean_less() {
        let pace = Pace::new(8);
        (0..200).for_each(|_| pace.note(Duration::from_millis(50)));
        pace.note(Duration::from_secs(2));
        assert_eq!(allowed(&pace), 4);
    }
}
