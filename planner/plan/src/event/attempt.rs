//! An attempt at a cutover as the journal holds it, and what its phases establish.

use std::path::PathBuf;

use segue_contract::{
    Address, ArtifactName, BlockRef, Position, QuiesceCall, QuiesceKind, Side, UnitJob, VerifyLevel,
};
use segue_language::WaiverDecl;
use serde::{Deserialize, Serialize};

use crate::cutover::Opens;

/// A time on the boot clock (`CLOCK_BOOTTIME`), which goes on while the machine sleeps and is not set by anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    /// Milliseconds since boot.
    pub ms: u64,
    /// Which boot.
    pub boot_id: String,
}

impl BootTime {
    /// Milliseconds since `earlier`; `None` when the machine was booted between.
    pub fn since(&self, earlier: &Self) -> Option<u64> {
        (self.boot_id == earlier.boot_id).then(|| self.ms.saturating_sub(earlier.ms))
    }
}

/// One attempt at a cutover, with every argument that settling it needs (protocol P14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "wire::AnyAttempt")]
pub struct Attempt {
    /// Rises with each attempt; the markers' epoch.
    pub epoch: u64,
    /// The side that served.
    pub from: Side,
    /// The side that shall serve.
    pub to: Side,
    /// The hash of the plan that asked for it; empty for a switch back by command.
    pub plan_hash: String,
    /// Set when the cutover is held once this attempt is over (protocol P23): a switch back by command.
    pub held_after: Option<String>,
    /// Limit of the pause until COMMITTED, in milliseconds.
    pub timeout_ms: u64,
    /// Two positions this far apart must be equal, in milliseconds.
    pub freeze_ms: u64,
    /// When QUIESCING began.
    pub began: BootTime,
    /// The units of all members, moving `from` -> `to`; ledgers as of the last pass before.
    pub jobs: Vec<UnitJob>,
    /// The migrations that switch as one, in the order in which they open (protocol P20).
    pub members: Vec<Member>,
    /// The routes, in order.
    pub routes: Vec<BlockRef>,
    /// How long old answers of the routes live, at least, in milliseconds (`switch { settle }`).
    pub settle_ms: u64,
    /// How long the answers that the routes gave when it began may live, in milliseconds: nobody can ask for that any
    /// more once they are set.
    #[serde(default, skip_serializing_if = "wire::is_zero")]
    pub old_answers_ms: u64,
    /// Whether the old side is kept fresh.
    pub reverse: bool,
    /// Where `BY_HAND.txt` was written.
    pub by_hand: PathBuf,
    /// The process that settles when this one dies or stalls (protocol P7); `None`: nobody does.
    pub watchdog: Option<Watcher>,
    /// It is rehearsed: it ends at VERIFIED, and never commits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// What the spec accepts (protocol P24).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverDecl>,
    /// What the spec says of the way back.
    pub fallback: FallbackTerms,
    /// Set when this attempt leaves a side that cannot be read (protocol P22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Leaving>,
}

/// What a spec says of the way back, for when the spec is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FallbackTerms {
    /// How long the old side is kept, in milliseconds; `None`: no time is promised.
    pub retain_ms: Option<u64>,
    /// From which age on the old side is stale, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Whether a side may be left although that loses what it took.
    pub accept_loss: bool,
    /// Whether clients may write to both sides.
    pub dual_write: bool,
    /// What keeps a side from serving, from outside.
    pub fence: Option<BlockRef>,
}

/// How a side that cannot be read is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Why it cannot be read.
    pub unreadable: String,
    /// What is lost, a phrase.
    pub loses: String,
}

/// One migration of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The migration.
    pub migration: Address,
    /// What the closing acts on: writes, or writers.
    pub close_kind: QuiesceKind,
    /// Closes (and on abort re-opens) the side that served.
    pub close: QuiesceCall,
    /// What the opening acts on: decides the order of opening and routing (protocol P12).
    pub open_kind: QuiesceKind,
    /// Opens the side that shall serve.
    pub open: QuiesceCall,
    /// How closely the residual is verified, and whether what differs is carried again once.
    pub verify: VerifyLevel,
    /// See `verify`.
    pub repair: bool,
    /// Whether everything is verified in the pause, not only the residual.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify_all: bool,
}

/// A watchdog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// Process.
    pub pid: u32,
    /// Its start time in clock ticks since boot, so that a re-used pid is told apart.
    pub start_time: u64,
}

impl Attempt {
    /// What opening the new sides acts on.
    pub fn opens(&self) -> Opens {
        self.members.iter().map(|m| m.open_kind).collect()
    }

    /// The side that it leaves without reading it, if so: nothing is asked of that (protocol P22).
    pub fn left(&self) -> Option<Side> {
        self.leaves.as_ref().map(|_| self.from)
    }

    /// How long letting the new side take writes may take from COMMITTED on (protocol P30), in milliseconds: as long as the
    /// pause before it might, and the time in which old answers expire.
    pub fn forward_ms(&self) -> u64 {
        self.timeout_ms.saturating_add(self.settle_ms.max(self.old_answers_ms))
    }

    /// The migrations.
    pub fn migrations(&self) -> impl Iterator<Item = &Address> {
        self.members.iter().map(|m| &m.migration)
    }

