//! Driving an attempt along the transition table, and aborting it. The journal's phase says where it is:
//! a fresh attempt and one that a death left behind run through the same code.

mod perform;

use std::time::{Duration, Instant};

use segue_contract::{
    Address, Barrier, BarrierState, ErrorClass, QuiesceCall, QuiesceKind, RouteAt, StepError, StepIo,
};
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use segue_plan::event::{Attempt, Event, Member};
use segue_plan::plan::StepKind;
use segue_plan::state::CutoverState;

use super::attempt::{attempt_of_group_going_back, write_by_hand};
use super::ground::micros;
use super::io::{Io, Until};
use super::retry::retry;
use super::together::{each_once, together};
use super::{Ground, RunError, RunEvent, claims, gates, prove, watching};
use crate::lease::{LeaseFile, SETTLING_MS};
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
    gates::wait(ground, &task)?;
    let cutover = task.cutover.clone();
    begin(ground, task)?;
    drive(ground, &cutover)
}

/// Claims the endpoints, has somebody watch, prints what to do by hand, and enters QUIESCING.
fn begin(ground: &Ground, task: CutoverTask) -> Result<(), RunError> {
    let CutoverTask { cutover, mut attempt, .. } = task;
    let step = cutover.step("quiesce");
    let migrations: Vec<Address> = attempt.migrations().cloned().collect();
    attempt.watchdog = ground.guard.arm(&ground.secrets).map_err(|e| RunError::step(&step, e))?;
    attempt.epoch = claims::claim(ground, &step, &migrations, None)?;
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
    attempt.began = ground.now();
    let (epoch, deadline_ms) = (attempt.epoch, attempt.began.ms.saturating_add(attempt.timeout_ms));
    ground.record_settling(Event::AttemptBegan { cutover: cutover.clone(), attempt: Box::new(attempt) })?;
    ground.tell(&RunEvent::Phase {
        cutover: cutover.clone(),
        phase: Phase::Quiescing,
        took_us: 0,
        said: String::new(),
    });
    if let Err(error) = ground.guard.lease(cutover, epoch, deadline_ms) {
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
        Ok(Self { ground, cutover, attempt, known })
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

    fn io(&self, step: &Address) -> Io<'a> {
        Io::new(self.ground, step).until(self.until())
    }

    /// Tries again what may pass by itself: before COMMITTED no longer than the pause may last.
    fn again<T>(
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
                .remedy("raise timeout, or make the pause shorter: `segue status` shows its terms"),
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
    loop {
        let flight = Flight::read(ground, cutover)?;
        let phase = flight.known.phase;
        let (Some(act), Some(next)) =
            (action(phase, flight.attempt.opens()), advance(phase, flight.attempt.opens()))
        else {
            return Ok(());
        };
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
    RunError::BothClosed { cutover: flight.cutover.clone(), error }
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
        (None, _) => error.to_string(),
    };
    ground.note_failure(&step, &error);
    abort(ground, cutover, &reason, Some(reason.clone()))?;
    ground.control.abort_done(cutover);
    Err(RunError::Aborted { cutover: cutover.clone(), live: flight.attempt.from, reason })
}

fn fail_after_commit(
    flight: &Flight<'_>,
    act: Action,
    step: &Address,
    error: RunError,
) -> Result<(), RunError> {
    let (ground, cutover) = (flight.ground, flight.cutover);
    // When it cannot be told, what failed first is what is said.
    let by_hand = flight.known.phase == Phase::Committed && flight.opened_by_hand(act).unwrap_or(false);
    ground.note_failure(step, &error);
    let reason = if by_hand {
        "the old side was opened by hand before the new one".to_owned()
    } else {
        format!("the {} could not be opened: {error}", flight.attempt.to)
    };
    // Read again: members that opened meanwhile are in the journal.
    let now = Flight::read(ground, cutover)?;
    match now.way_back(act, &error, by_hand) {
        WayBack::TakeBack => {
            take_back(ground, cutover, &reason)?;
            Err(RunError::Aborted { cutover: cutover.clone(), live: flight.attempt.from, reason })
        }
        WayBack::GroupGoesBack => {
            group_goes_back(&now, &reason)?;
            Err(RunError::WentBack { cutover: cutover.clone(), live: flight.attempt.from, reason })
        }
        WayBack::None => Err(match error {
            RunError::Step { error, .. } | RunError::Setup(error) if now.someone_is_closed() => {
                RunError::BothClosed { cutover: cutover.clone(), error }
            }
            other => other,
        }),
    }
}

/// What a failure after COMMITTED allows.
enum WayBack {
    /// Every new side is proven closed and nothing that opens one can still land: the commit is taken back (P16).
    TakeBack,
    /// Some members opened and took writes: the group goes back by the protocol (P20).
    GroupGoesBack,
    /// Neither: what is closed stays closed, and what is open stays open.
    None,
}

impl Flight<'_> {
    fn way_back(&self, act: Action, error: &RunError, by_hand: bool) -> WayBack {
        if by_hand {
            return WayBack::TakeBack;
        }
        let opening = matches!(act, Action::RaiseAndOpen | Action::RaiseAndRoute | Action::StartWriters);
        // A call whose outcome is unknown may still land.
        let known = match error {
            RunError::Step { error, .. } | RunError::Setup(error) => error.class != ErrorClass::Unknown,
            _ => false,
        };
        if !opening || !known {
            return WayBack::None;
        }
        if !self.known.opened.is_empty() {
            return if self.attempt.reverse { WayBack::GroupGoesBack } else { WayBack::None };
        }
        let step = self.step(step_of(act));
        let closed = self.attempt.members.iter().all(|member| {
            let seen = prove::barrier(self.ground, &step, &member.open, &Until::Never);
            matches!(seen, Ok(BarrierState::Closed(_)))
        });
        // A route that cannot even be told is no way back either: it is mended, and the switch completed.
        let io = Io::new(self.ground, &step).until(Until::Never);
        let routable = self.attempt.routes.iter().all(|block| {
            let seen = self.ground.registry.route(block).and_then(|route| route.observe(block, &io));
            matches!(seen, Ok(RouteAt::Side(_)))
        });
        if closed && routable { WayBack::TakeBack } else { WayBack::None }
    }

    /// Whether the clients of some member are refused on both of its sides.
    fn someone_is_closed(&self) -> bool {
        self.known.phase.is_pause() && self.known.opened.len() < self.attempt.members.len()
    }

    /// Protocol P17: the operator opened an old side by hand, and nothing was begun that opens the new one.
    fn opened_by_hand(&self, act: Action) -> Result<bool, RunError> {
        if !matches!(act, Action::RaiseAndOpen | Action::RaiseAndRoute) {
            return Ok(false);
        }
        for member in &self.attempt.members {
            let raised = claims::read(self.ground, self.cutover, &member.close.endpoint)?
                .is_some_and(|m| m.raised && m.epoch >= self.attempt.epoch);
            if raised {
                return Ok(false);
            }
        }
        let step = self.step(step_of(act));
        let look = |member: &Member| {
            self.again(&step, |_| match prove::barrier(self.ground, &step, &member.close, &Until::Never)? {
                BarrierState::Open => Ok(true),
                BarrierState::Closed(_) => Ok(false),
                // Raising the marker forbids what BY_HAND.txt allowed: not before it is known.
                BarrierState::Unknown(why) => Err(StepError::unknown(format!(
                    "whether the {} was opened by hand cannot be told: {why}",
                    self.attempt.from
                ))),
            })
        };
        let open = together(&self.attempt.members, look).map_err(|e| RunError::step(&step, e))?;
        Ok(open.contains(&true))
    }
}

