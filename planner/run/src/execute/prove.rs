//! Proving quiet: that the closed side takes no writes, that none is on its way, and that its position
//! stands still (protocol P3, P4, P6).

use std::time::Duration;

use segue_contract::{
    Address, BarrierState, BlockRef, Holder, Position, QuiesceCall, QuiesceKind, StepError, StepIo, UnitJob,
    segue,
};
use segue_plan::event::{Attempt, Member};

use super::io::{Io, Until};
use super::retry::retry;
use super::together::together;
use super::{Ground, RunError, RunEvent};

/// Tries of a probe whose answer is not known, or of a tree that is still held open, before it counts as
/// not quiet; with the wait between, half a second.
const TRIES: usize = 10;
/// The wait between two tries.
const WAIT: Duration = Duration::from_millis(50);
/// How many holders an error names.
const HOLDERS_SHOWN: usize = 5;

/// Looks at a barrier until it is known.
pub(super) fn barrier(
    ground: &Ground,
    step: &Address,
    call: &QuiesceCall,
    until: &Until,
) -> Result<BarrierState, StepError> {
    let io = Io::new(ground, step).until(until.clone());
    let quiesce = ground.registry.quiesce(&call.block)?;
    let mut last = quiesce.observe(call, &io)?;
    for _ in 1..TRIES {
        if !matches!(last, BarrierState::Unknown(_)) {
            break;
        }
        ground.control.sleep(WAIT);
        last = quiesce.observe(call, &io)?;
    }
    Ok(last)
}

/// Proves, as far as can be told, that the side that a member opens could be opened (protocol P20). Says by what.
pub(super) fn openable(
    ground: &Ground,
    step: &Address,
    member: &Member,
    until: &Until,
) -> Result<String, StepError> {
    let io = Io::new(ground, step).until(until.clone());
    let known = ground.registry.quiesce(&member.open.block)?.openable(&member.open, &io)?;
    let side = &member.open.endpoint.address;
    Ok(match known {
        Some(proof) => format!("{side} can be opened: {proof}"),
        None => format!("whether {side} can be opened shows when it is"),
    })
}

/// How long what cannot be looked at is tried again before a pause.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same before a pause, when there is time to ask again.
pub(super) fn openable_before(ground: &Ground, step: &Address, member: &Member) -> Result<(), StepError> {
    let stopped = || ground.control.stopping();
    retry(ground, step, PATIENCE, stopped, || openable(ground, step, member, &Until::Stopped)).map(drop)
}

