//! An index as the documents engine sees it: its shards are slices, sequence numbers are change numbers.
//!
//! * *How far.* The global checkpoint of a shard's primary is read first, then the index is refreshed: what is counted is on
//!   every copy, and every copy's searches see it. A scan asks one shard (`_shards:N`) for one range of sequence numbers, and
//!   all of it at once: there are no pages between which something could be lost.
//! * *Which version.* Writes carry the engine's versions as external ones. A put is refused by a higher version, a delete by
//!   an equal one, too; the answer is a conflict, never success.
//! * *What.* Bodies are cut out of replies and put into requests as they are ([`raw`]).

mod raw;
mod replies;
mod units;
mod writes;

use std::time::Duration;

use segue_contract::StepError;
use serde_json::{Value, json};

use super::cluster::{Ask, Cluster, Effect};
use super::names::encoded;
use super::{indices, tasks};
use crate::engines::documents::{
    Collection, Found, Key, Limits, SliceStand, Stand, Want, Window, Write, Written,
};

pub use units::SearchDocuments;
pub(super) use units::one;

/// How many documents a scan gives at most, unless the index gives less.
const SCAN_MAX: u64 = 5000;
/// How much of a reply to a scan is taken, in bytes; a window with more than that is made smaller.
const SCAN_BYTES_MAX: u64 = 24 << 20;
/// How many documents are read by key at once.
const READ_MAX: usize = 500;
/// How many documents are written at once at most.
const BATCH_MAX: usize = 2000;
/// How many bytes are written at once at most: hosted clusters take 10 MiB.
const BATCH_BYTES_MAX: usize = 6 << 20;
/// How long writes of a dead sender are waited for.
const ENDED_MAX: Duration = Duration::from_secs(120);

/// One index.
pub(crate) struct IndexCollection {
    pub(super) cluster: Cluster,
    /// Its name at the cluster.
    pub(super) name: String,
    /// Its id when it was opened.
    uuid: String,
    /// The type in addresses.
    ty: String,
    has_types: bool,
    shards: u32,
    scan_max: u64,
}

impl IndexCollection {
    /// Opens an index.
    ///
    /// # Errors
    /// It is not there, is closed, or cannot be looked at.
    pub(super) fn open(cluster: Cluster, name: String) -> Result<Self, StepError> {
        let has_types = cluster.about()?.has_types();
        let metadata = metadata(&cluster, &name)?;
        if metadata["state"] == "close" {
            return Err(StepError::permanent(format!("{}: index {name:?} is closed", cluster.address))
                .remedy("open it (`POST /INDEX/_open`), or exclude it from the selection"));
        }
        let settings =
            indices::settings_of(&cluster, std::slice::from_ref(&name))?.remove(&name).unwrap_or_default();
        let number = |setting: &str, default: u32| -> u32 {
            settings.get(setting).and_then(Value::as_str).and_then(|n| n.parse().ok()).unwrap_or(default)
        };
        let shards = number("index.number_of_shards", 1);
        let window = number("index.max_result_window", 10_000);
        let ty = if has_types {
            let found = indices::named(&cluster, std::slice::from_ref(&name))?;
            found.get(&name).map_or("_doc", indices::Index::document_type).to_owned()
        } else {
            "_doc".to_owned()
        };
        Ok(Self {
            uuid: settings.get("index.uuid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            shards,
            scan_max: u64::from(window).min(SCAN_MAX),
            ty,
            has_types,
            cluster,
            name,
        })
    }

    /// The beginning of the addresses of its documents' APIs: with the type where there are types.
    fn documents(&self) -> String {
        let index = encoded(&self.name);
        if self.has_types { format!("/{index}/{}", encoded(&self.ty)) } else { format!("/{index}") }
    }

    fn failed(&self, what: &str) -> StepError {
        StepError::transient(format!("{}: index {:?}: {what}", self.cluster.address, self.name))
    }

    /// Whether every copy that was asked answered.
    fn whole(&self, shards: &Value) -> Result<(), StepError> {
        let failed = shards["failed"].as_u64().unwrap_or(0);
        if failed == 0 {
            return Ok(());
        }
        let (kind, reason) = super::refusal::said(&shards["failures"][0]["reason"]);
        Err(self
            .failed(&format!("{failed} shards did not answer: {kind}: {reason}"))
            .remedy("see the index's health (`GET /_cluster/health/INDEX`)"))
    }

    fn refresh(&self) -> Result<(), StepError> {
        let ask = Ask::post(format!("/{}/_refresh", encoded(&self.name)));
        let answer = self.cluster.json(&ask)?;
        self.whole(&answer["_shards"])
    }
}

/// What the cluster's state says of an index.
fn metadata(cluster: &Cluster, name: &str) -> Result<Value, StepError> {
    let parts =
        "metadata.indices.*.primary_terms,metadata.indices.*.routing_num_shards,metadata.indices.*.state";
    let ask = Ask::get(format!("/_cluster/state/metadata/{}?filter_path={parts}", encoded(name)));
    let found = cluster.maybe(&ask)?.unwrap_or(Value::Null);
    match &found["metadata"]["indices"][name] {
        Value::Null => Err(indices::absent(cluster, name)),
        metadata => Ok(metadata.clone()),
    }
}

impl Collection for IndexCollection {
    fn limits(&self) -> Limits {
        Limits {
            scan_documents_max: self.scan_max,
            batch_documents_max: BATCH_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            version_max: (i64::MAX - 1).cast_unsigned(),
        }
    }

