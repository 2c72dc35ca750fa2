//! What was rehearsed: rates, the pause that they predict, findings.

use super::super::charts::clock;
use super::super::html::Html;
use super::super::{FindingLine, RehearsalLine, RehearsedLine, Report};
use super::more;
use crate::render::quantity::{bytes, count, micros, millis};

pub(in super::super) fn rehearsals(html: &mut Html, report: &Report) {
    if report.rehearsals.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Rehearsals");
    for rehearsal in &report.rehearsals.kept {
        one(html, rehearsal);
    }
    more(html, report.rehearsals.more(), "rehearsals");
}

fn one(html: &mut Html, rehearsal: &RehearsalLine) {
    let RehearsalLine { at_ms, cutover, took_us, paused, predicted_pause_ms, units, findings } = rehearsal;
    html.words("h3", "", format_args!("{cutover}, {}", clock(*at_ms)));
    let pause = if *paused { "with its pause" } else { "without a pause" };
    html.words(
        "p",
        "",
        format_args!(
            "took {}, {pause}; a pause of {} is predicted",
            micros(*took_us),
            millis(*predicted_pause_ms)
        ),
    );
    let row = |unit: &RehearsedLine| {
        let RehearsedLine { migration, unit, records, bytes: size, load_us, passes, pass_us, verify_us } =
            unit;
        let took = |us: &Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
        vec![
            format!("{migration} {unit}"),
            count(*records),
            bytes(*size),
            micros(*load_us),
            passes.to_string(),
            took(pass_us),
            took(verify_us),
        ]
    };
    let heads = ["Unit", "records", "size", "load", "passes", "9 of 10 within", "verified in"];
    html.table(&heads, &[1, 2, 3, 4, 5, 6], units.iter().map(row));
    if findings.is_empty() {
        html.words("p", "dim", "nothing was found that would fail");
        return;
    }
    let row = |finding: &FindingLine| {
        let FindingLine { at_ms: _, step, severity, code, summary, remedy } = finding;
        vec![severity.clone(), code.clone(), format!("{step}: {summary}"), remedy.clone()]
    };
    html.table(&["Severity", "code", "what", "what to do"], &[], findings.iter().map(row));
}
