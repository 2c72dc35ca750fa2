//! Migrations and cutovers that are in each other's way, as far as the spec's text tells: told with both places.

use std::collections::BTreeMap;

use segue_contract::{Address, Registry, Side, SystemPath};

use super::resolve::Instance;
use crate::conflicts::{Conflict, Use, conflicts};
use crate::desired::{Desired, MigrationDecl};
use crate::syntax::{Diagnostic, Diagnostics, Span};

/// Checks a spec whose blocks are all whole.
pub(super) fn check(
    desired: &Desired,
    instances: &[Instance],
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    let by_address: BTreeMap<&Address, &Instance> = instances.iter().map(|i| (&i.address, i)).collect();
    for conflict in conflicts(desired, |decl, side| declared(desired, registry, decl, side)) {
        migrations(desired, &by_address, &conflict, diagnostics);
    }
    routes(desired, &by_address, registry, diagnostics);
}

fn migrations(
    desired: &Desired,
    instances: &BTreeMap<&Address, &Instance>,
    conflict: &Conflict,
    diagnostics: &mut Diagnostics,
) {
    let place = |migration: &Address, side: Side| -> Option<Span> {
        instances.get(migration).map(|i| i.settings.place(side.as_str()))
    };
    let code = match conflict.side {
        Side::Target => "SPEC_TWO_WRITERS",
        Side::Source => "SPEC_READS_TARGET",
    };
    let mut diagnostic = Diagnostic::error(code, conflict.summary()).help(conflict.help(desired));
    let does = match conflict.side {
        Side::Target => "writes here",
        Side::Source => "reads here",
    };
    if let Some(span) = place(&conflict.second, conflict.side) {
        diagnostic = diagnostic.at(span, format!("{} {does}", conflict.second));
    }
    if let Some(span) = place(&conflict.first, Side::Target) {
        diagnostic = diagnostic.at(span, format!("{} writes here", conflict.first));
    }
    diagnostics.push(diagnostic);
}

/// Where an end of a migration is, by the text of its endpoint's block; its units as far as they are named in full.
fn declared(desired: &Desired, registry: &Registry, decl: &MigrationDecl, side: Side) -> Use {
    let (Some(source), Some(target)) =
        (desired.endpoints.get(&decl.source), desired.endpoints.get(&decl.target))
    else {
        return Use::default();
    };
    let block = match side {
        Side::Source => source,
        Side::Target => target,
    };
    let places = registry.endpoint(block).map(|e| e.declared_places(block)).unwrap_or_default();
    let Ok(engine) = registry.engine(source, target) else { return Use { places, units: Vec::new() } };
    let all = ["*".to_owned()];
    let include = if decl.select.include.is_empty() { &all[..] } else { &decl.select.include[..] };
    let named = |unit: &String| {
        let name = match side {
            Side::Source => unit.clone(),
            Side::Target => engine.name_at_target(&decl.select, unit),
        };
        // Which units a pattern takes is not known here. One pattern of one source takes the same ones twice.
        match (unit.contains('*'), side) {
            (false, _) => Some(name),
            (true, Side::Target) if decl.select.exclude.is_empty() => {
                Some(format!("{name} (from {})", decl.source))
            }
            (true, Side::Source | Side::Target) => None,
        }
    };
    Use { places, units: include.iter().filter_map(named).collect() }
}

/// A route, and what it changes, belong to one cutover that is not over.
fn routes(
    desired: &Desired,
    instances: &BTreeMap<&Address, &Instance>,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    let mut taken: BTreeMap<&Address, (&Address, Span)> = BTreeMap::new();
    let mut held: BTreeMap<SystemPath, (&Address, Span)> = BTreeMap::new();
    for cutover in desired.cutovers.values().filter(|c| !c.finished) {
        let switch = instances.get(&cutover.address).and_then(|i| i.settings.nested("switch"));
        let Some(span) = switch.map(|s| s.place("routes")) else { continue };
        for route in &cutover.routes {
            if let Some((other, first)) = taken.get(route) {
                let summary = format!(
                    "{route} is switched by {other} and by {}: one route, one cutover",
                    cutover.address
                );
                diagnostics.push(
                    Diagnostic::error("SPEC_ROUTE_TWICE", summary)
                        .at(span.clone(), "and here")
                        .at(first.clone(), "here")
                        .help("put the migrations into one cutover, or give each cutover a route of its own"),
                );
                continue;
            }
            taken.insert(route, (&cutover.address, span.clone()));
            let Some(block) = desired.routes.get(route).map(|r| &r.block) else { continue };
            let header = instances.get(route).map_or_else(|| span.clone(), |i| i.settings.header.clone());
            let places = registry.route(block).map(|r| r.declared_places(block)).unwrap_or_default();
            for place in places {
                let Some((other, first)) = held.get(&place).filter(|(other, _)| *other != route) else {
                    held.insert(place, (route, header.clone()));
                    continue;
                };
                diagnostics.push(
                    Diagnostic::error("SPEC_ROUTE_TWICE", format!("{other} and {route} both change {place}"))
                        .at(header.clone(), "this one")
                        .at(first.clone(), "and this one")
                        .help(
                            "take one of them out: what clients follow belongs to one route of one cutover",
                        ),
                );
                break;
            }
        }
    }
}
