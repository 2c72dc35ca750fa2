//! Taking the writer's lock: from nobody, from a watchdog once it is through, or from a process whose time is over.

use std::time::{Duration, Instant};

use segue_plan::cutover::{Phase, Settle, settle};

use super::{SessionError, replay};
use crate::clock::Clock;
use crate::directory::StateDirectory;
use crate::execute::{Listener, RunEvent};
use crate::lease::{Decision, GRACE_MS, LeaseFile, SETTLING_MS, WATCHDOG};
use crate::lock::{LockError, WriterLock};

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
        if holder.is_here() && lapsed(directory, clock)? {
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
/// first; one that is being aborted has the time of a settler.
fn lapsed(directory: &StateDirectory, clock: &dyn Clock) -> Result<bool, SessionError> {
    let (state, _) = replay(directory, None)?;
    for (cutover, known) in state.in_flight() {
        let Some(attempt) = &known.attempt else { continue };
        if settle(known.phase) != Settle::Abort || attempt.began.boot_id != clock.boot_id() {
            continue;
        }
        let settling = if known.phase == Phase::Aborting { SETTLING_MS } else { 0 };
        let deadline_ms = attempt.began.ms.saturating_add(attempt.timeout_ms + GRACE_MS + settling);
        if clock.boot_ms() >= deadline_ms
            && LeaseFile::of(directory.root(), cutover, attempt.epoch).decide(Decision::Expired)?
                == Decision::Expired
        {
            return Ok(true);
        }
    }
    Ok(false)
}
