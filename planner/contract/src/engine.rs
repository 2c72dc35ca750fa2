//! Engines: moving and verifying one unit between two endpoints. Files and documents today; blocks and
//! vendors' own jobs play the same role later.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Address, AttributeSchema, Audit, AuditReport, BlockRef, Checkpoint, Config, DeletionTerms, Finding,
    KeptDeleted, Severity, Side, StepError, StepIo,
};

/// Which way data moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the declared source to the declared target.
    Forward,
    /// From the declared target back to the declared source.
    Reverse,
}

impl Direction {
    /// The direction that carries data away from `live`.
    pub fn from_live(live: Side) -> Self {
        match live {
            Side::Source => Self::Forward,
            Side::Target => Self::Reverse,
        }
    }

    /// The side that is read.
    pub fn from(self) -> Side {
        match self {
            Self::Forward => Side::Source,
            Self::Reverse => Side::Target,
        }
    }
}

/// The name of a file in the artifact directory, formed from its content's hash: a ledger, a scan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactName(pub String);

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An opaque token of how far changes have been carried; equal tokens mean that nothing changed between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub String);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// Patterns to take; empty: all.
    pub include: Vec<String>,
    /// Patterns to leave out (gitignore syntax for files); applied after `include`.
    pub exclude: Vec<String>,
    /// Units that have another name at the target: from what, a name or a pattern with one `*`, to what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
}

/// How records are changed on their way; nothing by default. Fields are dotted paths from a record's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// Fields that have another name at the target: from what to what.
    pub rename: BTreeMap<String, String>,
    /// Fields that the target does not get.
    pub drop: Vec<String>,
    /// Values that are others at the target, by field (its name at the source), as they are printed.
    pub map: BTreeMap<String, BTreeMap<String, String>>,
}

impl Transform {
    /// Whether records are carried as they are.
    pub fn is_nothing(&self) -> bool {
        let Self { rename, drop, map } = self;
        rename.is_empty() && drop.is_empty() && map.is_empty()
    }
}

/// A unit, and what it is called at each end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName {
    /// Its name in plans and in the state: the one at the source.
    pub unit: String,
    /// Its name at the target.
    pub at_target: String,
}

/// How the first load is done, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSettings {
    /// Workers; the engine may use fewer.
    pub parallelism: u32,
    /// Bytes a second; `None`: as fast as it goes. The limit itself is kept by [`StepIo::take`].
    pub rate_limit: Option<u64>,
    /// Which way; by default Segue copies.
    #[serde(default, skip_serializing_if = "LoadMode::is_copy")]
    pub mode: LoadMode,
}

/// The way in which everything is carried first: `load { mode = "..." }` with the settings that belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadMode {
    /// [`LoadMode::COPY`], or one of [`Engine::load_modes`].
    pub name: String,
    /// Its settings, by the schema that the engine declares for it.
    #[serde(default)]
    pub config: Config,
}

impl LoadMode {
    /// Segue reads every record and writes it: the way that every engine has.
    pub const COPY: &str = "copy";

    /// Whether it is [`LoadMode::COPY`].
    pub fn is_copy(&self) -> bool {
        self.name == Self::COPY
    }
}

impl Default for LoadMode {
    fn default() -> Self {
        Self { name: Self::COPY.to_owned(), config: Config::default() }
    }
}

/// A way of the first load that an engine has beside [`LoadMode::COPY`].
#[derive(Clone, Debug, Serialize)]
pub struct LoadModeSchema {
    /// `reindex`
    pub name: String,
    /// One sentence for users: what it does, and when to choose it.
    pub doc: String,
    /// What the `load` block may hold with it, beside what every `load` block may. Attributes of one name that several
    /// modes have are one attribute; none has a default: what is not written is absent.
    pub attributes: Vec<AttributeSchema>,
    /// Whether somebody else than Segue and the two systems fills the target: a rehearsal's scratch place, which nobody else
    /// knows, is copied to.
    pub by_others: bool,
    /// Codes of findings about the pair of endpoints that are none with this mode: that a target which somebody else
    /// fills is not empty.
    pub voids: Vec<String>,
}

/// One unit of one migration, with all that moving it needs. Kept in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitJob {
    /// The migration.
    pub migration: Address,
    /// The unit: `tree`, an index, a disk.
    pub unit: String,
    /// The declared source.
    pub source: BlockRef,
    /// The declared target.
    pub target: BlockRef,
    /// Which way this job moves data.
    pub direction: Direction,
    /// What is moved.
    pub select: Select,
    /// How records are changed on their way from the declared source to the declared target.
    #[serde(default, skip_serializing_if = "Transform::is_nothing")]
    pub transform: Transform,
    /// How fast.
    pub load: LoadSettings,
    /// How passes look for changes that no fingerprint shows.
    #[serde(default, skip_serializing_if = "Audit::is_default")]
    pub audit: Audit,
    /// Whether the side that is read is proven quiet: then a pass reads all that its fingerprints prove nothing of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// The ledger as of the last completed pass, either direction: it knows both sides of every record.
    pub ledger: Option<ArtifactName>,
    /// What the writes of this job are stamped with where the target can refuse older ones (protocol P5).
    pub epoch: u64,
    /// How many records it may delete without asking (protocol P28).
    #[serde(default, skip_serializing_if = "DeletionTerms::is_default")]
    pub deletions: DeletionTerms,
}

