//! Rehearsals in plans: the step, what the last one found, and whether it still counts.

use segue_contract::{Address, Finding, Severity, Side};
use segue_language::{CutoverDecl, Desired, RehearseMode, WaiverDecl};
use sha2::{Digest, Sha256};

use super::build::Ground;
use super::checks::Notes;
use super::cutover_steps::duration;
use super::{Estimate, PlanStep, Reason, StepKind};
use crate::diff::Change;
use crate::event::{RehearsalFinding, RehearsedUnit};
use crate::state::{Rehearsed, State};

/// Loads, passes and a verification are about twice a load.
const OF_A_LOAD: u64 = 2;

/// What a rehearsal's outcome depends on in a spec, as a hash: what is moved, from where to where, how it is verified
/// and quiesced, and what of that is rehearsed. Waivers are not in it: they judge an outcome.
pub fn subject(desired: &Desired, decl: &CutoverDecl) -> String {
    let migrations: Vec<_> = decl
        .migrations
        .iter()
        .filter_map(|m| desired.migrations.get(m))
        .map(|m| {
            let ends = [&m.source, &m.target].map(|end| desired.endpoints.get(end));
            (&m.address, ends, &m.select, &m.load, &m.verify)
        })
        .collect();
    let rehearse = decl.rehearse.as_ref().map(|r| (r.quiesce, &r.test));
    let all = (migrations, &decl.quiesces, decl.timeout_ms, decl.freeze_ms, rehearse);
    // What was decoded from a spec can be encoded.
    let text = serde_json::to_vec(&all).unwrap_or_default();
    Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the last rehearsal of a cutover is worth now.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// There is none, or it was of something else.
    None,
    /// It is older than it counts.
    Old(&'a Rehearsed),
    /// It found something critical that nobody waived.
    Refuses(&'a Rehearsed, Vec<&'a RehearsalFinding>),
    /// Nothing stands against going on.
    Passes(&'a Rehearsed),
}

/// Judges the last rehearsal at `now_ms` (wall clock, milliseconds).
pub fn verdict<'a>(desired: &Desired, decl: &CutoverDecl, state: &'a State, now_ms: i64) -> Verdict<'a> {
    let Some(last) = state.rehearsed(&decl.address).filter(|r| r.subject == subject(desired, decl)) else {
        return Verdict::None;
    };
    let critical: Vec<&RehearsalFinding> = last
        .report
        .findings
        .iter()
        .filter(|f| f.finding.severity == Severity::Critical && waiver(decl, f).is_none())
        .collect();
    if !critical.is_empty() {
        return Verdict::Refuses(last, critical);
    }
    let age_ms = u64::try_from(now_ms.saturating_sub(last.at_ms)).unwrap_or(0);
    match decl.rehearse.as_ref().is_none_or(|r| age_ms <= r.valid_for_ms) {
        true => Verdict::Passes(last),
        false => Verdict::Old(last),
    }
}

fn waiver<'d>(decl: &'d CutoverDecl, found: &RehearsalFinding) -> Option<&'d WaiverDecl> {
    decl.waiver(&found.finding.code, &found.keys, found.all_known)
}

/// Whether a plan of this cutover has a rehearsal: before the first switch away from the source.
pub(super) fn is_planned(ground: &Ground<'_>, decl: &CutoverDecl) -> bool {
    let change = ground.changes.get(&decl.address).copied();
    let at_source = ground.base.get(&decl.address).is_none_or(|b| b.live == Side::Source);
    decl.rehearse.is_some() && at_source && matches!(change, Some(Change::Switch | Change::Stay))
}

/// Whether the plan ends with it.
pub(super) fn is_all(ground: &Ground<'_>, decl: &CutoverDecl) -> bool {
    let only = decl.rehearse.as_ref().is_some_and(|r| r.mode == RehearseMode::Only);
    only && is_planned(ground, decl)
}

/// The address of its step.
pub(super) fn address(decl: &CutoverDecl) -> Address {
    decl.address.step(StepKind::Rehearse.as_str())
}

