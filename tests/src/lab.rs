//! The lab: the tool with the `memory` provider and a journal that dies on request.

mod driver;
mod kill;
mod kind;

pub use driver::{Case, KILL_WATCHDOG, Outcome, Task, WATCHDOG, run};
pub use kill::{KILL, KillTap, die};
pub use kind::{KILL_KIND, KindTap, kind_of};

use segue_contract::Registry;

/// The providers of the lab.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    crate::memory::register(&mut registry);
    registry
}
