//! The clocks of this engine: the wall clock in the file systems' terms, a steady one for durations.

use rustix::time::{ClockId, clock_gettime};

use crate::ledger::Time;

/// The wall clock, as file systems stamp their files.
pub(crate) fn now() -> Time {
    let time = clock_gettime(ClockId::Realtime);
    Time { s: time.tv_sec, ns: time.tv_nsec as u32 }
}

/// A steady clock, in microseconds.
pub(crate) fn steady_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
