//! What was observed before planning: plain facts, each with its failure where it could not be had.

use std::collections::BTreeMap;

use segue_contract::{
    Address, DriftReport, EndpointFacts, Finding, Marker, QuiesceKind, Reopeners, RouteAt, Side, SystemPath,
};
use serde::{Deserialize, Serialize};

use crate::event::BootTime;

/// All facts that one plan rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Wall clock when observation ended, milliseconds.
    pub at_ms: i64,
    /// Boot clock then.
    pub at_boot: BootTime,
    /// By endpoint.
    pub endpoints: BTreeMap<Address, Seen<EndpointFacts>>,
    /// By route.
    pub routes: BTreeMap<Address, RouteSeen>,
    /// By migration.
    pub migrations: BTreeMap<Address, MigrationSeen>,
    /// By cutover: one for each quiesce block and side.
    pub quiesces: BTreeMap<Address, Vec<QuiesceSeen>>,
    /// By cutover: what the checks of its providers' gates and watches found, by block.
    #[serde(default)]
    pub probes: BTreeMap<Address, Vec<(Address, Vec<Finding>)>>,
}

/// A fact, or why it could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// The fact.
    Fact(T),
    /// What failed, and what to do.
    Failed {
        /// What, where.
        message: String,
        /// What to do.
        remedy: Option<String>,
    },
}

impl<T> Seen<T> {
    /// The fact, where there is one.
    pub fn fact(&self) -> Option<&T> {
        match self {
            Self::Fact(fact) => Some(fact),
            Self::Failed { .. } => None,
        }
    }
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSeen {
    /// Where it points.
    pub at: Seen<RouteAt>,
    /// Whether it changes for all clients at one instant.
    pub atomic: bool,
    /// How long clients keep the old answer, in milliseconds.
    pub ttl_ms: u64,
    /// What its check found.
    pub findings: Vec<Finding>,
    /// What it changes, whatever path leads there; `None`: as the spec says.
    #[serde(default)]
    pub place: Option<SystemPath>,
}

/// A migration: the pair of its endpoints, and its units against their ledgers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSeen {
    /// What the check of the pair found.
    pub findings: Vec<Finding>,
    /// By unit. Before the first load: everything waits.
    pub units: BTreeMap<String, Seen<DriftReport>>,
    /// The markers at its ends, on the endpoints themselves and on its units there, each with its endpoint: every
    /// holder once for each end.
    #[serde(default)]
    pub markers: Vec<(Address, Marker)>,
    /// What its units are called at the target.
    #[serde(default)]
    pub at_target: Vec<String>,
    /// What its passes may not see, in a sentence.
    #[serde(default)]
    pub unseen: Option<String>,
}

impl MigrationSeen {
    /// The markers at one of its ends.
    pub fn markers_at(&self, endpoint: &Address) -> impl Iterator<Item = &Marker> {
        self.markers.iter().filter(move |(at, _)| at == endpoint).map(|(_, marker)| marker)
    }
}

/// A quiesce method for one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuiesceSeen {
    /// The migration that it serves.
    pub migration: Address,
    /// The block.
    pub block: Address,
    /// The side.
    pub side: Side,
    /// What it acts on.
    pub kind: QuiesceKind,
    /// What its check found.
    pub findings: Vec<Finding>,
    /// Who re-opens the side that it closes, without Segue (protocol P9).
    #[serde(default)]
    pub reopeners: Reopeners,
    /// Whether a person at a terminal has to close and open it.
    #[serde(default)]
    pub needs_person: bool,
}
