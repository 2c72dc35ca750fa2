//! The fold of what is watched after a switch.

use segue_contract::Address;

use super::super::{CutoverState, State, WatchSeen, WatchState};
use super::cutovers::hold;
use crate::event::Event;

/// Applies an event of a watch; others change nothing.
pub(super) fn fold(state: &mut State, event: &Event, at_ms: i64) {
    match event {
        Event::WatchPlanned { cutover, plan } => {
            let cutover = state.cutovers.entry(cutover.clone()).or_default();
            cutover.watch = Some(Box::new(WatchState { plan: plan.clone(), ..WatchState::default() }));
        }
        Event::WatchBegan { cutover, epoch, watched_ms, at } => {
            if let Some(watch) = find(state, cutover, *epoch).and_then(|c| c.watch.as_mut()) {
                watch.watched_ms = *watched_ms;
                watch.began = Some(at.clone());
                watch.last = None;
            }
        }
        Event::WatchRead { cutover, epoch, watch: address, ok, said, value: _, failed, at } => {
            if let Some(watch) = find(state, cutover, *epoch).and_then(|c| c.watch.as_mut()) {
                watch.last = Some(at.clone());
                let seen = WatchSeen { ok: *ok, said: said.clone(), failed: *failed };
                watch.seen.insert(address.clone(), seen);
            }
        }
        Event::HealthLost { cutover, epoch, watch: address, said } => {
            if let Some(watch) = find(state, cutover, *epoch).and_then(|c| c.watch.as_mut()) {
                watch.lost = Some((address.clone(), said.clone()));
                watch.kept = false;
            }
        }
        Event::BackRefused { cutover, epoch, why, held } => {
            let Some(cutover) = find(state, cutover, *epoch) else { return };
            if let Some(watch) = &mut cutover.watch {
                watch.kept = true;
            }
            if *held {
                hold(cutover, why, at_ms);
            }
        }
        _ => {}
    }
}

fn find<'s>(state: &'s mut State, cutover: &Address, epoch: u64) -> Option<&'s mut CutoverState> {
    state.cutovers.get_mut(cutover).filter(|c| c.epoch == epoch)
}

/// A way back that a death ended is gone again: it holds nothing yet.
pub(super) fn aborted(cutover: &mut CutoverState, held: Option<&String>) {
    let back = cutover.attempt.as_ref().is_some_and(|a| a.held_after.is_some());
    if back && held.is_none() && cutover.watch.as_ref().is_some_and(|w| w.lost.is_some() && !w.kept) {
        cutover.held = None;
    }
}

/// The watch is over: what is left of it is whether health was lost.
pub(super) fn over(cutover: &mut CutoverState) {
    if let Some(watch) = &mut cutover.watch {
        watch.began = None;
        watch.last = None;
        watch.watched_ms = 0;
        watch.seen.clear();
    }
}
