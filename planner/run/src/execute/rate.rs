//! The rate limit: a bucket of bytes that fills with time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much may be taken at once after a rest, as time at the full rate.
const BURST: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Level {
    /// Bytes that may be taken; below zero: owed.
    bytes: f64,
    filled: Instant,
}

/// A limit shared by everybody whom it is for.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_s: f64,
    level: Mutex<Level>,
}

impl Rate {
    /// A limit in bytes a second.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        let bytes_per_s = bytes_per_s.max(1) as f64;
        let level = Level { bytes: bytes_per_s * BURST.as_secs_f64(), filled: Instant::now() };
        Self { bytes_per_s, level: Mutex::new(level) }
    }

    /// Takes bytes; how long the taker has to wait.
    pub(super) fn take(&self, bytes: u64) -> Duration {
        self.take_at(bytes, Instant::now())
    }

    fn take_at(&self, bytes: u64, now: Instant) -> Duration {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = now.saturating_duration_since(level.filled).as_secs_f64() * self.bytes_per_s;
        level.bytes = (level.bytes + grown).min(self.bytes_per_s * BURST.as_secs_f64()) - bytes as f64;
        level.filled = now;
        if level.bytes >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-level.bytes / self.bytes_per_s)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_wait_as_long_as_the_rate_wants() {
        let rate = Rate::new(1000);
        let now = Instant::now();
        assert_eq!(rate.take_at(250, now), Duration::ZERO);
        assert_eq!(rate.take_at(1000, now), Duration::from_secs(1));
        let later = rate.take_at(0, now + Duration::from_millis(500));
        assert!((later.as_secs_f64() - 0.5).abs() < 0.01, "{later:?}");
    }
}
