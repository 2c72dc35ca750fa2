//! What a plan refuses, or says loudly, before anything runs.

use std::collections::BTreeSet;

use segue_contract::{
    Address, Barrier, EndpointFacts, Finding, Marker, QuiesceKind, SetAside, Severity, Side, segue,
};
use segue_language::{CutoverDecl, MigrationDecl, SET_ASIDE, WaiverDecl};

use super::Note;
use super::build::Ground;
use crate::cutover::{Settle, settle};
use crate::diff::Change;
use crate::observe::Seen;
use crate::state::MigrationState;

pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn push(
        &mut self,
        address: &Address,
        severity: Severity,
        code: &str,
        summary: String,
        remedy: impl Into<String>,
    ) {
        let finding = Finding { severity, code: code.to_owned(), summary, remedy: remedy.into() };
        self.0.push(Note { address: address.clone(), finding });
    }

    pub(super) fn extend(&mut self, address: &Address, findings: &[Finding]) {
        self.0.extend(findings.iter().map(|f| Note { address: address.clone(), finding: f.clone() }));
    }

    fn failed<T>(&mut self, address: &Address, seen: &Seen<T>) {
        if let Seen::Failed { message, remedy } = seen {
            let remedy = remedy.as_deref().unwrap_or("mend that, then plan again");
            self.push(address, Severity::Critical, "OBSERVE_FAILED", message.clone(), remedy);
        }
    }
}

/// All notes, critical ones first.
pub(super) fn notes(ground: &Ground<'_>) -> Vec<Note> {
    let mut notes = Notes(Vec::new());
    for (address, seen) in &ground.observed.endpoints {
        if !super::fallback_notes::may_be_silent(ground, &mut notes, address, seen) {
            notes.failed(address, seen);
        }
        if let Some(facts) = seen.fact() {
            endpoint(ground, &mut notes, address, facts);
        }
    }
    for (address, seen) in &ground.observed.routes {
        notes.failed(address, &seen.at);
        notes.extend(address, &seen.findings);
    }
    for decl in ground.desired.migrations.values() {
        migration(ground, &mut notes, decl);
        super::deletions::notes(ground, &mut notes, decl);
    }
    for decl in ground.desired.cutovers.values() {
        cutover(ground, &mut notes, decl);
    }
    left_out(ground, &mut notes);
    super::apart::notes(ground, &mut notes);
    let mut notes = notes.0;
    notes.sort_by_key(|n| std::cmp::Reverse(n.finding.severity));
    notes
}

/// What the endpoint's own check found, less what this state explains: a target that is not empty
/// because this migration filled it.
fn endpoint(ground: &Ground<'_>, notes: &mut Notes, address: &Address, facts: &EndpointFacts) {
    let ours = ground
        .state
        .migrations
        .values()
        .any(|m| m.record.target.address == *address && m.record.target_identity == facts.identity);
    notes.extend(address, &facts.findings);
    if !ours {
        notes.extend(address, facts.foreign.as_slice());
    }
}

fn migration(ground: &Ground<'_>, notes: &mut Notes, decl: &MigrationDecl) {
    let address = &decl.address;
    if let Some(seen) = ground.observed.migrations.get(address) {
        notes.extend(address, &seen.findings);
        for report in seen.units.values() {
            if !super::fallback_notes::is_gone_back_from(ground, address) {
                notes.failed(address, report);
            }
        }
    }
    if ground.change_of(address) == Change::Rest {
        return;
    }
    let known = ground.state.migrations.get(address);
    for (side, endpoint) in [(Side::Source, &decl.source), (Side::Target, &decl.target)] {
        let Some(facts) = ground.observed.endpoints.get(endpoint).and_then(Seen::fact) else {
            continue;
        };
        let seen = ground.observed.migrations.get(address);
        for marker in seen.into_iter().flat_map(|m| m.markers_at(endpoint)) {
            check_marker(ground, notes, (address, endpoint), marker, known);
        }
        let Some(known) = known else { continue };
        let recorded = match side {
            Side::Source => &known.record.source_identity,
            Side::Target => &known.record.target_identity,
        };
        if *recorded != facts.identity && known.marker.is_some() {
            notes.push(
                endpoint,
                Severity::Critical,
                "IDENTITY_CHANGED",
                format!(
                    "is another system than the one that {address} began with ({} now, {recorded} then)",
                    facts.identity
                ),
                "restore what the block pointed to, or begin again under another name for the migration",
            );
        }
    }
    match known {
        Some(known) => set_aside(ground, notes, address, known),
        None => room(ground, notes, decl),
    }
}

