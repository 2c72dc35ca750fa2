//! `load { mode = "reindex" }`: the target reads the source by itself (`_reindex` from remote), as tasks of its own.
//!
//! Servers do not slice a remote reindex, so each task gets a range of sequence numbers: a document that nobody changes
//! meanwhile is in one of them, and one that is changed is carried by the passes. Documents come with the versions that they
//! have at the source (`version_type` external), which are below every version that Segue writes: a task that is started
//! twice, or that writes late, undoes nothing. A task carries a tag (`X-Opaque-Id`) that is noted before it is started: of
//! one whose id no run got to know, the tag is what finds it.

mod before;

use std::collections::BTreeMap;

use segue_contract::{
    AttributeSchema, AttributeType, BlockRef, Finding, LoadModeSchema, Progress, Setting, Severity,
    StepError, StepIo, UnitJob,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{is_one, wait};
use crate::engines::documents::{Collection, Documents, Memo};
use crate::http;
use crate::search::cluster::{Ask, Cluster, Effect};
use crate::search::collection::{IndexCollection, SearchDocuments, one};
use crate::search::names::encoded;
use crate::search::refusal::said;
use crate::search::tasks;
pub(super) use before::check;
use before::host;

/// The attribute that says how the target reaches the source.
const FROM: &str = "from";
/// Tasks at once when the spec says nothing, and at most.
const TASKS: (u64, u64) = (2, 16);
/// Changes of a shard that are worth a task of their own.
const WORTH: u64 = 5_000;
/// Documents that the target asks the source for at once, the servers' own default.
const PAGE: u64 = 1_000;
/// So often a task that fails or is lost is started again.
const STARTS_MAX: u32 = 4;
/// How long a task that was cancelled may take to end, in looks.
const CANCEL_LOOKS: u32 = 240;

/// The mode as the language shows it.
pub(super) fn mode() -> LoadModeSchema {
    LoadModeSchema {
        name: super::REINDEX.to_owned(),
        doc: "The target reads the source by itself (_reindex from remote), for scale: what it reads does not go through \
              this machine."
            .to_owned(),
        attributes: vec![AttributeSchema::optional(
            FROM,
            AttributeType::String,
            "The source's address as the target sees it, http://host:9200. Default: the source's first.",
        )],
        by_others: false,
        voids: Vec::new(),
    }
}

/// What has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Began {
    slices: Vec<Slice>,
}

/// One range of sequence numbers, and its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slice {
    from: u64,
    /// `None`: to the end.
    to: Option<u64>,
    tag: String,
    task: Option<String>,
    starts: u32,
    ended: bool,
}

/// Reindexes, from where a run that died was.
pub(super) fn fill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<(), StepError> {
    SearchDocuments.make(job, io)?;
    let (from, to) = (Cluster::of(&job.source, io)?, Cluster::of(&job.target, io)?);
    let began = match memo.read::<Began>()? {
        Some(began) => began,
        None => {
            let began = Began { slices: slices(job, io)? };
            memo.write(&began)?;
            began
        }
    };
    let per_second = per_second(job, &from, began.slices.len())?;
    Reindex { job, memo, io, body: body(job, &from, &to, io)?, to, began, per_second, seen: BTreeMap::new() }
        .run()
}

/// The ranges. The tag holds the index's id: one that was made anew is filled anew.
fn slices(job: &UnitJob, io: &dyn StepIo) -> Result<Vec<Slice>, StepError> {
    let source = IndexCollection::open(Cluster::of(&job.source, io)?, one(&job.source)?)?;
    let most = source.stand()?.bound();
    // The tasks read what scans see.
    source.show()?;
    let there = IndexCollection::open(Cluster::of(&job.target, io)?, one(&job.target)?)?.stand()?.incarnation;
    let wanted = match u64::from(job.load.parallelism) {
        0 => TASKS.0,
        some => some.min(TASKS.1),
    };
    let count = wanted.min(most / WORTH).max(1);
    let edge = |at: u64| most / count * at;
    let slice = |at: u64| Slice {
        from: edge(at),
        to: (at + 1 < count).then(|| edge(at + 1)),
        tag: format!("segue-{there}-{at}"),
        task: None,
        starts: 0,
        ended: false,
    };
    Ok((0..count).map(slice).collect())
}

/// The limit as the servers know one: documents a second, of each task.
fn per_second(job: &UnitJob, from: &Cluster, tasks: usize) -> Result<Option<u64>, StepError> {
    let Some(rate) = job.load.rate_limit else { return Ok(None) };
    let name = one(&job.source)?;
    let stats = from.json(&Ask::get(format!("/{}/_stats/docs,store", encoded(&name))))?;
    let total = &stats["_all"]["primaries"];
    let (bytes, documents) = (total["store"]["size_in_bytes"].as_u64(), total["docs"]["count"].as_u64());
    let each = bytes.unwrap_or(0).checked_div(documents.unwrap_or(0)).unwrap_or(0).max(1);
    Ok(Some((rate / each / tasks.max(1) as u64).max(1)))
}

