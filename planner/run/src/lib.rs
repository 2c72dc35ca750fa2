//! What a run stands on and how it goes: the journal, the stored state, the lock, the state directory, the
//! clock; observing; executing a plan.

pub mod clock;
pub mod directory;
pub mod execute;
pub mod host;
pub mod journal;
pub mod lease;
pub mod lock;
pub mod metrics;
pub mod observe;
pub mod session;
pub mod store;
mod stored;
