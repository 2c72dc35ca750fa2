//! What the engine asks of a system that holds documents: one unit of it (an index, a collection, a table of keyed
//! rows), as a set of slices, each with a change number of its own that only rises. Nothing here knows of any one system.
//!
//! Every call may be repeated, and is made from several threads at once.

use std::fmt;
use std::sync::Arc;

use segue_contract::{BlockRef, Finding, LoadModeSchema, SetAside, StepError, StepIo, UnitJob};
use serde::{Deserialize, Serialize};

use super::fill::Memo;

/// How a document is found: its name, and what the system places it by where that is not the name. Two documents with
/// one name and different places are two documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub id: String,
    /// What it is placed by (`_routing`), where that is not the name.
    pub place: Option<String>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => f.write_str(&self.id),
            Some(place) => write!(f, "{} (routing {place})", self.id),
        }
    }
}

/// Where one slice stands. Change numbers begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceStand {
    /// Rises when another copy of the slice began to decide the order of changes; 0 where there is no such thing.
    pub term: u64,
    /// How many changes are on every copy for good, and seen by every scan that begins now: all of them have numbers below.
    pub settled: u64,
    /// How many changes there were, as far as any copy knows; more than `settled` while some are on their way.
    pub all: u64,
}

/// Where a unit stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Another one when the unit was made anew under the same name: change numbers of one say nothing of the other.
    pub incarnation: String,
    /// By the number of the slice.
    pub slices: Vec<SliceStand>,
}

impl Stand {
    /// Whether nothing is on its way.
    pub fn is_settled(&self) -> bool {
        self.slices.iter().all(|slice| slice.settled == slice.all)
    }

    /// How many changes of each slice are settled.
    pub(crate) fn settled(&self) -> Vec<u64> {
        self.slices.iter().map(|slice| slice.settled).collect()
    }

    /// Above the number of every change that is settled, whichever slice it is in.
    pub(crate) fn bound(&self) -> u64 {
        self.slices.iter().map(|slice| slice.settled).max().unwrap_or(0)
    }

    /// How many changes there were in all slices.
    pub(crate) fn changes(&self) -> u64 {
        self.slices.iter().map(|slice| slice.all).sum()
    }

    /// How many changes there were since all that `then` had settled.
    pub(crate) fn changes_since(&self, then: &[u64]) -> u64 {
        let each = self.slices.iter().enumerate();
        each.map(|(at, slice)| slice.all.saturating_sub(then.get(at).copied().unwrap_or(0))).sum()
    }

    /// Whether both are of one unit, which was not made anew in between: change numbers of one speak of the other, too.
    pub(crate) fn is_of_one_unit_with(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation && self.slices.len() == other.slices.len()
    }

    /// Where the side stands once all that is settled was carried.
    pub(crate) fn carried(&self) -> Self {
        let slices = self.slices.iter().map(|slice| SliceStand { all: slice.settled, ..*slice });
        Self { incarnation: self.incarnation.clone(), slices: slices.collect() }
    }

    /// The same unit, of which nothing counts as seen.
    pub(crate) fn unseen(self) -> Self {
        let slices = self.slices.iter().map(|slice| SliceStand { settled: 0, all: 0, ..*slice }).collect();
        Self { slices, ..self }
    }
}

/// A part of a slice: the changes with numbers from `from` up to and without `to`. A document belongs to its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The slice.
    pub slice: u32,
    /// The first number.
    pub from: u64,
    /// The number after the last.
    pub to: u64,
}

/// What of each document a scan gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Key, numbers and version.
    Keys,
    /// And the body.
    Bodies,
}

/// A document as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: Key,
    /// The number of its last change in its slice.
    pub number: u64,
    /// Its version, as the system compares versions of writes with.
    pub version: u64,
    /// The body, JSON on one line without spaces between its parts; empty where only keys were asked for.
    pub body: Vec<u8>,
}

/// One write. A version that is not above the one that is there (for a put: below it) is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which document.
    pub key: Key,
    /// The version to be there afterwards.
    pub version: u64,
    /// The body, JSON on one line; `None`: the document is deleted.
    pub body: Option<Vec<u8>>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, durable on as many copies as the system promises; one change was counted.
    Done {
        /// The number of that change where it was written.
        number: u64,
    },
    /// There is a newer version, or the same one: nothing was done.
    Newer,
    /// This document cannot be taken as it is, and why: its reason alone, without its body.
    Refused(String),
    /// Not now (too many requests, a copy that moves): the same write may be sent again.
    Later(String),
}

