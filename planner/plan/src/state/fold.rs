//! The one function that turns events into state. Pure: no clock, no I/O; every event is total.

mod cutovers;
mod rehearsals;
mod resources;
mod watches;
mod weights;

use segue_contract::{Address, Direction, PassReport, VerifyReport};

use super::{
    Aborting, Approval, LIST_MAX, LastRun, MEASUREMENTS_MAX, MigrationState, OpenStep, PassRecord, State,
    UnitState, VerifiedRecord,
};
use crate::cutover::Phase;
use crate::event::{AcceptedDeletions, Entry, Event, MigrationRecord, StoppedPass, WeightEvent};
use cutovers::{add_stale, begin_attempt, hold, reach, take_back, take_back_commit};

/// Applies one event.
pub fn fold(state: &mut State, entry: &Entry) {
    let at_ms = entry.at_ms;
    resources::before(state, &entry.event);
    fold_one(state, entry);
    resources::after(state, &entry.event, at_ms);
}

fn fold_one(state: &mut State, entry: &Entry) {
    let at_ms = entry.at_ms;
    match &entry.event {
        Event::StateBound(binding) => state.binding = Some(binding.clone()),
        Event::RunStarted(record) => {
            state.last_run = Some(LastRun { record: record.clone(), began_ms: at_ms, exit: None });
        }
        Event::RunEnded { exit } => {
            if let Some(run) = &mut state.last_run {
                run.exit = Some(*exit);
            }
        }
        Event::MigrationBegan(record) => begin_migration(state, record),
        Event::EndpointMade { migration, endpoint } => {
            if let Some(migration) = state.migrations.get_mut(migration) {
                migration.made.insert(endpoint.clone());
            }
        }
        Event::ClaimBegan { migration, epoch } => {
            if let Some(migration) = state.migrations.get_mut(migration) {
                migration.epoch = migration.epoch.max(*epoch);
            }
            rehearsals::claim(state, migration, *epoch);
        }
        Event::ClaimMade { migration, marker } => {
            if let Some(migration) = state.migrations.get_mut(migration) {
                migration.marker = Some(marker.clone());
            }
        }
        Event::ClaimReleased { migration } => {
            if let Some(migration) = state.migrations.get_mut(migration) {
                migration.marker = None;
            }
        }
        Event::StepStarted { step, kind } => {
            // A step that is begun again after a death keeps its checkpoint.
            let before = state.open_steps.remove(step).and_then(|s| s.checkpoint);
            state.open_steps.insert(step.clone(), OpenStep { kind: *kind, checkpoint: before });
        }
        Event::StepCheckpointed { step, checkpoint } => {
            if let Some(step) = state.open_steps.get_mut(step) {
                step.checkpoint = Some(checkpoint.clone());
            }
        }
        Event::StepFinished { step, .. } => {
            state.open_steps.remove(step);
        }
        // A failed step stays open: what it left is unknown, and its checkpoint is where it goes on.
        Event::StepFailed { .. } => {}
        Event::UnitCarried { migration, unit, load, direction, report, began_ms, began_boot, took_us } => {
            let pass = PassRecord {
                load: *load,
                reverse: *direction == Direction::Reverse,
                began_ms: *began_ms,
                began_boot: began_boot.clone(),
                took_us: *took_us,
                records_seen: report.records_seen,
                records_written: report.records_written,
                records_deleted: report.records_deleted,
                bytes_written: report.bytes_written,
                times: report.times,
                audit: report.audit,
            };
            carry(state, migration, unit, pass, report);
        }
        Event::DeletionsAsked(StoppedPass { migration, unit, asked }) => {
            if let Some(migration) = state.migrations.get_mut(migration) {
                migration.units.entry(unit.clone()).or_default().asked_deletions = Some((**asked).clone());
            }
        }
        Event::DeletionsAccepted(AcceptedDeletions { migration, unit, hash, allowed, by: _ }) => {
            let known = state.migrations.get_mut(migration).and_then(|m| m.units.get_mut(unit));
            if let Some(asked) = known.and_then(|unit| unit.asked_deletions.as_mut())
                && asked.hash(migration, unit) == *hash
            {
                asked.accepted = Some(*allowed);
            }
        }
        Event::UnitVerified { migration, unit, report, whole } => {
            verify(state, migration, unit, report, *whole, at_ms);
        }
        Event::StaleLooked { cutover, report } => {
            let cutover = state.cutovers.entry(cutover.clone()).or_default();
            cutover.stale_looked = true;
            add_stale(cutover, &report.finds, report.total);
        }
        Event::StaleSettled { cutover, .. } => {
            let cutover = state.cutovers.entry(cutover.clone()).or_default();
            cutover.stale.clear();
            cutover.stale_total = 0;
        }
        Event::AttemptBegan { cutover, attempt } => begin_attempt(state, cutover, attempt, at_ms),
        Event::PhaseReached { cutover, epoch, phase, proof, took_us } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                reach(cutover, *phase, proof, *took_us, at_ms);
            }
        }
        Event::MemberOpened { cutover, epoch, migration } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                cutover.opened.insert(migration.clone());
            }
        }
        Event::RouteSet { cutover, epoch, route, side } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                cutover.routed.insert(route.clone(), *side);
            }
        }
        Event::CommitTakenBack { cutover, epoch, reason, held } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                take_back(cutover, reason, held, at_ms);
            }
        }
        Event::AbortBegan { cutover, epoch, reason, held } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                take_back_commit(cutover);
                cutover.phase = Phase::Aborting;
                let before = cutover.aborting.as_ref();
                let reopened = before.is_some_and(|a| a.reopened);
                let taken_back = before.is_some_and(|a| a.taken_back);
                cutover.aborting =
                    Some(Aborting { reason: reason.clone(), held: held.clone(), reopened, taken_back });
                watches::aborted(cutover, held.as_ref());
                if let Some(reason) = held {
                    hold(cutover, reason, at_ms);
                    weights::begin_anew(cutover);
                }
            }
        }
        Event::SideReopened { cutover, epoch, took_us, .. } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                cutovers::reopened(cutover, *took_us);
            }
        }
        Event::Aborted { cutover, epoch } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                cutover.aborting = None;
                cutover.in_part = false;
                cutover.phase = if cutover.switches == 0 { Phase::Ready } else { Phase::Soaking };
            }
        }
        Event::Unheld { cutover, .. } | Event::HoldOutdated { cutover } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover) {
                cutover.held = None;
            }
        }
        Event::CutoverFinished { cutover } => finish(state, cutover),
        Event::Approved { plan_hash, by } => {
            let fresh = || Approval { by: Vec::new(), at_ms, times: Default::default() };
            let approval = state.approvals.entry(plan_hash.clone()).or_insert_with(fresh);
            if !approval.by.contains(by) {
                approval.by.push(by.clone());
                approval.times.insert(by.clone(), at_ms);
            }
            approval.at_ms = at_ms;
        }
        Event::PlanBegan { plan_hash } => {
            state.plans_begun.insert(plan_hash.clone());
        }
        Event::Found { step, finding } => {
            state.findings.push((step.clone(), finding.clone()));
            keep_last(&mut state.findings, LIST_MAX);
        }
        Event::AddressMoved { from, to } => move_address(state, from, to),
        Event::AddressForgotten { address } => {
            // See `resources`, too.
            state.migrations.remove(address);
            state.cutovers.remove(address);
            rehearsals::forget(state, address);
            state.open_steps.retain(|step, _| !below(step, address));
        }
        // Evidence for the report; nothing is decided by it.
        Event::GateRead { .. } | Event::Steered { .. } => {}
        Event::FenceProven { cutover, epoch, endpoint, said: _ } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover).filter(|c| c.epoch == *epoch) {
                cutover.fenced.insert(endpoint.clone(), entry.run);
            }
        }
        Event::SideTakenBack { cutover, .. } => {
            if let Some(cutover) = state.cutovers.get_mut(cutover) {
                cutover.left = None;
            }
        }
        // See `resources`.
        Event::FenceBegan { .. } => {}
        Event::ResourceMade { .. } | Event::ResourceReleasing { .. } | Event::ResourceReleased { .. } => {}
        Event::WatchPlanned { .. }
        | Event::WatchBegan { .. }
        | Event::WatchRead { .. }
        | Event::HealthLost { .. }
        | Event::BackRefused { .. } => watches::fold(state, &entry.event, at_ms),
        Event::RehearsalBegan { .. } | Event::RehearsalEnded { .. } | Event::RehearsalReleased { .. } => {
            rehearsals::fold(state, &entry.event, at_ms);
        }
        Event::Weight { cutover, weight } => {
            if let WeightEvent::Held { percent, held_ms: _ } = weight {
                // It is not done again: a death before its step's end leaves nothing unknown.
                state.open_steps.remove(&cutover.step(&format!("weigh_{percent}")));
            }
            weights::fold(state.cutovers.entry(cutover.clone()).or_default(), weight, at_ms);
        }
        Event::StatePart { first, last, part } => import(state, part, *first, *last),
    }
}

