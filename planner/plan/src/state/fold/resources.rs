//! The fold of temporary resources. Most are known from the events that make them anyway, each of which comes before
//! its effect: a target's root, markers, a closed side. What no other event tells has events of its own.

use segue_contract::{Address, Direction, Side, StaleFind, UnitJob};

use super::super::{MigrationState, ResourceState, State};
use super::below;
use crate::cutover::Phase;
use crate::event::{Attempt, Event, Release, Resource, ResourceKind};
use crate::plan::StepKind;

/// How long what stale writers left is kept after somebody settled it, in milliseconds: 30 days, so that what an
/// operator waved through can still be looked at after the next monthly close.
const KEPT_ASIDE_MS: u64 = 30 * 24 * 3_600_000;

/// What has to be looked at while the state still knows it.
pub(super) fn before(state: &mut State, event: &Event) {
    if let Event::AddressForgotten { address } = event {
        state.give_up(address);
        forget(state, address);
    }
}

/// What an event makes, or releases.
pub(super) fn after(state: &mut State, event: &Event, at_ms: i64) {
    match event {
        Event::ResourceMade { resource } | Event::FenceBegan { resource, .. } => {
            put(state, (**resource).clone(), at_ms);
        }
        Event::ResourceReleasing { id, .. } => {
            if let Some(known) = state.resources.get_mut(id) {
                known.releasing = true;
            }
        }
        Event::ResourceReleased { id, .. } => released(state, id),
        Event::EndpointMade { migration, .. } => target(state, migration, true, at_ms),
        Event::ClaimBegan { migration, epoch } => markers(state, migration, *epoch, at_ms),
        Event::ClaimReleased { migration } => drop_of(state, migration, ResourceKind::Marker),
        Event::StepStarted { step, kind: StepKind::Load | StepKind::Sync } => unfinished(state, step, at_ms),
        Event::StepFinished { step, .. } => finished(state, step),
        Event::UnitCarried { migration, unit, report, .. } => {
            state.resources.remove(&format!("{migration}/unfinished/{unit}"));
            ledger(state, migration, unit, report.ledger.0.clone(), at_ms);
            let owner = state.migrations.get(migration).and_then(|m| m.record.cutover.clone());
            if let Some(owner) = owner {
                kept_aside(state, &owner, &report.stale, at_ms);
            }
        }
        Event::StaleLooked { cutover, report } => kept_aside(state, cutover, &report.finds, at_ms),
        Event::AttemptBegan { cutover, attempt } => attempt_began(state, cutover, attempt, at_ms),
        Event::MemberOpened { cutover, migration, .. } => member_opened(state, cutover, migration),
        Event::SideReopened { cutover, side, .. } => reopened(state, cutover, *side),
        Event::Aborted { cutover, .. } => drop_of(state, cutover, ResourceKind::Lease),
        Event::PhaseReached { cutover, phase: Phase::Committed, .. } => fallback(state, cutover, at_ms),
        Event::PhaseReached { cutover, phase: Phase::Watching, .. } => {
            drop_of(state, cutover, ResourceKind::Lease);
        }
        Event::CommitTakenBack { cutover, .. } => drop_of(state, cutover, ResourceKind::Fallback),
        Event::CutoverFinished { cutover } => cutover_finished(state, cutover),
        Event::SideTakenBack { cutover, .. } => drop_of(state, cutover, ResourceKind::Fence),
        Event::AddressMoved { from, to } => moved(state, from, to),
        _ => {}
    }
}

fn put(state: &mut State, resource: Resource, at_ms: i64) {
    let made_ms = state.resources.get(&resource.id).map_or(at_ms, |known| known.made_ms);
    let state_id = state.binding.as_ref().map(|b| b.state_id.clone()).unwrap_or_default();
    let known = ResourceState { made_ms, state_id, releasing: false, resource };
    state.resources.insert(known.resource.id.clone(), known);
}

/// A block that was given up is not as it was any more once this is gone.
fn released(state: &mut State, id: &str) {
    let Some(ResourceState { resource, .. }) = state.resources.remove(id) else { return };
    if matches!(resource.kind, ResourceKind::Target | ResourceKind::Marker | ResourceKind::Ledger) {
        state.released_of(&resource.owner);
    }
}

fn drop_of(state: &mut State, owner: &Address, kind: ResourceKind) {
    state.resources.retain(|_, r| r.resource.owner != *owner || r.resource.kind != kind);
}

