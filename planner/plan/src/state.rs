//! What is known after the journal: the state, which one pure function folds from the events.

mod deletions;
mod fold;
mod forgotten;
mod rehearsals;
mod resources;
mod weight;

use std::collections::{BTreeMap, BTreeSet};

use segue_contract::{
    Address, ArtifactName, AuditReport, Checkpoint, Direction, Finding, Marker, PassTimes, Position,
    SetAside, Side, StaleFind, VerifyLevel,
};
use serde::{Deserialize, Serialize};

use crate::cutover::{Phase, Settle, settle};
use crate::event::{Attempt, BootTime, MigrationRecord, RunRecord, StateBinding, WatchPlan};
use crate::plan::StepKind;

pub use deletions::AskedDeletions;
pub use fold::fold;
pub use forgotten::Forgotten;
pub use rehearsals::{OpenRehearsal, RehearsalState, Rehearsed};
pub use resources::{ResourceState, Standing};
pub use weight::{WeightState, steps_to_hold};

/// The version of this layout.
pub const STATE_VERSION: u32 = 2;

/// How many measurements of passes and pauses are kept for estimates: enough for a 90th percentile.
const MEASUREMENTS_MAX: usize = 32;
/// How many stale writes and findings are listed; the rest is counted.
const LIST_MAX: usize = 200;

/// Everything that Segue knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`STATE_VERSION`] of the writer.
    pub version: u32,
    /// Which directory on which machine it belongs to; `None` before the first command.
    pub binding: Option<StateBinding>,
    /// The last command that wrote, and whether it ended.
    pub last_run: Option<LastRun>,
    /// Migrations that were begun.
    pub migrations: BTreeMap<Address, MigrationState>,
    /// Cutovers that were tried.
    pub cutovers: BTreeMap<Address, CutoverState>,
    /// Rehearsals, by the cutover that they are of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rehearsals: BTreeMap<Address, RehearsalState>,
    /// Steps that began and did not end: their outcome is unknown.
    pub open_steps: BTreeMap<Address, OpenStep>,
    /// Approved plans: hash to who and when.
    pub approvals: BTreeMap<String, Approval>,
    /// Hashes of the plans that were begun.
    pub plans_begun: BTreeSet<String>,
    /// What was given up by `state rm` or `removed`, as it was then: a spec that declares it again takes it up.
    #[serde(default, rename = "given_up", skip_serializing_if = "BTreeMap::is_empty")]
    pub forgotten: BTreeMap<Address, Forgotten>,
    /// The last findings of steps, newest last.
    pub findings: Vec<(Address, Finding)>,
    /// What Segue made or changed somewhere and takes away again, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, ResourceState>,
    /// A state that is being restored, until its last part is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importing: Option<Box<State>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: STATE_VERSION,
            binding: None,
            last_run: None,
            migrations: BTreeMap::new(),
            cutovers: BTreeMap::new(),
            rehearsals: BTreeMap::new(),
            open_steps: BTreeMap::new(),
            approvals: BTreeMap::new(),
            plans_begun: BTreeSet::new(),
            forgotten: BTreeMap::new(),
            findings: Vec::new(),
            resources: BTreeMap::new(),
            importing: None,
        }
    }
}

/// The last command that wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Who.
    pub record: RunRecord,
    /// Wall clock when it began, milliseconds.
    pub began_ms: i64,
    /// Its exit code; `None`: it runs, or it died.
    pub exit: Option<i32>,
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// By whom.
    pub by: Vec<String>,
    /// When the last was given, wall clock, milliseconds.
    pub at_ms: i64,
    /// When each was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, i64>,
}

/// A step that began and did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStep {
    /// Its kind.
    pub kind: StepKind,
    /// How far it was.
    pub checkpoint: Option<Checkpoint>,
}

