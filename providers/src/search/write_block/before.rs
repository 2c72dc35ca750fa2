//! What was there before Segue's block, noted at the cluster from before the first change on (protocol P2).

use segue_contract::{Finding, Severity, StepError, StepIo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::BLOCK;
use crate::search::cluster::Cluster;
use crate::search::notes::{Kind, Note, Notes, Wrote};
use crate::search::{indices, tune};

/// How often a note is tried that others keep overtaking.
const TRIES: u32 = 5;

/// An index before the quiesce under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The index's id: one that was made anew is another index.
    uuid: String,
    /// The setting's value; null where there was none.
    write: Value,
}

impl Before {
    pub(super) fn of(settings: &Map<String, Value>) -> Self {
        let text = |name: &str| settings.get(name).cloned().unwrap_or(Value::Null);
        Self { uuid: text("index.uuid").as_str().unwrap_or_default().to_owned(), write: text(BLOCK) }
    }

    /// Notes it, unless a quiesce that was not undone has noted what was there before that one.
    pub(super) fn keep(&self, cluster: &Cluster, name: &str) -> Result<(), StepError> {
        let notes = Notes::new(cluster, Kind::Before);
        for _ in 0..TRIES {
            let there: Option<Note<Self>> = notes.read(name)?;
            let wrote = match &there {
                Some(note) if note.body.uuid == self.uuid => Wrote::Done,
                Some(note) => notes.replace(name, self, note)?,
                None => notes.create(name, self)?,
            };
            if wrote == Wrote::Done {
                return Ok(());
            }
        }
        Err(StepError::transient(format!(
            "{}: {} is being changed by others all the time",
            cluster.address,
            Notes::place(Kind::Before, name)
        )))
    }
}

/// Puts back what was there, and forgets it. An index that Segue did not close is looked at: it must be open.
pub(super) fn put_back(cluster: &Cluster, name: &str, io: &dyn StepIo) -> Result<(), StepError> {
    let notes = Notes::new(cluster, Kind::Before);
    let settings = indices::settings_if_there(cluster, name)?;
    if settings.is_empty() {
        return Err(indices::absent(cluster, name));
    }
    let now = Before::of(&settings);
    let is_closed = |write: &Value| *write == json!("true") || *write == json!(true);
    let there: Option<Note<Before>> = notes.read(name)?;
    let Some(note) = there.filter(|note| note.body.uuid == now.uuid) else {
        if is_closed(&now.write) {
            return Err(StepError::permanent(format!(
                "{}: index {name:?} is closed to writes, and segue did not close it",
                cluster.address
            ))
            .remedy(format!("see why, then lift it: PUT /{name}/_settings {{\"{BLOCK}\": null}}")));
        }
        return Ok(());
    };
    if now.write != note.body.write {
        tune::put(cluster, name, &json!({BLOCK: note.body.write}))?;
    }
    if is_closed(&note.body.write) {
        io.find(Finding {
            severity: Severity::Warning,
            code: "SEARCH_BLOCKED".to_owned(),
            summary: format!(
                "{}: index {name:?} was closed to writes before segue, and is again",
                cluster.address
            ),
            remedy: format!("Lift it if that was a mistake: PUT /{name}/_settings {{\"{BLOCK}\": null}}"),
        });
    }
    // Forgotten by another settler meanwhile: it put the same back.
    notes.remove(name, &note).map(drop)
}
