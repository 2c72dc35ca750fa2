//! What a spec says, checked and resolved: the end of the language and the start of planning.
//!
//! Every value is known here. Values that must not be stored are references
//! ([`segue_contract::SecretRef`]); their values, where the spec itself computed them, travel beside in
//! [`Secrets`], which cannot be serialised.

mod terms;
mod waivers;

use std::collections::BTreeMap;

use segue_contract::{
    Address, Audit, BlockRef, DeletionTerms, Direction, LoadSettings, MaxDeletions, Secret, SecretRef,
    Select, Side, Transform, UnitJob, UnitName, VerifyLevel,
};
use serde::{Deserialize, Serialize};

use crate::lang::Condition;
pub use terms::Term;
pub use waivers::{AUDIT_SAMPLE, SET_ASIDE, WAIVABLE, WaiverDecl};

/// A whole spec, resolved. Maps are ordered, so equal specs serialise equally.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// `source` and `target` blocks, by address; instances of `for_each` have one entry each.
    pub endpoints: BTreeMap<Address, BlockRef>,
    /// `route` blocks.
    pub routes: BTreeMap<Address, RouteDecl>,
    /// `migration` blocks.
    pub migrations: BTreeMap<Address, MigrationDecl>,
    /// `cutover` blocks.
    pub cutovers: BTreeMap<Address, CutoverDecl>,
    /// `segue { parallelism, rate_limit, cutovers }`
    #[serde(default, skip_serializing_if = "RunLimits::is_default")]
    pub limits: RunLimits,
    /// `removed` blocks: addresses that Segue shall forget without touching the systems.
    pub removed: Vec<Address>,
    /// `output` blocks that are not sensitive, as JSON; sensitive ones are `null`.
    pub outputs: BTreeMap<String, serde_json::Value>,
    /// Where each block stands, for diagnostics of later stages.
    #[serde(skip)]
    pub origins: BTreeMap<Address, Origin>,
    /// `segue { backend "local" { path } }`: the state directory, absolute; default `.segue` beside the spec.
    #[serde(skip)]
    pub state_dir: std::path::PathBuf,
}

/// How much of a run happens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Units that are loaded, carried and verified at once; default 4: an engine has workers of its own, and more
    /// units only take the disk from each other.
    pub parallelism: usize,
    /// Cutovers whose writes are paused at once; default 1: a pause that goes wrong is looked at before the next.
    pub cutovers: usize,
    /// Bytes a second for all units together, shared fairly; `None`: as fast as it goes.
    pub rate_limit: Option<u64>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { parallelism: 4, cutovers: 1, rate_limit: None }
    }
}

impl RunLimits {
    /// Whether the spec says nothing of it: such a spec's hash does not know of it.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index into the sources of the loaded spec.
    pub file: usize,
    /// Byte range of the block's header.
    pub span: std::ops::Range<usize>,
}

/// The values of secrets that the spec's evaluation produced. Never stored, never printed.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// By reference.
    pub values: BTreeMap<SecretRef, Secret>,
}

/// A `route` block. Its `source` and `target` attributes, where the provider has them, say what it holds
/// when it points at each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDecl {
    /// The block as the provider sees it.
    pub block: BlockRef,
}

/// A `migration` block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationDecl {
    /// `migration.site`, `migration.site["eu"]`.
    pub address: Address,
    /// Address of the source.
    pub source: Address,
    /// Address of the target.
    pub target: Address,
    /// `select { include, exclude }`
    pub select: Select,
    /// `transform { rename, drop, map }`
    #[serde(default, skip_serializing_if = "Transform::is_nothing")]
    pub transform: Transform,
    /// `load { parallelism = 0 (as many as cores), rate_limit, mode }`
    pub load: LoadSettings,
    /// `sync { interval }`, default 30 s: the pause between passes of `apply --follow` and of a waiting gate.
    pub sync_interval_ms: u64,
    /// `sync { max_deletions }`: a pass that would delete more stops and asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletions: Option<MaxDeletions>,
    /// `verify { level, valid_for, on_mismatch, in_pause }`
    pub verify: VerifyDecl,
    /// `audit { sample }`
    #[serde(default)]
    pub audit: Audit,
    /// `depends_on`
    pub depends_on: Vec<Address>,
    /// Records of it that may be left out: `waive "SET_ASIDE" { keys, reason }`. Those of its cutover count as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverDecl>,
}

impl MigrationDecl {
    /// One job for each unit between these endpoints, forward, that nothing was carried for yet.
    pub fn jobs(&self, source: &BlockRef, target: &BlockRef, units: &[UnitName]) -> Vec<UnitJob> {
        let job = |name: &UnitName| UnitJob {
            migration: self.address.clone(),
            unit: name.unit.clone(),
            source: source.narrowed(vec![name.unit.clone()]),
            target: target.narrowed(vec![name.at_target.clone()]),
            direction: Direction::Forward,
            select: self.select.clone(),
            transform: self.transform.clone(),
            load: self.load.clone(),
            audit: self.audit.clone(),
            quiet: false,
            ledger: None,
            epoch: 0,
            deletions: DeletionTerms { max: self.max_deletions, accepted: None },
        };
        units.iter().map(job).collect()
    }
}

