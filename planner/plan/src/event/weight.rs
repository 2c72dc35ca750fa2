//! What happens to reads that go to the target in steps, before a switch.

use segue_contract::BlockRef;
use serde::{Deserialize, Serialize};

use super::{BootTime, Watcher};

/// What happened to the reads of a cutover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightEvent {
    /// So many percent are about to be sent to the target (intent); 0: all are taken back.
    Began {
        /// Percent.
        percent: u8,
        /// The routes, with all that taking the reads back needs (protocol P14).
        routes: Vec<BlockRef>,
        /// When.
        at: BootTime,
        /// The process that takes the reads back when this one dies; `None`: nobody does.
        #[serde(default)]
        watchdog: Option<Watcher>,
    },
    /// Every route was observed to send so many there.
    Set {
        /// Percent.
        percent: u8,
    },
    /// That was held for as long as the spec says, and nothing was lost: a run that goes on begins after it.
    Held {
        /// Percent.
        percent: u8,
        /// For so long, in milliseconds.
        held_ms: u64,
    },
    /// Something was lost meanwhile: the reads are taken back next, and the steps begin from the first.
    Lost {
        /// What.
        reason: String,
        /// Whether the cutover is held because of it.
        held: bool,
    },
}
