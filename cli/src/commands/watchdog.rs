//! `segue watchdog`: the process that an apply starts before a pause, and nobody else.

use std::io::BufReader;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use segue_run::clock::SystemClock;
use segue_run::execute::settle_all;
use segue_run::lease::{Ended, Orders, SETTLING_MS, WATCHDOG, leave_session, watch};
use segue_run::lock::LockError;
use segue_run::session::{Session, SessionError, Start, snapshot};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::{Invocation, VERSION};
use crate::progress;

/// Between two tries to take the lock from whoever settles already.
const AGAIN: Duration = Duration::from_millis(100);

/// Settle a pause whose process died or stalled
///
/// Apply starts it before a pause; it reads its orders from its standard input.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue watchdog < ORDERS")]
pub(crate) struct Watchdog {}

impl Watchdog {
    /// Watches, and settles if it must. What it says goes to the log in the state directory.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let clock = SystemClock::new();
        let (input, output) = (BufReader::new(std::io::stdin()), std::io::stdout());
        let watched = watch(input, output, &clock, |_| leave_session());
        let watched = watched.map_err(|e| Failure::new(format!("the watchdog cannot watch: {e}")))?;
        let (Some(orders), Ended::Settle { why }) = watched else {
            return Ok(Exit::Done);
        };
        invocation.printer.warn(&format!("process {}: {why}", orders.holder.pid));
        self.settle(invocation, &orders)
    }

    fn settle(&self, invocation: &Invocation, orders: &Orders) -> Result<Exit, Failure> {
        let began = Instant::now();
        loop {
            if !snapshot(&orders.state_dir)?.state.unsettled() {
                return Ok(Exit::Done);
            }
            let progress = progress::listener(&invocation.printer);
            let start = Start {
                state_dir: &orders.state_dir,
                command: WATCHDOG,
                version: VERSION,
                tap: invocation.take_tap(),
                adopt: false,
                watchdog: None,
            };
            let opened =
                Session::open(start, invocation.registry.clone(), progress.listen(), orders.secrets());
            let session = match opened {
                Ok(session) => session,
                // Another settles; should it die, this one goes on.
                Err(SessionError::Lock(LockError::Locked { .. }))
                    if began.elapsed() < Duration::from_millis(2 * SETTLING_MS) =>
                {
                    sleep(AGAIN);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let settled = settle_all(&session.ground);
            let exit = settled.as_ref().map_or_else(|e| e.exit_code(), |_| 0);
            session.close(exit)?;
            settled?;
            return Ok(Exit::Done);
        }
    }
}
