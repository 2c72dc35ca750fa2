//! What a run stands on: the journal, the stored state, the lock, the state directory and the clock.

pub mod clock;
pub mod directory;
pub mod host;
pub mod journal;
pub mod lock;
pub mod store;
