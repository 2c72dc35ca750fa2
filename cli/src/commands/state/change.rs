//! `segue state mv`, `rm` and `rebuild`: changes by hand, each an event.

use clap::Args;
use segue_contract::{Address, segue};
use segue_plan::event::Event;

use super::look::addresses;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::writing;

/// Give something another address, after it was renamed in the spec
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state mv migration.site migration.shop")]
pub(crate) struct Mv {
    /// Its address
    from: String,
    /// Its new address
    to: String,
}

impl Mv {
    /// Moves it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "state mv", false, |desk| {
            let names = addresses(&desk.ground.state());
            let from = names::find("migration", &self.from, &names)?;
            let to = Address::new(self.to.clone());
            if names.contains(&to) {
                return Err(Failure::new(format!("{to} is recorded already")).remedy(format!(
                    "forget it first with `{}`, or take another name",
                    segue(&["state", "rm"])
                )));
            }
            if from.kind() != to.kind() {
                return Err(Failure::new(format!(
                    "{from} is a {}, and {to} would be a {}",
                    from.kind(),
                    to.kind()
                ))
                .exit(Exit::Usage));
            }
            desk.ground.record(Event::AddressMoved { from: from.clone(), to: to.clone() })?;
            invocation.printer.say(&format!("{from} is {to} now."));
            Ok(Exit::Done)
        })
    }
}

/// Forget something; the systems are not touched
///
/// Markers stay at the endpoints: another state needs `segue adopt` to work with them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state rm migration.site")]
pub(crate) struct Rm {
    /// Its address
    address: String,
}

impl Rm {
    /// Forgets it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "state rm", false, |desk| {
            let state = desk.ground.state();
            let address = names::find("migration", &self.address, &addresses(&state))?;
            let marked = state.migrations.get(&address).is_some_and(|m| m.marker.is_some());
            desk.ground.record(Event::AddressForgotten { address: address.clone() })?;
            invocation.printer.say(&format!("{address} is forgotten; the systems are as they were."));
            if marked {
                invocation.printer.warn("its markers are still at both endpoints");
            }
            Ok(Exit::Done)
        })
    }
}

/// Make the state anew from the journal
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state rebuild")]
pub(crate) struct Rebuild {}

impl Rebuild {
    /// Reads the journal from its first event, and refuses a damaged one.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "state rebuild", false, |desk| {
            let sequence = desk.session.rebuild()?;
            let (state, _) = desk.ground.recorder.snapshot();
            invocation.printer.say(&format!(
                "The state was made anew from {sequence} events: {} migrations, {} cutovers.",
                state.migrations.len(),
                state.cutovers.len()
            ));
            Ok(Exit::Done)
        })
    }
}
