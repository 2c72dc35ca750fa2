//! Gates: what a cutover waits for before QUIESCING. While one is unmet, passes go on.

mod approval;
mod look;
mod probes;
mod told;
mod verified;
mod weighing;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use segue_contract::{Address, Side, segue};
use segue_language::{GateCondition, GateDecl, VerifyDecl, WaiverDecl, WeightsDecl};
use segue_plan::cutover::will_not_converge;
use segue_plan::event::{Event, WatchPlan};
use segue_plan::plan::StepKind;
use segue_plan::state::UnitState;

use super::board::LiveGate;
use super::control::Turn;
use super::drive::CutoverTask;
use super::io::Until;
use super::unit::UnitRef;
use super::{Ground, RunError, RunEvent, passes};
use approval::Question;
use look::{Look, Wants, look};
use probes::Probes;
use told::Told;

/// The shortest pause between two looks while a gate waits.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest: an approval wakes, a window does not.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often it is said that passes do not converge.
const CONVERGENCE_EVERY: Duration = Duration::from_secs(30);

/// What a cutover waits for, and what is watched after it. The default: nothing (a switch back by command).
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// The gates, in order.
    pub(super) gates: Vec<GateDecl>,
    /// How each of its migrations is verified.
    pub(super) verify: BTreeMap<Address, VerifyDecl>,
    /// The pause between passes while a gate waits, in milliseconds.
    pub(super) sync_interval_ms: u64,
    /// Whether somebody is there to approve while it waits; otherwise a missing approval ends the run.
    pub(super) wait_for_approval: bool,
    /// Whether the person at the terminal is asked to approve.
    pub(super) ask_for_approval: bool,
    /// What is watched after the switch.
    pub(super) watch: WatchPlan,
    /// Reads that go over in steps before it.
    pub(super) weights: Option<WeightsDecl>,
    /// Whether it waits for no other cutover's pause: health was lost.
    pub(super) at_once: bool,
}

/// Waits until every gate holds at once; then what is to be watched is recorded, before the attempt begins.
pub(super) fn wait(ground: &Ground, task: &CutoverTask) -> Result<(), RunError> {
    let units = units_of(task);
    for gate in &task.conditions.gates {
        ground.begin_step(&gate.address, StepKind::Gate)?;
        if let GateCondition::Approval { approvers, .. } = &gate.condition {
            ground.control.expect_approval(&task.attempt.plan_hash, approvers);
        }
    }
    let question = &Question::default();
    let mut waiting = Waiting {
        ground,
        task,
        units: &units,
        began: Instant::now(),
        told: Told::default(),
        probes: Probes::default(),
        question,
        forecast_ms: Cell::new(None),
        said_of_turn: false,
    };
    let steps = weighing::steps(&waiting);
    let looks = std::thread::scope(|scope| {
        let ask = move || {
            question.begin();
            scope.spawn(move || question.ask(ground, &task.attempt.plan_hash));
        };
        let looks = waiting.until_all_hold(steps.is_empty(), &ask);
        question.end();
        looks
    });
    let looks = looks?;
    all_carried(ground, &units, &task.attempt.waivers)?;
    for (gate, look) in task.conditions.gates.iter().zip(looks) {
        waiting.told.met(ground, &task.cutover, &gate.address, &look)?;
        let took_us = super::ground::micros(waiting.began);
        ground.end_step(&gate.address, StepKind::Gate, look.said, took_us)?;
    }
    plan_watch(ground, task)?;
    weighing::walk(&mut waiting, &steps)
}

/// Before the attempt, so that whoever settles it knows what to watch. A way back is not watched, and forgets
/// nothing before it is gone: health that was lost leads back again after a death.
fn plan_watch(ground: &Ground, task: &CutoverTask) -> Result<(), RunError> {
    if task.attempt.to == Side::Source {
        return Ok(());
    }
    let plan = &task.conditions.watch;
    let known = ground.recorder.look(|s| {
        let watch = s.cutovers.get(&task.cutover).and_then(|c| c.watch.as_ref());
        watch.map_or_else(WatchPlan::default, |w| w.plan.clone())
    });
    if plan.watches.is_empty() && known.watches.is_empty() && plan.accept_loss == known.accept_loss {
        return Ok(());
    }
    ground.record(Event::WatchPlanned { cutover: task.cutover.clone(), plan: plan.clone() })
}

fn units_of(task: &CutoverTask) -> Vec<UnitRef> {
    let jobs = task.attempt.jobs.iter();
    jobs.map(|job| UnitRef { migration: job.migration.clone(), unit: job.unit.clone() }).collect()
}

/// Looks at all gates again and again.
struct Waiting<'a> {
    ground: &'a Ground,
    task: &'a CutoverTask,
    units: &'a [UnitRef],
    began: Instant,
    told: Told,
    probes: Probes,
    /// To the person at the terminal, whether to approve.
    question: &'a Question,
    /// The predicted pause that was told last, in milliseconds.
    forecast_ms: Cell<Option<u64>>,
    /// Whether it was told that other cutovers are in their pause.
    said_of_turn: bool,
}

