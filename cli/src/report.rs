//! The report: what happened, from the journal alone, as one HTML page or as JSON.
//!
//! `gather` folds the events, as they are read, into bounded facts; `page` and `charts` write them. Lists keep their
//! newest entries and count the rest, plots keep the least and the most of what they draw together: a journal of
//! millions of events makes a page of the same size.
//!
//! # The JSON
//!
//! One object, `version` 1; a later version may add fields, and one that changes or removes any has another number.
//! Times are `*_ms`, milliseconds since 1970, durations `*_us` or `*_ms`, sizes bytes, rates bytes a second. A list
//! with more entries than it keeps is `{ "total": n, "kept": [...] }`, the newest last.

mod attempts;
mod changes;
mod charts;
mod gather;
mod html;
mod page;
mod rehearsals;
mod sections;
mod series;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{BTreeMap, VecDeque};

use segue_contract::{Address, Side};
use segue_plan::event::RunRecord;
use serde::{Serialize, Serializer};

pub(crate) use attempts::{AttemptLine, Outcome, PhaseLine, TermLine};
pub(crate) use changes::ChangeLine;
pub(crate) use gather::Gather;
pub(crate) use page::page;
pub(crate) use rehearsals::{RehearsalLine, RehearsedLine};
pub(crate) use series::Series;
pub(crate) use units::{PassLine, UnitLine, VerificationLine};

/// The version of the JSON.
pub(crate) const REPORT_VERSION: u32 = 1;

/// Entries that a list keeps.
pub(crate) const KEPT_MAX: usize = 100;

/// The newest entries, and how many there were.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Newest<T> {
    pub(crate) total: u64,
    pub(crate) kept: VecDeque<T>,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { total: 0, kept: VecDeque::new() }
    }
}

impl<T> Newest<T> {
    pub(crate) fn push(&mut self, entry: T) {
        self.total += 1;
        self.kept.push_back(entry);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
    }

    /// How many are not kept.
    pub(crate) fn more(&self) -> u64 {
        self.total.saturating_sub(self.kept.len() as u64)
    }
}

/// Everything that the report tells.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// [`REPORT_VERSION`].
    pub(crate) version: u32,
    /// When it was made, and by which version of segue.
    pub(crate) made_ms: i64,
    pub(crate) made_by: String,
    /// Which state it tells of; `None`: there is none yet.
    pub(crate) state_id: Option<String>,
    /// Who writes now.
    pub(crate) running: Option<String>,
    /// Events read, and the wall clock of the first and the last.
    pub(crate) events: u64,
    pub(crate) first_ms: Option<i64>,
    pub(crate) last_ms: Option<i64>,
    /// What to know of the journal: damage.
    pub(crate) notices: Vec<String>,
    pub(crate) cutovers: Vec<HeadLine>,
    pub(crate) runs: Newest<RunLine>,
    pub(crate) attempts: Newest<AttemptLine>,
    pub(crate) units: Vec<UnitLine>,
    pub(crate) gates: BTreeMap<Address, ConditionLine>,
    pub(crate) watches: BTreeMap<Address, ConditionLine>,
    /// The hashes of the plans that were begun.
    pub(crate) plans: Newest<PlanLine>,
    /// What was rehearsed.
    pub(crate) rehearsals: Newest<RehearsalLine>,
    pub(crate) approvals: Newest<ApprovalLine>,
    /// What people decided against a stop: findings waived in the spec, holds lifted, stale writes settled, addresses
    /// forgotten.
    pub(crate) waivers: Newest<DecisionLine>,
    /// Pauses and limits, by whom and why.
    pub(crate) steering: Newest<DecisionLine>,
    /// Aborts, holds, lost health.
    pub(crate) stops: Newest<DecisionLine>,
    /// Reads that went to the target in steps, and came back.
    pub(crate) reads: Newest<DecisionLine>,
    pub(crate) changes: Vec<ChangeLine>,
    pub(crate) findings: Newest<FindingLine>,
    pub(crate) failures: Newest<FailureLine>,
}

/// A cutover as it stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeadLine {
    pub(crate) cutover: Address,
    pub(crate) serves: Side,
    /// The endpoints that serve.
    pub(crate) endpoints: Vec<Address>,
    pub(crate) since_ms: Option<i64>,
    pub(crate) phase: String,
    pub(crate) finished: bool,
    pub(crate) writes_paused: bool,
    pub(crate) held: Option<String>,
    /// The last switch's pause, and what was predicted of it.
    pub(crate) pause_us: Option<u64>,
    pub(crate) predicted_ms: Option<u64>,
    /// What the last verification found different, what the last passes left out, what stale writers left.
    pub(crate) differ: u64,
    pub(crate) set_aside: u64,
    pub(crate) stale: u64,
    /// The first of what was left out and of what stale writers left, with where it is kept.
    pub(crate) named: Vec<String>,
    /// Records that the last whole verifications found equal; `None`: a unit has none.
    pub(crate) verified: Option<u64>,
    /// What going back would lose.
    pub(crate) going_back: GoingBack,
}

/// What going back would lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GoingBack {
    NeverLeft,
    /// It left and went back.
    WentBack,
    LosesNothing,
    LosesWrites,
    NotPossible,
}

/// A command that wrote.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunLine {
    pub(crate) run: u64,
    pub(crate) command: String,
    pub(crate) by: String,
    pub(crate) segue: String,
    pub(crate) pid: u32,
    pub(crate) began_ms: i64,
    /// The last event of it.
    pub(crate) last_ms: i64,
    /// `None`: it runs, or died.
    pub(crate) exit: Option<i32>,
}

impl RunLine {
    pub(crate) fn new(record: &RunRecord, at_ms: i64) -> Self {
        Self {
            run: record.run,
            command: record.command.clone(),
            by: format!("{}@{}", record.user, record.host),
            segue: record.version.clone(),
            pid: record.pid,
            began_ms: at_ms,
            last_ms: at_ms,
            exit: None,
        }
    }
}

/// A gate or a watch.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ConditionLine {
    /// The first look, each change, and one a minute.
    pub(crate) readings: Newest<ReadingLine>,
    /// The measured values over time.
    pub(crate) values: Series,
}

/// One look.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReadingLine {
    pub(crate) at_ms: i64,
    pub(crate) good: bool,
    pub(crate) said: String,
    pub(crate) value: Option<f64>,
}

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanLine {
    pub(crate) plan_hash: String,
    pub(crate) began_ms: i64,
}

/// An approval.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ApprovalLine {
    pub(crate) plan_hash: String,
    pub(crate) by: String,
    pub(crate) at_ms: i64,
}

/// Something that was decided, or that stopped a cutover.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DecisionLine {
    pub(crate) at_ms: i64,
    pub(crate) about: String,
    pub(crate) what: String,
    /// Who decided it; `None`: segue, by the rules of the spec.
    pub(crate) by: Option<String>,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FindingLine {
    pub(crate) at_ms: i64,
    pub(crate) step: Address,
    pub(crate) severity: String,
    pub(crate) code: String,
    pub(crate) summary: String,
    pub(crate) remedy: String,
}

/// A failure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailureLine {
    pub(crate) at_ms: i64,
    pub(crate) step: Address,
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

/// An address as its text.
fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
