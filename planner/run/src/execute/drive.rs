//! Driving an attempt along the transition table, and aborting it. The journal's phase says where it is:
//! a fresh attempt and one that a death left behind run through the same code.

mod back;
mod perform;

use std::time::{Duration, Instant};

use segue_contract::{Address, Barrier, QuiesceCall, QuiesceKind, StepError, StepIo, segue};
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use segue_plan::event::{Attempt, Event, Member};
use segue_plan::plan::StepKind;
use segue_plan::state::CutoverState;

use super::attempt::write_by_hand;
use super::ground::micros;
use super::io::{Io, Until};
use super::retry::retry;
use super::together::{each_once, together};
use super::{Ground, RunError, RunEvent, claims, gates, prove, watching, weights};
use crate::lease::LeaseFile;
use back::fail_after_commit;
pub(super) use back::{abort, go_back_again};
use perform::step_of;

/// How long an effect after COMMITTED, or the re-opening of a side, is tried again before the run ends and
/// says what is closed. Longer than any restart of a service.
const SETTLING_DEADLINE: Duration = Duration::from_secs(120);
/// Passes in the pause that try to reach the fence.
const CATCH_UPS_MAX: usize = 3;
/// The margin before the deadline within which no commit is begun any more, in milliseconds: the commit
/// record's own sync takes time.
const COMMIT_MARGIN_MS: u64 = 200;

/// A cutover to be run.
pub(super) struct CutoverTask {
    /// Which.
    pub(super) cutover: Address,
    /// With everything but its epoch.
    pub(super) attempt: Attempt,
    /// What it waits for before QUIESCING, and what is watched after it.
    pub(super) conditions: gates::Conditions,
}

/// Runs a cutover from its gates to SOAKING.
pub(super) fn run_cutover(ground: &Ground, task: CutoverTask) -> Result<(), RunError> {
    let cutover = task.cutover.clone();
    // Waiting makes passes: nothing can be read from a side that is left.
    let waited = prove::somebody_to_ask(ground, &cutover, &task.attempt)
        .and_then(|()| if task.attempt.leaves.is_some() { Ok(()) } else { gates::wait(ground, &task) });
    let ended = waited.and_then(|()| begin(ground, task)).and_then(|()| drive(ground, &cutover));
    let ended = weights::after(ground, &cutover, ended);
    ground.control.end_closing(&cutover);
    ended
}

/// Claims the endpoints, has somebody watch, prints what to do by hand, and enters QUIESCING.
fn begin(ground: &Ground, task: CutoverTask) -> Result<(), RunError> {
    let CutoverTask { cutover, mut attempt, .. } = task;
    let step = cutover.step("quiesce");
    let migrations: Vec<Address> = attempt.migrations().cloned().collect();
    // What shows only at HARDENED costs a pause for nothing (protocol P20).
    for member in attempt.members.iter().filter(|_| !attempt.rehearsal) {
        prove::openable_before(ground, &step, member).map_err(|e| RunError::step(&step, e))?;
    }
    for block in attempt.routes.iter().filter(|_| !attempt.rehearsal) {
        prove::settable(ground, &step, block).map_err(|e| RunError::step(&step, e))?;
    }
    attempt.watchdog = ground.guard.arm(&ground.secrets).map_err(|e| RunError::step(&step, e))?;
    attempt.epoch = claims::claim_but(ground, &step, &migrations, None, attempt.left())?;
    for job in &mut attempt.jobs {
        job.epoch = attempt.epoch;
        let (migration, unit) = (job.migration.clone(), job.unit.clone());
        job.ledger = ground.recorder.look(|s| s.migrations.get(&migration)?.units.get(&unit)?.ledger.clone());
    }
    write_by_hand(ground, &cutover, &attempt)?;
    ground.tell(&RunEvent::Said {
        text: format!("how to re-open everything without segue: {}", attempt.by_hand.display()),
    });
    enter(ground, &cutover, attempt)
}

/// Records that an attempt begins, and takes its lease.
fn enter(ground: &Ground, cutover: &Address, mut attempt: Attempt) -> Result<(), RunError> {
    // Before the pause: once they are set, nobody can tell how long what they said before is kept.
    let ttls = attempt.routes.iter().filter_map(|r| Some(ground.registry.route(r).ok()?.ttl_ms(r)));
    attempt.old_answers_ms = ttls.max().unwrap_or(0);
    attempt.began = ground.now();
    let (epoch, forward_ms) = (attempt.epoch, attempt.forward_ms());
    let deadline_ms = attempt.began.ms.saturating_add(attempt.timeout_ms);
    ground.record_settling(Event::AttemptBegan { cutover: cutover.clone(), attempt: Box::new(attempt) })?;
    ground.tell(&RunEvent::Phase {
        cutover: cutover.clone(),
        phase: Phase::Quiescing,
        took_us: 0,
        said: String::new(),
    });
    if let Err(error) = ground.guard.lease(cutover, epoch, deadline_ms, forward_ms) {
        let reason = error.to_string();
        abort(ground, cutover, &reason, None)?;
        return Err(RunError::step(&cutover.step("quiesce"), error));
    }
    Ok(())
}