/// Protocol P20: some members of the group took writes and one could not be opened. The group goes back by the
/// protocol, so that none of those writes is lost.
fn group_goes_back(flight: &Flight<'_>, reason: &str) -> Result<(), RunError> {
    let (ground, cutover) = (flight.ground, flight.cutover);
    ground.tell(&RunEvent::Said { text: format!("{cutover}: the group goes back, for {reason}") });
    let mut attempt = attempt_of_group_going_back(ground, &flight.attempt, reason);
    let step = cutover.step("quiesce");
    let migrations: Vec<Address> = attempt.migrations().cloned().collect();
    attempt.watchdog = flight.attempt.watchdog.clone();
    attempt.epoch = claims::claim(ground, &step, &migrations, None)?;
    for job in &mut attempt.jobs {
        job.epoch = attempt.epoch;
    }
    write_by_hand(ground, cutover, &attempt)?;
    enter(ground, cutover, attempt)?;
    drive(ground, cutover)
}

/// Protocol P16 and P17: a record of its own takes the commit back; then the old side is opened as by any abort.
fn take_back(ground: &Ground, cutover: &Address, reason: &str) -> Result<(), RunError> {
    let epoch = ground.recorder.look(|s| s.cutovers.get(cutover).map_or(0, |c| c.epoch));
    ground.record_settling(Event::CommitTakenBack {
        cutover: cutover.clone(),
        epoch,
        reason: reason.to_owned(),
        held: reason.to_owned(),
    })?;
    abort(ground, cutover, reason, Some(reason.to_owned()))
}

