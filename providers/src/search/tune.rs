//! Settings of an index that Segue changes for a while, and puts back as they were: what was there is noted at the cluster
//! before the first change, so that whoever comes after a death can put it back.

use std::collections::BTreeMap;

use segue_contract::StepError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cluster::{Ask, Cluster};
use super::indices;
use super::names::encoded;
use super::notes::{Kind, Note, Notes, Wrote};

/// How often a note is tried that others keep overtaking.
const TRIES: u32 = 5;

/// What is to be put back: by setting, its value; null where there was none.
pub(crate) type Before = BTreeMap<String, Value>;

/// The note of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tuned {
    before: Before,
}

fn damaged(index: &str) -> StepError {
    StepError::transient(format!(
        "{} is being changed by others all the time",
        Notes::place(Kind::Tuned, index)
    ))
    .remedy("see which other segue works on that index")
}

/// Notes what is to be put back, beside what was noted before: the first value of a setting is the one that was there
/// before Segue. Returns the whole.
pub(crate) fn noted(cluster: &Cluster, index: &str, before: &Before) -> Result<Before, StepError> {
    let notes = Notes::new(cluster, Kind::Tuned);
    for _ in 0..TRIES {
        let there: Option<Note<Tuned>> = notes.read(index)?;
        let mut all = before.clone();
        all.extend(there.iter().flat_map(|note| note.body.before.clone()));
        let wanted = Tuned { before: all };
        let wrote = match &there {
            Some(note) if note.body == wanted => Wrote::Done,
            Some(note) => notes.replace(index, &wanted, note)?,
            None => notes.create(index, &wanted)?,
        };
        if wrote == Wrote::Done {
            return Ok(wanted.before);
        }
    }
    Err(damaged(index))
}

/// Sets settings by flat name for a while. Returns what is to be put back in the end, which is noted at the cluster, too.
/// May be repeated.
pub(crate) fn tune(cluster: &Cluster, index: &str, wanted: &Map<String, Value>) -> Result<Before, StepError> {
    let now = indices::settings_of(cluster, &[index.to_owned()])?.remove(index).unwrap_or_default();
    let before: Before =
        wanted.keys().map(|name| (name.clone(), now.get(name).cloned().unwrap_or(Value::Null))).collect();
    let all = noted(cluster, index, &before)?;
    put(cluster, index, &Value::Object(wanted.clone()))?;
    Ok(all)
}

/// Puts settings back: those of `only`, or all where it is empty. What was put back is forgotten. May be repeated; an
/// index that is gone has nothing to be put back.
pub(crate) fn put_back(cluster: &Cluster, index: &str, only: &[&str]) -> Result<(), StepError> {
    let notes = Notes::new(cluster, Kind::Tuned);
    for _ in 0..TRIES {
        let Some(note) = notes.read::<Tuned>(index)? else {
            return Ok(());
        };
        let goes = |name: &String| only.is_empty() || only.contains(&name.as_str());
        let (back, stays): (Before, Before) =
            note.body.before.clone().into_iter().partition(|(name, _)| goes(name));
        if back.is_empty() {
            return Ok(());
        }
        if !indices::settings_if_there(cluster, index)?.is_empty() {
            put(cluster, index, &Value::Object(back.into_iter().collect()))?;
        }
        let wrote = if stays.is_empty() {
            notes.remove(index, &note)?
        } else {
            notes.replace(index, &Tuned { before: stays }, &note)?
        };
        if wrote == Wrote::Done {
            return Ok(());
        }
    }
    Err(damaged(index))
}

/// Sets settings of an index; acknowledged by every node when this returns.
pub(crate) fn put(cluster: &Cluster, index: &str, settings: &Value) -> Result<(), StepError> {
    let ask = Ask::change("PUT", format!("/{}/_settings", encoded(index)), Some(settings));
    cluster.acknowledged(&ask).map(drop)
}
