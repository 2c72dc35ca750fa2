//! The plan: steps in execution order, each with what, why, what it waits for and what it costs.

mod apart;
mod build;
mod checks;
mod condition_steps;
mod cutover_steps;
mod deletions;
mod fallback_notes;
mod file;
mod forget_steps;
mod hash;
mod migration_steps;
mod rehearsal_steps;

use std::collections::BTreeMap;
use std::fmt;

use segue_contract::{Address, Finding, Side};
use serde::{Deserialize, Serialize};

use crate::cutover::Forecast;
use crate::diff::{Change, SettingDiff};

pub use build::{PlanOptions, plan};
pub use condition_steps::watch_of;
pub(crate) use cutover_steps::duration;
pub use file::{PLAN_FILE_VERSION, PlanFile, PlanFileError, Stale};
pub use hash::{Basis, CutoverBase, basis};
pub use rehearsal_steps::{Verdict, subject, verdict};

/// A plan. What it says of progress and estimates is not part of its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// SHA-256 over [`Basis`], in hexadecimal.
    pub hash: String,
    /// What the hash covers.
    pub basis: Basis,
    /// What each cutover has to do.
    pub changes: BTreeMap<Address, Change>,
    /// All steps from the recorded to the desired state, in execution order, done or not.
    pub steps: Vec<PlanStep>,
    /// What changed behind Segue's back, apart from intent.
    pub drift: Vec<Drift>,
    /// Settings that differ between the sides.
    pub settings: Vec<SettingDiff>,
    /// What to know; a critical one refuses the plan.
    pub notes: Vec<Note>,
    /// The predicted pause of each cutover that switches.
    pub forecasts: BTreeMap<Address, Forecast>,
}

/// A finding, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The block or step.
    pub address: Address,
    /// What.
    pub finding: Finding,
}

/// Something that changed behind Segue's back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The block or unit.
    pub address: Address,
    /// The record, where there is one: a path.
    pub key: Option<String>,
    /// What changed.
    pub what: String,
    /// How many more like it are not listed.
    pub more: u64,
}

/// What a plan asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing to do.
    Nothing,
    /// There are changes.
    Changes,
    /// Nothing was asked for, but something drifted.
    DriftOnly,
}

impl Plan {
    /// Whether a critical note refuses it.
    pub fn refused(&self) -> bool {
        self.notes.iter().any(|n| n.finding.severity == segue_contract::Severity::Critical)
    }

    /// The steps that are not done.
    pub fn pending(&self) -> impl Iterator<Item = &PlanStep> {
        self.steps.iter().filter(|s| !s.done)
    }

