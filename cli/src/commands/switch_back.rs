//! `segue switch-back`

use clap::Args;
use segue_run::execute::{Goal, switch_back};
use segue_run::host;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::render::summary;
use crate::workspace::Workspace;
use crate::writing::{reach_running, writing};

/// Switch a cutover back to the side that served before, without touching the spec
///
/// The same protocol, the other way round, with no gates: what the other side took since is carried back
/// first. The cutover is held afterwards, so that no apply flips it again.
///
/// An apply that follows or watches goes back by itself, and says here how far it is. In its pause it says what happens
/// now.
///
/// A target that cannot be read is left only with fallback { accept_loss = true } and either fence = [...], a command
/// that keeps it from serving and proves it, or dual_write = true; what is lost is said. Otherwise nothing is touched,
/// the cutover is held, exit 3.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue switch-back cutover.site")]
pub(crate) struct SwitchBack {
    /// The cutover
    cutover: String,
}

impl SwitchBack {
    /// Switches back.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        let printer = &invocation.printer;
        let snapshot = workspace.snapshot(invocation)?;
        if !snapshot.state.cutovers.is_empty() {
            let cutover = names::find("cutover", &self.cutover, snapshot.state.cutovers.keys())?;
            if let Some(exit) = reach_running(invocation, &workspace, &cutover, Goal::SourceServes)? {
                return Ok(exit);
            }
        }
        writing(invocation, &workspace, "switch-back", false, |desk| {
            let before = desk.ground.state();
            let cutover = names::find("cutover", &self.cutover, before.cutovers.keys())?;
            let reason = format!("switched back by {}@{}", host::user(), host::hostname());
            let result = switch_back(desk.ground, &cutover, &reason, workspace.desired_if_right());
            summary::tell(printer, &before, &desk.ground.state())?;
            result?;
            printer.say(&format!(
                "{cutover} is held: `{} unhold {cutover}` lets apply switch it again.",
                invocation.name
            ));
            Ok(Exit::Done)
        })
    }
}
