//! What a command does, without a command line: takes the lock, settles, observes, plans, applies, records
//! how it ended. The laws of the core run it as a process of its own, so that it can be killed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_contract::Address;
use segue_language::{Desired, Secrets};
use segue_plan::event::Event;
use segue_plan::observe::Observed;
use segue_plan::plan::{Outlook, Plan, PlanOptions, plan};
use segue_plan::state::State;
use segue_run::clock::SystemClock;
use segue_run::execute::{
    ApplyOptions, Ground, Listener, ObserveIo, RunError, RunEvent, apply, clean_up, settle_all, switch_back,
    take_side_back,
};
use segue_run::lease::Program;
use segue_run::observe::observe;
use segue_run::session::{Session, SessionError, Start, snapshot};
use serde::{Deserialize, Serialize};

use super::{KILL, KillTap, registry};

/// The program that watches over a run; absent: nobody does.
pub const WATCHDOG: &str = "SEGUE_LAB_WATCHDOG";

/// Where the watchdog dies, as [`KILL`] says it; absent: nobody kills it.
pub const KILL_WATCHDOG: &str = "SEGUE_LAB_KILL_WATCHDOG";

/// Set to see what the run tells.
const TALK: &str = "SEGUE_LAB_TALK";

/// A spec, resolved, and where its state is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// What the spec says.
    pub desired: Desired,
    /// The state directory.
    pub state_dir: PathBuf,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Make a plan, change nothing.
    Plan,
    /// Do what the spec asks for.
    Apply,
    /// Settle what a dead run left, and nothing else.
    Settle,
    /// Go back, by command.
    SwitchBack(Address),
    /// Lift a hold.
    Unhold(Address),
    /// Release what nobody needs any more.
    CleanUp,
    /// An operator has seen what stale writers left.
    SettleStale(Address),
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Exit code.
    pub exit: i32,
    /// Every failure, and the critical notes of a refused plan.
    pub messages: Vec<String>,
    /// Of the plan, where one was made.
    pub plan: Option<Plan>,
}

impl Outcome {
    fn failed(exit: i32, messages: Vec<String>) -> Self {
        Self { exit, messages, plan: None }
    }
}

impl From<SessionError> for Outcome {
    fn from(error: SessionError) -> Self {
        Self::failed(error.exit_code(), vec![error.to_string()])
    }
}

impl From<RunError> for Outcome {
    fn from(error: RunError) -> Self {
        Self::failed(error.exit_code(), vec![error.to_string()])
    }
}

struct Talk {
    aloud: bool,
}

impl Listener for Talk {
    #[expect(clippy::print_stderr, reason = "a person who debugs the lab asked for it")]
    fn tell(&self, event: &RunEvent) {
        if self.aloud {
            eprintln!("{event:?}");
        }
    }

    fn confirm(&self, _: &str, _: &str, _: &dyn Fn() -> bool) -> Option<bool> {
        None
    }

    fn yes_or_no(&self, _: &str, _: &dyn Fn() -> bool) -> Option<bool> {
        None
    }

    fn somebody_there(&self) -> bool {
        false
    }
}

/// The lab's own watchdog, which does not die where the run does.
fn watchdog(program: OsString) -> Program {
    let mut arguments: Vec<OsString> = vec!["-u".into(), KILL.into()];
    if let Some(kill) = std::env::var_os(KILL_WATCHDOG) {
        let mut set = OsString::from(format!("{KILL}="));
        set.push(kill);
        arguments.push(set);
    }
    arguments.extend([program, "watchdog".into()]);
    Program { program: "env".into(), arguments }
}

/// Runs a command.
pub fn run(case: &Case, task: &Task) -> Outcome {
    if *task == Task::Plan {
        return planned(case);
    }
    let start = Start {
        watchdog: std::env::var_os(WATCHDOG).map(watchdog),
        state_dir: &case.state_dir,
        command: "lab",
        version: "0.1.0",
        tap: Box::new(KillTap::from_environment()),
        adopt: false,
    };
    let talk = Arc::new(Talk { aloud: std::env::var_os(TALK).is_some() });
    let session = match Session::open(start, registry(), talk, Secrets::default()) {
        Ok(session) => session,
        Err(error) => return error.into(),
    };
    let outcome = work(&session.ground, case, task);
    match session.close(outcome.exit) {
        Ok(()) => outcome,
        Err(error) => error.into(),
    }
}

fn work(ground: &Arc<Ground>, case: &Case, task: &Task) -> Outcome {
    if let Err(error) = settle_all(ground) {
        return error.into();
    }
    let by = "lab".to_owned();
    let done = match task {
        Task::Apply => return applied(ground, case),
        Task::Plan | Task::Settle => Ok(()),
        Task::SwitchBack(cutover) => {
            switch_back(ground, cutover, "switched back by hand", Some(&case.desired))
        }
        Task::Unhold(cutover) => take_side_back(ground, cutover, &by)
            .and_then(|_| ground.record(Event::Unheld { cutover: cutover.clone(), by })),
        Task::CleanUp => clean_up(ground).into_iter().try_for_each(|r| r.outcome.map(|_| ())),
        Task::SettleStale(cutover) => ground.record(Event::StaleSettled { cutover: cutover.clone(), by }),
    };
    match done {
        Ok(()) => Outcome::default(),
        Err(error) => error.into(),
    }
}

fn plan_of(case: &Case, state: &State, artifacts: &Path, state_id: Option<String>) -> (Plan, Observed) {
    let io = ObserveIo::new(artifacts.to_owned(), Secrets::default());
    let observed = observe(&case.desired, state, &registry(), &io, &SystemClock::new());
    let options = PlanOptions { state_id, ..PlanOptions::default() };
    (plan(&case.desired, state, &observed, &options), observed)
}

fn critical(plan: &Plan) -> Vec<String> {
    plan.notes
        .iter()
        .filter(|n| n.finding.severity == segue_contract::Severity::Critical)
        .map(|n| format!("{}: {} {}", n.address, n.finding.code, n.finding.summary))
        .collect()
}

fn planned(case: &Case) -> Outcome {
    let known = match snapshot(&case.state_dir) {
        Ok(known) => known,
        Err(error) => return error.into(),
    };
    let (plan, _) = plan_of(case, &known.state, &known.artifacts, known.state_id);
    let exit = match plan.outlook() {
        _ if plan.refused() => 1,
        Outlook::Nothing => 0,
        Outlook::Changes => 2,
        Outlook::DriftOnly => 4,
    };
    Outcome { exit, messages: critical(&plan), plan: Some(plan) }
}

fn applied(ground: &Arc<Ground>, case: &Case) -> Outcome {
    let state = ground.state();
    let (plan, observed) = plan_of(case, &state, &ground.artifacts, Some(ground.who.state_id.clone()));
    let mut outcome = Outcome { messages: critical(&plan), ..Outcome::default() };
    if plan.refused() {
        outcome.exit = 1;
    } else if let Err(failures) = apply(ground, &case.desired, &plan, &observed, &ApplyOptions::default()) {
        outcome.exit = failures.first().map_or(1, RunError::exit_code);
        outcome.messages = failures.iter().map(ToString::to_string).collect();
    }
    outcome.plan = Some(plan);
    outcome
}
