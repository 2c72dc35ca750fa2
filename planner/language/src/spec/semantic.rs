//! What the blocks of a spec must be to each other: every live endpoint is quiesced by exactly one block, a
//! migration belongs to one cutover, a removed block is gone.

use std::collections::BTreeMap;

use segue_contract::{Address, Registry, Side};

use super::resolve::Instance;
use crate::desired::{CutoverDecl, Desired};
use crate::syntax::{Diagnostic, Diagnostics, Span};

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
