//! Asking again: what may pass by itself is tried a while, with growing waits, before the step fails.

use std::time::{Duration, Instant};

use segue_contract::{ErrorClass, StepError, StepIo};

/// How long one call is tried again: a node that restarts is back by then, and a step that fails is resumed anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The waits between tries: doubled each time, from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A wait is looked at so often, so that a stop is seen.
const SLICE: Duration = Duration::from_millis(50);

/// Calls until it works, or fails in a way that trying again cannot mend, or patience is over. For calls that may be
/// repeated whatever became of them: reads, and writes that carry versions.
pub(crate) fn again<T>(
    io: &dyn StepIo,
    mut call: impl FnMut() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let began = Instant::now();
    let mut wait = WAITS.0;
    loop {
        let error = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let may_pass = matches!(error.class, ErrorClass::Transient | ErrorClass::Unknown);
        if !may_pass || began.elapsed() + wait > PATIENCE {
            return Err(error);
        }
        pause(io, wait)?;
        wait = WAITS.1.min(wait * 2);
    }
}

/// Waits, unless the step is asked to stop.
pub(crate) fn pause(io: &dyn StepIo, wait: Duration) -> Result<(), StepError> {
    let end = Instant::now() + wait;
    loop {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}