fn target(state: &mut State, migration: &Address, made_root: bool, at_ms: i64) {
    let id = format!("{migration}/target");
    let known = state.resources.get(&id).map(|r| &r.resource.release);
    let made_root = made_root || matches!(known, Some(Release::Target { made_root: true, .. }));
    let Some(record) = state.migrations.get(migration).map(|m| m.record.clone()) else { return };
    let what =
        if made_root { "the target's root, and what Segue wrote below it" } else { "what Segue wrote" };
    let resource = Resource {
        id,
        kind: ResourceKind::Target,
        what: what.to_owned(),
        place: record.target.address.to_string(),
        owner: migration.clone(),
        epoch: 0,
        ttl_ms: None,
        release: Release::Target { jobs: record.jobs, made_root },
    };
    put(state, resource, at_ms);
}

fn markers(state: &mut State, migration: &Address, epoch: u64, at_ms: i64) {
    let Some(record) = state.migrations.get(migration).map(|m| m.record.clone()) else { return };
    for block in [record.source, record.target] {
        let resource = Resource {
            id: format!("{migration}/marker/{}", block.address),
            kind: ResourceKind::Marker,
            what: "the marker that says who may act here".to_owned(),
            place: block.address.to_string(),
            owner: migration.clone(),
            epoch,
            ttl_ms: None,
            release: Release::Marker(Box::new(block)),
        };
        put(state, resource, at_ms);
    }
}

/// The unit that a step is one of, with the direction in which it carries.
fn unit_of(state: &State, step: &Address) -> Option<UnitJob> {
    let (migration, known) = state.migrations.iter().find(|(address, _)| below(step, address))?;
    let is_of = |job: &&UnitJob| below(step, &migration.step(&format!("unit[{:?}]", job.unit)));
    let mut job = known.record.jobs.iter().find(is_of)?.clone();
    job.direction = state.direction_of(migration);
    Some(job)
}

fn unfinished(state: &mut State, step: &Address, at_ms: i64) {
    let Some(job) = unit_of(state, step) else { return };
    if job.direction == Direction::Forward {
        target(state, &job.migration, false, at_ms);
    }
    let resource = Resource {
        id: format!("{}/unfinished/{}", job.migration, job.unit),
        kind: ResourceKind::Unfinished,
        what: "files that a load or pass is writing".to_owned(),
        place: job.writes().address.to_string(),
        owner: job.migration.clone(),
        epoch: 0,
        ttl_ms: None,
        release: Release::Unfinished(Box::new(job)),
    };
    put(state, resource, at_ms);
}

fn finished(state: &mut State, step: &Address) {
    if let Some(job) = unit_of(state, step) {
        state.resources.remove(&format!("{}/unfinished/{}", job.migration, job.unit));
    }
}

fn ledger(state: &mut State, migration: &Address, unit: &str, name: String, at_ms: i64) {
    let resource = Resource {
        id: format!("{migration}/ledger/{unit}"),
        kind: ResourceKind::Ledger,
        what: "what both sides of every record were after the last pass".to_owned(),
        place: format!("artifacts/{name}"),
        owner: migration.clone(),
        epoch: 0,
        ttl_ms: None,
        release: Release::Artifact(name),
    };
    put(state, resource, at_ms);
}

fn kept_aside(state: &mut State, cutover: &Address, finds: &[StaleFind], at_ms: i64) {
    for (key, kept) in finds.iter().filter_map(|f| Some((&f.key, f.kept.as_ref()?))) {
        let resource = Resource {
            id: format!("{cutover}/kept_aside/{kept}"),
            kind: ResourceKind::KeptAside,
            what: format!("what a stale writer left as {key}"),
            place: format!("artifacts/{kept}"),
            owner: cutover.clone(),
            epoch: 0,
            ttl_ms: Some(KEPT_ASIDE_MS),
            release: Release::Artifact(kept.clone()),
        };
        put(state, resource, at_ms);
    }
}

fn attempt_began(state: &mut State, cutover: &Address, attempt: &Attempt, at_ms: i64) {
    drop_of(state, cutover, ResourceKind::Lease);
    let lease = Resource {
        id: format!("{cutover}/lease"),
        kind: ResourceKind::Lease,
        what: "the file that decides who ends the pause".to_owned(),
        place: "leases/ in the state directory".to_owned(),
        owner: cutover.clone(),
        epoch: attempt.epoch,
        ttl_ms: Some(attempt.timeout_ms),
        release: Release::Lease { cutover: cutover.clone(), epoch: attempt.epoch },
    };
    put(state, lease, at_ms);
    for member in &attempt.members {
        let resource = Resource {
            id: format!("{cutover}/quiesce/{}", member.close.endpoint.address),
            kind: ResourceKind::Quiesce,
            what: format!("closed by {}", member.close.block.address),
            place: member.close.endpoint.address.to_string(),
            owner: cutover.clone(),
            epoch: attempt.epoch,
            ttl_ms: Some(attempt.timeout_ms),
            release: Release::Open(Box::new(member.close.clone())),
        };
        put(state, resource, at_ms);
    }
}

