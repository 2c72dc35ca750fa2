//! Kinds of routes, one file each.

mod command;
mod symlink;

use std::sync::Arc;

use segue_contract::Registry;

/// Adds every kind.
pub(crate) fn register(registry: &mut Registry) {
    registry
        .schema(symlink::schema())
        .add_route("symlink", Arc::new(symlink::Symlink))
        .schema(command::schema())
        .add_route("command", Arc::new(command::CommandRoute));
}
