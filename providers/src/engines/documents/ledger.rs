//! The ledger of a unit of documents: one record a document, in the order of keys, with how each side had it when Segue
//! last saw or wrote it; and at the end, where both sides stood. One ledger serves passes and verification both ways.
//!
//! A flat file that is read and written as a stream, so that memory stays bounded. Its name holds its checksum, and
//! nothing of it is believed before the whole was checked. Where little changed since an earlier one, a ledger holds only
//! that, and leans on the earlier one: a pass costs what changed, whatever the unit's size. It says of the whole how many
//! documents there are and where they changed last, and the one that it leans on has an index; so nobody has to read all
//! of it to know one or the other.

mod codec;
mod draft;
mod index;
mod read;
mod tally;
mod write;

use segue_contract::Side;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::collection::{Key, Stand};
use super::versions::Versions;
pub(crate) use codec::{decode, encode};
pub(crate) use draft::Draft;
pub(crate) use read::{Ledger, Records};
pub(crate) use tally::{Census, Tally};
pub(crate) use write::Writer;

/// How one side has a document. All 0: it was never seen there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The version there.
    pub(crate) version: u64,
    /// The number of its last change there, plus one; 0: not known. A hint where to look for it, and nothing that is relied on.
    pub(crate) number: u64,
}

impl Mark {
    pub(crate) fn new(version: u64, number: u64) -> Self {
        Self { version, number: number.saturating_add(1) }
    }
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Key,
    /// XXH3-128 of the body as the declared target has it; 0: not known.
    pub(crate) hash: u128,
    pub(crate) source: Mark,
    pub(crate) target: Mark,
    /// Set aside: the written side does not have it as it is.
    pub(crate) aside: bool,
    /// The pass that last changed it.
    pub(crate) pass: u64,
}

impl Record {
    /// A document of which nothing is known but its key.
    pub(crate) fn of(key: Key) -> Self {
        Self { key, hash: 0, source: Mark::default(), target: Mark::default(), aside: false, pass: 0 }
    }

    pub(crate) fn mark(&self, side: Side) -> Mark {
        self.marks().of(side)
    }

    pub(crate) fn marks(&self) -> Marks {
        Marks { source: self.source, target: self.target, aside: self.aside }
    }

    pub(crate) fn set_mark(&mut self, side: Side, mark: Mark) {
        match side {
            Side::Source => self.source = mark,
            Side::Target => self.target = mark,
        }
    }
}

/// What is known of a record before anything is copied of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    source: Mark,
    target: Mark,
    /// See [`Record::aside`].
    pub(crate) aside: bool,
}

impl Marks {
    pub(crate) fn of(&self, side: Side) -> Mark {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }
}

/// The hash by which keys are noted and put into buckets.
pub(crate) fn key_hash(key: &Key) -> u128 {
    let place = key.place.as_deref().map_or(0, |place| xxh3_128(place.as_bytes()).rotate_left(1) | 1);
    xxh3_128(key.id.as_bytes()) ^ place
}

/// What a ledger says of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The pass that wrote it; the load is 1.
    pub(crate) pass: u64,
    /// What is counted of its records.
    pub(crate) tally: Tally,
    /// The bytes of their bodies at the declared target, as far as Segue carried them.
    pub(crate) bytes: u64,
    /// Where the sides stood: what came later is not in it.
    pub(crate) source: Stand,
    /// See `source`.
    pub(crate) target: Stand,
    /// The highest version that was seen or written at each side.
    pub(crate) source_highest: u64,
    /// See `source_highest`.
    pub(crate) target_highest: u64,
    /// What the versions of written documents begin with, and what it was chosen for.
    pub(crate) versions: Versions,
}

/// How a side was when a ledger was made.
pub(crate) struct Stood {
    pub(crate) stand: Stand,
    /// The highest version that was seen or written there.
    pub(crate) highest: u64,
}

impl About {
    /// `read`: of the side `from`; `written`: of the other one. What is counted is filled in by who writes it.
    pub(crate) fn new(
        pass: u64,
        bytes: u64,
        versions: Versions,
        from: Side,
        read: Stood,
        written: Stood,
    ) -> Self {
        let (source, target) = match from {
            Side::Source => (read, written),
            Side::Target => (written, read),
        };
        Self {
            pass,
            tally: Tally::default(),
            bytes,
            source: source.stand,
            target: target.stand,
            source_highest: source.highest,
            target_highest: target.highest,
            versions,
        }
    }

    pub(crate) fn highest(&self, side: Side) -> u64 {
        match side {
            Side::Source => self.source_highest,
            Side::Target => self.target_highest,
        }
    }

    pub(crate) fn stand(&self, side: Side) -> &Stand {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

#[cfg(test)]
mod tests;
