//! What a run tells while it runs. The command line turns it into bars, lines or JSON.

use segue_contract::{Address, Finding, PassReport, Progress, Side, VerifyReport};
use segue_plan::cutover::{Forecast, Phase};
use segue_plan::event::RehearsalReport;
use segue_plan::plan::StepKind;
use serde::{Deserialize, Serialize};

use super::brake::Brakes;

/// Something that a run tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A step began.
    StepStarted {
        /// Which.
        step: Address,
        /// Its kind.
        kind: StepKind,
        /// Whether an earlier run had begun it.
        resumed: bool,
    },
    /// A step is so far.
    StepProgress {
        /// Which.
        step: Address,
        /// How far.
        progress: Progress,
    },
    /// A step ended well.
    StepFinished {
        /// Which.
        step: Address,
        /// Its kind.
        kind: StepKind,
        /// What it established, a phrase; may be empty.
        said: String,
        /// Microseconds.
        took_us: u64,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: Address,
        /// What, where.
        message: String,
        /// What to do.
        remedy: Option<String>,
    },
    /// A step failed in a way that may pass: it is tried again.
    StepRetried {
        /// Which.
        step: Address,
        /// What, where.
        message: String,
        /// The next try, from now, in milliseconds.
        after_ms: u64,
        /// When it is given up, from now, in milliseconds; `None`: never.
        #[serde(default)]
        gives_up_ms: Option<u64>,
        /// How often it was tried in a row; counted by who tells it.
        #[serde(default)]
        tries: u32,
        /// Since when it fails, in milliseconds before now.
        #[serde(default)]
        failing_ms: u64,
    },
    /// A load or pass completed.
    Carried {
        /// The unit's step.
        step: Address,
        /// Whether it was the first load.
        load: bool,
        /// What it did.
        report: PassReport,
        /// Microseconds.
        took_us: u64,
    },
    /// A verification completed.
    Compared {
        /// The unit's step.
        step: Address,
        /// What it found.
        report: VerifyReport,
    },
    /// A gate waits.
    GateWaits {
        /// The gate's step.
        step: Address,
        /// What for, and how far off.
        what: String,
    },
    /// A watch was looked at after the switch.
    WatchRead {
        /// The watch's step.
        step: Address,
        /// Whether all was well.
        ok: bool,
        /// What was seen.
        said: String,
        /// Looks in a row that were not good.
        failed: u32,
        /// So many mean lost health.
        failures: u32,
    },
    /// How fresh the fallback is: what going back now would cost.
    Fallback {
        /// The cutover.
        cutover: Address,
        /// How far the old side is behind, in milliseconds; `None`: it is not kept fresh.
        behind_ms: Option<u64>,
    },
    /// A rehearsal came to its end.
    Rehearsed {
        /// The cutover.
        cutover: Address,
        /// What it measured and found.
        report: Box<RehearsalReport>,
    },
    /// Health was lost after a switch.
    HealthLost {
        /// The cutover.
        cutover: Address,
        /// The watch's step.
        watch: Address,
        /// What was seen.
        said: String,
        /// What happens now, a sentence.
        next: String,
    },
    /// The predicted pause, term by term.
    Forecast {
        /// The cutover.
        cutover: Address,
        /// The terms.
        forecast: Forecast,
    },
    /// A cutover reached a phase.
    Phase {
        /// The cutover.
        cutover: Address,
        /// The phase.
        phase: Phase,
        /// Microseconds since the phase before.
        took_us: u64,
        /// What was established.
        said: String,
    },
    /// An attempt is being aborted.
    Aborting {
        /// The cutover.
        cutover: Address,
        /// Why.
        reason: String,
    },
    /// An abort is complete; the side serves and takes writes.
    Aborted {
        /// The cutover.
        cutover: Address,
        /// The side.
        live: Side,
    },
    /// A run that died is being settled.
    Settling {
        /// The cutover.
        cutover: Address,
        /// Where it was.
        phase: Phase,
        /// Whether it is completed (`true`) or aborted.
        complete: bool,
    },
    /// A finding.
    Found {
        /// The step.
        step: Address,
        /// What.
        finding: Finding,
    },
    /// A signal or a message was taken: what happens now.
    Stopping {
        /// A sentence.
        said: String,
    },
    /// What slows the run down has changed.
    Slowed {
        /// Everything that does, and who wished it.
        brakes: Brakes,
    },
    /// Something else to know: a sentence.
    Said {
        /// The sentence.
        text: String,
    },
}

impl RunEvent {
    /// A step failed and is tried again. How often, and since when, is counted where it is told.
    pub(super) fn retried(step: Address, message: String, after_ms: u64, gives_up_ms: Option<u64>) -> Self {
        Self::StepRetried { step, message, after_ms, gives_up_ms, tries: 0, failing_ms: 0 }
    }
}

/// Takes what a run tells; called from many threads.
pub trait Listener: Send + Sync {
    /// Takes one event.
    fn tell(&self, event: &RunEvent);

    /// Asks a person to type `expected`; `None`: there is nobody to ask, or the question is `over` before it was
    /// answered. Blocks its caller and nobody else: what is told meanwhile is shown.
    fn confirm(&self, question: &str, expected: &str, over: &dyn Fn() -> bool) -> Option<bool>;

    /// Asks a person to type yes or no; `None` as with [`Self::confirm`].
    fn yes_or_no(&self, question: &str, over: &dyn Fn() -> bool) -> Option<bool>;

    /// Whether there is somebody to ask.
    fn somebody_there(&self) -> bool;
}
