//! The documents engine: search indexes, vector collections, keyed rows. Loading, passes, verification and the way back,
//! once for every system that implements [`Documents`].
//!
//! Every document is carried with a version that its last change has in an order of all changes of the unit
//! (`versions.rs`), so that writes may be sent again, arrive late, or meet others, and the last change still wins.

mod again;
mod collection;
mod deletions;
mod drift;
mod fill;
mod foreign;
mod gone;
mod json;
mod keep;
mod keys;
mod ledger;
mod load;
mod made;
mod merge;
mod names;
mod notes;
mod pace;
mod pass;
mod release;
mod runs;
mod send;
mod sides;
mod sorted;
mod verify;
mod versions;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use segue_contract::{
    ArtifactName, BlockRef, Checkpoint, Direction, DriftReport, Engine, Finding, LoadModeSchema, PassReport,
    PassTimes, Position, Select, Side, StaleReport, StepError, StepIo, Transform, UnitJob, VerifyCall,
    VerifyLevel, VerifyReport, segue,
};

pub(crate) use again::pause;
pub use collection::{
    CENSUS_PARTS_MAX, Collection, Documents, Found, Key, Limits, SliceStand, Stand, Want, Window, Write,
    Written,
};
pub use fill::Memo;
pub use json::on_one_line;
pub(crate) use names::matches;
use sides::Sides;

/// Between two systems of documents.
pub struct DocumentsEngine {
    source: Arc<dyn Documents>,
    target: Arc<dyn Documents>,
}

impl DocumentsEngine {
    /// From one kind of system to another, as declared; and back.
    pub fn new(source: Arc<dyn Documents>, target: Arc<dyn Documents>) -> Self {
        Self { source, target }
    }

    fn sides<'a>(&'a self, job: &'a UnitJob, io: &'a dyn StepIo) -> Result<Sides<'a>, StepError> {
        Sides::open(&*self.source, &*self.target, job, io)
    }
}

/// The ledger of a job that was loaded.
fn ledger_of(job: &UnitJob) -> Result<&ArtifactName, StepError> {
    job.ledger.as_ref().ok_or_else(|| {
        StepError::permanent(format!("{} of {} was never loaded", job.unit, job.migration))
            .remedy(format!("`{}` loads it", segue(&["apply"])))
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// `live`: how many documents the side that is read has.
fn report_of(
    ledger: ArtifactName,
    live: u64,
    position: Position,
    tally: send::Tally,
    times: PassTimes,
) -> PassReport {
    let send::Tally {
        seen: _,
        written,
        deleted,
        bytes,
        taken: _,
        read_highest: _,
        write_highest: _,
        later: _,
        set_aside,
        stale,
        kept,
    } = tally;
    PassReport {
        ledger,
        position,
        records_seen: live,
        records_written: written,
        records_deleted: deleted,
        bytes_written: bytes,
        set_aside: set_aside.list,
        set_aside_total: set_aside.total,
        stale: stale.list,
        stale_total: stale.total,
        times,
        kept_deleted: kept,
        audit: segue_contract::AuditReport::default(),
    }
}

impl Engine for DocumentsEngine {
    fn check(&self, select: &Select, transform: &Transform) -> Vec<Finding> {
        names::check(select, transform)
    }

    fn selects(&self, select: &Select, unit: &str) -> bool {
        names::selects(select, unit)
    }

    fn name_at_target(&self, select: &Select, unit: &str) -> String {
        names::at_target(select, unit)
    }

    fn appeared(
        &self,
        block: &BlockRef,
        side: Side,
        select: &Select,
        io: &dyn StepIo,
    ) -> Result<Vec<String>, StepError> {
        // What is made at the target after the switch is selected by no pattern of the source's names.
        if side == Side::Target {
            return Ok(Vec::new());
        }
        let names = again::again(io, || self.source.names(block, io))?;
        let known = |name: &String| block.scope.contains(name);
        Ok(names.into_iter().filter(|name| names::selects(select, name) && !known(name)).collect())
    }

    fn load(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        if job.ledger.is_some() {
            // Loaded already: what is missing is a pass.
            return self.pass(job, None, io);
        }
        match fill::Way::of(job) {
            fill::Way::Copied | fill::Way::Added => load::load(&*self.source, &*self.target, job, from, io),
            fill::Way::System | fill::Way::Elsewhere => {
                fill::load(&*self.source, &*self.target, job, from, io)
            }
        }
    }

    fn load_modes(&self) -> Vec<LoadModeSchema> {
        let mut modes = fill::modes();
        modes.extend(self.target.fill_modes());
        modes
    }

    fn check_load(&self, job: &UnitJob, io: &dyn StepIo) -> Vec<Finding> {
        fill::check(&*self.target, job, io)
    }

    fn tidy(&self, job: &UnitJob, io: &dyn StepIo) -> Result<u64, StepError> {
        if job.direction == Direction::Forward {
            fill::stop(&*self.target, job, io)?;
        }
        Ok(0)
    }

    fn pass(&self, job: &UnitJob, _: Option<&Checkpoint>, io: &dyn StepIo) -> Result<PassReport, StepError> {
        pass::pass(&*self.source, &*self.target, job, &[], io)
    }

    fn position(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Position, StepError> {
        // The other side is not asked: this is done in the pause, again and again.
        let reads = if job.direction == Direction::Forward { &self.source } else { &self.target };
        let read = reads.open(job.reads(), io)?;
        let stand = again::again(io, || read.stand())?;
        Ok(sides::position(&stand, |slice| slice.all, 0))
    }

    fn verify(&self, job: &UnitJob, call: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError> {
        verify::verify(&self.sides(job, io)?, ledger_of(job)?, call)
    }

    fn repair(&self, job: &UnitJob, report: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError> {
        let keys: Vec<String> = report.mismatches.iter().map(|found| found.key.clone()).collect();
        pass::repair(&*self.source, &*self.target, job, &keys, io)
    }

    fn drift(&self, job: &UnitJob, level: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError> {
        if job.ledger.is_some() {
            let writes = if job.direction == Direction::Forward { &self.target } else { &self.source };
            return match again::again(io, || writes.exists(job.writes(), io))? {
                true => drift::drift(&self.sides(job, io)?, level),
                false => Ok(drift::gone(job)),
            };
        }
        // Before the first load everything waits, and the other side may not be there yet.
        let there = self.source.open(&job.source, io)?;
        let waiting_records = sides::counted(&*there, io)?;
        Ok(DriftReport { waiting_records, ..DriftReport::default() })
    }

    fn stale(&self, job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError> {
        drift::stale(&self.sides(job, io)?)
    }

    fn release(&self, job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError> {
        release::release(&*self.target, job, made_root, io)
    }

    fn finish(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        let written = if job.direction == Direction::Forward { &self.target } else { &self.source };
        again::again(io, || written.forget(job, io))
    }
}
