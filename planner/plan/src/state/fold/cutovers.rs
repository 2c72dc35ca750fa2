//! The fold of a cutover's attempts: phases, holds, pauses, stale writes.

use segue_contract::StaleFind;

use super::super::{
    Aborting, CutoverState, Held, LIST_MAX, LeftSide, MEASUREMENTS_MAX, PauseTerm, State, SwitchRecord,
};
use super::keep_last;
use crate::cutover::{Phase, REOPENED, begins_in_part};
use crate::event::{Attempt, Proof};
use segue_contract::Address;

pub(super) fn begin_attempt(state: &mut State, address: &Address, attempt: &Attempt, at_ms: i64) {
    let cutover = state.cutovers.entry(address.clone()).or_default();
    cutover.in_part = begins_in_part(cutover.phase, cutover.in_part);
    cutover.epoch = attempt.epoch;
    cutover.phase = Phase::Quiescing;
    cutover.proofs.clear();
    cutover.opened.clear();
    cutover.routed.clear();
    cutover.aborting = None;
    cutover.fenced.clear();
    cutover.attempt = Some(Box::new(attempt.clone()));
    if let Some(reason) = &attempt.held_after {
        hold(cutover, reason, at_ms);
    }
}

/// A commit that is taken back (protocol P16, P17): no client ever wrote to the new side.
pub(super) fn take_back(cutover: &mut CutoverState, reason: &str, held: &str, at_ms: i64) {
    take_back_commit(cutover);
    cutover.phase = Phase::Aborting;
    cutover.aborting = Some(Aborting {
        reason: reason.to_owned(),
        held: Some(held.to_owned()),
        reopened: false,
        taken_back: true,
    });
    hold(cutover, held, at_ms);
}

/// Lines of version 1 say by an abort after COMMITTED that it is taken back.
pub(super) fn take_back_commit(cutover: &mut CutoverState) {
    let committed = crate::cutover::settle(cutover.phase) == crate::cutover::Settle::Complete;
    if let (true, Some(attempt)) = (committed, &cutover.attempt) {
        cutover.live = attempt.from;
        cutover.switches = cutover.switches.saturating_sub(1);
    }
}

/// A hold stands against the side that the spec wanted when it was put on: the one that the attempt led away
/// from for a switch back by command, the one it led to for an abort.
pub(super) fn hold(cutover: &mut CutoverState, reason: &str, since_ms: i64) {
    let wanted = match &cutover.attempt {
        Some(attempt) if attempt.held_after.is_some() => attempt.from,
        Some(attempt) => attempt.to,
        None => cutover.live.other(),
    };
    cutover.held = Some(Held { reason: reason.to_owned(), wanted, since_ms });
}

pub(super) fn reach(cutover: &mut CutoverState, phase: Phase, proof: &Proof, took_us: u64, at_ms: i64) {
    cutover.phase = phase;
    cutover.proofs.insert(phase, proof.clone());
    let opens = match &cutover.attempt {
        Some(attempt) if attempt.opens().writers => Phase::Started,
        _ => Phase::Routed,
    };
    let name = if phase == Phase::Started { "OPEN" } else { phase.as_str() };
    if phase.is_pause() || phase == opens {
        cutover.pauses.push(PauseTerm { name: name.to_owned(), us: took_us });
        keep_last(&mut cutover.pauses, MEASUREMENTS_MAX * 10);
    }
    if phase == Phase::Committed
        && let Some(attempt) = &cutover.attempt
    {
        cutover.live = attempt.to;
        cutover.switches += 1;
        cutover.stale_looked = false;
        if let Some(leaving) = &attempt.leaves {
            let loses = leaving.loses.clone();
            cutover.left = Some(LeftSide { side: attempt.from, epoch: attempt.epoch, at_ms, loses });
        }
    }
    if phase == Phase::Routed {
        // Pointing a route to a side ends its weight.
        cutover.weight = None;
    }
    if phase == Phase::Soaking {
        cutover.in_part = false;
        super::watches::over(cutover);
    }
    if phase == opens
        && let Some(attempt) = &cutover.attempt
    {
        let pause_us = pause_of_last_attempt(&cutover.pauses, name);
        cutover.last_switch = Some(SwitchRecord { epoch: attempt.epoch, to: attempt.to, at_ms, pause_us });
    }
}

/// The side that served takes writes again. How long that took is what starting its writers takes.
pub(super) fn reopened(cutover: &mut CutoverState, took_us: Option<u64>) {
    if let Some(aborting) = cutover.aborting.as_mut() {
        aborting.reopened = true;
    }
    if let Some(us) = took_us {
        cutover.pauses.push(PauseTerm { name: REOPENED.to_owned(), us });
        keep_last(&mut cutover.pauses, MEASUREMENTS_MAX * 10);
    }
}

/// The sum of the terms since the last DRAINED, up to the one named `last`.
fn pause_of_last_attempt(pauses: &[PauseTerm], last: &str) -> u64 {
    let start = pauses.iter().rposition(|t| t.name == Phase::Drained.as_str()).unwrap_or(0);
    let end = pauses.iter().rposition(|t| t.name == last).map_or(pauses.len(), |i| i + 1);
    pauses.get(start..end).unwrap_or_default().iter().map(|t| t.us).sum()
}

/// A find that is known is not listed twice; where it was put aside since, that is noted at the find that is known.
pub(super) fn add_stale(cutover: &mut CutoverState, finds: &[StaleFind], total: u64) {
    let known = cutover.stale.len() as u64;
    let mut fresh: Vec<StaleFind> = Vec::new();
    for find in finds {
        let same = |s: &&mut StaleFind| {
            s.key == find.key
                && s.what == find.what
                && (s.kept.is_none() || find.kept.is_none() || s.kept == find.kept)
        };
        match cutover.stale.iter_mut().find(same) {
            Some(seen) => seen.kept = seen.kept.take().or_else(|| find.kept.clone()),
            None => fresh.push(find.clone()),
        }
    }
    let repeated = (finds.len() - fresh.len()) as u64;
    cutover.stale.extend(fresh);
    cutover.stale.truncate(LIST_MAX);
    cutover.stale_total = cutover.stale_total.max(known) + total.saturating_sub(repeated);
}

#[cfg(test)]
mod tests {
    use super::{CutoverState, StaleFind, add_stale};

    fn find(what: &str, kept: Option<&str>) -> StaleFind {
        StaleFind { key: "a".to_owned(), what: what.to_owned(), kept: kept.map(str::to_owned), process: None }
    }

    #[test]
    fn a_find_that_was_only_looked_at_says_later_where_it_is_kept() {
        let mut cutover = CutoverState::default();
        add_stale(&mut cutover, &[find("changed", None)], 1);
        add_stale(&mut cutover, &[find("changed", Some("stale/1"))], 1);
        add_stale(&mut cutover, &[find("changed", None)], 1);
        assert_eq!(cutover.stale, [find("changed", Some("stale/1"))]);
        assert_eq!(cutover.stale_total, 1);
    }

    #[test]
    fn another_version_of_the_same_record_is_another_find() {
        let mut cutover = CutoverState::default();
        add_stale(&mut cutover, &[find("changed", Some("stale/1"))], 1);
        add_stale(&mut cutover, &[find("changed", Some("stale/2")), find("deleted", None)], 2);
        assert_eq!((cutover.stale.len(), cutover.stale_total), (3, 3));
    }
}
