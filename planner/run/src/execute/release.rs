//! The end of a cutover: finishing (the target serves for good) and abandoning (the source does).

use segue_contract::{Address, Direction, QuiesceCall, QuiesceKind, Side, StepError, StepIo};
use segue_language::CutoverDecl;
use segue_plan::diff::Change;
use segue_plan::event::{Event, Release};
use segue_plan::plan::StepKind;

use super::drive::open_where_segue_is_refused;
use super::io::{Io, Until};
use super::retry::{STEP_DEADLINE, retry};
use super::unit::{UnitRef, job_of, pass};
use super::{Ground, RunError, RunEvent, claims, deletions};

/// Releases what was temporary.
pub(super) fn release(ground: &Ground, decl: &CutoverDecl, change: Change) -> Result<(), RunError> {
    let step = decl.address.step(StepKind::Release.as_str());
    ground.step(&step, StepKind::Release, || match change {
        Change::Abandon => abandon(ground, decl, &step),
        _ => finish(ground, decl, &step),
    })?;
    deletions::release_kept(ground, &decl.address);
    Ok(())
}

fn units(ground: &Ground, migration: &Address) -> Vec<UnitRef> {
    let names = ground
        .recorder
        .look(|s| s.migrations.get(migration).map(|m| m.units.keys().cloned().collect::<Vec<_>>()))
        .unwrap_or_default();
    names.into_iter().map(|unit| UnitRef { migration: migration.clone(), unit }).collect()
}

/// One whole look at every key of the old side (protocol P21), then the barrier is closed where there is
/// one, and the markers go.
fn finish(ground: &Ground, decl: &CutoverDecl, step: &Address) -> Result<String, RunError> {
    for migration in &decl.migrations {
        for unit in units(ground, migration) {
            if decl.fallback.reverse {
                // A run that died may have closed it already.
                if let Some((call, kind)) = old_side(ground, decl, migration) {
                    open_where_segue_is_refused(ground, step, &call, kind)?;
                }
                pass(ground, &unit, step, &Until::Stopped)?;
            } else {
                look(ground, decl, &unit, step)?;
            }
        }
    }
    let stale = ground.recorder.look(|s| s.cutovers.get(&decl.address).map_or(0, |c| c.stale_total));
    if stale > 0 {
        return Err(RunError::Gate {
            step: step.clone(),
            what: format!("{stale} writes of stale writers are on the old side, kept aside and not settled"),
            remedy: format!(
                "`segue status` lists them; then `segue unhold {} --stale`, and apply again",
                decl.address
            ),
        });
    }
    for migration in &decl.migrations {
        for unit in units(ground, migration) {
            put_back(ground, &unit, &[Direction::Forward, Direction::Reverse], step)?;
        }
    }
    let by_hand = close_old_sides(ground, decl, step)?;
    for migration in &decl.migrations {
        claims::release(ground, step, migration)?;
    }
    ground.record(Event::CutoverFinished { cutover: decl.address.clone() })?;
    Ok(by_hand)
}

/// What was set at the side that each of these directions writes, for the time of the migration alone, is put back.
fn put_back(
    ground: &Ground,
    unit: &UnitRef,
    directions: &[Direction],
    step: &Address,
) -> Result<(), RunError> {
    let (mut job, _) = job_of(ground, unit)?;
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
    let io = Io::new(ground, step);
    for direction in directions {
        job.direction = *direction;
        let finish = || engine.finish(&job, &io);
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), finish).map_err(|e| RunError::step(step, e))?;
    }
    Ok(())
}

fn look(ground: &Ground, decl: &CutoverDecl, unit: &UnitRef, step: &Address) -> Result<(), RunError> {
    let (mut job, _) = job_of(ground, unit)?;
    job.direction = Direction::Reverse;
    let engine = ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
    let io = Io::new(ground, step);
    let look = || engine.stale(&job, &io);
    let report =
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), look).map_err(|e| RunError::step(step, e))?;
    ground.record(Event::StaleLooked { cutover: decl.address.clone(), report })
}

