//! Markers at both endpoints (protocol P18): claimed before the first effect, in the order of the
//! endpoints' identities; raised between COMMITTED and opening, the old side first.

use segue_contract::{Address, BlockRef, Claim, Identity, Marker, MarkerError, Registry, Side, StepIo};
use segue_plan::cutover::{Settle, settle};
use segue_plan::event::Event;
use segue_plan::state::{MigrationState, State};

use super::io::{Io, Until};
use super::retry::{STEP_DEADLINE, retry};
use super::{Ground, RunError};

/// The endpoints of a migration, with their sides, in the order of their identities.
fn endpoints(migration: &MigrationState) -> Vec<(Side, BlockRef)> {
    let record = &migration.record;
    let mut sides = vec![
        (&record.source_identity, Side::Source, &record.source),
        (&record.target_identity, Side::Target, &record.target),
    ];
    sides.sort_by(|a, b| a.0.cmp(b.0));
    sides.into_iter().map(|(_, side, block)| (side, block.clone())).collect()
}

fn known(ground: &Ground, migration: &Address) -> Result<MigrationState, RunError> {
    ground.recorder.look(|s| s.migrations.get(migration).cloned()).ok_or_else(|| {
        RunError::Setup(segue_contract::StepError::permanent(format!("{migration} is not in the state")))
    })
}

fn marker_of(ground: &Ground, migration: &MigrationState, epoch: u64, live: Side, raised: bool) -> Marker {
    let record = &migration.record;
    Marker {
        owner: record.cutover.clone().unwrap_or_else(|| record.migration.clone()),
        epoch,
        live,
        raised,
        state_id: ground.who.state_id.clone(),
        state_dir: ground.who.state_dir.display().to_string(),
        machine_id: ground.who.machine_id.clone(),
        host: ground.who.host.clone(),
        user: ground.who.user.clone(),
    }
}

fn write(
    ground: &Ground,
    step: &Address,
    block: &BlockRef,
    marker: &Marker,
    adopt_from: Option<&str>,
    until: Until,
) -> Result<(), RunError> {
    let io = Io::new(ground, step).until(until);
    let endpoint = ground.registry.endpoint(block).map_err(|e| RunError::step(step, e))?;
    let claim = Claim { marker: marker.clone(), adopt_from: adopt_from.map(str::to_owned) };
    again(ground, step, &io, || endpoint.write_marker(block, &claim, &io))
        .map_err(|e| RunError::marker(&block.address, e))
}

/// Tries a marker's operation again while it fails in a way that may pass. A refusal is final.
fn again(
    ground: &Ground,
    step: &Address,
    io: &Io<'_>,
    mut work: impl FnMut() -> Result<(), MarkerError>,
) -> Result<(), MarkerError> {
    let stop = || io.cancelled();
    let answered = retry(ground, step, STEP_DEADLINE, stop, || match work() {
        Ok(()) => Ok(Ok(())),
        Err(MarkerError::Failed(error)) => Err(error),
        Err(refused @ MarkerError::Refused(_)) => Ok(Err(refused)),
    });
    answered.unwrap_or_else(|error| Err(MarkerError::Failed(error)))
}

/// Claims the endpoints of the migrations with one epoch above every one that was seen, and returns it. A
/// refused claimant takes back what it claimed first: the first claim of a migration is removed, a later
/// one is left, for it only says what this state held already.
pub(super) fn claim(
    ground: &Ground,
    step: &Address,
    migrations: &[Address],
    adopt_from: Option<&str>,
) -> Result<u64, RunError> {
    claim_but(ground, step, migrations, adopt_from, None)
}