/// A migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MigrationState {
    /// As it was begun.
    pub record: MigrationRecord,
    /// The highest epoch that was about to be claimed (intent counts: the marker may have it).
    pub epoch: u64,
    /// The markers as last written by this state; `None`: not claimed, or released.
    pub marker: Option<Marker>,
    /// Endpoints that Segue made.
    pub made: BTreeSet<Address>,
    /// Its units.
    pub units: BTreeMap<String, UnitState>,
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitState {
    /// Whether the first load is complete.
    pub loaded: bool,
    /// The ledger after the last load or pass.
    pub ledger: Option<ArtifactName>,
    /// Where it stands.
    pub position: Option<Position>,
    /// The last passes, newest last, either direction.
    pub passes: Vec<PassRecord>,
    /// Passes in all, the load included.
    pub passes_total: u64,
    /// Records written in all.
    pub records_total: u64,
    /// Bytes written in all.
    pub bytes_total: u64,
    /// Records at the last pass.
    pub records_seen: u64,
    /// Records left out by the last pass, with reasons; bounded.
    pub set_aside: Vec<SetAside>,
    /// How many.
    pub set_aside_total: u64,
    /// The last whole verification without mismatch.
    pub verified: Option<VerifiedRecord>,
    /// What the last verification found different.
    pub mismatches_total: u64,
    /// The last pass stopped before its first deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_deletions: Option<AskedDeletions>,
}

/// A completed load or pass, as estimates need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRecord {
    /// Whether it was the load.
    pub load: bool,
    /// Whether it went from target to source.
    pub reverse: bool,
    /// Wall clock when it began, milliseconds.
    pub began_ms: i64,
    /// Boot clock when it began.
    pub began_boot: BootTime,
    /// Time, in microseconds.
    pub took_us: u64,
    /// Records looked at.
    pub records_seen: u64,
    /// Records written.
    pub records_written: u64,
    /// Records deleted.
    pub records_deleted: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Where the time went.
    pub times: PassTimes,
    /// What was read although it looked unchanged.
    #[serde(default)]
    pub audit: AuditReport,
}

impl PassRecord {
    /// How much it carried: records written and deleted.
    pub fn size(&self) -> u64 {
        self.records_written + self.records_deleted
    }
}

/// A verification that found everything equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedRecord {
    /// How closely.
    pub level: VerifyLevel,
    /// Against which ledger.
    pub ledger: ArtifactName,
    /// Wall clock, milliseconds.
    pub at_ms: i64,
    /// Records.
    pub records: u64,
}

/// A cutover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutoverState {
    /// The side that serves (or served, while an attempt before COMMITTED is in flight).
    pub live: Side,
    /// Whether the fallback was given up.
    pub finished: bool,
    /// Where it is.
    pub phase: Phase,
    /// The highest epoch of any attempt.
    pub epoch: u64,
    /// How often `live` changed: part of a plan's hash, so that an approval is good for one switch.
    pub switches: u64,
    /// The last attempt, in flight or over.
    pub attempt: Option<Box<Attempt>>,
    /// The attempt leads back from a side of which some members of the group never opened (protocol P20).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_part: bool,
    /// The members of the attempt whose new side takes writes (protocol P20).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub opened: BTreeSet<Address>,
    /// The routes that the attempt has set, with where they point.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routed: BTreeMap<Address, Side>,
    /// What its phases established.
    pub proofs: BTreeMap<Phase, crate::event::Proof>,
    /// Why nobody shall try again by itself.
    pub held: Option<Held>,
    /// Set while an abort is under way: why, and whether the side that served takes writes again.
    pub aborting: Option<Aborting>,
    /// Times of the last pauses' phases, for the forecast.
    pub pauses: Vec<PauseTerm>,
    /// The last complete switch.
    pub last_switch: Option<SwitchRecord>,
    /// Stale writes found on the side that is not live, not yet settled by a person; bounded.
    pub stale: Vec<StaleFind>,
    /// How many.
    pub stale_total: u64,
    /// Whether the old side was looked at as a whole since the last switch.
    pub stale_looked: bool,
    /// What is watched after the switch, and how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Box<WatchState>>,
    /// The endpoints that the attempt has fenced from outside, with the run that last proved it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fenced: BTreeMap<Address, u64>,
    /// The side that was left although it could not be read, until it is taken back (protocol P22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftSide>,
    /// Reads that go to the target before the switch, and how far their steps are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Box<WeightState>>,
}