/// `verify { level = "full", valid_for = "24h", on_mismatch = "repair" }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyDecl {
    /// How closely; default `full`.
    pub level: VerifyLevel,
    /// How long a verification counts; default 24 h.
    pub valid_for_ms: u64,
    /// Carry differing records again (then verify again), or stop; default `fail`.
    pub repair: bool,
    /// Compare everything in the pause, not only what changed since the last verification; default `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_pause: bool,
}

impl Default for VerifyDecl {
    fn default() -> Self {
        Self { level: VerifyLevel::Full, valid_for_ms: 86_400_000, repair: false, in_pause: false }
    }
}

/// A `cutover` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutoverDecl {
    /// `cutover.site`
    pub address: Address,
    /// The migrations that switch together.
    pub migrations: Vec<Address>,
    /// The side that shall serve; default `target`.
    pub live: Side,
    /// Whether the fallback is given up.
    pub finished: bool,
    /// Not committed within this from the quiesce on: abort, source first. Default 2 min.
    pub timeout_ms: u64,
    /// Two positions this far apart must be equal (protocol P4). Default 50 ms, at least that.
    pub freeze_ms: u64,
    /// `gate` blocks, in order.
    pub gates: Vec<GateDecl>,
    /// `quiesce` blocks.
    pub quiesces: Vec<QuiesceDecl>,
    /// `switch { routes }`, in order.
    pub routes: Vec<Address>,
    /// `watch` blocks, in order.
    #[serde(default)]
    pub watches: Vec<WatchDecl>,
    /// `switch { settle }`: how long old answers of the routes live, at least, in milliseconds.
    pub settle_ms: u64,
    /// `switch { steps, hold }`: reads go over in steps before the switch; `None`: at once, with the writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsDecl>,
    /// `fallback {}`
    pub fallback: FallbackDecl,
    /// `rehearse {}`; `None`: no rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<RehearseDecl>,
    /// `waive` blocks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverDecl>,
    /// `depends_on`
    pub depends_on: Vec<Address>,
}

/// `switch { steps = [5, 25, 100], hold = "2m" }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsDecl {
    /// Percents of reads at the target, rising, the last of them 100: the switch itself.
    pub steps: Vec<u8>,
    /// How long each is held, in milliseconds.
    pub hold_ms: u64,
}

impl WeightsDecl {
    /// The steps before the switch itself.
    pub fn before_the_switch(&self) -> impl Iterator<Item = u8> {
        self.steps.iter().copied().filter(|percent| *percent < 100)
    }
}

impl CutoverDecl {
    /// The quiesce that closes and opens a side of a migration.
    pub fn quiesce_of(&self, migration: &Address, side: Side) -> Option<&QuiesceDecl> {
        self.quiesces.iter().find(|q| {
            q.side.is_none_or(|s| s == side) && (q.migrations.is_empty() || q.migrations.contains(migration))
        })
    }

    /// What its gate "downtime" assumes of terms that nobody measured, in milliseconds.
    pub fn assumed(&self) -> BTreeMap<Term, u64> {
        assumed(&self.gates)
    }
}

/// What a gate "downtime" among these assumes of terms that nobody measured, in milliseconds.
pub fn assumed(gates: &[GateDecl]) -> BTreeMap<Term, u64> {
    let of = |gate: &GateDecl| match &gate.condition {
        GateCondition::Downtime { assume, .. } => Some(assume.clone()),
        _ => None,
    };
    gates.iter().find_map(of).unwrap_or_default()
}

/// A `quiesce` block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuiesceDecl {
    /// The block as the provider sees it; address `cutover.site.quiesce.command`.
    pub block: BlockRef,
    /// `migrations = [...]`: only these; empty: all.
    pub migrations: Vec<Address>,
    /// Present when narrowed to one side by an empty nested `source {}` or `target {}`.
    pub side: Option<Side>,
}

/// A `gate` block: a condition that a cutover waits for, `wait` at most (default 1 h).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateDecl {
    /// `cutover.site.gate.window`; the second of a type is `cutover.site.gate.window_2`.
    pub address: Address,
    /// How long to wait, in milliseconds.
    pub timeout_ms: u64,
    /// What for.
    pub condition: GateCondition,
}

