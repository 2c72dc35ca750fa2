//! What the screen shows, as data: made from facts and the time, without a terminal.

mod cutovers;
mod units;

use std::collections::VecDeque;

use segue_contract::Address;
use segue_plan::cutover::Phase;
use segue_plan::event::BootTime;
use segue_plan::plan::Stage;
use segue_plan::state::State;
use segue_run::clock::rfc3339;
use segue_run::execute::{Live, LiveGate};

use super::source::Fresh;
use crate::printer::Look;
use crate::progress::phrase::phrase;
use crate::render::quantity::millis;
use crate::render::status::Now;

/// How much lag is remembered: a sample a second for ten minutes.
const SAMPLES_MAX: usize = 600;
const SAMPLE_EVERY_MS: u64 = 1_000;

/// The facts that are known by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    state: State,
    live: Option<Live>,
    holder: Option<String>,
    notices: Vec<String>,
    /// Whether anything has been heard at all.
    heard: bool,
}

impl Facts {
    pub(super) fn take(&mut self, fresh: Fresh) {
        let Fresh { state, live, holder, notices } = fresh;
        if let Some(state) = state {
            self.state = state;
        }
        (self.live, self.holder, self.notices, self.heard) = (live, holder, notices, true);
    }
}

/// The worst lag over time, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Option<f64>>,
    sampled_ms: Option<u64>,
}

impl History {
    fn sample(&mut self, now: &Now, lag_ms: Option<u64>) {
        if self.sampled_ms.is_some_and(|at| now.boot_ms.saturating_sub(at) < SAMPLE_EVERY_MS) {
            return;
        }
        self.sampled_ms = Some(now.boot_ms);
        self.samples.push_back(lag_ms.map(|ms| ms as f64));
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }
}

/// What the screen shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    /// Whether an apply answers.
    pub(super) runs: bool,
    /// Who runs, or what is waited for.
    pub(super) title: String,
    /// The time, to the second.
    pub(super) clock: String,
    /// Whether somebody paused the run.
    pub(super) paused: bool,
    /// What slows it down, and what else to know.
    pub(super) warnings: Vec<String>,
    /// How much of each stage of the plan is done.
    pub(super) stages: Vec<StageView>,
    pub(super) cutovers: Vec<CutoverView>,
    pub(super) units: Vec<UnitView>,
    pub(super) conditions: Vec<ConditionView>,
    /// The worst lag, a sample a second, newest last.
    pub(super) lag: Vec<Option<f64>>,
    pub(super) lag_ms: Option<u64>,
    /// Newest last.
    pub(super) messages: Vec<String>,
    /// The plan that waits for an approval.
    pub(super) approvable: Option<String>,
    /// The cutover whose pause is under way.
    pub(super) closing: Option<Address>,
}

/// A stage of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StageView {
    pub(super) name: &'static str,
    pub(super) done: u64,
    pub(super) of: u64,
}

/// A cutover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutoverView {
    pub(super) cutover: String,
    pub(super) serves: String,
    /// Whether clients can write, and since when not.
    pub(super) writes: String,
    pub(super) writes_paused: bool,
    /// Where it is, and how long it took to get there.
    pub(super) phase: String,
    /// The predicted pause, or that of the last switch.
    pub(super) pause: String,
    /// What going back now would lose.
    pub(super) back: String,
    pub(super) loses: bool,
    pub(super) held: Option<String>,
}

/// A unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnitView {
    pub(super) name: String,
    pub(super) doing: String,
    /// How far the running step is; `None`: nothing runs, or nobody knows.
    pub(super) part: Option<f64>,
    /// Rate and time left.
    pub(super) pace: String,
    pub(super) lag: String,
    pub(super) verified: String,
    /// What somebody has to look after.
    pub(super) trouble: Option<String>,
}

/// A gate or a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConditionView {
    pub(super) word: &'static str,
    pub(super) good: bool,
    pub(super) name: String,
    pub(super) said: String,
    pub(super) left: String,
}

