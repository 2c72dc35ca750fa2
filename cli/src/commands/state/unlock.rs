//! `segue state unlock`: the hand on a process that hangs.

use clap::Args;
use segue_contract::segue;
use segue_run::directory::StateDirectory;
use segue_run::lock::{LockState, probe};
use segue_run::session::SessionError;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::writing;

/// Kill the process that holds the state, and settle what it began
///
/// Needed only for one that hangs outside of a pause, or after it was hardened: a pause whose time is over is settled by
/// its watchdog, or by any command. The lock itself is the kernel's, and is never broken.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state unlock --yes")]
pub(crate) struct Unlock {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Unlock {
    /// Kills it, settles, and says who serves.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        let Some((directory, _)) = StateDirectory::open(&workspace.state_dir).map_err(SessionError::from)?
        else {
            return Err(Failure::new(format!("there is no state in {}", workspace.state_dir.display())));
        };
        match probe(&directory)? {
            LockState::Free | LockState::Abandoned(_) => {
                invocation.printer.say("No process holds the state.");
            }
            LockState::Unclear(holder) => {
                return Err(Failure::new(format!("{holder} cannot be seen from here")).remedy(format!(
                    "end it where it runs; or, when that machine is gone for good, `{}`",
                    segue(&["adopt"])
                )));
            }
            LockState::Held(holder) if !holder.is_here() => {
                return Err(Failure::new(format!("{holder} is on another machine")).remedy(format!(
                    "end it there; or, when that machine is gone for good, `{}`",
                    segue(&["adopt"])
                )));
            }
            LockState::Held(holder) => {
                let question = format!("Kill {holder}, and settle what it began?");
                match self.yes.then_some(true).or_else(|| invocation.printer.ask(&question, "kill")) {
                    Some(true) => {}
                    Some(false) => return Err(Failure::new("nothing was done: it was not confirmed")),
                    None => {
                        return Err(
                            Failure::new("nothing was done: there is nobody to ask").remedy("pass --yes")
                        );
                    }
                }
                holder.process.kill().map_err(|e| Failure::new(format!("{holder} cannot be killed: {e}")))?;
                invocation.printer.say(&format!("Killed: {holder}."));
            }
        }
        // Every command that writes settles first.
        writing(invocation, &workspace, "state unlock", false, |_| Ok(Exit::Done))
    }
}