/// A side that was left although it could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftSide {
    /// The side.
    pub side: Side,
    /// The attempt that left it: markers that came back with it have an epoch below.
    pub epoch: u64,
    /// Wall clock, milliseconds.
    pub at_ms: i64,
    /// What was lost, a phrase.
    pub loses: String,
}

impl Default for CutoverState {
    fn default() -> Self {
        Self {
            live: Side::Source,
            finished: false,
            phase: Phase::Ready,
            epoch: 0,
            switches: 0,
            attempt: None,
            in_part: false,
            opened: BTreeSet::new(),
            routed: BTreeMap::new(),
            proofs: BTreeMap::new(),
            held: None,
            aborting: None,
            pauses: Vec::new(),
            last_switch: None,
            stale: Vec::new(),
            stale_total: 0,
            stale_looked: false,
            watch: None,
            fenced: BTreeMap::new(),
            left: None,
            weight: None,
        }
    }
}

/// The watch after a switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchState {
    /// What is watched.
    pub plan: WatchPlan,
    /// Since when this time; `None`: nobody began, or it is over.
    pub began: Option<BootTime>,
    /// How long it had been watched before, in milliseconds.
    pub watched_ms: u64,
    /// The last look that was recorded.
    pub last: Option<BootTime>,
    /// What each watch saw last.
    pub seen: BTreeMap<Address, WatchSeen>,
    /// The watch that lost health, and what it saw.
    pub lost: Option<(Address, String)>,
    /// Whether the side that serves was kept although health was lost.
    pub kept: bool,
}

/// What a watch saw last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSeen {
    /// Whether all was well.
    pub ok: bool,
    /// What was seen.
    pub said: String,
    /// Looks in a row that were not good.
    pub failed: u32,
}

impl WatchState {
    /// How long it has been watched, in milliseconds, as far as the journal knows.
    pub fn watched_so_far_ms(&self) -> u64 {
        let since = self.began.as_ref().zip(self.last.as_ref()).and_then(|(began, last)| last.since(began));
        self.watched_ms.saturating_add(since.unwrap_or(0))
    }
}

/// A hold (design: held).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why.
    pub reason: String,
    /// The side that the spec wanted when the hold was put on, where that is known: an edit of `live` lifts it.
    pub wanted: Side,
    /// Wall clock, milliseconds.
    pub since_ms: i64,
}

/// An abort under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborting {
    /// Why.
    pub reason: String,
    /// The hold that comes with it.
    pub held: Option<String>,
    /// Whether the side that served takes writes again.
    pub reopened: bool,
    /// Whether a COMMITTED is taken back (protocol P16): markers and routes are set back, too.
    #[serde(default)]
    pub taken_back: bool,
}

/// The time of one phase of one pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseTerm {
    /// The phase reached, or `OPEN` for the one in which writes are accepted again.
    pub name: String,
    /// Microseconds.
    pub us: u64,
}

/// A complete switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchRecord {
    /// The attempt.
    pub epoch: u64,
    /// The side that serves since.
    pub to: Side,
    /// Wall clock when the new side took writes, milliseconds.
    pub at_ms: i64,
    /// Writes were refused for so long, in microseconds.
    pub pause_us: u64,
}

impl CutoverState {
    /// Whether clients' writes are, or may be, refused on both sides.
    pub fn refuses_writes(&self) -> bool {
        match self.phase {
            Phase::Aborting => self.aborting.as_ref().is_none_or(|a| !a.reopened),
            Phase::Opened => false,
            Phase::Routed => self.attempt.as_deref().is_none_or(|a| a.opens().writers),
            phase => phase.is_pause(),
        }
    }