/// Nothing of a finished cutover is under way any more: no plan has these steps again.
fn finish(state: &mut State, address: &Address) {
    let cutover = state.cutovers.entry(address.clone()).or_default();
    cutover.finished = true;
    cutover.phase = Phase::Finished;
    let migrations = state.migrations.iter();
    let over: Vec<Address> = migrations
        .filter(|(_, m)| m.record.cutover.as_ref() == Some(address))
        .map(|(migration, _)| migration.clone())
        .chain([address.clone()])
        .collect();
    state.open_steps.retain(|step, _| !over.iter().any(|block| below(step, block)));
}

fn import(state: &mut State, part: &State, first: bool, last: bool) {
    if first {
        state.importing = Some(Box::default());
    }
    let Some(whole) = &mut state.importing else { return };
    whole.migrations.extend(part.migrations.clone());
    whole.cutovers.extend(part.cutovers.clone());
    whole.rehearsals.extend(part.rehearsals.clone());
    whole.open_steps.extend(part.open_steps.clone());
    whole.approvals.extend(part.approvals.clone());
    whole.resources.extend(part.resources.clone());
    whole.forgotten.extend(part.forgotten.clone());
    if last && let Some(whole) = state.importing.take() {
        let (binding, last_run) = (state.binding.take(), state.last_run.take());
        *state = State { binding, last_run, ..*whole };
    }
}

