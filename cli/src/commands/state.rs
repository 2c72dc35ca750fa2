//! `segue state`: looking at what is recorded, and changing it by hand.

mod change;
mod look;
mod transfer;
mod unlock;

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// Look at what is recorded, or change it by hand
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  segue state list")]
pub(crate) enum StateCommand {
    List(look::List),
    Show(look::ShowOne),
    Pull(transfer::Pull),
    Push(transfer::Push),
    Mv(change::Mv),
    Rm(change::Rm),
    Rebuild(change::Rebuild),
    Unlock(unlock::Unlock),
}

impl StateCommand {
    /// Runs one.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(invocation),
            Self::Show(command) => command.run(invocation),
            Self::Pull(command) => command.run(invocation),
            Self::Push(command) => command.run(invocation),
            Self::Mv(command) => command.run(invocation),
            Self::Rm(command) => command.run(invocation),
            Self::Rebuild(command) => command.run(invocation),
            Self::Unlock(command) => command.run(invocation),
        }
    }
}
