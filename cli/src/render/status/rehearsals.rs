//! What the status says of rehearsals: what the last one found, and one that is not over.

use segue_contract::{Address, Severity, segue};
use segue_plan::state::State;
use serde::Serialize;

use crate::render::quantity::{ago, millis};

/// A cutover's rehearsals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RehearsalView {
    pub(super) cutover: Address,
    /// When the last came to its end, wall clock, milliseconds.
    pub(super) at_ms: Option<i64>,
    pub(super) critical: usize,
    pub(super) warnings: usize,
    pub(super) predicted_pause_ms: Option<u64>,
    /// One is not over: its copy is still there.
    pub(super) open: bool,
}

pub(super) fn gather(state: &State) -> Vec<RehearsalView> {
    let one = |(cutover, known): (&Address, &segue_plan::state::RehearsalState)| {
        let last = known.last.as_ref();
        let count = |severity| {
            let findings = last.into_iter().flat_map(|l| &l.report.findings);
            findings.filter(|f| f.finding.severity == severity).count()
        };
        RehearsalView {
            cutover: cutover.clone(),
            at_ms: last.map(|l| l.at_ms),
            critical: count(Severity::Critical),
            warnings: count(Severity::Warning),
            predicted_pause_ms: last.map(|l| l.report.forecast.total_ms()),
            open: known.open.is_some(),
        }
    };
    state.rehearsals.iter().map(one).collect()
}

impl RehearsalView {
    /// Its lines.
    pub(super) fn text(&self, running: bool, now_ms: i64) -> String {
        let Self { cutover, at_ms, critical, warnings, predicted_pause_ms, open } = self;
        let mut out = String::new();
        if let Some(at_ms) = at_ms {
            let pause = predicted_pause_ms
                .map_or_else(String::new, |ms| format!("; a pause of {} is predicted", millis(ms)));
            out.push_str(&format!(
                "{cutover}: rehearsed {}: {critical} critical findings, {warnings} warnings{pause}\n",
                ago(now_ms, *at_ms)
            ));
        }
        if *open && !running {
            out.push_str(&format!(
                "{cutover}: A REHEARSAL IS NOT OVER: its copy is still there; `{}` goes on, `{}` takes it away\n", segue(&["rehearse", cutover.as_str()]), segue(&["cleanup"])
            ));
        }
        out
    }
}
