//! Ways to quiesce, one file each.

mod command;
mod fence;
mod http;
mod manual;
mod remount;
mod systemd;

use std::sync::Arc;

use segue_contract::Registry;

/// Adds every method.
pub(crate) fn register(registry: &mut Registry) {
    registry
        .schema(command::schema())
        .add_quiesce("command", Arc::new(command::CommandQuiesce))
        .add_fence("command", Arc::new(fence::CommandFence))
        .schema(http::schema())
        .add_quiesce("http", Arc::new(http::HttpQuiesce))
        .schema(remount::schema())
        .add_quiesce("remount", Arc::new(remount::Remount))
        .schema(systemd::schema())
        .add_quiesce("systemd", Arc::new(systemd::SystemdQuiesce))
        .schema(manual::schema())
        .add_quiesce("manual", Arc::new(manual::Manual::default()));
}
