//! Mass deletion (protocol P28): a pass that would delete too much stops and asks, and a person lets it go by its hash.

use std::io::IsTerminal;

use segue_contract::{Address, Direction, Side, StepError, UnitJob, segue};
use segue_plan::event::{AcceptedDeletions, Event, Release, Resource, ResourceKind, StoppedPass};
use segue_plan::state::{AskedDeletions, ResourceState};

use super::unit::UnitRef;
use super::{Ground, RunError, RunEvent};

/// What a person accepted from the ledger that a job has.
pub(super) fn accepted(ground: &Ground, job: &UnitJob) -> Option<u64> {
    ground.recorder.look(|s| {
        let asked = s.migrations.get(&job.migration)?.units.get(&job.unit)?.asked_deletions.as_ref()?;
        let same = asked.direction == job.direction && Some(&asked.ledger) == job.ledger.as_ref();
        asked.accepted.filter(|_| same)
    })
}

/// What the error of a pass comes to: one that stopped before its first deletion is recorded, so that it can be accepted.
pub(super) fn failed(
    ground: &Ground,
    unit: &UnitRef,
    step: &Address,
    direction: Direction,
    error: StepError,
) -> RunError {
    let Some(stop) = error.too_many_deletions() else { return RunError::step(step, error) };
    let found = ground.recorder.look(|s| {
        let migration = s.migrations.get(&unit.migration)?;
        let known = migration.units.get(&unit.unit)?;
        let written = match direction {
            Direction::Forward => migration.record.target.address.clone(),
            Direction::Reverse => migration.record.source.address.clone(),
        };
        let cutover = migration.record.cutover.clone();
        (!s.is_stage(&unit.migration)).then_some(())?;
        Some((known.ledger.clone()?, known.asked_deletions.clone(), written, cutover))
    });
    // A rehearsal's copy is made anew each time: nothing of it is accepted.
    let Some((ledger, before, written, cutover)) = found else {
        let remedy =
            "look at the side that is read: is it whole, and mounted? Then run the same command again";
        return RunError::step(step, error.remedy(remedy));
    };
    let asked = AskedDeletions::new(direction, ledger, stop);
    let hash = asked.hash(&unit.migration, &unit.unit);
    let same = before.as_ref().is_some_and(|b| AskedDeletions { accepted: None, ..b.clone() } == asked);
    let event = Event::DeletionsAsked(StoppedPass {
        migration: unit.migration.clone(),
        unit: unit.unit.clone(),
        asked: Box::new(asked),
    });
    if !same && let Err(error) = ground.record(event) {
        return error;
    }
    RunError::Deletions {
        step: step.clone(),
        what: format!("{error}; {written} is as it was"),
        remedy: remedy(direction, cutover.as_ref(), &hash),
    }
}

/// What to look at, and what to type.
fn remedy(direction: Direction, cutover: Option<&Address>, hash: &str) -> String {
    let read = direction.from();
    let apply = segue(&["apply", "--accept-deletions", hash]);
    let command = match (direction.from(), cutover) {
        (Side::Target, Some(cutover)) => {
            // Where nobody can be asked, the way back is asked for by the command alone.
            let mut back = vec!["switch-back", cutover.as_str(), "--accept-deletions", hash];
            if !std::io::stdin().is_terminal() {
                back.push("--auto-approve");
            }
            format!("`{apply}`, or `{}` to go back", segue(&back))
        }
        (Side::Source | Side::Target, _) => format!("`{apply}`"),
    };
    format!("look at the {read}: is it whole, and mounted? If all of that is to go: {command}")
}

/// Records, before any of it is there, that what reverse passes delete is kept.
pub(super) fn keeping(ground: &Ground, migration: &Address, below: &str) -> Result<(), RunError> {
    let (owner, retain_ms) = ground.recorder.look(|s| {
        let cutover = s.migrations.get(migration).and_then(|m| m.record.cutover.clone());
        let attempt = cutover.as_ref().and_then(|c| s.cutovers.get(c)?.attempt.clone());
        (cutover, attempt.and_then(|a| a.fallback.retain_ms))
    });
    let owner = owner.unwrap_or_else(|| migration.clone());
    let id = format!("{owner}/kept_deleted/{migration}");
    if ground.recorder.look(|s| s.resources.contains_key(&id)) {
        return Ok(());
    }
    ground.make_resource(Resource {
        id,
        kind: ResourceKind::KeptDeleted,
        what: "what reverse passes deleted at the source".to_owned(),
        place: format!("artifacts/{below}"),
        owner,
        epoch: 0,
        ttl_ms: retain_ms,
        release: Release::Artifact(below.to_owned()),
    })
}

/// The way back is over: nobody needs what was deleted on it. What cannot be removed now is left to `segue cleanup`.
pub(super) fn release_kept(ground: &Ground, cutover: &Address) {
    let of =
        |r: &&ResourceState| r.resource.kind == ResourceKind::KeptDeleted && r.resource.owner == *cutover;
    let ids: Vec<String> =
        ground.recorder.look(|s| s.resources.values().filter(of).map(|r| r.resource.id.clone()).collect());
    for id in ids {
        if let Err(error) = ground.release_resource(&id) {
            ground.tell(&RunEvent::Said {
                text: format!("{id} is still there, `{}` removes it: {error}", segue(&["cleanup"])),
            });
        }
    }
}

/// Records that a person lets deletions go. Says what.
///
/// # Errors
/// No pass that stopped has that hash.
pub fn accept_deletions(ground: &Ground, hash: &str, by: &str) -> Result<String, RunError> {
    let state = ground.state();
    let waiting: Vec<(String, Address, String, AskedDeletions)> = state
        .asked_deletions()
        .map(|(migration, unit, asked)| {
            (asked.hash(migration, unit), migration.clone(), unit.to_owned(), asked.clone())
        })
        .collect();
    let Some((hash, migration, unit, asked)) = waiting.iter().find(|(known, ..)| known == hash) else {
        let all: Vec<String> =
            waiting.iter().map(|(hash, migration, unit, _)| format!("{hash} ({migration} {unit})")).collect();
        let remedy = match all.is_empty() {
            true => "no pass waits for that: apply without it, and it is told if one does".to_owned(),
            false => format!("what waits: {}", all.join(", ")),
        };
        let what = format!("no pass that stopped before its deletions has the hash {hash:?}");
        return Err(RunError::Setup(StepError::permanent(what).remedy(remedy)));
    };
    let allowed = asked.allowance();
    ground.record(Event::DeletionsAccepted(AcceptedDeletions {
        migration: migration.clone(),
        unit: unit.clone(),
        hash: hash.clone(),
        allowed,
        by: by.to_owned(),
    }))?;
    Ok(format!(
        "{migration} {unit}: up to {allowed} deletions are accepted ({} of {} were shown)",
        asked.deletions, asked.known
    ))
}
