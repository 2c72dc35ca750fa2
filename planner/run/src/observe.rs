//! Observing: asks every provider that a spec and a state name, before planning starts. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_contract::{
    Address, BlockRef, Engine, Finding, Marker, Probe, QuiesceCall, Registry, Severity, Side, StepError,
    StepIo, UnitJob, UnitName, VerifyLevel,
};
use segue_language::{CutoverDecl, Desired, GateCondition, MigrationDecl};
use segue_plan::event::BootTime;
use segue_plan::observe::{MigrationSeen, Observed, QuiesceSeen, RouteSeen, Seen};
use segue_plan::state::{MigrationState, State};

use crate::clock::Clock;

/// Observes everything that a plan of `desired` rests on; endpoints and units beside each other.
pub fn observe(
    desired: &Desired,
    state: &State,
    registry: &Registry,
    io: &dyn StepIo,
    clock: &dyn Clock,
) -> Observed {
    let state = &*state.taking_up(desired);
    let mut observed = Observed::default();
    std::thread::scope(|scope| {
        let endpoints: Vec<_> = desired
            .endpoints
            .iter()
            .map(|(address, block)| {
                let task =
                    scope.spawn(move || seen(registry.endpoint(block).and_then(|e| e.observe(block, io))));
                (address, task)
            })
            .collect();
        for (address, task) in endpoints {
            observed.endpoints.insert(address.clone(), task.join().unwrap_or_else(|_| crashed(address)));
        }
    });
    for (address, decl) in &desired.routes {
        observed.routes.insert(address.clone(), route(&decl.block, registry, io));
    }
    std::thread::scope(|scope| {
        let migrations: Vec<_> = desired
            .migrations
            .values()
            .map(|decl| {
                let endpoints = &observed.endpoints;
                (&decl.address, scope.spawn(move || migration(decl, desired, state, registry, endpoints, io)))
            })
            .collect();
        let mut found = BTreeMap::new();
        for (address, task) in migrations {
            found.insert(address.clone(), task.join().unwrap_or_default());
        }
        found
    })
    .into_iter()
    .for_each(|(address, seen)| {
        observed.migrations.insert(address, seen);
    });
    for decl in desired.migrations.values() {
        let found = markers(decl, desired, registry, &observed);
        observed.migrations.entry(decl.address.clone()).or_default().markers = found;
    }
    for decl in desired.cutovers.values() {
        let found = quiesces(decl, desired, registry, &observed.migrations);
        observed.quiesces.insert(decl.address.clone(), found);
        observed.probes.insert(decl.address.clone(), probes(decl, registry));
    }
    observed.at_ms = clock.wall_ms();
    observed.at_boot = BootTime { ms: clock.boot_ms(), boot_id: clock.boot_id().to_owned() };
    observed
}

fn seen<T>(result: Result<T, StepError>) -> Seen<T> {
    match result {
        Ok(fact) => Seen::Fact(fact),
        Err(error) => Seen::Failed { message: error.to_string(), remedy: error.remedy },
    }
}

fn crashed<T>(address: &Address) -> Seen<T> {
    Seen::Failed { message: format!("observing {address} stopped by a defect of segue"), remedy: None }
}

fn route(block: &BlockRef, registry: &Registry, io: &dyn StepIo) -> RouteSeen {
    match registry.route(block) {
        Ok(route) => RouteSeen {
            at: seen(route.observe(block, io)),
            atomic: route.atomic(),
            ttl_ms: route.ttl_ms(block),
            findings: route.check(block),
            place: route.place(block),
        },
        Err(error) => {
            RouteSeen { at: seen(Err(error)), atomic: false, ttl_ms: 0, findings: Vec::new(), place: None }
        }
    }
}

