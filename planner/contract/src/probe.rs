//! Probes: questions to the world with a yes or a no, asked again and again. Gates ask one before a
//! cutover, watches after it.

use serde::{Deserialize, Serialize};

use crate::{BlockRef, Finding, StepError, StepIo};

/// The answer to one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Whether what was asked for holds.
    pub ok: bool,
    /// What was seen, with its numbers, one line: `HTTP 200 in 12 ms`, `exit 1: queue has 14 jobs`.
    pub said: String,
    /// The measured value, where there is one (milliseconds, a query's result), for the report's plots.
    pub value: Option<f64>,
}

/// A way to look at the world. Looking changes nothing there and may be repeated.
pub trait Probe: Send + Sync {
    /// Whether the spec and the world allow this probe here: a critical finding refuses the plan.
    fn check(&self, block: &BlockRef) -> Vec<Finding>;

    /// Looks once, within the probe's own time-out. That nothing answers is a reading (not ok), no error; an
    /// error means that the question could not be put: a program that is not there, a secret that is missing.
    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError>;
}