fn begin_migration(state: &mut State, record: &MigrationRecord) {
    state.take_up(&record.migration);
    if let Some(cutover) = &record.cutover {
        state.take_up(cutover);
        state.cutovers.entry(cutover.clone()).or_default();
    }
    let units = record.jobs.iter().map(|job| (job.unit.clone(), UnitState::default()));
    match state.migrations.get_mut(&record.migration) {
        Some(known) => {
            for (name, unit) in units {
                known.units.entry(name).or_insert(unit);
            }
            known.record = record.clone();
        }
        None => {
            let fresh = MigrationState {
                record: record.clone(),
                epoch: 0,
                marker: None,
                made: Default::default(),
                units: units.collect(),
            };
            state.migrations.insert(record.migration.clone(), fresh);
        }
    }
}

fn carry(state: &mut State, migration: &Address, unit: &str, pass: PassRecord, report: &PassReport) {
    let Some(migration) = state.migrations.get_mut(migration) else {
        return;
    };
    let owner = migration.record.cutover.clone();
    let unit = migration.units.entry(unit.to_owned()).or_default();
    unit.loaded = true;
    unit.ledger = Some(report.ledger.clone());
    unit.position = Some(report.position.clone());
    unit.passes_total += 1;
    unit.records_total += pass.records_written;
    unit.bytes_total += pass.bytes_written;
    unit.records_seen = pass.records_seen;
    unit.set_aside.clone_from(&report.set_aside);
    unit.set_aside_total = report.set_aside_total;
    unit.asked_deletions = None;
    unit.passes.push(pass);
    keep_last(&mut unit.passes, MEASUREMENTS_MAX);
    if let Some(cutover) = owner.and_then(|owner| state.cutovers.get_mut(&owner)) {
        add_stale(cutover, &report.stale, report.stale_total);
    }
}