fn migration(
    decl: &MigrationDecl,
    desired: &Desired,
    state: &State,
    registry: &Registry,
    endpoints: &BTreeMap<Address, Seen<segue_contract::EndpointFacts>>,
    io: &dyn StepIo,
) -> MigrationSeen {
    let mut result = MigrationSeen::default();
    let (Some(source), Some(target)) =
        (desired.endpoints.get(&decl.source), desired.endpoints.get(&decl.target))
    else {
        return result;
    };
    let pair = registry.endpoint(source).map(|endpoint| endpoint.check_pair(source, target));
    result.findings = pair.unwrap_or_default();
    let Some(facts) = endpoints.get(&decl.source).and_then(Seen::fact) else {
        return result;
    };
    let known = state.migrations.get(&decl.address);
    let engine = match registry.engine(source, target) {
        Ok(engine) => engine,
        Err(error) => {
            let failed = seen(Err(error));
            result.units = facts.units.iter().map(|u| (u.name.clone(), failed.clone())).collect();
            return result;
        }
    };
    result.unseen = engine.unseen().map(str::to_owned);
    result.findings.extend(engine.check(&decl.select, &decl.transform));
    let selected = facts.units.iter().filter(|u| engine.selects(&decl.select, &u.name));
    let mut names: Vec<String> = selected.map(|u| u.name.clone()).collect();
    if let Some(known) = known.filter(|m| !m.units.is_empty()) {
        // What appears at the source while it serves is moved, too; what appears elsewhere is somebody else's.
        if state.live_of(&decl.address) == Side::Target {
            names.clear();
        }
        names.extend(known.units.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    }
    let units: Vec<UnitName> = names.iter().map(|name| engine.unit_name(&decl.select, name)).collect();
    result.at_target = units.iter().map(|unit| unit.at_target.clone()).collect();
    let finished = state.cutover_of(&decl.address).is_some_and(|c| c.finished);
    let compared = registry.endpoint(source).ok().filter(|_| !finished);
    result.findings.extend(compared.into_iter().flat_map(|e| e.compare(source, target, &units, io)));
    fill(&decl.jobs(source, target, &units), known, engine.as_ref(), io, &mut result.findings);
    let refused = result.findings.iter().chain(&facts.findings).any(|f| f.severity == Severity::Critical);
    for mut job in decl.jobs(source, target, &units) {
        if refused || finished {
            result.units.insert(job.unit, Seen::Fact(Default::default()));
            continue;
        }
        if let Some(known) = known {
            job.direction = state.direction_of(&decl.address);
            job.ledger = known.units.get(&job.unit).and_then(|u| u.ledger.clone());
        }
        let report = engine.drift(&job, VerifyLevel::Count, io);
        result.units.insert(job.unit, seen(report));
    }
    result
}

/// What a mode of the first load makes of what was found, as long as something is to be loaded.
fn fill(
    jobs: &[UnitJob],
    known: Option<&MigrationState>,
    engine: &dyn Engine,
    io: &dyn StepIo,
    findings: &mut Vec<Finding>,
) {
    let modes = engine.load_modes();
    let Some(job) = jobs.first() else { return };
    let Some(mode) = modes.iter().find(|mode| mode.name == job.load.mode.name) else { return };
    findings.retain(|found| !mode.voids.contains(&found.code));
    let loaded = |job: &UnitJob| known.and_then(|m| m.units.get(&job.unit)).is_some_and(|unit| unit.loaded);
    for job in jobs.iter().filter(|job| !loaded(job)) {
        let found = engine.check_load(job, io);
        // What is the cluster's is told once, whatever the number of units.
        for finding in found {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
}

/// What the checks of providers' gates and watches found; nothing is asked of the world yet.
fn probes(decl: &CutoverDecl, registry: &Registry) -> Vec<(Address, Vec<Finding>)> {
    let gates = decl.gates.iter().filter_map(|gate| match &gate.condition {
        GateCondition::Probe { block, .. } => Some((block, registry.gate(block))),
        _ => None,
    });
    let watches = decl.watches.iter().map(|watch| (&watch.block, registry.watch(&watch.block)));
    let fences = decl.fallback.fence.iter().map(|block| {
        let findings = registry.fence(block).map_or_else(unknown, |fence| fence.check(block));
        (block.address.clone(), findings)
    });
    let check = |(block, probe): (&BlockRef, Result<&Arc<dyn Probe>, StepError>)| {
        (block.address.clone(), probe.map_or_else(unknown, |probe| probe.check(block)))
    };
    gates.chain(watches).map(check).chain(fences).collect()
}

fn unknown(error: StepError) -> Vec<Finding> {
    vec![Finding {
        severity: Severity::Critical,
        code: "PROBE_UNKNOWN".to_owned(),
        summary: error.to_string(),
        remedy: error.remedy.unwrap_or_default(),
    }]
}

fn quiesces(
    decl: &CutoverDecl,
    desired: &Desired,
    registry: &Registry,
    migrations: &BTreeMap<Address, MigrationSeen>,
) -> Vec<QuiesceSeen> {
    let mut found = Vec::new();
    for migration in decl.migrations.iter().filter_map(|m| desired.migrations.get(m)) {
        for (side, endpoint) in [(Side::Source, &migration.source), (Side::Target, &migration.target)] {
            let (Some(endpoint), Some(quiesce)) =
                (desired.endpoints.get(endpoint), decl.quiesce_of(&migration.address, side))
            else {
                continue;
            };
            let Ok(method) = registry.quiesce(&quiesce.block) else {
                continue;
            };
            let endpoint = endpoint.narrowed(names_at(migration, side, desired, registry, migrations));
            let call = QuiesceCall { block: quiesce.block.clone(), endpoint, side };
            found.push(QuiesceSeen {
                block: quiesce.block.address.clone(),
                migration: migration.address.clone(),
                side,
                kind: method.kind_of(&quiesce.block),
                findings: method.check(&call),
                reopeners: method.reopeners(&call),
                needs_person: method.needs_person(),
            });
        }
    }
    found
}

/// The markers at both ends of a migration: the endpoints' own, and those of its units there.
fn markers(
    decl: &MigrationDecl,
    desired: &Desired,
    registry: &Registry,
    observed: &Observed,
) -> Vec<(Address, Marker)> {
    let mut found: Vec<(Address, Marker)> = Vec::new();
    for (side, endpoint) in [(Side::Source, &decl.source), (Side::Target, &decl.target)] {
        let Some(facts) = observed.endpoints.get(endpoint).and_then(Seen::fact) else { continue };
        let names = names_at(decl, side, desired, registry, &observed.migrations);
        let units = facts.units.iter().filter(|unit| names.contains(&unit.name));
        for marker in facts.marker.iter().chain(units.filter_map(|unit| unit.marker.as_ref())) {
            let known = |(at, m): &(Address, Marker)| {
                at == endpoint && m.state_id == marker.state_id && m.epoch == marker.epoch
            };
            if !found.iter().any(known) {
                found.push((endpoint.clone(), marker.clone()));
            }
        }
    }
    found
}

/// What the units of a migration are called at one of its ends.
fn names_at(
    decl: &MigrationDecl,
    side: Side,
    desired: &Desired,
    registry: &Registry,
    migrations: &BTreeMap<Address, MigrationSeen>,
) -> Vec<String> {
    let ends = desired.endpoints.get(&decl.source).zip(desired.endpoints.get(&decl.target));
    let Some(engine) = ends.and_then(|(source, target)| registry.engine(source, target).ok()) else {
        return Vec::new();
    };
    let units = migrations.get(&decl.address).map(|seen| seen.units.keys());
    let names = units.into_iter().flatten().map(|unit| engine.unit_name(&decl.select, unit));
    names.map(|name| if side == Side::Source { name.unit } else { name.at_target }).collect()
}
