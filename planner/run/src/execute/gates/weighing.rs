//! Reads that go to the target in steps, between the gates and QUIESCING, while the source takes every write: passes go
//! on, gates and watches are looked at, and whatever is lost sends all reads back.

use std::time::{Duration, Instant};

use segue_contract::{Address, Reading, Side};
use segue_language::{GateDecl, WeightsDecl};
use segue_plan::event::{Event, Watch};
use segue_plan::plan::StepKind;
use segue_plan::state::steps_to_hold;

use super::look::{Look, Wants};
use super::{PAUSE_MAX, Waiting, carry, verified};
use crate::execute::attempt::write_reads_by_hand;
use crate::execute::control::Turn;
use crate::execute::io::Until;
use crate::execute::{RunError, RunEvent, watching, weights};

/// The steps of a cutover that still has some to hold.
pub(super) fn steps(waiting: &Waiting<'_>) -> Vec<u8> {
    let task = waiting.task;
    let Some(decl) = task.conditions.weights.as_ref().filter(|_| task.attempt.to == Side::Target) else {
        return Vec::new();
    };
    waiting.ground.recorder.look(|s| {
        let known = s.cutovers.get(&task.cutover).and_then(|c| c.weight.as_deref());
        steps_to_hold(decl, known)
    })
}