    /// The member of a migration.
    pub fn member(&self, migration: &Address) -> Option<&Member> {
        self.members.iter().find(|m| m.migration == *migration)
    }
}

/// What lines of version 1 say: one migration, its quiesce calls beside the attempt's own fields.
mod wire {
    use super::{
        Address, Attempt, BlockRef, BootTime, Deserialize, FallbackTerms, Leaving, Member, PathBuf,
        QuiesceCall, QuiesceKind, Side, UnitJob, VerifyLevel, WaiverDecl, Watcher,
    };

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(super) fn is_zero(ms: &u64) -> bool {
        *ms == 0
    }

    #[derive(Deserialize)]
    pub(super) struct AnyAttempt {
        epoch: u64,
        from: Side,
        to: Side,
        plan_hash: String,
        held_after: Option<String>,
        timeout_ms: u64,
        freeze_ms: u64,
        began: BootTime,
        jobs: Vec<UnitJob>,
        #[serde(flatten)]
        members: Members,
        routes: Vec<BlockRef>,
        #[serde(default)]
        settle_ms: u64,
        #[serde(default)]
        old_answers_ms: u64,
        reverse: bool,
        by_hand: PathBuf,
        #[serde(default)]
        watchdog: Option<Watcher>,
        #[serde(default)]
        rehearsal: bool,
        #[serde(default)]
        waivers: Vec<WaiverDecl>,
        #[serde(default)]
        fallback: FallbackTerms,
        #[serde(default)]
        leaves: Option<Leaving>,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Members {
        Several { members: Vec<Member> },
        One(Box<One>),
    }

    #[derive(Deserialize)]
    struct One {
        close_kind: QuiesceKind,
        close: QuiesceCall,
        open_kind: QuiesceKind,
        open: QuiesceCall,
        verify: VerifyLevel,
        repair: bool,
    }

    impl From<AnyAttempt> for Attempt {
        fn from(any: AnyAttempt) -> Self {
            let AnyAttempt {
                epoch,
                from,
                to,
                plan_hash,
                held_after,
                timeout_ms,
                freeze_ms,
                began,
                jobs,
                members,
                routes,
                settle_ms,
                old_answers_ms,
                reverse,
                by_hand,
                watchdog,
                rehearsal,
                waivers,
                fallback,
                leaves,
            } = any;
            let members = match members {
                Members::Several { members } => members,
                Members::One(one) => {
                    let One { close_kind, close, open_kind, open, verify, repair } = *one;
                    let migration =
                        jobs.first().map_or_else(|| Address::new("migration"), |job| job.migration.clone());
                    let verify_all = false;
                    vec![Member { migration, close_kind, close, open_kind, open, verify, repair, verify_all }]
                }
            };
            Self {
                epoch,
                from,
                to,
                plan_hash,
                held_after,
                timeout_ms,
                freeze_ms,
                began,
                jobs,
                members,
                routes,
                settle_ms,
                old_answers_ms,
                reverse,
                by_hand,
                watchdog,
                rehearsal,
                waivers,
                fallback,
                leaves,
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::*;

        #[test]
        fn an_attempt_of_version_1_is_a_group_of_one() {
            let block = |address: &str| {
                format!(r#"{{"address":"{address}","provider":"command","base_dir":"/","config":{{}}}}"#)
            };
            let call = |endpoint: &str, side: &str| {
                format!(
                    r#"{{"block":{},"endpoint":{},"side":"{side}"}}"#,
                    block("cutover.c.quiesce.command"),
                    block(endpoint)
                )
            };
            let old = format!(
                r#"{{"epoch":3,"from":"source","to":"target","plan_hash":"ab","held_after":null,"timeout_ms":30000,"freeze_ms":50,
                "began":{{"ms":5,"boot_id":"b"}},"jobs":[],"close_kind":"writers","close":{},"open_kind":"data","open":{},
                "routes":[],"verify":"full","repair":true,"reverse":true,"by_hand":"/s/BY_HAND.txt"}}"#,
                call("source.directory.old", "source"),
                call("target.directory.new", "target")
            );
            let read: Attempt = serde_json::from_str(&old).unwrap();
            assert_eq!(read.members.len(), 1);
            assert_eq!(read.opens(), Opens { data: true, writers: false });
            let again: Attempt = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
            assert_eq!(again, read);
        }

        #[test]
        fn an_attempt_without_members_is_no_attempt() {
            let none = r#"{"epoch":3,"from":"source","to":"target","plan_hash":"","held_after":null,"timeout_ms":1,"freeze_ms":1,
                "began":{"ms":5,"boot_id":"b"},"jobs":[],"routes":[],"reverse":true,"by_hand":"/s"}"#;
            assert!(serde_json::from_str::<Attempt>(none).is_err());
        }
    }
}

/// What a phase established.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// FENCED: the position of each unit after the drain. REVERSE_ARMED: where the way back starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Position>,
    /// CAUGHT_UP: each unit's ledger, to which the old side is compared afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ledgers: Vec<ArtifactName>,
    /// For people: `probe refused: exit 1; no process holds the tree open`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// COMMITTED: when it was handed to the journal. The forward lease runs from then (protocol P30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<BootTime>,
}
