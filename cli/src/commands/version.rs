//! `segue version`

use clap::Args;
use segue_plan::event::WIRE_VERSION;
use segue_plan::plan::PLAN_FILE_VERSION;
use segue_plan::state::STATE_VERSION;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::{Invocation, VERSION};

/// Show the version, and those of the files that it reads
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue version --json")]
pub(crate) struct Version {}

#[derive(Serialize)]
struct Versions {
    version: &'static str,
    journal: u32,
    state: u32,
    plan_file: u32,
}

impl Version {
    /// Prints it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let versions = Versions {
            version: VERSION,
            journal: WIRE_VERSION,
            state: STATE_VERSION,
            plan_file: PLAN_FILE_VERSION,
        };
        if invocation.printer.json() {
            invocation.printer.json_data(&versions)?;
        } else {
            invocation.printer.data(&format!("{} {VERSION}\n", invocation.name))?;
        }
        Ok(Exit::Done)
    }
}
