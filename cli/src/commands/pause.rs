//! `segue pause`

use clap::Args;
use segue_run::execute::Ask;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::{here, only_running};

/// Let a running apply take no more work, until `segue resume`
///
/// Running steps stop at their next safe point, gates wait (without their time running), nothing is lost. Refused
/// while a cutover has writes paused: clients would wait longer. The pause lasts as long as the run does. Who paused it,
/// and why, is shown by `segue status` and `segue watch` as long as it lasts, and by `history` and `report` for good.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue pause --why 'nightly dump' && mysqldump ... ; segue resume")]
pub(crate) struct Pause {
    /// Why: shown to whoever looks, and kept in the journal
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Pause {
    /// Asks for it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let question = Ask::Pause { by: here(), why: self.why.clone() };
        only_running(invocation, &Workspace::read(invocation), &question)
    }
}
