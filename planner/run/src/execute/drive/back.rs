//! The ways back: an abort before COMMITTED, a commit that is taken back, a group that goes back.

use std::time::Instant;

use segue_contract::{Address, BarrierState, ErrorClass, QuiesceKind, RouteAt, StepError};
use segue_plan::cutover::{Action, Failed, Phase, Retreat, retreat};
use segue_plan::event::{Attempt, Event, Member};

use super::super::attempt::{attempt_going_back_again, attempt_of_group_going_back, write_by_hand};
use super::super::ground::micros;
use super::super::io::{Io, Until};
use super::super::retry::retry;
use super::super::together::together;
use super::super::{Ground, RunError, RunEvent, claims, prove, weights};
use super::perform::step_of;
use super::{Flight, SETTLING_DEADLINE, drive, enter, over};
use crate::lease::SETTLING_MS;

pub(super) fn fail_after_commit(
    flight: &Flight<'_>,
    act: Action,
    step: &Address,
    error: RunError,
) -> Result<(), RunError> {
    let (ground, cutover) = (flight.ground, flight.cutover);
    // When it cannot be told, what failed first is what is said.
    let by_hand = flight.known.phase == Phase::Committed && flight.opened_by_hand(act).unwrap_or(false);
    ground.note_failure(step, &error);
    // This process is alive, and what comes now takes its time.
    ground.guard.forward(cutover, ground.clock.boot_ms().saturating_add(SETTLING_MS));
    let reason = if by_hand {
        "the old side was opened by hand before the new one".to_owned()
    } else {
        format!("the {} could not be opened: {error}", flight.attempt.to)
    };
    // Read again: members that opened meanwhile are in the journal.
    let now = Flight::read(ground, cutover)?;
    match now.retreat(act, &error, by_hand) {
        Retreat::TakeBack => {
            take_back(ground, cutover, &reason)?;
            Err(RunError::Aborted { cutover: cutover.clone(), live: flight.attempt.from, reason })
        }
        Retreat::GroupGoesBack => {
            group_goes_back(&now, &reason)?;
            Err(RunError::WentBack { cutover: cutover.clone(), live: flight.attempt.from, reason })
        }
        Retreat::None => Err(match error {
            RunError::Step { error, .. } | RunError::Setup(error) if now.someone_is_closed() => {
                let by_hand = flight.attempt.by_hand.clone();
                RunError::BothClosed { cutover: cutover.clone(), error, by_hand }
            }
            other => other,
        }),
    }
}

