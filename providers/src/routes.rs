//! Kinds of routes, one file each.

mod command;
mod dns;
mod haproxy;
mod symlink;

use std::sync::Arc;

use segue_contract::Registry;

/// Adds every kind.
pub(crate) fn register(registry: &mut Registry) {
    registry
        .schema(symlink::schema())
        .add_route("symlink", Arc::new(symlink::Symlink))
        .schema(dns::schema())
        .add_route("dns", Arc::new(dns::Dns))
        .schema(haproxy::schema())
        .add_route("haproxy", Arc::new(haproxy::Haproxy))
        .schema(command::schema())
        .add_route("command", Arc::new(command::CommandRoute));
}
