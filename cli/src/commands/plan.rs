//! `segue plan`

use std::path::PathBuf;

use clap::Args;
use segue_contract::{paths, segue};
use segue_plan::plan::{Outlook, PlanFile};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::{Invocation, VERSION};
use crate::render::plan::{PlanView, What};
use crate::workspace::Workspace;

/// Show what apply would do, in order, and why
///
/// Observes the systems and changes nothing. Takes no lock: it may run beside an apply.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  segue plan --out site.plan && segue approve site.plan && segue apply site.plan"
)]
pub(crate) struct PlanCommand {
    /// Write the plan to this file, for review, approval and `segue apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit 2 when there are changes, 4 when something drifted and nothing else is to do
    #[arg(long)]
    detailed_exitcode: bool,
    /// Allow finishing before `retain` is over
    #[arg(long)]
    early: bool,
    /// Show steps that are done, too
    #[arg(long)]
    all: bool,
}

impl PlanCommand {
    /// Whether finishing before `retain` is over is allowed.
    pub(crate) fn early(&self) -> bool {
        self.early
    }

    /// Plans and shows.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { out, detailed_exitcode, early, all } = self;
        let printer = &invocation.printer;
        let workspace = Workspace::read(invocation);
        let planned = workspace.plan(invocation, *early)?;
        let next = match out {
            Some(path) => What::Planned(segue(&["apply", &path.display().to_string()]).to_string()),
            None => What::Planned(segue(&["apply"]).to_string()),
        };
        let view = PlanView { plan: &planned.plan, all: *all, what: next };
        if printer.json() {
            printer.json_data(&view.json())?;
        } else {
            printer.data(&view.text(&printer.out_look()))?;
        }
        if planned.plan.refused() {
            if let Some(path) = out {
                printer.say(&format!("{} was not written: the plan is refused.", path.display()));
            }
            return Err(Failure::said(Exit::Error));
        }
        let outlook = planned.plan.outlook();
        if let Some(path) = out {
            let file = PlanFile::new(planned.plan, VERSION)?.with_variables(workspace.loaded.variables.plain);
            paths::replace(path, file.encode()?.as_bytes())?;
            printer.say(&format!("The plan is in {}, hash {}.", path.display(), file.plan.hash));
        }
        Ok(exit(outlook, *detailed_exitcode))
    }
}

fn exit(outlook: Outlook, detailed: bool) -> Exit {
    match outlook {
        Outlook::Changes if detailed => Exit::Changes,
        Outlook::DriftOnly if detailed => Exit::Drift,
        Outlook::Nothing | Outlook::Changes | Outlook::DriftOnly => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use segue_plan::plan::Outlook;

    use super::exit;
    use crate::exit::Exit;

    #[test]
    fn detailed_exit_codes_tell_changes_from_drift() {
        assert_eq!(exit(Outlook::Nothing, true), Exit::Done);
        assert_eq!(exit(Outlook::Changes, true), Exit::Changes);
        assert_eq!(exit(Outlook::DriftOnly, true), Exit::Drift);
        assert_eq!(exit(Outlook::Changes, false), Exit::Done);
        assert_eq!(exit(Outlook::DriftOnly, false), Exit::Done);
    }
}