impl<'a> Waiting<'a> {
    fn gates(&self) -> &'a [GateDecl] {
        &self.task.conditions.gates
    }

    /// One look at every gate, told and recorded. Returns how many questions were put for it, too.
    fn look_at_all(&mut self) -> Result<(usize, Vec<Look>), RunError> {
        let (ground, gates) = (self.ground, self.gates());
        let asked = self.probes.refresh(ground, gates)?;
        let looks: Vec<Look> = gates.iter().map(|gate| look(self, gate)).collect();
        for (gate, look) in gates.iter().zip(&looks) {
            let left = Duration::from_millis(gate.timeout_ms).saturating_sub(self.began.elapsed());
            ground.board.gate(LiveGate {
                gate: gate.address.clone(),
                met: look.met,
                said: look.said.clone(),
                value: look.value,
                left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                asks_approval: matches!(gate.condition, GateCondition::Approval { .. }),
            });
            self.told.look(ground, &self.task.cutover, &gate.address, look)?;
        }
        Ok((asked, looks))
    }

    /// Whether it is this cutover's turn to pause its writes; says once for whom it waits.
    fn turn(&mut self) -> Turn {
        let turn = self.ground.control.begin_closing(&self.task.cutover, self.task.conditions.at_once);
        if let Turn::After(others) = &turn
            && !self.said_of_turn
        {
            self.said_of_turn = true;
            let names: Vec<&str> = others.iter().map(Address::as_str).collect();
            let text = format!(
                "{}: waits for its turn: {} is in its pause (segue {{ cutovers }} allows {} at once)",
                self.task.cutover,
                names.join(", "),
                names.len()
            );
            self.ground.tell(&RunEvent::Said { text });
        }
        turn
    }

    /// Returns when every gate holds; with `closing`, when it is this cutover's turn to pause its writes, too.
    fn until_all_hold(&mut self, closing: bool, ask: &dyn Fn()) -> Result<Vec<Look>, RunError> {
        let (ground, gates) = (self.ground, self.gates());
        // Fresh numbers first: what was measured yesterday says little of now.
        carry(ground, self.units)?;
        let mut carried = Instant::now();
        let (mut passed, mut said_of_convergence) = (false, None::<Instant>);
        loop {
            // While the run is paused gates wait, and that is not counted against them.
            self.began += ground.control.wait_while_paused();
            if ground.control.stopping() {
                return Err(RunError::Interrupted);
            }
            let (looked, looks) = self.look_at_all()?;
            let unmet: Vec<(&GateDecl, &Look)> = gates.iter().zip(&looks).filter(|(_, l)| !l.met).collect();
            if unmet.is_empty() {
                let fresh = looked == self.probes.len();
                let turn = if fresh && closing { self.turn() } else { Turn::Paused };
                if fresh && (!closing || turn == Turn::Begun) {
                    return Ok(looks);
                }
                // All at once: an answer from before the others held is asked for again.
                self.probes.forget();
                if !matches!(turn, Turn::After(_)) {
                    continue;
                }
            } else {
                self.give_up(&unmet)?;
                if let Some(failure) = self.question.failure() {
                    return Err(failure);
                }
                if self.make_true(&unmet, ask)? {
                    continue;
                }
            }
            let passes = !unmet.is_empty() && unmet.iter().all(|(_, look)| matches!(look.wants, Wants::Pass));
            let behind = unmet.iter().any(|(_, look)| matches!(look.wants, Wants::Pass));
            if passed && behind && said_of_convergence.is_none_or(|at| at.elapsed() >= CONVERGENCE_EVERY) {
                let said = tell_if_it_will_not_converge(ground, self.units, &self.task.cutover);
                said_of_convergence = said.then(Instant::now).or(said_of_convergence);
            }
            passed = false;
            let interval = Duration::from_millis(self.task.conditions.sync_interval_ms);
            let pause = self.probes.next_due().unwrap_or(PAUSE_MAX).min(interval).clamp(PAUSE_MIN, PAUSE_MAX);
            ground.control.sleep(pause);
            if ground.control.stopping() {
                return Err(RunError::Interrupted);
            }
            if passes || carried.elapsed() >= interval {
                carried = Instant::now();
                carry(ground, self.units)?;
                passed = true;
            }
        }
    }

    /// Ends the run at a gate whose time is over, or for which waiting cannot help.
    fn give_up(&self, unmet: &[(&GateDecl, &Look)]) -> Result<(), RunError> {
        if self.ground.control.stopping() {
            return Err(RunError::Interrupted);
        }
        let over = |gate: &GateDecl| self.began.elapsed() >= Duration::from_millis(gate.timeout_ms);
        let hopeless = unmet.iter().find(|(_, look)| look.hopeless);
        let Some((gate, look)) = hopeless.or_else(|| unmet.iter().find(|(gate, _)| over(gate))) else {
            return Ok(());
        };
        // The others, too, so that nobody mends one to find the next.
        let others: Vec<String> = unmet
            .iter()
            .filter(|(other, _)| other.address != gate.address)
            .map(|(other, look)| format!("{}: {}", other.address, look.said))
            .collect();
        let also = match others.as_slice() {
            [] => String::new(),
            _ => format!("; and {}", others.join("; and ")),
        };
        Err(RunError::Gate {
            step: gate.address.clone(),
            what: format!("{}{also}", look.said),
            remedy: remedy(gate, &self.task.attempt.plan_hash),
        })
    }

    /// Does what makes the last unmet gates true: verifies again, has the person at the terminal asked.
    fn make_true(&self, unmet: &[(&GateDecl, &Look)], ask: &dyn Fn()) -> Result<bool, RunError> {
        let wants: Vec<&Wants> = unmet.iter().map(|(_, look)| &look.wants).collect();
        if wants.iter().all(|w| matches!(w, Wants::Verification(_))) {
            for stale in wants.iter().flat_map(|w| match w {
                Wants::Verification(stale) => stale.as_slice(),
                Wants::Pass | Wants::Approval | Wants::Time => &[],
            }) {
                verified::again(self.ground, stale, &self.task.attempt.waivers)?;
            }
            return Ok(true);
        }
        let asked = self.question.asked();
        if !asked && wants.iter().all(|w| matches!(w, Wants::Approval)) && self.may_ask() {
            ask();
        }
        Ok(false)
    }

    /// Whether the person at the terminal can still be asked, or may still answer.
    fn may_ask(&self) -> bool {
        if self.question.asked() {
            return self.question.open();
        }
        let gates = self.task.conditions.gates.iter();
        let approvers = gates.filter_map(|gate| match &gate.condition {
            GateCondition::Approval { approvers, .. } => Some(approvers.as_slice()),
            _ => None,
        });
        self.task.conditions.ask_for_approval
            && approvers
                .into_iter()
                .all(|list| approval::would_count(self.ground, list, &self.task.attempt.plan_hash))
    }
}

