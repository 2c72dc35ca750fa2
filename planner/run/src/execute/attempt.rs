//! Preparing an attempt: gathering every argument that settling it needs, and writing BY_HAND.txt.

use std::fmt::Write as _;
use std::path::PathBuf;

use segue_contract::{Address, BlockRef, Direction, QuiesceCall, Side, StepError, UnitJob, VerifyLevel};
use segue_language::{CutoverDecl, Desired};
use segue_plan::event::Attempt;
use segue_plan::state::State;

use super::{Ground, RunError};

/// The name of the file that says how to re-open everything without Segue.
const BY_HAND: &str = "BY_HAND.txt";

/// The units of the cutover's migrations, moving towards `to`, with their current ledgers.
fn jobs_towards(state: &State, migrations: &[Address], to: Side) -> Vec<UnitJob> {
    let direction = Direction::from_live(to.other());
    let mut jobs = Vec::new();
    for migration in migrations.iter().filter_map(|m| state.migrations.get(m)) {
        for job in &migration.record.jobs {
            let mut job = job.clone();
            job.direction = direction;
            job.ledger = migration.units.get(&job.unit).and_then(|u| u.ledger.clone());
            jobs.push(job);
        }
    }
    jobs
}

/// An attempt as the spec declares it.
pub(super) fn attempt_from_spec(
    ground: &Ground,
    desired: &Desired,
    decl: &CutoverDecl,
    to: Side,
    plan_hash: &str,
) -> Result<Attempt, RunError> {
    let setup = |what: String| RunError::Setup(StepError::permanent(what));
    let migration = decl.migrations.first().and_then(|m| desired.migrations.get(m));
    let migration = migration.ok_or_else(|| setup(format!("{} names no migration", decl.address)))?;
    let call = |side: Side| {
        let quiesce = decl.quiesces.iter().find(|q| q.side.is_none_or(|s| s == side));
        let endpoint = match side {
            Side::Source => &migration.source,
            Side::Target => &migration.target,
        };
        match (quiesce, desired.endpoints.get(endpoint)) {
            (Some(quiesce), Some(endpoint)) => {
                Ok(QuiesceCall { block: quiesce.block.clone(), endpoint: endpoint.clone(), side })
            }
            _ => Err(setup(format!("{} has no quiesce for the {side}", decl.address))),
        }
    };
    let (close, open) = (call(to.other())?, call(to)?);
    let routes: Vec<BlockRef> =
        decl.routes.iter().filter_map(|r| desired.routes.get(r)).map(|r| r.block.clone()).collect();
    let attempt = Attempt {
        epoch: 0,
        from: to.other(),
        to,
        plan_hash: plan_hash.to_owned(),
        held_after: None,
        timeout_ms: decl.timeout_ms,
        freeze_ms: decl.freeze_ms,
        began: ground.now(),
        jobs: ground.recorder.look(|state| jobs_towards(state, &decl.migrations, to)),
        close_kind: ground.registry.quiesce(&close.block).map_err(RunError::Setup)?.kind_of(&close.block),
        open_kind: ground.registry.quiesce(&open.block).map_err(RunError::Setup)?.kind_of(&open.block),
        close,
        open,
        routes,
        verify: migration.verify.level,
        repair: migration.verify.repair,
        reverse: decl.fallback.reverse,
        by_hand: by_hand_path(ground),
    };
    Ok(attempt)
}

