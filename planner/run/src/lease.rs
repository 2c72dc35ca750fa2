//! The lease of a pause (protocol P7): who decides, once for each attempt, that the closed side stays closed
//! (`hardened`) or that the time is over (`expired`); and the watchdog, a process of its own that settles
//! when the one that pauses dies or stalls.

mod file;
mod watchdog;
mod watching;

pub use file::{Decision, LeaseFile};
pub use watchdog::{Program, Watchdog, WatchdogError};
pub use watching::{Ended, Orders, leave_session, watch};

/// A process that holds a lapsed lease gets this much longer to abort by itself before it is killed, in
/// milliseconds: its own abort is quicker than another's, and tells the person at the terminal.
pub const GRACE_MS: u64 = 1_000;
/// How long settling may take before the next settler takes over, in milliseconds: longer than the executor's own
/// patience with a side that does not open.
pub const SETTLING_MS: u64 = 180_000;
/// The command that a watchdog's process runs, and its name as the holder of the lock.
pub const WATCHDOG: &str = "watchdog";
