//! A run's events in words.

use segue_contract::{Finding, PassReport, Severity, VerifyReport};
use segue_run::execute::RunEvent;

use super::rehearsed;
use crate::printer::{Look, Paint};
use crate::render::pause::{predicted, terms};
use crate::render::quantity::{bytes, count, micros, millis};

/// Differing records that are named; `segue drift` lists them all.
const NAMED_MAX: usize = 5;

/// How loudly an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volume {
    /// With everything else.
    Talk,
    /// Even with `--quiet`.
    Always,
}

/// The line for an event; `None` for those that only move bars.
pub(crate) fn phrase(event: &RunEvent, look: &Look) -> Option<(Volume, String)> {
    let talk = |text: String| Some((Volume::Talk, text));
    match event {
        RunEvent::StepStarted { step, kind: _, resumed } => {
            talk(format!("{step}: {}", if *resumed { "resumed" } else { "started" }))
        }
        RunEvent::StepProgress { .. } => None,
        RunEvent::StepFinished { step, kind: _, said, took_us } => {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            talk(format!("{step}: {} in {}{said}", look.paint(Paint::Good, "done"), micros(*took_us)))
        }
        RunEvent::StepFailed { step, message, remedy: _ } => {
            talk(format!("{step}: {}: {message}", look.paint(Paint::Bad, "failed")))
        }
        RunEvent::StepRetried { step, message, after_ms, gives_up_ms, tries, failing_ms } => {
            let so_far = match tries {
                0 | 1 => String::new(),
                n => format!(", failing {n} times for {}", millis(failing_ms / 100 * 100)),
            };
            let until = gives_up_ms.map(|ms| format!(", given up in {}", millis(ms / 1000 * 1000)));
            let until = until.unwrap_or_default();
            talk(format!("{step}: {message}; tried again in {}{so_far}{until}", millis(*after_ms)))
        }
        RunEvent::Carried { step, load, report, took_us } => {
            talk(format!("{step}: {}", carried(*load, report, *took_us)))
        }
        RunEvent::Compared { step, report } => talk(format!("{step}: {}", compared(report))),
        RunEvent::GateWaits { step, what } => talk(format!("{step}: waiting: {what}")),
        RunEvent::WatchRead { step, ok: true, said, failed: _, failures: _ } => {
            talk(format!("{step}: {}: {said}", look.paint(Paint::Good, "good")))
        }
        RunEvent::WatchRead { step, ok: false, said, failed, failures } => Some((
            Volume::Always,
            format!(
                "{step}: {}, {failed} of {failures} in a row: {said}",
                look.paint(Paint::Bad, "not good")
            ),
        )),
        RunEvent::Fallback { cutover, behind_ms: Some(ms) } => {
            talk(format!("{cutover}: if you go back now: 0 writes lost, {} behind", millis(*ms)))
        }
        RunEvent::Fallback { cutover, behind_ms: None } => talk(format!(
            "{cutover}: if you go back now: what the new side took is LOST, there is no reverse sync"
        )),
        RunEvent::HealthLost { cutover, watch, said, next } => Some((
            Volume::Always,
            format!("{cutover}: {} at {watch}: {said}\n  {next}", look.paint(Paint::Bad, "HEALTH LOST")),
        )),
        RunEvent::Forecast { cutover, forecast } => {
            talk(format!("{cutover}: predicted pause {} ({})", predicted(forecast), terms(forecast)))
        }
        RunEvent::Phase { cutover, phase, took_us, said } => {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let after = if *took_us == 0 { String::new() } else { format!(" after {}", micros(*took_us)) };
            talk(format!("{cutover}: {}{after}{said}", look.paint(Paint::Title, phase.as_str())))
        }
        RunEvent::Aborting { cutover, reason } => Some((
            Volume::Always,
            format!(
                "{cutover}: {}, the side that served opens first: {reason}",
                look.paint(Paint::Bad, "aborting")
            ),
        )),
        RunEvent::Aborted { cutover, live } => {
            Some((Volume::Always, format!("{cutover}: aborted; the {live} serves and takes writes")))
        }
        RunEvent::Settling { cutover, phase, complete } => {
            let how =
                if *complete { "completing it" } else { "aborting it, the side that served opens first" };
            Some((
                Volume::Always,
                format!(
                    "{cutover}: {} a run died at {phase}; {how}",
                    look.paint(Paint::Warning, "settling:")
                ),
            ))
        }
        RunEvent::Rehearsed { cutover, report } => {
            Some((Volume::Always, rehearsed::text(cutover.as_str(), report, look)))
        }
        RunEvent::Found { step, finding } => Some(found(step.as_str(), finding, look)),
        RunEvent::Stopping { said } => Some((Volume::Always, look.paint(Paint::Warning, said))),
        RunEvent::Slowed { brakes } if brakes.is_empty() => talk("nothing slows it down any more".to_owned()),
        RunEvent::Slowed { brakes } => {
            let lines = brakes.lines();
            let lines: Vec<String> = lines.iter().map(|l| look.paint(Paint::Warning, l)).collect();
            Some((Volume::Always, lines.join("\n")))
        }
        RunEvent::Said { text } => talk(text.clone()),
    }
}

fn carried(load: bool, report: &PassReport, took_us: u64) -> String {
    let mut text = format!(
        "{}: {} of {} records written, {} deleted, {} in {}",
        if load { "load" } else { "pass" },
        count(report.records_written),
        count(report.records_seen),
        count(report.records_deleted),
        bytes(report.bytes_written),
        micros(took_us)
    );
    if report.set_aside_total > 0 {
        text.push_str(&format!("; {} SET ASIDE", count(report.set_aside_total)));
    }
    if report.stale_total > 0 {
        text.push_str(&format!("; {} STALE WRITES", count(report.stale_total)));
    }
    text
}

fn compared(report: &VerifyReport) -> String {
    let differ = match report.mismatches_total {
        0 if report.missing_total > 0 => format!("{} MISSING, all others equal", count(report.missing_total)),
        0 => "all equal".to_owned(),
        n => {
            let some = report.mismatches.iter().take(NAMED_MAX);
            let named: Vec<String> = some.map(|m| format!("{} ({})", m.key, m.what)).collect();
            let more = n.saturating_sub(named.len() as u64);
            let rest = match more {
                0 => String::new(),
                _ => format!(" and {} more", count(more)),
            };
            format!("{} DIFFER: {}{rest}", count(n), named.join(", "))
        }
    };
    format!(
        "compared {} records ({} by content, {}): {differ}",
        count(report.records_checked),
        count(report.records_read),
        bytes(report.bytes_read)
    )
}

fn found(step: &str, finding: &Finding, look: &Look) -> (Volume, String) {
    let Finding { severity, code, summary, remedy } = finding;
    let (volume, word) = match severity {
        Severity::Info => (Volume::Talk, look.paint(Paint::Dim, "note")),
        Severity::Warning => (Volume::Always, look.paint(Paint::Warning, "warning")),
        Severity::Critical => (Volume::Always, look.paint(Paint::Bad, "critical")),
    };
    (volume, format!("{word}[{code}]: {step}: {summary}\n  next: {remedy}"))
}
