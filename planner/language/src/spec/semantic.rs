//! What the blocks of a spec must be to each other: every live endpoint is quiesced by exactly one block, a
//! migration belongs to one cutover, a removed block is gone.

use std::collections::BTreeMap;

use segue_contract::{Address, BlockRef, LoadMode, LoadModeSchema, Registry, Side};

use super::body::Settings;
use super::resolve::Instance;
use crate::desired::{CutoverDecl, Desired};
use crate::syntax::{Diagnostic, Diagnostics, Span, nearest};

/// Checks a spec whose blocks are all whole.
pub(super) fn check(
    desired: &Desired,
    instances: &[Instance],
    removed: &[(Address, Span)],
    diagnostics: &mut Diagnostics,
) {
    let by_address: BTreeMap<&Address, &Instance> = instances.iter().map(|i| (&i.address, i)).collect();
    let mut owner: BTreeMap<&Address, (&Address, Span)> = BTreeMap::new();
    for cutover in desired.cutovers.values() {
        let Some(instance) = by_address.get(&cutover.address) else {
            continue;
        };
        for migration in &cutover.migrations {
            let place = instance.settings.place("migrations");
            if let Some((other, first)) = owner.get(migration) {
                diagnostics.push(
                    Diagnostic::error(
                        "SPEC_TWO_CUTOVERS",
                        format!("{migration} is part of {other} and of {}", cutover.address),
                    )
                    .at(place, "and here")
                    .at(first.clone(), "here")
                    .help("a migration switches in one cutover: take it out of one of them"),
                );
            } else {
                owner.insert(migration, (&cutover.address, place));
            }
        }
        quiesces(cutover, instance, diagnostics);
    }
    for (address, span) in removed {
        let gone = !instances.iter().any(|i| {
            let there = i.address.as_str();
            there == address.as_str()
                || there.strip_prefix(address.as_str()).is_some_and(|rest| rest.starts_with('['))
        });
        if !gone {
            diagnostics.push(
                Diagnostic::error("SPEC_NOT_REMOVED", format!("{address} is still in the spec"))
                    .at(span.clone(), "said to be removed here")
                    .help("take the block itself out of the spec, or this `removed` block"),
            );
        }
    }
}

/// Reads go over in steps only where every route of the cutover can weigh.
pub(super) fn weights(
    desired: &Desired,
    instances: &[Instance],
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    let can = |address: &Address| {
        let block = desired.routes.get(address).map(|route| &route.block)?;
        registry.route(block).ok().map(|route| route.can_weigh(block))
    };
    let weighing: Vec<&str> =
        desired.routes.keys().filter(|a| can(a) == Some(true)).map(Address::as_str).collect();
    for cutover in desired.cutovers.values().filter(|c| c.weights.is_some()) {
        let instance = instances.iter().find(|i| i.address == cutover.address);
        let Some(switch) = instance.and_then(|i| i.settings.nested("switch")) else { continue };
        for route in cutover.routes.iter().filter(|route| can(route) == Some(false)) {
            let known = match weighing.as_slice() {
                [] => "no route of this spec can; a `route \"command\"` with `weigh` could".to_owned(),
                some => format!("those that can: {}", some.join(", ")),
            };
            diagnostics.push(
                Diagnostic::error(
                    "SPEC_CANNOT_WEIGH",
                    format!("{route} cannot send a part of the reads to the target"),
                )
                .at(switch.place("steps"), "steps of reads")
                .at(switch.place("routes"), "through this route")
                .help(format!("leave `steps` out, or take another route: {known}")),
            );
        }
    }
}

