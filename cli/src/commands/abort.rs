//! `segue abort`

use clap::Args;
use segue_run::execute::Ask;
use segue_run::host;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::{ask_running, writing};

/// Abort a cutover that is in flight: the side that serves is re-opened first
///
/// Talks to the running apply; when none runs, settles what a dead one left. After the commit an abort is
/// refused: `segue switch-back` is the way back then.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue abort cutover.site")]
pub(crate) struct Abort {
    /// The cutover; not needed when only one is in flight
    cutover: Option<String>,
}

impl Abort {
    /// Aborts.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        let snapshot = workspace.snapshot(invocation)?;
        let cutover = match &self.cutover {
            Some(typed) => Some(names::find("cutover", typed, snapshot.state.cutovers.keys())?),
            None => None,
        };
        let by = format!("{}@{}", host::user(), host::hostname());
        if let Some(exit) = ask_running(invocation, &workspace, &Ask::Abort { cutover, by })? {
            return Ok(exit);
        }
        writing(invocation, &workspace, "abort", false, |desk| {
            if desk.settled.is_empty() {
                invocation.printer.say("Nothing to abort: no cutover is in flight, and no apply is running.");
            }
            Ok(Exit::Done)
        })
    }
}
