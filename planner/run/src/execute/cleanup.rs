//! Temporary resources: recorded before they are made, and released between an intent and an outcome, so that a death
//! at any instant leaves none that nobody knows of. `segue cleanup` releases those that nobody needs any more.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use segue_contract::{Address, BlockRef, MarkerError, Side, StepError, StepIo, UnitJob, segue};
use segue_plan::event::{Event, Release, Resource};
use segue_plan::plan::StepKind;
use segue_plan::state::ResourceState;

use super::io::{Io, Until};
use super::retry::retry;
use super::{Ground, RunError, rehearse};
use crate::lease::LeaseFile;

/// How long releasing one resource is tried again, in seconds: a person waits for it.
const RELEASE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// What came of releasing one resource.
#[derive(Debug)]
pub struct Released {
    /// Its name.
    pub id: String,
    /// What was done; or why it is still there.
    pub outcome: Result<String, RunError>,
}

impl Ground {
    /// Records a temporary resource. It may be made when this returns: whatever happens then, it is known. Recorded
    /// again under the same name it replaces what is known of it (a job that has a ledger now).
    ///
    /// # Errors
    /// The record is not durable: do not make it.
    pub fn make_resource(&self, resource: Resource) -> Result<(), RunError> {
        self.record(Event::ResourceMade { resource: Box::new(resource) })
    }

    /// Releases a resource that its owner needs no more, between an intent and an outcome. One that is not known is
    /// released already. Says what was done.
    ///
    /// # Errors
    /// It could not be released, or not as a whole: it stays known, and `segue cleanup` tries again.
    pub fn release_resource(&self, id: &str) -> Result<String, RunError> {
        let Some(known) = self.recorder.look(|s| s.resources.get(id).cloned()) else {
            return Ok("was released before".to_owned());
        };
        let by = format!("{}@{}", self.who.user, self.who.host);
        self.record(Event::ResourceReleasing { id: id.to_owned(), by })?;
        let step = known.resource.owner.step(StepKind::Release.as_str());
        let said = release(self, &step, &known).map_err(|e| RunError::step(&step, e))?;
        self.record(Event::ResourceReleased { id: id.to_owned(), said: said.clone() })?;
        Ok(said)
    }
}

/// Releases everything that nobody needs any more, in release order. One that fails stops those of the same owner that
/// come after it.
pub fn clean_up(ground: &Ground) -> Vec<Released> {
    let now_ms = ground.clock.wall_ms();
    let left_over: Vec<ResourceState> = ground.recorder.look(|state| {
        let all = state.resources_in_order().into_iter();
        all.filter(|r| state.standing(r, now_ms, false).is_left_over()).cloned().collect()
    });
    let mut stuck: BTreeSet<Address> = BTreeSet::new();
    let mut released = Vec::new();
    for known in left_over {
        let Resource { id, owner, .. } = known.resource;
        if stuck.contains(&owner) {
            continue;
        }
        if ground.control.stopping() {
            released.push(Released { id, outcome: Err(RunError::Interrupted) });
            break;
        }
        // What a rehearsal made goes as a whole.
        let rehearsed = ground.recorder.look(|s| s.rehearsal_on(&owner).cloned());
        let outcome = match rehearsed {
            Some(cutover) => {
                rehearse::release(ground, &cutover).map(|()| "removed, with the rehearsal".to_owned())
            }
            None => ground.release_resource(&id),
        };
        if outcome.is_err() {
            stuck.insert(owner);
        }
        released.push(Released { id, outcome });
    }
    released
}

