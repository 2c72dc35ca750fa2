//! Reads that go to the target in steps before a switch: each step is intent and outcome in the journal, and whoever
//! finds that a run died or failed with reads at the target sends them back to the source.

use std::time::Duration;

use segue_contract::{Address, BlockRef, RouteAt, StepError, StepIo};
use segue_plan::event::{Event, WeightEvent};
use segue_plan::state::WeightState;

use super::io::{Io, Until};
use super::retry::retry;
use super::{Ground, RunError, RunEvent};

/// How long a route is tried again: reads at the target grow old meanwhile, so no longer than a person would wait.
const ROUTE_DEADLINE: Duration = Duration::from_secs(30);

fn record(ground: &Ground, cutover: &Address, weight: WeightEvent) -> Result<(), RunError> {
    ground.record_settling(Event::Weight { cutover: cutover.clone(), weight })
}

/// Records that a step was held to its end.
pub(super) fn held(ground: &Ground, cutover: &Address, percent: u8, held_ms: u64) -> Result<(), RunError> {
    record(ground, cutover, WeightEvent::Held { percent, held_ms })
}

/// Sends so many percent of the reads to the target, and looks at every route that it does.
pub(super) fn weigh(
    ground: &Ground,
    cutover: &Address,
    step: &Address,
    routes: &[BlockRef],
    percent: u8,
    until: &Until,
) -> Result<(), RunError> {
    let intent = WeightEvent::Began {
        percent,
        routes: routes.to_vec(),
        at: ground.now(),
        watchdog: ground.guard.watcher(),
    };
    record(ground, cutover, intent)?;
    for block in routes {
        let io = Io::new(ground, step).until(until.clone());
        retry(ground, step, ROUTE_DEADLINE, || io.cancelled(), || weigh_route(ground, block, percent, &io))
            .map_err(|e| RunError::step(step, e))?;
    }
    record(ground, cutover, WeightEvent::Set { percent })
}

/// The call comes before the look: it ends what a dead run may have left on its way (protocol P15).
fn weigh_route(ground: &Ground, block: &BlockRef, percent: u8, io: &Io<'_>) -> Result<(), StepError> {
    let route = ground.registry.route(block)?;
    if percent == 0
        && let RouteAt::Other(at) = route.observe(block, io)?
    {
        let text = format!("{} points to {at:?}: somebody moved it, it is left there", block.address);
        ground.tell(&RunEvent::Said { text });
        return Ok(());
    }
    route.weigh(block, percent, io)?;
    match route.observe(block, io)? {
        at if at == RouteAt::weighted(percent) => Ok(()),
        other => Err(StepError::transient(format!(
            "{} was told to send {percent} % of the reads to the target, and says {other:?}",
            block.address
        ))),
    }
}

/// The reads of a cutover that are at the target, or may be.
fn at_the_target(ground: &Ground, cutover: &Address) -> Option<WeightState> {
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).and_then(|c| c.weight.clone()));
    known.map(|w| *w).filter(WeightState::in_effect)
}

/// Sends all reads back to the source, where any may be at the target. Nothing stops it; it can be repeated.
///
/// # Errors
/// A route cannot be set, with what to do by hand.
pub(super) fn take_back(ground: &Ground, cutover: &Address) -> Result<bool, RunError> {
    let Some(weight) = at_the_target(ground, cutover) else { return Ok(false) };
    let step = cutover.step("reads");
    weigh(ground, cutover, &step, &weight.routes, 0, &Until::Never)
        .map_err(|error| by_hand(ground, &weight, error))?;
    let text = format!("{cutover}: all reads go to the source again");
    ground.tell(&RunEvent::Said { text });
    Ok(true)
}

fn by_hand(ground: &Ground, weight: &WeightState, error: RunError) -> RunError {
    let RunError::Step { step, error } = error else { return error };
    let back = |block: &BlockRef| {
        let route = ground.registry.route(block).ok()?;
        Some(route.set_by_hand(block, segue_contract::Side::Source))
    };
    let commands: Vec<String> = weight.routes.iter().filter_map(back).collect();
    let remedy = format!(
        "reads may still go to the target, which grows old: run the same command again, or by hand: {}",
        commands.join("; ")
    );
    RunError::Step { step, error: error.remedy(remedy) }
}

/// How a cutover ended that may have left reads at the target without an attempt in flight: they go back.
pub(super) fn after(ground: &Ground, cutover: &Address, ended: Result<(), RunError>) -> Result<(), RunError> {
    let Err(error) = ended else { return Ok(()) };
    let resting = ground.recorder.look(|s| s.weighed().any(|(address, _)| address == cutover));
    if !resting {
        return Err(error);
    }
    let back = match &error {
        // Nothing went wrong: the next apply goes on at the step that it was in.
        RunError::Interrupted => Ok(()),
        _ => {
            let text = format!("{cutover}: the reads go back to the source: {error}");
            ground.tell(&RunEvent::Said { text });
            record(ground, cutover, WeightEvent::Lost { reason: error.to_string(), held: true })
        }
    };
    // A journal that takes nothing must not keep the reads there.
    take_back(ground, cutover)?;
    back?;
    Err(error)
}

/// Sends back the reads that a dead run left at the target: nobody keeps it fresh any more. The next apply goes on at
/// the step that it was in. Returns the cutovers.
pub(super) fn settle(ground: &Ground) -> Result<Vec<Address>, RunError> {
    let left: Vec<(Address, u8)> =
        ground.recorder.look(|s| s.weighed().map(|(address, w)| (address.clone(), w.percent)).collect());
    let mut settled = Vec::new();
    for (cutover, percent) in left {
        let text = match percent {
            0 => format!("{cutover}: a run died while it sent the reads back to the source"),
            _ => format!("{cutover}: a run died while {percent} % of the reads went to the target"),
        };
        ground.tell(&RunEvent::Said { text });
        take_back(ground, &cutover)?;
        settled.push(cutover);
    }
    Ok(settled)
}
