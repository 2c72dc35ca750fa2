//! What observing an endpoint gives: facts, finished before planning starts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Marker, SystemPath};

/// What an endpoint *is*, whatever path or name leads to it: two blocks with equal identities are the
/// same system. Printable, holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub String);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What keeps clients' writes out of a side while Segue writes to it (protocol, barriers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barrier {
    /// Segue writes, clients are refused.
    Identity,
    /// The data lies under a name that clients do not know.
    Name,
    /// Nothing does.
    None,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// May hurt.
    Warning,
    /// The plan is refused.
    Critical,
}

/// Something a check found: what, why it matters, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Stable, upper case with the provider's prefix: `DIR_INSIDE`.
    pub code: String,
    /// What was found, a lowercase fragment that names the thing.
    pub summary: String,
    /// What to do next, a sentence.
    pub remedy: String,
}

/// One unit as seen at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFacts {
    /// The unit's name: `tree`, an index, a disk.
    pub name: String,
    /// Records (files, documents) where they can be counted cheaply.
    pub records: Option<u64>,
    /// Bytes of data.
    pub bytes: Option<u64>,
    /// Its own marker, where the units of an endpoint are held each by itself.
    #[serde(default)]
    pub marker: Option<Marker>,
}

/// Everything that planning needs to know of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// What the endpoint is.
    pub identity: Identity,
    /// Whether it exists (a target directory may be made by the plan).
    pub exists: bool,
    /// What keeps clients out while Segue writes.
    pub barrier: Barrier,
    /// The units that the selection can choose from.
    pub units: Vec<UnitFacts>,
    /// How many bytes it has room for, where that is known.
    pub free_bytes: Option<u64>,
    /// Settings that should be alike on both sides, as text to be diffed.
    pub settings: BTreeMap<String, String>,
    /// What checks found here.
    pub findings: Vec<Finding>,
    /// What is there already and nothing says that it is Segue's; no matter to a state that filled this endpoint.
    #[serde(default)]
    pub foreign: Option<Finding>,
    /// The marker that is there.
    pub marker: Option<Marker>,
    /// Where it really lies, whatever path or name leads there; several where it can be told in several ways.
    #[serde(default)]
    pub places: Vec<SystemPath>,
}
