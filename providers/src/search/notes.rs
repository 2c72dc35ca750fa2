//! What Segue notes at a cluster: small documents in an index of their own, each written only over the one that was
//! read, so that of two writers one is refused.
//!
//! The index is `.segue-markers`: hidden where the product can, one shard, a replica wherever there is a second node.
//! Documents are read by id, which is realtime, and a write waits until every copy is there to take it. The index itself
//! stays when its last document goes: it could only be taken away together with a marker that arrives just then.

use std::time::Duration;

use segue_contract::StepError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cluster::{Ask, Cluster, Effect};
use super::names::{NOTES, encoded};

/// The layout of [`Wire`].
const VERSION: u32 = 1;
/// How many documents are asked for at once.
const READ_MAX: usize = 500;
/// A new index starts in a fraction of a second; one that does not is told to the caller, who tries again.
const STARTING_TRIES: u32 = 100;
/// Between two tries.
const STARTING_WAIT: Duration = Duration::from_millis(50);

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Who may act on an index (protocol P18).
    Marker,
    /// The write block that was there before Segue's (protocol P2).
    Before,
    /// That Segue made an index.
    Made,
    /// Settings of an index that are to be put back.
    Tuned,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Marker => "marker",
            Self::Before => "before",
            Self::Made => "made",
            Self::Tuned => "tuned",
        }
    }
}

/// A note in the index.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    unit: String,
    note: Value,
}

/// A note as it was read: what it says, and where in its history it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note<T> {
    pub(crate) body: T,
    seq_no: u64,
    primary_term: u64,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// It is there, on every copy.
    Done,
    /// Somebody else was faster: read again.
    Conflict,
}

/// The notes of one kind at a cluster.
pub(crate) struct Notes<'a> {
    cluster: &'a Cluster,
    kind: Kind,
}

impl<'a> Notes<'a> {
    pub(crate) fn new(cluster: &'a Cluster, kind: Kind) -> Self {
        Self { cluster, kind }
    }

    /// Where the note of an index lies, for people.
    pub(crate) fn place(kind: Kind, unit: &str) -> String {
        format!("{NOTES}/_doc/{}", Self::id(kind, unit))
    }

    fn id(kind: Kind, unit: &str) -> String {
        format!("{}:{unit}", kind.as_str())
    }

    fn path(&self, unit: &str) -> String {
        format!("/{NOTES}/_doc/{}", encoded(&Self::id(self.kind, unit)))
    }

    /// The note of an index.
    pub(crate) fn read<T: DeserializeOwned>(&self, unit: &str) -> Result<Option<Note<T>>, StepError> {
        match self.started(&Ask::get(self.path(unit)))? {
            Some(found) => self.decode(unit, &found),
            None => Ok(None),
        }
    }

