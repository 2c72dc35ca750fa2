//! A rehearsal in words: what was measured, what it predicts, what it found.

use segue_contract::{PassTimes, Severity};
use segue_plan::cutover::p90;
use segue_plan::event::{RehearsalReport, RehearsedUnit};

use crate::printer::{Look, Paint};
use crate::render::pause::{predicted, term};
use crate::render::quantity::{bytes, count, micros};

/// The lines, the first about the whole.
pub(super) fn text(cutover: &str, report: &RehearsalReport, look: &Look) -> String {
    let RehearsalReport { units, pauses: _, forecast, findings, took_us } = report;
    let mut lines =
        vec![format!("{cutover}: {} in {}", look.paint(Paint::Title, "rehearsed"), micros(*took_us))];
    lines.extend(units.iter().map(unit));
    let terms: Vec<String> = forecast.terms.iter().map(|t| format!("{} [{}]", term(t), t.basis)).collect();
    lines.push(format!("  predicted pause {}: {}", predicted(forecast), terms.join(" + ")));
    for found in findings {
        let word = match found.finding.severity {
            Severity::Info => look.paint(Paint::Dim, "note"),
            Severity::Warning => look.paint(Paint::Warning, "warning"),
            Severity::Critical => look.paint(Paint::Bad, "CRITICAL"),
        };
        let finding = &found.finding;
        lines.push(format!("  {word}[{}]: {}: {}", finding.code, found.about, finding.summary));
        lines.push(format!("    next: {}", finding.remedy));
    }
    if findings.is_empty() {
        lines.push("  nothing was found that would fail".to_owned());
    }
    lines.join("\n")
}

fn unit(unit: &RehearsedUnit) -> String {
    let RehearsedUnit {
        migration,
        unit,
        records,
        bytes: size,
        load_us,
        passes,
        level,
        verify_us,
        verify_bytes,
    } = unit;
    let per_s = |amount: u64, us: u64| {
        u64::try_from(u128::from(amount) * 1_000_000 / u128::from(us.max(1))).unwrap_or(u64::MAX)
    };
    let took = |p: &PassTimes| p.scan_us + p.apply_us + p.sync_us;
    let pass = match p90(&passes.iter().map(took).collect::<Vec<_>>()) {
        Some(us) => format!("{} passes, 9 of 10 within {}", passes.len(), micros(us)),
        None => "no pass".to_owned(),
    };
    let verified = match level {
        Some(level) => {
            let rate = bytes(per_s(*verify_bytes, *verify_us));
            format!("verified {} in {}, {rate}/s", level.as_str(), micros(*verify_us))
        }
        None => "not verified".to_owned(),
    };
    format!(
        "  {migration} {unit}: {} records, {} in {}, {}/s; {pass}; {verified}",
        count(*records),
        bytes(*size),
        micros(*load_us),
        bytes(per_s(*size, *load_us)),
    )
}