/// The attempt that leads back from the last complete switch, from the state alone.
pub(super) fn attempt_from_state(
    ground: &Ground,
    cutover: &Address,
    held_after: &str,
) -> Result<Attempt, RunError> {
    let refuse = |what: String, remedy: &str| Err(RunError::Setup(StepError::permanent(what).remedy(remedy)));
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned());
    let Some(known) = known else {
        let names: Vec<String> =
            ground.recorder.look(|s| s.cutovers.keys().map(Address::to_string).collect());
        return refuse(format!("{cutover} is not in the state"), &format!("known: {}", names.join(", ")));
    };
    if known.finished {
        return refuse(
            format!("{cutover} is finished: its fallback was given up"),
            "declare a cutover the other way round",
        );
    }
    let Some(last) = known.attempt.filter(|_| known.switches > 0) else {
        return refuse(
            format!("{cutover} has never switched: the {} serves", known.live),
            "there is nothing to go back from; `segue abort` ends an attempt in flight",
        );
    };
    // The last attempt may have been aborted on its way back: what counts is who serves.
    let to = known.live.other();
    if to == Side::Source && !last.reverse {
        return refuse(
            format!("{cutover} has no reverse sync: going back would lose what the target took"),
            "set fallback { reverse = true } and apply; or live = \"source\" with fallback { accept_loss = true }",
        );
    }
    let (close, open, close_kind, open_kind) = if last.to == known.live {
        (last.open.clone(), last.close.clone(), last.open_kind, last.close_kind)
    } else {
        (last.close.clone(), last.open.clone(), last.close_kind, last.open_kind)
    };
    let mut migrations: Vec<Address> = last.jobs.iter().map(|j| j.migration.clone()).collect();
    migrations.dedup();
    Ok(Attempt {
        epoch: 0,
        from: known.live,
        to,
        plan_hash: String::new(),
        held_after: Some(held_after.to_owned()),
        began: ground.now(),
        jobs: ground.recorder.look(|state| jobs_towards(state, &migrations, to)),
        close,
        open,
        close_kind,
        open_kind,
        verify: VerifyLevel::Count.max(last.verify),
        by_hand: by_hand_path(ground),
        ..*last
    })
}

fn by_hand_path(ground: &Ground) -> PathBuf {
    ground.who.state_dir.join(BY_HAND)
}

/// Writes, durably, the exact commands that re-open each side and set each route back without Segue, and
/// when each is safe (design 4, protocol P17).
pub(super) fn write_by_hand(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<(), RunError> {
    let text = by_hand_text(ground, cutover, attempt).map_err(RunError::Setup)?;
    segue_contract::paths::replace(&attempt.by_hand, text.as_bytes()).map_err(|e| RunError::Setup(e.into()))
}

fn by_hand_text(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<String, StepError> {
    let (from, to) = (attempt.from, attempt.to);
    let marker = |block: &BlockRef| ground.registry.endpoint(block).map(|e| e.marker_by_hand(block));
    let closer = ground.registry.quiesce(&attempt.close.block)?;
    let opener = ground.registry.quiesce(&attempt.open.block)?;
    let mut text = String::new();
    let mut line = |s: &str| {
        let _ = writeln!(text, "{s}");
    };
    line(&format!("{cutover}, attempt {}: from the {from} to the {to}", attempt.epoch));
    line("");
    line("Any segue command in this state directory's spec settles a cutover that died. Use the commands");
    line("below only when segue itself cannot run.");
    line("");
    line(&format!("1. See who may be opened. The {from}'s marker:"));
    line(&format!("     cat {}", marker(&attempt.close.endpoint)?));
    line(&format!("   \"raised\": true and \"epoch\": {} there: the {to} serves, go to 3.", attempt.epoch));
    line("   Anything else: the switch has not happened, go to 2.");
    line("");
    line(&format!("2. Go back to the {from} (safe only while its marker is not raised):"));
    line("   stop every segue process first, and keep it from being started.");
    for route in &attempt.routes {
        line(&format!("     {}", ground.registry.route(route)?.set_by_hand(route, from)));
    }
    line(&format!("     {}", closer.open_by_hand(&attempt.close)));
    line("");
    line(&format!("3. Go on to the {to} (safe only when the marker is raised):"));
    let routes: Vec<String> = attempt
        .routes
        .iter()
        .map(|r| ground.registry.route(r).map(|route| route.set_by_hand(r, to)))
        .collect::<Result<_, _>>()?;
    let open = opener.open_by_hand(&attempt.open);
    let in_order = match attempt.open_kind {
        segue_contract::QuiesceKind::Data => std::iter::once(open).chain(routes).collect::<Vec<_>>(),
        segue_contract::QuiesceKind::Writers => routes.into_iter().chain(std::iter::once(open)).collect(),
    };
    for command in in_order {
        line(&format!("     {command}"));
    }
    Ok(text)
}