fn verify(
    state: &mut State,
    migration: &Address,
    unit: &str,
    report: &VerifyReport,
    whole: bool,
    at_ms: i64,
) {
    let Some(migration) = state.migrations.get_mut(migration) else {
        return;
    };
    let unit = migration.units.entry(unit.to_owned()).or_default();
    unit.mismatches_total = report.mismatches_total;
    if report.mismatches_total > 0 {
        unit.verified = None;
    } else if whole {
        unit.verified = Some(VerifiedRecord {
            level: report.level,
            ledger: report.ledger.clone(),
            at_ms,
            records: report.records_checked,
        });
    }
}

fn move_address(state: &mut State, from: &Address, to: &Address) {
    if let Some(mut migration) = state.migrations.remove(from) {
        migration.record.migration = to.clone();
        for job in &mut migration.record.jobs {
            job.migration = to.clone();
        }
        state.migrations.insert(to.clone(), migration);
    }
    if let Some(cutover) = state.cutovers.remove(from) {
        state.cutovers.insert(to.clone(), cutover);
        for migration in state.migrations.values_mut() {
            if migration.record.cutover.as_ref() == Some(from) {
                migration.record.cutover = Some(to.clone());
            }
        }
    }
    let steps: Vec<Address> = state.open_steps.keys().filter(|s| below(s, from)).cloned().collect();
    for step in steps {
        if let Some(open) = state.open_steps.remove(&step) {
            let renamed = format!("{to}{}", &step.as_str()[from.as_str().len()..]);
            state.open_steps.insert(Address::new(renamed), open);
        }
    }
}

/// Whether `step` belongs to the block `address`.
fn below(step: &Address, address: &Address) -> bool {
    step.as_str().strip_prefix(address.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn keep_last<T>(list: &mut Vec<T>, most: usize) {
    if list.len() > most {
        list.drain(..list.len() - most);
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Side;

    use super::*;
    use crate::event::Proof;
    use crate::event::WIRE_VERSION;
    use crate::state::CutoverState;

    fn entry(event: Event) -> Entry {
        Entry { v: WIRE_VERSION, at_ms: 1, run: 1, event }
    }

    #[test]
    fn a_phase_of_another_epoch_is_ignored() {
        let mut state = State::default();
        let cutover = Address::new("cutover.a");
        state.cutovers.insert(cutover.clone(), CutoverState { epoch: 2, ..CutoverState::default() });
        fold(
            &mut state,
            &entry(Event::PhaseReached {
                cutover: cutover.clone(),
                epoch: 1,
                phase: Phase::Committed,
                proof: Proof::default(),
                took_us: 0,
            }),
        );
        assert_eq!(state.cutovers[&cutover].phase, Phase::Ready);
        assert_eq!(state.cutovers[&cutover].live, Side::Source);
    }

    #[test]
    fn a_step_begun_again_keeps_its_checkpoint() {
        let mut state = State::default();
        let step = Address::new("migration.a.unit[\"tree\"].load");
        let start = entry(Event::StepStarted { step: step.clone(), kind: crate::plan::StepKind::Load });
        let checkpoint = segue_contract::Checkpoint { version: 1, bytes: vec![7] };
        fold(&mut state, &start);
        fold(
            &mut state,
            &entry(Event::StepCheckpointed { step: step.clone(), checkpoint: checkpoint.clone() }),
        );
        fold(&mut state, &start);
        assert_eq!(state.open_steps[&step].checkpoint, Some(checkpoint));
    }

    #[test]
    fn moving_an_address_takes_its_steps_along_and_not_its_namesake() {
        let mut state = State::default();
        for step in ["migration.a.verify", "migration.ab.verify"] {
            fold(
                &mut state,
                &entry(Event::StepStarted { step: Address::new(step), kind: crate::plan::StepKind::Verify }),
            );
        }
        fold(
            &mut state,
            &entry(Event::AddressMoved {
                from: Address::new("migration.a"),
                to: Address::new("migration.z"),
            }),
        );
        let steps: Vec<_> = state.open_steps.keys().map(Address::as_str).collect();
        assert_eq!(steps, ["migration.ab.verify", "migration.z.verify"]);
    }
}
