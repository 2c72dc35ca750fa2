//! Positions: a digest over the sorted metadata of a side.

use std::sync::Arc;

use segue_contract::{Position, StepError};
use xxhash_rust::xxh3::Xxh3;

use super::identity::Sides;
use super::scan::{Entry, Scan};
use super::select::Chosen;
use super::work::threads;
use crate::ledger::Kind;

/// A position being computed.
pub(crate) struct Digest(Xxh3);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(Xxh3::new())
    }

    /// Adds the next entry in path order.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let look = &entry.look;
        let mut bytes = [0u8; 72];
        let kind = match look.kind {
            Kind::Dir => 1u32,
            Kind::File => 2,
            Kind::Symlink => 3,
            Kind::Fifo => 4,
            Kind::Char => 5,
            Kind::Block => 6,
            Kind::Gone => 7,
        };
        let trouble = if entry.trouble.is_some() { 0x100 } else { 0 };
        let mut at = 0;
        let mut put = |part: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
            at += part.len();
        };
        for part in [kind | trouble, look.mode, look.uid, look.gid] {
            put(&part.to_le_bytes());
        }
        // The root's times move when a marker is written into it; what is in it has its own entries.
        if !entry.path.is_empty() {
            put(&look.size.to_le_bytes());
            put(&look.ino.to_le_bytes());
            put(&look.rdev.to_le_bytes());
            for time in [look.mtime, look.ctime] {
                put(&time.s.to_le_bytes());
                put(&time.ns.to_le_bytes());
            }
        }
        self.0.update(&(entry.path.len() as u64).to_le_bytes());
        self.0.update(&entry.path);
        self.0.update(&bytes);
    }

    /// The position. With `open` (something was left for the next pass) it equals no other: the side
    /// was not carried as it was scanned.
    pub(crate) fn finish(self, open: Option<u64>) -> Position {
        match open {
            None => Position(format!("{:032x}", self.0.digest128())),
            Some(pass) => Position(format!("{:032x}+{pass}", self.0.digest128())),
        }
    }
}

/// The position of the side that is read, now.
pub(crate) fn position(
    job: &segue_contract::UnitJob,
    io: &dyn segue_contract::StepIo,
) -> Result<Position, StepError> {
    let tree = Arc::new(Sides::to_look(job, io)?.open(job.direction.from())?);
    let mut scan = Scan::start(&tree, Arc::new(Chosen::new(&job.select)?), threads(job))?;
    let mut digest = Digest::new();
    while let Some(entry) = scan.next()? {
        if scan.aside.entries % 4096 == 0 && io.cancelled() {
            return Err(StepError::cancelled());
        }
        digest.add(&entry);
    }
    tree.prove()?;
    Ok(digest.finish(None))
}
