//! `segue history`

use clap::Args;
use segue_plan::event::Entry;
use segue_run::session::history;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::render::history::line;
use crate::workspace::Workspace;

/// Show everything that happened, oldest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue history --json | jq 'select(.event.type == \"phase_reached\")'")]
pub(crate) struct History {}

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl History {
    /// Shows it, while it is read: a journal may be long.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let printer = &invocation.printer;
        let workspace = Workspace::read(invocation);
        let look = printer.out_look();
        let mut failed = None;
        let notices = history(&workspace.state_dir, &mut |sequence, entry| {
            if failed.is_some() {
                return;
            }
            let written = if printer.json() {
                printer.json_line(&Line { sequence, entry })
            } else {
                printer.data(&line(sequence, entry, &look))
            };
            failed = written.err();
        })?;
        for notice in &notices {
            printer.warn(notice);
        }
        match failed {
            Some(failure) => Err(failure),
            None if notices.is_empty() => Ok(Exit::Done),
            None => Ok(Exit::Error),
        }
    }
}
