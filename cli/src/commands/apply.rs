//! `segue apply`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use segue_contract::{paths, segue};
use segue_language::Desired;
use segue_plan::observe::Observed;
use segue_plan::plan::{Outlook, Plan, PlanFile, PlanOptions, plan};
use segue_plan::state::State;
use segue_run::execute::{ApplyOptions, ObserveIo, RunError, apply, follow, left_out, serve_metrics};
use segue_run::observe::observe;

use super::accepting::Accepting;
use crate::exit::Exit;
use crate::failure::{Failure, Reason};
use crate::invocation::{Invocation, VERSION};
use crate::render::plan::{PlanView, What};
use crate::render::summary;
use crate::workspace::Workspace;
use crate::writing::{Desk, writing};

/// Do what the spec asks for
///
/// Settles what a dead run left, shows the plan, asks, and executes it. Killed at any instant, the same
/// command goes on from there. Ctrl-C stops at the next safe point; in the pause it aborts, the side that
/// serves first; while it watches the new side it stops watching, and the next apply goes on with that.
///
/// Gates are waited for before the pause; at an approval gate the person at the terminal is asked last, elsewhere
/// it exits 3 and says what to type. It also exits 3 when records were set aside that no `waive` block names.
/// Health that a watch loses after the switch leads back by itself: exit 7.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue apply --auto-approve --json | tee apply.jsonl\n  segue apply --follow --metrics-listen 127.0.0.1:9464"
)]
pub(crate) struct Apply {
    /// Apply exactly this plan, and refuse when what it rests on has changed
    plan_file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Keep passes running afterwards, and wait at approval gates
    #[arg(long)]
    follow: bool,
    /// Allow finishing before `retain` is over
    #[arg(long)]
    early: bool,
    /// Serve metrics for Prometheus while it runs: http://ADDRESS/metrics
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    accepting: Accepting,
}

/// What is to be executed.
struct Prepared {
    plan: Plan,
    observed: Observed,
    before: State,
}

impl Apply {
    /// Whether finishing before `retain` is over is allowed.
    pub(crate) fn early(&self) -> bool {
        self.early
    }

