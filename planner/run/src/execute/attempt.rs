//! Preparing an attempt: gathering every argument that settling it needs, and writing BY_HAND.txt.

use std::fmt::Write as _;
use std::path::PathBuf;

use segue_contract::{Address, Direction, QuiesceCall, QuiesceKind, Side, StepError, UnitJob, segue};
use segue_language::{CutoverDecl, Desired, FallbackDecl, MigrationDecl, WaiverDecl};
use segue_plan::cutover::by_hand_file;
use segue_plan::event::{Attempt, FallbackTerms, Member};
use segue_plan::state::{CutoverState, State};

use super::{Ground, RunError};

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

/// The group's migrations so that each comes after those that it depends on (protocol P20).
fn in_order<'a>(decl: &CutoverDecl, desired: &'a Desired) -> Vec<&'a MigrationDecl> {
    let mut waiting: Vec<&MigrationDecl> =
        decl.migrations.iter().filter_map(|m| desired.migrations.get(m)).collect();
    let mut order: Vec<&MigrationDecl> = Vec::new();
    while !waiting.is_empty() {
        let free = |m: &MigrationDecl| !waiting.iter().any(|w| m.depends_on.contains(&w.address));
        // The spec was checked for circles; were there one, the declared order would do.
        let next = waiting.iter().position(|m| free(m)).unwrap_or(0);
        order.push(waiting.remove(next));
    }
    order
}

fn member(
    ground: &Ground,
    desired: &Desired,
    decl: &CutoverDecl,
    migration: &MigrationDecl,
    to: Side,
) -> Result<Member, RunError> {
    let record =
        ground.recorder.look(|s| s.migrations.get(&migration.address).map(|known| known.record.clone()));
    let scope = |side: Side| {
        let ends = record.as_ref().map(|record| match side {
            Side::Source => record.source.scope.clone(),
            Side::Target => record.target.scope.clone(),
        });
        ends.unwrap_or_default()
    };
    let call = |side: Side| {
        let endpoint = match side {
            Side::Source => &migration.source,
            Side::Target => &migration.target,
        };
        match (decl.quiesce_of(&migration.address, side), desired.endpoints.get(endpoint)) {
            (Some(quiesce), Some(endpoint)) => {
                let endpoint = endpoint.narrowed(scope(side));
                Ok(QuiesceCall { block: quiesce.block.clone(), endpoint, side })
            }
            _ => Err(RunError::Setup(StepError::permanent(format!(
                "{} has no quiesce for the {side} of {}",
                decl.address, migration.address
            )))),
        }
    };
    let (close, open) = (call(to.other())?, call(to)?);
    Ok(Member {
        migration: migration.address.clone(),
        close_kind: ground.registry.quiesce(&close.block).map_err(RunError::Setup)?.kind_of(&close.block),
        open_kind: ground.registry.quiesce(&open.block).map_err(RunError::Setup)?.kind_of(&open.block),
        close,
        open,
        verify: migration.verify.level,
        repair: migration.verify.repair,
        verify_all: migration.verify.in_pause,
    })
}

/// The cutover's waivers, and those of its migrations.
fn waivers_of(desired: &Desired, decl: &CutoverDecl) -> Vec<WaiverDecl> {
    let migrations = decl.migrations.iter().filter_map(|m| desired.migrations.get(m));
    decl.waivers.iter().chain(migrations.flat_map(|m| &m.waivers)).cloned().collect()
}

/// An attempt as the spec declares it.
pub(super) fn attempt_from_spec(
    ground: &Ground,
    desired: &Desired,
    decl: &CutoverDecl,
    to: Side,
    plan_hash: &str,
) -> Result<Attempt, RunError> {
    let members: Vec<Member> = in_order(decl, desired)
        .into_iter()
        .map(|migration| member(ground, desired, decl, migration, to))
        .collect::<Result<_, _>>()?;
    if members.is_empty() {
        let what = format!("{} names no migration of the spec", decl.address);
        return Err(RunError::Setup(StepError::permanent(what)));
    }
    let migrations: Vec<Address> = members.iter().map(|m| m.migration.clone()).collect();
    Ok(Attempt {
        epoch: 0,
        from: to.other(),
        to,
        plan_hash: plan_hash.to_owned(),
        held_after: None,
        timeout_ms: decl.timeout_ms,
        freeze_ms: decl.freeze_ms,
        began: ground.now(),
        jobs: ground.recorder.look(|state| jobs_towards(state, &migrations, to)),
        members,
        routes: decl.routes.iter().filter_map(|r| desired.routes.get(r)).map(|r| r.block.clone()).collect(),
        settle_ms: decl.settle_ms,
        old_answers_ms: 0,
        reverse: decl.fallback.reverse,
        by_hand: by_hand_path(ground, &decl.address),
        watchdog: None,
        rehearsal: false,
        waivers: waivers_of(desired, decl),
        fallback: terms_of(decl),
        leaves: None,
    })
}

