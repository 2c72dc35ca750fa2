//! Moving and verifying units: load, passes until converged, verification with repair.

use std::time::{Duration, Instant};

use segue_contract::{
    Address, Direction, PassReport, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel, VerifyReport, segue,
};
use segue_language::WaiverDecl;
use segue_plan::cutover::converged;
use segue_plan::event::Event;
use segue_plan::state::UnitState;

use super::control::Carrying;
use super::ground::micros;
use super::io::{Io, Until};
use super::leave::is_itself;
use super::left_out::LeftOut;
use super::retry::{STEP_DEADLINE, retry};
use super::{Ground, RunError, RunEvent, deletions};

/// Passes that a sync step runs at most before it calls the unit converged enough: a writer that is as
/// fast as the copy is reported, and the gates decide.
const PASSES_MAX: usize = 20;
/// Rounds of repair and verification before a difference is final.
const REPAIRS_MAX: usize = 3;

/// A unit of a migration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitRef {
    /// The migration.
    pub migration: Address,
    /// The unit.
    pub unit: String,
}

impl UnitRef {
    /// `migration.site.unit["tree"].load`
    pub(super) fn step(&self, word: &str) -> Address {
        self.migration.step(&format!("unit[{:?}]", self.unit)).step(word)
    }
}

/// The unit as the state knows it, and its job with the current ledger and direction.
pub(super) fn job_of(ground: &Ground, unit: &UnitRef) -> Result<(UnitJob, UnitState), RunError> {
    let found = ground.recorder.look(|state| {
        let migration = state.migrations.get(&unit.migration)?;
        let known = migration.units.get(&unit.unit).cloned().unwrap_or_default();
        let mut job = migration.record.jobs.iter().find(|j| j.unit == unit.unit)?.clone();
        job.direction = state.direction_of(&unit.migration);
        job.ledger.clone_from(&known.ledger);
        job.epoch = migration.epoch;
        let written = job.direction.from().other();
        let left = state.cutover_of(&unit.migration).and_then(|c| c.left.as_ref());
        Some((job, known, left.is_some_and(|left| left.side == written)))
    });
    if let Some((job, _, true)) = &found {
        let error = StepError::permanent(format!(
            "{} was left without being read, and is not taken back yet",
            job.writes().address
        ));
        return Err(RunError::Setup(error.remedy(format!(
            "bring it back, still fenced; then `{}` of its cutover takes it back",
            segue(&["unhold"])
        ))));
    }
    let found = found.map(|(mut job, known, _)| {
        job.deletions.accepted = deletions::accepted(ground, &job);
        (job, known)
    });
    found.ok_or_else(|| {
        RunError::Setup(
            StepError::permanent(format!("{}: unit {:?} is not in the state", unit.migration, unit.unit))
                .remedy(format!("run `{}`: it records what the spec declares", segue(&["apply"]))),
        )
    })
}

/// Waits until one more unit may be carried (`segue { parallelism }`). Inside a pause clients wait, and on the way back
/// health: nothing keeps those waiting. Taken for each try by itself: who waits to try again keeps no other unit waiting.
fn turn<'a>(
    ground: &'a Ground,
    direction: Direction,
    until: &Until,
) -> Result<Option<Carrying<'a>>, StepError> {
    let stop = || match until {
        Until::Flag(flag) => flag.load(std::sync::atomic::Ordering::SeqCst),
        Until::Stopped | Until::Deadline(..) | Until::Never => false,
    };
    match (until, direction) {
        (Until::Stopped, Direction::Forward) | (Until::Flag(_), _) => {
            ground.control.carry_one(stop).map(Some).ok_or_else(StepError::cancelled)
        }
        (Until::Deadline(..) | Until::Never, _) | (Until::Stopped, Direction::Reverse) => Ok(None),
    }
}

