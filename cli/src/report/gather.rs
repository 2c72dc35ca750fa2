//! Gathers the report while the journal is read, event by event, in bounded memory.

use std::collections::BTreeMap;

use segue_contract::{Address, Registry, SetAside, Side};
use segue_plan::cutover::Phase;
use segue_plan::event::{Attempt, Entry, Event, WeightEvent};
use segue_plan::state::{CutoverState, State, fold};

use super::attempts::AttemptLine;
use super::changes::Changes;
use super::rehearsals::word;
use super::units::{Units, find};
use super::{
    ApprovalLine, ConditionLine, DecisionLine, FailureLine, FindingLine, GoingBack, HeadLine, Newest,
    PlanLine, REPORT_VERSION, ReadingLine, RehearsalLine, Report, RunLine,
};
use crate::render::history::reads;

/// Gates and watches that are told of; a spec has a handful.
const CONDITIONS_MAX: usize = 500;

/// Stale writes, and records left out, that are named; `segue status` lists more.
const NAMED_MAX: usize = 20;

/// Takes the events, oldest first.
pub(crate) struct Gather<'a> {
    registry: &'a Registry,
    state: State,
    events: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    runs: Newest<RunLine>,
    attempts: Newest<AttemptLine>,
    units: Units,
    gates: BTreeMap<Address, ConditionLine>,
    watches: BTreeMap<Address, ConditionLine>,
    plans: Newest<PlanLine>,
    rehearsals: Newest<RehearsalLine>,
    approvals: Newest<ApprovalLine>,
    waivers: Newest<DecisionLine>,
    steering: Newest<DecisionLine>,
    stops: Newest<DecisionLine>,
    reads: Newest<DecisionLine>,
    changes: Changes,
    findings: Newest<FindingLine>,
    failures: Newest<FailureLine>,
}

