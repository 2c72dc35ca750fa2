//! A rehearsal as the journal holds it: what it is of, and what it measured and found.

use segue_contract::{Address, Finding, PassTimes, VerifyLevel};
use serde::{Deserialize, Serialize};

use crate::cutover::Forecast;
use crate::state::PauseTerm;

/// A rehearsal that began. It runs as a migration and a cutover of its own, its *stage*, which the journal knows like
/// any other: so a death in it is resumed, and a pause in it is settled, by the same rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// What it is of: the hash of everything that a rehearsal's outcome depends on in the spec.
    pub subject: String,
    /// The stage's cutover: `cutover.site.rehearsal`.
    pub stage: Address,
    /// Each migration, with the stage's.
    pub members: Vec<(Address, Address)>,
}

/// What a rehearsal measured and found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RehearsalReport {
    /// By unit.
    pub units: Vec<RehearsedUnit>,
    /// The phases of the pause that was rehearsed; empty: it was not allowed.
    pub pauses: Vec<PauseTerm>,
    /// The pause that these numbers predict.
    pub forecast: Forecast,
    /// The findings, the most severe first.
    pub findings: Vec<RehearsalFinding>,
    /// Time, in microseconds.
    pub took_us: u64,
}

/// What a rehearsal measured of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedUnit {
    /// The migration.
    pub migration: Address,
    /// The unit.
    pub unit: String,
    /// Records that the load wrote.
    pub records: u64,
    /// Bytes that it wrote.
    pub bytes: u64,
    /// Its time, in microseconds.
    pub load_us: u64,
    /// Where the passes after it spent their time.
    pub passes: Vec<PassTimes>,
    /// How closely it was verified; `None`: it did not come to that.
    pub level: Option<VerifyLevel>,
    /// The verification's time, in microseconds.
    pub verify_us: u64,
    /// Bytes that it read.
    pub verify_bytes: u64,
}

/// A finding of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalFinding {
    /// What it is about: a migration, a gate, a step.
    pub about: Address,
    /// What, with its cause, and the remedy.
    pub finding: Finding,
    /// The records that it is about; bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Whether `keys` are all of them.
    #[serde(default)]
    pub all_known: bool,
}