    /// Applies.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        // A file that cannot be read is told after settling.
        let file = self.plan_file.as_deref().and_then(|path| read_plan(path).ok());
        let workspace = Workspace::read_with(invocation, file.map(|file| file.variables).unwrap_or_default());
        let command = if self.follow { "apply --follow" } else { "apply" };
        let result = writing(invocation, &workspace, command, false, |desk| {
            let desired = workspace.desired(invocation)?;
            self.work(invocation, desk, desired)
        });
        if invocation.printer.json() {
            let (exit, reasons) = match &result {
                Ok(exit) => (*exit, &[][..]),
                Err(failure) => (failure.exit, failure.reasons.as_slice()),
            };
            invocation.printer.json_line(&ended(exit, reasons))?;
        }
        result
    }

    fn work(&self, invocation: &Invocation, desk: &Desk<'_>, desired: &Desired) -> Result<Exit, Failure> {
        if let Some(at) = self.metrics_listen {
            let at = serve_metrics(desk.ground, at, VERSION)?;
            invocation.printer.say(&format!("Metrics: http://{at}/metrics"));
        }
        if self.follow {
            desk.ground.board.follows();
        }
        self.accepting.record(invocation, desk)?;
        let prepared = self.prepare(invocation, desk, desired)?;
        self.show(invocation, &prepared)?;
        if prepared.plan.refused() {
            return Err(Failure::new("the plan is refused; its critical notes say why and what to do"));
        }
        let held = held_only(&prepared);
        if !held.is_empty() {
            return Err(Failure { exit: Exit::Stopped, reasons: held });
        }
        if prepared.plan.outlook() != Outlook::Nothing {
            self.ask(invocation)?;
        }
        // A plan without steps is applied too: an edit of `live` lifts a hold, a `removed` block is recorded.
        self.execute(invocation, desk, desired, &prepared)?;
        if self.follow {
            invocation.printer.say("Keeping passes running, each migration at its interval; Ctrl-C stops.");
            let mut failures = follow(desk.ground, desired).err().unwrap_or_default();
            failures.extend(left_out(desk.ground, desired));
            if !failures.is_empty() {
                return Err(failures.into());
            }
        }
        Ok(Exit::Done)
    }

    /// Observes and plans under the lock: nothing can change the state between the plan and its execution.
    fn prepare(
        &self,
        invocation: &Invocation,
        desk: &Desk<'_>,
        desired: &Desired,
    ) -> Result<Prepared, Failure> {
        let ground = desk.ground;
        let file = self.plan_file.as_deref().map(read_plan).transpose()?;
        let before = ground.state();
        let io = ObserveIo::new(ground.artifacts.clone(), ground.secrets.clone());
        let observed = observe(desired, &before, &ground.registry, &io, &*ground.clock);
        let options = PlanOptions {
            base: file.as_ref().map(|f| f.plan.basis.base.clone()),
            early: self.early,
            state_id: Some(ground.who.state_id.clone()),
        };
        let plan = plan(desired, &before, &observed, &options);
        if let (Some(file), Some(path)) = (&file, &self.plan_file) {
            let stale = file.stale(&plan, &before, VERSION);
            if !stale.is_empty() {
                let name = path.display();
                let applied = before.plans_begun.contains(&file.plan.hash);
                let was = if applied { "was applied already, and does not" } else { "does not" };
                let reasons = stale.into_iter().map(|s| Reason {
                    message: format!("the plan in {name} {was} fit any more: {}", s.0),
                    remedy: None,
                });
                let failure = Failure { exit: Exit::Error, reasons: reasons.collect() };
                return Err(failure.remedy(format!(
                    "plan again: `{}`, and have it approved again",
                    segue(&["plan", "--out", &name.to_string()])
                )));
            }
        }
        if let (Some(file), Some(path)) = (&file, &self.plan_file)
            && before.plans_begun.contains(&file.plan.hash)
            && plan.outlook() == Outlook::Nothing
        {
            invocation.printer.say(&format!("The plan in {} was applied already.", path.display()));
        }
        Ok(Prepared { plan, observed, before })
    }

    fn show(&self, invocation: &Invocation, prepared: &Prepared) -> Result<(), Failure> {
        let printer = &invocation.printer;
        let view = PlanView { plan: &prepared.plan, all: false, what: What::Applying };
        if printer.json() {
            printer.json_line(&serde_json::json!({ "event": "planned", "plan": view.json() }))
        } else {
            printer.data(&view.text(&printer.out_look()))
        }
    }

    /// A plan file was reviewed; a plan made just now is asked for.
    fn ask(&self, invocation: &Invocation) -> Result<(), Failure> {
        if self.auto_approve || self.plan_file.is_some() {
            return Ok(());
        }
        match invocation.printer.ask("\nDo this now?", "yes") {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::new("nothing was done: the plan was not confirmed")),
            None => Err(Failure::new("nothing was done: there is nobody to ask").remedy(format!(
                "pass --auto-approve, or apply a plan file: `{}`, `{}`",
                segue(&["plan", "--out", "FILE"]),
                segue(&["apply", "FILE"])
            ))),
        }
    }

    fn execute(
        &self,
        invocation: &Invocation,
        desk: &Desk<'_>,
        desired: &Desired,
        prepared: &Prepared,
    ) -> Result<(), Failure> {
        let printer = &invocation.printer;
        let options = ApplyOptions {
            wait_for_approval: self.follow,
            ask_for_approval: !self.auto_approve && !printer.json() && printer.somebody_there(),
            adopt_from: None,
        };
        let result = apply(desk.ground, desired, &prepared.plan, &prepared.observed, &options);
        let after = desk.ground.state();
        summary::tell(&invocation.printer, &prepared.before, &after)?;
        let errors = result.err().unwrap_or_default();
        let follows_on = |error: &RunError| matches!(error, RunError::LeftOut { .. });
        if self.follow && !errors.is_empty() && errors.iter().all(follows_on) {
            // Passes try it again; what is still left out in the end is how the run ends.
            Failure::of_run(&errors).print(printer);
            return Ok(());
        }
        if !errors.is_empty() {
            return Err(errors.into());
        }
        printer.say("Done.");
        Ok(())
    }
}

fn read_plan(path: &Path) -> Result<PlanFile, Failure> {
    let text = paths::read_to_string(path)?;
    PlanFile::decode(&text).map_err(|error| {
        Failure::new(format!("{} {error}", path.display()))
            .remedy(format!("write it again: `{}`", segue(&["plan", "--out", "FILE"])))
    })
}

/// The cutovers for which a hold leaves nothing else to do; empty when there is other work.
fn held_only(prepared: &Prepared) -> Vec<Reason> {
    let desired = &prepared.plan.basis.desired;
    let held: Vec<_> = desired
        .cutovers
        .values()
        .filter_map(|decl| {
            let hold = prepared.before.cutovers.get(&decl.address)?.held.as_ref()?;
            (hold.wanted == decl.live).then_some((decl, hold))
        })
        .collect();
    let covered = |block: &segue_contract::Address| {
        held.iter().any(|(decl, _)| decl.address == *block || decl.migrations.contains(block))
    };
    if held.is_empty() || !prepared.plan.pending().all(|step| covered(&step.block)) {
        return Vec::new();
    }
    held.iter()
        .map(|(decl, hold)| Reason {
            message: format!("{} is held: {}", decl.address, hold.reason),
            remedy: Some(format!(
                "`{}` lets it go on, or edit live in the spec",
                segue(&["unhold", decl.address.as_str()])
            )),
        })
        .collect()
}

fn ended(exit: Exit, reasons: &[Reason]) -> serde_json::Value {
    let errors: Vec<_> = reasons
        .iter()
        .map(|Reason { message, remedy }| serde_json::json!({ "message": message, "remedy": remedy }))
        .collect();
    serde_json::json!({ "event": "ended", "exit": exit.number(), "errors": errors })
}
