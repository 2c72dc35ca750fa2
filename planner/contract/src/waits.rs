//! What this process waits for at the moment: said by whoever waits for somebody else, told to people by whoever shows a
//! run. Nobody who may wait for long is silent.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static WAITS: Mutex<Waits> = Mutex::new(Waits { next: 0, of: BTreeMap::new() });

struct Waits {
    next: u64,
    of: BTreeMap<u64, Wait>,
}

/// One thing that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Each has its own in this process.
    pub id: u64,
    /// For what: `an answer to GET https://host/_search`.
    pub for_what: String,
    /// Since when.
    pub since: Instant,
    /// How long at most.
    pub at_most: Duration,
}

impl Wait {
    /// For people: for what, since when, until when.
    pub fn text(&self) -> String {
        let seconds = |time: Duration| time.as_secs();
        format!(
            "waits for {}, since {} s, {} s at most",
            self.for_what,
            seconds(self.since.elapsed()),
            seconds(self.at_most)
        )
    }
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting(u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.lock().unwrap_or_else(PoisonError::into_inner).of.remove(&self.0);
    }
}

/// Says that this thread waits for somebody.
pub fn waiting(for_what: String, at_most: Duration) -> Waiting {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    waits.next += 1;
    let id = waits.next;
    waits.of.insert(id, Wait { id, for_what, since: Instant::now(), at_most });
    Waiting(id)
}

/// What has been waited for at least this long, the longest first.
pub fn waits(at_least: Duration) -> Vec<Wait> {
    let waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<Wait> = waits.of.values().filter(|w| w.since.elapsed() >= at_least).cloned().collect();
    found.sort_by_key(|wait| wait.since);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_known_until_it_came() {
        let mine = |waits: Vec<Wait>| waits.into_iter().find(|w| w.for_what == "a test");
        let waiting = waiting("a test".to_owned(), Duration::from_secs(60));
        let wait = mine(waits(Duration::ZERO)).expect("it waits");
        assert_eq!(wait.text(), "waits for a test, since 0 s, 60 s at most");
        assert_eq!(mine(waits(Duration::from_secs(3600))), None);
        drop(waiting);
        assert_eq!(mine(waits(Duration::ZERO)), None);
    }
}