/// An attempt in flight, as the journal has it.
pub(super) struct Flight<'a> {
    pub(super) ground: &'a Ground,
    pub(super) cutover: &'a Address,
    pub(super) attempt: Attempt,
    pub(super) known: CutoverState,
    /// When the fence was taken, on the boot clock; an attempt that was begun by another process goes no further.
    fenced_ms: Option<u64>,
}

impl<'a> Flight<'a> {
    pub(super) fn read(ground: &'a Ground, cutover: &'a Address) -> Result<Self, RunError> {
        let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned());
        let found = known.and_then(|k| k.attempt.clone().map(|attempt| (k, *attempt)));
        let Some((known, attempt)) = found else {
            return Err(RunError::Setup(StepError::permanent(format!(
                "{cutover} has no attempt in the state"
            ))));
        };
        Ok(Self { ground, cutover, attempt, known, fenced_ms: None })
    }

    /// Until COMMITTED a stop, an abort or the deadline ends an action; from HARDENED on signals wait.
    fn until(&self) -> Until {
        let deadline = self.deadline_ms();
        match settle(self.known.phase) {
            Settle::Complete => Until::Never,
            Settle::Nothing | Settle::Abort if self.known.phase.defers_signals() => Until::Never,
            Settle::Nothing | Settle::Abort => Until::Deadline(self.cutover.clone(), deadline),
        }
    }

    fn deadline_ms(&self) -> u64 {
        self.attempt.began.ms.saturating_add(self.attempt.timeout_ms)
    }

    pub(super) fn io(&self, step: &Address) -> Io<'a> {
        Io::new(self.ground, step).until(self.until())
    }

    /// Tries again what may pass by itself: before COMMITTED no longer than the pause may last.
    pub(super) fn again<T>(
        &self,
        step: &Address,
        mut work: impl FnMut(&Io<'_>) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let io = self.io(step);
        let left = match settle(self.known.phase) {
            Settle::Complete => SETTLING_DEADLINE,
            Settle::Nothing | Settle::Abort => {
                Duration::from_millis(self.deadline_ms().saturating_sub(self.ground.clock.boot_ms()))
            }
        };
        retry(self.ground, step, left, || io.cancelled(), || work(&io))
    }

    fn closed_and_drained(&self, step: &Address) -> Result<String, StepError> {
        let look = |member: &Member| {
            self.again(step, |_| {
                prove::closed_and_drained(self.ground, step, &self.attempt, member, &self.until())
            })
        };
        Ok(each_once(&together(&self.attempt.members, look)?).join("; "))
    }

    fn step(&self, kind: StepKind) -> Address {
        self.cutover.step(kind.as_str())
    }

    /// Where `hardened` and `expired` of this attempt race.
    fn lease_file(&self) -> LeaseFile {
        LeaseFile::of(&self.ground.who.state_dir, self.cutover, self.attempt.epoch)
    }

    /// Why the attempt may not go on towards COMMITTED, if so.
    fn lapsed(&self, margin_ms: u64) -> Option<StepError> {
        let now = self.ground.now();
        match now.since(&self.attempt.began) {
            None => Some(StepError::permanent("the machine was booted since the pause began")),
            Some(_) if now.ms.saturating_add(margin_ms) >= self.deadline_ms() => Some(
                StepError::permanent(format!(
                    "not committed within the timeout of {} ms",
                    self.attempt.timeout_ms
                ))
                .remedy(format!(
                    "raise timeout, or make the pause shorter: `{}` shows its terms",
                    segue(&["status"])
                )),
            ),
            Some(_) => None,
        }
    }

    fn stop_asked(&self) -> Option<String> {
        if let Some(reason) = self.ground.control.abort_of(self.cutover) {
            return Some(reason);
        }
        self.ground.control.stopping().then(|| "interrupted in the pause".to_owned())
    }
}

