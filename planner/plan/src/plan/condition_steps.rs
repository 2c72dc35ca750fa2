//! The steps of gates and watches: what is waited for, and what is looked at after the switch.

use segue_contract::{Address, BlockRef, Setting, Severity, Side, VerifyLevel};
use segue_language::{CutoverDecl, GateCondition, GateDecl, WatchDecl};

use super::build::Ground;
use super::checks::Notes;
use super::cutover_steps::duration;
use super::{PlanStep, Reason, StepKind};
use crate::cutover::{
    Forecast, WindowState, local_time, observed_shape, wanted_text, window_at, window_text,
};
use crate::event::Watch;
use crate::state::steps_to_hold;

/// A watch as the journal keeps it.
pub fn watch_of(decl: &WatchDecl) -> Watch {
    let WatchDecl { block, for_ms, interval_ms, failures, switch_back } = decl;
    Watch {
        block: block.clone(),
        for_ms: *for_ms,
        interval_ms: *interval_ms,
        failures: *failures,
        switch_back: *switch_back,
    }
}

pub(super) fn gate_step(
    ground: &Ground<'_>,
    decl: &CutoverDecl,
    gate: &GateDecl,
    forecast: &Forecast,
) -> PlanStep {
    let GateDecl { address, timeout_ms, condition } = gate;
    let mut remarks = vec![format!("at most {}", duration(*timeout_ms))];
    let what = match condition {
        GateCondition::Lag { max_ms } => format!("wait until the lag is at most {}", duration(*max_ms)),
        GateCondition::Downtime { max_ms, assume: _ } => format!(
            "wait until the predicted pause is at most {} (now {})",
            duration(*max_ms),
            duration(forecast.total_ms())
        ),
        GateCondition::Verified { level, max_age_ms, migrations } => {
            let level = match level {
                Some(level) => format!("{} or closer", level.as_str()),
                None => "as closely as the migration verifies".to_owned(),
            };
            let age = match max_age_ms {
                Some(ms) => format!("within {}", duration(*ms)),
                None => "within its valid_for".to_owned(),
            };
            let of = if migrations.is_empty() { &decl.migrations } else { migrations };
            let names: Vec<&str> = of.iter().map(Address::as_str).collect();
            remarks.push("one that is too old is made again before the pause".to_owned());
            format!("wait until {} is verified as a whole, {level}, {age}", names.join(", "))
        }
        GateCondition::Approval { approvers, count } => {
            let who = wanted_text(approvers, *count);
            let verb = if *count == 1 { "approves" } else { "approve" };
            format!("wait until {who} {verb} this plan's hash")
        }
        GateCondition::Window(window) => {
            let now = match window_at(window, ground.observed.at_ms) {
                WindowState::Open { until_ms: Some(until) } => {
                    format!("open until {}", local_time(&window.zone, until))
                }
                WindowState::Open { until_ms: None } => "open".to_owned(),
                WindowState::Closed { opens_ms: Some(at) } => {
                    format!("opens {}", local_time(&window.zone, at))
                }
                WindowState::Closed { opens_ms: None } => "OVER: it never opens again".to_owned(),
            };
            format!("wait for the window {} ({now})", window_text(window))
        }
        GateCondition::Check { condition, message } => {
            remarks.extend(message.clone());
            format!("wait until {}", one_line(&condition.text))
        }
        GateCondition::Probe { block, interval_ms } => {
            remarks.extend(settings_text(block));
            format!("wait until {} says yes, asked every {}", block.provider, duration(*interval_ms))
        }
    };
    let asks_approval = matches!(condition, GateCondition::Approval { .. });
    PlanStep { remarks, asks_approval, ..PlanStep::new(&decl.address, address.clone(), StepKind::Gate, what) }
}

pub(super) fn watch_step(cutover: &Address, watch: &Watch) -> PlanStep {
    let Watch { block, for_ms, interval_ms, failures, switch_back } = watch;
    let lost = if *switch_back { "switch back by itself" } else { "report it" };
    let what = format!(
        "look at {} every {} for {}; {failures} in a row that are not good: {lost}",
        block.provider,
        duration(*interval_ms),
        duration(*for_ms)
    );
    let mut step = PlanStep::new(cutover, block.address.clone(), StepKind::Watch, what);
    step.remarks.extend(settings_text(block));
    step
}

