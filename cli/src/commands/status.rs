//! `segue status`

use clap::Args;
use segue_run::clock::SystemClock;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::render::status::{Now, StatusView};
use crate::workspace::Workspace;

/// Show who serves, whether writes are open, and what going back would lose
///
/// Takes no lock: it asks a running apply, or reads the journal.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue status --json | jq '.cutovers[].serves'")]
pub(crate) struct Status {}

impl Status {
    /// Shows it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let printer = &invocation.printer;
        let workspace = Workspace::read(invocation);
        let snapshot = workspace.snapshot(invocation)?;
        let now = Now::of(&SystemClock::new());
        let doubts = workspace.doubts(invocation, &snapshot);
        let exit = if doubts.is_empty() { Exit::Done } else { Exit::Error };
        let view = StatusView::of(&snapshot, doubts, workspace.desired_if_right(), &now);
        if printer.json() {
            printer.json_data(&view)?;
        } else {
            printer.data(&view.text(&printer.out_look()))?;
        }
        Ok(exit)
    }
}
