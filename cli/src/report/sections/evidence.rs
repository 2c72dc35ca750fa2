//! What it rests on: verifications, gates and watches with their values, what was changed on each system, findings,
//! failures.

use super::super::charts::{PLAIN_MARKS, Span, clock, plot};
use super::super::html::Html;
use super::super::{
    ChangeLine, ConditionLine, FailureLine, FindingLine, ReadingLine, Report, VerificationLine,
};
use super::more;
use crate::render::quantity::{ago, bytes, count, micros};

/// Verifications of a unit in the table.
const SHOWN: usize = 12;
/// Measurements that make a plot worth its room.
const PLOTTED_MIN: u64 = 8;
/// Looks at a gate in the table.
const LOOKS: usize = 12;

pub(in super::super) fn verifications(html: &mut Html, report: &Report) {
    if report.units.iter().all(|u| u.verifications.kept.is_empty()) {
        return;
    }
    html.words("h2", "", "Verification");
    let heads = [
        "When",
        "scope",
        "level",
        "records compared",
        "by content",
        "read",
        "differ",
        "took",
        "against the ledger",
    ];
    for unit in &report.units {
        html.words("h3", "", format_args!("{} {}", unit.migration, unit.unit));
        if let Some(whole) = &unit.last_whole {
            let age = ago(report.made_ms, whole.at_ms);
            let verdict = if whole.differ == 0 { "all equal" } else { "NOT EQUAL" };
            html.words(
                "p",
                "dim",
                format_args!("last looked at as a whole {age}, level {}: {verdict}", whole.level),
            );
        } else {
            html.words("p", "warn", "never looked at as a whole");
        }
        let hidden = unit.verifications.kept.len().saturating_sub(SHOWN);
        let lines = unit.verifications.kept.iter().skip(hidden);
        html.table(&heads, &[3, 4, 5, 6, 7], lines.clone().map(verification));
        more(html, unit.verifications.more() + hidden as u64, "verifications");
        let named: Vec<&String> = lines.flat_map(|v| &v.named).take(20).collect();
        if !named.is_empty() {
            html.element("ul", "bad", |h| {
                for name in named {
                    h.words("li", "", name);
                }
            });
        }
    }
}

fn verification(line: &VerificationLine) -> Vec<String> {
    let VerificationLine { at_ms, whole, level, records_checked, records_read, bytes_read, differ, .. } =
        line;
    vec![
        clock(*at_ms),
        if *whole { "everything" } else { "what changed since" }.to_owned(),
        level.clone(),
        count(*records_checked),
        count(*records_read),
        bytes(*bytes_read),
        count(*differ),
        micros(line.took_us),
        line.ledger.clone(),
    ]
}

pub(in super::super) fn gates(html: &mut Html, report: &Report) {
    if report.gates.is_empty() && report.watches.is_empty() {
        return;
    }
    html.words("h2", "", "Gates and watches");
    for (words, lines) in [(["met", "waits"], &report.gates), (["good", "NOT GOOD"], &report.watches)] {
        for (address, line) in lines {
            condition(html, address.as_str(), line, words);
        }
    }
}

fn condition(html: &mut Html, name: &str, line: &ConditionLine, [good, bad]: [&str; 2]) {
    let ConditionLine { readings, values } = line;
    html.words("h3", "", name);
    if let (Some(first), Some(last), true) = (
        values.bins.first(),
        values.bins.last(),
        values.bins.iter().map(|b| b.count).sum::<u64>() >= PLOTTED_MIN,
    ) {
        let span = Span { from_ms: first.from_ms, to_ms: last.to_ms.max(first.from_ms + 1) };
        plot(html, "measured", values, span, PLAIN_MARKS, |v| format!("{v}"));
    }
    let row = |reading: &ReadingLine| {
        let ReadingLine { at_ms, good: is, said, value } = reading;
        let value = value.map(|v| format!("{v}")).unwrap_or_default();
        vec![clock(*at_ms), if *is { good } else { bad }.to_owned(), value, said.clone()]
    };
    let hidden = readings.kept.len().saturating_sub(LOOKS);
    html.table(&["When", "", "value", "by what"], &[2], readings.kept.iter().skip(hidden).map(row));
    more(html, readings.more() + hidden as u64, "looks");
}

pub(in super::super) fn changes(html: &mut Html, report: &Report) {
    if report.changes.is_empty() {
        return;
    }
    html.words("h2", "", "Changed on each system, and what became of it");
    html.element("div", "wide", |h| {
        h.markup("<table><thead><tr><th>On</th><th>what</th><th>when</th><th>now</th><th>undo</th></tr></thead><tbody>");
        for ChangeLine { on, what, at_ms, undo, released_ms } in &report.changes {
            h.element("tr", "", |h| {
                let now = released_ms.map_or_else(|| "in place".to_owned(), |at| format!("released {}", clock(at)));
                let when = clock(*at_ms);
                let cells =
                    [("On", on.as_str()), ("what", what.as_str()), ("when", when.as_str()), ("now", now.as_str())];
                for (head, text) in cells {
                    h.cell(head, if head == "when" { "t" } else { "" }, |h| {
                        h.text(text);
                    });
                }
                h.cell("undo", "", |h| {
                    if released_ms.is_none() {
                        h.words("code", "", undo);
                    }
                });
            });
        }
        h.markup("</tbody></table>");
    });
}

pub(in super::super) fn findings(html: &mut Html, report: &Report) {
    if report.findings.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Findings");
    let row = |finding: &FindingLine| {
        let FindingLine { at_ms, step, severity, code, summary, remedy } = finding;
        vec![clock(*at_ms), severity.clone(), code.clone(), format!("{step}: {summary}"), remedy.clone()]
    };
    html.table(
        &["When", "severity", "code", "what", "what to do"],
        &[],
        report.findings.kept.iter().map(row),
    );
    more(html, report.findings.more(), "findings");
}

pub(in super::super) fn failures(html: &mut Html, report: &Report) {
    if report.failures.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Failures");
    let row = |failure: &FailureLine| {
        let FailureLine { at_ms, step, message, remedy } = failure;
        vec![clock(*at_ms), step.to_string(), message.clone(), remedy.clone().unwrap_or_default()]
    };
    html.table(&["When", "step", "what", "what to do"], &[], report.failures.kept.iter().map(row));
    more(html, report.failures.more(), "failures");
}
