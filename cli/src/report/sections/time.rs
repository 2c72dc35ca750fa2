//! What happened when: the time line, each pause enlarged beside what was predicted, lag and rate, the passes.

use segue_plan::cutover::Phase;

use super::super::charts::{Bar, SIZE_MARKS, Span, TIME_MARKS, axis, clock, part, plot, row};
use super::super::html::Html;
use super::super::{AttemptLine, Outcome, PassLine, PhaseLine, Report, TermLine, UnitLine};
use super::{more, short};
use crate::render::quantity::{bytes, count, micros, millis};

/// Units with plots of their own; the passes' table has all.
const PLOTS_MAX: usize = 24;
/// Rows of the time line for units.
const UNIT_ROWS_MAX: usize = 12;
/// Pauses that are drawn enlarged.
const PAUSES_MAX: usize = 8;
/// Runs in the time line.
const RUN_ROWS_MAX: usize = 16;
/// Passes of a unit in the table.
const PASSES_SHOWN: usize = 25;

fn span(report: &Report) -> Option<Span> {
    let (from_ms, to_ms) = (report.first_ms?, report.last_ms?);
    Some(Span { from_ms, to_ms: to_ms.max(from_ms + 1) })
}

fn ended_ms(pass: &PassLine) -> i64 {
    pass.began_ms.saturating_add(i64::try_from(pass.took_us / 1000).unwrap_or(i64::MAX))
}

pub(in super::super) fn timeline(html: &mut Html, report: &Report) {
    let Some(span) = span(report) else { return };
    html.words("h2", "", "Time line");
    html.markup("<p class=\"keys\"><span><i class=\"load\"></i>load, run</span><span><i class=\"pass\"></i>pass</span>");
    html.markup(
        "<span><i class=\"gate\"></i>gate waits</span><span><i class=\"phase\"></i>writes paused</span>",
    );
    html.markup("<span><i class=\"after\"></i>new side serves</span></p>");
    let runs = &report.runs.kept;
    for run in runs.iter().skip(runs.len().saturating_sub(RUN_ROWS_MAX)) {
        let ends = match run.exit {
            Some(0) => "done".to_owned(),
            Some(exit) => format!("exit {exit}"),
            None if report.running.is_some() && Some(run.run) == runs.back().map(|r| r.run) => {
                "runs".to_owned()
            }
            None => "died".to_owned(),
        };
        let class = if ends == "died" { "died" } else { "run" };
        let lasted = millis(u64::try_from(run.last_ms - run.began_ms).unwrap_or(0));
        let said = format!("{}, {lasted}, {ends}", run.by);
        let title = format!("run {}: {} at {}", run.run, run.command, clock(run.began_ms));
        let bar = Bar { from_ms: run.began_ms, to_ms: run.last_ms, class, title };
        row(html, span, &format!("{}. {}", run.run, run.command), &[bar], &said);
    }
    for unit in report.units.iter().take(UNIT_ROWS_MAX) {
        unit_row(html, span, unit);
    }
    for (gate, line) in &report.gates {
        let mut bars = Vec::new();
        let mut since = None;
        for reading in &line.readings.kept {
            match (reading.good, since) {
                (false, None) => since = Some(reading.at_ms),
                (true, Some(from_ms)) => {
                    bars.push(Bar {
                        from_ms,
                        to_ms: reading.at_ms,
                        class: "gate",
                        title: reading.said.clone(),
                    });
                    since = None;
                }
                _ => {}
            }
        }
        if let Some(from_ms) = since {
            let title = "still unmet".to_owned();
            bars.push(Bar { from_ms, to_ms: span.to_ms, class: "gate", title });
        }
        let said = if bars.is_empty() { "met at once" } else { "" };
        row(html, span, gate.as_str(), &bars, said);
    }
    for attempt in report.attempts.kept.iter().rev().take(PAUSES_MAX).rev() {
        attempt_row(html, span, attempt);
    }
    axis(html, span);
}

