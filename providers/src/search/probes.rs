//! What gates and watches ask of search clusters.

mod health;
mod queries;

use std::sync::Arc;

use segue_contract::{BlockKind, Finding, Registry, Severity};

/// Adds every probe.
pub(super) fn register(registry: &mut Registry) {
    for kind in [BlockKind::Gate, BlockKind::Watch] {
        registry.schema(health::schema(kind)).schema(queries::schema(kind));
    }
    registry
        .add_gate("search_health", Arc::new(health::HealthProbe))
        .add_watch("search_health", Arc::new(health::HealthProbe))
        .add_gate("search_queries", Arc::new(queries::QueriesProbe))
        .add_watch("search_queries", Arc::new(queries::QueriesProbe));
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
