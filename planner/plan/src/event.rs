//! The journal's events: append-only facts in the past tense, as versioned wire types.
//!
//! A reader of this version reads every line that an older version wrote; a line with a higher
//! version is refused with the version that can read it. Nothing here holds a secret.

mod attempt;
mod deletions;
mod record;
mod rehearsal;
mod resource;
mod steered;
mod watch;
mod weight;

use segue_contract::{
    Address, Checkpoint, Direction, ErrorClass, Finding, Marker, PassReport, Side, StaleReport, VerifyReport,
};
use serde::{Deserialize, Serialize};

use crate::cutover::Phase;
use crate::plan::StepKind;
use crate::state::State;

pub use attempt::{Attempt, BootTime, FallbackTerms, Leaving, Member, Proof, Watcher};
pub use deletions::{AcceptedDeletions, StoppedPass};
pub use record::{MigrationRecord, RunRecord, StateBinding};
pub use rehearsal::{Rehearsal, RehearsalFinding, RehearsalReport, RehearsedUnit};
pub use resource::{Release, Resource, ResourceKind};
pub use steered::{WHY_MAX, Wish, rate_text};
pub use watch::{Watch, WatchPlan};
pub use weight::WeightEvent;

/// The version of the lines that this build writes.
pub const WIRE_VERSION: u32 = 3;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// [`WIRE_VERSION`] of the writer.
    pub v: u32,
    /// Wall clock, milliseconds since 1970; for people only.
    pub at_ms: i64,
    /// The run that wrote it, counted from 1; 0 before the first.
    pub run: u64,
    /// What happened.
    pub event: Event,
}

/// A line that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Written by a later version.
    #[error("written by a later version of segue (line version {0}, this one reads up to {WIRE_VERSION})")]
    Later(u32),
    /// Not an entry at all.
    #[error("not a journal event: {0}")]
    Garbled(serde_json::Error),
}

