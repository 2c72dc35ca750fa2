//! `segue unhold`

use clap::Args;
use segue_plan::event::Event;
use segue_run::execute::take_side_back;
use segue_run::host;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::writing;

/// Let a held cutover go on
///
/// A side that was left because it could not be read is taken back first; it has to answer, and to be what was left.
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
        writing(invocation, &workspace, "unhold", false, |desk| {
            let state = desk.ground.state();
            let address = names::find("cutover", cutover, state.cutovers.keys())?;
            let Some(known) = state.cutovers.get(&address) else {
                return Err(Failure::new(format!("{address} is not in the state")));
            };
            let by = format!("{}@{}", host::user(), host::hostname());
            let taken_back = take_side_back(desk.ground, &address, &by)?;
            if let Some(said) = &taken_back {
                invocation.printer.say(&format!("{address}: {said}."));
            }
            let settles = *stale && known.stale_total > 0;
            if known.held.is_none() && !settles && taken_back.is_none() {
                let what = if *stale { "is not held and has no stale writes" } else { "is not held" };
                invocation.printer.say(&format!("{address} {what}: nothing to do."));
                return Ok(Exit::Done);
            }
            if settles {
                desk.ground.record(Event::StaleSettled { cutover: address.clone(), by: by.clone() })?;
                invocation
                    .printer
                    .say(&format!("{} stale writes of {address} are settled.", known.stale_total));
            }
            if known.held.is_some() {
                desk.ground.record(Event::Unheld { cutover: address.clone(), by })?;
                invocation
                    .printer
                    .say(&format!("{address} is not held any more: the next apply does what the spec says."));
            }
            Ok(Exit::Done)
        })
    }
}
