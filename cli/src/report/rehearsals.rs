//! Rehearsals in the report: what each measured and found.

use segue_contract::{Address, PassTimes, Severity};
use segue_plan::cutover::p90;
use segue_plan::event::{RehearsalReport, RehearsedUnit};
use serde::Serialize;

use super::FindingLine;

/// A rehearsal that came to its end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RehearsalLine {
    pub(crate) at_ms: i64,
    pub(crate) cutover: Address,
    pub(crate) took_us: u64,
    /// Whether the pause was rehearsed, too.
    pub(crate) paused: bool,
    pub(crate) predicted_pause_ms: u64,
    pub(crate) units: Vec<RehearsedLine>,
    pub(crate) findings: Vec<FindingLine>,
}

/// What was measured of one unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RehearsedLine {
    pub(crate) migration: Address,
    pub(crate) unit: String,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) load_us: u64,
    pub(crate) passes: usize,
    /// The 90th percentile.
    pub(crate) pass_us: Option<u64>,
    pub(crate) verify_us: Option<u64>,
}

impl RehearsalLine {
    pub(super) fn new(cutover: &Address, report: &RehearsalReport, at_ms: i64) -> Self {
        let RehearsalReport { units, pauses, forecast, findings, took_us } = report;
        let finding = |found: &segue_plan::event::RehearsalFinding| FindingLine {
            at_ms,
            step: found.about.clone(),
            severity: word(found.finding.severity).to_owned(),
            code: found.finding.code.clone(),
            summary: found.finding.summary.clone(),
            remedy: found.finding.remedy.clone(),
        };
        Self {
            at_ms,
            cutover: cutover.clone(),
            took_us: *took_us,
            paused: !pauses.is_empty(),
            predicted_pause_ms: forecast.total_ms(),
            units: units.iter().map(unit).collect(),
            findings: findings.iter().map(finding).collect(),
        }
    }
}

/// The word for a severity.
pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn unit(unit: &RehearsedUnit) -> RehearsedLine {
    let RehearsedUnit { migration, unit, records, bytes, load_us, passes, level, verify_us, verify_bytes: _ } =
        unit;
    let took = |p: &PassTimes| p.scan_us + p.apply_us + p.sync_us;
    RehearsedLine {
        migration: migration.clone(),
        unit: unit.clone(),
        records: *records,
        bytes: *bytes,
        load_us: *load_us,
        passes: passes.len(),
        pass_us: p90(&passes.iter().map(took).collect::<Vec<_>>()),
        verify_us: level.map(|_| *verify_us),
    }
}
