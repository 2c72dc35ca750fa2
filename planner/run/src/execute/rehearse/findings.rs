//! Judging a rehearsal: what would fail, with its cause and what to do.

use segue_contract::{Address, Finding, PassTimes, Severity, segue};
use segue_language::{CutoverDecl, Desired, GateCondition, GateDecl, SET_ASIDE};
use segue_plan::cutover::{Forecast, Known, forecast, how_to_measure, p90};
use segue_plan::event::{RehearsalFinding, RehearsalReport};

use super::super::unit::UnitRef;
use super::super::{Ground, RunError};

/// How many records a finding names.
const KEYS_MAX: usize = 100;

fn found(about: &Address, severity: Severity, code: &str, summary: String, remedy: &str) -> RehearsalFinding {
    let finding = Finding { severity, code: code.to_owned(), summary, remedy: remedy.to_owned() };
    RehearsalFinding { about: about.clone(), finding, keys: Vec::new(), all_known: true }
}

/// What a failure of the stage means. What only the run itself can answer for is no finding.
pub(super) fn failure(about: &Address, error: RunError) -> Result<RehearsalFinding, RunError> {
    match error {
        RunError::Interrupted
        | RunError::Record(_)
        | RunError::BothClosed { .. }
        | RunError::Held { .. }
        | RunError::WentBack { .. }
        | RunError::Unreadable { .. }
        | RunError::Unhealthy { .. } => Err(error),
        RunError::Mismatch { total, first, .. } => {
            let summary = format!("{total} records of the copy differ, the first: {first}");
            let remedy = "see what writes them, or what the target cannot hold; leave them out with select { exclude }";
            Ok(found(about, Severity::Critical, "REHEARSE_DIFFERS", summary, remedy))
        }
        RunError::Step { .. }
        | RunError::Gate { .. }
        | RunError::Aborted { .. }
        | RunError::Deletions { .. }
        | RunError::Missing { .. }
        | RunError::LeftOut { .. }
        | RunError::Marker { .. }
        | RunError::Setup(_) => {
            let remedy = error.remedy().unwrap_or_else(|| "mend that, then rehearse again".to_owned());
            Ok(found(about, Severity::Critical, "REHEARSE_FAILED", error.to_string(), &remedy))
        }
    }
}

/// What the passes of a staged unit show.
pub(super) fn of_unit(ground: &Ground, real: &Address, unit: &UnitRef) -> Vec<RehearsalFinding> {
    let known = ground
        .recorder
        .look(|s| s.migrations.get(&unit.migration).and_then(|m| m.units.get(&unit.unit)).cloned());
    let Some(known) = known else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(first) = known.set_aside.first() {
        let mut finding = found(
            real,
            Severity::Critical,
            SET_ASIDE,
            format!(
                "{} records cannot be carried, the first: {} ({})",
                known.set_aside_total, first.key, first.reason
            ),
            "mend each, leave it out with select { exclude }, or name it in waive \"SET_ASIDE\" { keys, reason }",
        );
        finding.keys = known.set_aside.iter().take(KEYS_MAX).map(|s| s.key.clone()).collect();
        finding.all_known = finding.keys.len() as u64 == known.set_aside_total;
        all.push(finding);
    }
    all
}

/// Closing the source failed, or it was not quiet.
pub(super) fn quiesce(cutover: &Address, reason: &str) -> RehearsalFinding {
    let remedy =
        "find the writer that the quiesce does not stop, or raise timeout; the source was opened again";
    found(cutover, Severity::Critical, "REHEARSE_QUIESCE", format!("the pause failed: {reason}"), remedy)
}

/// The pause was not allowed.
pub(super) fn untried(decl: &CutoverDecl) -> RehearsalFinding {
    let summary = "the pause was not rehearsed: whether the source can be closed is not known, and some of its terms are assumed";
    let remedy =
        format!("allow it: rehearse {{ quiesce = true }}, or `{}`", segue(&["rehearse", "--quiesce"]));
    found(&decl.address, Severity::Info, "REHEARSE_NO_PAUSE", summary.to_owned(), &remedy)
}

/// Why a gate would not let the cutover through.
fn unmet(gate: &GateDecl, pass_ms: u64, forecast: &Forecast) -> Option<RehearsalFinding> {
    let total_ms = forecast.total_ms();
    let unmeasured = forecast.unmeasured();
    match &gate.condition {
        GateCondition::Lag { max_ms } if pass_ms > *max_ms => Some(found(
            &gate.address,
            Severity::Critical,
            "REHEARSE_LAG",
            format!(
                "a pass takes {pass_ms} ms, so the lag never gets to the {max_ms} ms that the gate allows"
            ),
            "raise the gate's max, or make passes quicker: load { parallelism }, fewer records in select",
        )),
        GateCondition::Downtime { max_ms, .. } if total_ms > *max_ms => Some(found(
            &gate.address,
            Severity::Critical,
            "REHEARSE_DOWNTIME",
            format!(
                "a pause of {total_ms} ms is predicted, the gate allows {max_ms} ms: {}",
                forecast.terms_words()
            ),
            "make the longest term shorter, or raise the gate's max",
        )),
        GateCondition::Downtime { .. } if !unmeasured.is_empty() => Some(found(
            &gate.address,
            Severity::Warning,
            "REHEARSE_UNMEASURED",
            format!("this gate waits, nobody measured {}", forecast.unmeasured_words()),
            &how_to_measure(&unmeasured),
        )),
        _ => None,
    }
}

/// What these numbers predict, and which gates would not let the cutover through.
pub(super) fn predict(ground: &Ground, desired: &Desired, decl: &CutoverDecl, report: &mut RehearsalReport) {
    let routes = decl.routes.iter().filter_map(|r| desired.routes.get(r));
    let ttls =
        routes.filter_map(|r| ground.registry.route(&r.block).ok().map(|route| route.ttl_ms(&r.block)));
    let ttl_ms = ttls.max().unwrap_or(0).max(decl.settle_ms);
    let known = Known {
        rehearsed: Some(report),
        assumed: decl.assumed(),
        freeze_ms: decl.freeze_ms,
        ttl_ms,
        ..Known::default()
    };
    report.forecast = forecast(&known);
    // What was never loaded predicts nothing.
    if report.units.iter().any(|u| u.passes.is_empty()) {
        return;
    }
    let pass_ms = slowest_pass_ms(report);
    let total_ms = report.forecast.total_ms();
    let terms = report.forecast.terms_words();
    let mut more: Vec<RehearsalFinding> =
        decl.gates.iter().filter_map(|gate| unmet(gate, pass_ms, &report.forecast)).collect();
    if total_ms > decl.timeout_ms {
        more.push(found(
            &decl.address,
            Severity::Critical,
            "REHEARSE_DOWNTIME",
            format!(
                "a pause of {total_ms} ms is predicted, and timeout aborts it after {} ms: {terms}",
                decl.timeout_ms
            ),
            "raise timeout, or make the longest term shorter",
        ));
    }
    report.findings.extend(more);
}

/// The 90th percentile of a pass, of the unit that takes longest.
fn slowest_pass_ms(report: &RehearsalReport) -> u64 {
    let of = |p: &PassTimes| (p.scan_us + p.apply_us + p.sync_us).div_ceil(1000);
    let units = report.units.iter();
    units.filter_map(|u| p90(&u.passes.iter().map(of).collect::<Vec<_>>())).max().unwrap_or(0)
}