/// Walks the steps. Afterwards the last of them is in effect, every gate holds, and it is this cutover's turn to pause
/// its writes.
pub(super) fn walk(waiting: &mut Waiting<'_>, steps: &[u8]) -> Result<(), RunError> {
    let (ground, task) = (waiting.ground, waiting.task);
    let (Some(decl), Some(last)) = (&task.conditions.weights, steps.last()) else { return Ok(()) };
    let failed = |error| RunError::step(&task.cutover.step("reads"), error);
    // Reads grow old at the target when this process dies: somebody has to send them back.
    ground.guard.arm(&ground.secrets).map_err(failed)?;
    write_reads_by_hand(ground, &task.cutover, &task.attempt)?;
    for percent in steps {
        let hold = Hold { decl, percent: *percent, last: percent == last };
        let step = task.cutover.step(&format!("weigh_{percent}"));
        let began = Instant::now();
        ground.begin_step(&step, StepKind::Weigh)?;
        let ended = hold.run(waiting, &step).and_then(|held_ms| {
            weights::held(ground, &task.cutover, *percent, held_ms)?;
            Ok(held_ms)
        });
        match ended {
            Ok(held_ms) => {
                let said = format!("held for {held_ms} ms, nothing was lost");
                ground.end_step(&step, StepKind::Weigh, said, super::super::ground::micros(began))?;
            }
            Err(error) => {
                let error = stopped(waiting, &step, error);
                ground.note_failure(&step, &error);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whatever ends a step that nobody asked to stop is a reason not to switch: exit 3, and what to do.
fn stopped(waiting: &Waiting<'_>, step: &Address, error: RunError) -> RunError {
    let cutover = &waiting.task.cutover;
    let again = format!("then `segue unhold {cutover}`, and apply again: it begins with the first step");
    match error {
        RunError::Step { error, .. } | RunError::Setup(error) => {
            let mend = error.remedy.clone().unwrap_or_else(|| "mend that".to_owned());
            RunError::Gate { step: step.clone(), what: error.to_string(), remedy: format!("{mend}; {again}") }
        }
        RunError::Gate { step: gate, what, remedy: _ } => RunError::Gate {
            step: step.clone(),
            what: format!("{gate} was lost: {what}"),
            remedy: format!("make it hold, {again}"),
        },
        other => other,
    }
}

/// A watch while a step is held.
struct Watched<'a> {
    watch: &'a Watch,
    /// Looks in a row that were not good.
    failed: u32,
    last: Option<(bool, Instant)>,
}

/// One step.
struct Hold<'a> {
    decl: &'a WeightsDecl,
    percent: u8,
    /// The next is the switch.
    last: bool,
}

impl Hold<'_> {
    /// Sends the reads there and holds that; returns for how long, in milliseconds.
    fn run(&self, waiting: &mut Waiting<'_>, step: &Address) -> Result<u64, RunError> {
        let (ground, task) = (waiting.ground, waiting.task);
        weights::weigh(ground, &task.cutover, step, &task.attempt.routes, self.percent, &Until::Stopped)?;
        ground.tell(&RunEvent::Said {
            text: format!("{}: {} % of the reads go to the target", task.cutover, self.percent),
        });
        let watches = task.conditions.watch.watches.iter();
        let mut watched: Vec<Watched<'_>> =
            watches.map(|watch| Watched { watch, failed: 0, last: None }).collect();
        let began_ms = ground.clock.boot_ms();
        let (mut rested, mut carried) = (Duration::ZERO, None::<Instant>);
        let (hold, interval) = (
            Duration::from_millis(self.decl.hold_ms),
            Duration::from_millis(task.conditions.sync_interval_ms),
        );
        waiting.probes.forget();
        loop {
            let paused = ground.control.wait_while_paused();
            rested += paused;
            interrupted(waiting)?;
            if !paused.is_zero() || carried.is_none_or(|at| at.elapsed() >= interval) {
                carry(ground, waiting.units)?;
                carried = Some(Instant::now());
            }
            let fresh = gates_hold(waiting)?;
            look_at(waiting, &mut watched)?;
            let held =
                Duration::from_millis(ground.clock.boot_ms().saturating_sub(began_ms)).saturating_sub(rested);
            let well = watched.iter().all(|w| w.failed == 0);
            if held >= hold && well {
                // All at once: an answer from before the others held is asked for again.
                if !self.last || fresh && waiting.turn() == Turn::Begun {
                    return Ok(u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
                }
                waiting.probes.forget();
                if !fresh {
                    continue;
                }
            }
            let left = if held < hold { hold.saturating_sub(held) } else { PAUSE_MAX };
            let due = waiting.probes.next_due().unwrap_or(PAUSE_MAX);
            ground
                .control
                .sleep(left.min(due).min(next_look(&watched)).min(interval).clamp(MOMENT, PAUSE_MAX));
        }
    }
}

/// No two looks are closer than this.
const MOMENT: Duration = Duration::from_millis(2);

fn next_look(watched: &[Watched<'_>]) -> Duration {
    let due = watched.iter().map(|w| {
        let interval = Duration::from_millis(w.watch.interval_ms);
        w.last.map_or(Duration::ZERO, |(_, at)| interval.saturating_sub(at.elapsed()))
    });
    due.min().unwrap_or(PAUSE_MAX)
}

fn interrupted(waiting: &Waiting<'_>) -> Result<(), RunError> {
    let (control, cutover) = (&waiting.ground.control, &waiting.task.cutover);
    if let Some(reason) = control.abort_of(cutover) {
        control.abort_done(cutover);
        return Err(RunError::Aborted { cutover: cutover.clone(), live: waiting.task.attempt.from, reason });
    }
    if control.stopping() { Err(RunError::Interrupted) } else { Ok(()) }
}

/// Every gate holds, after what could make it hold was done once. Returns whether all were asked just now.
fn gates_hold(waiting: &mut Waiting<'_>) -> Result<bool, RunError> {
    let (ground, gates) = (waiting.ground, waiting.gates());
    let (asked, looks) = waiting.look_at_all()?;
    let missing: Vec<Wants> = looks.iter().filter(|l| !l.met).map(|l| l.wants.clone()).collect();
    let mut looks = looks;
    if missing.contains(&Wants::Pass) {
        carry(ground, waiting.units)?;
    }
    for wants in &missing {
        if let Wants::Verification(stale) = wants {
            for unit in stale {
                verified::again(ground, unit, &waiting.task.attempt.waivers)?;
            }
        }
    }
    if !missing.is_empty() {
        looks = waiting.look_at_all()?.1;
    }
    interrupted(waiting)?;
    let lost: Option<(&GateDecl, &Look)> = gates.iter().zip(&looks).find(|(_, look)| !look.met);
    match lost {
        Some((gate, look)) => {
            Err(RunError::Gate { step: gate.address.clone(), what: look.said.clone(), remedy: String::new() })
        }
        None => Ok(asked == waiting.probes.len()),
    }
}

/// Looks at the watches that are due, beside each other. So many looks in a row that are not good take the reads back,
/// whatever the watch does after the switch: there is nothing yet that going back could lose.
fn look_at(waiting: &Waiting<'_>, watched: &mut [Watched<'_>]) -> Result<(), RunError> {
    let ground = waiting.ground;
    let due = |w: &Watched<'_>| {
        w.last.is_none_or(|(_, at)| at.elapsed() >= Duration::from_millis(w.watch.interval_ms))
    };
    let readings: Vec<Option<Reading>> = std::thread::scope(|scope| {
        let looks: Vec<_> =
            watched.iter().map(|w| due(w).then(|| scope.spawn(|| watching::ask(ground, w.watch)))).collect();
        let crashed =
            || Reading { ok: false, said: "the look stopped by a defect of segue".to_owned(), value: None };
        looks.into_iter().map(|look| look.map(|look| look.join().unwrap_or_else(|_| crashed()))).collect()
    });
    // A look that was cut off says nothing.
    interrupted(waiting)?;
    for (watched, reading) in watched.iter_mut().zip(readings) {
        let Some(reading) = reading else { continue };
        take(waiting, watched, &reading)?;
    }
    Ok(())
}

fn take(waiting: &Waiting<'_>, watched: &mut Watched<'_>, reading: &Reading) -> Result<(), RunError> {
    let (ground, cutover) = (waiting.ground, &waiting.task.cutover);
    let address = &watched.watch.block.address;
    let changed = watched.last.is_none_or(|(ok, _)| ok != reading.ok);
    watched.last = Some((reading.ok, Instant::now()));
    watched.failed = if reading.ok { 0 } else { watched.failed.saturating_add(1) };
    if changed {
        ground.record(Event::WatchRead {
            cutover: cutover.clone(),
            epoch: ground.recorder.look(|s| s.cutovers.get(cutover).map_or(0, |c| c.epoch)),
            watch: address.clone(),
            ok: reading.ok,
            said: reading.said.clone(),
            value: reading.value,
            failed: watched.failed,
            at: ground.now(),
        })?;
    }
    if changed || !reading.ok {
        ground.tell(&RunEvent::WatchRead {
            step: address.clone(),
            ok: reading.ok,
            said: reading.said.clone(),
            failed: watched.failed,
            failures: watched.watch.failures,
        });
    }
    if watched.failed < watched.watch.failures {
        return Ok(());
    }
    Err(RunError::Gate {
        step: address.clone(),
        what: format!("{} looks in a row were not good, the last: {}", watched.failed, reading.said),
        remedy: String::new(),
    })
}