/// Whether the target has room for what the first load brings. A warning: a file system may compress, or share.
fn room(ground: &Ground<'_>, notes: &mut Notes, decl: &MigrationDecl) {
    let seen = ground.observed.migrations.get(&decl.address);
    let needs = seen.into_iter().flat_map(|m| m.units.values()).map(|unit| unit.fact()?.needs_bytes);
    let target = ground.observed.endpoints.get(&decl.target).and_then(Seen::fact);
    let (Some(needs), Some(free)) = (needs.sum::<Option<u64>>(), target.and_then(|t| t.free_bytes)) else {
        return;
    };
    if needs > free {
        notes.push(
            &decl.target,
            Severity::Warning,
            "TARGET_SPACE",
            format!(
                "has {free} bytes free, and what {} carries takes about {needs} there (a scan of the source: each file once, in whole blocks, without holes)",
                decl.address
            ),
            "make room, name a larger target, or leave something out with select { exclude = [...] }",
        );
    }
}

/// What passes left out, unit by unit.
fn set_aside(ground: &Ground<'_>, notes: &mut Notes, address: &Address, known: &MigrationState) {
    for (name, unit) in &known.units {
        if unit.set_aside_total > 0 {
            let first =
                unit.set_aside.first().map(|s| format!("{}: {}", s.key, s.reason)).unwrap_or_default();
            let waivers = ground.desired.waivers_of(address);
            let waived = WaiverDecl::accept_left_out(&waivers, &unit.set_aside, unit.set_aside_total);
            let said = match waived {
                true => format!("; every one of them is waived: {}", reasons(&waivers, &unit.set_aside)),
                false => String::new(),
            };
            notes.push(
                &super::migration_steps::unit_address(address, name),
                if waived { Severity::Info } else { Severity::Warning },
                SET_ASIDE,
                format!(
                    "{} records were left out by the last pass, the first: {first}{said}",
                    unit.set_aside_total
                ),
                "mend them at the source, exclude them in select, or name them in waive \"SET_ASIDE\": a cutover does not pass its gates before, and apply exits 3",
            );
        }
    }
}

/// Why records are waived, each reason once.
fn reasons(waivers: &[WaiverDecl], left_out: &[SetAside]) -> String {
    let reasons = left_out.iter().filter_map(|s| WaiverDecl::of_left_out(waivers, &s.key));
    let reasons: BTreeSet<&str> = reasons.map(|waiver| waiver.reason.as_str()).collect();
    reasons.into_iter().collect::<Vec<_>>().join("; ")
}