fn unit_row(html: &mut Html, span: Span, unit: &UnitLine) {
    let bar = |pass: &PassLine, class, what: &str| Bar {
        from_ms: pass.began_ms,
        to_ms: ended_ms(pass),
        class,
        title: format!(
            "{what} at {}: {} in {}",
            clock(pass.began_ms),
            bytes(pass.bytes_written),
            micros(pass.took_us)
        ),
    };
    // Passes that are not kept any more are in the lag's bins.
    let old = unit.lag.bins.iter().map(|b| Bar {
        from_ms: b.from_ms,
        to_ms: b.to_ms,
        class: "pass",
        title: format!("{} passes", b.count),
    });
    let bars: Vec<Bar> = if unit.passes.more() > 0 {
        old.collect()
    } else {
        unit.passes.kept.iter().map(|p| bar(p, "pass", "pass")).collect()
    };
    let load = unit.load.iter().map(|p| bar(p, "load", "load"));
    let bars: Vec<Bar> = bars.into_iter().chain(load).collect();
    let said = format!("{} in {} passes", bytes(unit.bytes_written), count(unit.passes.total));
    row(html, span, &format!("{} {}", unit.migration, unit.unit), &bars, &said);
}

fn attempt_row(html: &mut Html, span: Span, attempt: &AttemptLine) {
    let pause_ms = i64::try_from(attempt.pause_us.unwrap_or(0) / 1000).unwrap_or(0);
    let open_ms = attempt.began_ms + pause_ms.max(1);
    let mut bars = Vec::new();
    let last_ms = attempt.phases.last().map_or(open_ms, |p| p.at_ms);
    if attempt.outcome == Outcome::Switched && last_ms > open_ms {
        bars.push(Bar { from_ms: open_ms, to_ms: last_ms, class: "after", title: "watched".to_owned() });
    }
    // The pause comes last: it is seen however short it was.
    let title = format!("writes paused at {}", clock(attempt.began_ms));
    bars.push(Bar { from_ms: attempt.began_ms, to_ms: open_ms, class: "phase", title });
    let name = format!("{} to the {}", attempt.cutover, attempt.to);
    row(html, span, &name, &bars, &outcome(attempt));
}

fn outcome(attempt: &AttemptLine) -> String {
    let pause = attempt.pause_us.map(|us| format!(", {} without writes", micros(us))).unwrap_or_default();
    match &attempt.outcome {
        Outcome::InFlight => "in flight".to_owned(),
        Outcome::Switched => format!("the {} serves{pause}", attempt.to),
        Outcome::Aborting { reason } => format!("being aborted: {reason}"),
        Outcome::Aborted { reason } => format!("aborted{pause}: {reason}"),
    }
}

pub(in super::super) fn pauses(html: &mut Html, report: &Report) {
    let attempts = &report.attempts;
    if attempts.kept.is_empty() {
        return;
    }
    html.words("h2", "", "The pause, enlarged");
    let shown = attempts.kept.iter().rev().take(PAUSES_MAX);
    for attempt in shown {
        pause(html, attempt);
    }
    let hidden = attempts.total.saturating_sub(PAUSES_MAX.min(attempts.kept.len()) as u64);
    more(html, hidden, "attempts");
}

fn pause(html: &mut Html, attempt: &AttemptLine) {
    let AttemptLine {
        cutover, epoch, from, to, plan_hash, began_ms, timeout_ms, watched_over, phases, ..
    } = attempt;
    html.words(
        "h3",
        "",
        format_args!(
            "{cutover}, epoch {epoch}: {from} to {to}, {} UTC, {}",
            clock(*began_ms),
            outcome(attempt)
        ),
    );
    let plan = if plan_hash.is_empty() {
        "switch back by command".to_owned()
    } else {
        format!("plan {}", short(plan_hash))
    };
    let guard = if *watched_over { "a watchdog stood by" } else { "no watchdog stood by" };
    let limit = millis(*timeout_ms);
    html.words("p", "dim", format_args!("{plan}; not committed within {limit}: aborted; {guard}"));
    let opens = phases.iter().rposition(|p| matches!(p.phase, Phase::Started | Phase::Routed));
    let last = opens.unwrap_or(phases.len().saturating_sub(1));
    let within = phases.get(..=last).unwrap_or_default();
    let whole = within.iter().map(|p| p.took_us).sum::<u64>().max(1) as f64;
    let mut so_far = 0;
    for PhaseLine { phase, at_ms: _, took_us, said: _ } in within {
        let place = (so_far as f64 / whole, *took_us as f64 / whole);
        so_far += took_us;
        let committed = if *phase == Phase::Committed { ", the point of no return" } else { "" };
        part(html, phase.as_str(), place, "phase", &format!("{}{committed}", micros(*took_us)));
    }
    terms(html, attempt);
    let established = |line: &PhaseLine| {
        let PhaseLine { phase, at_ms, took_us, said } = line;
        vec![clock(*at_ms), phase.to_string(), micros(*took_us), said.clone()]
    };
    html.table(&["Reached", "phase", "after", "what was established"], &[2], phases.iter().map(established));
}

