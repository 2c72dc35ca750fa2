//! `segue unhold`

use clap::Args;
use segue_run::execute::{Goal, unhold};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::{here, reach_running, writing};

/// Let a held cutover go on
///
/// A side that was left because it could not be read is taken back first; it has to answer, and to be what was left.
///
/// A running apply does it itself; in its pause it says what happens now.
///
/// With --stale also: what stale writers left on the old side was looked at and taken care of.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue unhold cutover.site")]
pub(crate) struct Unhold {
    /// The cutover
    cutover: String,
    /// The stale writes that `segue status` lists are taken care of
    #[arg(long)]
    stale: bool,
}

impl Unhold {
    /// Lets it go on.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { cutover, stale } = self;
        let workspace = Workspace::read(invocation);
        let snapshot = workspace.snapshot(invocation)?;
        if !snapshot.state.cutovers.is_empty() {
            let cutover = names::find("cutover", cutover, snapshot.state.cutovers.keys())?;
            let goal = Goal::GoesOn { stale: *stale };
            if let Some(exit) = reach_running(invocation, &workspace, &cutover, goal, &[])? {
                return Ok(exit);
            }
        }
        writing(invocation, &workspace, "unhold", false, |desk| {
            let state = desk.ground.state();
            let address = names::find("cutover", cutover, state.cutovers.keys())?;
            for said in unhold(desk.ground, &address, *stale, &here())? {
                invocation.printer.say(&said);
            }
            Ok(Exit::Done)
        })
    }
}