impl UnitJob {
    /// The endpoint that is read.
    pub fn reads(&self) -> &BlockRef {
        match self.direction {
            Direction::Forward => &self.source,
            Direction::Reverse => &self.target,
        }
    }

    /// The endpoint that is written.
    pub fn writes(&self) -> &BlockRef {
        match self.direction {
            Direction::Forward => &self.target,
            Direction::Reverse => &self.source,
        }
    }
}

/// Where a pass spent its time, in microseconds: the terms of the predicted downtime (protocol P25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassTimes {
    /// Listing names and metadata.
    pub scan_us: u64,
    /// Reading, hashing and writing what changed.
    pub apply_us: u64,
    /// Making it durable.
    pub sync_us: u64,
}

/// A record left out of a pass with its reason: a failed gate unless waived (protocol P24).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// The record's key (for files the path below the root, lossily printed).
    pub key: String,
    /// Why.
    pub reason: String,
}

/// A write on a side that should have had none, kept aside (protocol P21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleFind {
    /// The record's key.
    pub key: String,
    /// `created`, `changed` or `deleted`, against what Segue last wrote or saw there.
    pub what: String,
    /// Where the stale version is kept, in the artifact directory; `None` for a deletion, or when only looked at.
    pub kept: Option<String>,
    /// The process that did it, where known.
    pub process: Option<String>,
}

/// What a completed load or pass did. A ledger of what it carried is durable before it is returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassReport {
    /// The ledger after the pass.
    pub ledger: ArtifactName,
    /// The position that the pass carried the written side to.
    pub position: Position,
    /// Records of the unit as the pass leaves it, whether it asked for each of them or knew that it had not changed.
    pub records_seen: u64,
    /// Records created or changed on the written side.
    pub records_written: u64,
    /// Records deleted there.
    pub records_deleted: u64,
    /// Bytes of data written.
    pub bytes_written: u64,
    /// Records left out, with reasons; bounded, see `set_aside_total`.
    pub set_aside: Vec<SetAside>,
    /// How many records were left out in all.
    pub set_aside_total: u64,
    /// Stale writes found on the written side; bounded, see `stale_total`.
    pub stale: Vec<StaleFind>,
    /// How many stale writes were found in all.
    pub stale_total: u64,
    /// Where the time went.
    pub times: PassTimes,
    /// What was deleted and kept aside, on the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_deleted: Option<KeptDeleted>,
    /// What was read although it looked unchanged.
    #[serde(default, skip_serializing_if = "AuditReport::is_default")]
    pub audit: AuditReport,
}

/// How closely to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Records are counted, and their metadata compared with the ledger.
    Count,
    /// And the content of a sample is read on both sides.
    Sampled,
    /// And all content is read on both sides.
    Full,
}

impl VerifyLevel {
    /// The word in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sampled => "sampled",
            Self::Full => "full",
        }
    }
}

/// What to verify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyCall {
    /// How closely.
    pub level: VerifyLevel,
    /// Verify only what passes touched since the verification with this ledger (the residual,
    /// protocol P24); `None`: everything.
    pub since: Option<ArtifactName>,
    /// Whether the side that is read is known to be quiet: then a difference to the ledger there is a mismatch too,
    /// and nothing is waited for.
    pub quiet: bool,
    /// What the last pass set aside, as far as it was listed: such a record is missing, not a difference, and not
    /// waiting to be carried.
    pub set_aside: Vec<SetAside>,
}

/// A record that differs and stayed different after settling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyMismatch {
    /// The record's key.
    pub key: String,
    /// What differs: `content`, `mode`, `missing at target`, `extra at target`, ...
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How closely.
    pub level: VerifyLevel,
    /// The ledger that it was checked against.
    pub ledger: ArtifactName,
    /// Records looked at.
    pub records_checked: u64,
    /// Records whose content was read on both sides.
    pub records_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Records changed at the live side since the last pass: to be verified when they were carried.
    pub residual: u64,
    /// What differs; bounded, see `mismatches_total`.
    pub mismatches: Vec<VerifyMismatch>,
    /// How many differ in all.
    pub mismatches_total: u64,
    /// What the side that is read has and the other one has not, or not as it is now, because it was set aside; with
    /// reasons, bounded, see `missing_total`.
    #[serde(default)]
    pub missing: Vec<SetAside>,
    /// How many are missing in all.
    #[serde(default)]
    pub missing_total: u64,
    /// Time, in microseconds.
    pub took_us: u64,
}

