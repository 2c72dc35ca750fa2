//! What a plan says of the ways back: who re-opens a closed side when the machine dies, how fresh the old side is, and
//! a side that was left and came back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use segue_contract::{Address, EndpointFacts, Severity, Side, segue};
use segue_language::CutoverDecl;

use super::build::Ground;
use super::checks::Notes;
use super::cutover_steps::{duration, reopening};
use crate::cutover::{Freshness, WayBack, by_hand_file};
use crate::diff::Change;
use crate::observe::Seen;

/// Protocol P9: that nobody re-opens a side when this machine dies is a warning.
pub(super) fn nobody_reopens(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl, change: Change) {
    let from = if change == Change::Switch { Side::Source } else { Side::Target };
    for (endpoint, reopeners) in reopening(ground, decl, from) {
        if reopeners.machine.is_some() {
            continue;
        }
        notes.push(
            &endpoint,
            Severity::Warning,
            "NOBODY_REOPENS",
            "nobody re-opens it if this machine dies in the pause".to_owned(),
            format!(
                "run any segue command as soon as the machine is back, or follow {}; `{}` at boot does it by itself",
                by_hand(ground, decl).display(),
                segue(&["apply"])
            ),
        );
    }
}

/// Where the commands will be that open a side without Segue.
pub(super) fn by_hand(ground: &Ground<'_>, decl: &CutoverDecl) -> PathBuf {
    let known = ground.state.cutovers.keys().chain(ground.desired.cutovers.keys());
    let several = known.collect::<BTreeSet<_>>().len() > 1;
    by_hand_file(&ground.desired.state_dir, several, &decl.address)
}

/// How old the way back is, told before it is too old.
pub(super) fn way_back(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    let observed = ground.observed;
    let Some(way) = WayBack::of(ground.state, &decl.address, observed.at_ms, &observed.at_boot) else {
        return;
    };
    if !way.reverse {
        return;
    }
    let waiting: u64 = decl
        .migrations
        .iter()
        .filter_map(|m| observed.migrations.get(m))
        .flat_map(|m| m.units.values())
        .filter_map(Seen::fact)
        .map(|report| report.waiting_records)
        .sum();
    let whole = |ms: u64| duration(ms / 1000 * 1000);
    let age = format!(
        "if you go back now: 0 writes lost, {} behind, {waiting} records are carried back first",
        whole(way.behind_ms)
    );
    let remedy = &format!("keep it fresh: `{}`", segue(&["apply", "--follow"]));
    match way.freshness() {
        Freshness::Fresh => notes.push(&decl.address, Severity::Info, "FALLBACK_AGE", age, remedy),
        Freshness::StaleSoon { in_ms } => {
            let summary = format!("the way back is stale in {}: {age}", whole(in_ms));
            notes.push(&decl.address, Severity::Warning, "FALLBACK_STALE_SOON", summary, remedy);
        }
        Freshness::Stale => {
            let summary = format!(
                "the way back is STALE, nothing was carried to it for {}: {age}",
                whole(way.max_age_ms)
            );
            notes.push(&decl.address, Severity::Warning, "FALLBACK_STALE", summary, remedy);
        }
    }
}

/// Protocol P22: a side that was left without being read is not written to, and nothing is switched to it, before it is
/// taken back. While the cutover is held nothing would be done anyway.
pub(super) fn left(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    let Some(known) = ground.state.cutovers.get(&decl.address) else { return };
    let Some(left) = &known.left else { return };
    let held = known.held.as_ref().is_some_and(|h| h.wanted == decl.live);
    let migrations = decl.migrations.iter().filter_map(|m| ground.desired.migrations.get(m));
    let back: Vec<String> = migrations
        .filter_map(|m| {
            let endpoint = match left.side {
                Side::Source => &m.source,
                Side::Target => &m.target,
            };
            let seen = ground.observed.migrations.get(&m.address)?;
            let epoch = seen.markers_at(endpoint).map(|marker| marker.epoch).min()?;
            let behind = format!("{endpoint} is back, its marker (epoch {epoch}) is behind");
            (epoch < left.epoch).then_some(behind)
        })
        .collect();
    let back = if back.is_empty() {
        String::new()
    } else {
        format!("; {}: what is there is stale", back.join(", "))
    };
    notes.push(
        &decl.address,
        if held { Severity::Warning } else { Severity::Critical },
        "SIDE_LEFT",
        format!("the {} was left without being read in epoch {}, {}{back}", left.side, left.epoch, left.loses),
        format!(
            "bring the {} back, still fenced; `{}` takes it back, and what it took is kept aside by the next pass",
            left.side,
            segue(&["unhold", decl.address.as_str()])
        ),
    );
}

/// Whether a migration's cutover is on its way back from a side that is not healthy: that it cannot be observed must
/// not keep anybody from leaving it.
pub(super) fn is_gone_back_from(ground: &Ground<'_>, migration: &Address) -> bool {
    ground.state.cutover_of(migration).is_some_and(|c| c.goes_back() || c.left.is_some())
}

/// An endpoint that cannot be observed, and need not be: it is being left, or was left and rests.
pub(super) fn may_be_silent(
    ground: &Ground<'_>,
    notes: &mut Notes,
    endpoint: &Address,
    seen: &Seen<EndpointFacts>,
) -> bool {
    let Seen::Failed { message, remedy } = seen else { return false };
    let left = ground.desired.migrations.values().any(|m| {
        let Some(cutover) = ground.state.cutover_of(&m.address) else { return false };
        let side = match (&cutover.left, cutover.goes_back()) {
            (Some(left), _) => left.side,
            (None, true) => cutover.live,
            (None, false) => return false,
        };
        *endpoint
            == *match side {
                Side::Source => &m.source,
                Side::Target => &m.target,
            }
    });
    if left {
        let remedy = remedy.as_deref().unwrap_or("bring it back");
        notes.push(endpoint, Severity::Warning, "OBSERVE_FAILED", message.clone(), remedy);
    }
    left
}
