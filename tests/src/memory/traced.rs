//! The documents engine as the laws look at an engine: each of its steps is one call of the script and one line of the
//! log, besides the calls that it makes of the stores; and looking moves nothing.

use std::sync::Arc;

use segue_contract::{
    BlockRef, Checkpoint, DriftReport, Engine, Finding, PassReport, Position, Select, Side, StaleReport,
    StepError, StepIo, Transform, UnitJob, VerifyCall, VerifyLevel, VerifyReport,
};
use segue_providers::engines::documents::DocumentsEngine;

use super::documents::MemoryDocuments;
use super::endpoint::name_of;
use super::world::Handle;

/// See the module.
pub(super) struct TracedDocuments {
    acts: DocumentsEngine,
    /// Its calls are in no script, and nobody writes while it makes them: planning observes with it.
    looks: DocumentsEngine,
}

impl TracedDocuments {
    pub(super) fn new() -> Self {
        let engine = |looking| {
            let stores = || Arc::new(MemoryDocuments { looking });
            DocumentsEngine::new(stores(), stores())
        };
        Self { acts: engine(false), looks: engine(true) }
    }
}

/// One step of the engine, on one of the job's stores.
fn traced<T>(
    name: &str,
    job: &UnitJob,
    store: &BlockRef,
    step: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let handle = Handle::of(job.reads())?;
    let call = handle.call(name)?;
    call.act(|world| {
        world.log(name, Some(&name_of(store)), Some(job.epoch), "");
        Ok(())
    })?;
    let done = step()?;
    call.end(done)
}

impl Engine for TracedDocuments {
    fn check(&self, select: &Select, transform: &Transform) -> Vec<Finding> {
        self.acts.check(select, transform)
    }

    fn selects(&self, select: &Select, unit: &str) -> bool {
        self.acts.selects(select, unit)
    }

    fn name_at_target(&self, select: &Select, unit: &str) -> String {
        self.acts.name_at_target(select, unit)
    }

    fn appeared(
        &self,
        block: &BlockRef,
        side: Side,
        select: &Select,
        io: &dyn StepIo,
    ) -> Result<Vec<String>, StepError> {
        self.acts.appeared(block, side, select, io)
    }

    fn load(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        traced("engine.load", job, job.writes(), || self.acts.load(job, from, io))
    }

    fn pass(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        traced("engine.pass", job, job.writes(), || self.acts.pass(job, from, io))
    }

    fn position(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Position, StepError> {
        traced("engine.position", job, job.reads(), || self.acts.position(job, io))
    }

    fn verify(&self, job: &UnitJob, call: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError> {
        traced("engine.verify", job, job.writes(), || self.acts.verify(job, call, io))
    }

    fn repair(&self, job: &UnitJob, report: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError> {
        traced("engine.repair", job, job.writes(), || self.acts.repair(job, report, io))
    }

    fn drift(&self, job: &UnitJob, level: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError> {
        self.looks.drift(job, level, io)
    }

    fn stale(&self, job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError> {
        traced("engine.stale", job, job.writes(), || self.looks.stale(job, io))
    }

    fn release(&self, job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError> {
        traced("engine.release", job, &job.target, || self.acts.release(job, made_root, io))
    }

    fn finish(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        traced("engine.finish", job, job.writes(), || self.acts.finish(job, io))
    }
}
