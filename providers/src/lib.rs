//! The systems that Segue can move between, and the ways to quiesce and to route. Depends on the contract
//! alone; no system knows another.

mod command;
mod directory;
pub mod engines;
pub mod ledger;
mod quiesce;
mod routes;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use segue_contract::Registry;

/// Everything that this version offers.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    directory::register(&mut registry);
    let files = Arc::new(engines::files::FilesEngine::new());
    registry.add_engine(directory::PROVIDER, directory::PROVIDER, files);
    quiesce::register(&mut registry);
    routes::register(&mut registry);
    registry
}