/// The same, but that nothing is asked of a side that is left because it does not answer (protocol P22): its marker
/// stays behind, so that it is known for what it is when it comes back.
pub(super) fn claim_but(
    ground: &Ground,
    step: &Address,
    migrations: &[Address],
    adopt_from: Option<&str>,
    left: Option<Side>,
) -> Result<u64, RunError> {
    let io = Io::new(ground, step);
    let mut group: Vec<(Address, MigrationState)> = Vec::new();
    let mut epoch = 0;
    for migration in migrations {
        let before = known(ground, migration)?;
        epoch = epoch.max(before.epoch);
        for (_, block) in endpoints(&before).into_iter().filter(|(side, _)| Some(*side) != left) {
            let endpoint = ground.registry.endpoint(&block).map_err(|e| RunError::step(step, e))?;
            let found = endpoint.marker(&block, &io).map_err(|e| RunError::marker(&block.address, e))?;
            epoch = epoch.max(found.map_or(0, |marker| marker.epoch));
        }
        group.push((migration.clone(), before));
    }
    epoch += 1;
    for migration in migrations {
        ground.record(Event::ClaimBegan { migration: migration.clone(), epoch })?;
    }
    let mut places: Vec<(&Identity, BlockRef, Marker, bool)> = Vec::new();
    for (migration, before) in &group {
        let live = ground.recorder.look(|s| s.live_of(migration));
        let marker = marker_of(ground, before, epoch, live, false);
        let record = &before.record;
        let sides = [
            (Side::Source, &record.source_identity, &record.source),
            (Side::Target, &record.target_identity, &record.target),
        ];
        for (_, identity, block) in sides.into_iter().filter(|(side, ..)| Some(*side) != left) {
            places.push((identity, block.clone(), marker.clone(), before.marker.is_none()));
        }
    }
    places.sort_by(|a, b| a.0.cmp(b.0));
    let mut made: Vec<BlockRef> = Vec::new();
    for (_, block, marker, first) in places {
        if let Err(error) = write(ground, step, &block, &marker, adopt_from, Until::Stopped) {
            for block in made {
                let endpoint = ground.registry.endpoint(&block).map_err(|e| RunError::step(step, e))?;
                let removed = endpoint.remove_marker(&block, &ground.who.state_id, &io);
                removed.map_err(|e| RunError::marker(&block.address, e))?;
            }
            return Err(error);
        }
        if first {
            made.push(block);
        }
    }
    for (migration, before) in &group {
        let live = ground.recorder.look(|s| s.live_of(migration));
        let marker = marker_of(ground, before, epoch, live, false);
        ground.record(Event::ClaimMade { migration: migration.clone(), marker })?;
    }
    Ok(epoch)
}

/// Raises `live` at both endpoints, the old side first, so that from the first write on the new side nobody opens
/// the old one by its marker.
pub(super) fn raise(
    ground: &Ground,
    step: &Address,
    migration: &Address,
    epoch: u64,
    live: Side,
    left: Option<Side>,
) -> Result<(), RunError> {
    let before = known(ground, migration)?;
    let marker = marker_of(ground, &before, epoch, live, true);
    let mut sides = endpoints(&before);
    sides.retain(|(side, _)| Some(*side) != left);
    sides.sort_by_key(|(side, _)| *side == live);
    for (_, block) in sides {
        write(ground, step, &block, &marker, None, Until::Never)?;
    }
    ground.record_settling(Event::ClaimMade { migration: migration.clone(), marker })
}

/// Says at both endpoints again that `live` serves, after an attempt whose COMMITTED is taken back: with an epoch
/// above the attempt's, the side that was to serve first.
pub(super) fn raise_back(
    ground: &Ground,
    step: &Address,
    migrations: &[Address],
    epoch: u64,
    live: Side,
) -> Result<(), RunError> {
    for migration in migrations {
        ground.record_settling(Event::ClaimBegan { migration: migration.clone(), epoch: epoch + 1 })?;
    }
    for migration in migrations {
        raise(ground, step, migration, epoch + 1, live, None)?;
    }
    Ok(())
}

/// The marker at one side of a migration.
pub(super) fn read(ground: &Ground, step: &Address, block: &BlockRef) -> Result<Option<Marker>, RunError> {
    let io = Io::new(ground, step).until(Until::Never);
    let endpoint = ground.registry.endpoint(block).map_err(|e| RunError::step(step, e))?;
    endpoint.marker(block, &io).map_err(|e| RunError::marker(&block.address, e))
}

/// Removes the markers of a migration.
pub(super) fn release(ground: &Ground, step: &Address, migration: &Address) -> Result<(), RunError> {
    let io = Io::new(ground, step).until(Until::Never);
    for (_, block) in endpoints(&known(ground, migration)?) {
        let endpoint = ground.registry.endpoint(&block).map_err(|e| RunError::step(step, e))?;
        // From here on a marker that is gone is no sign of another system.
        let id = format!("{migration}/marker/{}", block.address);
        ground.record(Event::ResourceReleasing { id, by: step.to_string() })?;
        let remove = || endpoint.remove_marker(&block, &ground.who.state_id, &io);
        match again(ground, step, &io, remove) {
            Ok(()) | Err(MarkerError::Refused(_)) => {}
            Err(error) => return Err(RunError::marker(&block.address, error)),
        }
    }
    ground.record(Event::ClaimReleased { migration: migration.clone() })
}

