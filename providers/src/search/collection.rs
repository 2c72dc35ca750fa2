//! An index as the documents engine sees it: its shards are slices, sequence numbers are change numbers.
//!
//! * *How far.* The global checkpoint of a shard's primary is read first, then the index is refreshed: what is counted is on
//!   every copy, and every copy's searches see it. A scan asks one shard (`_shards:N`) for one range of sequence numbers, and
//!   all of it at once: there are no pages between which something could be lost.
//!   Where there is much to read one shard is read in the order in which it lies there ([`scroll`]).
//! * *Which version.* Writes carry the engine's versions as external ones. A put is refused by a higher version, a delete by
//!   an equal one, too; the answer is a conflict, never success.
//! * *What.* Bodies are cut out of replies and put into requests as they are ([`raw`]).

mod raw;
mod replies;
mod scroll;
mod units;
mod writes;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use segue_contract::StepError;
use serde_json::{Map, Value, json};

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
/// How often it is asked anew where an index stands whose primaries are being replaced.
const STAND_TRIES: usize = 3;
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
    /// What the cluster's state said of it last.
    known: Mutex<Value>,
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
        let number = |setting: &str, default: u32| -> u32 {
            let value = &metadata["settings"]["index"][setting];
            value.as_str().and_then(|n| n.parse().ok()).unwrap_or(default)
        };
        let shards = number("number_of_shards", 1);
        let window = number("max_result_window", 10_000);
        let ty = if has_types {
            let found = indices::named(&cluster, std::slice::from_ref(&name))?;
            found.get(&name).map_or("_doc", indices::Index::document_type).to_owned()
        } else {
            "_doc".to_owned()
        };
        Ok(Self {
            uuid: uuid_of(&metadata).to_owned(),
            shards,
            scan_max: u64::from(window).min(SCAN_MAX),
            known: Mutex::new(metadata),
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

    /// Where the index stands by the statistics of its shards, all of the terms that `known` names.
    fn stand_of(&self, shards: &Value, known: &Value) -> Result<Stand, StepError> {
        let incarnation = uuid_of(known).to_owned();
        // Servers make an index by themselves when a write comes for one that was deleted: without its mapping.
        if incarnation != self.uuid {
            let what = "was deleted while segue worked on it, and is another one now";
            return Err(StepError::permanent(format!(
                "{}: index {:?} {what}",
                self.cluster.address, self.name
            ))
            .remedy(
                "find out who deleted it; if the server made this one by itself, delete it; then run again",
            ));
        }
        let terms = &known["primary_terms"];
        if terms.as_object().map_or(0, Map::len) != self.shards as usize {
            return Err(self.failed("it was made anew with another number of shards"));
        }
        let slices: Result<Vec<SliceStand>, StepError> = (0..self.shards)
            .map(|shard| replies::stand(shards, terms, shard).map_err(|why| self.failed(&why)))
            .collect();
        Ok(Stand { incarnation, slices: slices? })
    }
}

/// The id of an index, by what the cluster's state says of it.
fn uuid_of(metadata: &Value) -> &str {
    metadata["settings"]["index"]["uuid"].as_str().unwrap_or_default()
}

/// What the cluster's state says of an index: what it is, and who decides the order of changes.
fn metadata(cluster: &Cluster, name: &str) -> Result<Value, StepError> {
    const PARTS: [&str; 5] = [
        "primary_terms",
        "state",
        "settings.index.uuid",
        "settings.index.number_of_shards",
        "settings.index.max_result_window",
    ];
    let parts = PARTS.map(|part| format!("metadata.indices.*.{part}")).join(",");
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
        let path = format!("/{}/_stats/docs?level=shards", encoded(&self.name));
        let mut before = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for _ in 0..STAND_TRIES {
            let stats = self.cluster.json(&Ask::get(&path))?;
            let after = metadata(&self.cluster, &self.name)?;
            // Terms only rise: the same ones at any time before and after held in between, too.
            let is_same = |what: &str| {
                *before.pointer(what).unwrap_or(&Value::Null) == *after.pointer(what).unwrap_or(&Value::Null)
            };
            if is_same("/primary_terms") && is_same("/settings/index/uuid") {
                return self.stand_of(&stats["indices"][&self.name]["shards"], &after);
            }
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&after);
            before = after;
        }
        Err(self.failed("primary shards are being replaced while it is looked at"))
    }

    fn show(&self) -> Result<(), StepError> {
        let ask = Ask::post(format!("/{}/_refresh", encoded(&self.name)));
        let answer = self.cluster.json(&ask)?;
        self.whole(&answer["_shards"])
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

    /// By the numbers' own column (doc values), which every version keeps for sorting: no document is opened.
    fn census(&self, windows: &[Window], width: u64) -> Result<Option<Vec<u64>>, StepError> {
        let Some(first) = windows.first() else { return Ok(Some(Vec::new())) };
        let range = |w: &Window| json!({"range": {"_seq_no": {"gte": w.from, "lt": w.to}}});
        // Parts begin where windows do: all windows are as far from the first one as a number of parts.
        let body = json!({
            "size": 0,
            "query": {"bool": {"filter": {"bool": {"should": windows.iter().map(range).collect::<Vec<_>>()}}}},
            "track_total_hits": true,
            "aggs": {"parts": {"histogram":
                {"field": "_seq_no", "interval": width, "offset": first.from % width, "min_doc_count": 1}}},
        });
        let path = format!(
            "/{}/_search?preference=_shards%3A{}&allow_partial_search_results=false&request_cache=false&{}",
            encoded(&self.name),
            first.slice,
            replies::CENSUS
        );
        let ask = Ask::look(path, &body);
        let answer = match self.cluster.answer(&ask)? {
            Ok(answer) => answer,
            // It does not know the question, or was told to have fewer parts in an answer.
            Err(refusal) if refusal.status == 400 || refusal.is("too_many_buckets_exception") => {
                return Ok(None);
            }
            Err(refusal) => return Err(refusal.step(Effect::Read)),
        };
        replies::census(&answer, windows, width).map(Some).map_err(|why| self.failed(&why))
    }

    fn sweeps(&self) -> bool {
        true
    }

    fn sweep(
        &self,
        window: Window,
        want: Want,
        piece: u64,
        each: &mut dyn FnMut(Vec<Found>) -> Result<(), StepError>,
    ) -> Result<bool, StepError> {
        self.scroll(window, want, piece, each)
    }

    fn count(&self) -> Result<u64, StepError> {
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
        let path = format!("{}/_bulk?pipeline=_none&{}", self.documents(), writes::ANSWER);
        let ask = Ask::lines(path, lines);
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
