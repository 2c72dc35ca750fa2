//! `segue state list` and `segue state show`: readers.

use clap::Args;
use segue_contract::Address;
use segue_plan::state::State;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::render::state::{cutover_text, migration_text};
use crate::workspace::Workspace;

/// List what is recorded
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state list --json")]
pub(crate) struct List {}

impl List {
    /// Lists it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let snapshot = Workspace::read(invocation).snapshot(invocation)?;
        let names = addresses(&snapshot.state);
        if invocation.printer.json() {
            invocation.printer.json_data(&names)?;
        } else {
            let lines: String = names.iter().map(|a| format!("{a}\n")).collect();
            invocation.printer.data(&lines)?;
        }
        Ok(Exit::Done)
    }
}

/// Show one migration or cutover as it is recorded
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state show migration.site")]
pub(crate) struct ShowOne {
    /// Its address
    address: String,
}

impl ShowOne {
    /// Shows it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let printer = &invocation.printer;
        let snapshot = Workspace::read(invocation).snapshot(invocation)?;
        let state = &snapshot.state;
        let names = addresses(state);
        let address = names::find("migration", &self.address, &names)?;
        let look = printer.out_look();
        if let Some(migration) = state.migrations.get(&address) {
            if printer.json() {
                printer.json_data(migration)?;
            } else {
                printer.data(&migration_text(&address, migration, &look))?;
            }
        }
        if let Some(cutover) = state.cutovers.get(&address) {
            if printer.json() {
                printer.json_data(cutover)?;
            } else {
                printer.data(&cutover_text(&address, cutover, &look))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Everything that has an address of its own in a state.
pub(super) fn addresses(state: &State) -> Vec<Address> {
    state.migrations.keys().chain(state.cutovers.keys()).cloned().collect()
}
