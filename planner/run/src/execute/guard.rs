//! The watchdog of this run, if it has one: started with the first pause, told of each, let go at the end.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_contract::{Address, StepError};
use segue_language::Secrets;
use segue_plan::event::Watcher;

use crate::lease::{Orders, Program, Watchdog, WatchdogError};

/// What guards this run's pauses.
#[derive(Debug)]
pub struct Guard {
    program: Option<Program>,
    state_dir: PathBuf,
    running: Mutex<Option<Watchdog>>,
}

impl Guard {
    /// A guard that runs `program`; `None`: nobody watches (the lab, and commands that settle).
    pub fn new(program: Option<Program>, state_dir: PathBuf) -> Self {
        Self { program, state_dir, running: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Watchdog>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that somebody watches, and says who.
    pub(super) fn arm(&self, secrets: &Secrets) -> Result<Option<Watcher>, StepError> {
        let Some(program) = &self.program else { return Ok(None) };
        let mut running = self.lock();
        if let Some(watchdog) = running.as_mut()
            && watchdog.answers().is_err()
        {
            *running = None;
        }
        if running.is_none() {
            let orders = Orders::new(self.state_dir.clone(), secrets);
            let started = Watchdog::start(program, &self.state_dir, &orders);
            *running = Some(started.map_err(|e| unguarded(&e))?);
        }
        Ok(running.as_ref().map(Watchdog::watcher))
    }

    /// Who watches.
    pub(super) fn watcher(&self) -> Option<Watcher> {
        self.lock().as_ref().map(Watchdog::watcher)
    }

    /// Whether somebody watches.
    pub(super) fn watches(&self) -> bool {
        self.lock().is_some()
    }

    /// Tells it until when this process may abort an attempt by itself, and for how much longer it may complete one.
    pub(super) fn lease(
        &self,
        cutover: &Address,
        epoch: u64,
        deadline_ms: u64,
        forward_ms: u64,
    ) -> Result<(), StepError> {
        match self.lock().as_mut() {
            Some(watchdog) => {
                watchdog.lease(cutover, epoch, deadline_ms, forward_ms).map_err(|e| unguarded(&e))
            }
            None => Ok(()),
        }
    }

    /// Tells it that an attempt is committed, and until when this process may complete it by itself. One that does not
    /// hear it gives it the time that the lease named.
    pub(super) fn forward(&self, cutover: &Address, deadline_ms: u64) {
        if let Some(watchdog) = self.lock().as_mut() {
            let _ = watchdog.forward(cutover, deadline_ms);
        }
    }

    /// Returns when it has answered; at once where there is none.
    pub(super) fn answers(&self) -> Result<(), StepError> {
        match self.lock().as_mut() {
            Some(watchdog) => watchdog.answers().map_err(|e| unguarded(&e)),
            None => Ok(()),
        }
    }

    /// Tells it that an attempt is over. One that does not hear it looks at the journal, and finds the same.
    pub(super) fn over(&self, cutover: &Address) {
        if let Some(watchdog) = self.lock().as_mut() {
            let _ = watchdog.over(cutover);
        }
    }

    /// Lets the watchdog go.
    pub(crate) fn dismiss(&self) {
        if let Some(watchdog) = self.lock().take() {
            watchdog.dismiss();
        }
    }
}

fn unguarded(error: &WatchdogError) -> StepError {
    StepError::permanent(error.to_string()).remedy(
        "without it nobody re-opens the side that served when this process dies: see why, and apply again",
    )
}
