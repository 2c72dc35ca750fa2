//! Retries: what may pass by itself is tried again with backoff, inside a deadline.

use std::time::{Duration, Instant};

use segue_contract::{Address, ErrorClass, StepError};

use super::{Ground, RunEvent};

/// First wait between two tries.
const FIRST: Duration = Duration::from_millis(200);
/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(10);

/// How long transient failures of a step are tried again.
pub(super) const STEP_DEADLINE: Duration = Duration::from_secs(300);

/// Runs `work` until it succeeds, fails for good, or `deadline` is over; `stop` ends the waiting.
pub(super) fn retry<T>(
    ground: &Ground,
    step: &Address,
    deadline: Duration,
    stop: impl Fn() -> bool,
    mut work: impl FnMut() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let end = Instant::now() + deadline;
    let mut wait = FIRST;
    loop {
        let error = match work() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let again = match error.class {
            ErrorClass::Transient | ErrorClass::Unknown => Instant::now() + wait < end,
            ErrorClass::Permanent | ErrorClass::Cancelled => false,
        };
        if !again || stop() {
            return Err(error);
        }
        let after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let left = end.saturating_duration_since(Instant::now());
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        ground.tell(&RunEvent::retried(step.clone(), error.to_string(), after_ms, Some(left_ms)));
        let next = Instant::now() + wait;
        // Messages that are for others wake it, too.
        while !stop() && Instant::now() < next {
            ground.control.sleep(next.saturating_duration_since(Instant::now()));
        }
        if stop() {
            return Err(error);
        }
        wait = (wait * 2).min(LONGEST);
    }
}
