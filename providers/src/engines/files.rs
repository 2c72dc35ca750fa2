//! The files engine: directory trees of this machine.
//!
//! A load copies everything and writes the first ledger; a pass scans the metadata of the side that is
//! read, carries what differs from the ledger, and writes the next one; verification compares both sides
//! with it. Nothing is ever written outside the two roots and the artifact directory. Segue's own names
//! at a root ([`MARKER`] and what lies beside it) are no data, and neither are the files that a note of this state
//! says are not whole yet; any other name is a user's, whatever it starts with.
//!
//! * Sockets are no data and are left out, counted in a finding.
//! * Other file systems mounted below a root are crossed, and said in a finding.
//! * Owners are carried and compared only by root.
//! * A file system with whole-second stamps makes reading a just-changed file wait up to two seconds.
//! * A load remembers the first name of each file with several; about 200 bytes each.

mod apply;
mod audit;
mod clock;
mod close;
mod content;
mod deletions;
mod drift;
mod finds;
mod identity;
mod inflight;
mod join;
mod keep;
mod load;
mod made;
mod mapped;
mod meta;
mod pass;
mod pool;
mod position;
mod put;
mod release;
mod renames;
mod repair;
mod scan;
mod select;
mod space;
mod tree;
mod verify;
mod work;
mod xattr;

use segue_contract::{
    Checkpoint, DriftReport, Engine, PassReport, Position, StaleReport, StepError, StepIo, UnitJob,
    VerifyCall, VerifyLevel, VerifyReport,
};

pub(crate) use tree::is_own;
pub use tree::{MARKER, TEMPORARY};

/// The unit of a tree: there is one.
pub const UNIT: &str = "tree";

/// Moves and verifies directory trees.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilesEngine {
    checkpoint_records: Option<u64>,
}

impl FilesEngine {
    /// An engine with the usual checkpoints: every 10 seconds or 2 GiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a checkpoint of a load also after every so many records.
    #[must_use]
    pub fn checkpoint_records(mut self, every: u64) -> Self {
        self.checkpoint_records = Some(every);
        self
    }
}

impl Engine for FilesEngine {
    fn unseen(&self) -> Option<&'static str> {
        Some(
            "a store through a shared mapping that lasts less than 5 s, and any other change that moves no time, is \
             met by the audit's sample alone; verify { level = \"full\", in_pause = true } compares everything",
        )
    }

    fn load(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        load::load(self, job, from, io)
    }

    /// Takes no checkpoint: a pass that died is found in its notes and in what it wrote.
    fn pass(
        &self,
        job: &UnitJob,
        _from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        pass::pass(job, io)
    }

    fn position(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Position, StepError> {
        position::position(job, io)
    }

    fn verify(&self, job: &UnitJob, call: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError> {
        verify::verify(job, call, io)
    }

    fn repair(&self, job: &UnitJob, report: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError> {
        repair::repair(job, report, io)
    }

    fn drift(&self, job: &UnitJob, level: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError> {
        drift::drift(job, level, io)
    }

    fn stale(&self, job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError> {
        drift::stale(job, io)
    }

    fn release(&self, job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError> {
        release::release(job, made_root, io)
    }

    fn finish(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        identity::Sides::of(job, io)?.forget()
    }

    fn tidy(&self, job: &UnitJob, io: &dyn StepIo) -> Result<u64, StepError> {
        release::tidy(job, io)
    }
}
