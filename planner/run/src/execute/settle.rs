//! Settling what a death left behind (protocol P14): from the journal alone, before spec, plan or
//! approvals are looked at.

use segue_contract::Address;
use segue_plan::cutover::{Settle, settle};

use super::drive::{abort, drive};
use super::{Ground, RunError, RunEvent, check_claims, weights};

/// Settles every cutover in flight: completes those with COMMITTED, aborts the others. An abort that only
/// settles does not hold. Reads that a dead run sent to the target before a switch go back to the source. Returns the cutovers that were settled.
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
        let error = segue_contract::StepError::permanent(format!(
            "a cutover is in flight and cannot be settled from here: {problem}"
        ))
        .remedy("settle it from the newest state directory; BY_HAND.txt there says how to open a side without segue");
        return Err(RunError::Setup(error));
    }
    let mut settled = Vec::new();
    for (cutover, phase) in in_flight {
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
