//! The steps of a plan, in stages.

use segue_plan::plan::{Estimate, PlanStep, Reason, Reversibility, Stage};

use crate::printer::{Look, Paint};
use crate::render::quantity::{bytes, millis, of};

/// All stages that have something to show.
pub(super) fn text(steps: &[PlanStep], all: bool, look: &Look) -> String {
    let mut out = String::new();
    let mut stage = None;
    let mut before: Option<&PlanStep> = None;
    for step in steps.iter().filter(|s| all || !s.done) {
        if stage != Some(step.stage) {
            if stage.is_some() {
                out.push('\n');
            }
            stage = Some(step.stage);
            out.push_str(&format!("{}\n", look.paint(Paint::Title, stage_text(step.stage))));
        }
        if step.reversibility == Reversibility::PointOfNoReturn {
            let line = look.rule("point of no return: before this, everything is undone by an abort");
            out.push_str(&format!("  {}\n", look.paint(Paint::Warning, &line)));
        }
        out.push_str(&step_text(step, before, look));
        before = Some(step);
    }
    if stage.is_some() {
        out.push('\n');
    }
    out
}

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Prepare => "Prepare: nothing moves yet",
        Stage::Carry => "Carry: data moves, writes go on",
        Stage::Gates => "Gates: conditions to wait for",
        Stage::Reads => "Reads: they go over in steps, writes stay",
        Stage::CutOver => "Cut over: writes pause",
        Stage::After => "After: the new side serves",
        Stage::Release => "Release: what was temporary goes",
    }
}

fn step_text(step: &PlanStep, before: Option<&PlanStep>, look: &Look) -> String {
    let PlanStep {
        address,
        block: _,
        unit: _,
        kind: _,
        stage: _,
        what,
        asks_approval: _,
        reason,
        done,
        waits_for,
        estimate,
        reversibility: _,
        remarks,
    } = step;
    let (marker, paint) = match (done, reason) {
        (true, _) | (false, Reason::Done) => ("=", Paint::Dim),
        (false, Reason::New) => ("+", Paint::Good),
        (false, Reason::Changed | Reason::Again) => ("~", Paint::Warning),
        (false, Reason::Drifted) => ("!", Paint::Bad),
        (false, Reason::Resumed) => (">", Paint::Key),
    };
    let why = if *done { "done" } else { reason.as_str() };
    let mut out = format!("  {} {address} ({why})\n      {what}\n", look.paint(paint, marker));
    // Waiting for the line above goes without saying.
    let others: Vec<&str> =
        waits_for.iter().filter(|w| before.is_none_or(|b| b.address != **w)).map(|w| w.as_str()).collect();
    if !others.is_empty() && !done {
        out.push_str(&format!("      {} {}\n", look.paint(Paint::Dim, "after"), others.join(", ")));
    }
    if let Some(estimate) = estimate {
        out.push_str(&estimate_text(estimate, look));
    }
    for remark in remarks {
        out.push_str(&format!("      - {remark}\n"));
    }
    out
}

fn estimate_text(estimate: &Estimate, look: &Look) -> String {
    let Estimate { records, bytes: size, time_ms, basis } = estimate;
    let mut parts = Vec::new();
    parts.extend(records.map(|n| of(n, "record", "records")));
    parts.extend(size.map(bytes));
    parts.extend(time_ms.map(|ms| format!("about {}", millis(ms))));
    let numbers = if parts.is_empty() { "cost unknown".to_owned() } else { parts.join(", ") };
    format!("      {numbers} {}\n", look.paint(Paint::Dim, &format!("[{basis}]")))
}
