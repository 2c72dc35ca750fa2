//! Watching: after a switch every watch is looked at for its time, while reverse passes keep the old side fresh.
//! Lost health switches back by itself (protocol P22), by the same path as `segue switch-back`.
//!
//! Time in which nobody looked does not count: a run that goes on after a death watches for what remains.

mod back;
mod looking;

pub(super) use looking::ask;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segue_contract::Address;
use segue_plan::event::{Attempt, Event, Watch, WatchPlan};
use segue_plan::plan::StepKind;
use segue_plan::state::CutoverState;

use super::drive::drive;
use super::ground::micros;
use super::passes::{self, Wanted};
use super::unit::UnitRef;
use super::{Ground, RunError, RunEvent, goals};

/// Whether what is left of an attempt is watching, which takes long, and nobody attends to signals: whoever only
/// settles what died leaves it to the next apply.
pub(super) fn is_for_an_apply(ground: &Ground, known: &CutoverState) -> bool {
    known.watches() && !ground.control.attended()
}

/// Goes on with what a run that died, or was stopped, still watched or was on the way back from.
pub(super) fn go_on(ground: &Ground, cutover: &Address) -> Result<(), RunError> {
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned()).unwrap_or_default();
    if known.watches() {
        return drive(ground, cutover);
    }
    if known.goes_back() { back::go_back(ground, cutover) } else { Ok(()) }
}

/// Watches until every watch's time is over. Says what was seen; `None`: there is nothing to watch.
///
/// # Errors
/// Health was lost and the cutover went back, or should have and could not; or somebody asked to stop.
pub(super) fn watch(
    ground: &Ground,
    cutover: &Address,
    attempt: &Attempt,
    known: &CutoverState,
) -> Result<Option<String>, RunError> {
    let Some(state) = known.watch.as_ref().filter(|_| known.watches()) else { return Ok(None) };
    if known.goes_back() {
        return back::go_back(ground, cutover).map(|()| None);
    }
    let watching = Watching {
        ground,
        cutover,
        attempt,
        plan: &state.plan,
        before_ms: state.watched_so_far_ms(),
        began_ms: ground.clock.boot_ms(),
        ended: AtomicBool::new(false),
        lost: Arc::default(),
        outcome: Mutex::default(),
    };
    let began = std::time::Instant::now();
    ground.record(Event::WatchBegan {
        cutover: cutover.clone(),
        epoch: attempt.epoch,
        watched_ms: watching.before_ms,
        at: ground.now(),
    })?;
    for watch in &state.plan.watches {
        ground.begin_step(&watch.block.address, StepKind::Watch)?;
    }
    ground.control.goals(|goals| goals.watch(cutover, true));
    watching.all();
    ground.control.goals(|goals| goals.watch(cutover, false));
    let Outcome { error, lost, said } = watching.lock().take();
    if let Some(error) = error {
        return Err(error);
    }
    if lost.is_none() && ground.control.stopping() {
        return Err(RunError::Interrupted);
    }
    for watch in &state.plan.watches {
        let address = &watch.block.address;
        let said = said.iter().find(|(of, _)| of == address).map(|(_, said)| said.clone());
        ground.end_step(address, StepKind::Watch, said.unwrap_or_default(), micros(began))?;
    }
    let asked = goals::serve(ground, Some(cutover), None).into_iter().next();
    match lost {
        // Whoever asks for the way back and the lost health want the same; a way back that failed is tried once more.
        Some(_) if asked.as_ref().is_none_or(|(_, _, result)| result.is_err()) => {
            back::go_back(ground, cutover).map(|()| None)
        }
        _ if asked.is_some() => asked.map_or(Ok(None), |asked| went_back(attempt, asked)),
        _ => {
            let said: Vec<String> = said.iter().map(|(of, said)| format!("{of}: {said}")).collect();
            Ok(Some(said.join("; ")))
        }
    }
}