/// The conditions there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateCondition {
    /// `gate "lag" { max = "2s" }`
    Lag {
        /// Limit, in milliseconds.
        max_ms: u64,
    },
    /// `gate "downtime" { max, assume }`: predicted (protocol P25).
    Downtime {
        /// Limit, in milliseconds.
        max_ms: u64,
        /// A person's numbers for terms that nobody measured, in milliseconds.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        assume: BTreeMap<Term, u64>,
    },
    /// `gate "verified" { level, max_age, migrations }`: the last whole verification (protocol P24).
    Verified {
        /// How closely at least; `None`: as the migration's own `verify` says.
        level: Option<VerifyLevel>,
        /// How old at most, in milliseconds; `None`: the migration's `verify { valid_for }`.
        max_age_ms: Option<u64>,
        /// Of these migrations; empty: all of the cutover.
        migrations: Vec<Address>,
    },
    /// `gate "approval" { approvers, count }`: of the plan's hash.
    Approval {
        /// The users who may approve; empty: everybody who can.
        approvers: Vec<String>,
        /// How many different people must.
        count: u32,
    },
    /// `gate "window" {}`: a calendar.
    Window(WindowDecl),
    /// `gate "check" { condition, message }`: an expression over what is observed while it waits.
    Check {
        /// The expression.
        condition: Condition,
        /// What to say while it does not hold.
        message: Option<String>,
    },
    /// Any other type: a provider's probe says yes or no.
    Probe {
        /// The block as the provider sees it.
        block: BlockRef,
        /// Between two looks, in milliseconds.
        interval_ms: u64,
    },
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// The week.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The word in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// `gate "window" { days, from, to, zone, not_before, not_after }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowDecl {
    /// The days on which it opens, sorted.
    pub days: Vec<Day>,
    /// When it opens, in minutes after midnight.
    pub from_min: u16,
    /// When it closes, in minutes after midnight, up to 1440; not after `from_min`: on the day after.
    pub to_min: u16,
    /// The time zone's name in the IANA database.
    pub zone: String,
    /// Closed before, wall clock, milliseconds since 1970.
    pub not_before_ms: Option<i64>,
    /// Closed from then on.
    pub not_after_ms: Option<i64>,
}

/// A `watch` block: what is looked at after a switch to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchDecl {
    /// The block as the provider sees it; address `cutover.site.watch.http`.
    pub block: BlockRef,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Between two looks, in milliseconds.
    pub interval_ms: u64,
    /// So many looks in a row that are not good mean lost health.
    pub failures: u32,
    /// Whether lost health switches back by itself, or is only reported.
    pub switch_back: bool,
}

/// `fallback { reverse, stale_writers, retain, max_age, accept_loss, dual_write, fence, fence_timeout }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackDecl {
    /// Keep the old side fresh after the switch; default false.
    pub reverse: bool,
    /// `stale_writers = "report"`: the old side has no barrier that lets Segue write; what stale clients
    /// write there is found and listed, not refused.
    pub report_stale_writers: bool,
    /// How long the old side is kept, in milliseconds; `None`: no time is promised.
    pub retain_ms: Option<u64>,
    /// From which age on the old side is stale: no pass towards it for so long, in milliseconds. Default 1 h.
    #[serde(default = "max_age_default")]
    pub max_age_ms: u64,
    /// Allow a switch back without a reverse sync, losing what the target took.
    pub accept_loss: bool,
    /// Clients may write to both sides (protocol P1): a side that cannot be read is left without a fence.
    #[serde(default)]
    pub dual_write: bool,
    /// Keeps the target from serving, from outside, and proves it (protocol P22).
    #[serde(default)]
    pub fence: Option<BlockRef>,
}

/// `fallback { max_age }` when the spec says nothing, in milliseconds.
pub const MAX_AGE_DEFAULT_MS: u64 = 3_600_000;

fn max_age_default() -> u64 {
    MAX_AGE_DEFAULT_MS
}

/// `rehearse { mode, quiesce, valid_for, test }`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearseDecl {
    /// Stop after it, or go on.
    pub mode: RehearseMode,
    /// Whether the live side may be quiesced for it, for as long as the pause would take.
    pub quiesce: bool,
    /// How long a rehearsal counts, in milliseconds.
    pub valid_for_ms: u64,
    /// Program and arguments that look at the copy; `{path}` and the like stand for its settings. Empty: none.
    pub test: Vec<String>,
}

/// What comes after a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearseMode {
    /// Nothing: the target is not touched.
    Only,
    /// The migration, when no finding is critical.
    Before,
}

impl Desired {
    /// The waivers that count for a migration: its own, and those of its cutover.
    pub fn waivers_of(&self, migration: &Address) -> Vec<WaiverDecl> {
        let own = self.migrations.get(migration).into_iter().flat_map(|m| &m.waivers);
        let cutover = self.cutovers.values().filter(|c| c.migrations.contains(migration));
        own.chain(cutover.flat_map(|c| &c.waivers)).cloned().collect()
    }
}

impl CutoverDecl {
    /// See [`WaiverDecl::of`].
    pub fn waiver(&self, code: &str, keys: &[String], all_known: bool) -> Option<&WaiverDecl> {
        WaiverDecl::of(&self.waivers, code, keys, all_known)
    }
}
