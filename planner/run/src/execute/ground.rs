//! What every part of a run stands on.

use std::path::PathBuf;
use std::sync::Arc;

use segue_contract::{Address, Registry};
use segue_language::Secrets;
use segue_plan::cutover::Phase;
use segue_plan::event::{BootTime, Event};
use segue_plan::plan::StepKind;
use segue_plan::state::State;

use super::{Board, Control, Guard, Listener, Recorder, RunError, RunEvent};
use crate::clock::Clock;

/// Who acts: part of every marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The state's id.
    pub state_id: String,
    /// The state directory, absolute.
    pub state_dir: PathBuf,
    /// The machine's id.
    pub machine_id: String,
    /// Host name.
    pub host: String,
    /// User name.
    pub user: String,
}

/// What every part of a run stands on.
pub struct Ground {
    /// The providers.
    pub registry: Registry,
    /// The journal and the state that it folds to.
    pub recorder: Recorder,
    /// Who is told.
    pub listener: Arc<dyn Listener>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Values of secrets that the spec's evaluation produced.
    pub secrets: Secrets,
    /// What is asked from outside.
    pub control: Arc<Control>,
    /// What it is doing right now.
    pub board: Board,
    /// Who settles when this process dies in a pause.
    pub guard: Guard,
    /// Who acts.
    pub who: Who,
    /// Ledgers and what was kept aside.
    pub artifacts: PathBuf,
}

impl Ground {
    /// Now, on the boot clock.
    pub fn now(&self) -> BootTime {
        BootTime { ms: self.clock.boot_ms(), boot_id: self.clock.boot_id().to_owned() }
    }

    /// Records an event: durable when this returns.
    pub fn record(&self, event: Event) -> Result<(), RunError> {
        self.recorder.record(self.clock.wall_ms(), event).map_err(RunError::from)
    }

    /// Records an event without which a cutover in flight could not be settled: it may use the space
    /// that is kept for that on a full disk.
    pub fn record_settling(&self, event: Event) -> Result<(), RunError> {
        self.recorder.record_settling(self.clock.wall_ms(), event).map_err(RunError::from)
    }

    /// The state after everything recorded so far.
    pub fn state(&self) -> State {
        self.recorder.state()
    }

    /// Tells the listener, and whoever asks over the control socket.
    pub fn tell(&self, event: &RunEvent) {
        let counted = self.board.counted(event);
        let event = counted.as_ref().unwrap_or(event);
        self.board.note(self.clock.wall_ms(), event);
        if let RunEvent::Phase { cutover, phase: Phase::Watching | Phase::Soaking, .. }
        | RunEvent::Aborted { cutover, .. } = event
        {
            self.control.end_closing(cutover);
        }
        if let RunEvent::Phase { cutover, phase, said, .. } = event {
            let more = if said.is_empty() { String::new() } else { format!(": {said}") };
            self.control.goals(|goals| goals.say(cutover, &format!("{cutover}: {phase}{more}")));
        }
        self.listener.tell(event);
    }

    /// Records and tells that a step begins. Returns when the intent is durable.
    pub(super) fn begin_step(&self, step: &Address, kind: StepKind) -> Result<(), RunError> {
        let resumed = self.recorder.look(|state| state.open_steps.contains_key(step));
        self.record(Event::StepStarted { step: step.clone(), kind })?;
        self.tell(&RunEvent::StepStarted { step: step.clone(), kind, resumed });
        Ok(())
    }

    /// Records and tells that a step ended well.
    pub(super) fn end_step(
        &self,
        step: &Address,
        kind: StepKind,
        said: String,
        took_us: u64,
    ) -> Result<(), RunError> {
        self.record(Event::StepFinished { step: step.clone(), took_us })?;
        self.tell(&RunEvent::StepFinished { step: step.clone(), kind, said, took_us });
        Ok(())
    }

    /// Runs a step between its two records; a failure is recorded too.
    pub(super) fn step(
        &self,
        step: &Address,
        kind: StepKind,
        work: impl FnOnce() -> Result<String, RunError>,
    ) -> Result<(), RunError> {
        self.begin_step(step, kind)?;
        let began = std::time::Instant::now();
        match work() {
            Ok(said) => self.end_step(step, kind, said, micros(began)),
            Err(error) => {
                self.note_failure(step, &error);
                Err(error)
            }
        }
    }

    /// Records and tells a failure. That it cannot be recorded (a full disk) must not hide it.
    pub(super) fn note_failure(&self, step: &Address, error: &RunError) {
        if matches!(error, RunError::Interrupted | RunError::Record(_)) {
            return;
        }
        let class = match error {
            RunError::Step { error, .. } | RunError::BothClosed { error, .. } => error.class,
            _ => segue_contract::ErrorClass::Permanent,
        };
        let (message, remedy) = (error.to_string(), error.remedy());
        let event =
            Event::StepFailed { step: step.clone(), class, message: message.clone(), remedy: remedy.clone() };
        if let Err(lost) = self.record(event) {
            self.tell(&RunEvent::Said { text: format!("this failure could not be recorded: {lost}") });
        }
        self.tell(&RunEvent::StepFailed { step: step.clone(), message, remedy });
    }
}

/// Microseconds since an instant.
pub(super) fn micros(began: std::time::Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
