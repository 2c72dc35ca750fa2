//! What a run is doing right now, as it is told to whoever asks.

use std::collections::BTreeMap;
use std::fmt;

use segue_contract::{Address, Progress};
use segue_plan::cutover::Forecast;
use segue_plan::plan::{Stage, StepKind};
use serde::{Deserialize, Serialize};

use super::super::brake::Brakes;
use super::super::talk::RunEvent;

/// What a run is doing right now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// What slows it down, and who wished it.
    pub brakes: Brakes,
    /// What waits although it could go on, and why: a try after a failure, a slot.
    #[serde(default)]
    pub held_up: Vec<HeldUp>,
    /// Steps that are held up and not named.
    #[serde(default)]
    pub held_up_more: u64,
    /// The steps that run, by address.
    pub steps: Vec<LiveStep>,
    /// The gates that were looked at in this run.
    pub gates: Vec<LiveGate>,
    /// How much of the plan is done.
    pub stages: Vec<LiveStage>,
    /// The predicted pauses, by cutover.
    pub forecasts: BTreeMap<Address, Forecast>,
    /// The hash of the plan that is applied; empty: none is.
    pub plan_hash: String,
    /// What has been waited for for a while: for whom, since when, until when.
    #[serde(default)]
    pub waits: Vec<String>,
    /// Whether it goes on with passes when the plan is done (`--follow`).
    #[serde(default)]
    pub follows: bool,
    /// The last messages, oldest first, long lists in them cut.
    pub told: Vec<Told>,
}

impl Live {
    /// Everything that makes the run slower than it could be, a sentence each: people and the spec first.
    pub fn slowed(&self) -> Vec<String> {
        let mut lines = self.brakes.lines();
        lines.extend(self.waits.iter().cloned());
        lines.extend(self.held_up.iter().map(ToString::to_string));
        if self.held_up_more > 0 {
            lines.push(format!("and {} more steps are held up", self.held_up_more));
        }
        lines
    }
}

/// A step that could go on and waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUp {
    /// Which.
    pub step: Address,
    /// Why, a phrase.
    pub why: String,
    /// Wall clock, milliseconds.
    pub since_ms: i64,
}

impl fmt::Display for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.why)
    }
}

/// A running step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveStep {
    /// Which.
    pub step: Address,
    /// Its kind.
    pub kind: StepKind,
    /// Wall clock when it began, milliseconds.
    pub began_ms: i64,
    /// How far it is.
    pub progress: Progress,
    /// Bytes a second, as measured over the last seconds.
    pub bytes_per_s: f64,
    /// Records a second, likewise.
    pub records_per_s: f64,
    /// What failed and is tried again.
    pub retrying: Option<String>,
}

/// A gate as last looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveGate {
    /// The gate's step.
    pub gate: Address,
    /// Whether it is met.
    pub met: bool,
    /// By what, or what is missing and how far off it is.
    pub said: String,
    /// The measured value, where there is one.
    pub value: Option<f64>,
    /// How long it is still waited for, in milliseconds, as of the look.
    pub left_ms: u64,
    /// Whether it waits for people who approve the plan.
    #[serde(default)]
    pub asks_approval: bool,
}

/// How much of a stage is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStage {
    /// Which.
    pub stage: Stage,
    /// Steps that are done.
    pub done: u64,
    /// Steps in all.
    pub of: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Wall clock, milliseconds.
    pub at_ms: i64,
    /// What.
    pub event: RunEvent,
}
