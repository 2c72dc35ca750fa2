//! The systems that Segue can move between, and the ways to quiesce and to route. Depends on the contract
//! alone; no system knows another.

mod command;
mod quiesce;
mod routes;
#[cfg(test)]
mod testing;

use segue_contract::Registry;

/// Everything that this version offers.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    quiesce::register(&mut registry);
    routes::register(&mut registry);
    registry
}
