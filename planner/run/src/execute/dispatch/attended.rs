//! Runs that are no plan: passes that follow, a switch back by command; with signals and the control socket
//! attended to as in an apply.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use segue_contract::{Address, StepError};
use segue_language::{CutoverDecl, Desired};
use segue_plan::cutover::WayBack;
use tokio::sync::mpsc;

use super::super::io::Until;
use super::super::unit::{UnitRef, pass};
use super::super::{Ground, RunError, RunEvent, goals, socket};
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
/// What ended it. A way back that failed ends it only where both sides are closed or nothing can be recorded.
pub fn follow(ground: &Arc<Ground>, desired: &Desired) -> Result<(), RunError> {
    let desired = desired.clone();
    attended(ground, move |ground| {
        ground.control.goals(|goals| goals.follow(true));
        let ended = follow_and_serve(ground, &desired);
        ground.control.goals(|goals| goals.follow(false));
        ended
    })
}

fn follow_and_serve(ground: &Ground, desired: &Desired) -> Result<(), RunError> {
    loop {
        passes(ground, desired)?;
        let served = goals::serve(ground, None, Some(desired));
        if served.is_empty() {
            return Ok(());
        }
        for (_, _, result) in served {
            match result {
                Err(error @ (RunError::Record(_) | RunError::BothClosed { .. })) => return Err(error),
                Err(RunError::Interrupted) => return Ok(()),
                // Whoever asked was told; the side that serves is followed on.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Switches back by command, with signals and the control socket attended to: see [`goals::source_serves`].
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
    let failures = Arc::new(Mutex::new(Vec::new()));
    let failed = Arc::clone(&failures);
    let attended = attended(ground, move |ground| {
        for decl in &cutovers {
            if let Err(error) = super::super::rehearse::rehearse(ground, &desired, decl, "") {
                let last = matches!(error, RunError::Interrupted | RunError::Record(_));
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                if last {
                    break;
                }
            }
        }
        Ok(())
    });
    let mut failures = std::mem::take(&mut *failures.lock().unwrap_or_else(PoisonError::into_inner));
    failures.extend(attended.err());
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn passes(ground: &Ground, desired: &Desired) -> Result<(), RunError> {
    let mut due: BTreeMap<Address, u64> = BTreeMap::new();
    let mut told = Told::default();
    while !ground.control.stopping() && !ground.control.goal_waits(None) {
        if let Some(said) = nothing_left(ground, desired) {
            ground.tell(&RunEvent::Said { text: said });
            return Ok(());
        }
        let now = ground.clock.boot_ms();
        for decl in desired.migrations.values() {
            if due.get(&decl.address).is_some_and(|at| *at > now) {
                continue;
            }
            due.insert(decl.address.clone(), now + decl.sync_interval_ms);
            let names = ground.recorder.look(|s| {
                let finished = s.cutover_of(&decl.address).is_some_and(|c| c.finished);
                let units =
                    s.migrations.get(&decl.address).map(|m| m.units.keys().cloned().collect::<Vec<_>>());
                units.filter(|_| !finished).unwrap_or_default()
            });
            for unit in names {
                let unit = UnitRef { migration: decl.address.clone(), unit };
                match pass(ground, &unit, &unit.step("sync"), &Until::Stopped) {
                    Ok(_) => {}
                    Err(RunError::Interrupted) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
        told.ways_back(ground);
        let next = due.values().min().copied().unwrap_or(now + 1000);
        ground.control.sleep(Duration::from_millis(next.saturating_sub(ground.clock.boot_ms()).max(1)));
    }
    Ok(())
}

/// Why nothing is to be followed any more, where that is so: each unit is of a cutover that is finished, or would be
/// written to a side that was left.
fn nothing_left(ground: &Ground, desired: &Desired) -> Option<String> {
    let (mut finished, mut left, mut units) = (0_usize, Vec::new(), 0_usize);
    ground.recorder.look(|s| {
        for migration in desired.migrations.keys() {
            let known = s
                .cutovers
                .iter()
                .find(|(_, c)| c.attempt.as_ref().is_some_and(|a| a.migrations().any(|of| of == migration)));
            match known {
                Some((_, known)) if known.finished => finished += 1,
                Some((cutover, known)) if known.left.as_ref().is_some_and(|l| l.side != known.live) => {
                    left.push(cutover.to_string());
                }
                _ => units += s.migrations.get(migration).map_or(0, |m| m.units.len()),
            }
        }
    });
    left.dedup();
    match (units, left.first(), finished) {
        (1.., _, _) => None,
        (_, Some(cutover), _) => Some(format!(
            "Nothing is left to follow: the other side of {} was left, and takes nothing before `segue unhold {cutover}`.",
            left.join(", ")
        )),
        (_, None, 1..) => Some("Nothing is left to follow: what the spec declares is finished.".to_owned()),
        (_, None, 0) => Some("Nothing is left to follow: nothing is loaded.".to_owned()),
    }
}

/// How often it is told how fresh the ways back are.
const TELL_EVERY_MS: u64 = 10_000;

/// When each way back was told of last, boot clock, milliseconds.
#[derive(Default)]
struct Told(BTreeMap<Address, u64>);

impl Told {
    /// Tells what going back now would cost, for each cutover that could.
    fn ways_back(&mut self, ground: &Ground) {
        let (now, now_ms) = (ground.now(), ground.clock.wall_ms());
        let ways: Vec<(Address, WayBack)> = ground.recorder.look(|s| {
            s.cutovers.keys().filter_map(|c| Some((c.clone(), WayBack::of(s, c, now_ms, &now)?))).collect()
        });
        for (cutover, way) in ways {
            if self.0.get(&cutover).is_some_and(|at| now.ms.saturating_sub(*at) < TELL_EVERY_MS) {
                continue;
            }
            self.0.insert(cutover.clone(), now.ms);
            let behind_ms = way.reverse.then_some(way.behind_ms);
            ground.tell(&RunEvent::Fallback { cutover, behind_ms });
        }
    }
}