    /// Until when the process that committed may take to let the new side take writes (protocol P30); `None`: nothing is
    /// committed and still to be completed.
    pub fn forward_until(&self) -> Option<BootTime> {
        let attempt = self.attempt.as_deref()?;
        let BootTime { ms, boot_id } = self.proofs.get(&Phase::Committed)?.at.clone()?;
        let open = self.phase.is_pause() && settle(self.phase) == Settle::Complete;
        open.then(|| BootTime { ms: ms.saturating_add(attempt.forward_ms()), boot_id })
    }

    /// Whether the side that does not serve was left without a look: nothing is written there before it is taken back.
    pub fn leaves_the_other(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.side != self.live)
    }

    /// Whether the switch is done and watches are still to be looked at: nothing has to be settled, and the next
    /// apply goes on watching.
    pub fn watches(&self) -> bool {
        // What is watched is the new system: going back leads to the one that was there all the time.
        let forward = self.attempt.as_ref().is_some_and(|a| a.to == Side::Target);
        let planned = self.watch.as_ref().is_some_and(|w| !w.plan.watches.is_empty());
        self.phase == Phase::Watching && forward && planned
    }

    /// Whether health was lost and the way back is still to be gone: it was not begun, or a death ended it.
    pub fn goes_back(&self) -> bool {
        let lost = self.watch.as_ref().is_some_and(|w| w.lost.is_some() && !w.kept);
        lost && self.live == Side::Target && matches!(self.phase, Phase::Watching | Phase::Soaking)
    }
}

impl State {
    /// Cutovers with an attempt in flight, which are settled before anything else (protocol P14).
    pub fn in_flight(&self) -> impl Iterator<Item = (&Address, &CutoverState)> {
        self.cutovers.iter().filter(|(_, c)| settle(c.phase) != Settle::Nothing)
    }

    /// Cutovers at rest of which reads go to the target, or may: a run is at it, or it died.
    pub fn weighed(&self) -> impl Iterator<Item = (&Address, &WeightState)> {
        let resting = self.cutovers.iter().filter(|(_, c)| settle(c.phase) == Settle::Nothing);
        resting.filter_map(|(a, c)| Some((a, c.weight.as_deref().filter(|w| w.in_effect())?)))
    }

    /// Whether a death leaves something to be settled.
    pub fn unsettled(&self) -> bool {
        self.in_flight().next().is_some() || self.weighed().next().is_some()
    }

    /// The cutover that a migration belongs to.
    pub fn cutover_of(&self, migration: &Address) -> Option<&CutoverState> {
        self.migrations
            .get(migration)
            .and_then(|m| m.record.cutover.as_ref())
            .and_then(|c| self.cutovers.get(c))
    }

    /// The side that serves for a migration.
    pub fn live_of(&self, migration: &Address) -> Side {
        self.cutover_of(migration).map_or(Side::Source, |c| c.live)
    }

    /// The direction in which a migration's passes go now.
    pub fn direction_of(&self, migration: &Address) -> Direction {
        Direction::from_live(self.live_of(migration))
    }

    /// Every artifact that the state names; others in the artifact directory may be removed.
    pub fn artifacts(&self) -> Vec<ArtifactName> {
        let forgotten = self.forgotten.values().filter_map(|f| f.migration.as_ref());
        let units = self.migrations.values().chain(forgotten).flat_map(|m| m.units.values());
        let of_units = units.flat_map(|u| u.ledger.iter().chain(u.verified.iter().map(|v| &v.ledger)));
        let of_cutovers = self.cutovers.values().flat_map(|c| {
            let jobs = c.attempt.iter().flat_map(|a| a.jobs.iter().filter_map(|j| j.ledger.as_ref()));
            c.proofs.values().flat_map(|p| p.ledgers.iter()).chain(jobs)
        });
        let of_resources = self.resources.values().flat_map(ResourceState::ledgers);
        of_units.chain(of_cutovers).cloned().chain(of_resources).collect()
    }
}
