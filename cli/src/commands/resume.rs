//! `segue resume`

use clap::Args;
use segue_run::execute::Ask;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::{here, only_running};

/// Let a paused apply go on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue resume")]
pub(crate) struct Resume {}

impl Resume {
    /// Asks for it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        only_running(invocation, &Workspace::read(invocation), &Ask::Resume { by: here() })
    }
}