/// The way back that somebody asked for ends the watch: the run did not come to what was asked of it first.
fn went_back(
    attempt: &Attempt,
    (cutover, reason, result): (Address, String, Result<(), RunError>),
) -> Result<Option<String>, RunError> {
    result.and(Err(RunError::WentBack { cutover, live: attempt.from, reason }))
}

/// What the threads that look came to.
#[derive(Default)]
struct Outcome {
    /// The journal failed.
    error: Option<RunError>,
    /// The watch that lost health, and what it saw.
    lost: Option<(Address, String)>,
    /// What each watch came to.
    said: Vec<(Address, String)>,
}

impl Outcome {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// One watching, shared by the threads that look.
struct Watching<'a> {
    ground: &'a Ground,
    cutover: &'a Address,
    attempt: &'a Attempt,
    plan: &'a WatchPlan,
    /// How long it was watched before, in milliseconds.
    before_ms: u64,
    /// When this began, boot clock.
    began_ms: u64,
    /// Whether there is nothing more to look at.
    ended: AtomicBool,
    /// Whether health is lost: no pass is waited for then.
    lost: Arc<AtomicBool>,
    outcome: Mutex<Outcome>,
}

impl Watching<'_> {
    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched_ms(&self) -> u64 {
        self.before_ms.saturating_add(self.ground.clock.boot_ms().saturating_sub(self.began_ms))
    }

    fn over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
            || self.ground.control.stopping()
            || self.ground.control.goal_waits(Some(self.cutover))
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.ground.control.nudge();
    }

    /// Looks at all watches beside each other, and keeps the old side fresh meanwhile.
    fn all(&self) {
        std::thread::scope(|scope| {
            let lookers: Vec<_> =
                self.plan.watches.iter().map(|watch| scope.spawn(|| self.looks(watch))).collect();
            scope.spawn(|| self.keep_fresh());
            for looker in lookers {
                // A look that panicked has seen nothing: nobody may take that for health.
                if looker.join().is_err() {
                    let said = "a watch stopped by a defect of segue".to_owned();
                    self.lock()
                        .error
                        .get_or_insert(RunError::Setup(segue_contract::StepError::permanent(said)));
                }
            }
            self.end();
        });
    }

    fn looks(&self, watch: &Watch) {
        match looking::look_until_over(self, watch) {
            Ok(said) => self.lock().said.push((watch.block.address.clone(), said)),
            Err(error) => {
                self.lock().error.get_or_insert(error);
                self.end();
            }
        }
    }

    /// Health is lost: the first watch that says so decides.
    fn lose(&self, watch: &Watch, said: &str) -> Result<(), RunError> {
        {
            let mut outcome = self.lock();
            if outcome.lost.is_some() {
                return Ok(());
            }
            outcome.lost = Some((watch.block.address.clone(), said.to_owned()));
        }
        // Going back needs passes, and nobody's pause may delay it.
        self.ground.resume("health was lost");
        // Before anything is done about it: whoever comes after a death goes back, too.
        let recorded = self.ground.record(Event::HealthLost {
            cutover: self.cutover.clone(),
            epoch: self.attempt.epoch,
            watch: watch.block.address.clone(),
            said: said.to_owned(),
        });
        self.lost.store(true, Ordering::SeqCst);
        self.end();
        recorded
    }

    /// Reverse passes at the migrations' interval, several at once.
    fn keep_fresh(&self) {
        let (ground, cutover) = (self.ground, self.cutover);
        if !self.attempt.reverse {
            ground.tell(&RunEvent::Fallback { cutover: cutover.clone(), behind_ms: None });
            return;
        }
        let units = self.attempt.jobs.iter().map(|job| {
            let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
            (unit, self.plan.sync_interval_ms)
        });
        let units: Vec<Wanted> = units.collect();
        if let Err(error) = passes::keep_fresh(ground, cutover, &units, &self.lost, &|| self.over()) {
            let text = format!("{cutover}: reverse passes ended, the fallback grows older: {error}");
            ground.tell(&RunEvent::Said { text });
        }
    }
}
