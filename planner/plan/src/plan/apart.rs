//! Migrations and routes that are in each other's way, as only looking shows: two paths to one directory, two addresses
//! of one cluster. What the spec's text tells was told before.

use std::collections::BTreeMap;

use segue_contract::{Address, Severity, Side, SystemPath};
use segue_language::{MigrationDecl, Use, conflicts};

use super::build::Ground;
use super::checks::Notes;
use crate::observe::Seen;

pub(super) fn notes(ground: &Ground<'_>, notes: &mut Notes) {
    for conflict in conflicts(ground.desired, |decl, side| seen(ground, decl, side)) {
        let help = conflict.help(ground.desired);
        notes.push(&conflict.second, Severity::Critical, "MIGRATIONS_COLLIDE", conflict.summary(), help);
    }
    routes(ground, notes);
}

fn seen(ground: &Ground<'_>, decl: &MigrationDecl, side: Side) -> Use {
    let endpoint = match side {
        Side::Source => &decl.source,
        Side::Target => &decl.target,
    };
    let facts = ground.observed.endpoints.get(endpoint).and_then(Seen::fact);
    let places = facts.map(|facts| facts.places.clone()).unwrap_or_default();
    let units = ground.observed.migrations.get(&decl.address).map(|seen| match side {
        Side::Source => seen.units.keys().cloned().collect(),
        Side::Target => seen.at_target.clone(),
    });
    Use { places, units: units.unwrap_or_default() }
}

fn routes(ground: &Ground<'_>, notes: &mut Notes) {
    let mut held: BTreeMap<&SystemPath, &Address> = BTreeMap::new();
    for route in ground.desired.cutovers.values().filter(|c| !c.finished).flat_map(|c| &c.routes) {
        let place = ground.observed.routes.get(route).and_then(|seen| seen.place.as_ref());
        let Some(place) = place else { continue };
        match held.insert(place, route) {
            Some(other) if other != route => notes.push(
                route,
                Severity::Critical,
                "ROUTES_COLLIDE",
                format!("changes {place}, and so does {other}"),
                "take one of them out: what clients follow belongs to one route of one cutover",
            ),
            Some(_) | None => {}
        }
    }
}
