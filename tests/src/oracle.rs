//! The oracle workload: writers that log every operation once it is done, and who holds a tree against what they
//! logged. An operation counts when its system calls have returned: written and renamed, as the application sees it.
//!
//! The writers are processes (`oracle-writer`) that follow the link `live`, and stop for the quickstart's own pause:
//! the lock `var/gate` and the flag `var/paused`.

mod deed;
mod gate;
mod judge;
mod mapped;
mod writer;

pub use deed::{Deed, content};
pub use judge::{Oracle, Verdict};
pub use writer::{Role, write};