/// Drives an attempt from the phase it is in to SOAKING; before COMMITTED every failure aborts it.
pub(super) fn drive(ground: &Ground, cutover: &Address) -> Result<(), RunError> {
    let mut fenced_ms = None;
    loop {
        let flight = Flight { fenced_ms, ..Flight::read(ground, cutover)? };
        let phase = flight.known.phase;
        let (Some(act), Some(next)) =
            (action(phase, flight.attempt.opens()), advance(phase, flight.attempt.opens()))
        else {
            return Ok(());
        };
        // A rehearsal ends here, and opens the source again.
        if flight.attempt.rehearsal && phase == Phase::Verified {
            return abort(ground, cutover, "the rehearsal of the pause is over", None);
        }
        if act == Action::Watch && watching::is_for_an_apply(ground, &flight.known) {
            return Ok(());
        }
        let began = Instant::now();
        let stopped = if phase.defers_signals() { None } else { flight.stop_asked() };
        let outcome = match stopped {
            Some(reason) if settle(phase) == Settle::Abort => {
                Err(RunError::Setup(StepError::permanent(reason)))
            }
            _ => flight.perform(act),
        };
        match outcome {
            Ok(proof) => {
                if act == Action::Fence {
                    fenced_ms = Some(ground.clock.boot_ms());
                }
                let said = proof.said.clone();
                // The first phase's time counts from the moment that the pause began.
                let took_us = micros(began);
                let event = Event::PhaseReached {
                    cutover: cutover.clone(),
                    epoch: flight.attempt.epoch,
                    phase: next,
                    proof,
                    took_us,
                };
                if let Err(error) = ground.record_settling(event) {
                    return Err(unrecorded(&flight, next, error));
                }
                ground.tell(&RunEvent::Phase { cutover: cutover.clone(), phase: next, took_us, said });
                if next == Phase::Committed {
                    forward(ground, cutover);
                }
                if next == Phase::Watching {
                    over(&flight);
                }
            }
            Err(error) => return fail(&flight, act, error),
        }
    }
}

/// A record that is lost before COMMITTED aborts; whether COMMITTED itself is durable is not known, so
/// nothing is opened (protocol P10).
fn unrecorded(flight: &Flight<'_>, next: Phase, error: RunError) -> RunError {
    if settle(flight.known.phase) == Settle::Abort && next != Phase::Committed {
        return match abort(flight.ground, flight.cutover, &error.to_string(), None) {
            Ok(()) | Err(RunError::Record(_)) => error,
            Err(worse) => worse,
        };
    }
    let error = StepError::permanent(error.to_string());
    RunError::BothClosed { cutover: flight.cutover.clone(), error, by_hand: flight.attempt.by_hand.clone() }
}

/// From here on there is only the way forward, and it has a term (protocol P30). A watchdog that does not hear of it
/// counts from the end of the pause's lease.
fn forward(ground: &Ground, cutover: &Address) {
    let until = ground.recorder.look(|s| s.cutovers.get(cutover).and_then(CutoverState::forward_until));
    if let Some(until) = until {
        ground.guard.forward(cutover, until.ms);
    }
}

/// The new sides take writes, or the old ones do again: nobody has to settle this attempt any more.
fn over(flight: &Flight<'_>) {
    flight.ground.guard.over(flight.cutover);
    flight.lease_file().remove();
}

fn fail(flight: &Flight<'_>, act: Action, error: RunError) -> Result<(), RunError> {
    let (ground, cutover) = (flight.ground, flight.cutover);
    let step = flight.cutover.step(step_of(act).as_str());
    if settle(flight.known.phase) == Settle::Complete {
        return fail_after_commit(flight, act, &step, error);
    }
    let asked = flight.stop_asked();
    let lapsed = flight.lapsed(0).map(|e| e.to_string());
    let reason = match (&asked, lapsed) {
        (Some(asked), _) => asked.clone(),
        (None, Some(lapsed)) if matches!(error, RunError::Interrupted) => lapsed,
        (None, _) => match &error {
            // Held for it: whoever reads that has to know how it goes on.
            RunError::Deletions { remedy, .. } => format!("{error} ({remedy})"),
            other => other.to_string(),
        },
    };
    ground.note_failure(&step, &error);
    abort(ground, cutover, &reason, Some(reason.clone()))?;
    ground.control.abort_done(cutover);
    Err(RunError::Aborted { cutover: cutover.clone(), live: flight.attempt.from, reason })
}

/// A read-only file system stops Segue too: where Segue must write to the side that does not serve, and stale writers
/// are reported (the plan sees to that), it is made writable again. A barrier that tells Segue from clients stays
/// closed (protocol P1); a block that stops Segue too goes although the endpoint has a barrier, which is enough.
pub(super) fn open_where_segue_is_refused(
    ground: &Ground,
    step: &Address,
    call: &QuiesceCall,
    kind: QuiesceKind,
) -> Result<(), RunError> {
    if kind != QuiesceKind::Data {
        return Ok(());
    }
    let io = Io::new(ground, step).until(Until::Never);
    let open = || {
        let quiesce = ground.registry.quiesce(&call.block)?;
        let facts = ground.registry.endpoint(&call.endpoint)?.observe(&call.endpoint, &io)?;
        match facts.barrier {
            Barrier::Identity | Barrier::Name if !quiesce.stops_segue() => Ok(()),
            Barrier::Identity | Barrier::Name | Barrier::None => quiesce.open(call, &io),
        }
    };
    retry(ground, step, SETTLING_DEADLINE, || false, open).map_err(|e| RunError::step(step, e))
}