/// Reads that go over in steps while the source takes the writes; a switch back takes none.
pub(super) fn weigh_steps(ground: &Ground<'_>, decl: &CutoverDecl, to: Side) -> Vec<PlanStep> {
    let Some(weights) = decl.weights.as_ref().filter(|_| to == Side::Target) else { return Vec::new() };
    let known = ground.state.cutovers.get(&decl.address).and_then(|c| c.weight.as_deref());
    let open = steps_to_hold(weights, known);
    let routes = decl.routes.iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
    let looked = match (decl.gates.is_empty(), decl.watches.is_empty()) {
        (true, true) => "a pass that fails",
        (false, true) => "a gate that is lost, a pass that fails",
        (true, false) => "a watch that is not good, a pass that fails",
        (false, false) => "a gate that is lost, a watch that is not good, a pass that fails",
    };
    let step = |percent: u8| {
        let what = format!(
            "send {percent} % of the reads to the target through {routes}; hold that for {}",
            duration(weights.hold_ms)
        );
        let address = decl.address.step(&format!("weigh_{percent}"));
        let mut step = PlanStep::new(&decl.address, address, StepKind::Weigh, what);
        step.remarks = vec![
            "writes stay at the source; what is read at the target is as old as the last pass".to_owned(),
            format!("{looked}: all reads go back to the source, and the run stops"),
        ];
        step.done = !open.contains(&percent);
        if step.done {
            step.reason = Reason::Done;
        }
        step
    };
    weights.before_the_switch().map(step).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a probe looks at, as far as it may be shown.
fn settings_text(block: &BlockRef) -> Option<String> {
    let shown: Vec<String> = block
        .config
        .iter()
        .filter_map(|(name, setting)| match setting {
            Setting::Plain(value) if !value.is_null() => Some(format!("{name} = {value}")),
            Setting::Plain(_) => None,
            Setting::Secret(_) => Some(format!("{name} = (secret)")),
        })
        .collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// What is to be said of gates and watches of a cutover that switches.
pub(super) fn notes(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    for (block, findings) in ground.observed.probes.get(&decl.address).into_iter().flatten() {
        notes.extend(block, findings);
    }
    for gate in &decl.gates {
        match &gate.condition {
            GateCondition::Check { condition, .. } => {
                if let Err(why) = condition.judge(&observed_shape(&units(ground, decl))) {
                    let remedy = "mend the condition: README says what observed holds";
                    notes.push(&gate.address, Severity::Critical, "CHECK_WRONG", why, remedy);
                }
            }
            GateCondition::Window(window)
                if window_at(window, ground.observed.at_ms) == (WindowState::Closed { opens_ms: None }) =>
            {
                let what = format!("the window {} never opens again", window_text(window));
                notes.push(&gate.address, Severity::Critical, "WINDOW_OVER", what, "name a later one");
            }
            GateCondition::Verified { level: Some(wanted), migrations, .. } => {
                weaker_verification(ground, notes, decl, gate, *wanted, migrations);
            }
            GateCondition::Lag { .. }
            | GateCondition::Downtime { .. }
            | GateCondition::Verified { level: None, .. }
            | GateCondition::Approval { .. }
            | GateCondition::Window(_)
            | GateCondition::Probe { .. } => {}
        }
    }
    let back = decl.watches.iter().find(|w| w.switch_back);
    if let Some(watch) = back.filter(|_| !decl.fallback.reverse) {
        let (what, remedy) = if decl.fallback.accept_loss {
            let what = "lost health switches back and LOSES what the target took: there is no reverse sync";
            (what, "set fallback { reverse = true } to lose nothing")
        } else {
            let what = "lost health cannot switch back: there is no reverse sync, it is only reported";
            (what, "set fallback { reverse = true }, or on_failure = \"report\"")
        };
        notes.push(&watch.block.address, Severity::Warning, "WATCH_BACK", what.to_owned(), remedy);
    }
}

/// The gate verifies again by itself where a migration verifies less closely: that takes time before the pause.
fn weaker_verification(
    ground: &Ground<'_>,
    notes: &mut Notes,
    decl: &CutoverDecl,
    gate: &GateDecl,
    wanted: VerifyLevel,
    migrations: &[Address],
) {
    let of = if migrations.is_empty() { &decl.migrations } else { migrations };
    for migration in of.iter().filter_map(|m| ground.desired.migrations.get(m)) {
        if migration.verify.level < wanted {
            let what = format!(
                "wants {} and {} verifies only {}: it is verified again while the gate waits",
                wanted.as_str(),
                migration.address,
                migration.verify.level.as_str()
            );
            let remedy = &format!("set verify {{ level = {:?} }} in the migration", wanted.as_str());
            notes.push(&gate.address, Severity::Info, "VERIFY_LEVEL", what, remedy);
        }
    }
}

/// The units of a cutover's migrations, as far as anybody has seen them.
fn units(ground: &Ground<'_>, decl: &CutoverDecl) -> std::collections::BTreeMap<Address, Vec<String>> {
    let of = |migration: &Address| {
        let seen = ground.observed.migrations.get(migration);
        seen.map(|m| m.units.keys().cloned().collect()).unwrap_or_default()
    };
    decl.migrations.iter().map(|m| (m.clone(), of(m))).collect()
}