impl Entry {
    /// The line's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a line.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v } = serde_json::from_slice(bytes).map_err(EntryError::Garbled)?;
        if v > WIRE_VERSION {
            return Err(EntryError::Later(v));
        }
        serde_json::from_slice(bytes).map_err(EntryError::Garbled)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The state directory was made, or taken over here (`adopt`).
    StateBound(StateBinding),
    /// A command that writes began.
    RunStarted(RunRecord),
    /// It ended by itself; a run without this died.
    RunEnded {
        /// Exit code.
        exit: i32,
    },
    /// A migration began, or its declaration changed.
    MigrationBegan(MigrationRecord),
    /// Segue made an endpoint (a target directory), and may take it away on abandon.
    EndpointMade {
        /// The migration that needed it.
        migration: Address,
        /// The endpoint.
        endpoint: Address,
    },
    /// Markers of this epoch are about to be written at the endpoints of a migration (intent).
    ClaimBegan {
        /// The migration.
        migration: Address,
        /// The epoch.
        epoch: u64,
    },
    /// They are there.
    ClaimMade {
        /// The migration.
        migration: Address,
        /// As written at both.
        marker: Marker,
    },
    /// The markers are gone.
    ClaimReleased {
        /// The migration.
        migration: Address,
    },
    /// A step began (intent): started and not ended means that its outcome is unknown.
    StepStarted {
        /// The step.
        step: Address,
        /// Its kind.
        kind: StepKind,
    },
    /// How far a step is.
    StepCheckpointed {
        /// The step.
        step: Address,
        /// Opaque.
        checkpoint: Checkpoint,
    },
    /// A step ended well.
    StepFinished {
        /// The step.
        step: Address,
        /// Time, in microseconds.
        took_us: u64,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: Address,
        /// Whether trying again can help.
        class: ErrorClass,
        /// What, where.
        message: String,
        /// What to do.
        remedy: Option<String>,
    },
    /// A load or a pass completed.
    UnitCarried {
        /// The migration.
        migration: Address,
        /// The unit.
        unit: String,
        /// Whether it was the first load.
        load: bool,
        /// Which way.
        direction: Direction,
        /// What it did.
        report: PassReport,
        /// Wall clock when it began, milliseconds.
        began_ms: i64,
        /// Boot clock when it began, milliseconds, and the boot's id: what lag is measured by.
        began_boot: BootTime,
        /// Time, in microseconds.
        took_us: u64,
    },
    /// A pass stopped before its first deletion: it would delete more than it may (protocol P28).
    DeletionsAsked(StoppedPass),
    /// A person let the deletions of a pass that stopped go.
    DeletionsAccepted(AcceptedDeletions),
    /// A verification completed.
    UnitVerified {
        /// The migration.
        migration: Address,
        /// The unit.
        unit: String,
        /// What it found.
        report: VerifyReport,
        /// Whether it covered everything (`false`: the residual of an earlier one).
        whole: bool,
    },
    /// The old side was looked at for stale writers.
    StaleLooked {
        /// The cutover.
        cutover: Address,
        /// What was found.
        report: StaleReport,
    },
    /// An operator settled what a stale writer left: seen, taken care of.
    StaleSettled {
        /// The cutover.
        cutover: Address,
        /// By whom.
        by: String,
    },
    /// An attempt at a cutover entered QUIESCING.
    AttemptBegan {
        /// The cutover.
        cutover: Address,
        /// Everything that settling it needs.
        attempt: Box<Attempt>,
    },
    /// An attempt reached a phase. COMMITTED is this event.
    PhaseReached {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The phase.
        phase: Phase,
        /// What was established with it.
        proof: Proof,
        /// Time since the phase before, in microseconds.
        took_us: u64,
    },
    /// One member of an attempt takes writes on its new side: that side accepts them, or its writers run.
    MemberOpened {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The member.
        migration: Address,
    },
    /// A route was set and observed there.
    RouteSet {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The route.
        route: Address,
        /// Where it points.
        side: Side,
    },
    /// A commit was taken back (protocol P16, P17): the new sides are proven closed, no client ever wrote to
    /// them, and the side that served is re-opened.
    CommitTakenBack {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// Why.
        reason: String,
        /// The hold that comes with it (protocol P23).
        held: String,
    },
    /// An attempt is being aborted (intent): the side that served is re-opened first.
    AbortBegan {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// Why.
        reason: String,
        /// Set when nobody shall try again by itself (protocol P23).
        held: Option<String>,
    },
    /// The side that served takes writes again.
    SideReopened {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The side.
        side: Side,
        /// How long opening it took, in microseconds; `None`: not known.
        #[serde(default)]
        took_us: Option<u64>,
    },
    /// An abort is complete.
    Aborted {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
    },
    /// An operator lets a held cutover go on.
    Unheld {
        /// The cutover.
        cutover: Address,
        /// By whom.
        by: String,
    },
    /// The spec now wants something else than what the hold was put on: the hold is lifted by that edit.
    HoldOutdated {
        /// The cutover.
        cutover: Address,
    },
    /// The fallback was given up, or the migration abandoned.
    CutoverFinished {
        /// The cutover.
        cutover: Address,
    },
    /// A plan was approved.
    Approved {
        /// The plan's hash.
        plan_hash: String,
        /// By whom.
        by: String,
    },
    /// A plan was begun: `apply FILE` recognises its own progress by this.
    PlanBegan {
        /// The plan's hash.
        plan_hash: String,
    },
    /// Something worth the report.
    Found {
        /// The step.
        step: Address,
        /// What.
        finding: Finding,
    },
    /// `state mv`
    AddressMoved {
        /// Before.
        from: Address,
        /// After.
        to: Address,
    },
    /// `state rm`, or a `removed` block: forgotten, the systems untouched.
    AddressForgotten {
        /// What.
        address: Address,
    },
    /// A gate was looked at: the first look, each change, and one a minute are recorded.
    GateRead {
        /// The cutover.
        cutover: Address,
        /// The gate's step.
        gate: Address,
        /// Whether it is met.
        met: bool,
        /// By what, or what is missing and how far off it is.
        said: String,
        /// The measured value, where there is one (milliseconds, a query's result).
        value: Option<f64>,
        /// When.
        at: BootTime,
    },
    /// What is watched after the switch that an attempt leads to. Comes before the attempt: a death leaves it known.
    WatchPlanned {
        /// The cutover.
        cutover: Address,
        /// Everything that watching needs.
        plan: WatchPlan,
    },
    /// Watching began, or went on after a death.
    WatchBegan {
        /// The cutover.
        cutover: Address,
        /// The attempt that switched.
        epoch: u64,
        /// How long it had been watched by then, in milliseconds: time in which nobody looked does not count.
        watched_ms: u64,
        /// When.
        at: BootTime,
    },
    /// A watch was looked at: the first look, each change, and one a minute are recorded.
    WatchRead {
        /// The cutover.
        cutover: Address,
        /// The attempt that switched.
        epoch: u64,
        /// The watch's step.
        watch: Address,
        /// Whether all was well.
        ok: bool,
        /// What was seen.
        said: String,
        /// The measured value, where there is one.
        value: Option<f64>,
        /// Looks in a row that were not good, this one included.
        failed: u32,
        /// When.
        at: BootTime,
    },
    /// A watch that switches back lost health: the way back is begun next, whoever lives to do so.
    HealthLost {
        /// The cutover.
        cutover: Address,
        /// The attempt that switched.
        epoch: u64,
        /// The watch's step.
        watch: Address,
        /// What was seen.
        said: String,
    },
    /// Health was lost, and the side that serves is kept all the same.
    BackRefused {
        /// The cutover.
        cutover: Address,
        /// The attempt that switched.
        epoch: u64,
        /// Why.
        why: String,
        /// Whether the cutover is held because of it.
        held: bool,
    },
    /// A rehearsal began: its scratch place is about to be made.
    RehearsalBegan {
        /// The cutover.
        cutover: Address,
        /// What is rehearsed.
        rehearsal: Rehearsal,
    },
    /// It is over; its scratch place is still there.
    RehearsalEnded {
        /// The cutover.
        cutover: Address,
        /// What it measured and found.
        report: Box<RehearsalReport>,
    },
    /// Everything that it made is gone.
    RehearsalReleased {
        /// The cutover.
        cutover: Address,
    },
    /// A side that cannot be read is about to be fenced from outside (intent; protocol P22).
    FenceBegan {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The fence, which only a person lifts.
        resource: Box<Resource>,
    },
    /// It takes no write any more, proven.
    FenceProven {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
        /// The endpoint.
        endpoint: Address,
        /// By what.
        said: String,
    },
    /// A side that was left came back, and is this state's again.
    SideTakenBack {
        /// The cutover.
        cutover: Address,
        /// The side.
        side: Side,
        /// By whom.
        by: String,
    },
    /// Something temporary is about to be made somewhere (intent): from here on it is known, and released one day.
    ResourceMade {
        /// What, where, whose, and how it is released.
        resource: Box<Resource>,
    },
    /// A resource is about to be released (intent).
    ResourceReleasing {
        /// Its name.
        id: String,
        /// By whom, or by what.
        by: String,
    },
    /// It is released.
    ResourceReleased {
        /// Its name.
        id: String,
        /// What was done, or found gone.
        said: String,
    },
    /// Reads go to the target in steps before a switch.
    Weight {
        /// The cutover.
        cutover: Address,
        /// What happened to them.
        weight: WeightEvent,
    },
    /// Somebody paused, resumed or throttled the run. It is over when the run ends: nothing of it is state.
    Steered {
        /// What was wished.
        wish: Wish,
        /// By whom.
        by: String,
        /// Why; `None`: it was not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A part of a state that is being restored (`state push`): an event has a size limit, a state has
    /// none. Everything before is replaced when the last part is there.
    StatePart {
        /// Whether this is the first part.
        first: bool,
        /// Whether this is the last part.
        last: bool,
        /// Some of its migrations and cutovers.
        part: Box<State>,
    },
}