impl Model {
    /// Makes it; the lag of the moment is remembered.
    pub(super) fn of(facts: &Facts, history: &mut History, now: &Now) -> Self {
        let Facts { state, live, holder, notices, heard } = facts;
        let boot = BootTime { ms: now.boot_ms, boot_id: now.boot_id.clone() };
        let lag_ms = units::worst_lag(state, &boot);
        if *heard {
            history.sample(now, lag_ms);
        }
        let brakes = live.as_ref().map(|l| l.brakes.clone()).unwrap_or_default();
        let conditions = live.iter().flat_map(|l| l.gates.iter().map(gate)).chain(watches(state, &boot));
        let closing = state.in_flight().find(|(_, c)| c.phase != Phase::Watching).map(|(a, _)| a.clone());
        Self {
            runs: live.is_some(),
            title: title(facts, holder.as_deref(), now),
            clock: rfc3339(now.wall_ms).get(11..19).unwrap_or_default().to_owned(),
            paused: brakes.paused.is_some(),
            warnings: live.iter().flat_map(Live::slowed).chain(notices.iter().cloned()).collect(),
            stages: live.iter().flat_map(|l| &l.stages).map(stage).collect(),
            cutovers: cutovers::views(state, live.as_ref(), now, &boot),
            units: units::views(state, live.as_ref(), now, &boot),
            conditions: conditions.collect(),
            lag: history.samples.iter().copied().collect(),
            lag_ms,
            messages: live.iter().flat_map(messages).collect(),
            approvable: live.as_ref().and_then(approvable),
            closing,
        }
    }
}

fn title(facts: &Facts, holder: Option<&str>, now: &Now) -> String {
    if !facts.heard {
        return "looking for a running apply".to_owned();
    }
    match (&facts.live, &facts.state.last_run, holder) {
        (Some(_), Some(run), _) => {
            let record = &run.record;
            let since = u64::try_from(now.wall_ms - run.began_ms).unwrap_or(0) / 1000 * 1000;
            format!(
                "{} by {}@{} (process {}) for {}",
                record.command,
                record.user,
                record.host,
                record.pid,
                millis(since)
            )
        }
        (Some(_), None, _) => "an apply runs".to_owned(),
        (None, _, Some(holder)) => format!("{holder} runs and does not answer (yet); this is the journal"),
        (None, Some(run), None) => {
            let how = run.exit.map_or_else(|| "died".to_owned(), |exit| format!("ended, exit {exit}"));
            format!("no apply is running: waiting for one; the last ({}) {how}", run.record.command)
        }
        (None, None, None) => "no apply is running: waiting for one; nothing was applied here yet".to_owned(),
    }
}

fn stage(stage: &segue_run::execute::LiveStage) -> StageView {
    let name = match stage.stage {
        Stage::Prepare => "Prepare",
        Stage::Carry => "Carry",
        Stage::Gates => "Gates",
        Stage::Reads => "Reads",
        Stage::CutOver => "Cut over",
        Stage::After => "After",
        Stage::Release => "Release",
    };
    StageView { name, done: stage.done, of: stage.of }
}

fn gate(gate: &LiveGate) -> ConditionView {
    let LiveGate { gate, met, said, value: _, left_ms, asks_approval: _ } = gate;
    ConditionView {
        word: if *met { "met" } else { "waits" },
        good: *met,
        name: gate.to_string(),
        said: said.clone(),
        left: if *met { String::new() } else { format!("for {} at most", millis(left_ms / 1000 * 1000)) },
    }
}

fn watches(state: &State, boot: &BootTime) -> impl Iterator<Item = ConditionView> {
    let watched = state.cutovers.values().filter(|c| c.watches()).filter_map(|c| c.watch.as_ref());
    watched
        .flat_map(|watch| {
            let since = watch.began.as_ref().and_then(|began| boot.since(began)).unwrap_or(0);
            let so_far = watch.watched_ms.saturating_add(since) / 1000 * 1000;
            watch.plan.watches.iter().map(move |planned| {
                let seen = watch.seen.get(&planned.block.address);
                let (word, good, said) = match seen {
                    None => ("looks", true, "was not looked at yet".to_owned()),
                    Some(seen) if seen.ok => ("good", true, seen.said.clone()),
                    Some(seen) => (
                        "NOT GOOD",
                        false,
                        format!("{} of {} in a row: {}", seen.failed, planned.failures, seen.said),
                    ),
                };
                ConditionView {
                    word,
                    good,
                    name: planned.block.address.to_string(),
                    said,
                    left: format!("{} of {}", millis(so_far.min(planned.for_ms)), millis(planned.for_ms)),
                }
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
}

fn messages(live: &Live) -> Vec<String> {
    let look = Look { colour: false, unicode: false, width: 200 };
    let told = live.told.iter().filter_map(|told| {
        let (_, text) = phrase(&told.event, &look)?;
        let at = rfc3339(told.at_ms);
        Some(format!("{} {}", at.get(11..19).unwrap_or_default(), text.replace('\n', " ")))
    });
    told.collect()
}

/// The plan, if one of the gates that wait wants it approved.
fn approvable(live: &Live) -> Option<String> {
    let waits = live.gates.iter().any(|g| !g.met && g.asks_approval);
    (waits && !live.plan_hash.is_empty()).then(|| live.plan_hash.clone())
}
