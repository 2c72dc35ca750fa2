//! Commands that write: they take the lock, settle what a dead run left before anything else is looked at,
//! do their own work, and record how it ended.

use std::sync::Arc;

use segue_contract::{Address, segue};
use segue_run::execute::{Ask, Goal, GoalEnd, Ground, Reply, SocketError, ask, settle_all};
use segue_run::host;
use segue_run::session::{Session, Start};

use crate::exit::Exit;
use crate::failure::{Failure, Reason};
use crate::invocation::{Invocation, VERSION};
use crate::printer::Paint;
use crate::progress;
use crate::workspace::Workspace;

/// What a writing command stands on.
pub(crate) struct Desk<'a> {
    /// For everything that runs.
    pub(crate) ground: &'a Arc<Ground>,
    /// The open session.
    pub(crate) session: &'a Session,
    /// The cutovers that were settled first.
    pub(crate) settled: &'a [Address],
}

/// Runs `work` as the only writer, after settling.
///
/// # Errors
/// The lock is another's, the journal cannot be used, settling or the work failed.
pub(crate) fn writing(
    invocation: &Invocation,
    workspace: &Workspace,
    command: &str,
    adopt: bool,
    work: impl FnOnce(&Desk<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let printer = &invocation.printer;
    if !workspace.state_dir.exists() {
        // Nothing can be in flight: a wrong spec, or none, makes no state directory.
        workspace.desired(invocation)?;
    }
    let listener = progress::listener(printer);
    let start = Start {
        state_dir: &workspace.state_dir,
        command,
        version: VERSION,
        tap: invocation.take_tap(),
        adopt,
        watchdog: invocation.watchdog.clone(),
    };
    let session = Session::open(start, invocation.registry.clone(), listener.listen(), workspace.secrets())?;
    for notice in &session.notices {
        printer.warn(notice);
    }
    let result = settled(invocation, &session)
        .and_then(|settled| work(&Desk { ground: &session.ground, session: &session, settled: &settled }));
    listener.finish();
    remove_old_ledgers(invocation, &session);
    let exit = result.as_ref().map_or_else(|failure| failure.exit, |exit| *exit);
    match (session.close(i32::from(exit.number())), result) {
        (Ok(()), result) => result,
        (Err(error), Ok(_)) => Err(error.into()),
        (Err(error), Err(failure)) => {
            printer.warn(&format!("that the run ended could not be recorded: {error}"));
            Err(failure)
        }
    }
}

/// Asks the apply that runs in the state directory; `None`: none does.
///
/// # Errors
/// It refused, or did not answer.
pub(crate) fn ask_running(
    invocation: &Invocation,
    workspace: &Workspace,
    question: &Ask,
) -> Result<Option<Exit>, Failure> {
    match ask(&workspace.state_dir, question) {
        Ok(Reply::Taken { said }) => {
            invocation.printer.say(&said);
            Ok(Some(Exit::Done))
        }
        Ok(Reply::Refused { said }) => Err(Failure::new(said)),
        Err(closed @ SocketError::Closed(_)) => Err(Failure::new(closed.to_string()).remedy(
            "ask its owner for the group that may enter it: `chgrp TEAM .segue && chmod 2750 .segue`, before the next apply",
        )),
        Ok(Reply::Status { .. } | Reply::Live { .. } | Reply::Goal { .. }) => {
            Err(Failure::new("the running apply answered something else"))
        }
        // One that does not answer hangs: whoever takes the lock sees whether its time is over.
        Err(SocketError::Nobody(_) | SocketError::Path(_) | SocketError::Broken(_)) => Ok(None),
        // A run that ended in the middle of an answer: what it left is looked at like any other.
        Err(SocketError::Garbled(error)) if error.is_eof() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Has the apply that runs in the state directory reach a goal, tells how far it is, and ends as the command would have
/// by itself. `None`: none runs, or it ended before.
///
/// # Errors
/// The goal was not reached, and why.
pub(crate) fn reach_running(
    invocation: &Invocation,
    workspace: &Workspace,
    cutover: &Address,
    goal: Goal,
    accept: &[String],
) -> Result<Option<Exit>, Failure> {
    let mut question = Ask::Reach { cutover: cutover.clone(), goal, accept: accept.to_vec(), by: here() };
    let mut heard = 0;
    loop {
        match ask(&workspace.state_dir, &question) {
            Ok(Reply::Goal { said, end }) => {
                heard += said.len();
                said.iter().for_each(|line| invocation.printer.say(line));
                if let Some(end) = end {
                    return ended(invocation, end).map(Some);
                }
            }
            Ok(Reply::Taken { said }) => invocation.printer.say(&said),
            Ok(Reply::Refused { said }) => return Err(Failure::new(said)),
            Ok(Reply::Status { .. } | Reply::Live { .. }) => {
                return Err(Failure::new("the running apply answered something else"));
            }
            Err(SocketError::Nobody(_) | SocketError::Path(_) | SocketError::Broken(_)) => return Ok(None),
            // A run that ended in the middle of an answer: what it left is looked at like any other.
            Err(SocketError::Garbled(error)) if error.is_eof() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        question = Ask::Hear { cutover: cutover.clone(), heard };
    }
}

fn ended(invocation: &Invocation, end: GoalEnd) -> Result<Exit, Failure> {
    let GoalEnd { exit, said, remedy } = end;
    match Exit::from_number(exit) {
        Exit::Done => {
            invocation.printer.say(&said);
            Ok(Exit::Done)
        }
        exit => Err(Failure { exit, reasons: vec![Reason { message: said, remedy }] }),
    }
}

/// Asks the apply that runs in the state directory for what only a running one can do.
///
/// # Errors
/// None runs, it refused, or it did not answer.
pub(crate) fn only_running(
    invocation: &Invocation,
    workspace: &Workspace,
    question: &Ask,
) -> Result<Exit, Failure> {
    match ask_running(invocation, workspace, question)? {
        Some(exit) => Ok(exit),
        None => Err(Failure::new(format!("no apply is running in {}", workspace.state_dir.display()))
            .remedy(format!("start one: `{}`; `{}` shows where it stands; `load {{ rate_limit }}` in the spec limits every run", segue(&["apply"]), segue(&["status"])))),
    }
}

/// Who asks: `alice@host`.
pub(crate) fn here() -> String {
    format!("{}@{}", host::user(), host::hostname())
}

/// Ledgers that no state names any more are removed. What cannot be removed now is removed another time.
fn remove_old_ledgers(invocation: &Invocation, session: &Session) {
    let state = session.ground.state();
    let busy = state.in_flight().next().is_some() || !state.open_steps.is_empty();
    if busy {
        return;
    }
    if let Err(error) = segue_providers::ledger::collect(&session.ground.artifacts, &state.artifacts()) {
        invocation.printer.warn(&format!("old ledgers were not removed: {error}"));
    }
}

fn settled(invocation: &Invocation, session: &Session) -> Result<Vec<Address>, Failure> {
    let settled = settle_all(&session.ground)?;
    let state = session.ground.state();
    for cutover in &settled {
        let live = state.cutovers.get(cutover).map(|c| c.live).unwrap_or(segue_contract::Side::Source);
        let look = invocation.printer.talk_look();
        invocation.printer.say_anyway(&format!(
            "{} {cutover} was in flight when a run died; it is settled: the {live} serves and takes writes",
            look.paint(Paint::Title, "settled:")
        ));
    }
    Ok(settled)
}
