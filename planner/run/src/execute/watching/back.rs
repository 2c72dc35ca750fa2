//! Lost health: going back by itself, or saying loudly why not (protocol P22). No gate is waited for on the way: a
//! person may be asleep, and the side that is left is not healthy.

use segue_contract::{Address, Side, UnitJob, segue};
use segue_plan::cutover::Phase;
use segue_plan::event::{Event, Proof};
use segue_plan::state::CutoverState;

use crate::execute::attempt::attempt_from_state;
use crate::execute::{Ground, RunError, RunEvent, leave};

/// A cutover that lost its health.
struct Lost<'a> {
    ground: &'a Ground,
    cutover: &'a Address,
    known: CutoverState,
    /// The watch, and what it saw.
    said: String,
}

/// Goes back. `Ok` only where no health was lost: the run did not come to what was asked for.
pub(super) fn go_back(ground: &Ground, cutover: &Address) -> Result<(), RunError> {
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned()).unwrap_or_default();
    let Some((watch, said)) = known.watch.as_ref().and_then(|w| w.lost.clone()) else { return Ok(()) };
    let reverse = known.attempt.as_ref().is_some_and(|a| a.reverse);
    let accepted = known.watch.as_ref().is_some_and(|w| w.plan.accept_loss);
    let lost = Lost { ground, cutover, known, said: format!("{watch}: {said}") };
    let tell = |next: String| {
        let (cutover, watch, said) = (cutover.clone(), watch.clone(), said.clone());
        ground.tell(&RunEvent::HealthLost { cutover, watch, said, next });
    };
    let (from, to) = (lost.live().other(), lost.live());
    if !reverse && !accepted {
        tell(format!("it does NOT go back: the {to} keeps serving"));
        let why = format!("there is no reverse sync: going back would lose what the {to} took");
        let remedy = format!(
            "mend the {to}; or set live = {:?} and fallback {{ accept_loss = true }}, and apply",
            from.as_str()
        );
        return Err(lost.kept(why, remedy, false));
    }
    tell(format!("switching back to the {from} by itself"));
    if let Err(error) = lost.run_back() {
        return Err(lost.failed(error));
    }
    let left = lost.now().and_then(|now| now.left);
    let cost = left.map_or_else(
        || format!("0 writes lost, what the {to} took was carried back"),
        |left| format!("the {to} could not be read and was left, {}", left.loses),
    );
    let reason = format!("health was lost at {}; {cost}", lost.said);
    Err(RunError::WentBack { cutover: cutover.clone(), live: from, reason })
}

impl Lost<'_> {
    /// The side that serves and is not healthy.
    fn live(&self) -> Side {
        self.known.live
    }

    /// Reverse passes until they stop shrinking, then the protocol, with no gates; held afterwards (protocol P23).
    fn run_back(&self) -> Result<(), RunError> {
        let Self { ground, cutover, .. } = self;
        let reason = format!("health was lost after the switch: {}", self.said);
        let attempt = attempt_from_state(ground, cutover, &reason, None)?;
        leave::go_back(ground, cutover, attempt)
    }

    /// What a way back that failed comes to.
    fn failed(&self, error: RunError) -> RunError {
        // Both closed: the next command settles. Stopped, or a journal that takes nothing: the next apply goes back.
        if matches!(error, RunError::Interrupted | RunError::Record(_) | RunError::BothClosed { .. }) {
            return error;
        }
        let (cutover, to) = (self.cutover, self.live());
        if self.now().is_some_and(|c| c.epoch != self.known.epoch) {
            let remedy = error.remedy();
            let remedy = remedy
                .unwrap_or_else(|| format!("`{}` tries again", segue(&["switch-back", cutover.as_str()])));
            return self.kept(format!("the switch back did not come through: {error}"), remedy, false);
        }
        if let RunError::Unreadable { why, remedy, .. } = error {
            return self.kept(why, remedy, true);
        }
        if let RunError::Gate { what, remedy, .. } = error {
            return self.kept(format!("the {to} keeps serving: {what}"), remedy, true);
        }
        if let RunError::Deletions { what, remedy, .. } = error {
            return self.kept(
                format!("the {to} is not left: going back would delete ({what})"),
                remedy,
                true,
            );
        }
        let why = format!(
            "the {to} is not left, because what it took since the last reverse pass would be lost{}: {error}",
            self.behind()
        );
        let remedy = format!(
            "make the {to} readable, then `{}`. To leave it all the same: fence it from outside first (power, firewall, credentials), for it may come back, and declare fallback {{ accept_loss = true }}",
            segue(&["switch-back", cutover.as_str()])
        );
        self.kept(why, remedy, true)
    }

    fn now(&self) -> Option<CutoverState> {
        self.ground.recorder.look(|s| s.cutovers.get(self.cutover).cloned())
    }

    /// How old the fallback is.
    fn behind(&self) -> String {
        let now = self.ground.now();
        let jobs = self.known.attempt.as_ref().map(|a| a.jobs.as_slice()).unwrap_or_default();
        let oldest = self.ground.recorder.look(|s| {
            let age = |job: &UnitJob| {
                let unit = s.migrations.get(&job.migration)?.units.get(&job.unit)?;
                unit.passes.last().and_then(|pass| now.since(&pass.began_boot))
            };
            jobs.iter().map(age).try_fold(0, |oldest, one| one.map(|ms| ms.max(oldest)))
        });
        oldest.map(|ms| format!(" ({} s of writes)", ms.div_ceil(1_000))).unwrap_or_default()
    }

    /// Records that the side that serves is kept: the watch is over, and the run says what is wrong.
    fn kept(&self, why: String, remedy: String, held: bool) -> RunError {
        let (ground, cutover) = (self.ground, self.cutover);
        let now = self.now().unwrap_or_default();
        let lost = self.said.clone();
        let refused = Event::BackRefused {
            cutover: cutover.clone(),
            epoch: now.epoch,
            why: format!("health was lost after the switch ({lost}); {why}"),
            held,
        };
        if let Err(error) = ground.record(refused) {
            return error;
        }
        if now.phase == Phase::Watching {
            let (phase, said) = (Phase::Soaking, format!("health was lost: {lost}"));
            let soaking = Event::PhaseReached {
                cutover: cutover.clone(),
                epoch: now.epoch,
                phase,
                proof: Proof { said: said.clone(), ..Proof::default() },
                took_us: 0,
            };
            if let Err(error) = ground.record_settling(soaking) {
                return error;
            }
            ground.tell(&RunEvent::Phase { cutover: cutover.clone(), phase, took_us: 0, said });
        }
        RunError::Unhealthy { cutover: cutover.clone(), live: now.live, lost, why, remedy }
    }
}