fn carry(ground: &Ground, units: &[UnitRef]) -> Result<(), RunError> {
    passes::pass_all(ground, units, &Until::Stopped)
}

/// Passes that no longer get shorter while a gate is unmet (protocol P26). Returns whether it was said.
fn tell_if_it_will_not_converge(ground: &Ground, units: &[UnitRef], cutover: &Address) -> bool {
    let mut said = false;
    for unit in units {
        let known = known(ground, unit);
        let [.., before, last] = known.passes.as_slice() else { continue };
        if !will_not_converge(&known.passes) {
            continue;
        }
        said = true;
        let per_s = |over_ms: u64| last.size().saturating_mul(1_000) / over_ms.max(1);
        let between_ms = u64::try_from(last.began_ms.saturating_sub(before.began_ms)).unwrap_or(0);
        ground.tell(&RunEvent::Said {
            text: format!(
                "{cutover}: {} will not converge: {} records a second change, {} a second are carried, and passes no longer get shorter; write less, raise load.parallelism or rate_limit, or raise the gate's max",
                unit.step("sync"),
                per_s(between_ms),
                per_s(last.took_us / 1_000)
            ),
        });
    }
    said
}

/// Protocol P24: a record that was set aside is a failed gate. A pause that can only end in an abort is not begun.
fn all_carried(ground: &Ground, units: &[UnitRef], waivers: &[WaiverDecl]) -> Result<(), RunError> {
    for unit in units {
        let known = known(ground, unit);
        let accepted = WaiverDecl::accept_left_out(waivers, &known.set_aside, known.set_aside_total);
        if let Some(first) = known.set_aside.first().filter(|_| !accepted) {
            return Err(RunError::Gate {
                step: unit.step("sync"),
                what: format!(
                    "{} records cannot be carried, the first: {} ({})",
                    known.set_aside_total, first.key, first.reason
                ),
                remedy: format!(
                    "`{}` lists them; mend each, leave it out with select {{ exclude }}, or name it in waive \"SET_ASIDE\"; then apply again",
                    segue(&["status"])
                ),
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

fn remedy(gate: &GateDecl, hash: &str) -> String {
    match &gate.condition {
        GateCondition::Lag { .. } => {
            "write less, speed the copy up (load), or raise the gate's max; then apply again"
        }
        GateCondition::Downtime { .. } => {
            "make the pause shorter, raise the gate's max, or say what nobody measured (assume); then apply again"
        }
        GateCondition::Verified { .. } => {
            return format!("`{}` lists what was left out; mend each, or leave it out with select {{ exclude }}, then apply again", segue(&["status"]));
        }
        GateCondition::Approval { .. } => return format!("`{}`, then apply again", segue(&["approve", hash])),
        GateCondition::Window(_) => "apply again while it is open, or raise the gate's wait",
        GateCondition::Check { .. } => "make it true, or change the condition; then apply again",
        GateCondition::Probe { .. } => "make it say yes; then apply again",
    }
    .to_owned()
}