/// How much a system likes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Documents that one scan gives at most ([`Collection::scan`]).
    pub scan_documents_max: u64,
    /// Documents in one batch at most.
    pub batch_documents_max: usize,
    /// Bytes in one batch at most.
    pub batch_bytes_max: usize,
    /// The highest version that can be written.
    pub version_max: u64,
}

/// Parts that [`Collection::census`] is asked for at once: fewer than a search server lets one answer have.
pub const CENSUS_PARTS_MAX: u64 = 4096;

/// One unit at one endpoint.
pub trait Collection: Send + Sync {
    /// What the system likes.
    fn limits(&self) -> Limits;

    /// Where the unit stands. It says nothing of what scans see: [`Collection::show`] does.
    ///
    /// # Errors
    /// It is not there, or cannot be asked.
    fn stand(&self) -> Result<Stand, StepError>;

    /// Makes everything that was written until now seen by the scans, censuses and counts that begin afterwards, on every copy.
    /// By default it always is.
    ///
    /// # Errors
    /// Not every copy shows it.
    fn show(&self) -> Result<(), StepError> {
        Ok(())
    }

    /// The documents of a window, in any order. `None`: there are more than the limit; ask for a smaller window.
    /// Documents whose last change is beyond the window, even one that came while this runs, are not among them.
    ///
    /// # Errors
    /// What is returned is whole: a reply cut short, or one in which a copy did not answer, is an error.
    fn scan(&self, window: Window, want: Want) -> Result<Option<Vec<Found>>, StepError>;

    /// How many documents have their last change in each part of some windows of one slice, window after window: a window's first
    /// part begins with it and has `width` numbers, its last one ends with it. The windows are in order and do not overlap; all
    /// together have at most [`CENSUS_PARTS_MAX`] parts. `None`: the system cannot count so without looking at every document.
    ///
    /// # Errors
    /// It cannot be counted exactly.
    fn census(&self, windows: &[Window], width: u64) -> Result<Option<Vec<u64>>, StepError> {
        let _ = (windows, width);
        Ok(None)
    }

    /// Whether [`Collection::sweep`] is there.
    fn sweeps(&self) -> bool {
        false
    }

    /// The documents of a large window in pieces of about so many, in the order in which it is quickest to give them: as they
    /// were when this began. `each` has got every one once when this returns `true`, and none when it returns `false`: then the
    /// window is to be scanned.
    ///
    /// # Errors
    /// As of [`Collection::scan`], and of `each`, which may have got some: all of it is to be done again.
    fn sweep(
        &self,
        window: Window,
        want: Want,
        piece: u64,
        each: &mut dyn FnMut(Vec<Found>) -> Result<(), StepError>,
    ) -> Result<bool, StepError> {
        let _ = (window, want, piece, each);
        Ok(false)
    }

    /// How many documents there are, of what is shown.
    ///
    /// # Errors
    /// It cannot be counted exactly.
    fn count(&self) -> Result<u64, StepError>;

    /// The documents with these keys as they are now, whether or not scans see that already; `None` where there is none.
    ///
    /// # Errors
    /// Not every one could be looked at.
    fn read(&self, keys: &[Key], want: Want) -> Result<Vec<Option<Found>>, StepError>;

    /// Writes a batch; one answer a write, in their order. Writes of one batch have different keys.
    ///
    /// # Errors
    /// Nothing of it happened (transient, permanent), or nobody knows (unknown).
    fn write(&self, batch: &[Write]) -> Result<Vec<Written>, StepError>;

    /// Writes documents that are not there, whoever made those that are: where there is a document, or one was deleted and
    /// the system still remembers it, the answer is [`Written::Newer`] and nothing was done. What is added has version 1, so
    /// that every later write of a client is above it; the versions of the batch say nothing. For `load { mode =
    /// "parallel" }`; by default a system cannot.
    ///
    /// # Errors
    /// As of [`Collection::write`].
    fn add(&self, _batch: &[Write]) -> Result<Vec<Written>, StepError> {
        Err(StepError::permanent("this system cannot add documents beside clients that write there")
            .remedy("load in another mode"))
    }