impl Flight<'_> {
    fn retreat(&self, act: Action, error: &RunError, by_hand: bool) -> Retreat {
        if self.attempt.leaves.is_some() {
            // The side that served is fenced: there is only the way on.
            return Retreat::None;
        }
        // A call whose outcome is unknown may still land.
        let outcome_known = match error {
            RunError::Step { error, .. } | RunError::Setup(error) => error.class != ErrorClass::Unknown,
            _ => false,
        };
        let failed = Failed {
            act,
            by_hand,
            outcome_known,
            some_opened: !self.known.opened.is_empty(),
            reverse: self.attempt.reverse,
        };
        retreat(failed, || self.proven_closed(act))
    }

    fn proven_closed(&self, act: Action) -> bool {
        let step = self.step(step_of(act));
        let closed = self.attempt.members.iter().all(|member| {
            let seen = prove::barrier(self.ground, &step, &member.open, &Until::Never);
            matches!(seen, Ok(BarrierState::Closed(_)))
        });
        // A route that cannot even be told is no way back either: it is mended, and the switch completed.
        let io = Io::new(self.ground, &step).until(Until::Never);
        let routable = self.attempt.routes.iter().all(|block| {
            let seen = self.ground.registry.route(block).and_then(|route| route.observe(block, &io));
            matches!(seen, Ok(RouteAt::Side(_) | RouteAt::Weighted(_)))
        });
        closed && routable
    }

    /// Whether the clients of some member are refused on both of its sides.
    fn someone_is_closed(&self) -> bool {
        self.known.phase.is_pause() && self.known.opened.len() < self.attempt.members.len()
    }

    /// Protocol P17: the operator opened an old side by hand, and nothing was begun that opens the new one.
    pub(super) fn opened_by_hand(&self, act: Action) -> Result<bool, RunError> {
        // Of a side that cannot be read nobody can tell; it is fenced.
        if !matches!(act, Action::RaiseAndOpen | Action::RaiseAndRoute) || self.attempt.leaves.is_some() {
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
    enter_going_back(flight, attempt_of_group_going_back(ground, &flight.attempt, reason))
}

/// Settles a group's way back that died before its COMMITTED: by going back once more. The side that an abort would
/// open is the one of which some member could not be opened, so that both might stay closed for ever.
pub(in super::super) fn go_back_again(ground: &Ground, cutover: &Address) -> Result<(), RunError> {
    let flight = Flight::read(ground, cutover)?;
    enter_going_back(&flight, attempt_going_back_again(ground, &flight.attempt))
}

fn enter_going_back(flight: &Flight<'_>, mut attempt: Attempt) -> Result<(), RunError> {
    let (ground, cutover) = (flight.ground, flight.cutover);
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
pub(in super::super) fn abort(
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
    let _ = ground.guard.lease(cutover, epoch, patience, SETTLING_MS);
    let intent = ground.record_settling(Event::AbortBegan {
        cutover: cutover.clone(),
        epoch,
        reason: reason.to_owned(),
        held,
    });
    let step = cutover.step("abort");
    let began = Instant::now();
    let reopened = match (taken_back, flight.known.in_part) {
        (true, _) => flight.reopen_after_commit(&step),
        // The switch that this attempt was to undo may not have come to its routes.
        (false, true) => flight.reopen_and_route(&step),
        (false, false) => flight.reopen(&step),
    };
    if let Err(error) = reopened {
        let error = match error.remedy {
            Some(_) => error,
            None => error.remedy(format!(
                "follow {} to open the {}",
                flight.attempt.by_hand.display(),
                flight.attempt.from
            )),
        };
        let by_hand = flight.attempt.by_hand.clone();
        return Err(RunError::BothClosed { cutover: cutover.clone(), error, by_hand });
    }
    // A disk that takes no record must not keep the side closed: opening it is what any settler would do.
    intent?;
    ground.record_settling(Event::SideReopened {
        cutover: cutover.clone(),
        epoch,
        side: flight.attempt.from,
        took_us: Some(micros(began)),
    })?;
    // Clients' writes come first; what they read follows, before the abort is said to be complete (protocol P15).
    weights::take_back(ground, cutover)?;
    ground.record_settling(Event::Aborted { cutover: cutover.clone(), epoch })?;
    over(&flight);
    ground.tell(&RunEvent::Aborted { cutover: cutover.clone(), live: flight.attempt.from });
    Ok(())
}

impl Flight<'_> {
    /// Opens every side that served, and looks that it is open: a closing call of a dead sender may have landed
    /// meanwhile (protocol P15).
    fn reopen(&self, step: &Address) -> Result<(), StepError> {
        if self.attempt.leaves.is_some() {
            self.reopen_what_answers(step);
            return Ok(());
        }
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

    /// The same after a COMMITTED that is taken back: first the markers say again who serves.
    fn reopen_after_commit(&self, step: &Address) -> Result<(), StepError> {
        let plain = |error: RunError| match error {
            RunError::Step { error, .. } | RunError::Setup(error) => error,
            other => StepError::permanent(other.to_string()),
        };
        let migrations: Vec<Address> = self.attempt.migrations().cloned().collect();
        claims::raise_back(self.ground, step, &migrations, self.attempt.epoch, self.attempt.from)
            .map_err(plain)?;
        self.reopen_and_route(step)
    }

    /// Where writers are to be started the routes lead back before (protocol P12), elsewhere after.
    fn reopen_and_route(&self, step: &Address) -> Result<(), StepError> {
        let writers = self.attempt.members.iter().any(|m| m.close_kind == QuiesceKind::Writers);
        if writers {
            self.point_routes(step, self.attempt.from)?;
            return self.reopen(step);
        }
        self.reopen(step)?;
        self.point_routes(step, self.attempt.from).map(|_| ())
    }
}
