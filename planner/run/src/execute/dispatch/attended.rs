//! Runs that are no plan: passes that follow, a switch back by command; with signals and the control socket
//! attended to as in an apply.

use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::{Address, Side, StepError};
use segue_language::{CutoverDecl, Desired};
use segue_plan::event::Event;
use tokio::sync::mpsc;

use super::super::attempt::{attempt_from_state, terms_of};
use super::super::{Ground, RunError, RunEvent, check_claims, leave, passes, socket};
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

/// Keeps passes running, each migration at its interval, until somebody asks to stop or nothing is left to follow.
///
/// # Errors
/// What still failed in the end: each failure was told when it came, and tried again.
pub fn follow(ground: &Arc<Ground>, desired: &Desired) -> Result<(), Vec<RunError>> {
    let desired = desired.clone();
    attended_all(ground, move |ground| passes::follow(ground, &desired))
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

/// Sees to it, by command, that the declared source serves (protocol P31). Where it does, that is said and nothing
/// changes. Otherwise: reverse passes until they stop shrinking, then the protocol, with no gates; the cutover is held
/// afterwards (protocol P23). What `desired` says of the way back counts before what was recorded.
///
/// # Errors
/// The source does not serve, and why.
pub fn switch_back(
    ground: &Arc<Ground>,
    cutover: &Address,
    reason: &str,
    desired: Option<&Desired>,
) -> Result<(), RunError> {
    if let Some(problem) = check_claims(ground, &ground.state()).into_iter().next() {
        let error = StepError::permanent(format!("who serves is not known here: {problem}"));
        return Err(RunError::Setup(
            error
                .remedy("bring back the newest state directory; nothing is opened or closed from an old one"),
        ));
    }
    if ground.recorder.look(|s| s.cutovers.get(cutover).is_some_and(|c| c.live == Side::Source)) {
        ground.tell(&RunEvent::Said { text: format!("{cutover}: the source serves already: nothing to do") });
        return Ok(());
    }
    let terms = desired.and_then(|d| d.cutovers.get(cutover)).map(terms_of);
    let attempt = attempt_from_state(ground, cutover, reason, terms)?;
    let cutover = cutover.clone();
    attended(ground, move |ground| {
        let ended = leave::go_back(ground, &cutover, attempt);
        if let Err(RunError::Unreadable { why, .. }) = &ended {
            let epoch = ground.recorder.look(|s| s.cutovers.get(&cutover).map_or(0, |c| c.epoch));
            let why = why.clone();
            ground.record(Event::BackRefused { cutover, epoch, why, held: true })?;
        }
        ended
    })
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
