//! Taking the writer's lock: from nobody, from a watchdog once it is through, or from a process whose time is over.

use std::time::{Duration, Instant};

use segue_plan::cutover::{Phase, Settle, settle};

use super::{SessionError, replay};
use crate::clock::Clock;
use crate::directory::StateDirectory;
use crate::execute::{Listener, RunEvent};
use crate::lease::{Decision, GRACE_MS, LeaseFile, SETTLING_MS, WATCHDOG};
use crate::lock::{Holder, LockError, WriterLock};

/// Between two tries to take the lock from a watchdog that settles.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock; from a watchdog that settles when it is through, and from a process that holds a lapsed lease
/// by killing it (protocol P8). Everybody else is named.
pub(super) fn take_lock(
    directory: &StateDirectory,
    command: &str,
    clock: &dyn Clock,
    listener: &dyn Listener,
) -> Result<WriterLock, SessionError> {
    let patience = Instant::now() + Duration::from_millis(SETTLING_MS);
    let mut told = false;
    loop {
        let (error, holder) = match WriterLock::acquire(directory, command, clock) {
            Err(LockError::Locked { directory, holder: Some(holder) }) => {
                (LockError::Locked { directory, holder: Some(holder.clone()) }, *holder)
            }
            other => return other.map_err(SessionError::from),
        };
        if holder.is_here() && lapsed(directory, &holder, clock)? {
            let text = format!(
                "{holder} holds a pause whose lease is over: it is killed, and what it began is settled"
            );
            listener.tell(&RunEvent::Said { text });
            if holder.process.kill().is_err() {
                return Err(error.into());
            }
            continue;
        }
        if holder.command != WATCHDOG || command == WATCHDOG || Instant::now() >= patience {
            return Err(error.into());
        }
        if !told {
            listener.tell(&RunEvent::Said {
                text: format!("{holder} settles what a dead run left; waiting for it"),
            });
            told = true;
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Whether the holder's time is over: an attempt whose lease lapsed and was not hardened, by whoever decides that
/// first; one that is being aborted has the time of a settler; one that is committed is completed in a time of its own
/// (protocol P30).
fn lapsed(directory: &StateDirectory, holder: &Holder, clock: &dyn Clock) -> Result<bool, SessionError> {
    let (state, _) = replay(directory, None)?;
    for (cutover, known) in state.in_flight() {
        let Some(attempt) = &known.attempt else { continue };
        if let Some(until) = known.forward_until()
            && until.boot_id == clock.boot_id()
        {
            // Who came after the commit settles.
            let committed_ms = until.ms.saturating_sub(attempt.forward_ms());
            let settles = holder.since_boot_ms.filter(|since_ms| *since_ms > committed_ms);
            let until_ms = settles.map_or(until.ms, |ms| ms.saturating_add(SETTLING_MS).max(until.ms));
            if clock.boot_ms() >= until_ms.saturating_add(GRACE_MS) {
                return Ok(true);
            }
            continue;
        }
        if settle(known.phase) != Settle::Abort || attempt.began.boot_id != clock.boot_id() {
            continue;
        }
        let settling = if known.phase == Phase::Aborting { SETTLING_MS } else { 0 };
        let deadline_ms = attempt.began.ms.saturating_add(attempt.timeout_ms + GRACE_MS + settling);
        if clock.boot_ms() < deadline_ms {
            continue;
        }
        match LeaseFile::of(directory.root(), cutover, attempt.epoch).decide(Decision::Expired)? {
            Decision::Expired => return Ok(true),
            // Hung on its way to COMMITTED: both sides are closed, and nobody else ends that.
            Decision::Hardened if clock.boot_ms() >= deadline_ms.saturating_add(attempt.forward_ms()) => {
                return Ok(true);
            }
            Decision::Hardened => {}
        }
    }
    Ok(false)
}