/// Records a load or a pass, with the times by which lag is measured. `patience`: how long a side that is read may take to say
/// that it is itself.
pub(super) fn carried(
    ground: &Ground,
    unit: &UnitRef,
    step: &Address,
    load: bool,
    direction: Direction,
    patience: Duration,
    work: impl FnOnce() -> Result<PassReport, StepError>,
) -> Result<PassReport, RunError> {
    let (began_ms, began_boot, began) = (ground.clock.wall_ms(), ground.now(), Instant::now());
    let rested = ground.control.paused_in_all();
    let read = ground.recorder.look(|s| {
        let record = s.migrations.get(&unit.migration).map(|m| &m.record)?;
        Some(match direction {
            Direction::Forward => record.source.clone(),
            Direction::Reverse => record.target.clone(),
        })
    });
    if let Some(read) = read {
        let look = || is_itself(ground, &unit.migration, &read);
        retry(ground, step, patience, || ground.control.stopping(), look)
            .map_err(|e| RunError::step(step, e))?;
    }
    let report = work().map_err(|e| deletions::failed(ground, unit, step, direction, e))?;
    // Rates and estimates are of the time in which it worked.
    let rested = ground.control.paused_in_all().saturating_sub(rested);
    let took_us = micros(began).saturating_sub(u64::try_from(rested.as_micros()).unwrap_or(0));
    ground.record(Event::UnitCarried {
        migration: unit.migration.clone(),
        unit: unit.unit.clone(),
        load,
        direction,
        report: report.clone(),
        began_ms,
        began_boot,
        took_us,
    })?;
    ground.tell(&RunEvent::Carried { step: step.clone(), load, report: report.clone(), took_us });
    Ok(report)
}

/// The first load, from its checkpoint where there is one.
pub(super) fn load(ground: &Ground, unit: &UnitRef) -> Result<String, RunError> {
    let step = unit.step("load");
    let (job, known) = job_of(ground, unit)?;
    if known.loaded {
        return Ok("was loaded by the run before".to_owned());
    }
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(&step, e))?;
    let io = Io::new(ground, &step).carrying(&job);
    let report = carried(ground, unit, &step, true, job.direction, STEP_DEADLINE, || {
        retry(
            ground,
            &step,
            STEP_DEADLINE,
            || ground.control.stopping(),
            || {
                let _turn = turn(ground, job.direction, &Until::Stopped)?;
                let from =
                    ground.recorder.look(|s| s.open_steps.get(&step).and_then(|o| o.checkpoint.clone()));
                engine.load(&job, from.as_ref(), &io).map(|report| io.worked(report))
            },
        )
    })?;
    Ok(format!("{} records, {} bytes", report.records_written, report.bytes_written))
}

/// One pass in the direction away from the side that serves.
pub(super) fn pass(
    ground: &Ground,
    unit: &UnitRef,
    step: &Address,
    until: &Until,
) -> Result<PassReport, RunError> {
    let (job, _) = job_of(ground, unit)?;
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
    let io = Io::new(ground, step).carrying(&job).until(until.clone());
    carried(ground, unit, step, false, job.direction, until.time_left(ground), || {
        retry(
            ground,
            step,
            STEP_DEADLINE,
            || ground.control.stopping(),
            || {
                let _turn = turn(ground, job.direction, until)?;
                engine.pass(&job, None, &io).map(|report| io.worked(report))
            },
        )
    })
}

/// One pass, not tried again: whoever asks for passes again and again does that by itself, and what ends them (`until`)
/// must not wait for a side that cannot be read.
pub(super) fn pass_once(ground: &Ground, unit: &UnitRef, until: &Until) -> Result<PassReport, RunError> {
    let step = unit.step("sync");
    let (job, _) = job_of(ground, unit)?;
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(&step, e))?;
    let _turn = turn(ground, job.direction, until).map_err(|e| RunError::step(&step, e))?;
    let io = Io::new(ground, &step).carrying(&job).until(until.clone());
    carried(ground, unit, &step, false, job.direction, Duration::ZERO, || {
        engine.pass(&job, None, &io).map(|report| io.worked(report))
    })
}

/// Passes until they stop shrinking. What drifted on the written side is carried again first.
pub(super) fn sync(ground: &Ground, unit: &UnitRef) -> Result<String, RunError> {
    let step = unit.step("sync");
    mend_drift(ground, unit, &step)?;
    let mut passes = 0;
    let mut last = pass(ground, unit, &step, &Until::Stopped)?;
    loop {
        passes += 1;
        let (_, known) = job_of(ground, unit)?;
        if converged(&known.passes) || passes >= PASSES_MAX {
            break;
        }
        if ground.control.stopping() {
            return Err(RunError::Interrupted);
        }
        last = pass(ground, unit, &step, &Until::Stopped)?;
    }
    Ok(format!("{passes} passes, the last carried {} records", last.records_written + last.records_deleted))
}

