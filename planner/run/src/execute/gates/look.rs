//! One look at one gate: whether it is met, by what, or what is missing and how far off it is.

use std::collections::BTreeMap;
use std::time::Duration;

use segue_contract::{Address, EndpointFacts, Side};
use segue_language::{Condition, GateCondition, GateDecl, Term, Verdict, WindowDecl, assumed};
use segue_plan::cutover::{
    Facts, Forecast, Known, Lag, WindowState, forecast, how_to_measure, local_time, observed, siblings,
    window_at, window_text,
};
use segue_plan::state::UnitState;

use super::verified::Stale;
use super::{Waiting, approval, known, verified};
use crate::execute::io::Io;
use crate::execute::unit::UnitRef;
use crate::execute::{Ground, RunEvent};

/// What one look found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// Whether the gate is met.
    pub(super) met: bool,
    /// By what; or what is missing, and how far off it is.
    pub(super) said: String,
    /// The measured value, where there is one.
    pub(super) value: Option<f64>,
    /// Unmet, and waiting as long as it may wait cannot help.
    pub(super) hopeless: bool,
    /// What would make it true.
    pub(super) wants: Wants,
}

/// What would make a gate true.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wants {
    /// A pass, right now.
    Pass,
    /// Verifications.
    Verification(Vec<Stale>),
    /// A person.
    Approval,
    /// Nothing that Segue could do.
    Time,
}

impl Look {
    pub(super) fn met(said: String) -> Self {
        Self { met: true, said, value: None, hopeless: false, wants: Wants::Time }
    }

    pub(super) fn unmet(said: String, wants: Wants) -> Self {
        Self { met: false, hopeless: false, wants, ..Self::met(said) }
    }

    fn measured(self, value: f64) -> Self {
        Self { value: Some(value), ..self }
    }

    pub(super) fn hopeless(self, hopeless: bool) -> Self {
        Self { hopeless, ..self }
    }
}

pub(super) fn look(waiting: &Waiting<'_>, gate: &GateDecl) -> Look {
    match &gate.condition {
        GateCondition::Lag { max_ms } => lag(waiting, *max_ms),
        GateCondition::Downtime { max_ms, assume: _ } => downtime(waiting, *max_ms),
        GateCondition::Verified { level, max_age_ms, migrations } => {
            verified::look(waiting, *level, *max_age_ms, migrations)
        }
        GateCondition::Approval { approvers, count } => {
            let hash = &waiting.task.attempt.plan_hash;
            // First: an answer that comes between the two was recorded before the question was closed.
            let someone = waiting.task.conditions.wait_for_approval || waiting.may_ask();
            let look = approval::look(waiting.ground, approvers, *count, hash);
            let hopeless = !look.met && !someone;
            look.hopeless(hopeless)
        }
        GateCondition::Window(window) => self::window(waiting, window, gate.timeout_ms),
        GateCondition::Check { condition, message } => check(waiting, condition, message.as_deref()),
        GateCondition::Probe { block, .. } => waiting.probes.answer(&block.address),
    }
}

fn lag(waiting: &Waiting<'_>, max_ms: u64) -> Look {
    match worst_lag(waiting.ground, waiting.units) {
        Lag::Ms(ms) if ms <= max_ms => {
            Look::met(format!("lag {ms} ms, at most {max_ms} ms")).measured(ms as f64)
        }
        Lag::Ms(ms) => {
            Look::unmet(format!("the lag is {ms} ms, at most {max_ms} ms are allowed"), Wants::Pass)
                .measured(ms as f64)
        }
        Lag::Unknown => {
            Look::unmet("no pass has completed since the machine was booted".to_owned(), Wants::Pass)
        }
    }
}

fn worst_lag(ground: &Ground, units: &[UnitRef]) -> Lag {
    let now = ground.now();
    let mut worst = 0;
    for unit in units {
        match Lag::of(&known(ground, unit), &now) {
            Lag::Ms(ms) => worst = worst.max(ms),
            Lag::Unknown => return Lag::Unknown,
        }
    }
    Lag::Ms(worst)
}

/// Protocol P25: the sum, term by term.
fn downtime(waiting: &Waiting<'_>, max_ms: u64) -> Look {
    let forecast = predicted(waiting);
    let total = forecast.total_ms();
    let terms = forecast.terms_words();
    let unmeasured = forecast.unmeasured();
    let look = if total > max_ms {
        let said = format!("the predicted pause is {total} ms, at most {max_ms} ms are allowed: {terms}");
        Look::unmet(said, Wants::Pass)
    } else if !unmeasured.is_empty() {
        let said = format!(
            "the pause cannot be predicted, nobody measured {}: {}",
            forecast.unmeasured_words(),
            how_to_measure(&unmeasured)
        );
        // Passes measure the rest; stopping, starting and pointing are measured by others that switch meanwhile.
        let own = &waiting.task.cutover;
        let alone = waiting.ground.recorder.look(|state| state.in_flight().all(|(other, _)| other == own));
        let by_a_pause = [Term::Drain, Term::Route, Term::Open];
        Look::unmet(said, Wants::Pass).hopeless(alone && unmeasured.iter().any(|t| by_a_pause.contains(t)))
    } else {
        Look::met(format!("predicted pause {total} ms, at most {max_ms} ms: {terms}"))
    };
    if waiting.forecast_ms.replace(Some(total)) != Some(total) {
        waiting.ground.tell(&RunEvent::Forecast { cutover: waiting.task.cutover.clone(), forecast });
    }
    look.measured(total as f64)
}