/// Looks, before anything is waited for, that somebody is there where a person has to stop and start writers: a pause
/// that asks nobody ends with both sides closed.
pub(super) fn somebody_to_ask(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<(), RunError> {
    if ground.listener.somebody_there() {
        return Ok(());
    }
    let calls = attempt.members.iter().flat_map(|m| [&m.close, &m.open]);
    for call in calls {
        if ground.registry.quiesce(&call.block).map_err(RunError::Setup)?.needs_person() {
            return Err(RunError::Gate {
                step: cutover.step("quiesce"),
                what: format!(
                    "{} needs a person who stops and starts the writers, and there is no terminal to ask at: no pause was begun",
                    call.block.address
                ),
                remedy: "run the same command at a terminal; or let Segue do it: quiesce \"command\", \"systemd\" or \"http\"".to_owned(),
            });
        }
    }
    Ok(())
}

/// Proves, as far as can be told, that a route could be set.
pub(super) fn settable(ground: &Ground, step: &Address, block: &BlockRef) -> Result<(), StepError> {
    let io = Io::new(ground, step).until(Until::Stopped);
    let look = || ground.registry.route(block)?.settable(block, &io);
    let proof = retry(ground, step, PATIENCE, || StepIo::cancelled(&io), look)?;
    if let Some(proof) = proof {
        ground.tell(&RunEvent::Said { text: format!("{} can be set: {proof}", block.address) });
    }
    Ok(())
}

/// Proves that a member's closed side is closed and drained. Says by what.
pub(super) fn closed_and_drained(
    ground: &Ground,
    step: &Address,
    attempt: &Attempt,
    member: &Member,
    until: &Until,
) -> Result<String, StepError> {
    let said = match barrier(ground, step, &member.close, until)? {
        BarrierState::Closed(proof) => proof,
        BarrierState::Open => {
            return Err(StepError::permanent(format!(
                "the {} still takes writes after {} was closed by {}",
                attempt.from, member.close.endpoint.address, member.close.block.address
            ))
            .remedy("the probe got a write through: see what the stop command leaves running"));
        }
        BarrierState::Unknown(why) => {
            return Err(StepError::permanent(format!(
                "whether {} is closed cannot be told: {why}",
                member.close.endpoint.address
            )));
        }
    };
    match member.close_kind {
        // Refusing writes as a whole (a read-only file system) is its own drain barrier: it fails while
        // anything is open for writing.
        QuiesceKind::Data => Ok(said),
        QuiesceKind::Writers => {
            let free = nobody_holds(ground, step, member, until)?;
            Ok(format!("{said}; {free}"))
        }
    }
}

fn nobody_holds(
    ground: &Ground,
    step: &Address,
    member: &Member,
    until: &Until,
) -> Result<String, StepError> {
    let io = Io::new(ground, step).until(until.clone());
    let block = &member.close.endpoint;
    let endpoint = ground.registry.endpoint(block)?;
    for attempt_no in 1.. {
        let found = endpoint.in_use(block, &io)?;
        if found.holders.is_empty() {
            return Ok(match found.incomplete {
                None => "no process holds it open".to_owned(),
                Some(why) => format!("no process that can be seen holds it open ({why})"),
            });
        }
        if attempt_no == TRIES {
            return Err(held_open(block.address.as_str(), &found.holders));
        }
        ground.control.sleep(WAIT);
    }
    Ok(String::new())
}

fn held_open(endpoint: &str, holders: &[Holder]) -> StepError {
    let shown: Vec<String> = holders
        .iter()
        .take(HOLDERS_SHOWN)
        .map(|h| format!("process {} ({}): {}", h.pid, h.command, h.what))
        .collect();
    let more = holders.len().saturating_sub(HOLDERS_SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    StepError::permanent(format!("{endpoint} is still held open by {}{more}", shown.join("; ")))
        .remedy("stop these processes in the quiesce's stop command: what they write later would be lost")
}

/// The position of every unit of the sides that were closed.
pub(super) fn positions(
    ground: &Ground,
    step: &Address,
    attempt: &Attempt,
    until: &Until,
) -> Result<Vec<Position>, StepError> {
    together(&attempt.jobs, |job| {
        let io = Io::new(ground, step).until(until.clone());
        ground.registry.engine(&job.source, &job.target)?.position(job, &io)
    })
}

/// That the position is still the fence's, `freeze` or more after that was taken (protocol P4, P6).
pub(super) fn frozen(
    ground: &Ground,
    step: &Address,
    attempt: &Attempt,
    fence: &[Position],
    fenced_ms: u64,
    until: &Until,
) -> Result<(), StepError> {
    let end = fenced_ms.saturating_add(attempt.freeze_ms);
    loop {
        let left = end.saturating_sub(ground.clock.boot_ms());
        if left == 0 {
            break;
        }
        ground.control.sleep(Duration::from_millis(left));
    }
    let now = positions(ground, step, attempt, until)?;
    if fence == now.as_slice() {
        return Ok(());
    }
    let changed = attempt.jobs.iter().zip(fence.iter().zip(&now)).find(|(_, (a, b))| a != b);
    Err(match changed {
        Some((job, _)) => moved_after_fence(job),
        None => StepError::permanent("the fence is not in the state"),
    })
}

/// A side that was closed, and proven so, changed all the same.
pub(super) fn moved_after_fence(job: &UnitJob) -> StepError {
    StepError::permanent(format!("{} changed after its fence although it was closed", job.reads().address))
        .remedy(format!(
            "find the writer that the quiesce does not stop (`{}` names what changed)",
            segue(&["drift"])
        ))
}