/// What is asked for, without the range.
fn body(job: &UnitJob, from: &Cluster, to: &Cluster, io: &dyn StepIo) -> Result<Value, StepError> {
    let mut source = json!({"index": one(&job.source)?, "size": PAGE});
    if !is_one(from, to)? {
        source["remote"] = remote(job, io)?;
    }
    let mut dest = json!({"index": one(&job.target)?, "version_type": "external"});
    // What the source's documents went through once, they do not go through again.
    dest["pipeline"] = json!("_none");
    Ok(json!({"conflicts": "proceed", "source": source, "dest": dest}))
}

/// How the target reaches the source, login included: it is sent to the target, which shows it to nobody.
fn remote(job: &UnitJob, io: &dyn StepIo) -> Result<Value, StepError> {
    let block: &BlockRef = &job.source;
    let mut remote = json!({"host": host(job)?, "socket_timeout": "2m", "connect_timeout": "30s"});
    let mut headers: BTreeMap<String, String> = http::headers(block)?.into_iter().collect();
    let secret = |name: &str| match block.config.get(name) {
        Some(Setting::Secret(reference)) => io.secret(reference).map(Some),
        _ => Ok(None),
    };
    if let Some(password) = secret("password")? {
        remote["username"] = json!(block.text("username")?);
        remote["password"] = json!(password.reveal());
    }
    for (name, scheme) in [("bearer_token", "Bearer"), ("api_key", "ApiKey")] {
        if let Some(value) = secret(name)? {
            headers.insert("Authorization".to_owned(), format!("{scheme} {}", value.reveal()));
        }
    }
    if let Some(value) = secret("secret_value")? {
        headers.insert(block.text("secret_header")?.to_owned(), value.reveal().to_owned());
    }
    if !headers.is_empty() {
        remote["headers"] = json!(headers);
    }
    Ok(remote)
}

struct Reindex<'a> {
    job: &'a UnitJob,
    memo: &'a Memo,
    io: &'a dyn StepIo,
    to: Cluster,
    body: Value,
    began: Began,
    per_second: Option<u64>,
    /// What each task said last: documents done, and in all.
    seen: BTreeMap<usize, (u64, u64)>,
}