/// What closes a declared source, as the last attempt knew it.
fn old_side(ground: &Ground, decl: &CutoverDecl, migration: &Address) -> Option<(QuiesceCall, QuiesceKind)> {
    let attempt = ground.recorder.look(|s| s.cutovers.get(&decl.address).and_then(|c| c.attempt.clone()))?;
    let member = attempt.member(migration)?.clone();
    Some(match attempt.from {
        Side::Source => (member.close, member.close_kind),
        Side::Target => (member.open, member.open_kind),
    })
}

/// Finishing leaves the old sides' barriers closed, where they have one, and says how to lift them (protocol P2).
fn close_old_sides(ground: &Ground, decl: &CutoverDecl, step: &Address) -> Result<String, RunError> {
    let mut said = Vec::new();
    for migration in &decl.migrations {
        let Some((call, kind)) = old_side(ground, decl, migration) else {
            continue;
        };
        if kind != QuiesceKind::Data {
            said.push(format!("{} is kept as it is", call.endpoint.address));
            continue;
        }
        let quiesce = ground.registry.quiesce(&call.block).map_err(RunError::Setup)?;
        let io = Io::new(ground, step);
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), || quiesce.close(&call, &io))
            .map_err(|e| RunError::step(step, e))?;
        let closed =
            format!("{} is kept closed; to open it: {}", call.endpoint.address, quiesce.open_by_hand(&call));
        ground.tell(&RunEvent::Said { text: closed.clone() });
        said.push(closed);
    }
    Ok(said.join("; "))
}

fn abandon(ground: &Ground, decl: &CutoverDecl, step: &Address) -> Result<String, RunError> {
    for migration in &decl.migrations {
        let made_root = ground
            .recorder
            .look(|s| s.migrations.get(migration).is_some_and(|m| m.made.contains(&m.record.target.address)));
        for unit in units(ground, migration) {
            let (mut job, _) = job_of(ground, &unit)?;
            job.direction = Direction::Forward;
            let engine =
                ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
            // The marker lies in the root: it goes first, so that an emptied root can go too.
            claims::release(ground, step, migration)?;
            let io = Io::new(ground, step);
            let remove = || engine.release(&job, made_root, &io);
            retry(ground, step, STEP_DEADLINE, || io.cancelled(), remove)
                .map_err(|e| RunError::step(step, e))?;
            put_back(ground, &unit, &[Direction::Reverse], step)?;
        }
        claims::release(ground, step, migration).or_else(|error| match error {
            // The root is gone, and the marker with it.
            RunError::Step { error: StepError { .. }, .. } => Ok(()),
            other => Err(other),
        })?;
    }
    for migration in &decl.migrations {
        target_is_gone(ground, step, migration)?;
    }
    ground.record(Event::CutoverFinished { cutover: decl.address.clone() })?;
    Ok("the source was not touched".to_owned())
}

/// A target of which nothing is left is no resource any more. One that Segue made and that something else is in stays
/// one: `segue cleanup` tells of it.
fn target_is_gone(ground: &Ground, step: &Address, migration: &Address) -> Result<(), RunError> {
    let id = format!("{migration}/target");
    let known = ground.recorder.look(|s| {
        let Release::Target { made_root, .. } = &s.resources.get(&id)?.resource.release else { return None };
        Some((*made_root, s.migrations.get(migration)?.record.target.clone()))
    });
    let Some((made_root, block)) = known else { return Ok(()) };
    let io = Io::new(ground, step);
    let look = || ground.registry.endpoint(&block)?.observe(&block, &io);
    let facts =
        retry(ground, step, STEP_DEADLINE, || io.cancelled(), look).map_err(|e| RunError::step(step, e))?;
    if made_root && facts.exists {
        return Ok(());
    }
    ground.record(Event::ResourceReleased { id, said: "abandoned".to_owned() })
}
