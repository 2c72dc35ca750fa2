//! The fold of rehearsals: a stage comes with the first event and goes with the last.

use segue_contract::Address;

use super::super::{OpenRehearsal, Rehearsed, State};
use super::below;
use crate::event::Event;

/// Applies an event of a rehearsal; others change nothing.
pub(super) fn fold(state: &mut State, event: &Event, at_ms: i64) {
    match event {
        Event::RehearsalBegan { cutover, rehearsal } => {
            let known = state.rehearsals.entry(cutover.clone()).or_default();
            known.open = Some(OpenRehearsal { rehearsal: rehearsal.clone(), ended: false });
        }
        Event::RehearsalEnded { cutover, report } => {
            let known = state.rehearsals.entry(cutover.clone()).or_default();
            let Some(open) = &mut known.open else { return };
            open.ended = true;
            let subject = open.rehearsal.subject.clone();
            known.last = Some(Rehearsed { subject, at_ms, report: (**report).clone() });
        }
        Event::RehearsalReleased { cutover } => release(state, cutover),
        _ => {}
    }
}

fn release(state: &mut State, cutover: &Address) {
    let Some(open) = state.rehearsals.get_mut(cutover).and_then(|known| known.open.take()) else { return };
    let stages = open.rehearsal.members.iter().map(|(_, stage)| stage);
    for stage in stages.chain([&open.rehearsal.stage]) {
        state.resources.retain(|_, known| known.resource.owner != *stage);
        state.migrations.remove(stage);
        state.cutovers.remove(stage);
        state.open_steps.retain(|step, _| !below(step, stage));
    }
}

/// A stage claims the source of the migration that it rehearses: its epoch is that migration's too, or the marker at
/// the source would seem to be of a later attempt than this journal knows (protocol P18).
pub(super) fn claim(state: &mut State, stage: &Address, epoch: u64) {
    let open = state.rehearsals.values().filter_map(|known| known.open.as_ref());
    let mut members = open.flat_map(|open| &open.rehearsal.members);
    let real = members.find(|(_, of)| of == stage).map(|(real, _)| real.clone());
    if let Some(known) = real.and_then(|real| state.migrations.get_mut(&real)) {
        known.epoch = known.epoch.max(epoch);
    }
}

/// What was measured of a cutover that is forgotten says nothing of one that has its name later. One that is open
/// stays: something is to be released.
pub(super) fn forget(state: &mut State, cutover: &Address) {
    if let Some(known) = state.rehearsals.get_mut(cutover) {
        known.last = None;
        if known.open.is_none() {
            state.rehearsals.remove(cutover);
        }
    }
}
