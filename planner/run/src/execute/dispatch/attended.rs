//! Runs that are no plan: passes that follow, a switch back by command; with signals and the control socket
//! attended to as in an apply.

use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::{Address, StepError};
use segue_language::{CutoverDecl, Desired};
use tokio::sync::mpsc;

use super::super::{Ground, RunError, goals, passes, socket};
use super::{MESSAGES_MAX, Message, runtime, take_signal, watch_signals};

/// Runs `work` with signals and the control socket attended to, as in an apply.
pub fn attended(
    ground: &Arc<Ground>,
    work: impl FnOnce(&Ground) -> Result<(), RunError> + Send + 'static,
) -> Result<(), RunError> {
    ground.control.attend();
    runtime()?.block_on(async {
        let (send, mut receive) = mpsc::channel::<Message>(MESSAGES_MAX);
        watch_signals(&send)?;
        let _socket = socket::listen(Arc::clone(ground));
        let shared = Arc::clone(ground);
        let mut working = std::pin::pin!(tokio::task::spawn_blocking(move || work(&shared)));
        let mut signals = 0;
        loop {
            tokio::select! {
                ended = &mut working => {
                    return ended.unwrap_or_else(|_| {
                        let error = StepError::permanent("the run stopped by a defect of segue");
                        Err(RunError::Setup(error.remedy("run the same command again; it settles first")))
                    });
                }
                Some(Message::Signal(name)) = receive.recv() => {
                    signals += 1;
                    take_signal(ground, name, signals);
                }
            }
        }
    })
}

/// Keeps passes running, each migration at its interval, until somebody asks to stop or nothing is left to follow. Goals
/// that the run is asked for meanwhile are reached between passes, which then go on from the side that serves.
///
/// # Errors
/// What still failed in the end: each failure was told when it came, and tried again. A way back that failed ends it
/// only where both sides are closed or nothing can be recorded.
pub fn follow(ground: &Arc<Ground>, desired: &Desired) -> Result<(), Vec<RunError>> {
    let desired = desired.clone();
    attended_all(ground, move |ground| {
        ground.control.goals(|goals| goals.follow(true));
        let ended = follow_and_serve(ground, &desired);
        ground.control.goals(|goals| goals.follow(false));
        ended
    })
}

fn follow_and_serve(ground: &Ground, desired: &Desired) -> Result<(), Vec<RunError>> {
    loop {
        let ended = passes::follow(ground, desired);
        let served = goals::serve(ground, None, Some(desired));
        if served.is_empty() {
            return ended;
        }
        // A pass that failed is tried again from the side that serves.
        if let Err(errors) = ended
            && errors.iter().any(|error| matches!(error, RunError::Record(_)))
        {
            return Err(errors);
        }
        for (_, _, result) in served {
            match result {
                Err(error @ (RunError::Record(_) | RunError::BothClosed { .. })) => return Err(vec![error]),
                Err(RunError::Interrupted) => return Ok(()),
                // Whoever asked was told; the side that serves is followed on.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// As [`attended`], for work that has several failures.
fn attended_all(
    ground: &Arc<Ground>,
    work: impl FnOnce(&Ground) -> Result<(), Vec<RunError>> + Send + 'static,
) -> Result<(), Vec<RunError>> {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let failed = Arc::clone(&failures);
    let attended = attended(ground, move |ground| {
        if let Err(errors) = work(ground) {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = errors;
        }
        Ok(())
    });
    let mut failures = std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner));
    failures.extend(attended.err());
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// Sees to it, by command, that the declared source serves, with signals and the control socket attended to: see
/// [`goals::source_serves`].
///
/// # Errors
/// The source does not serve, and why.
pub fn switch_back(
    ground: &Arc<Ground>,
    cutover: &Address,
    reason: &str,
    desired: Option<&Desired>,
) -> Result<(), RunError> {
    let (cutover, reason, desired) = (cutover.clone(), reason.to_owned(), desired.cloned());
    attended(ground, move |ground| goals::source_serves(ground, &cutover, &reason, desired.as_ref()))
}

/// Rehearses cutovers by command, one after the other; every one is, whatever is found in those before it.
///
/// # Errors
/// What kept one from its end, and critical findings that nobody waived.
pub fn rehearse(
    ground: &Arc<Ground>,
    desired: &Desired,
    cutovers: &[CutoverDecl],
) -> Result<(), Vec<RunError>> {
    let (desired, cutovers) = (desired.clone(), cutovers.to_vec());
    attended_all(ground, move |ground| {
        let mut failures = Vec::new();
        for decl in &cutovers {
            if let Err(error) = super::super::rehearse::rehearse(ground, &desired, decl, "") {
                let last = matches!(error, RunError::Interrupted | RunError::Record(_));
                failures.push(error);
                if last {
                    break;
                }
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    })
}