fn release(ground: &Ground, step: &Address, known: &ResourceState) -> Result<String, StepError> {
    let io = Io::new(ground, step).until(Until::Stopped);
    let again = |work: &dyn Fn() -> Result<String, StepError>| {
        retry(ground, step, RELEASE_DEADLINE, || io.cancelled(), work)
    };
    match &known.resource.release {
        Release::Open(call) => {
            let quiesce = ground.registry.quiesce(&call.block)?;
            again(&|| quiesce.open(call, &io).map(|()| format!("the {} was opened", call.side)))
        }
        Release::Lease { cutover, epoch } => {
            LeaseFile::of(&ground.who.state_dir, cutover, *epoch).remove();
            Ok("removed".to_owned())
        }
        Release::Unfinished(job) => {
            let engine = ground.registry.engine(&job.source, &job.target)?;
            again(&|| engine.tidy(job, &io).map(|n| format!("{n} half-written files removed")))
        }
        Release::Target { jobs, made_root } => {
            let state = ground.recorder.look(|s| s.migrations.get(&known.resource.owner).cloned());
            let jobs: Vec<UnitJob> = jobs
                .iter()
                .map(|job| {
                    let unit = state.as_ref().and_then(|m| m.units.get(&job.unit));
                    let ledger = unit.and_then(|u| u.ledger.clone()).or_else(|| job.ledger.clone());
                    UnitJob { ledger, direction: segue_contract::Direction::Forward, ..job.clone() }
                })
                .collect();
            again(&|| target(ground, &jobs, *made_root, &io))
        }
        Release::Marker(block) => again(&|| marker(ground, block, &io)),
        Release::Artifact(name) => artifact(&ground.artifacts, name),
        Release::ByHand(what) => {
            Err(StepError::permanent(format!("{} is released by hand", known.resource.id))
                .remedy(what.clone()))
        }
    }
}

/// Removes this state's marker; another's is left, for the endpoint is another's by now.
fn marker(ground: &Ground, block: &BlockRef, io: &dyn StepIo) -> Result<String, StepError> {
    let endpoint = ground.registry.endpoint(block)?;
    if !endpoint.observe(block, io)?.exists {
        return Ok("its endpoint is gone".to_owned());
    }
    match endpoint.remove_marker(block, &ground.who.state_id, io) {
        Ok(()) => Ok("removed".to_owned()),
        Err(MarkerError::Refused(other)) => Ok(format!("left: it is {}@{}'s by now", other.user, other.host)),
        Err(MarkerError::Failed(error)) => Err(error),
    }
}

/// Removes what Segue wrote at a target. One that another state holds, or that its marker says serves, is not touched.
fn target(ground: &Ground, jobs: &[UnitJob], made_root: bool, io: &dyn StepIo) -> Result<String, StepError> {
    let Some(block) = jobs.first().map(|job| &job.target) else {
        return Err(StepError::permanent("what was written there is not known")
            .remedy(format!("look at it, remove it by hand, then `{}`", segue(&["state", "rm"]))));
    };
    let endpoint = ground.registry.endpoint(block)?;
    if !endpoint.observe(block, io)?.exists {
        return Ok("it is gone".to_owned());
    }
    let plain = |error: MarkerError| match error {
        MarkerError::Failed(error) => error,
        MarkerError::Refused(_) => StepError::permanent(error.to_string()),
    };
    let refuse = |why: String| {
        StepError::permanent(format!("{}: {why}", block.address))
            .remedy("look at it: nothing there was touched")
    };
    match endpoint.marker(block, io).map_err(plain)? {
        Some(other) if other.state_id != ground.who.state_id => {
            return Err(refuse(format!("it is held by {}@{} by now", other.user, other.host)));
        }
        Some(own) if own.raised && own.live == Side::Target => {
            return Err(refuse("its marker says that it serves".to_owned()));
        }
        Some(_) | None => {}
    }
    endpoint.remove_marker(block, &ground.who.state_id, io).map_err(plain)?;
    for job in jobs {
        ground.registry.engine(&job.source, &job.target)?.release(job, made_root, io)?;
    }
    let still_there = made_root && endpoint.observe(block, io)?.exists;
    Ok(match (made_root, still_there) {
        (true, false) => "removed, with what Segue wrote there".to_owned(),
        (true, true) => {
            "what Segue wrote there was removed; it stays, for something else is in it".to_owned()
        }
        (false, _) => "what Segue wrote there was removed".to_owned(),
    })
}

fn artifact(artifacts: &Path, name: &str) -> Result<String, StepError> {
    let below = Path::new(name);
    if !below.components().all(|c| matches!(c, Component::Normal(_))) || name.is_empty() {
        return Err(StepError::permanent(format!("{name:?} is no name of an artifact")));
    }
    let path = artifacts.join(below);
    let removed = match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path),
        Ok(_) => std::fs::remove_file(&path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok("it is gone".to_owned()),
        Err(error) => Err(error),
    };
    removed.map_err(|e| segue_contract::paths::PathError::new("remove", &path, e))?;
    Ok("removed".to_owned())
}
