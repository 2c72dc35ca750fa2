//! `segue adopt`

use clap::Args;
use segue_plan::plan::{PlanOptions, plan};
use segue_run::execute::{ObserveIo, adopt};
use segue_run::observe::observe;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::writing;

/// Take over endpoints that another state directory holds, once that one is gone
///
/// Also binds a state directory that was copied or restored to its new place. Refused as long as the other
/// holder may still act.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue adopt && segue plan")]
pub(crate) struct Adopt {}

impl Adopt {
    /// Takes over.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "adopt", true, |desk| {
            let desired = workspace.desired(invocation)?;
            let ground = desk.ground;
            let state = ground.state();
            let io = ObserveIo::new(ground.artifacts.clone(), ground.secrets.clone());
            let observed = observe(desired, &state, &ground.registry, &io, &*ground.clock);
            let options =
                PlanOptions { base: None, early: false, state_id: Some(ground.who.state_id.clone()) };
            let plan = plan(desired, &state, &observed, &options);
            let session = desk.session;
            let said = adopt(ground, &session.directory, session.copied, desired, &plan, &observed)?;
            if said.is_empty() {
                invocation
                    .printer
                    .say("Nothing to take over: every endpoint is free or this state's already.");
            }
            for line in said {
                invocation.printer.say(&line);
            }
            Ok(Exit::Done)
        })
    }
}