/// What metadata says against the ledger, without reading content: for `plan`, `status` and `drift`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Records on the live side that wait for a pass: neither change nor drift.
    pub waiting_records: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Before the first load, and where it is known: how many bytes of room the other side needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_bytes: Option<u64>,
    /// How many records the next pass would delete at least, where a look tells that, of how many; it stops where that is
    /// too much.
    #[serde(default)]
    pub waiting_deletions: Option<(u64, u64)>,
    /// What changed on the other side behind Segue's back; bounded, see `drifted_total`.
    pub drifted: Vec<VerifyMismatch>,
    /// How many drifted in all.
    pub drifted_total: u64,
}

/// The result of looking for stale writers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleReport {
    /// Records looked at.
    pub records_seen: u64,
    /// What was found; bounded, see `total`.
    pub finds: Vec<StaleFind>,
    /// How many in all.
    pub total: u64,
}

/// Moves and verifies units. Every call may be repeated after a death at any instant: what was done is
/// found done, what was half done is done again.
pub trait Engine: Send + Sync {
    /// What is wrong with a migration's selection and transformation: a critical finding refuses the plan.
    fn check(&self, select: &Select, transform: &Transform) -> Vec<Finding> {
        let unknown = |what: &str| Finding {
            severity: Severity::Critical,
            code: "ENGINE_CANNOT".to_owned(),
            summary: format!("{what} is not for systems of this kind: what they hold is carried as it is"),
            remedy: "take it out of the migration".to_owned(),
        };
        let asked =
            [("select { rename }", !select.rename.is_empty()), ("transform", !transform.is_nothing())];
        asked.iter().filter(|(_, asked)| *asked).map(|(what, _)| unknown(what)).collect()
    }

    /// Changes that passes of this engine may not see, in a sentence of the plan (protocol P29); `None`: there are none.
    fn unseen(&self) -> Option<&'static str> {
        None
    }

    /// The ways of the first load beside [`LoadMode::COPY`].
    fn load_modes(&self) -> Vec<LoadModeSchema> {
        Vec::new()
    }

    /// What stands in the way of the first load of a unit in a mode of [`Engine::load_modes`]: a critical finding refuses
    /// the plan. Asked before anything runs, and changes nothing.
    fn check_load(&self, _job: &UnitJob, _io: &dyn StepIo) -> Vec<Finding> {
        Vec::new()
    }

    /// Whether a unit of the declared source is moved; where an endpoint is one unit, it is.
    fn selects(&self, _select: &Select, _unit: &str) -> bool {
        true
    }

    /// What a unit of the declared source is called at the declared target.
    fn name_at_target(&self, _select: &Select, unit: &str) -> String {
        unit.to_owned()
    }

    /// Both names of a unit.
    fn unit_name(&self, select: &Select, unit: &str) -> UnitName {
        UnitName { unit: unit.to_owned(), at_target: self.name_at_target(select, unit) }
    }

    /// Units that are selected at `block`, the given side of a migration, and are none of `block.scope`: they were made
    /// since the migration began, and nothing carries them.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn appeared(
        &self,
        _block: &BlockRef,
        _side: Side,
        _select: &Select,
        _io: &dyn StepIo,
    ) -> Result<Vec<String>, StepError> {
        Ok(Vec::new())
    }

    /// Carries everything to a side that has none of it yet, from a checkpoint where there is one.
    fn load(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError>;

    /// One incremental pass: carries what changed since `job.ledger`. One that would delete more than `job.deletions`
    /// allow stops before the first ([`DeletionTerms::check`]); a reverse pass keeps aside what it deletes.
    fn pass(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError>;

    /// The position of the side that `job` reads, now.
    fn position(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Position, StepError>;

    /// Compares both sides with the ledger.
    fn verify(&self, job: &UnitJob, call: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError>;

    /// Makes the written side equal where a verification found it different (`on_mismatch = "repair"`):
    /// the records are carried again.
    fn repair(&self, job: &UnitJob, report: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError>;

    /// Compares metadata with the ledger; changes nothing and reads no content, unless `level` is full.
    fn drift(&self, job: &UnitJob, level: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError>;

    /// Looks at the side that `job` writes for writes that are not Segue's, against `job.ledger`;
    /// changes nothing.
    fn stale(&self, job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError>;

    /// Removes what Segue made at the declared target and nobody has touched since (abandon).
    fn release(&self, job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError>;

    /// The migration is over, and the side that `job` writes stays: what was set there for the time of the migration alone
    /// is put back. May be repeated.
    ///
    /// # Errors
    /// It cannot be put back.
    fn finish(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// Removes what a load or pass that died had half written at the side that `job` writes. Returns how many.
    fn tidy(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<u64, StepError> {
        Ok(0)
    }
}