fn terms(html: &mut Html, attempt: &AttemptLine) {
    if attempt.pause_us.is_none() || attempt.terms.iter().all(|t| t.measured_us.is_none()) {
        return;
    }
    let unknown = || "?".to_owned();
    let line = |term: &TermLine| {
        let TermLine { term, predicted_ms, basis, measured_us } = term;
        let measured = measured_us.map_or_else(|| "not measured".to_owned(), micros);
        vec![term.clone(), predicted_ms.map_or_else(unknown, millis), measured, basis.clone()]
    };
    let sum: u64 = attempt.terms.iter().filter_map(|t| t.measured_us).sum();
    let sum = vec![
        "sum".to_owned(),
        attempt.predicted_ms().map_or_else(unknown, millis),
        micros(sum),
        String::new(),
    ];
    html.table(
        &["Term of the pause", "predicted", "measured", "the prediction rests on"],
        &[1, 2],
        attempt.terms.iter().map(line).chain([sum]),
    );
}

pub(in super::super) fn plots(html: &mut Html, report: &Report) {
    let Some(span) = span(report) else { return };
    let plotted: Vec<&UnitLine> = report.units.iter().filter(|u| !u.lag.bins.is_empty()).collect();
    if plotted.is_empty() {
        return;
    }
    html.words("h2", "", "Lag and rate");
    html.words(
        "p",
        "dim",
        "Lag is an upper bound of the age of the oldest change that is not on the other side yet: from its least, as a pass ends, to its most, just before.",
    );
    for unit in plotted.iter().take(PLOTS_MAX) {
        let name = format!("{} {}", unit.migration, unit.unit);
        plot(html, &format!("{name}: lag"), &unit.lag, span, TIME_MARKS, |ms| millis(ms as u64));
        plot(html, &format!("{name}: rate"), &unit.rate, span, SIZE_MARKS, |rate| {
            format!("{}/s", bytes(rate as u64))
        });
    }
    let rest = plotted.len().saturating_sub(PLOTS_MAX);
    if rest > 0 {
        html.words("p", "dim", format_args!("and {rest} more units: --json has them all"));
    }
}

pub(in super::super) fn passes(html: &mut Html, report: &Report) {
    if report.units.is_empty() {
        return;
    }
    html.words("h2", "", "Loads and passes");
    let heads =
        ["Began", "", "direction", "looked at", "written", "deleted", "bytes", "took", "left out", "stale"];
    for unit in &report.units {
        let UnitLine { migration, unit: name, load, passes, records_written, bytes_written, .. } = unit;
        html.words("h3", "", format_args!("{migration} {name}"));
        let (records, size) = (count(*records_written), bytes(*bytes_written));
        html.words(
            "p",
            "dim",
            format_args!("{records} records, {size} written in {} passes", count(passes.total)),
        );
        let first = load.iter().map(|p| line("load", p));
        let hidden = passes.kept.len().saturating_sub(PASSES_SHOWN);
        let rest = passes.kept.iter().skip(hidden).map(|p| line("pass", p));
        html.table(&heads, &[3, 4, 5, 6, 7, 8, 9], first.chain(rest));
        more(html, passes.more() + hidden as u64, "passes");
    }
}

fn line(what: &str, pass: &PassLine) -> Vec<String> {
    let PassLine { began_ms, took_us, reverse, records_seen, records_written, records_deleted, .. } = pass;
    vec![
        clock(*began_ms),
        what.to_owned(),
        if *reverse { "to the source" } else { "to the target" }.to_owned(),
        count(*records_seen),
        count(*records_written),
        count(*records_deleted),
        bytes(pass.bytes_written),
        micros(*took_us),
        count(pass.set_aside),
        count(pass.stale),
    ]
}