/// The step of a cutover that is rehearsed.
pub(super) fn step(ground: &Ground<'_>, decl: &CutoverDecl) -> Option<PlanStep> {
    let rehearse = decl.rehearse.as_ref().filter(|_| is_planned(ground, decl))?;
    let what = "do it all once to a copy beside the target, measure it, and take the copy away again";
    let mut step = PlanStep::new(&decl.address, address(decl), StepKind::Rehearse, what);
    step.waits_for = decl.migrations.iter().map(|m| m.step(StepKind::Check.as_str())).collect();
    step.remarks.push(match rehearse.quiesce {
        true => format!("the source IS quiesced for it, for {} at most", duration(decl.timeout_ms)),
        false => {
            "the source is not quiesced: the pause is measured in part only (quiesce = false)".to_owned()
        }
    });
    step.remarks.push(match rehearse.mode {
        RehearseMode::Only => "mode = \"only\": nothing else is done".to_owned(),
        RehearseMode::Before => "a critical finding that is not waived stops there".to_owned(),
    });
    match verdict(ground.desired, decl, ground.state, ground.observed.at_ms) {
        Verdict::Passes(_) => step.done = true,
        Verdict::None => {}
        Verdict::Old(_) => step.reason = Reason::Again,
        // It is the same again until something is mended, which only trying tells.
        Verdict::Refuses(..) => step.reason = Reason::Again,
    }
    let open = ground.state.rehearsals.get(&decl.address).is_some_and(|r| r.open.is_some());
    if open || ground.state.open_steps.contains_key(&step.address) {
        step.done = false;
        step.reason = Reason::Resumed;
    } else if step.done || ground.moved(decl) {
        step.done = true;
        step.reason = Reason::Done;
    } else {
        step.estimate = Some(estimate(ground, decl));
    }
    Some(step)
}

fn estimate(ground: &Ground<'_>, decl: &CutoverDecl) -> Estimate {
    let (mut records, mut bytes, mut time_ms) = (0, 0, 0);
    for migration in &decl.migrations {
        let seen = ground.observed.migrations.get(migration);
        for (unit, report) in seen.into_iter().flat_map(|m| &m.units) {
            let Some(report) = report.fact() else { continue };
            records += report.waiting_records;
            bytes += report.waiting_bytes;
            let load = super::migration_steps::load_estimate(report, rehearsed_unit(ground, migration, unit));
            time_ms += load.time_ms.unwrap_or(0) * OF_A_LOAD;
        }
    }
    let basis = "about twice a load".to_owned();
    Estimate { records: Some(records), bytes: Some(bytes), time_ms: Some(time_ms), basis }
}

/// What a rehearsal measured of a unit.
pub(super) fn rehearsed_unit<'a>(
    ground: &Ground<'a>,
    migration: &Address,
    unit: &str,
) -> Option<&'a RehearsedUnit> {
    let cutover = ground.cutover_of(migration)?;
    let last = ground.state.rehearsed(&cutover.address)?;
    last.report.units.iter().find(|u| u.migration == *migration && u.unit == unit && u.load_us > 0)
}

/// What the last rehearsal found, while it is of what the spec says.
pub(super) fn notes(ground: &Ground<'_>, notes: &mut Notes, decl: &CutoverDecl) {
    if !is_planned(ground, decl) {
        return;
    }
    let (last, again) = match verdict(ground.desired, decl, ground.state, ground.observed.at_ms) {
        Verdict::None => return,
        Verdict::Passes(last) => (last, false),
        Verdict::Old(last) | Verdict::Refuses(last, _) => (last, true),
    };
    for found in &last.report.findings {
        let finding = match waiver(decl, found) {
            Some(waiver) => Finding {
                severity: Severity::Info,
                summary: format!("waived ({}): {}", waiver.reason, found.finding.summary),
                ..found.finding.clone()
            },
            // It is rehearsed again, and stops there if it is still so.
            None if again && found.finding.severity == Severity::Critical => Finding {
                severity: Severity::Warning,
                summary: format!("the last rehearsal stopped at this: {}", found.finding.summary),
                ..found.finding.clone()
            },
            None => found.finding.clone(),
        };
        notes.extend(&found.about, &[finding]);
    }
}
