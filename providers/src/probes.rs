//! Ways to look at the world with a yes or a no, one file each: gates ask before a cutover, watches after it.

mod command;
mod compare;
mod http;
mod metric;

use std::sync::Arc;

use segue_contract::{BlockKind, Finding, Registry, Severity};

/// Adds every probe.
pub(crate) fn register(registry: &mut Registry) {
    for kind in [BlockKind::Gate, BlockKind::Watch] {
        registry.schema(command::schema(kind)).schema(http::schema(kind));
    }
    registry
        .add_gate("command", Arc::new(command::CommandProbe))
        .add_watch("command", Arc::new(command::CommandProbe))
        .add_gate("http", Arc::new(http::HttpProbe))
        .add_watch("http", Arc::new(http::HttpProbe))
        .schema(metric::schema())
        .add_watch("metric", Arc::new(metric::MetricProbe))
        .schema(compare::schema())
        .add_watch("compare", Arc::new(compare::CompareProbe));
}

/// The code of everything that a probe's check finds.
const CODE: &str = "PROBE_SETTINGS";

/// A finding that refuses the plan.
fn critical(summary: impl Into<String>, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Critical,
        code: CODE.to_owned(),
        summary: summary.into(),
        remedy: remedy.to_owned(),
    }
}
