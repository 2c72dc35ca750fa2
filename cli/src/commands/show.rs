//! `segue show`

use std::path::PathBuf;

use clap::Args;
use segue_contract::{paths, segue};
use segue_plan::plan::PlanFile;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::render::plan::{PlanView, What};
use crate::render::state;
use crate::workspace::Workspace;

/// Show a plan file, or what is recorded
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue show site.plan")]
pub(crate) struct Show {
    /// A plan file; the recorded state when absent
    plan_file: Option<PathBuf>,
    /// Show steps that are done, too
    #[arg(long)]
    all: bool,
}

impl Show {
    /// Shows it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let printer = &invocation.printer;
        let look = printer.out_look();
        let Some(path) = &self.plan_file else {
            let snapshot = Workspace::read(invocation).snapshot(invocation)?;
            if printer.json() {
                printer.json_data(&snapshot.state)?;
            } else {
                printer.data(&state::text(&snapshot.state, &look))?;
            }
            return Ok(Exit::Done);
        };
        let text = paths::read_to_string(path)?;
        let file = PlanFile::decode(&text).map_err(|e| Failure::new(format!("{} {e}", path.display())))?;
        let what = What::Planned(segue(&["apply", &path.display().to_string()]).to_string());
        let view = PlanView { plan: &file.plan, all: self.all, what };
        if printer.json() {
            printer.json_data(&view.json())?;
        } else {
            printer.data(&view.text(&look))?;
        }
        Ok(Exit::Done)
    }
}
