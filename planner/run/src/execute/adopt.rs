//! Adopting: taking over endpoints whose markers are another state's, or another place's, once that
//! holder is proven dead (protocol P18).

use std::path::{Path, PathBuf};

use segue_contract::{Address, Marker, StepError, segue};
use segue_language::Desired;
use segue_plan::event::{Event, StateBinding};
use segue_plan::observe::Observed;
use segue_plan::plan::Plan;

use super::dispatch::declare;
use super::{Ground, RunError, claims};
use crate::directory::StateDirectory;

/// Takes over every endpoint of the spec that another state holds, and binds a copied state directory to
/// its place. Returns what was taken over, a sentence each.
///
/// # Errors
/// A holder that may still act: its state directory is there, or it is another machine's.
pub fn adopt(
    ground: &Ground,
    directory: &StateDirectory,
    copied: bool,
    desired: &Desired,
    plan: &Plan,
    observed: &Observed,
) -> Result<Vec<String>, RunError> {
    let mut said = Vec::new();
    let of_each = observed.migrations.iter();
    let markers: Vec<(&Address, &Address, &Marker)> =
        of_each.flat_map(|(m, seen)| seen.markers.iter().map(move |(at, marker)| (at, m, marker))).collect();
    for (endpoint, _, marker) in &markers {
        if marker.state_id != ground.who.state_id || copied {
            prove_dead(ground, endpoint, marker, directory)?;
        }
    }
    if copied {
        let identity =
            directory.settle_here().map_err(|e| RunError::Setup(StepError::permanent(e.to_string())))?;
        let binding = StateBinding {
            state_id: identity.state_id,
            machine_id: identity.place.machine_id.unwrap_or_default(),
            directory_inode: identity.place.inode,
        };
        ground.record(Event::StateBound(binding))?;
        said.push(format!("{} is the state's place from now on", directory.root().display()));
    }
    declare(ground, desired, plan, observed)?;
    let mut done: Vec<&Address> = Vec::new();
    for (endpoint, migration, marker) in markers {
        if done.contains(&migration) || (marker.state_id == ground.who.state_id && !copied) {
            continue;
        }
        let step = migration.step("protect");
        claims::claim(ground, &step, std::slice::from_ref(migration), Some(&marker.state_id))?;
        said.push(format!(
            "{endpoint} was held by {}@{} from {}, and is this state's now",
            marker.user, marker.host, marker.state_dir
        ));
        done.push(migration);
    }
    Ok(said)
}

/// A holder is dead when its state directory, on this machine, is gone or became another state's.
fn prove_dead(
    ground: &Ground,
    endpoint: &Address,
    marker: &Marker,
    own: &StateDirectory,
) -> Result<(), RunError> {
    let refuse = |why: String, remedy: &str| {
        let what = format!(
            "{endpoint} is held by {}@{} from {} (epoch {}), {why}",
            marker.user, marker.host, marker.state_dir, marker.epoch
        );
        Err(RunError::Setup(StepError::permanent(what).remedy(remedy)))
    };
    if marker.machine_id != ground.who.machine_id {
        return refuse(
            "which is another machine: that it is dead cannot be proven from here".to_owned(),
            &format!(
                "release it there: finish or abandon the cutover, or run `{}` on that machine",
                segue(&["adopt"])
            ),
        );
    }
    let place = PathBuf::from(&marker.state_dir);
    if same_directory(&place, own.root()) {
        return Ok(());
    }
    match StateDirectory::open(&place) {
        Ok(Some((_, found))) if found.identity.state_id == marker.state_id && found.copied_to.is_none() => {
            refuse(
                "and that state directory is still there".to_owned(),
                "work from that directory, or remove it when it is of no use any more",
            )
        }
        Ok(_) => Ok(()),
        Err(error) => refuse(format!("and that state directory cannot be read: {error}"), "make it readable"),
    }
}

fn same_directory(a: &Path, b: &Path) -> bool {
    match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
