//! Gates: what a cutover waits for before QUIESCING. While one is unmet, passes go on.

use std::time::{Duration, Instant};

use segue_contract::Address;
use segue_language::{GateCondition, GateDecl};
use segue_plan::cutover::{Lag, forecast, will_not_converge};
use segue_plan::plan::StepKind;
use segue_plan::state::UnitState;

use super::drive::CutoverTask;
use super::io::Until;
use super::unit::{UnitRef, pass};
use super::{Ground, RunError, RunEvent};

/// The shortest pause between two passes while a gate waits.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Waits until every gate holds at once.
pub(super) fn wait(ground: &Ground, task: &CutoverTask) -> Result<(), RunError> {
    let began = Instant::now();
    let units: Vec<UnitRef> = task
        .attempt
        .jobs
        .iter()
        .map(|job| UnitRef { migration: job.migration.clone(), unit: job.unit.clone() })
        .collect();
    for gate in &task.gates {
        ground.begin_step(&address(&task.cutover, gate), StepKind::Gate)?;
    }
    // Fresh numbers first: what was measured yesterday says little of now.
    carry(ground, &units)?;
    loop {
        let unmet: Vec<(Address, &GateDecl, String)> = task
            .gates
            .iter()
            .filter_map(|gate| {
                unmet(ground, task, &units, gate).map(|what| (address(&task.cutover, gate), gate, what))
            })
            .collect();
        if unmet.is_empty() {
            break;
        }
        if ground.control.stopping() {
            return Err(RunError::Interrupted);
        }
        for (step, gate, what) in unmet {
            ground.tell(&RunEvent::GateWaits { step: step.clone(), what: what.clone() });
            let nobody = gate.condition == GateCondition::Approval && !task.wait_for_approval;
            if nobody || began.elapsed() >= Duration::from_millis(gate.timeout_ms) {
                return Err(RunError::Gate { step, what, remedy: remedy(gate, &task.attempt.plan_hash) });
            }
        }
        ground
            .control
            .sleep(Duration::from_millis(task.sync_interval_ms).min(Duration::from_secs(1)).max(PAUSE_MIN));
        if ground.control.stopping() {
            return Err(RunError::Interrupted);
        }
        carry(ground, &units)?;
        tell_if_it_will_not_converge(ground, &units, &task.cutover);
    }
    all_carried(ground, &units)?;
    for gate in &task.gates {
        let took_us = super::ground::micros(began);
        ground.end_step(
            &address(&task.cutover, gate),
            StepKind::Gate,
            met(ground, task, &units, gate),
            took_us,
        )?;
    }
    Ok(())
}

fn address(cutover: &Address, gate: &GateDecl) -> Address {
    let name = match gate.condition {
        GateCondition::Lag { .. } => "lag",
        GateCondition::Downtime { .. } => "downtime",
        GateCondition::Approval => "approval",
    };
    cutover.step("gate").step(name)
}

fn carry(ground: &Ground, units: &[UnitRef]) -> Result<(), RunError> {
    for unit in units {
        pass(ground, unit, &unit.step("sync"), &Until::Stopped)?;
    }
    Ok(())
}

/// Passes that no longer get shorter while a gate is unmet (protocol P26).
fn tell_if_it_will_not_converge(ground: &Ground, units: &[UnitRef], cutover: &Address) {
    for unit in units {
        let known = known(ground, unit);
        let Some(last) = known.passes.last().filter(|_| will_not_converge(&known.passes)) else { continue };
        let per_s = |count: u64| count.saturating_mul(1_000_000) / last.took_us.max(1);
        ground.tell(&RunEvent::Said {
            text: format!(
                "{cutover}: {} will not converge: a pass carries {} records ({} a second), and passes no longer get shorter; write less, raise load.parallelism or rate_limit, or raise the gate's limit",
                unit.step("sync"),
                last.size(),
                per_s(last.size())
            ),
        });
    }
}

