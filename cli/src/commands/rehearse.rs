//! `segue rehearse`

use clap::Args;
use segue_contract::{Severity, Side, segue};
use segue_language::{CutoverDecl, Desired, RehearseDecl, RehearseMode};
use segue_plan::plan::{Plan, PlanOptions, plan};
use segue_plan::state::State;
use segue_run::execute::{ObserveIo, rehearse};
use segue_run::observe::observe;

use crate::exit::Exit;
use crate::failure::{Failure, Reason};
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::{Desk, writing};

/// How long one counts that no spec asked for, in milliseconds: a week.
const VALID_FOR_MS: u64 = 604_800_000;

/// Do a cutover once to a copy that goes away again, and say what would fail
///
/// Loads everything to a place beside the target that no client knows, runs passes, verifies, and with --quiesce
/// closes the source as the cutover would and opens it again. What it measured feeds estimates and the downtime
/// gate; what it found is listed with its cause and what to do. Neither the target nor a route is touched.
///
/// Exits 3 when a finding is critical and not waived in the spec.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue rehearse\n  segue rehearse cutover.site --quiesce\n  segue rehearse --json | jq .report.findings"
)]
pub(crate) struct Rehearse {
    /// The cutovers; every one whose source still serves when absent
    cutovers: Vec<String>,
    /// Quiesce the source for it, as the cutover would, also where the spec does not ask for it
    #[arg(long)]
    quiesce: bool,
}

impl Rehearse {
    /// Rehearses.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "rehearse", false, |desk| {
            let mut desired = workspace.desired(invocation)?.clone();
            let chosen = self.chosen(&mut desired, &desk.ground.state())?;
            if chosen.is_empty() {
                let failure = Failure::new("there is nothing to rehearse: no cutover's source serves");
                return Err(failure.remedy(format!(
                    "a rehearsal is of the first switch; `{}` shows who serves",
                    segue(&["status"])
                )));
            }
            let plan = planned(desk, &desired);
            if plan.refused() {
                return Err(refused(&plan));
            }
            rehearse(desk.ground, &desired, &chosen)?;
            invocation.printer.say("Done; the copies are gone.");
            Ok(Exit::Done)
        })
    }

    /// What was asked for; a cutover without a rehearse block is rehearsed as by `rehearse {}`.
    fn chosen(&self, desired: &mut Desired, state: &State) -> Result<Vec<CutoverDecl>, Failure> {
        let serves_source = |decl: &CutoverDecl| {
            state.cutovers.get(&decl.address).is_none_or(|c| c.live == Side::Source && !c.finished)
        };
        let mut wanted = Vec::new();
        for typed in &self.cutovers {
            let address = names::find("cutover", typed, desired.cutovers.keys())?;
            if desired.cutovers.get(&address).is_some_and(|decl| !serves_source(decl)) {
                return Err(Failure::new(format!(
                    "{address} cannot be rehearsed: its source does not serve any more"
                ))
                .remedy(format!(
                    "a rehearsal is of the first switch; `{}` leads back to it",
                    segue(&["switch-back"])
                )));
            }
            wanted.push(address);
        }
        let mut chosen = Vec::new();
        for decl in desired.cutovers.values_mut() {
            if !serves_source(decl) || !wanted.is_empty() && !wanted.contains(&decl.address) {
                continue;
            }
            let rehearse = decl.rehearse.get_or_insert_with(|| RehearseDecl {
                mode: RehearseMode::Before,
                quiesce: false,
                valid_for_ms: VALID_FOR_MS,
                test: Vec::new(),
            });
            rehearse.quiesce |= self.quiesce;
            chosen.push(decl.clone());
        }
        Ok(chosen)
    }
}

/// What would refuse the real thing refuses the rehearsal.
fn planned(desk: &Desk<'_>, desired: &Desired) -> Plan {
    let ground = desk.ground;
    let io = ObserveIo::new(ground.artifacts.clone(), ground.secrets.clone());
    let state = ground.state();
    let observed = observe(desired, &state, &ground.registry, &io, &*ground.clock);
    let options = PlanOptions { state_id: Some(ground.who.state_id.clone()), ..PlanOptions::default() };
    plan(desired, &state, &observed, &options)
}

fn refused(plan: &Plan) -> Failure {
    let critical = plan.notes.iter().filter(|n| n.finding.severity == Severity::Critical);
    let reasons = critical.map(|note| Reason {
        message: format!("{}: {}", note.address, note.finding.summary),
        remedy: Some(note.finding.remedy.clone()),
    });
    Failure { exit: Exit::Error, reasons: reasons.collect() }
}
