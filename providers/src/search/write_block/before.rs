//! What was there before Segue's block, noted at the cluster from before the first change on (protocol P2).

use std::time::{Duration, Instant};

use segue_contract::{Finding, Severity, StepError, StepIo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::BLOCK;
use crate::search::cluster::{Ask, Cluster};
use crate::search::names::encoded;
use crate::search::notes::{Kind, Note, Notes, Wrote};
use crate::search::{indices, tasks, tune};

/// How often a note is tried that others keep overtaking.
const TRIES: u32 = 5;

/// Between two looks at a call to close that is still under way.
const LOOK: Duration = Duration::from_millis(20);
/// How long such a call is waited for. It waits itself for the writes on their way.
const CLOSING_MAX: Duration = Duration::from_secs(10);
/// The number of the write block in a cluster's state.
const NUMBER: &str = "8";

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

    /// What there is to be put back in the end, by what is there now and by what was noted. A block that came after Segue
    /// had opened is a late call's of Segue's own.
    fn since(self, noted: &Self) -> Self {
        if noted.uuid != self.uuid {
            return self;
        }
        let is_kept = !noted.opened || (self.is_closed() && !noted.is_closed());
        Self { opened: false, ..if is_kept { noted.clone() } else { self } }
    }

    /// Notes it, unless a quiesce that was not undone has noted what was there before that one.
    pub(super) fn keep(&self, cluster: &Cluster, name: &str) -> Result<(), StepError> {
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
                return Ok(());
            }
        }
        Err(overtaken(cluster, name))
    }
}

fn overtaken(cluster: &Cluster, name: &str) -> StepError {
    let place = Notes::place(Kind::Before, name);
    StepError::transient(format!("{}: {place} is being changed by others all the time", cluster.address))
}

/// Puts back what was there. An index that Segue did not close is looked at: it must be open. May be repeated.
pub(super) fn put_back(cluster: &Cluster, name: &str, io: &dyn StepIo) -> Result<(), StepError> {
    let has_api = cluster.about()?.has_block_api();
    if has_api {
        closing_ended(cluster, &|| io.cancelled())?;
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
    let back = json!({BLOCK: note.body.write});
    if now.write != note.body.write {
        tune::put(cluster, name, &back)?;
    }
    if has_api && !note.body.is_closed() && is_half_closed(cluster, name)? {
        // Only a call that goes to its end makes it a block that can be lifted.
        let ask = Ask::change("PUT", format!("/{}/_block/write", encoded(name)), None);
        cluster.acknowledged(&ask)?;
        tune::put(cluster, name, &back)?;
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

/// Returns when no call to close is under way at the cluster: one of a run that died would close again what is opened now.
fn closing_ended(cluster: &Cluster, cancelled: &dyn Fn() -> bool) -> Result<(), StepError> {
    let until = Instant::now() + CLOSING_MAX;
    while let [first, ..] = tasks::running(cluster, "indices%3Aadmin%2Fblock*")?.as_slice() {
        if cancelled() {
            return Err(StepError::cancelled());
        }
        if Instant::now() >= until {
            let id = tasks::id_of(first).unwrap_or_default();
            return Err(StepError::transient(format!(
                "{}: a call to close an index to writes is still under way after {} s, task {id}",
                cluster.address,
                CLOSING_MAX.as_secs()
            ))
            .remedy(
                "it waits for the writes on their way: see `GET /_tasks?detailed`, and whether a node hangs",
            ));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Whether a call to close that did not go to its end has left a block that no setting shows.
fn is_half_closed(cluster: &Cluster, name: &str) -> Result<bool, StepError> {
    let ask = Ask::get(format!("/_cluster/state/blocks/{}", encoded(name)));
    Ok(match cluster.answer(&ask)? {
        Ok(state) => state["blocks"]["indices"][name][NUMBER].is_object(),
        // Who may not see it is told by the probe write.
        Err(_) => false,
    })
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