fn predicted(waiting: &Waiting<'_>) -> Forecast {
    let Waiting { ground, task, units, .. } = waiting;
    let known: Vec<UnitState> = units.iter().map(|u| known(ground, u)).collect();
    let pauses =
        ground.recorder.look(|s| s.cutovers.get(&task.cutover).map(|c| c.pauses.clone())).unwrap_or_default();
    let ttl_ms = task
        .attempt
        .routes
        .iter()
        .filter_map(|r| ground.registry.route(r).ok().map(|route| route.ttl_ms(r)))
        .max();
    let rehearsed = ground.recorder.look(|s| s.rehearsed(&task.cutover).map(|r| r.report.clone()));
    let quiesces: Vec<&str> = task.attempt.members.iter().map(|m| m.close.block.provider.as_str()).collect();
    let routes: Vec<&str> = task.attempt.routes.iter().map(|r| r.provider.as_str()).collect();
    let whole = waiting.units.iter().zip(&known);
    let whole = whole.filter(|(unit, _)| task.attempt.member(&unit.migration).is_some_and(|m| m.verify_all));
    forecast(&Known {
        units: known.iter().collect(),
        whole: whole.map(|(_, known)| known).collect(),
        pauses,
        siblings: ground.recorder.look(|state| siblings(state, &task.cutover, &quiesces, &routes)),
        rehearsed: rehearsed.as_ref(),
        assumed: assumed(&task.conditions.gates),
        freeze_ms: task.attempt.freeze_ms,
        ttl_ms: ttl_ms.unwrap_or(0),
    })
}

fn window(waiting: &Waiting<'_>, window: &WindowDecl, timeout_ms: u64) -> Look {
    let now_ms = waiting.ground.clock.wall_ms();
    let words = window_text(window);
    match window_at(window, now_ms) {
        WindowState::Open { until_ms: Some(until) } => {
            Look::met(format!("{words} is open until {}", local_time(&window.zone, until)))
        }
        WindowState::Open { until_ms: None } => Look::met(format!("{words} is open")),
        WindowState::Closed { opens_ms: Some(opens) } => {
            let left = Duration::from_millis(timeout_ms).saturating_sub(waiting.began.elapsed());
            let off_ms = u64::try_from(opens.saturating_sub(now_ms)).unwrap_or(0);
            let said = format!(
                "the window {words} is closed, it opens {} (in {})",
                local_time(&window.zone, opens),
                span(off_ms)
            );
            Look::unmet(said, Wants::Time).hopeless(Duration::from_millis(off_ms) > left)
        }
        WindowState::Closed { opens_ms: None } => {
            Look::unmet(format!("the window {words} never opens again"), Wants::Time).hopeless(true)
        }
    }
}

/// Minutes are exact enough for people who wait for hours.
fn span(ms: u64) -> String {
    let (days, hours, minutes) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", ms.div_ceil(1_000)),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

fn check(waiting: &Waiting<'_>, condition: &Condition, message: Option<&str>) -> Look {
    let Waiting { ground, task, .. } = waiting;
    let mut migrations: Vec<Address> = task.attempt.jobs.iter().map(|j| j.migration.clone()).collect();
    migrations.dedup();
    let state = ground.state();
    let facts = Facts {
        state: &state,
        migrations: &migrations,
        endpoints: endpoints(waiting, condition),
        wall_ms: ground.clock.wall_ms(),
        boot: ground.now(),
        forecast_ms: predicted(waiting).total_ms(),
    };
    let told = message.map(|m| format!("{m}: ")).unwrap_or_default();
    let text = condition.text.split_whitespace().collect::<Vec<_>>().join(" ");
    match condition.judge(&observed(&facts)) {
        Ok(judged) => {
            let by = match judged.evidence() {
                none if none.is_empty() => String::new(),
                some => format!(" ({some})"),
            };
            match judged.verdict {
                Verdict::Holds => Look::met(format!("{text}{by}")),
                Verdict::Fails => Look::unmet(format!("{told}{text} does not hold{by}"), Wants::Time),
                Verdict::Unknown => {
                    let said = format!("{told}{text} looks at something that is not known yet{by}");
                    Look::unmet(said, Wants::Time)
                }
            }
        }
        Err(why) => Look::unmet(format!("{told}{text} cannot be evaluated: {why}"), Wants::Time),
    }
}

/// The endpoints are asked only where a condition looks at them: each look costs them something.
fn endpoints(waiting: &Waiting<'_>, condition: &Condition) -> BTreeMap<(Address, Side), EndpointFacts> {
    let looks_at = condition.looks_at();
    let mut found = BTreeMap::new();
    for job in &waiting.task.attempt.jobs {
        let source = (Side::Source, &job.source, looks_at.source);
        let target = (Side::Target, &job.target, looks_at.target);
        for (side, block, wanted) in [source, target] {
            let key = (job.migration.clone(), side);
            if !wanted || found.contains_key(&key) {
                continue;
            }
            let io = Io::new(waiting.ground, &job.migration.step("check"));
            // What cannot be asked is unknown to the condition, which says so.
            let facts = waiting.ground.registry.endpoint(block).and_then(|e| e.observe(block, &io));
            found.extend(facts.ok().map(|facts| (key, facts)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn how_far_off_an_opening_is_is_said_in_words() {
        for (ms, wanted) in [
            (500, "1 s"),
            (59_000, "59 s"),
            (90_000, "1 min"),
            (5_400_000, "1 h 30 min"),
            (200_000_000, "2 d 7 h"),
        ] {
            assert_eq!(span(ms), wanted);
        }
    }
}