/// Takes back what the stage of a rehearsal claimed: the scratch target's marker goes, and the source's is that of the
/// migration that was rehearsed again, or goes too where that had none.
pub(super) fn give_back(
    ground: &Ground,
    step: &Address,
    staged: &MigrationState,
    real: &Address,
) -> Result<(), RunError> {
    if staged.epoch == 0 {
        return Ok(());
    }
    let io = Io::new(ground, step).until(Until::Never);
    let record = &staged.record;
    let before = ground.recorder.look(|s| s.migrations.get(real).and_then(|m| m.marker.clone()));
    let mut places = vec![&record.target];
    match before {
        Some(marker) => {
            let marker = Marker { epoch: marker.epoch.max(staged.epoch), ..marker };
            write(ground, step, &record.source, &marker, None, Until::Never)?;
            ground.record(Event::ClaimMade { migration: real.clone(), marker })?;
        }
        None => places.push(&record.source),
    }
    for block in places {
        let endpoint = ground.registry.endpoint(block).map_err(|e| RunError::step(step, e))?;
        match again(ground, step, &io, || endpoint.remove_marker(block, &ground.who.state_id, &io)) {
            Ok(()) | Err(MarkerError::Refused(_)) => {}
            Err(error) => return Err(RunError::marker(&block.address, error)),
        }
    }
    Ok(())
}

/// Why nothing may be opened or closed from this state directory (protocol P18, P19).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimProblem {
    /// Another state holds an endpoint.
    #[error("{endpoint} is held by {}@{} for {} (epoch {}), state directory {}", .marker.user, .marker.host, .marker.owner, .marker.epoch, .marker.state_dir)]
    Foreign {
        /// Where.
        endpoint: Address,
        /// What is there.
        marker: Box<Marker>,
    },
    /// The endpoint knows a later attempt than this journal: the journal is an old copy.
    #[error("{endpoint} carries epoch {} of this state, but the journal knows only {known}: this state directory is an old copy", .marker.epoch)]
    Ahead {
        /// Where.
        endpoint: Address,
        /// What is there.
        marker: Box<Marker>,
        /// What the journal knows.
        known: u64,
    },
    /// The endpoint's marker is raised, which happens after COMMITTED only, and the journal knows of no COMMITTED
    /// of that attempt: its end is lost, or it is an old copy (protocol P19).
    #[error("{endpoint} says that the {} serves since epoch {}, but the journal's attempt of that epoch is not committed: this state directory is an old copy", .marker.live, .marker.epoch)]
    Uncommitted {
        /// Where.
        endpoint: Address,
        /// What is there.
        marker: Box<Marker>,
    },
}

/// Looks at the markers of everything that the state holds. A marker that cannot be read is no problem
/// here: the step that needs it will say so.
pub fn check_claims(ground: &Ground, state: &State) -> Vec<ClaimProblem> {
    let io = Io::new(ground, &Address::new("state")).until(Until::Never);
    claim_problems(&ground.registry, &io, &ground.who.state_id, state)
}

/// The same for readers, who have no run.
pub fn claim_problems(
    registry: &Registry,
    io: &dyn StepIo,
    state_id: &str,
    state: &State,
) -> Vec<ClaimProblem> {
    let mut problems = Vec::new();
    for (address, migration) in &state.migrations {
        if migration.marker.is_none() {
            continue;
        }
        for (_, block) in endpoints(migration) {
            let found = registry.endpoint(&block).map(|endpoint| endpoint.marker(&block, io));
            let Ok(Ok(Some(marker))) = found else {
                continue;
            };
            let endpoint = block.address.clone();
            if marker.state_id != state_id {
                problems.push(ClaimProblem::Foreign { endpoint, marker: Box::new(marker) });
            } else if marker.epoch > migration.epoch {
                problems.push(ClaimProblem::Ahead {
                    endpoint,
                    marker: Box::new(marker),
                    known: migration.epoch,
                });
            } else if marker.raised && uncommitted(state, address, &marker) {
                problems.push(ClaimProblem::Uncommitted { endpoint, marker: Box::new(marker) });
            }
        }
    }
    problems
}

/// Whether the state knows no COMMITTED that explains a raised marker: its attempt is in flight before that, or
/// nothing is in flight and another side serves. An attempt whose COMMITTED is being taken back has raised markers,
/// and rightly so.
fn uncommitted(state: &State, migration: &Address, marker: &Marker) -> bool {
    let Some(cutover) = state.cutover_of(migration) else { return false };
    if cutover.left.as_ref().is_some_and(|left| marker.epoch < left.epoch && marker.live == left.side) {
        // What was left without being read came back as it was.
        return false;
    }
    match settle(cutover.phase) {
        Settle::Nothing => cutover.live != marker.live,
        Settle::Complete => false,
        Settle::Abort => {
            cutover.attempt.as_ref().is_some_and(|attempt| attempt.epoch == marker.epoch)
                && !cutover.aborting.as_ref().is_some_and(|aborting| aborting.taken_back)
        }
    }
}