    fn stand(&self) -> Result<Stand, StepError> {
        let name = encoded(&self.name);
        let terms = metadata(&self.cluster, &self.name)?;
        let stats = self.cluster.json(&Ask::get(format!("/{name}/_stats/docs?level=shards")))?;
        self.refresh()?;
        // A primary that was replaced in between counted otherwise.
        let after = metadata(&self.cluster, &self.name)?;
        if terms["primary_terms"] != after["primary_terms"] {
            return Err(self.failed("a primary shard was replaced while it was looked at"));
        }
        let index = &stats["indices"][&self.name];
        let slices: Result<Vec<SliceStand>, StepError> = (0..self.shards)
            .map(|shard| {
                replies::stand(&index["shards"], &terms["primary_terms"], shard)
                    .map_err(|why| self.failed(&why))
            })
            .collect();
        // Servers before 7 do not say it in their statistics.
        let incarnation = match index["uuid"].as_str() {
            Some(uuid) => uuid.to_owned(),
            None => indices::settings_if_there(&self.cluster, &self.name)?
                .get("index.uuid")
                .and_then(Value::as_str)
                .unwrap_or(&self.uuid)
                .to_owned(),
        };
        Ok(Stand { incarnation, slices: slices? })
    }

    fn scan(&self, window: Window, want: Want) -> Result<Option<Vec<Found>>, StepError> {
        let Window { slice, from, to } = window;
        if from >= to {
            return Ok(Some(Vec::new()));
        }
        let body = json!({
            "size": self.scan_max,
            "query": {"range": {"_seq_no": {"gte": from, "lt": to}}},
            "_source": want == Want::Bodies,
            "version": true,
            "seq_no_primary_term": true,
            "track_total_hits": true,
            "sort": ["_doc"],
        });
        let path = format!(
            "/{}/_search?preference=_shards%3A{slice}&allow_partial_search_results=false&request_cache=false",
            encoded(&self.name)
        );
        let ask = Ask::look(path, &body);
        // One document has to fit, whatever its size.
        let most = if to - from > 1 { Some(SCAN_BYTES_MAX) } else { None };
        let Some(reply) = self.cluster.bounded(&ask, most)? else {
            return Ok(None);
        };
        let (found, total) = replies::hits(&reply, want).map_err(|why| self.failed(&why))?;
        if total > self.scan_max {
            return Ok(None);
        }
        if found.len() as u64 != total {
            return Err(self.failed(&format!("a scan gave {} documents of {total}", found.len())));
        }
        Ok(Some(found))
    }

    fn count(&self) -> Result<u64, StepError> {
        self.refresh()?;
        let answer = self.cluster.json(&Ask::get(format!("/{}/_count", encoded(&self.name))))?;
        self.whole(&answer["_shards"])?;
        answer["count"].as_u64().ok_or_else(|| self.failed("a count without a number"))
    }

    fn read(&self, keys: &[Key], want: Want) -> Result<Vec<Option<Found>>, StepError> {
        let mut all = Vec::with_capacity(keys.len());
        for group in keys.chunks(READ_MAX) {
            self.read_group(group, want, &mut all)?;
        }
        Ok(all)
    }

    fn write(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.bulk(writes::lines(batch), batch.len())
    }

    fn add(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.bulk(writes::lines_added(batch), batch.len())
    }

    fn nothing_on_its_way(&self) -> Result<(), StepError> {
        tasks::ended(&self.cluster, std::slice::from_ref(&self.name), ENDED_MAX, &|| false)
    }
}

impl IndexCollection {
    fn bulk(&self, lines: Vec<u8>, asked: usize) -> Result<Vec<Written>, StepError> {
        // What the source's documents went through once, they do not go through again.
        let ask = Ask::lines(format!("{}/_bulk?pipeline=_none", self.documents()), lines);
        let answer = self.cluster.answer(&ask)?.map_err(|refusal| refusal.step(Effect::Write))?;
        writes::answers(&answer, asked).map_err(|mut error| {
            error.what = format!("{}: index {:?}: {}", self.cluster.address, self.name, error.what);
            error
        })
    }

    /// Reads by key; where a reply would be too large, half as many at once.
    fn read_group(&self, keys: &[Key], want: Want, all: &mut Vec<Option<Found>>) -> Result<(), StepError> {
        let routing = if self.has_types { "_routing" } else { "routing" };
        let document = |key: &Key| {
            let mut wanted = json!({"_id": key.id, "_source": want == Want::Bodies});
            if let Some(place) = &key.place {
                wanted[routing] = json!(place);
            }
            wanted
        };
        let docs: Vec<Value> = keys.iter().map(document).collect();
        let ask = Ask::look(format!("{}/_mget", self.documents()), &json!({"docs": docs}));
        let most = if keys.len() > 1 { Some(SCAN_BYTES_MAX) } else { None };
        let Some(reply) = self.cluster.bounded(&ask, most)? else {
            let (one, other) = keys.split_at(keys.len() / 2);
            self.read_group(one, want, all)?;
            return self.read_group(other, want, all);
        };
        let found = replies::documents(&reply, keys, want).map_err(|why| self.failed(&why))?;
        all.extend(found);
        Ok(())
    }
}