impl Reindex<'_> {
    fn run(mut self) -> Result<(), StepError> {
        loop {
            for at in 0..self.began.slices.len() {
                self.look(at)?;
            }
            let done = self.seen.values().map(|(done, _)| done).sum();
            let total: u64 = self.seen.values().map(|(_, total)| total).sum();
            self.io.progress(Progress { records: done, records_total: Some(total), ..Progress::default() });
            if self.began.slices.iter().all(|slice| slice.ended) {
                return Ok(());
            }
            wait(self.io)?;
        }
    }

    fn set(&mut self, at: usize, slice: Slice) -> Result<(), StepError> {
        if let Some(place) = self.began.slices.get_mut(at) {
            *place = slice;
        }
        self.memo.write(&self.began)
    }

    /// One look at one range: its task is started, found again, or asked how far it is.
    fn look(&mut self, at: usize) -> Result<(), StepError> {
        let Some(slice) = self.began.slices.get(at).filter(|slice| !slice.ended).cloned() else {
            return Ok(());
        };
        let Some(task) = &slice.task else {
            return self.start(at, slice);
        };
        let Some(answer) = self.to.maybe(&Ask::get(format!("/_tasks/{}", encoded(task))))? else {
            // Its node is gone, and the task with it: what it wrote stays.
            return self.set(at, Slice { task: None, ..slice });
        };
        let status =
            if answer["response"].is_object() { &answer["response"] } else { &answer["task"]["status"] };
        let number = |name: &str| status[name].as_u64().unwrap_or(0);
        let done = number("created") + number("updated") + number("version_conflicts") + number("noops");
        self.seen.insert(at, (done, number("total")));
        if answer["completed"] != true {
            return Ok(());
        }
        self.ended(at, slice, &answer)
    }

    /// Starts a task, unless one with its tag runs: a run that died may not have got to know its id.
    fn start(&mut self, at: usize, slice: Slice) -> Result<(), StepError> {
        if let Some(task) = running(&self.to, &slice.tag)?.into_iter().next() {
            return self.set(at, Slice { task: Some(task), ..slice });
        }
        if slice.starts >= STARTS_MAX {
            return Err(StepError::permanent(format!(
                "{}: the reindex of {} was started {STARTS_MAX} times, and its node lost it each time",
                self.to.address, self.job.unit
            ))
            .remedy("see the target's nodes and their logs; or load in mode \"copy\""));
        }
        let mut range = json!({"gte": slice.from});
        if let Some(to) = slice.to {
            range["lt"] = json!(to);
        }
        let mut body = self.body.clone();
        body["source"]["query"] = json!({"range": {"_seq_no": range}});
        let limit = self.per_second.map_or(String::new(), |n| format!("&requests_per_second={n}"));
        let path = format!("/_reindex?wait_for_completion=false{limit}");
        let starts = slice.starts + 1;
        self.set(at, Slice { starts, ..slice.clone() })?;
        let ask = Ask::change("POST", path, Some(&body)).tagged(&slice.tag);
        let answer = match self.to.answer(&ask)? {
            Ok(answer) => answer,
            Err(refusal) => return Err(explained(refusal.step(Effect::Write))),
        };
        let task = answer["task"].as_str().map(str::to_owned);
        self.set(at, Slice { task, starts, ..slice })
    }

    /// What a task ended with. Documents that it could not write are left to the engine, which carries them by key and sets
    /// aside what really cannot be taken.
    fn ended(&mut self, at: usize, slice: Slice, answer: &Value) -> Result<(), StepError> {
        let error = &answer["error"];
        if error.is_object() {
            let (kind, reason) = said(error);
            let what = format!(
                "{}: the reindex of {} failed: {}: {reason}",
                self.to.address,
                self.job.unit,
                kind.split(' ').next().unwrap_or_default()
            );
            let again = slice.starts < STARTS_MAX && !is_not_allowed(&reason);
            self.forget(&slice);
            self.set(at, Slice { task: None, ..slice })?;
            return Err(if again {
                StepError::transient(what)
            } else {
                explained(StepError::permanent(what))
            });
        }
        let failures = answer["response"]["failures"].as_array().map_or(0, Vec::len);
        if failures > 0 {
            let first = &answer["response"]["failures"][0];
            let (kind, _) = said(if first["cause"].is_object() { &first["cause"] } else { &first["reason"] });
            self.io.find(Finding {
                severity: Severity::Warning,
                code: "REINDEX_INCOMPLETE".to_owned(),
                summary: format!(
                    "{}: the reindex of {} stopped at {failures} documents, {:?} for one ({})",
                    self.to.address,
                    self.job.unit,
                    first["id"].as_str().unwrap_or("?"),
                    kind.split(' ').next().unwrap_or_default()
                ),
                remedy: "segue carries what is left by itself; what the target refuses is set aside"
                    .to_owned(),
            });
        }
        self.forget(&slice);
        self.set(at, Slice { ended: true, ..slice })
    }

    /// The server keeps what a task ended with until somebody takes it away.
    fn forget(&self, slice: &Slice) {
        if let Some(task) = &slice.task {
            // Best effort: some servers keep that index to themselves, and one small document stays.
            let _ = self.to.answer(&Ask::change("DELETE", format!("/.tasks/_doc/{}", encoded(task)), None));
        }
    }
}

/// Whether a reason is that the target may not read from the source.
fn is_not_allowed(reason: &str) -> bool {
    ["whitelist", "allowlist"].iter().any(|list| reason.contains(list))
}

fn explained(error: StepError) -> StepError {
    let remedy = if is_not_allowed(&error.to_string()) {
        "write the source's host and port into reindex.remote.whitelist (allowlist) of every node of the target and restart them; or load in mode \"copy\""
    } else {
        "see that the target's nodes reach the source (load { from }); or load in mode \"copy\""
    };
    error.remedy(remedy)
}

/// The running tasks with a tag.
fn running(to: &Cluster, tag: &str) -> Result<Vec<String>, StepError> {
    let list = tasks::running(to, "indices%3Adata%2Fwrite%2Freindex")?;
    let is_ours = |task: &&Value| task["headers"]["X-Opaque-Id"] == tag && task["parent_task_id"].is_null();
    Ok(list.iter().filter(is_ours).filter_map(tasks::id_of).collect())
}

/// Cancels what runs.
pub(super) fn unfill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<(), StepError> {
    let Some(began) = memo.read::<Began>()? else { return Ok(()) };
    let to = Cluster::of(&job.target, io)?;
    for slice in began.slices.iter().filter(|slice| !slice.ended) {
        let mut looks = 0;
        loop {
            let tasks = running(&to, &slice.tag)?;
            if tasks.is_empty() {
                break;
            }
            if looks >= CANCEL_LOOKS {
                return Err(StepError::transient(format!(
                    "{}: the task {} does not end",
                    to.address,
                    tasks.join(", ")
                ))
                .remedy("see it (`GET /_tasks/ID`), and whether its node hangs"));
            }
            if looks == 0 {
                for task in &tasks {
                    let ask = Ask::change("POST", format!("/_tasks/{}/_cancel", encoded(task)), None);
                    to.answer(&ask)?.map(drop).or_else(|refusal| {
                        if refusal.is_absent() { Ok(()) } else { Err(refusal.step(Effect::Write)) }
                    })?;
                }
            }
            looks += 1;
            wait(io)?;
        }
    }
    Ok(())
}