    /// Reads; where another claimant makes the index just now, a moment later again.
    fn started(&self, ask: &Ask) -> Result<Option<Value>, StepError> {
        let mut tries = STARTING_TRIES;
        loop {
            match self.cluster.answer(ask)? {
                Ok(value) => return Ok(Some(value)),
                Err(refusal) if refusal.is_absent() => return Ok(None),
                Err(refusal) if refusal.is("no_shard_available_action_exception") && tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(STARTING_WAIT);
                }
                Err(refusal) => return Err(refusal.step(Effect::Read)),
            }
        }
    }

    /// The notes of several indices, as far as there are any, in the order of the names.
    pub(crate) fn read_all<T: DeserializeOwned>(
        &self,
        units: &[String],
    ) -> Result<Vec<(String, T)>, StepError> {
        let mut found = Vec::new();
        for group in units.chunks(READ_MAX) {
            let ids: Vec<String> = group.iter().map(|unit| Self::id(self.kind, unit)).collect();
            // Elasticsearch 6 takes the type from the address.
            let ask = Ask::look(format!("/{NOTES}/_doc/_mget"), &json!({"ids": ids}));
            let ask = if self.cluster.about()?.has_types() {
                ask
            } else {
                Ask::look(format!("/{NOTES}/_mget"), &json!({"ids": ids}))
            };
            let Some(answer) = self.all_started(&ask)? else {
                return Ok(Vec::new());
            };
            let documents = answer["docs"].as_array().map_or(&[] as &[Value], Vec::as_slice);
            for (unit, document) in group.iter().zip(documents) {
                if document["error"].is_object() && document["error"]["type"] != "index_not_found_exception" {
                    let (kind, reason) = super::refusal::said(&document["error"]);
                    return Err(StepError::transient(format!(
                        "{}: cannot read {}: {kind}: {reason}",
                        self.cluster.address,
                        Self::place(self.kind, unit)
                    )));
                }
                if let Some(note) = self.decode(unit, document)? {
                    found.push((unit.clone(), note.body));
                }
            }
        }
        Ok(found)
    }

    /// The same for several at once, of which each has an error of its own.
    fn all_started(&self, ask: &Ask) -> Result<Option<Value>, StepError> {
        let mut tries = STARTING_TRIES;
        loop {
            let answer = self.cluster.maybe(ask)?;
            let documents = answer.as_ref().and_then(|a| a["docs"].as_array()).into_iter().flatten();
            let mut kinds = documents.filter_map(|document| document["error"]["type"].as_str());
            if tries == 0 || !kinds.any(|kind| kind == "no_shard_available_action_exception") {
                return Ok(answer);
            }
            tries -= 1;
            std::thread::sleep(STARTING_WAIT);
        }
    }

    fn decode<T: DeserializeOwned>(
        &self,
        unit: &str,
        document: &Value,
    ) -> Result<Option<Note<T>>, StepError> {
        if document["found"] != Value::Bool(true) {
            return Ok(None);
        }
        let place = Self::place(self.kind, unit);
        let damaged = |what: &str| {
            StepError::permanent(format!("{}: {place} {what}", self.cluster.address)).remedy(format!(
                "look at it (`GET /{place}`). If no other segue works on {unit:?}, delete that document and run again"
            ))
        };
        let wire: Wire = serde_json::from_value(document["_source"].clone())
            .map_err(|e| damaged("is damaged").because(e))?;
        if wire.version > VERSION {
            return Err(StepError::permanent(format!(
                "{}: {place} was written by a later version of segue (layout {})",
                self.cluster.address, wire.version
            ))
            .remedy("run the version that wrote it"));
        }
        let (Some(seq_no), Some(primary_term)) =
            (document["_seq_no"].as_u64(), document["_primary_term"].as_u64())
        else {
            return Err(damaged("came without its sequence number"));
        };
        let body = serde_json::from_value(wire.note).map_err(|e| damaged("is damaged").because(e))?;
        Ok(Some(Note { body, seq_no, primary_term }))
    }

    /// Writes a note where there is none.
    pub(crate) fn create<T: Serialize>(&self, unit: &str, note: &T) -> Result<Wrote, StepError> {
        self.prepare()?;
        self.put(unit, note, "op_type=create")
    }

    /// Writes a note over the one that was read.
    pub(crate) fn replace<T: Serialize, O>(
        &self,
        unit: &str,
        note: &T,
        over: &Note<O>,
    ) -> Result<Wrote, StepError> {
        self.put(unit, note, &condition(over))
    }

    /// Takes the note that was read away.
    pub(crate) fn remove<O>(&self, unit: &str, over: &Note<O>) -> Result<Wrote, StepError> {
        let path = format!("{}?{}&{COPIES}", self.path(unit), condition(over));
        let ask = Ask::change("DELETE", path, None);
        match self.cluster.answer(&ask)? {
            Ok(_) => Ok(Wrote::Done),
            Err(refusal) if refusal.status == 409 => Ok(Wrote::Conflict),
            Err(refusal) if refusal.is_absent() => Ok(Wrote::Done),
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }

    fn put<T: Serialize>(&self, unit: &str, note: &T, condition: &str) -> Result<Wrote, StepError> {
        let encoded = |e: serde_json::Error| {
            StepError::permanent(format!("cannot encode {}", Self::place(self.kind, unit))).because(e)
        };
        let note = serde_json::to_value(note).map_err(encoded)?;
        let wire = Wire { version: VERSION, unit: unit.to_owned(), note };
        let body = serde_json::to_value(&wire).map_err(encoded)?;
        let ask = Ask::change("PUT", format!("{}?{condition}&{COPIES}", self.path(unit)), Some(&body));
        match self.cluster.answer(&ask)? {
            Ok(_) => Ok(Wrote::Done),
            Err(refusal) if refusal.status == 409 => Ok(Wrote::Conflict),
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }

    /// Returns when every node has heard of every change of the cluster's state before this call: it makes one of its own,
    /// in the notes' mapping, and nodes acknowledge them in order.
    pub(crate) fn every_node_knows(&self) -> Result<(), StepError> {
        self.prepare()?;
        let ty = if self.cluster.about()?.has_types() { "/_doc" } else { "" };
        let found = self.cluster.json(&Ask::get(format!("/{NOTES}/_mapping")))?;
        let mapping = &found[NOTES]["mappings"];
        let mapping = if ty.is_empty() { mapping } else { &mapping["_doc"] };
        // One that is there already would be no change.
        let turn = mapping["_meta"]["turn"].as_u64().unwrap_or(0) + 1;
        let body = json!({"_meta": {"turn": turn}});
        self.cluster
            .acknowledged(&Ask::change("PUT", format!("/{NOTES}/_mapping{ty}"), Some(&body)))
            .map(drop)
    }

    /// Makes the index where it is not there.
    fn prepare(&self) -> Result<(), StepError> {
        let path = format!("/{NOTES}");
        if self
            .cluster
            .maybe(&Ask::get(format!("{path}/_settings?filter_path=*.settings.index.uuid")))?
            .is_some()
        {
            return Ok(());
        }
        let about = self.cluster.about()?;
        // What is said here a template of the cluster's own cannot change.
        let mut settings = json!({
            "index.number_of_shards": 1,
            "index.auto_expand_replicas": "0-1",
            "index.default_pipeline": "_none",
            "index.refresh_interval": "1s",
        });
        if about.has_hidden() {
            settings["index.hidden"] = json!(true);
        }
        if about.has_final_pipeline() {
            settings["index.final_pipeline"] = json!("_none");
        }
        let mut mappings = json!({"dynamic": false, "_source": {"enabled": true}});
        if about.has_types() {
            mappings = json!({"_doc": mappings});
        }
        let ask = Ask::change("PUT", path, Some(&json!({"settings": settings, "mappings": mappings})));
        match self.cluster.answer(&ask)? {
            Ok(answer) => self.cluster.is_acknowledged(&ask, &answer),
            // Another claimant made it.
            Err(refusal) if refusal.is("resource_already_exists_exception") => Ok(()),
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }
}

/// Every copy that the index is to have must be there.
const COPIES: &str = "wait_for_active_shards=all&timeout=10s";

fn condition<T>(over: &Note<T>) -> String {
    format!("if_seq_no={}&if_primary_term={}", over.seq_no, over.primary_term)
}