/// Protocol P18 and P19: a marker of another state, or one that is ahead of this journal.
fn check_marker(
    ground: &Ground<'_>,
    notes: &mut Notes,
    (migration, endpoint): (&Address, &Address),
    marker: &Marker,
    known: Option<&MigrationState>,
) {
    // The stage of a rehearsal claims the source for the migration that it rehearses.
    let staged = ground.state.stage_of(migration).map_or(0, |stage| stage.epoch);
    let known_epoch = known.map_or(0, |k| k.epoch).max(staged);
    let own = ground.options.state_id.as_deref();
    if own != Some(marker.state_id.as_str()) {
        notes.push(
            endpoint,
            Severity::Critical,
            "MARKER_FOREIGN",
            format!(
                "is held by {}@{} for {} (epoch {}), state directory {}",
                marker.user, marker.host, marker.owner, marker.epoch, marker.state_dir
            ),
            format!(
                "work from that state directory; or, when it is gone for good, take over with `{}`",
                segue(&["adopt"])
            ),
        );
    } else if marker.epoch > known_epoch {
        notes.push(
            endpoint,
            Severity::Critical,
            "MARKER_AHEAD",
            format!(
                "carries epoch {} of this state, but the journal knows only {}: the journal is an old copy",
                marker.epoch, known_epoch
            ),
            "bring back the newest state directory; nothing is opened or closed from an old one",
        );
    } else if marker.raised && known.is_some_and(|k| at_rest_elsewhere(ground, k, marker)) {
        notes.push(
            endpoint,
            Severity::Critical,
            "MARKER_AHEAD",
            format!(
                "says that the {} serves since epoch {}, which the journal does not know: it is an old copy, or lost its end",
                marker.live, marker.epoch
            ),
            "bring back the newest state directory; nothing is opened or closed from an old one",
        );
    }
}

/// Whether the state is at rest with another side live than a raised marker names: a marker is raised after
/// COMMITTED only, so the state lacks that (protocol P19).
fn at_rest_elsewhere(ground: &Ground<'_>, known: &MigrationState, marker: &Marker) -> bool {
    let cutover = known.record.cutover.as_ref();
    let cutover = cutover.and_then(|address| ground.state.cutovers.get(address));
    let live = cutover.map_or(Side::Source, |c| c.live);
    let left = cutover.and_then(|c| c.left.as_ref());
    if left.is_some_and(|left| marker.epoch < left.epoch && marker.live == left.side) {
        // What was left without being read came back as it was: told as such.
        return false;
    }
    cutover.is_none_or(|c| settle(c.phase) == Settle::Nothing) && live != marker.live
}

fn cutover(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    let known = ground.state.cutovers.get(&decl.address);
    let change = ground.changes.get(&decl.address).copied().unwrap_or(Change::Stay);
    if change == Change::Refused {
        notes.push(
            &decl.address,
            Severity::Critical,
            "CUTOVER_FINISHED",
            format!(
                "is finished with the {} live; it cannot be changed any more",
                known.map_or(Side::Source, |c| c.live)
            ),
            "write live and finished as they are recorded, or declare a new cutover the other way round",
        );
        return;
    }
    if change == Change::Rest {
        return;
    }
    if let Some(held) = known.and_then(|c| c.held.as_ref()).filter(|h| h.wanted == decl.live) {
        notes.push(
            &decl.address,
            Severity::Warning,
            "HELD",
            format!("is held: {}", held.reason),
            format!("`{}` lets it go on, or edit live", segue(&["unhold", decl.address.as_str()])),
        );
    }
    if matches!(change, Change::Switch | Change::SwitchBack) {
        for seen in ground.observed.quiesces.get(&decl.address).into_iter().flatten() {
            notes.extend(&seen.block, &seen.findings);
        }
        barriers(ground, notes, decl);
        super::condition_steps::notes(ground, notes, decl);
        super::fallback_notes::nobody_reopens(ground, notes, decl, change);
    }
    super::rehearsal_steps::notes(ground, notes, decl);
    super::fallback_notes::way_back(ground, notes, decl);
    super::fallback_notes::left(ground, notes, decl);
    if change == Change::SwitchBack && !decl.fallback.reverse && !decl.fallback.accept_loss {
        notes.push(
            &decl.address,
            Severity::Critical,
            "BACK_WITHOUT_REVERSE",
            "there is no reverse sync: going back would lose what the target took".to_owned(),
            "set fallback { reverse = true }, or accept_loss = true to lose it",
        );
    }
    if matches!(change, Change::Finish | Change::Abandon) {
        finish(ground, notes, decl, change);
    }
}

