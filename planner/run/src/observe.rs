//! Observing: asks every provider that a spec and a state name, before planning starts. Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use segue_contract::{
    Address, BlockRef, Direction, Finding, Probe, QuiesceCall, Registry, Severity, Side, StepError, StepIo,
    UnitJob, VerifyLevel,
};
use segue_language::{CutoverDecl, Desired, GateCondition, MigrationDecl};
use segue_plan::event::BootTime;
use segue_plan::observe::{MigrationSeen, Observed, QuiesceSeen, RouteSeen, Seen};
use segue_plan::state::State;

use crate::clock::Clock;

/// Observes everything that a plan of `desired` rests on; endpoints and units beside each other.
pub fn observe(
    desired: &Desired,
    state: &State,
    registry: &Registry,
    io: &dyn StepIo,
    clock: &dyn Clock,
) -> Observed {
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
    for decl in desired.cutovers.values() {
        observed.quiesces.insert(decl.address.clone(), quiesces(decl, desired, registry));
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
        },
        Err(error) => RouteSeen { at: seen(Err(error)), atomic: false, ttl_ms: 0, findings: Vec::new() },
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
    if let Ok(endpoint) = registry.endpoint(source) {
        result.findings = endpoint.check_pair(source, target);
    }
    let Some(facts) = endpoints.get(&decl.source).and_then(Seen::fact) else {
        return result;
    };
    let known = state.migrations.get(&decl.address);
    let mut names: Vec<String> = facts.units.iter().map(|u| u.name.clone()).collect();
    if let Some(known) = known.filter(|m| !m.units.is_empty()) {
        names = known.units.keys().cloned().collect();
    }
    let refused = result.findings.iter().chain(&facts.findings).any(|f| f.severity == Severity::Critical);
    for name in names {
        if refused || state.cutover_of(&decl.address).is_some_and(|c| c.finished) {
            result.units.insert(name, Seen::Fact(Default::default()));
            continue;
        }
        let job = UnitJob {
            migration: decl.address.clone(),
            unit: name.clone(),
            source: source.clone(),
            target: target.clone(),
            direction: if known.is_some() { state.direction_of(&decl.address) } else { Direction::Forward },
            select: decl.select.clone(),
            load: decl.load,
            ledger: known.and_then(|m| m.units.get(&name)).and_then(|u| u.ledger.clone()),
            epoch: 0,
        };
        let report =
            registry.engine(source, target).and_then(|engine| engine.drift(&job, VerifyLevel::Count, io));
        result.units.insert(name, seen(report));
    }
    result
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

fn quiesces(decl: &CutoverDecl, desired: &Desired, registry: &Registry) -> Vec<QuiesceSeen> {
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
            let call = QuiesceCall { block: quiesce.block.clone(), endpoint: endpoint.clone(), side };
            found.push(QuiesceSeen {
                block: quiesce.block.address.clone(),
                migration: migration.address.clone(),
                side,
                kind: method.kind_of(&quiesce.block),
                findings: method.check(&call),
                reopeners: method.reopeners(&call),
            });
        }
    }
    found
}