impl<'a> Gather<'a> {
    /// Nothing yet. The registry knows how each change is undone by hand.
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            state: State::default(),
            events: 0,
            first_ms: None,
            last_ms: None,
            runs: Newest::default(),
            attempts: Newest::default(),
            units: Units::new(),
            gates: BTreeMap::new(),
            watches: BTreeMap::new(),
            plans: Newest::default(),
            rehearsals: Newest::default(),
            approvals: Newest::default(),
            waivers: Newest::default(),
            steering: Newest::default(),
            stops: Newest::default(),
            reads: Newest::default(),
            changes: Changes::default(),
            findings: Newest::default(),
            failures: Newest::default(),
        }
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, entry: &Entry) {
        let at_ms = entry.at_ms;
        self.events += 1;
        self.first_ms.get_or_insert(at_ms);
        self.last_ms = Some(at_ms);
        if let Some(run) = self.runs.kept.back_mut() {
            run.last_ms = at_ms;
        }
        // Before it is folded: a prediction rests on what was known before the attempt.
        self.event(&entry.event, at_ms);
        fold(&mut self.state, entry);
    }

    fn event(&mut self, event: &Event, at_ms: i64) {
        match event {
            Event::RunStarted(record) => self.runs.push(RunLine::new(record, at_ms)),
            Event::RunEnded { exit } => {
                if let Some(run) = self.runs.kept.back_mut() {
                    run.exit = Some(*exit);
                }
            }
            Event::UnitCarried {
                migration,
                unit,
                load,
                direction,
                report,
                began_ms,
                began_boot: _,
                took_us,
            } => {
                find(&mut self.units, migration, unit)
                    .carried(*load, *direction, report, *began_ms, *took_us);
            }
            Event::UnitVerified { migration, unit, report, whole } => {
                find(&mut self.units, migration, unit).verified(at_ms, *whole, report);
            }
            Event::GateRead { cutover: _, gate, met, said, value, at: _ } => {
                read(&mut self.gates, gate, at_ms, *met, said, *value);
            }
            Event::WatchRead { cutover: _, epoch: _, watch, ok, said, value, failed: _, at: _ } => {
                read(&mut self.watches, watch, at_ms, *ok, said, *value);
            }
            Event::PlanBegan { plan_hash } => {
                self.plans.push(PlanLine { plan_hash: plan_hash.clone(), began_ms: at_ms });
            }
            Event::Approved { plan_hash, by } => {
                self.approvals.push(ApprovalLine { plan_hash: plan_hash.clone(), by: by.clone(), at_ms });
            }
            Event::Steered { .. }
            | Event::Found { .. }
            | Event::StepFailed { .. }
            | Event::StaleSettled { .. }
            | Event::Unheld { .. }
            | Event::HoldOutdated { .. }
            | Event::AddressForgotten { .. }
            | Event::HealthLost { .. }
            | Event::BackRefused { .. }
            | Event::DeletionsAsked(_)
            | Event::DeletionsAccepted(_)
            | Event::Weight { .. }
            | Event::SideTakenBack { .. }
            | Event::RehearsalEnded { .. } => self.noted(event, at_ms),
            Event::MigrationBegan(_)
            | Event::EndpointMade { .. }
            | Event::ClaimMade { .. }
            | Event::ClaimReleased { .. }
            | Event::ResourceMade { .. }
            | Event::FenceBegan { .. }
            | Event::ResourceReleased { .. }
            | Event::CutoverFinished { .. } => self.changed(event, at_ms),
            Event::AttemptBegan { .. }
            | Event::PhaseReached { .. }
            | Event::RouteSet { .. }
            | Event::CommitTakenBack { .. }
            | Event::AbortBegan { .. }
            | Event::SideReopened { .. }
            | Event::Aborted { .. } => self.attempt(event, at_ms),
            Event::StateBound(_)
            | Event::ClaimBegan { .. }
            | Event::StepStarted { .. }
            | Event::StepCheckpointed { .. }
            | Event::StepFinished { .. }
            | Event::StaleLooked { .. }
            | Event::MemberOpened { .. }
            | Event::AddressMoved { .. }
            | Event::WatchPlanned { .. }
            | Event::WatchBegan { .. }
            | Event::RehearsalBegan { .. }
            | Event::RehearsalReleased { .. }
            | Event::ResourceReleasing { .. }
            | Event::FenceProven { .. }
            | Event::StatePart { .. } => {}
        }
    }

    /// What was found, what failed, what people decided.
    fn noted(&mut self, event: &Event, at_ms: i64) {
        match event {
            Event::Found { step, finding } => {
                self.findings.push(FindingLine {
                    at_ms,
                    step: step.clone(),
                    severity: word(finding.severity).to_owned(),
                    code: finding.code.clone(),
                    summary: finding.summary.clone(),
                    remedy: finding.remedy.clone(),
                });
            }
            Event::RehearsalEnded { cutover, report } => {
                self.rehearsals.push(RehearsalLine::new(cutover, report, at_ms));
            }
            Event::StepFailed { step, class: _, message, remedy } => {
                let (message, remedy) = (message.clone(), remedy.clone());
                self.failures.push(FailureLine { at_ms, step: step.clone(), message, remedy });
            }
            Event::StaleSettled { cutover, by } => {
                let total = self.state.cutovers.get(cutover).map_or(0, |c| c.stale_total);
                self.waive(at_ms, cutover, format!("{total} stale writes settled"), Some(by));
            }
            Event::Unheld { cutover, by } => {
                self.waive(at_ms, cutover, "let go on after a hold".to_owned(), Some(by));
            }
            Event::HoldOutdated { cutover } => {
                self.waive(at_ms, cutover, "hold lifted by an edit of live".to_owned(), None);
            }
            Event::AddressForgotten { address } => {
                self.waive(at_ms, address, "forgotten, the systems untouched".to_owned(), None);
            }
            Event::SideTakenBack { cutover, side, by } => {
                let what = format!("the {side} that was left was taken back");
                let by = Some(by.clone());
                self.stops.push(DecisionLine { at_ms, about: cutover.to_string(), what, by });
            }
            Event::Steered { wish, by, why } => {
                let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                let what = format!("{wish}{why}");
                self.steering.push(DecisionLine { at_ms, about: wish.about(), what, by: Some(by.clone()) });
            }
            Event::Weight { cutover, weight } if !matches!(weight, WeightEvent::Began { .. }) => {
                let (about, what) = (cutover.to_string(), reads(weight));
                self.reads.push(DecisionLine { at_ms, about, what, by: None });
            }
            Event::DeletionsAsked(stopped) => self.stop(at_ms, &stopped.migration, stopped.to_string()),
            Event::DeletionsAccepted(accepted) => {
                self.waive(at_ms, &accepted.migration, accepted.to_string(), Some(&accepted.by));
            }
            Event::HealthLost { cutover, epoch: _, watch, said } => {
                self.stop(at_ms, cutover, format!("health lost at {watch}: {said}"));
            }
            Event::BackRefused { cutover, epoch: _, why, held: _ } => {
                self.stop(at_ms, cutover, format!("not gone back from although health was lost: {why}"));
            }
            _ => {}
        }
    }

    fn waive(&mut self, at_ms: i64, about: &Address, what: String, by: Option<&String>) {
        self.waivers.push(DecisionLine { at_ms, about: about.to_string(), what, by: by.cloned() });
    }

    fn stop(&mut self, at_ms: i64, about: &Address, what: String) {
        self.stops.push(DecisionLine { at_ms, about: about.to_string(), what, by: None });
    }

    fn changed(&mut self, event: &Event, at_ms: i64) {
        match event {
            Event::MigrationBegan(record) => self.changes.declared(record),
            Event::EndpointMade { migration: _, endpoint } => self.changes.made(endpoint, at_ms),
            Event::ClaimMade { migration, marker } => {
                self.changes.claimed(migration, marker.epoch, at_ms, self.registry);
            }
            Event::ClaimReleased { migration } => self.changes.unclaimed(migration, at_ms),
            Event::ResourceMade { resource } | Event::FenceBegan { resource, .. } => {
                self.changes.resource(resource, at_ms);
            }
            Event::ResourceReleased { id, said: _ } => self.changes.resource_gone(id, at_ms),
            Event::CutoverFinished { cutover }
                if self.state.cutovers.get(cutover).is_none_or(|c| c.live == Side::Source) =>
            {
                self.changes.abandoned(cutover, at_ms);
            }
            _ => {}
        }
    }

    fn attempt(&mut self, event: &Event, at_ms: i64) {
        match event {
            Event::AttemptBegan { cutover, attempt } => {
                for waiver in attempt.waivers.iter().filter(|_| !attempt.rehearsal) {
                    let keys = if waiver.keys.is_empty() {
                        String::new()
                    } else {
                        format!(" of {}", waiver.keys.join(", "))
                    };
                    let what = format!("{}{keys} waived: {}", waiver.code, waiver.reason);
                    self.waive(at_ms, cutover, what, None);
                }
                self.attempts.push(AttemptLine::begin(cutover, attempt, at_ms, &self.state, self.registry));
            }
            Event::PhaseReached { cutover, epoch, phase, proof, took_us } => {
                if let Some(line) = self.line(cutover, *epoch) {
                    line.reached(*phase, proof, at_ms, *took_us);
                }
                let Some(attempt) = self.known(cutover) else { return };
                match phase {
                    Phase::Drained => self.changes.closed(&attempt, at_ms, self.registry),
                    Phase::Opened | Phase::Started => self.changes.opened(&attempt, at_ms),
                    Phase::Routed => {
                        for route in &attempt.routes {
                            self.changes.routed(route, attempt.to, at_ms, self.registry);
                        }
                    }
                    _ => {}
                }
            }
            Event::RouteSet { cutover, epoch: _, route, side } => {
                let attempt = self.known(cutover);
                let block = attempt.iter().flat_map(|a| &a.routes).find(|r| r.address == *route);
                if let Some(block) = block {
                    self.changes.routed(block, *side, at_ms, self.registry);
                }
            }
            _ => self.ending(event, at_ms),
        }
    }

    /// An attempt that does not switch.
    fn ending(&mut self, event: &Event, at_ms: i64) {
        match event {
            Event::CommitTakenBack { cutover, epoch, reason, held: _ } => {
                let what = format!("epoch {epoch}: its commit was taken back, held: {reason}");
                self.stop(at_ms, cutover, what);
                if let Some(line) = self.line(cutover, *epoch) {
                    line.aborting(reason);
                }
            }
            Event::AbortBegan { cutover, epoch, reason, held } => {
                let held = if held.is_some() { ", held" } else { "" };
                self.stop(at_ms, cutover, format!("epoch {epoch} was aborted{held}: {reason}"));
                if let Some(line) = self.line(cutover, *epoch) {
                    line.aborting(reason);
                }
            }
            Event::SideReopened { cutover, epoch, .. } => {
                if let Some(line) = self.line(cutover, *epoch) {
                    line.reopened(at_ms);
                }
                if let Some(attempt) = self.known(cutover) {
                    self.changes.reopened(&attempt, at_ms);
                }
            }
            Event::Aborted { cutover, epoch } => {
                if let Some(line) = self.line(cutover, *epoch) {
                    line.aborted();
                }
            }
            _ => {}
        }
    }

    fn line(&mut self, cutover: &Address, epoch: u64) -> Option<&mut AttemptLine> {
        self.attempts.kept.iter_mut().rev().find(|a| a.cutover == *cutover && a.epoch == epoch)
    }

    fn known(&self, cutover: &Address) -> Option<Attempt> {
        self.state.cutovers.get(cutover).and_then(|c| c.attempt.as_deref().cloned())
    }

    /// The report, as of now.
    pub(crate) fn finish(
        self,
        made_ms: i64,
        made_by: &str,
        running: Option<String>,
        notices: Vec<String>,
    ) -> Report {
        let cutovers = heads(&self.state, &self.attempts);
        Report {
            version: REPORT_VERSION,
            made_ms,
            made_by: made_by.to_owned(),
            state_id: self.state.binding.as_ref().map(|b| b.state_id.clone()),
            running,
            events: self.events,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            notices,
            cutovers,
            runs: self.runs,
            attempts: self.attempts,
            units: self.units.into_values().collect(),
            gates: self.gates,
            watches: self.watches,
            plans: self.plans,
            rehearsals: self.rehearsals,
            approvals: self.approvals,
            waivers: self.waivers,
            steering: self.steering,
            stops: self.stops,
            reads: self.reads,
            changes: self.changes.into_lines(),
            findings: self.findings,
            failures: self.failures,
        }
    }
}

