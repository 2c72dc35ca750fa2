//! The clock: the only room that asks what time it is, so that everything else can be told.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::host;

/// What time it is, in two ways: what people call it, and what deadlines are measured in.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z; may jump.
    fn wall_ms(&self) -> i64;

    /// Milliseconds since this machine started, time asleep included (CLOCK_BOOTTIME); never jumps, and
    /// means nothing after a restart: compare [`Self::boot_id`] first.
    fn boot_ms(&self) -> u64;

    /// Names this start of this machine.
    fn boot_id(&self) -> &str;
}

/// The machine's clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot_id: String,
}

impl SystemClock {
    /// Reads the boot id once. Without one (no /proc) it is empty.
    pub fn new() -> Self {
        Self { boot_id: host::boot_id().unwrap_or_default() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock's room")]
    fn wall_ms(&self) -> i64 {
        let (sign, distance) = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => (1, since),
            Err(before) => (-1, before.duration()),
        };
        sign * i64::try_from(distance.as_millis()).unwrap_or(i64::MAX)
    }

    fn boot_ms(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
        seconds * 1000 + nanoseconds / 1_000_000
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

/// A clock that stands still until it is moved: for the lab and for tests.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    boot_ms: AtomicU64,
    boot_id: String,
}

impl ManualClock {
    /// A clock at this wall time (milliseconds since 1970) in this boot, at boot time 0.
    pub fn new(wall_ms: i64, boot_id: impl Into<String>) -> Self {
        Self { wall_ms: AtomicI64::new(wall_ms), boot_ms: AtomicU64::new(0), boot_id: boot_id.into() }
    }

    /// Both times go on by so many milliseconds.
    pub fn advance(&self, by_ms: u32) {
        self.wall_ms.fetch_add(i64::from(by_ms), Ordering::SeqCst);
        self.boot_ms.fetch_add(u64::from(by_ms), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn boot_ms(&self) -> u64 {
        self.boot_ms.load(Ordering::SeqCst)
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }
}

/// `2026-01-31T09:30:00.125Z`: RFC 3339 in UTC. A time outside the years -9999 to 9999 is shown as milliseconds.
pub fn rfc3339(wall_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(wall_ms) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => format!("{wall_ms} ms since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, ManualClock, SystemClock, rfc3339};

    #[test]
    fn writes_times_as_rfc_3339_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_769_851_800_125), "2026-01-31T09:30:00.125Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MAX), format!("{} ms since 1970", i64::MAX));
    }

    #[test]
    fn boot_time_does_not_go_back_and_the_boot_has_a_name() {
        let clock = SystemClock::new();
        let before = clock.boot_ms();
        assert!(clock.boot_ms() >= before);
        assert_eq!(clock.boot_id().len(), 36);
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_moved() {
        let clock = ManualClock::new(1000, "boot");
        clock.advance(5);
        assert_eq!((clock.wall_ms(), clock.boot_ms()), (1005, 5));
    }
}