    /// What it asks for.
    pub fn outlook(&self) -> Outlook {
        if self.pending().any(|s| s.reason != Reason::Drifted) {
            Outlook::Changes
        } else if !self.drift.is_empty() || self.pending().next().is_some() {
            Outlook::DriftOnly
        } else {
            Outlook::Nothing
        }
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Stable: survives edits elsewhere.
    pub address: Address,
    /// The migration, cutover or route that it is a step of.
    pub block: Address,
    /// The unit, where it is a step of one.
    pub unit: Option<String>,
    /// What kind.
    pub kind: StepKind,
    /// The part of the plan that it is printed in.
    pub stage: Stage,
    /// What is done, a phrase: `copy the tree from old to new`.
    pub what: String,
    /// Whether it waits for people who approve this plan.
    #[serde(default)]
    pub asks_approval: bool,
    /// Why.
    pub reason: Reason,
    /// Whether it is done already.
    pub done: bool,
    /// What must be done before.
    pub waits_for: Vec<Address>,
    /// What it costs, where that can be said.
    pub estimate: Option<Estimate>,
    /// Whether it can be undone.
    pub reversibility: Reversibility,
    /// What to know of this step: what it changes on a system, what would be lost.
    pub remarks: Vec<String>,
}

impl PlanStep {
    /// A new step of `block`, not done, waiting for nothing.
    pub fn new(block: &Address, address: Address, kind: StepKind, what: impl Into<String>) -> Self {
        Self {
            address,
            block: block.clone(),
            unit: None,
            kind,
            stage: kind.stage(),
            what: what.into(),
            asks_approval: false,
            reason: Reason::New,
            done: false,
            waits_for: Vec::new(),
            estimate: None,
            reversibility: kind.reversibility(),
            remarks: Vec::new(),
        }
    }
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Look at both endpoints.
    Check,
    /// Do it all once to a copy that goes away again.
    Rehearse,
    /// Put markers at both endpoints.
    Protect,
    /// Make the target able to receive.
    Provision,
    /// Carry what exists.
    Load,
    /// Carry what changes, in passes.
    Sync,
    /// Compare.
    Verify,
    /// Wait for a condition.
    Gate,
    /// Send a part of the reads to the target, and hold that.
    Weigh,
    /// Refuse writes on the side that serves.
    Quiesce,
    /// Prove that none is on its way.
    Drain,
    /// Fix the position.
    Fence,
    /// Carry the rest.
    CatchUp,
    /// Verify the rest.
    VerifyResidual,
    /// Keep the closed side closed.
    Harden,
    /// Record the way back.
    ArmReverse,
    /// Record the commit.
    Commit,
    /// Accept writes on the new side.
    Open,
    /// Point the routes to the new side.
    Switch,
    /// Look after the new side, and for stale writers on the old one.
    Watch,
    /// Keep the old side as fallback.
    Retain,
    /// Give up what was temporary.
    Release,
    /// Manage a block no longer: the systems stay as they are.
    Forget,
}

impl StepKind {
    /// The word in addresses and plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Rehearse => "rehearse",
            Self::Protect => "protect",
            Self::Provision => "provision",
            Self::Load => "load",
            Self::Sync => "sync",
            Self::Verify => "verify",
            Self::Gate => "gate",
            Self::Weigh => "weigh",
            Self::Quiesce => "quiesce",
            Self::Drain => "drain",
            Self::Fence => "fence",
            Self::CatchUp => "catch_up",
            Self::VerifyResidual => "verify_residual",
            Self::Harden => "harden",
            Self::ArmReverse => "arm_reverse",
            Self::Commit => "commit",
            Self::Open => "open",
            Self::Switch => "switch",
            Self::Watch => "watch",
            Self::Retain => "retain",
            Self::Release => "release",
            Self::Forget => "forget",
        }
    }

    /// The stage that a step of this kind is printed in.
    pub fn stage(self) -> Stage {
        match self {
            Self::Check | Self::Rehearse | Self::Protect | Self::Provision => Stage::Prepare,
            Self::Load | Self::Sync | Self::Verify => Stage::Carry,
            Self::Gate => Stage::Gates,
            Self::Weigh => Stage::Reads,
            Self::Quiesce
            | Self::Drain
            | Self::Fence
            | Self::CatchUp
            | Self::VerifyResidual
            | Self::Harden
            | Self::ArmReverse
            | Self::Commit
            | Self::Open
            | Self::Switch => Stage::CutOver,
            Self::Watch | Self::Retain => Stage::After,
            Self::Release | Self::Forget => Stage::Release,
        }
    }

    /// Whether a step of this kind can be undone.
    pub fn reversibility(self) -> Reversibility {
        match self {
            Self::Check | Self::Verify | Self::Gate | Self::Drain | Self::Fence | Self::VerifyResidual => {
                Reversibility::Free
            }
            Self::Rehearse
            | Self::Protect
            | Self::Provision
            | Self::Load
            | Self::Sync
            | Self::Weigh
            | Self::Quiesce
            | Self::CatchUp
            | Self::Harden
            | Self::ArmReverse
            | Self::Forget => Reversibility::Compensable,
            Self::Commit | Self::Release => Reversibility::PointOfNoReturn,
            // After the commit the way back is a switch back.
            Self::Open | Self::Switch | Self::Watch | Self::Retain => Reversibility::BySwitchBack,
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The parts of a printed plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing moves yet.
    Prepare,
    /// Data moves, writes go on.
    Carry,
    /// Conditions.
    Gates,
    /// Reads go over in steps, writes stay.
    Reads,
    /// Writes pause.
    CutOver,
    /// The new side serves.
    After,
    /// What was temporary goes.
    Release,
}

/// Why a step is in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Never done.
    New,
    /// The spec changed.
    Changed,
    /// The world changed behind Segue's back.
    Drifted,
    /// An earlier run stopped in it.
    Resumed,
    /// Done before, and done again for this switch.
    Again,
    /// Done, and stays done.
    Done,
}

impl Reason {
    /// The word in a plan.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Drifted => "drifted",
            Self::Resumed => "resumed",
            Self::Again => "again",
            Self::Done => "done",
        }
    }
}

/// Whether a step can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    /// Leaves no trace.
    Free,
    /// Has an undo.
    Compensable,
    /// Nothing after it goes back by undoing.
    PointOfNoReturn,
    /// The way back is a switch back.
    BySwitchBack,
}

/// What a step costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Records.
    pub records: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Milliseconds.
    pub time_ms: Option<u64>,
    /// Where the numbers come from.
    pub basis: String,
}

/// The word for a side in sentences, with its endpoint: `target (target.directory.new)`.
pub(crate) fn side_name(side: Side, endpoint: &Address) -> String {
    format!("{side} ({endpoint})")
}
