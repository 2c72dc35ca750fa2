//! What was there before Segue's block, noted at the cluster from before the first change on (protocol P2).

use std::time::Duration;

use segue_contract::{Finding, Severity, StepError, StepIo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::BLOCK;
use crate::search::cluster::Cluster;
use crate::search::notes::{Kind, Note, Notes, Wrote};
use crate::search::{indices, tasks, tune};

/// How often a note is tried that others keep overtaking.
const TRIES: u32 = 5;

/// How long a call to close that is under way is waited for. It waits itself for the writes on their way.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// An index before Segue's quiesce.
///
/// It stays after the opening: a call to close of a run that died may still be on its way to the server, and its block is
/// told from anybody's else by this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The index's id: one that was made anew is another index.
    uuid: String,
    /// The setting's value; null where there was none.
    write: Value,
    /// Whether it was put back since.
    #[serde(default)]
    opened: bool,
}

impl Before {
    pub(super) fn of(settings: &Map<String, Value>) -> Self {
        let text = |name: &str| settings.get(name).cloned().unwrap_or(Value::Null);
        let uuid = text("index.uuid").as_str().unwrap_or_default().to_owned();
        Self { uuid, write: text(BLOCK), opened: false }
    }

    fn is_closed(&self) -> bool {
        self.write == json!("true") || self.write == json!(true)
    }

    /// Whether it was closed after Segue had opened it: a late call of Segue's own, as far as can be told.
    fn is_late_after(&self, noted: &Self) -> bool {
        noted.uuid == self.uuid && noted.opened && self.is_closed() && !noted.is_closed()
    }

    /// What there is to be put back in the end, by what is there now and by what was noted.
    fn since(self, noted: &Self) -> Self {
        if noted.uuid != self.uuid {
            return self;
        }
        let is_kept = !noted.opened || self.is_late_after(noted);
        Self { opened: false, ..if is_kept { noted.clone() } else { self } }
    }

    /// Notes it, unless a quiesce that was not undone has noted what was there before that one.
    pub(super) fn keep(&self, cluster: &Cluster, name: &str, io: &dyn StepIo) -> Result<(), StepError> {
        let notes = Notes::new(cluster, Kind::Before);
        for _ in 0..TRIES {
            let there: Option<Note<Self>> = notes.read(name)?;
            let wrote = match &there {
                None => notes.create(name, self)?,
                Some(note) => match self.clone().since(&note.body) {
                    same if same == note.body => Wrote::Done,
                    other => notes.replace(name, &other, note)?,
                },
            };
            if wrote == Wrote::Done {
                if there.is_some_and(|note| self.is_late_after(&note.body)) {
                    io.find(late(cluster, name));
                }
                return Ok(());
            }
        }
        Err(overtaken(cluster, name))
    }
}

/// Somebody who closed the index by himself learns that it is opened.
fn late(cluster: &Cluster, name: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "SEARCH_CLOSED_LATE".to_owned(),
        summary: format!("{}: index {name:?} was closed to writes after segue had opened it", cluster.address),
        remedy: "It is taken for a call of a run that died, which arrived late, and is opened with the others. If somebody closed it on purpose, close it again then.".to_owned(),
    }
}

fn overtaken(cluster: &Cluster, name: &str) -> StepError {
    let place = Notes::place(Kind::Before, name);
    StepError::transient(format!("{}: {place} is being changed by others all the time", cluster.address))
}

/// Puts back what was there. An index that Segue did not close is looked at: it must be open. May be repeated.
pub(super) fn put_back(cluster: &Cluster, name: &str, io: &dyn StepIo) -> Result<(), StepError> {
    if cluster.about()?.has_block_api() {
        tasks::closings_ended(cluster, CLOSING_MAX, &|| io.cancelled())?;
    }
    let settings = indices::settings_if_there(cluster, name)?;
    if settings.is_empty() {
        return Err(indices::absent(cluster, name));
    }
    let now = Before::of(&settings);
    let notes = Notes::new(cluster, Kind::Before);
    let there: Option<Note<Before>> = notes.read(name)?;
    // One that was closed before Segue, and is again, is somebody else's from then on.
    let is_ours = |note: &Before| note.uuid == now.uuid && !(note.opened && note.is_closed());
    let Some(note) = there.filter(|note| is_ours(&note.body)) else {
        if now.is_closed() {
            return Err(StepError::permanent(format!(
                "{}: index {name:?} is closed to writes, and segue did not close it",
                cluster.address
            ))
            .remedy(format!("see why, then lift it: PUT /{name}/_settings {{\"{BLOCK}\": null}}")));
        }
        return Ok(());
    };
    if now.is_late_after(&note.body) {
        io.find(late(cluster, name));
    }
    if now.write != note.body.write {
        tune::put(cluster, name, &json!({BLOCK: note.body.write}))?;
    }
    if note.body.is_closed() {
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
    if note.body.opened {
        return Ok(());
    }
    // Overtaken by another settler: it put the same back.
    notes.replace(name, &Before { opened: true, ..note.body.clone() }, &note).map(drop)
}

/// Forgets what was put back of indices that Segue has no more to do with.
pub(in crate::search) fn forget(cluster: &Cluster, names: &[String]) -> Result<(), StepError> {
    let notes = Notes::new(cluster, Kind::Before);
    for name in names {
        let there: Option<Note<Before>> = notes.read(name)?;
        if let Some(note) = there.filter(|note| note.body.opened) {
            // Overtaken: whoever closes just now needs it.
            notes.remove(name, &note)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(uuid: &str, write: Value, opened: bool) -> Before {
        Before { uuid: uuid.to_owned(), write, opened }
    }

    #[test]
    fn what_is_put_back_is_what_was_there_before_the_first_close() {
        let (open, closed) = (json!(null), json!("true"));
        let now = |write: &Value| before("u", write.clone(), false);
        let since = |there: &Value, noted: Before| now(there).since(&noted);
        // A quiesce that was not undone.
        assert_eq!(since(&closed, before("u", open.clone(), false)), now(&open));
        assert_eq!(since(&open, before("u", closed.clone(), false)), now(&closed));
        // A late call, after the opening.
        assert_eq!(since(&closed, before("u", open.clone(), true)), now(&open));
        // What others did after the opening.
        assert_eq!(since(&open, before("u", closed.clone(), true)), now(&open));
        assert_eq!(since(&json!("false"), before("u", open.clone(), true)), now(&json!("false")));
        // Another index.
        assert_eq!(since(&closed, before("v", open, true)), now(&closed));
    }
}
