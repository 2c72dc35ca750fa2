//! The steps of `removed` blocks: what Segue manages no longer, and how it is left.

use segue_contract::{Address, Side};

use super::build::Ground;
use super::{PlanStep, Reason, StepKind};
use crate::event::ResourceKind;
use crate::state::CutoverState;

/// A step for each removed block that is known, or was until such a step was done: cutovers before their migrations.
pub(super) fn steps(ground: &Ground<'_>) -> Vec<PlanStep> {
    let mut steps = Vec::new();
    for address in &ground.desired.removed {
        let (state, forgotten) = (ground.state, ground.state.forgotten.get(address));
        let cutover = state.cutovers.get(address).or(forgotten.and_then(|f| f.cutover.as_ref()));
        let migration = state.migrations.get(address).or(forgotten.and_then(|f| f.migration.as_ref()));
        let what = match (cutover, migration) {
            (Some(cutover), _) => of_cutover(cutover),
            (None, Some(_)) => "manage it no longer: its passes end".to_owned(),
            (None, None) => continue,
        };
        let mut step =
            PlanStep::new(address, address.step(StepKind::Forget.as_str()), StepKind::Forget, what);
        step.done = forgotten.is_some();
        step.reason = if step.done { Reason::Done } else { Reason::Changed };
        step.remarks = left_as_it_is(ground, address);
        let of = migration.and_then(|m| m.record.cutover.as_ref());
        let first = of.filter(|cutover| ground.desired.removed.contains(cutover));
        step.waits_for.extend(first.map(|cutover| cutover.step(StepKind::Forget.as_str())));
        steps.push(step);
    }
    steps
}

fn of_cutover(known: &CutoverState) -> String {
    let way_back = match known.live {
        Side::Target if !known.finished => ", and the way back is kept fresh no longer",
        Side::Target | Side::Source => "",
    };
    format!("manage it no longer: the {} serves{way_back}", known.live)
}

/// What is there because of the block, and stays.
fn left_as_it_is(ground: &Ground<'_>, address: &Address) -> Vec<String> {
    let known = ground.state.resources.values().map(|known| &known.resource);
    let mut left: Vec<String> = known
        .filter(|resource| resource.owner == *address)
        .filter(|resource| match resource.kind {
            ResourceKind::Quiesce
            | ResourceKind::Fence
            | ResourceKind::Target
            | ResourceKind::Marker
            | ResourceKind::Scratch
            | ResourceKind::KeptAside
            | ResourceKind::KeptDeleted
            | ResourceKind::Fallback => true,
            // They lie in the state directory.
            ResourceKind::Ledger | ResourceKind::Lease | ResourceKind::Unfinished => false,
        })
        .map(|resource| format!("left as it is: {} ({})", resource.what, resource.place))
        .collect();
    left.sort();
    left.push("write the block again, without `removed`, to take it up where it was".to_owned());
    left
}
