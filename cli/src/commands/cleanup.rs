//! `segue cleanup`

use clap::Args;
use segue_contract::segue;
use segue_run::clock::{Clock, SystemClock};
use segue_run::execute::{RunError, clean_up};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Reason};
use crate::invocation::Invocation;
use crate::render::resources::{ResourceView, text, views};
use crate::workspace::Workspace;
use crate::writing::{Desk, writing};

/// Show what is temporary and where, and release what nobody needs any more
///
/// Lists everything that Segue made or changed somewhere, in the order in which it is released, with whose it is and
/// why it may or may not be released now. What a cutover that serves, or a fallback within `retain`, needs is never
/// released. Exit 0: nothing is left over, or it was released; 3: something is left over, and nobody said yes; 1:
/// something could not be released.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  segue cleanup\n  segue cleanup --yes")]
pub(crate) struct Cleanup {
    /// Release what is left over, without asking
    #[arg(long)]
    yes: bool,
}

impl Cleanup {
    /// Lists, and releases.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let printer = &invocation.printer;
        let workspace = Workspace::read(invocation);
        let snapshot = workspace.snapshot(invocation)?;
        let now_ms = SystemClock::new().wall_ms();
        let before = views(&snapshot.state, now_ms, snapshot.running.is_some());
        let left_over = before.iter().filter(|v| v.is_left_over()).count();
        // What is in flight is settled by any command that writes: what it leaves is seen only then.
        let settles = self.yes && snapshot.running.is_none() && workspace.state_dir.exists();
        if left_over == 0 && !settles {
            show(invocation, &before, &[])?;
            return Ok(Exit::Done);
        }
        if !self.yes {
            show(invocation, &before, &[])?;
            let what = format!("\nRelease the {left_over} that are left over?");
            match if printer.json() { None } else { printer.ask(&what, "yes") } {
                Some(true) => {}
                Some(false) => return Err(Failure::new("nothing was released").exit(Exit::Stopped)),
                None => {
                    let what = format!("{left_over} left over, and nobody said yes");
                    return Err(Failure::new(what)
                        .exit(Exit::Stopped)
                        .remedy(format!("`{}` releases them", segue(&["cleanup", "--yes"]))));
                }
            }
        }
        writing(invocation, &workspace, "cleanup", false, |desk| release(invocation, desk))
    }
}

fn release(invocation: &Invocation, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let released = clean_up(desk.ground);
    let after = views(&desk.ground.state(), desk.ground.clock.wall_ms(), false);
    let done: Vec<(String, String)> =
        released.iter().filter_map(|r| Some((r.id.clone(), r.outcome.as_ref().ok()?.clone()))).collect();
    show(invocation, &after, &done)?;
    let failed: Vec<Reason> = released
        .iter()
        .filter_map(|r| {
            let error = r.outcome.as_ref().err()?;
            let message = format!("{} is still there: {error}", r.id);
            Some(Reason { message, remedy: error.remedy() })
        })
        .collect();
    if failed.is_empty() {
        return Ok(Exit::Done);
    }
    let exits = released.iter().filter_map(|r| r.outcome.as_ref().err()).map(RunError::exit_code);
    Err(Failure { exit: Exit::of_several(exits), reasons: failed })
}

fn show(
    invocation: &Invocation,
    views: &[ResourceView],
    released: &[(String, String)],
) -> Result<(), Failure> {
    let printer = &invocation.printer;
    if printer.json() {
        let released: Vec<_> = released.iter().map(|(id, said)| json!({ "id": id, "said": said })).collect();
        return printer.json_data(&json!({ "released": released, "resources": views }));
    }
    let mut out = String::new();
    for (id, said) in released {
        out.push_str(&format!("released {id}: {said}\n"));
    }
    if !released.is_empty() && !views.is_empty() {
        out.push('\n');
    }
    if released.is_empty() || !views.is_empty() {
        out.push_str(&text(views, &printer.out_look()));
    }
    printer.data(&out)
}
