//! The board: what a run is doing right now, gathered from what it tells, so that whoever asks over the control socket
//! sees it at once. Bounded, in memory, gone with the run; the journal holds what counts.

mod live;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use segue_contract::{Address, Finding, Progress, Wait, waits};
use segue_plan::cutover::Forecast;
use segue_plan::plan::{Plan, Stage, StepKind};

use super::brake::Brakes;
use super::talk::RunEvent;
use crate::clock::rfc3339;
pub use live::{HeldUp, Live, LiveGate, LiveStage, LiveStep, Told};

/// Messages that are kept: a screenful.
const TOLD_MAX: usize = 60;
/// Entries of a list inside a message: the journal has them all.
const NAMED_MAX: usize = 5;
/// Running steps and gates that are shown; the dispatcher runs fewer.
const SHOWN_MAX: usize = 200;
/// What holds steps up is told of so many; the rest is counted.
const HELD_UP_MAX: usize = 8;
/// A wait is shown when it is this old.
const WAITS_SHOWN: Duration = Duration::from_secs(2);
/// Rates are measured over at least this long.
const RATE_EVERY: Duration = Duration::from_millis(500);

/// Gathers it.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    steps: BTreeMap<Address, Running>,
    gates: BTreeMap<Address, (LiveGate, Instant)>,
    /// The plan's steps: whether each is done.
    plan: BTreeMap<Address, (Stage, bool)>,
    plan_hash: String,
    /// How often each step failed in a row, and since when.
    failing: BTreeMap<Address, (u32, Instant)>,
    follows: bool,
    /// What was found, by code and summary.
    found: BTreeSet<(String, String)>,
    forecasts: BTreeMap<Address, Forecast>,
    told: VecDeque<Told>,
    /// Steps that are ready and wait for a slot.
    queue: Vec<HeldUp>,
}

#[derive(Debug)]
struct Running {
    shown: LiveStep,
    /// Until when it waits to be tried again, wall clock, milliseconds; since when, and after what.
    again: Option<(i64, i64, String)>,
    /// Whether it was begun as a step (a pass that follows is not).
    begun: bool,
    measured: Instant,
    at: Progress,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run goes on with passes when its plan is done.
    pub fn follows(&self) {
        self.lock().follows = true;
    }

    /// A plan is about to be executed.
    pub(super) fn planned(&self, plan: &Plan) {
        let mut inner = self.lock();
        inner.plan_hash.clone_from(&plan.hash);
        inner.plan = plan.steps.iter().map(|s| (s.address.clone(), (s.stage, s.done))).collect();
    }

    /// These steps are ready, and wait because as many others of their kind run as may run at once.
    pub(super) fn queue(&self, steps: &[(Address, usize)], now_ms: i64) {
        let mut inner = self.lock();
        let since = |step: &Address| {
            inner.queue.iter().find(|h| h.step == *step).map_or(now_ms, |known| known.since_ms)
        };
        let queued = steps.iter().map(|(step, slots)| HeldUp {
            step: step.clone(),
            why: format!("waits for one of the {slots} slots, all are taken"),
            since_ms: since(step),
        });
        let queued: Vec<HeldUp> = queued.collect();
        inner.queue = queued;
    }

    /// A gate was looked at.
    pub(super) fn gate(&self, shown: LiveGate) {
        self.lock().gates.insert(shown.gate.clone(), (shown, Instant::now()));
    }

    /// Whether nothing of this run has found it before.
    pub(super) fn is_new(&self, finding: &Finding) -> bool {
        self.lock().found.insert((finding.code.clone(), finding.summary.clone()))
    }