/// Re-opens the side that served before anything else is undone, then records the abort. Nothing stops
/// it; it can be repeated.
pub(super) fn abort(
    ground: &Ground,
    cutover: &Address,
    reason: &str,
    held: Option<String>,
) -> Result<(), RunError> {
    let flight = Flight::read(ground, cutover)?;
    let epoch = flight.attempt.epoch;
    let before = flight.known.aborting.as_ref();
    let taken_back = before.is_some_and(|a| a.taken_back);
    let held = held.or_else(|| before.and_then(|a| a.held.clone()));
    ground.tell(&RunEvent::Aborting { cutover: cutover.clone(), reason: reason.to_owned() });
    // From here on this process re-opens what it closed; it is not to be killed for that.
    let patience = ground.clock.boot_ms().saturating_add(SETTLING_MS);
    let _ = ground.guard.lease(cutover, epoch, patience);
    let intent = ground.record_settling(Event::AbortBegan {
        cutover: cutover.clone(),
        epoch,
        reason: reason.to_owned(),
        held,
    });
    let step = cutover.step("abort");
    let reopened = if taken_back { flight.reopen_after_commit(&step) } else { flight.reopen(&step) };
    if let Err(error) = reopened {
        let error = match error.remedy {
            Some(_) => error,
            None => error.remedy(format!(
                "follow {} to open the {}",
                flight.attempt.by_hand.display(),
                flight.attempt.from
            )),
        };
        return Err(RunError::BothClosed { cutover: cutover.clone(), error });
    }
    // A disk that takes no record must not keep the side closed: opening it is what any settler would do.
    intent?;
    ground.record_settling(Event::SideReopened {
        cutover: cutover.clone(),
        epoch,
        side: flight.attempt.from,
    })?;
    ground.record_settling(Event::Aborted { cutover: cutover.clone(), epoch })?;
    over(&flight);
    ground.tell(&RunEvent::Aborted { cutover: cutover.clone(), live: flight.attempt.from });
    Ok(())
}

impl Flight<'_> {
    /// Opens every side that served, and looks that it is open: a closing call of a dead sender may have landed
    /// meanwhile (protocol P15).
    fn reopen(&self, step: &Address) -> Result<(), StepError> {
        let io = Io::new(self.ground, step).until(Until::Never);
        let open = |member: &Member| {
            let call = &member.close;
            let quiesce = self.ground.registry.quiesce(&call.block)?;
            let work = || {
                quiesce.open(call, &io)?;
                // What cannot be told must not keep a side that was opened from being said to be open.
                match prove::barrier(self.ground, step, call, &Until::Never) {
                    Ok(BarrierState::Open | BarrierState::Unknown(_)) | Err(_) => Ok(()),
                    Ok(BarrierState::Closed(why)) => Err(StepError::transient(format!(
                        "{} was opened and still refuses writes: {why}",
                        call.endpoint.address
                    ))),
                }
            };
            retry(self.ground, step, SETTLING_DEADLINE, || false, work)
        };
        together(&self.attempt.members, open).map(|_| ())
    }

    /// The same after a COMMITTED that is taken back: first the markers say again who serves, and where writers
    /// are to be started the routes lead back before (protocol P12).
    fn reopen_after_commit(&self, step: &Address) -> Result<(), StepError> {
        let plain = |error: RunError| match error {
            RunError::Step { error, .. } | RunError::Setup(error) => error,
            other => StepError::permanent(other.to_string()),
        };
        let migrations: Vec<Address> = self.attempt.migrations().cloned().collect();
        claims::raise_back(self.ground, step, &migrations, self.attempt.epoch, self.attempt.from)
            .map_err(plain)?;
        let writers = self.attempt.members.iter().any(|m| m.close_kind == QuiesceKind::Writers);
        if writers {
            self.point_routes(step, self.attempt.from)?;
            return self.reopen(step);
        }
        self.reopen(step)?;
        self.point_routes(step, self.attempt.from).map(|_| ())
    }
}

/// A read-only file system stops Segue too: where Segue must write to the side that does not serve, and stale writers
/// are reported (the plan sees to that), it is made writable again. A barrier that tells Segue from clients stays
/// closed (protocol P1).
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
        let facts = ground.registry.endpoint(&call.endpoint)?.observe(&call.endpoint, &io)?;
        match facts.barrier {
            Barrier::Identity | Barrier::Name => Ok(()),
            Barrier::None => ground.registry.quiesce(&call.block)?.open(call, &io),
        }
    };
    retry(ground, step, SETTLING_DEADLINE, || false, open).map_err(|e| RunError::step(step, e))
}