/// The new side takes writes: whatever closed it once is undone, and so is what one block closes and opens.
fn member_opened(state: &mut State, cutover: &Address, migration: &Address) {
    let attempt = state.cutovers.get(cutover).and_then(|c| c.attempt.as_ref());
    let Some(member) = attempt.and_then(|a| a.member(migration)) else { return };
    let opened = format!("{cutover}/quiesce/{}", member.open.endpoint.address);
    let same = member.open_kind == segue_contract::QuiesceKind::Writers
        && member.open.block.address == member.close.block.address;
    let closed = same.then(|| format!("{cutover}/quiesce/{}", member.close.endpoint.address));
    state.resources.remove(&opened);
    if let Some(closed) = closed {
        state.resources.remove(&closed);
    }
}

fn reopened(state: &mut State, cutover: &Address, side: Side) {
    state.resources.retain(|_, r| match &r.resource.release {
        Release::Open(call) => r.resource.owner != *cutover || call.side != side,
        _ => true,
    });
}

fn fallback(state: &mut State, cutover: &Address, at_ms: i64) {
    drop_of(state, cutover, ResourceKind::Fallback);
    let Some(attempt) = state.cutovers.get(cutover).and_then(|c| c.attempt.clone()) else { return };
    if attempt.to == Side::Source {
        return;
    }
    let sides: Vec<&str> = attempt.members.iter().map(|m| m.close.endpoint.address.as_str()).collect();
    let fresh = if attempt.reverse { "kept fresh by reverse passes" } else { "as it was left" };
    let resource = Resource {
        id: format!("{cutover}/fallback"),
        kind: ResourceKind::Fallback,
        what: format!("the way back, {fresh}"),
        place: sides.join(", "),
        owner: cutover.clone(),
        epoch: attempt.epoch,
        ttl_ms: attempt.fallback.retain_ms,
        release: Release::ByHand("finished = true in the spec, then segue apply".to_owned()),
    };
    put(state, resource, at_ms);
}

fn migrations_of(state: &State, cutover: &Address) -> Vec<Address> {
    let of = |m: &MigrationState| m.record.cutover.as_ref() == Some(cutover);
    state.migrations.iter().filter(|(_, m)| of(m)).map(|(address, _)| address.clone()).collect()
}

/// A target that serves for good is nothing temporary.
fn cutover_finished(state: &mut State, cutover: &Address) {
    drop_of(state, cutover, ResourceKind::Fallback);
    drop_of(state, cutover, ResourceKind::Lease);
    let serves = state.cutovers.get(cutover).map_or(Side::Source, |c| c.live);
    for migration in migrations_of(state, cutover) {
        drop_of(state, &migration, ResourceKind::Unfinished);
        if serves == Side::Target {
            drop_of(state, &migration, ResourceKind::Target);
        }
        if !state.resources.contains_key(&format!("{migration}/target")) {
            drop_of(state, &migration, ResourceKind::Ledger);
        }
    }
}

/// Forgetting touches no system, and a target that serves is nothing temporary then. What is left keeps the ledgers
/// that releasing it needs.
fn forget(state: &mut State, address: &Address) {
    let mut migrations = migrations_of(state, address);
    migrations.extend(state.migrations.contains_key(address).then(|| address.clone()));
    drop_of(state, address, ResourceKind::Fallback);
    for migration in migrations {
        if state.live_of(&migration) == Side::Target {
            drop_of(state, &migration, ResourceKind::Target);
        }
        let units = state.migrations.get(&migration).map(|m| m.units.clone()).unwrap_or_default();
        for known in state.resources.values_mut().filter(|r| r.resource.owner == migration) {
            if let Release::Target { jobs, .. } = &mut known.resource.release {
                for job in jobs {
                    job.ledger = units.get(&job.unit).and_then(|u| u.ledger.clone());
                }
            }
        }
        if migration == *address {
            drop_of(state, &migration, ResourceKind::Ledger);
        }
    }
}

fn moved(state: &mut State, from: &Address, to: &Address) {
    let ids: Vec<String> = state
        .resources
        .values()
        .filter(|r| r.resource.owner == *from)
        .map(|r| r.resource.id.clone())
        .collect();
    for id in ids {
        let Some(mut known) = state.resources.remove(&id) else { continue };
        known.resource.id = id.replacen(from.as_str(), to.as_str(), 1);
        known.resource.owner = to.clone();
        if let Release::Lease { cutover, .. } = &mut known.resource.release {
            *cutover = to.clone();
        }
        state.resources.insert(known.resource.id.clone(), known);
    }
}
