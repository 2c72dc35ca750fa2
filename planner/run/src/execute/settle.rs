//! Settling what a death left behind (protocol P14): from the journal alone, before spec, plan or
//! approvals are looked at.

use segue_contract::Address;
use segue_plan::cutover::{Settle, goes_back_again, settle};
use segue_plan::state::State;

use super::drive::{abort, drive, go_back_again};
use super::{Ground, RunError, RunEvent, check_claims, weights};

fn in_part(state: &State, cutover: &Address) -> bool {
    state.cutovers.get(cutover).is_some_and(|c| c.in_part)
}

/// Settles every cutover in flight: completes those with COMMITTED, aborts the others, but for a group's way back
/// that died, which is gone once more. An abort that only
/// settles does not hold. Reads that a dead run sent to the target before a switch go back to the source. Returns the
/// cutovers that were settled.
///
/// # Errors
/// A foreign or later marker refuses to open or close anything; an effect that keeps failing leaves the
/// cutover in flight, and the error says what is closed.
pub fn settle_all(ground: &Ground) -> Result<Vec<Address>, RunError> {
    let state = ground.state();
    let in_flight: Vec<(Address, segue_plan::cutover::Phase)> =
        // One that is only watched is settled: the next apply goes on watching.
        state.in_flight().filter(|(_, c)| !c.watches()).map(|(address, c)| (address.clone(), c.phase)).collect();
    if in_flight.is_empty() && state.weighed().next().is_none() {
        return Ok(Vec::new());
    }
    if let Some(problem) = check_claims(ground, &state).into_iter().next() {
        let by_hand = state.in_flight().find_map(|(_, c)| Some(c.attempt.as_ref()?.by_hand.clone()));
        let by_hand = by_hand.unwrap_or_default();
        let by_hand = by_hand.file_name().unwrap_or_default().to_string_lossy();
        let error = segue_contract::StepError::permanent(format!(
            "a cutover is in flight and cannot be settled from here: {problem}"
        ))
        .remedy(format!(
            "settle it from the newest state directory; {by_hand} there says how to open a side without segue"
        ));
        return Err(RunError::Setup(error));
    }
    let mut settled = Vec::new();
    for (cutover, phase) in in_flight {
        if goes_back_again(phase, ground.recorder.look(|s| in_part(s, &cutover))) {
            let text =
                format!("{cutover}: a run died at {phase} of the group's way back; it is gone once more");
            ground.tell(&RunEvent::Said { text });
            go_back_again(ground, &cutover)?;
            settled.push(cutover);
            continue;
        }
        let complete = settle(phase) == Settle::Complete;
        ground.tell(&RunEvent::Settling { cutover: cutover.clone(), phase, complete });
        if complete {
            drive(ground, &cutover)?;
        } else {
            abort(ground, &cutover, &format!("the run that was at {phase} died"), None)?;
        }
        settled.push(cutover);
    }
    settled.extend(weights::settle(ground)?);
    Ok(settled)
}