/// A mode of the first load is one that the pair's engine has, with what belongs to it and nothing else.
pub(super) fn modes(
    desired: &Desired,
    instances: &[Instance],
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    for migration in desired.migrations.values() {
        let ends = desired.endpoints.get(&migration.source).zip(desired.endpoints.get(&migration.target));
        // That nothing moves data between the two is told by the plan.
        let Some(engine) = ends.and_then(|(source, target)| registry.engine(source, target).ok()) else {
            continue;
        };
        let instance = instances.iter().find(|i| i.address == migration.address);
        let Some(load) = instance.and_then(|i| i.settings.nested("load")) else { continue };
        let mode = &migration.load.mode;
        let known = engine.load_modes();
        let found = known.iter().find(|schema| schema.name == mode.name);
        if found.is_none() && !mode.is_copy() {
            diagnostics.push(unknown_mode(mode, &known, ends, load));
            continue;
        }
        let own = found.map_or(&[][..], |schema| &schema.attributes);
        for (name, _) in mode.config.iter().filter(|(name, _)| !own.iter().any(|a| a.name == *name)) {
            let with = known.iter().filter(|schema| schema.attributes.iter().any(|a| a.name == name));
            let with: Vec<&str> = with.map(|schema| schema.name.as_str()).collect();
            diagnostics.push(
                Diagnostic::error(
                    "SPEC_UNKNOWN_ARGUMENT",
                    format!("`{name}` has no meaning with mode {:?}", mode.name),
                )
                .at(load.place(name), "")
                .help(match with.as_slice() {
                    [] => format!("take it out: no mode between these two systems has `{name}`"),
                    some => format!("take it out, or set mode to {}", some.join(" or ")),
                }),
            );
        }
        for missing in own.iter().filter(|a| a.required && mode.config.get(&a.name).is_none()) {
            diagnostics.push(
                Diagnostic::error(
                    "SPEC_MISSING_ARGUMENT",
                    format!("mode {:?} needs `{}`", mode.name, missing.name),
                )
                .at(load.place("mode"), "")
                .help(missing.doc.clone()),
            );
        }
    }
}

fn unknown_mode(
    mode: &LoadMode,
    known: &[LoadModeSchema],
    ends: Option<(&BlockRef, &BlockRef)>,
    load: &Settings,
) -> Diagnostic {
    let mut names = vec![LoadMode::COPY.to_owned()];
    names.extend(known.iter().map(|schema| schema.name.clone()));
    let (source, target) = ends.map_or(("", ""), |(s, t)| (s.provider.as_str(), t.provider.as_str()));
    let summary = format!("nothing is loaded from {source} to {target} in mode {:?}", mode.name);
    let help = match nearest(&mode.name, &names) {
        Some(near) => format!("did you mean {near:?}? The modes are {}", names.join(", ")),
        None => format!("the modes are {}", names.join(", ")),
    };
    Diagnostic::error("SPEC_UNKNOWN_MODE", summary).at(load.place("mode"), "").help(help)
}

fn quiesces(cutover: &CutoverDecl, instance: &Instance, diagnostics: &mut Diagnostics) {
    let places: Vec<&Span> = instance.settings.all("quiesce").map(|n| &n.settings.header).collect();
    for (quiesce, place) in cutover.quiesces.iter().zip(&places) {
        for migration in quiesce.migrations.iter().filter(|m| !cutover.migrations.contains(m)) {
            diagnostics.push(
                Diagnostic::error(
                    "SPEC_WRONG_REFERENCE",
                    format!("{migration} is no migration of {}", cutover.address),
                )
                .at((*place).clone(), "")
                .help("name migrations of this cutover"),
            );
        }
    }
    for migration in &cutover.migrations {
        for side in [Side::Source, Side::Target] {
            let covering: Vec<usize> = (0..cutover.quiesces.len())
                .filter(|&i| {
                    let q = &cutover.quiesces[i];
                    (q.migrations.is_empty() || q.migrations.contains(migration))
                        && q.side.is_none_or(|s| s == side)
                })
                .collect();
            match covering.as_slice() {
                [_] => {}
                [first, second, ..] => diagnostics.push(
                    Diagnostic::error(
                        "SPEC_TWO_QUIESCES",
                        format!(
                            "two quiesce blocks of {} apply to the {side} of {migration}",
                            cutover.address
                        ),
                    )
                    .at(places[*second].clone(), "this one")
                    .at(places[*first].clone(), "and this one")
                    .help("narrow them with migrations = [...], or an empty source { } or target { } inside"),
                ),
                // The source is live first; the target must be covered, too, where the spec goes back from it.
                // Whether it is live now is in the state: the plan checks that.
                [] if side == Side::Source && !cutover.finished => diagnostics.push(
                    Diagnostic::error(
                        "SPEC_NO_QUIESCE",
                        format!(
                            "no quiesce block of {} applies to the {side} of {migration}, which is live",
                            cutover.address
                        ),
                    )
                    .at(instance.settings.header.clone(), "")
                    .help("say how its writes are stopped: quiesce \"command\" { ... }"),
                ),
                [] => {}
            }
        }
    }
}
