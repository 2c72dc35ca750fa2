//! What is watched after a switch, as the journal holds it.

use segue_contract::BlockRef;
use serde::{Deserialize, Serialize};

/// What is watched after a switch, with all that watching needs when the spec is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchPlan {
    /// The watches, in order.
    pub watches: Vec<Watch>,
    /// The pause between reverse passes meanwhile, in milliseconds.
    pub sync_interval_ms: u64,
    /// Whether the side that serves may be left although that loses what it took.
    pub accept_loss: bool,
}

/// One watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The block; its address is the step's.
    pub block: BlockRef,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Between two looks, in milliseconds.
    pub interval_ms: u64,
    /// So many looks in a row that are not good mean lost health.
    pub failures: u32,
    /// Whether lost health switches back, or is only reported.
    pub switch_back: bool,
}