/// Protocol P1 and P6: sides without a barrier.
fn barriers(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    let facts_of = |endpoint: &Address| ground.observed.endpoints.get(endpoint).and_then(Seen::fact);
    let writers = ground
        .observed
        .quiesces
        .get(&decl.address)
        .into_iter()
        .flatten()
        .any(|q| q.kind == QuiesceKind::Writers);
    for migration in decl.migrations.iter().filter_map(|m| ground.desired.migrations.get(m)) {
        for endpoint in [&migration.source, &migration.target] {
            if facts_of(endpoint).is_none_or(|f| f.barrier != Barrier::None) {
                continue;
            }
            if decl.fallback.report_stale_writers {
                notes.push(
                    endpoint,
                    Severity::Warning,
                    "NO_BARRIER",
                    "nothing keeps stale clients out of it while the other side serves".to_owned(),
                    "stale_writers = \"report\" is declared: what they write is found, kept aside and listed",
                );
            } else if decl.fallback.reverse || writers {
                let why = if decl.fallback.reverse {
                    "reverse = true makes Segue write there"
                } else {
                    "its writers are only stopped"
                };
                notes.push(
                    &decl.address,
                    Severity::Critical,
                    "NO_BARRIER",
                    format!("{endpoint} has no barrier that refuses clients, and {why}"),
                    "declare fallback { stale_writers = \"report\" }: stale writes are then found and listed, not refused",
                );
            }
        }
    }
}

fn finish(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl, change: Change) {
    let Some(known) = ground.state.cutovers.get(&decl.address) else {
        return;
    };
    if known.stale_total > 0 {
        notes.push(
            &decl.address,
            Severity::Critical,
            "STALE_UNSETTLED",
            format!("{} writes of stale writers on the old side are not settled", known.stale_total),
            format!(
                "look at them with `{}`, then say so with `{}`",
                segue(&["status"]),
                segue(&["unhold", decl.address.as_str(), "--stale"])
            ),
        );
    }
    let since =
        known.last_switch.as_ref().map(|s| ground.observed.at_ms.saturating_sub(s.at_ms).max(0) as u64);
    if change == Change::Finish
        && let (Some(retain), Some(age)) = (decl.fallback.retain_ms, since)
        && age < retain
        && !ground.options.early
    {
        notes.push(
            &decl.address,
            Severity::Critical,
            "RETAIN",
            format!(
                "the fallback is retained for {} and only {} are over",
                super::cutover_steps::duration(retain),
                super::cutover_steps::duration(age / 1000 * 1000)
            ),
            "wait, or pass --early",
        );
    }
}

/// A block that is gone from the spec while its migration is under way is never a silent destroy.
fn left_out(ground: &Ground<'_>, notes: &mut Notes) {
    let removed = |a: &Address| ground.desired.removed.contains(a);
    for (address, known) in &ground.state.migrations {
        let over = known
            .record
            .cutover
            .as_ref()
            .and_then(|c| ground.state.cutovers.get(c))
            .is_some_and(|c| c.finished);
        let stage = ground.state.is_stage(address);
        if !ground.desired.migrations.contains_key(address) && !removed(address) && !over && !stage {
            notes.push(
                address,
                Severity::Critical,
                "REMOVED_UNDER_WAY",
                "is gone from the spec, but it is under way".to_owned(),
                format!(
                    "write it back and finish (finished = true) or abandon it (live = \"source\", finished = true); or `removed {{ from = {address} }}` to forget it, systems untouched"
                ),
            );
        }
    }
    for (address, known) in &ground.state.cutovers {
        if !ground.desired.cutovers.contains_key(address)
            && !removed(address)
            && !known.finished
            && known.switches > 0
        {
            notes.push(
                address,
                Severity::Critical,
                "REMOVED_UNDER_WAY",
                format!("is gone from the spec, but the {} serves because of it", known.live),
                format!("write it back, or `removed {{ from = {address} }}` to forget it, systems untouched"),
            );
        }
    }
}
