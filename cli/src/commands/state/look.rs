//! `segue state list` and `segue state show`: readers.

use clap::Args;
use segue_contract::Address;
use segue_plan::state::State;
use segue_run::clock::{Clock, SystemClock};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::render::resources::{text, views};
use crate::render::state::{cutover_text, migration_text};
use crate::workspace::Workspace;

/// List what is recorded: migrations, cutovers, and what is temporary somewhere
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state list --json")]
pub(crate) struct List {}

impl List {
    /// Lists it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let snapshot = Workspace::read(invocation).snapshot(invocation)?;
        let addresses = addresses(&snapshot.state);
        let resources = snapshot.state.resources_in_order().into_iter().map(|r| r.resource.id.as_str());
        let names: Vec<&str> = addresses.iter().map(Address::as_str).chain(resources).collect();
        if invocation.printer.json() {
            invocation.printer.json_data(&names)?;
        } else {
            let lines: String = names.iter().map(|a| format!("{a}\n")).collect();
            invocation.printer.data(&lines)?;
        }
        Ok(Exit::Done)
    }
}

/// Show one migration, cutover or temporary resource as it is recorded
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
        let look = printer.out_look();
        let now_ms = SystemClock::new().wall_ms();
        let all = views(state, now_ms, snapshot.running.is_some());
        if let Some(resource) = all.iter().find(|r| r.id == self.address) {
            return match printer.json() {
                true => printer.json_data(resource),
                false => printer.data(&text(std::slice::from_ref(resource), &look)),
            }
            .map(|()| Exit::Done);
        }
        let address = names::find("migration", &self.address, &names)?;
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