    /// Returns once no write of a sender that died is on its way to this unit, as the system itself knows.
    ///
    /// # Errors
    /// It cannot be told.
    fn nothing_on_its_way(&self) -> Result<(), StepError>;
}

/// A system whose units are collections.
pub trait Documents: Send + Sync {
    /// The unit that `block` is narrowed to ([`BlockRef::scope`]); connects, and changes nothing.
    ///
    /// # Errors
    /// The system cannot be reached, or refuses.
    fn open(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Arc<dyn Collection>, StepError>;

    /// Whether the unit that `block` is narrowed to is there.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn exists(&self, block: &BlockRef, io: &dyn StepIo) -> Result<bool, StepError>;

    /// Makes the unit that `job` writes, like the one that it reads, so that it takes its documents, and sets it up for a
    /// load. Called when it is not there; making it twice is making it once.
    ///
    /// # Errors
    /// It cannot be made: what it holds cannot be held here.
    fn make(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError>;

    /// Sets the unit that `job` writes up for service once everything was loaded: what [`Documents::make`] had set for
    /// the load alone is put right. May be repeated.
    ///
    /// # Errors
    /// It cannot be set.
    fn serve(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// Carries what surrounds the documents (what clients see beside them: mappings, aliases, settings) from the unit that
    /// `job` reads to the one that it writes, as far as that lacks it. Called after it is known what a pass will read, and
    /// before any of it is written. Gives what could not be carried, by its name: it stops the switch, as a record that was
    /// set aside does. May be repeated.
    ///
    /// # Errors
    /// It cannot be looked at, or not now.
    fn surround(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
        Ok(Vec::new())
    }

    /// What [`Documents::surround`] would find different now; changes nothing.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn surroundings(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
        Ok(Vec::new())
    }

    /// Prepares the unit that `job` writes for versions that must be refused late: deletions are remembered for as long as
    /// a write of a dead sender may still land. What was there before is in the system's own notes, and is put back by
    /// [`Documents::forget`]. May be repeated.
    ///
    /// # Errors
    /// It cannot be prepared.
    fn remember(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// Puts back what [`Documents::remember`] changed at the unit that `job` writes; one that is gone is fine. May be
    /// repeated.
    ///
    /// # Errors
    /// It cannot be put back.
    fn forget(&self, _job: &UnitJob, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// Removes the unit that the target of `job` is, which Segue made; gone is fine.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError>;

    /// The ways in which this system fills a unit by itself, for `load { mode = "..." }`; by default there are none.
    fn fill_modes(&self) -> Vec<LoadModeSchema> {
        Vec::new()
    }

    /// What stands in the way of a fill; see [`segue_contract::Engine::check_load`]. Changes nothing.
    fn check_fill(&self, _job: &UnitJob, _io: &dyn StepIo) -> Vec<Finding> {
        Vec::new()
    }

    /// Fills the unit that `job` writes in a mode of [`Documents::fill_modes`], and makes it where it is not there. Goes on
    /// with what a run that died began, by its `memo`, and never begins it twice; called again when all is done, it does
    /// nothing. Returns once nothing of it is on its way and what it needed meanwhile is taken away.
    ///
    /// Documents get the versions that they have at the source, or none above: what was filled can overwrite nothing that
    /// the engine writes. What is left out, or older than the source's, is found by the engine, which carries it itself.
    ///
    /// Gives where the side that is read stood at a moment of which everything before was filled, where that is later than
    /// the call; else the engine takes where it stood before the first call.
    ///
    /// # Errors
    /// It cannot be done, or not now.
    fn fill(&self, job: &UnitJob, _memo: &Memo, _io: &dyn StepIo) -> Result<Option<Stand>, StepError> {
        Err(StepError::permanent(format!(
            "{} is not filled in mode {:?} by itself",
            job.writes().address,
            job.load.mode.name
        )))
    }

    /// Stops a fill that will not be gone on with, and takes away what it needed. May be repeated.
    ///
    /// # Errors
    /// Something of it is still there, or still runs.
    fn unfill(&self, _job: &UnitJob, _memo: &Memo, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// The names of all units at an endpoint.
    ///
    /// # Errors
    /// They cannot be listed.
    fn names(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Vec<String>, StepError>;
}
