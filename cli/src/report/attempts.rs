//! An attempt at a cutover in the report: its phases, how it ended, and its pause beside what was predicted, term by
//! term (protocol P25).

use segue_contract::{Address, Registry, Side};
use segue_language::Term;
use segue_plan::cutover::{Known, Phase, forecast, siblings};
use segue_plan::event::{Attempt, Proof};
use segue_plan::state::{State, UnitState};
use serde::Serialize;

use super::as_text;

/// An attempt.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AttemptLine {
    pub(crate) cutover: Address,
    pub(crate) epoch: u64,
    pub(crate) from: Side,
    pub(crate) to: Side,
    /// Empty for a switch back by command.
    pub(crate) plan_hash: String,
    pub(crate) migrations: Vec<Address>,
    pub(crate) began_ms: i64,
    pub(crate) timeout_ms: u64,
    /// Whether a watchdog stood by.
    pub(crate) watched_over: bool,
    pub(crate) phases: Vec<PhaseLine>,
    pub(crate) outcome: Outcome,
    /// Writes were refused for so long; `None`: they never were, or still are.
    pub(crate) pause_us: Option<u64>,
    pub(crate) terms: Vec<TermLine>,
    /// The term in each is measured by these phases.
    #[serde(skip)]
    opens: Phase,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Outcome {
    InFlight,
    Switched,
    Aborting { reason: String },
    Aborted { reason: String },
}

/// A phase that was reached.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseLine {
    #[serde(serialize_with = "as_text")]
    pub(crate) phase: Phase,
    pub(crate) at_ms: i64,
    pub(crate) took_us: u64,
    pub(crate) said: String,
}

/// One term of the pause.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TermLine {
    pub(crate) term: String,
    /// `None`: nobody had measured it.
    pub(crate) predicted_ms: Option<u64>,
    /// Where the prediction comes from.
    pub(crate) basis: String,
    pub(crate) measured_us: Option<u64>,
}

impl AttemptLine {
    /// One that begins, with the prediction from what was known then.
    pub(super) fn begin(
        cutover: &Address,
        attempt: &Attempt,
        at_ms: i64,
        before: &State,
        registry: &Registry,
    ) -> Self {
        let unit = |migration: &Address, unit: &str| -> Option<&UnitState> {
            before.migrations.get(migration)?.units.get(unit)
        };
        let units: Vec<&UnitState> =
            attempt.jobs.iter().filter_map(|job| unit(&job.migration, &job.unit)).collect();
        let pauses = before.cutovers.get(cutover).map(|c| c.pauses.as_slice()).unwrap_or_default();
        let ttls = attempt.routes.iter().filter_map(|r| registry.route(r).ok().map(|route| route.ttl_ms(r)));
        let rehearsed = before.rehearsed(cutover).map(|r| &r.report);
        let quiesces: Vec<&str> = attempt.members.iter().map(|m| m.close.block.provider.as_str()).collect();
        let routes: Vec<&str> = attempt.routes.iter().map(|r| r.provider.as_str()).collect();
        let predicted = forecast(&Known {
            units,
            pauses: pauses.to_vec(),
            siblings: siblings(before, cutover, &quiesces, &routes),
            rehearsed,
            freeze_ms: attempt.freeze_ms,
            ttl_ms: ttls.max().unwrap_or(0),
            ..Known::default()
        });
        let terms = predicted.terms.into_iter().map(|term| TermLine {
            term: term.term.words().to_owned(),
            predicted_ms: (!term.unmeasured).then_some(term.ms),
            basis: term.basis,
            measured_us: None,
        });
        Self {
            cutover: cutover.clone(),
            epoch: attempt.epoch,
            from: attempt.from,
            to: attempt.to,
            plan_hash: attempt.plan_hash.clone(),
            migrations: attempt.migrations().cloned().collect(),
            began_ms: at_ms,
            timeout_ms: attempt.timeout_ms,
            watched_over: attempt.watchdog.is_some(),
            phases: Vec::new(),
            outcome: Outcome::InFlight,
            pause_us: None,
            terms: terms.collect(),
            opens: if attempt.opens().writers { Phase::Started } else { Phase::Routed },
        }
    }

    pub(super) fn reached(&mut self, phase: Phase, proof: &Proof, at_ms: i64, took_us: u64) {
        if let Some(term) = term_of(phase).and_then(|of| self.terms.iter_mut().find(|t| t.term == of.words()))
        {
            term.measured_us = Some(term.measured_us.unwrap_or(0) + took_us);
        }
        self.phases.push(PhaseLine { phase, at_ms, took_us, said: proof.said.clone() });
        if phase == self.opens {
            self.pause_us = Some(self.phases.iter().map(|p| p.took_us).sum());
        }
        if matches!(phase, Phase::Watching | Phase::Soaking) {
            self.outcome = Outcome::Switched;
        }
    }

    pub(super) fn reopened(&mut self, at_ms: i64) {
        self.pause_us = u64::try_from(at_ms - self.began_ms).ok().map(|ms| ms * 1000);
    }

    pub(super) fn aborting(&mut self, reason: &str) {
        self.outcome = Outcome::Aborting { reason: reason.to_owned() };
    }

    pub(super) fn aborted(&mut self) {
        if let Outcome::Aborting { reason } = &self.outcome {
            self.outcome = Outcome::Aborted { reason: reason.clone() };
        }
    }

    /// The sum of the predicted terms; `None`: nobody had measured one of them.
    pub(crate) fn predicted_ms(&self) -> Option<u64> {
        self.terms.iter().map(|t| t.predicted_ms).sum()
    }
}

/// The predicted term that a phase's time belongs to.
fn term_of(phase: Phase) -> Option<Term> {
    match phase {
        Phase::Drained => Some(Term::Drain),
        Phase::Fenced => Some(Term::Fence),
        Phase::CaughtUp => Some(Term::CatchUp),
        Phase::Verified => Some(Term::VerifyResidual),
        Phase::Hardened => Some(Term::Harden),
        Phase::ReverseArmed | Phase::Committed => Some(Term::Commit),
        Phase::Routed => Some(Term::Route),
        Phase::Opened | Phase::Started => Some(Term::Open),
        Phase::Ready
        | Phase::Quiescing
        | Phase::Watching
        | Phase::Soaking
        | Phase::Finished
        | Phase::Aborting => None,
    }
}
