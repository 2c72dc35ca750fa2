//! The systems that Segue can move between, and the ways to quiesce and to route. Depends on the contract
//! alone; no system knows another.

mod command;
mod directory;
pub mod engines;
mod http;
pub mod ledger;
mod mappings;
mod mounts;
mod probes;
mod quiesce;
mod routes;
pub mod search;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use segue_contract::Registry;

/// Everything that this version offers.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    for schema in directory::schemas() {
        registry.schema(schema);
    }
    registry.add_endpoint("directory", Arc::new(directory::Directory));
    registry.add_engine("directory", "directory", Arc::new(engines::files::FilesEngine::new()));
    quiesce::register(&mut registry);
    routes::register(&mut registry);
    probes::register(&mut registry);
    search::register(&mut registry);
    registry
}
