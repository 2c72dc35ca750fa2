//! Lost health: going back by itself, or saying loudly why not (protocol P22). No gate is waited for on the way: a
//! person may be asleep, and the side that is left is not healthy.

use segue_contract::Address;
use segue_plan::cutover::Phase;
use segue_plan::event::{Event, Proof};
use segue_plan::plan::StepKind;

use super::Watching;
use crate::execute::attempt::attempt_from_state;
use crate::execute::drive::{CutoverTask, run_cutover};
use crate::execute::gates::Conditions;
use crate::execute::unit::{UnitRef, sync};
use crate::execute::{RunError, RunEvent};

/// Goes back; never `Ok`, for the run did not come to what was asked for.
pub(super) fn go_back(
    watching: &Watching<'_>,
    watch: &Address,
    said: &str,
) -> Result<Option<String>, RunError> {
    let Watching { ground, cutover, attempt, plan, .. } = watching;
    let tell = |next: String| {
        ground.tell(&RunEvent::HealthLost {
            cutover: (*cutover).clone(),
            watch: watch.clone(),
            said: said.to_owned(),
            next,
        });
    };
    let lost = format!("{watch}: {said}");
    if !attempt.reverse && !plan.accept_loss {
        tell(format!("it does NOT go back: the {} keeps serving", attempt.to));
        let why = format!("there is no reverse sync: going back would lose what the {} took", attempt.to);
        let remedy = format!(
            "mend the {}; or set live = {:?} and fallback {{ accept_loss = true }}, and apply",
            attempt.to,
            attempt.from.as_str()
        );
        return Err(kept(watching, lost, why, remedy, false));
    }
    tell(format!("switching back to the {} by itself", attempt.from));
    if let Err(error) = run_back(watching, &lost) {
        return Err(failed(watching, lost, error));
    }
    let carried = format!("health was lost at {lost}; 0 writes lost, what the {} took was carried back", attempt.to);
    Err(RunError::WentBack { cutover: (*cutover).clone(), live: attempt.from, reason: carried })
}

/// Reverse passes until they stop shrinking, then the protocol, with no gates; held afterwards (protocol P23).
fn run_back(watching: &Watching<'_>, lost: &str) -> Result<(), RunError> {
    let Watching { ground, cutover, .. } = watching;
    let attempt = attempt_from_state(ground, cutover, &format!("health was lost after the switch: {lost}"))?;
    for job in &attempt.jobs {
        let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
        ground.step(&unit.step("sync"), StepKind::Sync, || sync(ground, &unit))?;
    }
    let task = CutoverTask { cutover: (*cutover).clone(), attempt, conditions: Conditions::default() };
    run_cutover(ground, task)
}

/// What a way back that failed comes to.
fn failed(watching: &Watching<'_>, lost: String, error: RunError) -> RunError {
    let Watching { ground, cutover, attempt, .. } = watching;
    // The journal has the next word; nothing was begun that another record would have to undo.
    if matches!(error, RunError::Interrupted | RunError::Record(_) | RunError::BothClosed { .. }) {
        return error;
    }
    let begun = ground.recorder.look(|s| s.cutovers.get(*cutover).is_some_and(|c| c.epoch != attempt.epoch));
    let to = attempt.to;
    if begun {
        return RunError::Unhealthy {
            cutover: (*cutover).clone(),
            live: ground.recorder.look(|s| s.cutovers.get(*cutover).map_or(to, |c| c.live)),
            lost,
            why: format!("the switch back did not come through: {error}"),
            remedy: error.remedy().unwrap_or_else(|| format!("`segue switch-back {cutover}` tries again")),
        };
    }
    let why = format!(
        "the {to} is not left, because what it took since the last reverse pass would be lost{}: {error}",
        behind(watching)
    );
    let remedy = format!(
        "make the {to} readable, then `segue switch-back {cutover}`. To leave it all the same: fence it from outside first (power, firewall, credentials), for it may come back, and declare fallback {{ accept_loss = true }}"
    );
    kept(watching, lost, why, remedy, true)
}

/// How old the fallback is.
fn behind(watching: &Watching<'_>) -> String {
    let Watching { ground, attempt, .. } = watching;
    let now = ground.now();
    let oldest = ground.recorder.look(|s| {
        let unit = |job: &segue_contract::UnitJob| {
            let unit = s.migrations.get(&job.migration)?.units.get(&job.unit)?;
            unit.passes.last().and_then(|pass| now.since(&pass.began_boot))
        };
        attempt.jobs.iter().map(unit).try_fold(0, |oldest, one| one.map(|ms| ms.max(oldest)))
    });
    oldest.map(|ms| format!(" ({} s of writes)", ms.div_ceil(1_000))).unwrap_or_default()
}

/// Records that the side that serves is kept: the watch is over, and the run says what is wrong.
fn kept(watching: &Watching<'_>, lost: String, why: String, remedy: String, held: bool) -> RunError {
    let Watching { ground, cutover, attempt, .. } = watching;
    let refused = Event::BackRefused {
        cutover: (*cutover).clone(),
        epoch: attempt.epoch,
        why: format!("health was lost after the switch ({lost}); {why}"),
        held,
    };
    let said = format!("health was lost: {lost}");
    let soaking = Event::PhaseReached {
        cutover: (*cutover).clone(),
        epoch: attempt.epoch,
        phase: Phase::Soaking,
        proof: Proof { said: said.clone(), ..Proof::default() },
        took_us: 0,
    };
    if let Err(error) = ground.record(refused).and_then(|()| ground.record_settling(soaking)) {
        return error;
    }
    ground.tell(&RunEvent::Phase { cutover: (*cutover).clone(), phase: Phase::Soaking, took_us: 0, said });
    RunError::Unhealthy { cutover: (*cutover).clone(), live: attempt.to, lost, why, remedy }
}