/// What the spec says of the way back.
pub(super) fn terms_of(decl: &CutoverDecl) -> FallbackTerms {
    let FallbackDecl {
        reverse: _,
        report_stale_writers: _,
        retain_ms,
        max_age_ms,
        accept_loss,
        dual_write,
        fence,
    } = &decl.fallback;
    FallbackTerms {
        retain_ms: *retain_ms,
        max_age_ms: Some(*max_age_ms),
        accept_loss: *accept_loss,
        dual_write: *dual_write,
        fence: fence.clone(),
    }
}

/// Why there is no way back from the target; `accept_loss`: what the spec says of it, where that is known. The only way
/// back is to the source: that the source serves is the goal, and nothing leads from there to the target (protocol P31).
pub fn way_back_refused(
    cutover: &Address,
    known: &CutoverState,
    accept_loss: Option<bool>,
) -> Option<StepError> {
    let refuse = |what: String, remedy: &str| Some(StepError::permanent(what).remedy(remedy));
    if known.live == Side::Source {
        return refuse(
            format!("the source of {cutover} serves already"),
            &format!("live = \"target\" in the spec, and `{}`, lead to the target", segue(&["apply"])),
        );
    }
    if known.finished {
        return refuse(
            format!("{cutover} is finished: its fallback was given up"),
            "declare a cutover the other way round",
        );
    }
    // The last attempt may have been aborted on its way back: what counts is who serves.
    let last = known.attempt.as_deref();
    let accepted = accept_loss.unwrap_or_else(|| last.is_some_and(|a| a.fallback.accept_loss))
        || known.watch.as_ref().is_some_and(|w| w.plan.accept_loss);
    if !last.is_some_and(|a| a.reverse) && !accepted {
        return refuse(
            format!("{cutover} has no reverse sync: going back would lose what the target took"),
            "set fallback { reverse = true } and apply; or live = \"source\" with fallback { accept_loss = true }",
        );
    }
    None
}

/// The attempt that leads back from the last complete switch, from the state alone.
pub(super) fn attempt_from_state(
    ground: &Ground,
    cutover: &Address,
    held_after: &str,
    terms: Option<FallbackTerms>,
) -> Result<Attempt, RunError> {
    let refuse = |what: String, remedy: &str| Err(RunError::Setup(StepError::permanent(what).remedy(remedy)));
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned());
    let Some(known) = known else {
        let names: Vec<String> =
            ground.recorder.look(|s| s.cutovers.keys().map(Address::to_string).collect());
        return refuse(format!("{cutover} is not in the state"), &format!("known: {}", names.join(", ")));
    };
    let accepted = terms.as_ref().map(|t| t.accept_loss);
    if let Some(refused) = way_back_refused(cutover, &known, accepted) {
        return Err(RunError::Setup(refused));
    }
    let Some(last) = known.attempt else {
        let what = format!("{cutover} has never switched: the {} serves", known.live);
        let next =
            format!("there is nothing to go back from; `{}` ends an attempt in flight", segue(&["abort"]));
        return refuse(what, &next);
    };
    let terms = terms.unwrap_or_else(|| last.fallback.clone());
    let turn = last.to == known.live;
    Ok(Attempt { fallback: terms, ..back_from(ground, &last, known.live, turn, held_after) })
}

/// The attempt that leads away from `live`, made of another of the same cutover; `turn`: that one led to `live`,
/// so that what it opened is closed.
fn back_from(ground: &Ground, last: &Attempt, live: Side, turn: bool, held_after: &str) -> Attempt {
    let to = live.other();
    let mut members = last.members.clone();
    if turn {
        // What depends on another leaves before it.
        members.reverse();
        for member in &mut members {
            std::mem::swap(&mut member.close, &mut member.open);
            std::mem::swap(&mut member.close_kind, &mut member.open_kind);
        }
    }
    let migrations: Vec<Address> = members.iter().map(|m| m.migration.clone()).collect();
    Attempt {
        epoch: 0,
        from: live,
        to,
        plan_hash: String::new(),
        held_after: Some(held_after.to_owned()),
        began: ground.now(),
        jobs: ground.recorder.look(|state| jobs_towards(state, &migrations, to)),
        members,
        by_hand: last.by_hand.clone(),
        watchdog: None,
        timeout_ms: last.timeout_ms,
        freeze_ms: last.freeze_ms,
        routes: last.routes.clone(),
        settle_ms: last.settle_ms,
        old_answers_ms: 0,
        reverse: last.reverse,
        rehearsal: false,
        waivers: last.waivers.clone(),
        fallback: last.fallback.clone(),
        leaves: None,
    }
}

