//! Temporary resources: what Segue made, or changed, somewhere and takes away again. Each is known to the state
//! before it is made, with its owner, its time to live and how it is released, so that a later command can release
//! what a death, a failure or an abandon left.

use segue_contract::{Address, BlockRef, QuiesceCall, UnitJob};
use serde::{Deserialize, Serialize};

/// One temporary resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name in the state, below its owner's address: `migration.site/target`. Made again under the same name it
    /// replaces what is known of it; when it was made first is kept.
    pub id: String,
    /// What it is: decides when it is released among the others.
    pub kind: ResourceKind,
    /// What it is, for people: `the directory tree at the target`.
    pub what: String,
    /// Where, for people: an endpoint's address, a path.
    pub place: String,
    /// The cutover, migration or rehearsal that it was made for.
    pub owner: Address,
    /// The owner's attempt, where there is one; 0: none.
    #[serde(default)]
    pub epoch: u64,
    /// How long it is kept after its owner needs it no more, in milliseconds; `None`: it goes at once.
    #[serde(default)]
    pub ttl_ms: Option<u64>,
    /// How it is released.
    pub release: Release,
}

/// What a resource is. The order is the order of release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// Writes refused, or writers stopped, on a side.
    Quiesce,
    /// A side that is kept from serving from outside, until somebody takes it back.
    Fence,
    /// The file that decides about an attempt's lease.
    Lease,
    /// Files that a load or pass which died had half written.
    Unfinished,
    /// A target of a rehearsal.
    Scratch,
    /// What Segue wrote at a declared target, and its root where Segue made it.
    Target,
    /// The note at an endpoint that says who may act on it.
    Marker,
    /// What a stale writer left, kept aside.
    KeptAside,
    /// What reverse passes deleted at the source, kept aside.
    KeptDeleted,
    /// The ledger of a unit.
    Ledger,
    /// The old side, kept as the way back.
    Fallback,
}

impl ResourceKind {
    /// The word in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiesce => "quiesce",
            Self::Fence => "fence",
            Self::Lease => "lease",
            Self::Unfinished => "unfinished",
            Self::Scratch => "scratch",
            Self::Target => "target",
            Self::Marker => "marker",
            Self::KeptAside => "kept_aside",
            Self::KeptDeleted => "kept_deleted",
            Self::Ledger => "ledger",
            Self::Fallback => "fallback",
        }
    }
}

/// How a resource is released. Everything here may be done again: what is gone already is fine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// Accept writes again, or start the writers; restores what was there before.
    Open(Box<QuiesceCall>),
    /// Remove the file of an attempt's lease.
    Lease {
        /// The cutover.
        cutover: Address,
        /// The attempt.
        epoch: u64,
    },
    /// Remove the half-written files at the side that the job writes to.
    Unfinished(Box<UnitJob>),
    /// Remove this state's marker at the target, and what Segue wrote there and nobody touched since.
    Target {
        /// One job for each unit. A job without ledger takes the state's, if the unit is known there.
        jobs: Vec<UnitJob>,
        /// Whether Segue made the target itself, so that it goes too when it is empty.
        made_root: bool,
    },
    /// Remove this state's marker.
    Marker(Box<BlockRef>),
    /// Remove a file or directory of the artifact directory.
    Artifact(String),
    /// Only a person can: what to do.
    ByHand(String),
}
