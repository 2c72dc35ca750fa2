//! The markers of a cluster, one an index (protocol P18).

use std::collections::BTreeSet;

use segue_contract::{Claim, Marker, MarkerError, StepError};

use super::cluster::Cluster;
use super::notes::{Kind, Note, Notes, Wrote};

/// How often a claim is tried that others keep overtaking.
const TRIES: u32 = 5;

/// The names in order, each once: two claimants of several indices meet at the first one that both want.
pub(super) fn sorted(units: &[String]) -> BTreeSet<&String> {
    units.iter().collect()
}

/// The marker of a set of indices: the one with the highest epoch, which is the one that stands in the way.
pub(super) fn read(cluster: &Cluster, units: &[String]) -> Result<Option<Marker>, MarkerError> {
    let names: Vec<String> = sorted(units).into_iter().cloned().collect();
    let found: Vec<(String, Marker)> = Notes::new(cluster, Kind::Marker).read_all(&names)?;
    Ok(found.into_iter().map(|(_, marker)| marker).max_by_key(|marker| marker.epoch))
}

/// Writes a marker for each index, in order. A refused claim takes back what this call claimed first.
pub(super) fn write(cluster: &Cluster, units: &[String], claim: &Claim) -> Result<(), MarkerError> {
    let notes = Notes::new(cluster, Kind::Marker);
    let mut taken: Vec<(&String, Option<Marker>)> = Vec::new();
    for unit in sorted(units) {
        match write_one(&notes, unit, claim) {
            Ok(before) => taken.push((unit, before)),
            Err(refused @ MarkerError::Refused(_)) => {
                for (unit, before) in taken.into_iter().rev() {
                    give_back(&notes, unit, before, claim)?;
                }
                return Err(refused);
            }
            Err(failed @ MarkerError::Failed(_)) => return Err(failed),
        }
    }
    Ok(())
}

/// Claims one index. Returns what was there.
fn write_one(notes: &Notes<'_>, unit: &str, claim: &Claim) -> Result<Option<Marker>, MarkerError> {
    for _ in 0..TRIES {
        let there: Option<Note<Marker>> = notes.read(unit)?;
        let wrote = match &there {
            None => notes.create(unit, &claim.marker)?,
            Some(note) => {
                allowed(&note.body, claim)?;
                if note.body == claim.marker {
                    return Ok(there.map(|n| n.body));
                }
                notes.replace(unit, &claim.marker, note)?
            }
        };
        if wrote == Wrote::Done {
            return Ok(there.map(|n| n.body));
        }
    }
    Err(overtaken(unit).into())
}

fn overtaken(unit: &str) -> StepError {
    StepError::transient(format!(
        "{} is being changed by others all the time",
        Notes::place(Kind::Marker, unit)
    ))
    .remedy("see which other segue works on that index")
}

fn allowed(there: &Marker, claim: &Claim) -> Result<(), MarkerError> {
    let ours = there.state_id == claim.marker.state_id || claim.adopt_from.as_ref() == Some(&there.state_id);
    if ours && there.epoch <= claim.marker.epoch {
        return Ok(());
    }
    Err(MarkerError::Refused(Box::new(there.clone())))
}

/// Undoes a claim of this call: one where there was none goes, one taken over from another state becomes that state's
/// again. One of this state's own stays: it only says what this state held already.
fn give_back(
    notes: &Notes<'_>,
    unit: &str,
    before: Option<Marker>,
    claim: &Claim,
) -> Result<(), MarkerError> {
    let there: Option<Note<Marker>> = notes.read(unit)?;
    let Some(note) = there.filter(|note| note.body == claim.marker) else {
        return Ok(());
    };
    match before {
        None => notes.remove(unit, &note)?,
        Some(other) if other.state_id != claim.marker.state_id => notes.replace(unit, &other, &note)?,
        Some(_) => Wrote::Done,
    };
    Ok(())
}

/// Takes the markers away that are this state's; absent is fine.
pub(super) fn remove(cluster: &Cluster, units: &[String], state_id: &str) -> Result<(), MarkerError> {
    let notes = Notes::new(cluster, Kind::Marker);
    for unit in sorted(units) {
        remove_one(&notes, unit, state_id)?;
    }
    Ok(())
}

fn remove_one(notes: &Notes<'_>, unit: &str, state_id: &str) -> Result<(), MarkerError> {
    for _ in 0..TRIES {
        let there: Option<Note<Marker>> = notes.read(unit)?;
        let Some(note) = there else {
            return Ok(());
        };
        if note.body.state_id != state_id {
            return Err(MarkerError::Refused(Box::new(note.body)));
        }
        if notes.remove(unit, &note)? == Wrote::Done {
            return Ok(());
        }
    }
    Err(overtaken(unit).into())
}
