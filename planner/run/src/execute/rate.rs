//! The rate limit: a bucket of bytes that fills with time, and a queue in which units share it fairly.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996): whoever asks is served in the order of tags that grow with what
//! its unit was given, so that each of the units that want something gets the same, however many workers ask for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much may be taken at once after a rest, as time at the full rate.
const BURST: Duration = Duration::from_millis(250);
/// The shortest wait that is worth a sleep.
const MOMENT: Duration = Duration::from_millis(1);

/// A question that waits: its unit's tag, then the order in which it came.
type Place = (u64, u64);

#[derive(Debug)]
struct Level {
    /// Bytes that may be taken; below zero: owed.
    bytes: f64,
    filled: Instant,
    /// Bytes that are wanted, in the order in which they are given.
    queue: BTreeMap<Place, u64>,
    /// By unit the tag of its next question.
    tags: BTreeMap<String, u64>,
    /// The tag of what was given last.
    now: u64,
    asked: u64,
}

/// A limit shared by everybody whom it is for.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_s: f64,
    level: Mutex<Level>,
}

/// Bytes that somebody wants; forgotten when it is dropped.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    rate: &'a Rate,
    place: Place,
}

impl Rate {
    /// A limit in bytes a second.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        let bytes_per_s = bytes_per_s.max(1) as f64;
        let level = Level {
            bytes: bytes_per_s * BURST.as_secs_f64(),
            filled: Instant::now(),
            queue: BTreeMap::new(),
            tags: BTreeMap::new(),
            now: 0,
            asked: 0,
        };
        Self { bytes_per_s, level: Mutex::new(level) }
    }

    fn lock(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for bytes on behalf of a unit.
    pub(super) fn ask(&self, unit: &str, bytes: u64) -> Wanted<'_> {
        let mut level = self.lock();
        let now = level.now;
        let tag = level.tags.get(unit).map_or(now, |tag| *tag.max(&now));
        // Units that were given their share long ago need no memory.
        level.tags.retain(|_, tag| *tag > now);
        level.tags.insert(unit.to_owned(), tag.saturating_add(bytes));
        level.asked += 1;
        let place = (tag, level.asked);
        level.queue.insert(place, bytes);
        Wanted { rate: self, place }
    }
}

impl Wanted<'_> {
    /// Takes the bytes if it is their turn; otherwise how long to wait before asking again.
    pub(super) fn take(&self) -> Option<Duration> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<Duration> {
        let (rate, mut level) = (self.rate.bytes_per_s, self.rate.lock());
        let grown = now.saturating_duration_since(level.filled).as_secs_f64() * rate;
        level.bytes = (level.bytes + grown).min(rate * BURST.as_secs_f64());
        level.filled = now.max(level.filled);
        let bytes = *level.queue.get(&self.place)?;
        let before: f64 = level.queue.range(..self.place).map(|(_, bytes)| *bytes as f64).sum();
        let owed = before - level.bytes;
        if before > 0.0 || owed > 0.0 {
            let wait = Duration::try_from_secs_f64(owed.max(0.0) / rate).unwrap_or(BURST);
            return Some(wait.max(MOMENT));
        }
        level.queue.remove(&self.place);
        level.bytes -= bytes as f64;
        level.now = level.now.max(self.place.0);
        None
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.rate.lock().queue.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers of units that always want more, on a clock of our own: by unit the bytes that it was given, and the time.
    fn run(rate: &Rate, workers: &[(&str, u64)], until: u64) -> (BTreeMap<String, u64>, Duration) {
        let began = rate.lock().filled;
        let mut now = began;
        let mut given: BTreeMap<String, u64> = BTreeMap::new();
        let mut wanted: Vec<Wanted<'_>> =
            workers.iter().map(|(unit, bytes)| rate.ask(unit, *bytes)).collect();
        while given.values().sum::<u64>() < until {
            let mut soonest = Duration::from_secs(1);
            let mut took = false;
            for (wanted, (unit, bytes)) in wanted.iter_mut().zip(workers) {
                match wanted.take_at(now) {
                    None => {
                        *given.entry((*unit).to_owned()).or_default() += bytes;
                        *wanted = rate.ask(unit, *bytes);
                        took = true;
                    }
                    Some(wait) => soonest = soonest.min(wait),
                }
            }
            if !took {
                now += soonest;
            }
        }
        (given, now - began)
    }

    #[test]
    fn all_units_together_stay_within_the_limit() {
        let rate = Rate::new(1_000_000);
        let (given, took) = run(&rate, &[("a", 4_000), ("b", 70_000), ("c", 100), ("d", 30_000)], 20_000_000);
        let total: u64 = given.values().sum();
        // What a rest allows, and what the last one took on credit.
        let allowed = 1_000_000.0 * (took.as_secs_f64() + BURST.as_secs_f64()) + 70_000.0;
        assert!(total as f64 <= allowed, "{total} bytes in {took:?}, {allowed} are allowed");
        assert!(
            total as f64 >= 0.95 * 1_000_000.0 * took.as_secs_f64(),
            "and the limit is used: {total} in {took:?}"
        );
    }

    #[test]
    fn units_share_equally_however_many_workers_they_have_and_however_much_they_ask_for() {
        let rate = Rate::new(1_000_000);
        let mut workers = vec![("few", 5_000), ("large", 60_000)];
        workers.extend([("many", 10_000); 8]);
        let (given, _) = run(&rate, &workers, 30_000_000);
        for (unit, bytes) in &given {
            assert!((9_500_000..10_500_000).contains(bytes), "{unit} was given {bytes}: {given:?}");
        }
    }

    #[test]
    fn a_unit_that_comes_late_gets_its_share_and_no_more() {
        let rate = Rate::new(1_000_000);
        run(&rate, &[("early", 10_000)], 10_000_000);
        let (given, _) = run(&rate, &[("early", 10_000), ("late", 10_000)], 10_000_000);
        assert!((4_800_000..5_200_000).contains(&given["late"]), "{given:?}");
    }

    #[test]
    fn what_somebody_gave_up_to_want_keeps_nobody_waiting() {
        let rate = Rate::new(1_000);
        let now = rate.lock().filled;
        assert_eq!(rate.ask("a", 1_000).take_at(now), None, "on credit, after a rest");
        let (gone, next) = (rate.ask("b", 1_000_000), rate.ask("c", 10));
        assert!(next.take_at(now).is_some_and(|wait| wait > Duration::from_secs(900)));
        drop(gone);
        assert_eq!(next.take_at(now), Some(Duration::from_millis(750)));
        assert_eq!(next.take_at(now + Duration::from_millis(751)), None);
    }
}
