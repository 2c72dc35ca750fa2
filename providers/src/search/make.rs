//! Making at the target what a unit needs: its index from the source's, and what is around it.
//!
//! That Segue made an index is noted at the target before it is made, so that a death between leaves nothing that nobody
//! knows of; an index that was there before is filled as it is, and never taken away. Everything may be repeated.

mod around;
mod templates;

use std::collections::BTreeMap;

use segue_contract::{Finding, StepError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use around::{Around, Surroundings, make_aliases, make_around};

use super::carry::settings::{REFRESH, REPLICAS, ROUTING_SHARDS};
use super::carry::{self, Said};
use super::cluster::{Ask, Cluster, Effect};
use super::indices::{self, Index};
use super::names::encoded;
use super::notes::{Kind, Note, Notes, Wrote};
use super::{dry, tune};

/// How many copies an index has by itself, which goes with [`REPLICAS`].
const EXPANDS: &str = "index.auto_expand_replicas";
/// How many settings that the server does not know are taken out of one index.
const DROPPED_MAX: usize = 20;

/// That Segue made an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeNote {
    /// The index's id; `None`: it was about to be made.
    pub(crate) uuid: Option<String>,
    /// The index at the source that it was made from, for people.
    pub(crate) from: String,
}

/// An index at the target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    /// Whether Segue made it, now or before; otherwise it was there.
    pub(crate) by_segue: bool,
    /// Settings that are to be put back after the load ([`loaded`]), with their values; noted at the target, too.
    pub(crate) put_back: BTreeMap<String, Value>,
    /// What was found on the way.
    pub(crate) findings: Vec<Finding>,
}

/// Makes the index `name` from the source's, for a load: without replicas and refreshes when `load` says so.
///
/// # Errors
/// The target refuses it.
pub(crate) fn make_index(
    from: &Cluster,
    index: &Index,
    to: &Cluster,
    name: &str,
    load: bool,
) -> Result<Made, StepError> {
    let notes = Notes::new(to, Kind::Made);
    let note: Option<Note<MadeNote>> = notes.read(name)?;
    let there = indices::named(to, &[name.to_owned()])?.remove(name);
    let known = note.as_ref().and_then(|n| n.body.uuid.clone());
    match (&note, known, &there) {
        (Some(_), Some(uuid), Some(there)) if there.uuid == uuid => {
            let put_back = tune::noted(to, name, &BTreeMap::new())?;
            return Ok(Made { by_segue: true, put_back, findings: Vec::new() });
        }
        // Somebody's own; where segue's was deleted and another one made, it is that one.
        (None, _, Some(_)) | (Some(_), Some(_), Some(_)) => {
            if let Some(note) = &note {
                notes.remove(name, note)?;
            }
            return Ok(Made { by_segue: false, put_back: BTreeMap::new(), findings: Vec::new() });
        }
        (None, None, None) => {
            // Of two that make it the other one's note is as good.
            notes.create(name, &MadeNote { uuid: None, from: index.name.clone() })?;
        }
        // Deleted since; the engine knows by the index's id that what it carried is gone.
        (Some(note), Some(_), None) => {
            notes.replace(name, &MadeNote { uuid: None, from: index.name.clone() }, note)?;
        }
        // A death between note and index, or between index and its id.
        (_, None, _) | (None, Some(_), None) => {}
    }
    let mut wanted = wanted(from, index, to)?;
    let put_back = if load { for_load(&mut wanted.settings) } else { BTreeMap::new() };
    let put_back = if put_back.is_empty() { put_back } else { tune::noted(to, name, &put_back)? };
    let mut findings = std::mem::take(&mut wanted.findings);
    if there.is_none() {
        findings.extend(create(to, name, &mut wanted)?);
    }
    note_uuid(to, &notes, name)?;
    Ok(Made { by_segue: true, put_back, findings })
}

/// An index as it is to be made: translated, and with documents where they lie at the source.
pub(crate) fn wanted(from: &Cluster, index: &Index, to: &Cluster) -> Result<carry::Translated, StepError> {
    let mut wanted = carry::translated(index, from.about()?, to.about()?);
    if let Some(number) = indices::routing_shards(from, &index.name)? {
        wanted.settings.insert(ROUTING_SHARDS.to_owned(), Value::from(number.to_string()));
    }
    Ok(wanted)
}

/// Takes replicas and refreshes out, and returns what they are to be afterwards.
pub(crate) fn for_load(settings: &mut Map<String, Value>) -> BTreeMap<String, Value> {
    let mut before = BTreeMap::new();
    let mut set = |name: &str, value: &str, default: Value| {
        let was = settings.insert(name.to_owned(), Value::from(value)).unwrap_or(default);
        before.insert(name.to_owned(), was);
    };
    set(REPLICAS, "0", Value::from("1"));
    set(REFRESH, "-1", Value::Null);
    if settings.contains_key(EXPANDS) {
        let was = settings.remove(EXPANDS).unwrap_or(Value::Null);
        before.insert(EXPANDS.to_owned(), was);
    }
    before
}

