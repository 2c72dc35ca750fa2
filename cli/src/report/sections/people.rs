//! Who did and decided what: approvals, waivers, what stopped a cutover, plans, runs.

use super::super::charts::clock;
use super::super::html::Html;
use super::super::{ApprovalLine, DecisionLine, Newest, PlanLine, Report, RunLine};
use super::{more, short};
use crate::render::quantity::millis;

pub(in super::super) fn stops(html: &mut Html, report: &Report) {
    decisions(html, "Aborts, holds, lost health", &report.stops, false);
}

pub(in super::super) fn reads(html: &mut Html, report: &Report) {
    decisions(html, "Reads in steps", &report.reads, false);
}

pub(in super::super) fn waivers(html: &mut Html, report: &Report) {
    decisions(html, "Waived and settled", &report.waivers, true);
}

pub(in super::super) fn steering(html: &mut Html, report: &Report) {
    decisions(html, "Paused and throttled", &report.steering, true);
}

fn decisions(html: &mut Html, title: &'static str, lines: &Newest<DecisionLine>, people: bool) {
    if lines.kept.is_empty() {
        return;
    }
    html.words("h2", "", title);
    let row = |decision: &DecisionLine| {
        let DecisionLine { at_ms, about, what, by } = decision;
        let mut row = vec![clock(*at_ms), about.clone(), what.clone()];
        if people {
            row.push(by.clone().unwrap_or_else(|| "by the spec".to_owned()));
        }
        row
    };
    let heads: &[&'static str] =
        if people { &["When", "about", "what", "by"] } else { &["When", "about", "what"] };
    html.table(heads, &[], lines.kept.iter().map(row));
    more(html, lines.more(), "entries");
}

pub(in super::super) fn approvals(html: &mut Html, report: &Report) {
    if report.approvals.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Approvals");
    let row = |approval: &ApprovalLine| {
        let ApprovalLine { plan_hash, by, at_ms } = approval;
        vec![clock(*at_ms), by.clone(), plan_hash.clone()]
    };
    html.table(&["When", "by", "plan"], &[], report.approvals.kept.iter().map(row));
    more(html, report.approvals.more(), "approvals");
}

pub(in super::super) fn plans(html: &mut Html, report: &Report) {
    if report.plans.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Plans");
    let row = |plan: &PlanLine| {
        let PlanLine { plan_hash, began_ms } = plan;
        let by = report.approvals.kept.iter().filter(|a| a.plan_hash == *plan_hash).map(|a| a.by.clone());
        let by: Vec<String> = by.collect();
        vec![clock(*began_ms), short(plan_hash), plan_hash.clone(), by.join(", ")]
    };
    html.table(&["Begun", "plan", "whole hash", "approved by"], &[], report.plans.kept.iter().map(row));
    more(html, report.plans.more(), "plans");
}

pub(in super::super) fn runs(html: &mut Html, report: &Report) {
    if report.runs.kept.is_empty() {
        return;
    }
    html.words("h2", "", "Runs");
    let last = report.runs.kept.back().map(|r| r.run);
    let row = |line: &RunLine| {
        let RunLine { run, command, by, segue, pid, began_ms, last_ms, exit } = line;
        let exit = match exit {
            Some(exit) => format!("exit {exit}"),
            None if report.running.is_some() && last == Some(*run) => "runs".to_owned(),
            None => "died".to_owned(),
        };
        let lasted = millis(u64::try_from(last_ms - began_ms).unwrap_or(0));
        vec![
            run.to_string(),
            command.clone(),
            by.clone(),
            pid.to_string(),
            clock(*began_ms),
            lasted,
            exit,
            segue.clone(),
        ]
    };
    let heads = ["Run", "command", "by", "process", "began", "lasted", "end", "segue"];
    html.table(&heads, &[0, 3, 5], report.runs.kept.iter().map(row));
    more(html, report.runs.more(), "runs");
}
