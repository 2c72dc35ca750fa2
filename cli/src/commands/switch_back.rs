//! `segue switch-back`

use clap::Args;
use segue_contract::{Address, Side, segue};
use segue_language::Desired;
use segue_plan::cutover::{Settle, settle};
use segue_plan::state::{CutoverState, State};
use segue_run::clock::SystemClock;
use segue_run::execute::{Goal, switch_back, way_back_refused};
use segue_run::host;
use segue_run::session::Snapshot;

use super::accepting::Accepting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::render::status::Now;
use crate::render::summary;
use crate::render::way_back::WayBackView;
use crate::workspace::Workspace;
use crate::writing::{reach_running, writing};

/// See to it that the declared source serves, without touching the spec
///
/// Where the source serves already, that is said, and nothing changes: it never leads to the target. Otherwise the
/// same protocol leads back, with no gates: what the target took since is carried back first. The cutover is held
/// afterwards, so that no apply flips it again. A run that died is settled first.
///
/// It shows what it will do and what would be lost, and asks. Without a terminal it needs --auto-approve.
///
/// An apply that follows or watches goes back by itself, and says here how far it is. In its pause it says what happens
/// now.
///
/// A target that cannot be read is left only with fallback { accept_loss = true } and either fence = [...], a command
/// that keeps it from serving and proves it, or dual_write = true; what is lost is said. Otherwise nothing is touched,
/// the cutover is held, exit 3.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue switch-back cutover.site\n  segue switch-back cutover.site --dry-run\n  segue switch-back cutover.site --auto-approve"
)]
pub(crate) struct SwitchBack {
    /// The cutover
    cutover: String,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Show what it would do and what would be lost, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    accepting: Accepting,
}

impl SwitchBack {
    /// Switches back.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        let desired = workspace.desired_if_right();
        let snapshot = workspace.snapshot(invocation)?;
        let declared = desired.into_iter().flat_map(|d| d.cutovers.keys());
        let cutover = names::find("cutover", &self.cutover, snapshot.state.cutovers.keys().chain(declared))?;
        // Where who serves is in doubt nothing is shown: the run that looks says why.
        let believed = snapshot.notices.is_empty() && workspace.doubts(invocation, &snapshot).is_empty();
        let known = snapshot.state.cutovers.get(&cutover);
        if believed && at_rest(&snapshot, known) && serves_source(known) {
            return told(invocation, &snapshot.state, &cutover, desired);
        }
        let mut asked = false;
        if let Some(known) = known.filter(|c| believed && c.live == Side::Target) {
            self.show(invocation, &snapshot.state, &cutover, known, desired)?;
            asked = true;
        }
        if self.dry_run {
            return dry(invocation, &cutover, asked);
        }
        if asked {
            self.ask(invocation, &cutover)?;
        }
        self.go_back(invocation, &workspace, &cutover, asked)
    }

    /// Settles what died, and then looks at the goal again: settling may have reached it.
    fn go_back(
        &self,
        invocation: &Invocation,
        workspace: &Workspace,
        cutover: &Address,
        asked: bool,
    ) -> Result<Exit, Failure> {
        let accept = self.accepting.hashes();
        if let Some(exit) = reach_running(invocation, workspace, cutover, Goal::SourceServes, accept)? {
            return Ok(exit);
        }
        let desired = workspace.desired_if_right();
        writing(invocation, workspace, "switch-back", false, |desk| {
            self.accepting.record(invocation, desk)?;
            let before = desk.ground.state();
            if let Some(known) = before.cutovers.get(cutover).filter(|c| c.live == Side::Target && !asked) {
                self.show(invocation, &before, cutover, known, desired)?;
                self.ask(invocation, cutover)?;
            }
            let reason = format!("switched back by {}@{}", host::user(), host::hostname());
            let result = switch_back(desk.ground, cutover, &reason, desired);
            let after = desk.ground.state();
            summary::tell(&invocation.printer, &before, &after)?;
            result?;
            tell_hold(invocation, &after, cutover, desired);
            Ok(Exit::Done)
        })
    }

    /// Shows the way back, or says why there is none.
    fn show(
        &self,
        invocation: &Invocation,
        state: &State,
        cutover: &Address,
        known: &CutoverState,
        desired: Option<&Desired>,
    ) -> Result<(), Failure> {
        let terms = desired.and_then(|d| d.cutovers.get(cutover)).map(|c| c.fallback.accept_loss);
        if let Some(refused) = way_back_refused(cutover, known, terms) {
            return Err(refused.into());
        }
        let view = WayBackView::of(state, cutover, known, desired, &Now::of(&SystemClock::new()));
        let printer = &invocation.printer;
        if printer.json() && self.dry_run {
            printer.json_data(&view)
        } else if self.dry_run {
            printer.data(&view.text(&printer.out_look()))
        } else {
            printer.say(&view.text(&printer.talk_look()));
            Ok(())
        }
    }

    fn ask(&self, invocation: &Invocation, cutover: &Address) -> Result<(), Failure> {
        if self.auto_approve {
            return Ok(());
        }
        match invocation.printer.ask("\nGo back to the source now?", "yes") {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::new("nothing was done: the way back was not confirmed")),
            None => Err(Failure::new("nothing was done: there is nobody to ask")
                .remedy(format!(
                    "`{}` goes back without asking",
                    self.accepting.with(&["switch-back", cutover.as_str(), "--auto-approve"])
                ))
                .exit(Exit::Stopped)),
        }
    }
}

/// Nobody is at work and nothing has to be settled: who serves now serves until somebody types something.
fn at_rest(snapshot: &Snapshot, known: Option<&CutoverState>) -> bool {
    snapshot.running.is_none() && known.is_none_or(|c| settle(c.phase) == Settle::Nothing)
}

fn serves_source(known: Option<&CutoverState>) -> bool {
    known.is_none_or(|c| c.live == Side::Source)
}

/// The goal is reached.
fn told(
    invocation: &Invocation,
    state: &State,
    cutover: &Address,
    desired: Option<&Desired>,
) -> Result<Exit, Failure> {
    invocation.printer.say(&format!("{cutover}: the source serves already: nothing to do."));
    tell_hold(invocation, state, cutover, desired);
    Ok(Exit::Done)
}

/// A dry run of what could not be shown.
fn dry(invocation: &Invocation, cutover: &Address, shown: bool) -> Result<Exit, Failure> {
    if !shown {
        invocation.printer.say(&format!(
            "{cutover}: who will serve is known only when what is under way is settled; `{}` says more.",
            segue(&["status"])
        ));
    }
    invocation.printer.say("Nothing was done: this was a dry run.");
    Ok(Exit::Done)
}

/// What the next apply does: nothing as long as it is held; otherwise what the spec says.
fn tell_hold(invocation: &Invocation, state: &State, cutover: &Address, desired: Option<&Desired>) {
    let held = state.cutovers.get(cutover).is_some_and(|c| c.held.is_some());
    let forward = desired.and_then(|d| d.cutovers.get(cutover)).is_some_and(|c| c.live == Side::Target);
    if held {
        let unhold = segue(&["unhold", cutover.as_str()]);
        let said = format!("{cutover} is held: `{unhold}` lets apply switch it again.");
        invocation.printer.say(&said);
    } else if forward {
        invocation.printer.say(&format!(
            "{cutover} is not held: the next `{}` leads to the target, as the spec says; write live = \"source\" there to keep it.",
            segue(&["apply"])
        ));
    }
}