    /// A failure that is tried again, with how often and since when.
    pub(super) fn counted(&self, event: &RunEvent) -> Option<RunEvent> {
        let RunEvent::StepRetried { step, .. } = event else { return None };
        let mut inner = self.lock();
        let known = inner.failing.entry(step.clone()).or_insert((0, Instant::now()));
        known.0 = known.0.saturating_add(1);
        let (of, since) = *known;
        let mut counted = event.clone();
        if let RunEvent::StepRetried { tries, failing_ms, .. } = &mut counted {
            (*tries, *failing_ms) = (of, u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        Some(counted)
    }

    /// Takes what a run tells.
    pub(super) fn note(&self, at_ms: i64, event: &RunEvent) {
        let mut inner = self.lock();
        match event {
            RunEvent::StepStarted { step, kind, resumed: _ } => inner.begin(step, *kind, at_ms, true),
            RunEvent::StepProgress { step, progress } => return inner.progress(step, *progress, at_ms),
            RunEvent::StepFinished { step, .. } => {
                inner.failing.remove(step);
                inner.steps.remove(step);
                if let Some((_, done)) = inner.plan.get_mut(step) {
                    *done = true;
                }
                inner.gates.remove(step);
            }
            RunEvent::StepFailed { step, .. } => {
                inner.failing.remove(step);
                inner.steps.remove(step);
            }
            RunEvent::StepRetried { step, message, after_ms, tries, .. } => {
                let times =
                    if *tries > 1 { format!(", failing {tries} times in a row") } else { String::new() };
                let message = &format!("{message}{times}");
                inner.retried(step, message, *after_ms, at_ms);
            }
            RunEvent::Carried { step, .. } | RunEvent::Compared { step, .. } => inner.round(step),
            RunEvent::Forecast { cutover, forecast } => {
                inner.forecasts.insert(cutover.clone(), forecast.clone());
            }
            RunEvent::Phase { cutover, phase, .. } => inner.phase(cutover, *phase),
            RunEvent::GateWaits { .. }
            | RunEvent::WatchRead { .. }
            | RunEvent::Fallback { .. }
            | RunEvent::Rehearsed { .. }
            | RunEvent::HealthLost { .. }
            | RunEvent::Aborting { .. }
            | RunEvent::Aborted { .. }
            | RunEvent::Settling { .. }
            | RunEvent::Found { .. }
            | RunEvent::Stopping { .. }
            | RunEvent::Slowed { .. }
            | RunEvent::Said { .. } => {}
        }
        inner.told.push_back(Told { at_ms, event: shortened(event) });
        while inner.told.len() > TOLD_MAX {
            inner.told.pop_front();
        }
    }

    /// Everything, with the brakes of the moment.
    pub(super) fn show(&self, brakes: Brakes) -> Live {
        let inner = self.lock();
        let mut stages: BTreeMap<Stage, LiveStage> = BTreeMap::new();
        for (stage, done) in inner.plan.values() {
            let entry = stages.entry(*stage).or_insert(LiveStage { stage: *stage, done: 0, of: 0 });
            entry.of += 1;
            entry.done += u64::from(*done);
        }
        let gates = inner.gates.values().take(SHOWN_MAX).map(|(gate, at)| {
            let since_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
            LiveGate { left_ms: gate.left_ms.saturating_sub(since_ms), ..gate.clone() }
        });
        let (held_up, held_up_more) = inner.held_up();
        Live {
            brakes,
            held_up,
            held_up_more,
            steps: inner.steps.values().take(SHOWN_MAX).map(|r| r.shown.clone()).collect(),
            gates: gates.collect(),
            stages: stages.into_values().collect(),
            forecasts: inner.forecasts.clone(),
            plan_hash: inner.plan_hash.clone(),
            waits: waits(WAITS_SHOWN).iter().take(HELD_UP_MAX).map(Wait::text).collect(),
            follows: inner.follows,
            told: inner.told.iter().cloned().collect(),
        }
    }
}

impl Inner {
    fn begin(&mut self, step: &Address, kind: StepKind, began_ms: i64, begun: bool) {
        let shown = LiveStep {
            step: step.clone(),
            kind,
            began_ms,
            progress: Progress::default(),
            bytes_per_s: 0.0,
            records_per_s: 0.0,
            retrying: None,
        };
        let running =
            Running { shown, again: None, begun, measured: Instant::now(), at: Progress::default() };
        self.steps.insert(step.clone(), running);
    }

    fn retried(&mut self, step: &Address, message: &str, after_ms: u64, now_ms: i64) {
        if !self.steps.contains_key(step) {
            self.begin(step, StepKind::Sync, now_ms, false);
        }
        if let Some(running) = self.steps.get_mut(step) {
            let until_ms = now_ms.saturating_add(i64::try_from(after_ms).unwrap_or(i64::MAX));
            running.shown.retrying = Some(message.to_owned());
            running.again = Some((until_ms, now_ms, message.to_owned()));
        }
    }

    /// The first of what waits, and how much more there is.
    fn held_up(&self) -> (Vec<HeldUp>, u64) {
        let again = self.steps.values().filter_map(|running| {
            let (until_ms, since_ms, message) = running.again.as_ref()?;
            let at = rfc3339(*until_ms);
            let why = format!("tried again at {} after: {message}", at.get(11..19).unwrap_or(&at));
            Some(HeldUp { step: running.shown.step.clone(), why, since_ms: *since_ms })
        });
        let mut all: Vec<HeldUp> = again.chain(self.queue.iter().cloned()).collect();
        let more = all.len().saturating_sub(HELD_UP_MAX) as u64;
        all.truncate(HELD_UP_MAX);
        (all, more)
    }

    /// What makes progress without having been begun is a pass that follows.
    fn progress(&mut self, step: &Address, progress: Progress, now_ms: i64) {
        if !self.steps.contains_key(step) {
            self.begin(step, StepKind::Sync, now_ms, false);
        }
        if let Some(running) = self.steps.get_mut(step) {
            running.advance(progress);
        }
    }

    /// A load, pass or comparison is through: a step may go on with the next one.
    fn round(&mut self, step: &Address) {
        self.failing.remove(step);
        match self.steps.get_mut(step) {
            Some(running) if running.begun => {
                running.shown.progress = Progress::default();
                running.shown.retrying = None;
                running.again = None;
                running.at = Progress::default();
                running.measured = Instant::now();
            }
            _ => {
                self.steps.remove(step);
            }
        }
    }

    /// The steps of a cutover have no beginning and end of their own: its phases say how far it is.
    fn phase(&mut self, cutover: &Address, phase: segue_plan::cutover::Phase) {
        use segue_plan::cutover::Phase;
        let kinds: &[&str] = match phase {
            Phase::Drained => &["quiesce", "drain"],
            Phase::Fenced => &["fence"],
            Phase::CaughtUp => &["catch_up"],
            Phase::Verified => &["verify_residual"],
            Phase::Hardened => &["harden"],
            Phase::ReverseArmed => &["arm_reverse"],
            Phase::Committed => &["commit"],
            Phase::Opened | Phase::Started => &["open"],
            Phase::Routed => &["switch"],
            Phase::Watching => &["open", "switch"],
            Phase::Soaking => &["watch", "retain"],
            Phase::Ready | Phase::Quiescing | Phase::Finished | Phase::Aborting => &[],
        };
        for kind in kinds {
            if let Some((_, done)) = self.plan.get_mut(&cutover.step(kind)) {
                *done = true;
            }
        }
    }
}

impl Running {
    fn advance(&mut self, progress: Progress) {
        self.shown.retrying = None;
        self.again = None;
        self.shown.progress = progress;
        let passed = self.measured.elapsed();
        if progress.bytes < self.at.bytes || progress.records < self.at.records {
            // It began anew.
            (self.at, self.measured) = (progress, Instant::now());
        } else if passed >= RATE_EVERY {
            let per_s = |now: u64, before: u64| (now - before) as f64 / passed.as_secs_f64();
            let smooth = |old: f64, new: f64| if old == 0.0 { new } else { 0.6 * old + 0.4 * new };
            self.shown.bytes_per_s = smooth(self.shown.bytes_per_s, per_s(progress.bytes, self.at.bytes));
            self.shown.records_per_s =
                smooth(self.shown.records_per_s, per_s(progress.records, self.at.records));
            (self.at, self.measured) = (progress, Instant::now());
        }
    }
}

/// The message with its lists cut: totals stay, the journal has the rest.
fn shortened(event: &RunEvent) -> RunEvent {
    let mut event = event.clone();
    match &mut event {
        RunEvent::Carried { report, .. } => {
            report.set_aside.truncate(NAMED_MAX);
            report.stale.truncate(NAMED_MAX);
        }
        RunEvent::Compared { report, .. } => report.mismatches.truncate(NAMED_MAX),
        _ => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(n: usize) -> RunEvent {
        RunEvent::Said { text: n.to_string() }
    }

    #[test]
    fn the_board_is_bounded_and_keeps_the_last_messages() {
        let board = Board::default();
        (0..500).for_each(|n| board.note(n as i64, &said(n)));
        let live = board.show(Brakes::default());
        assert_eq!(live.told.len(), TOLD_MAX);
        assert_eq!(live.told.last().map(|t| t.event.clone()), Some(said(499)));
    }

    #[test]
    fn what_waits_for_a_try_or_a_slot_is_told_until_it_goes_on() {
        let board = Board::default();
        let (step, other) =
            (Address::new("migration.a.unit[\"tree\"].load"), Address::new("migration.b.check"));
        let began = RunEvent::StepStarted { step: step.clone(), kind: StepKind::Load, resumed: false };
        board.note(0, &began);
        let message = "the disk is away".to_owned();
        let retried = RunEvent::retried(step.clone(), message, 400, None);
        board.note(1_000, &board.counted(&retried).expect("a failure is counted"));
        board.queue(&[(other.clone(), 16)], 2_000);
        board.queue(&[(other.clone(), 16)], 9_000);
        let live = board.show(Brakes::default());
        assert_eq!(
            live.slowed(),
            [
                format!("{step}: tried again at 00:00:01 after: the disk is away"),
                format!("{other}: waits for one of the 16 slots, all are taken"),
            ]
        );
        assert_eq!(live.held_up[1].since_ms, 2_000, "it has waited since then");
        board.note(
            3_000,
            &RunEvent::StepProgress { step, progress: Progress { records: 1, ..Progress::default() } },
        );
        board.queue(&[], 3_000);
        assert!(board.show(Brakes::default()).slowed().is_empty());
        let many: Vec<(Address, usize)> =
            (0..100).map(|n| (Address::new(format!("migration.m{n}.check")), 16)).collect();
        board.queue(&many, 4_000);
        let live = board.show(Brakes::default());
        assert_eq!((live.held_up.len(), live.held_up_more), (HELD_UP_MAX, 100 - HELD_UP_MAX as u64));
    }

    #[test]
    fn a_pass_that_follows_is_shown_while_it_moves_and_a_step_until_it_ends() {
        let board = Board::default();
        let steps = |board: &Board| -> Vec<(String, u64)> {
            let live = board.show(Brakes::default());
            live.steps.iter().map(|s| (s.step.to_string(), s.progress.records)).collect()
        };
        let step = Address::new("migration.a.unit[\"tree\"].sync");
        let progress = Progress { records: 3, ..Progress::default() };
        let carried = RunEvent::Carried {
            step: step.clone(),
            load: false,
            report: segue_contract::PassReport {
                ledger: segue_contract::ArtifactName("l".into()),
                position: segue_contract::Position("p".into()),
                records_seen: 3,
                records_written: 3,
                records_deleted: 0,
                bytes_written: 9,
                set_aside: Vec::new(),
                set_aside_total: 0,
                stale: Vec::new(),
                stale_total: 0,
                times: segue_contract::PassTimes::default(),
                kept_deleted: None,
                audit: segue_contract::AuditReport::default(),
            },
            took_us: 5,
        };
        board.note(0, &RunEvent::StepProgress { step: step.clone(), progress });
        assert_eq!(steps(&board), [(step.to_string(), 3)]);
        board.note(0, &carried);
        assert_eq!(steps(&board), []);
        board.note(0, &RunEvent::StepStarted { step: step.clone(), kind: StepKind::Sync, resumed: false });
        board.note(0, &RunEvent::StepProgress { step: step.clone(), progress });
        board.note(0, &carried);
        assert_eq!(steps(&board), [(step.to_string(), 0)], "the step goes on with its next pass");
        let ended = RunEvent::StepFinished { step, kind: StepKind::Sync, said: String::new(), took_us: 1 };
        board.note(0, &ended);
        assert_eq!(steps(&board), []);
    }
}