fn read(
    lines: &mut BTreeMap<Address, ConditionLine>,
    address: &Address,
    at_ms: i64,
    good: bool,
    said: &str,
    value: Option<f64>,
) {
    if !lines.contains_key(address) && lines.len() >= CONDITIONS_MAX {
        return;
    }
    let line = lines.entry(address.clone()).or_default();
    line.readings.push(ReadingLine { at_ms, good, said: said.to_owned(), value });
    if let Some(value) = value.filter(|v| v.is_finite()) {
        line.values.push(at_ms, at_ms, value, value);
    }
}

/// What somebody has to look after, by name.
fn named<'u>(known: &CutoverState, aside: impl Iterator<Item = &'u SetAside>) -> Vec<String> {
    let stale = known.stale.iter().map(|find| {
        let kept = find.kept.as_ref().map(|k| format!(", kept as {k}")).unwrap_or_default();
        let by = find.process.as_ref().map(|p| format!(" by {p}")).unwrap_or_default();
        format!("stale: {} {}{by}{kept}", find.key, find.what)
    });
    let aside = aside.map(|record| format!("left out: {}: {}", record.key, record.reason));
    stale.take(NAMED_MAX).chain(aside.take(NAMED_MAX)).collect()
}

fn heads(state: &State, attempts: &Newest<AttemptLine>) -> Vec<HeadLine> {
    let head =
        |(address, known): (&Address, &CutoverState)| {
            let of_cutover =
                || state.migrations.values().filter(|m| m.record.cutover.as_ref() == Some(address));
            let units = || of_cutover().flat_map(|m| m.units.values());
            let switch = known.last_switch.as_ref();
            let of_switch = attempts
                .kept
                .iter()
                .rev()
                .find(|a| a.cutover == *address && switch.is_some_and(|s| s.epoch == a.epoch));
            HeadLine {
                cutover: address.clone(),
                serves: known.live,
                endpoints: of_cutover()
                    .map(|m| match known.live {
                        Side::Source => m.record.source.address.clone(),
                        Side::Target => m.record.target.address.clone(),
                    })
                    .collect(),
                since_ms: switch.map(|s| s.at_ms),
                phase: known.phase.to_string(),
                finished: known.finished,
                writes_paused: known.refuses_writes(),
                held: known.held.as_ref().map(|h| h.reason.clone()),
                pause_us: switch.map(|s| s.pause_us),
                predicted_ms: of_switch.and_then(AttemptLine::predicted_ms),
                differ: units().map(|u| u.mismatches_total).sum(),
                set_aside: units().map(|u| u.set_aside_total).sum(),
                stale: known.stale_total,
                named: named(known, units().flat_map(|u| &u.set_aside)),
                verified: units().map(|u| u.verified.as_ref().map(|v| v.records)).sum(),
                going_back: match (&known.attempt, known.finished) {
                    (_, true) => GoingBack::NotPossible,
                    (Some(attempt), _) if known.live == Side::Target && known.switches > 0 => {
                        if attempt.reverse { GoingBack::LosesNothing } else { GoingBack::LosesWrites }
                    }
                    _ if known.switches > 0 => GoingBack::WentBack,
                    _ => GoingBack::NeverLeft,
                },
            }
        };
    state.cutovers.iter().map(head).collect()
}
