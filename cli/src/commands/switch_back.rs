//! `segue switch-back`

use clap::Args;
use segue_run::execute::switch_back;
use segue_run::host;

use super::accepting::Accepting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::render::summary;
use crate::workspace::Workspace;
use crate::writing::writing;

/// Switch a cutover back to the side that served before, without touching the spec
///
/// The same protocol, the other way round, with no gates: what the other side took since is carried back
/// first. The cutover is held afterwards, so that no apply flips it again.
///
/// A target that cannot be read is left only with fallback { accept_loss = true } and either fence = [...], a command
/// that keeps it from serving and proves it, or dual_write = true; what is lost is said. Otherwise nothing is touched,
/// the cutover is held, exit 3.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue switch-back cutover.site")]
pub(crate) struct SwitchBack {
    /// The cutover
    cutover: String,
    #[command(flatten)]
    accepting: Accepting,
}

impl SwitchBack {
    /// Switches back.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        let printer = &invocation.printer;
        writing(invocation, &workspace, "switch-back", false, |desk| {
            self.accepting.record(invocation, desk)?;
            let before = desk.ground.state();
            let cutover = names::find("cutover", &self.cutover, before.cutovers.keys())?;
            let reason = format!("switched back by {}@{}", host::user(), host::hostname());
            let result = switch_back(desk.ground, &cutover, &reason, workspace.desired_if_right());
            summary::tell(printer, &before, &desk.ground.state())?;
            result?;
            printer.say(&format!(
                "{cutover} is held: `{}` lets apply switch it again.",
                segue_contract::segue(&["unhold", cutover.as_str()])
            ));
            Ok(Exit::Done)
        })
    }
}
