//! What the journal says once and for long: whose state it is, who runs, what a migration is.

use segue_contract::{Address, BlockRef, Identity, UnitJob};
use serde::{Deserialize, Serialize};

/// Which directory on which machine a state belongs to (protocol P18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBinding {
    /// Random.
    pub state_id: String,
    /// The machine's id.
    pub machine_id: String,
    /// The state directory's inode number.
    pub directory_inode: u64,
}

/// A command that writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Counted from 1.
    pub run: u64,
    /// Process.
    pub pid: u32,
    /// Its start time in clock ticks since boot, so that a re-used pid is told apart.
    pub start_time: u64,
    /// The boot.
    pub boot_id: String,
    /// Host.
    pub host: String,
    /// User.
    pub user: String,
    /// The command: `apply`, `switch-back`, ...
    pub command: String,
    /// Segue's version.
    pub version: String,
}

/// A migration as it was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRecord {
    /// The migration.
    pub migration: Address,
    /// The cutover it belongs to, if any: the owner of its markers.
    pub cutover: Option<Address>,
    /// Its endpoints.
    pub source: BlockRef,
    /// See `source`.
    pub target: BlockRef,
    /// What they are.
    pub source_identity: Identity,
    /// See `source_identity`.
    pub target_identity: Identity,
    /// One job for each unit, forward, without ledger.
    pub jobs: Vec<UnitJob>,
}