/// Protocol P24: a record that was set aside is a failed gate. A pause that can only end in an abort is not begun.
fn all_carried(ground: &Ground, units: &[UnitRef]) -> Result<(), RunError> {
    for unit in units {
        let known = known(ground, unit);
        if let Some(first) = known.set_aside.first() {
            return Err(RunError::Gate {
                step: unit.step("sync"),
                what: format!(
                    "{} records cannot be carried, the first: {} ({})",
                    known.set_aside_total, first.key, first.reason
                ),
                remedy: "`segue status` lists them; mend each, or leave it out with select { exclude }, then apply again"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

fn known(ground: &Ground, unit: &UnitRef) -> UnitState {
    ground
        .recorder
        .look(|s| s.migrations.get(&unit.migration).and_then(|m| m.units.get(&unit.unit)).cloned())
        .unwrap_or_default()
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

fn predicted(ground: &Ground, task: &CutoverTask, units: &[UnitRef]) -> segue_plan::cutover::Forecast {
    let known: Vec<UnitState> = units.iter().map(|u| known(ground, u)).collect();
    let pauses =
        ground.recorder.look(|s| s.cutovers.get(&task.cutover).map(|c| c.pauses.clone())).unwrap_or_default();
    let ttl_ms = task
        .attempt
        .routes
        .iter()
        .filter_map(|r| ground.registry.route(r).ok().map(|route| route.ttl_ms(r)))
        .max();
    forecast(&known.iter().collect::<Vec<_>>(), &pauses, task.attempt.freeze_ms, ttl_ms.unwrap_or(0))
}

/// What a gate still waits for; `None`: it is met.
fn unmet(ground: &Ground, task: &CutoverTask, units: &[UnitRef], gate: &GateDecl) -> Option<String> {
    match &gate.condition {
        GateCondition::Lag { max_ms } => match worst_lag(ground, units) {
            Lag::Ms(ms) if ms <= *max_ms => None,
            Lag::Ms(ms) => Some(format!("the lag is {ms} ms, at most {max_ms} ms are allowed")),
            Lag::Unknown => Some("no pass has completed since the machine was booted".to_owned()),
        },
        GateCondition::Downtime { max_ms } => {
            let forecast = predicted(ground, task, units);
            let total = forecast.total_ms();
            ground.tell(&RunEvent::Forecast { cutover: task.cutover.clone(), forecast });
            (total > *max_ms)
                .then(|| format!("the predicted pause is {total} ms, at most {max_ms} ms are allowed"))
        }
        GateCondition::Approval => {
            let hash = &task.attempt.plan_hash;
            let approved = ground.recorder.look(|s| s.approvals.contains_key(hash));
            (!approved).then(|| format!("plan {} is not approved", hash.get(..12).unwrap_or(hash)))
        }
    }
}

fn met(ground: &Ground, task: &CutoverTask, units: &[UnitRef], gate: &GateDecl) -> String {
    match &gate.condition {
        GateCondition::Lag { max_ms } => match worst_lag(ground, units) {
            Lag::Ms(ms) => format!("lag {ms} ms, at most {max_ms} ms"),
            Lag::Unknown => String::new(),
        },
        GateCondition::Downtime { max_ms } => {
            format!("predicted pause {} ms, at most {max_ms} ms", predicted(ground, task, units).total_ms())
        }
        GateCondition::Approval => {
            let by =
                ground.recorder.look(|s| s.approvals.get(&task.attempt.plan_hash).map(|a| a.by.join(", ")));
            format!("approved by {}", by.unwrap_or_default())
        }
    }
}

fn remedy(gate: &GateDecl, hash: &str) -> String {
    match gate.condition {
        GateCondition::Lag { .. } => {
            "write less, speed the copy up (load), or raise the gate's max; then apply again"
        }
        GateCondition::Downtime { .. } => "make the pause shorter or raise the gate's max; then apply again",
        GateCondition::Approval => return format!("`segue approve {hash}`, then apply again"),
    }
    .to_owned()
}
