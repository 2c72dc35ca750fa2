//! The journal: the truth about what a run did, as append-only frames in segment files.
//!
//! `journal/00000001.seg`, `00000002.seg`, ... hold frames; each frame carries its sequence, the running
//! checksum before it and after it, and the sequence that was known to be on the disk when it was written.
//! One writer thread appends; many events share one `fdatasync`, and only after it do they count.
//!
//! # What is torn, and what is damaged
//!
//! A power cut may leave the last group of frames half written: nobody was told that these events count,
//! so the writer cuts them off at the next open. Everything else that does not add up is damage, is told
//! with the last good event, and nothing is written any more. The two are told apart by evidence:
//!
//! * every frame says which sequence was durable before its group: a valid frame beyond a bad one that
//!   says so of the bad one proves damage, one of the same group does not;
//! * `journal/head` holds the last durable sequence and its checksum, written after every sync (not itself
//!   synced, except at open and close): a process that is killed leaves it exact, and after a power cut it
//!   is a lower bound, some seconds old;
//! * the store's sequence and checksum, or any other [`Mark`] that the caller brings;
//! * more bytes than one group can have cannot be a torn group.
//!
//! What none of them can know: after a *power cut*, a flipped bit in the last acknowledged group, where
//! neither the head nor the store had reached the disk since. It looks like a torn group and is cut off.
//! (The markers at the endpoints are the evidence that is left then.)

mod error;
mod frame;
mod head;
mod read;
mod segment;
mod tail;
mod tap;
#[cfg(test)]
mod tests;
mod ticket;
mod verdict;
mod window;
mod write;
mod writer;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::JournalError;
pub use head::HeadState;
pub use read::{Frame, Reading, read};
pub use tap::{NoTap, Tap};
pub use ticket::Ticket;
pub use verdict::{Damage, DamageReason, KnownBy, Verdict};
pub use write::{Journal, JournalOptions, Opened, set_aside};

/// The largest event, in bytes: a checkpoint with its window fits many times; a reader's memory is bounded by it.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// The largest group that shares one sync, in bytes of frames: bounds the writer's memory, and tells a torn
/// group from damage.
pub const MAX_GROUP_BYTES: u64 = 1024 * 1024;

/// A segment that would grow beyond this is followed by the next one: a bound for what a reader who starts
/// in the middle reads in vain.
pub const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Allocated on the disk beyond the write position, always, so that the last events of a cutover can be
/// written on a full disk: a few hundred events of 2 to 4 KiB.
pub const RESERVE_BYTES: u64 = 1024 * 1024;

/// How much a segment grows at a time. Zeros are written ahead, so that a sync need not wait for metadata.
pub const GROWTH_BYTES: u64 = 1024 * 1024;

/// Events waiting for the writer before `append` blocks.
pub const QUEUE_EVENTS: usize = 1024;

/// The number of an event, from 1, without gaps. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the first event.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event and all before it: its number and the journal's running checksum after it. Whoever holds a mark
/// can later tell that a journal is too short, or is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The number of the event.
    pub seq: Seq,
    /// The running checksum after it.
    pub checksum: u64,
}