fn mend_drift(ground: &Ground, unit: &UnitRef, step: &Address) -> Result<(), RunError> {
    let (job, _) = job_of(ground, unit)?;
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
    let io = Io::new(ground, step).carrying(&job);
    let drift =
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), || engine.drift(&job, VerifyLevel::Count, &io))
            .map_err(|e| RunError::step(step, e))?;
    if drift.drifted_total == 0 {
        return Ok(());
    }
    let call = VerifyCall { level: VerifyLevel::Count, since: None, quiet: false, set_aside: Vec::new() };
    let verify = || engine.verify(&job, &call, &io);
    let report =
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), verify).map_err(|e| RunError::step(step, e))?;
    if report.mismatches_total > 0 {
        carried(ground, unit, step, false, job.direction, STEP_DEADLINE, || {
            let repair = || engine.repair(&job, &report, &io);
            retry(ground, step, STEP_DEADLINE, || io.cancelled(), repair)
        })?;
    }
    Ok(())
}

/// A verification that found no difference.
#[derive(Debug)]
pub struct Verified {
    /// What was found on both sides.
    pub said: String,
    /// What is missing and not waived.
    pub missing: Option<RunError>,
}

/// Compares both sides; carries again what differs where the spec says so.
pub fn verify_unit(
    ground: &Ground,
    unit: &UnitRef,
    level: VerifyLevel,
    repair: bool,
    waivers: &[WaiverDecl],
) -> Result<Verified, RunError> {
    let step = unit.step("verify");
    let mut repairs = 0;
    loop {
        let (job, _) = job_of(ground, unit)?;
        let call = VerifyCall { level, since: None, quiet: false, set_aside: Vec::new() };
        let report = compare(ground, unit, &step, &job, &call, &Until::Stopped)?;
        let missing = LeftOut::of(waivers, &report.missing, report.missing_total);
        if report.mismatches_total == 0 || !repair || repairs == REPAIRS_MAX {
            missing.tell(ground, &step);
        }
        if report.mismatches_total == 0 {
            let said = format!(
                "{} records compared, {}, all equal{}; {} changed since the last pass, not carried yet",
                report.records_checked,
                by_content(report.records_checked, report.records_read),
                missing.said(),
                report.residual
            );
            let total = missing.open_total;
            let error = || RunError::Missing { step: step.clone(), total, first: missing.first() };
            return Ok(Verified { said, missing: (total > 0).then(error) });
        }
        if !repair || repairs == REPAIRS_MAX {
            return Err(mismatch(&step, &report));
        }
        repairs += 1;
        let engine =
            ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(&step, e))?;
        let io = Io::new(ground, &step).carrying(&job);
        carried(ground, unit, &step, false, job.direction, STEP_DEADLINE, || {
            let repair = || engine.repair(&job, &report, &io);
            retry(ground, &step, STEP_DEADLINE, || io.cancelled(), repair)
        })?;
    }
}

/// How closely records were compared: metadata alone is no proof of content.
pub(super) fn by_content(checked: u64, read: u64) -> String {
    format!("{read} by content and {} by metadata alone", checked.saturating_sub(read))
}

/// One verification, recorded.
pub(super) fn compare(
    ground: &Ground,
    unit: &UnitRef,
    step: &Address,
    job: &UnitJob,
    call: &VerifyCall,
    until: &Until,
) -> Result<VerifyReport, RunError> {
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
    let io = Io::new(ground, step).carrying(job).until(until.clone());
    let set_aside = ground.recorder.look(|s| {
        let unit = s.migrations.get(&unit.migration)?.units.get(&unit.unit)?;
        Some(unit.set_aside.clone())
    });
    let call = VerifyCall { set_aside: set_aside.unwrap_or_default(), ..call.clone() };
    let verify = || {
        let _turn = turn(ground, job.direction, until)?;
        engine.verify(job, &call, &io)
    };
    let report = retry(ground, step, until.time_left(ground), || io.cancelled(), verify)
        .map_err(|e| RunError::step(step, e))?;
    ground.record(Event::UnitVerified {
        migration: unit.migration.clone(),
        unit: unit.unit.clone(),
        report: report.clone(),
        whole: call.since.is_none(),
    })?;
    ground.tell(&RunEvent::Compared { step: step.clone(), report: report.clone() });
    Ok(report)
}

/// The error that a verification with differences is.
pub(super) fn mismatch(step: &Address, report: &VerifyReport) -> RunError {
    let first = report.mismatches.first().map(|m| format!("{} ({})", m.key, m.what)).unwrap_or_default();
    RunError::Mismatch { step: step.clone(), total: report.mismatches_total, first }
}