/// Creates the index; settings that the target does not know are left out and told.
fn create(to: &Cluster, name: &str, wanted: &mut carry::Translated) -> Result<Vec<Finding>, StepError> {
    let mut said = Said::new(name);
    let about = to.about()?;
    for _ in 0..=DROPPED_MAX {
        let ask = Ask::change("PUT", format!("/{}", encoded(name)), Some(&wanted.body(about)));
        let refusal = match to.answer(&ask)? {
            Ok(answer) => {
                to.is_acknowledged(&ask, &answer)?;
                return Ok(said.findings);
            }
            Err(refusal) if refusal.is("resource_already_exists_exception") => return Ok(said.findings),
            Err(refusal) => refusal,
        };
        let Some(setting) = dry::unknown_setting(&refusal, &wanted.settings) else {
            return Err(refusal.step(Effect::Write).remedy(
                "install at the target what it lacks, or make the index there by hand; then run again",
            ));
        };
        wanted.settings.remove(&setting);
        said.warning(
            "SEARCH_SETTING",
            format!("{setting} is not known to {about}, and is left out"),
            "See whether the target needs something in its place.",
        );
    }
    Err(StepError::permanent(format!(
        "{}: index {name:?} has too many settings that {about} does not know",
        to.address
    ))
    .remedy("make the index there by hand, then run again"))
}

/// Notes that Segue is about to make an index that is not there; repeated, nothing more.
///
/// # Errors
/// The index is there, and not Segue's.
pub(crate) fn note_begun(to: &Cluster, name: &str, from: &str) -> Result<(), StepError> {
    let notes = Notes::new(to, Kind::Made);
    let note = notes.read::<MadeNote>(name)?;
    let is_there = !indices::settings_if_there(to, name)?.is_empty();
    match note {
        // Being made by a run that died, or its own.
        Some(note) if note.body.uuid.is_none() || is_there => Ok(()),
        // Deleted since.
        Some(note) => notes.replace(name, &MadeNote { uuid: None, from: from.to_owned() }, &note).map(drop),
        None if is_there => Err(StepError::permanent(format!(
            "{}: index {name:?} is there already, and segue did not make it",
            to.address
        ))
        .remedy("delete it, or give the unit another name at the target with select { rename }")),
        None => notes.create(name, &MadeNote { uuid: None, from: from.to_owned() }).map(drop),
    }
}

/// Notes the id of an index that Segue made.
pub(crate) fn note_made(to: &Cluster, name: &str) -> Result<(), StepError> {
    note_uuid(to, &Notes::new(to, Kind::Made), name)
}

fn note_uuid(to: &Cluster, notes: &Notes<'_>, name: &str) -> Result<(), StepError> {
    let uuid =
        indices::settings_if_there(to, name)?.get("index.uuid").and_then(Value::as_str).map(str::to_owned);
    let Some(note) = notes.read::<MadeNote>(name)? else {
        return Err(StepError::transient(format!(
            "{}: the note that segue made {name:?} is gone",
            to.address
        )));
    };
    if note.body.uuid == uuid {
        return Ok(());
    }
    let whole = MadeNote { uuid, from: note.body.from.clone() };
    match notes.replace(name, &whole, &note)? {
        Wrote::Done => Ok(()),
        Wrote::Conflict => {
            Err(StepError::transient(format!("{}: another segue makes {name:?}, too", to.address)))
        }
    }
}

/// After the load: replicas and refreshes as they are to be.
pub(crate) fn loaded(to: &Cluster, name: &str) -> Result<(), StepError> {
    tune::put_back(to, name, &[EXPANDS, REPLICAS, REFRESH])
}

/// Takes away an index that Segue made, and nothing else. Returns whether it is gone now.
///
/// # Errors
/// It cannot be asked. One that somebody made anew under that name stays, without an error.
pub(crate) fn release_index(to: &Cluster, name: &str) -> Result<bool, StepError> {
    let notes = Notes::new(to, Kind::Made);
    let Some(note) = notes.read::<MadeNote>(name)? else {
        return Ok(false);
    };
    let settings = indices::settings_if_there(to, name)?;
    let uuid = settings.get("index.uuid").and_then(Value::as_str);
    // One whose id was never noted was being made when segue died.
    let ours = note.body.uuid.is_none() || note.body.uuid.as_deref() == uuid;
    if uuid.is_some() && ours {
        let ask = Ask::change("DELETE", format!("/{}", encoded(name)), None);
        match to.answer(&ask)? {
            Ok(answer) => to.is_acknowledged(&ask, &answer)?,
            Err(refusal) if refusal.is_absent() => {}
            Err(refusal) => return Err(refusal.step(Effect::Write)),
        }
    }
    tune::put_back(to, name, &[])?;
    notes.remove(name, &note)?;
    Ok(ours)
}