/// The attempt by which a group goes back of which some members opened and one could not be (protocol P20).
pub(super) fn attempt_of_group_going_back(ground: &Ground, failed: &Attempt, reason: &str) -> Attempt {
    back_from(ground, failed, failed.to, true, reason)
}

/// The same once more, after the one that leads back died before its COMMITTED.
pub(super) fn attempt_going_back_again(ground: &Ground, died: &Attempt) -> Attempt {
    let reason = died.held_after.clone().unwrap_or_default();
    back_from(ground, died, died.from, false, &reason)
}

/// Where there are several cutovers each has a file of its own: they may be in their pause at the same time.
fn by_hand_path(ground: &Ground, cutover: &Address) -> PathBuf {
    let several = ground.recorder.look(|s| s.cutovers.len() > 1);
    by_hand_file(&ground.who.state_dir, several, cutover)
}

/// Writes, durably, the exact commands that re-open each side and set each route back without Segue, and
/// when each is safe (design 4, protocol P17).
pub(super) fn write_by_hand(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<(), RunError> {
    let text = by_hand_text(ground, cutover, attempt).map_err(RunError::Setup)?;
    segue_contract::paths::replace(&attempt.by_hand, text.as_bytes()).map_err(|e| RunError::Setup(e.into()))
}

/// Writes, durably, how all reads go back to the source without Segue, before the first of them leaves it.
pub(super) fn write_reads_by_hand(
    ground: &Ground,
    cutover: &Address,
    attempt: &Attempt,
) -> Result<(), RunError> {
    let mut text = format!(
        "{cutover}: a part of the reads goes to the {to}; the {from} takes every write\n\nAny segue command that writes in this state directory's spec sends them back when the run that sent them\ndied: {abort}. Without segue (safe at any time before the switch; stop every segue process first):\n\n",
        to = attempt.to,
        from = attempt.from,
        abort = segue(&["abort"])
    );
    for block in &attempt.routes {
        let route = ground.registry.route(block).map_err(RunError::Setup)?;
        let _ = writeln!(text, "     {}", route.set_by_hand(block, attempt.from));
    }
    segue_contract::paths::replace(&attempt.by_hand, text.as_bytes()).map_err(|e| RunError::Setup(e.into()))
}

fn by_hand_text(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<String, StepError> {
    let (from, to) = (attempt.from, attempt.to);
    let mut text = String::new();
    let mut line = |s: &str| {
        let _ = writeln!(text, "{s}");
    };
    line(&format!("{cutover}, epoch {}: from the {from} to the {to}", attempt.epoch));
    line("");
    line("Any segue command in this state directory's spec settles a cutover that died. Use the commands");
    line("below only when segue itself cannot run.");
    line("");
    line(&format!("1. See who may be opened. The {from}'s marker:"));
    for member in &attempt.members {
        let endpoint = &member.close.endpoint;
        line(&format!("     cat {}", ground.registry.endpoint(endpoint)?.marker_by_hand(endpoint)));
    }
    line(&format!(
        "   \"raised\": true and \"epoch\": {} in any of them: the {to} serves, go to 3.",
        attempt.epoch
    ));
    line("   Anything else: the switch has not happened, go to 2.");
    line("");
    line(&format!("2. Go back to the {from} (safe only while no marker of it is raised):"));
    line("   stop every segue process first, and keep it from being started.");
    let routes = |side: Side| -> Result<Vec<String>, StepError> {
        attempt.routes.iter().map(|r| Ok(ground.registry.route(r)?.set_by_hand(r, side))).collect()
    };
    let opening = |calls: Vec<&QuiesceCall>| -> Result<Vec<String>, StepError> {
        let mut commands = Vec::new();
        for call in calls {
            let command = ground.registry.quiesce(&call.block)?.open_by_hand(call);
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
        Ok(commands)
    };
    let close_all = attempt.members.iter().map(|m| &m.close).collect();
    for command in routes(from)?.into_iter().chain(opening(close_all)?) {
        line(&format!("     {command}"));
    }
    line("");
    line(&format!("3. Go on to the {to} (safe only when its marker is raised):"));
    let open_of = |kind: QuiesceKind| -> Vec<&QuiesceCall> {
        attempt.members.iter().filter(|m| m.open_kind == kind).map(|m| &m.open).collect()
    };
    let in_order =
        [opening(open_of(QuiesceKind::Data))?, routes(to)?, opening(open_of(QuiesceKind::Writers))?];
    for command in in_order.into_iter().flatten() {
        line(&format!("     {command}"));
    }
    Ok(text)
}
