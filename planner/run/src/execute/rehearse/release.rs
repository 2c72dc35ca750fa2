//! Taking away what a rehearsal made: the copy, the stage's markers, and at the end the stage itself.

use segue_contract::{Address, Direction, StepError, StepIo};
use segue_plan::event::Event;
use segue_plan::state::MigrationState;

use super::super::io::{Io, Until};
use super::super::retry::{STEP_DEADLINE, retry};
use super::super::unit::{UnitRef, job_of};
use super::super::{Ground, RunError, claims};

/// Releases the open rehearsal of a cutover; without one there is nothing to do. May be repeated.
pub(in super::super) fn release(ground: &Ground, cutover: &Address) -> Result<(), RunError> {
    let open = ground.recorder.look(|s| s.rehearsals.get(cutover).and_then(|known| known.open.clone()));
    let Some(open) = open else { return Ok(()) };
    let step = cutover.step("rehearse").step("release");
    for (real, staged) in &open.rehearsal.members {
        let known = ground.recorder.look(|s| s.migrations.get(staged).cloned());
        let Some(known) = known else { continue };
        claims::give_back(ground, &step, &known, real)?;
        if known.made.contains(&known.record.target.address) {
            remove_copy(ground, &step, &known)?;
        }
    }
    ground.record(Event::RehearsalReleased { cutover: cutover.clone() })
}

fn remove_copy(ground: &Ground, step: &Address, staged: &MigrationState) -> Result<(), RunError> {
    for job in &staged.record.jobs {
        let unit = UnitRef { migration: staged.record.migration.clone(), unit: job.unit.clone() };
        let (mut job, _) = job_of(ground, &unit)?;
        job.direction = Direction::Forward;
        let bind = |e: StepError| RunError::step(step, e);
        let engine = ground.registry.engine(&job.source, &job.target).map_err(bind)?;
        // A copy that is half removed is worse than a Ctrl-C that waits.
        let io = Io::new(ground, step).until(Until::Never);
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), || engine.release(&job, true, &io))
            .map_err(bind)?;
    }
    Ok(())
}
