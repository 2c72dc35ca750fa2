//! The oracle workload of search: writers that create, change, delete, make again, and change the same documents from several
//! clients, while whatever they write to is moved under them; and a judge that holds what serves in the end against all that
//! they were told was done.
//!
//! **Own keys.** Each writer has keys that it alone writes to, one operation after the other, so that what they must hold is
//! known exactly. An operation whose outcome is not known (the connection broke, 5xx) may be done now, later, or never: its
//! writer never touches that key again, and the judge takes either outcome. A refusal (403 of a write block, 429, no
//! connection, no such index) changes nothing.
//!
//! **Shared keys.** All writers write to these at once. What one must hold in the end is found from the acknowledgements: of
//! two operations the later one is that which began after the other had ended; of two that overlapped, at one index, that with
//! the higher `_seq_no` (a document's operations are all of one shard, whose primary numbers them in the order in which it
//! does them). Two that overlapped at different indices are not in order: a cutover admits none at the new side before the
//! last at the old one is done, but an answer may arrive late; the judge takes either. Anything else that is there is an older
//! value, and the newest write is lost. An unknown outcome retires the key for all writers, and counts as above.
//!
//! What only this shows and no comparison in the end would: an own key that is not there when it is changed or deleted, or is
//! there when it is made again. Those are *surprises*. (Where a primary is killed, the server repeats operations by itself, and
//! its repetition meets what it did first: then look at the verdict's other figures.)

mod judge;
mod log;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Failure, Reply, escape};
use crate::random::Random;
use crate::running::wait_long;

pub use judge::Verdict;
pub use log::{Log, Operation, Outcome, What};

/// How long a writer rests after a refusal, so that it does not spin in a pause, which is measured.
const AFTER_REFUSAL: Duration = Duration::from_millis(2);
/// How long acknowledgements may fail to come: a server may be started again meanwhile, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Of a hundred operations, those on shared keys.
const SHARED_PERCENT: u64 = 25;

/// Where writes go: the address is asked for anew at each one, as an application does that follows a name.
#[derive(Clone)]
pub struct Door {
    client: Arc<dyn Fn() -> Client + Send + Sync>,
    index: String,
    require_alias: bool,
}

impl Door {
    /// Always one address; `index` may be an alias, which the server looks up at each write.
    pub fn at(client: &Client, index: &str) -> Self {
        let client = client.clone();
        Self::asked(move || client.clone(), index)
    }

    /// An address that is asked for at each write. Make the clients once and return clones: these share their connections.
    pub fn asked(client: impl Fn() -> Client + Send + Sync + 'static, index: &str) -> Self {
        Self { client: Arc::new(client), index: index.to_owned(), require_alias: false }
    }

    /// Whom it leads to now.
    pub fn client(&self) -> Client {
        (self.client)()
    }

    /// The index must be an alias: a write that comes while there is none makes no index of that name (from 7.10 on; 6.8 is
    /// not asked).
    #[must_use]
    pub fn require_alias(mut self) -> Self {
        self.require_alias = true;
        self
    }
}

/// What the writers do.
#[derive(Clone)]
pub struct Workload {
    /// Where they write.
    pub door: Door,
    /// How many write at once.
    pub writers: usize,
    /// How long each rests after an operation.
    pub rest: Duration,
    /// What the ids of their documents begin with, before a hyphen: other documents are not judged, unless they are `seeds`.
    pub prefix: String,
    /// How many new keys of its own each writer has.
    pub own_keys: usize,
    /// How many keys all writers share.
    pub shared_keys: usize,
    /// Ids of documents that are there already, dealt out to the writers as own keys.
    pub seeds: Vec<String>,
    /// Whether a third of the new keys are written with a routing of their own.
    pub routing: bool,
    /// The seed of what is random: `Random::number`.
    pub seed: u64,
}

impl Workload {
    /// Three writers with 200 keys each and 20 shared ones, that rest a millisecond.
    pub fn new(door: Door, seed: u64) -> Self {
        Self {
            door,
            writers: 3,
            rest: Duration::from_millis(1),
            prefix: "live".to_owned(),
            own_keys: 200,
            shared_keys: 20,
            seeds: Vec::new(),
            routing: false,
            seed,
        }
    }
}

/// What all writers share.
struct Common {
    workload: Workload,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// How often each shared key was retired: its name has the number.
    generations: Vec<AtomicU64>,
    operations: Mutex<Vec<Operation>>,
}

/// Running writers. Stopped when dropped.
pub struct Writers {
    common: Arc<Common>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts them.
    pub fn start(workload: Workload) -> Self {
        let common = Arc::new(Common {
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            generations: (0..workload.shared_keys).map(|_| AtomicU64::new(0)).collect(),
            operations: Mutex::default(),
            workload,
        });
        let writer = |number| {
            let common = Arc::clone(&common);
            std::thread::spawn(move || Writer::new(&common, number).write())
        };
        let threads = (0..common.workload.writers).map(writer).collect();
        Self { common, threads }
    }

    /// How many operations were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.common.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more were acknowledged.
    ///
    /// # Panics
    /// They are not in three minutes.
    #[track_caller]
    pub fn until_more(&self, more: u64) {
        let wanted = self.acknowledged() + more;
        wait_long("writes are acknowledged", PATIENCE, || self.acknowledged() >= wanted);
    }

    /// Stops them after the operation that each is at, and returns all that they did.
    ///
    /// # Panics
    /// A writer panicked.
    pub fn stop(mut self) -> Log {
        let ended_well = self.end();
        assert!(ended_well, "a writer panicked");
        let operations =
            std::mem::take(&mut *self.common.operations.lock().unwrap_or_else(PoisonError::into_inner));
        let Workload { prefix, seeds, .. } = &self.common.workload;
        Log::new(prefix, seeds, operations)
    }

    fn end(&mut self) -> bool {
        self.common.stop.store(true, Ordering::SeqCst);
        // Each is waited for, also after one that panicked.
        let ended: Vec<bool> = self.threads.drain(..).map(|thread| thread.join().is_ok()).collect();
        ended.into_iter().all(|well| well)
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.end();
    }
}

/// A key of a writer's own, and what it believes of it.
struct Key {
    id: String,
    routing: Option<String>,
    there: bool,
}

struct Writer<'a> {
    common: &'a Common,
    number: usize,
    random: Random,
    keys: Vec<Key>,
    made: u64,
    tags: u64,
}

impl<'a> Writer<'a> {
    fn new(common: &'a Common, number: usize) -> Self {
        let Workload { seeds, writers, own_keys, seed, .. } = &common.workload;
        let random = Random::from(seed.wrapping_add(number as u64));
        let dealt = seeds.iter().skip(number).step_by(*writers);
        let keys = dealt.map(|id| Key { id: id.clone(), routing: None, there: true }).collect();
        let mut writer = Self { common, number, random, keys, made: 0, tags: 0 };
        for _ in 0..*own_keys {
            let key = writer.new_key();
            writer.keys.push(key);
        }
        writer
    }

    fn new_key(&mut self) -> Key {
        self.made += 1;
        let id = format!("{}-{}.{}", self.common.workload.prefix, self.number, self.made);
        let routed = self.common.workload.routing && self.made.is_multiple_of(3);
        Key { routing: routed.then(|| format!("r{}", self.made % 50)), id, there: false }
    }

    fn write(&mut self) {
        let Workload { rest, shared_keys, own_keys, seeds, .. } = &self.common.workload;
        let has_own = *own_keys > 0 || !seeds.is_empty();
        while !self.common.stop.load(Ordering::SeqCst) {
            let shared = *shared_keys > 0 && (!has_own || self.random.below(100) < SHARED_PERCENT);
            let operation = if shared { self.operate_on_shared() } else { self.operate_on_own() };
            match &operation.outcome {
                Outcome::Acknowledged(_) => drop(self.common.acknowledged.fetch_add(1, Ordering::SeqCst)),
                Outcome::Missing => {}
                Outcome::Refused(_) | Outcome::Unknown(_) => std::thread::sleep(AFTER_REFUSAL),
            }
            self.common.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
            if !rest.is_zero() {
                std::thread::sleep(*rest);
            }
        }
    }

    fn operate_on_own(&mut self) -> Operation {
        // There is one at least: `write` looked.
        let at = usize::try_from(self.random.below(self.keys.len() as u64)).unwrap_or_default();
        let (id, routing) = (self.keys[at].id.clone(), self.keys[at].routing.clone());
        let what = match (self.keys[at].there, self.random.below(100)) {
            (false, 0..50) => What::Create,
            (false, _) | (true, 0..35) => What::Put,
            (true, 35..70) => What::Update,
            (true, _) => What::Delete,
        };
        let mut operation = self.send(what, id, routing);
        operation.expect_no_surprise();
        match operation.outcome {
            Outcome::Acknowledged(_) => self.keys[at].there = what != What::Delete,
            Outcome::Refused(_) | Outcome::Missing => {}
            Outcome::Unknown(_) => self.keys[at] = self.new_key(),
        }
        operation
    }

    fn operate_on_shared(&mut self) -> Operation {
        let slot = self.random.below(self.common.generations.len() as u64);
        let generation = &self.common.generations[usize::try_from(slot).unwrap_or_default()];
        let number = generation.load(Ordering::SeqCst);
        let id = format!("{}-shared.{slot}.{number}", self.common.workload.prefix);
        let what = match self.random.below(100) {
            0..50 => What::Put,
            50..75 => What::Update,
            _ => What::Delete,
        };
        let operation = self.send(what, id, None);
        if matches!(operation.outcome, Outcome::Unknown(_)) {
            // Whoever comes first; the others find it retired.
            let _ = generation.compare_exchange(number, number + 1, Ordering::SeqCst, Ordering::SeqCst);
        }
        operation
    }

    /// Does one operation, and says how it ended.
    fn send(&mut self, what: What, id: String, routing: Option<String>) -> Operation {
        self.tags += 1;
        let Workload { door, prefix, .. } = &self.common.workload;
        let tag = format!("{prefix}-{}.{}", self.number, self.tags);
        let client = (door.client)();
        let (method, path, body) = request(door, &client, what, &id, routing.as_deref(), &tag);
        let body = body.map(|body| body.to_string().into_bytes());
        let began = Instant::now();
        let reply = client.ask(method, &path, body.as_deref());
        let ended = Instant::now();
        let outcome = outcome(&client, what, reply);
        Operation { id, routing, what, tag, began, ended, outcome, surprise: None }
    }
}

/// An operation as a request: method, path, body.
fn request(
    door: &Door,
    client: &Client,
    what: What,
    id: &str,
    routing: Option<&str>,
    tag: &str,
) -> (&'static str, String, Option<Value>) {
    let (index, escaped) = (&door.index, escape(id));
    let document = format!("/{index}/_doc/{escaped}");
    let mut more: Vec<String> =
        routing.iter().map(|routing| format!("routing={}", escape(routing))).collect();
    if door.require_alias && what != What::Delete && !client.is_typed() {
        more.push("require_alias=true".to_owned());
    }
    let whole = || Some(json!({ "tag": tag, "made": tag, "text": log::text_of(tag) }));
    let (method, path, body) = match what {
        What::Put => ("PUT", document, whole()),
        What::Create => {
            more.push("op_type=create".to_owned());
            ("PUT", document, whole())
        }
        What::Update => {
            more.push("retry_on_conflict=5".to_owned());
            let path = match client.is_typed() {
                true => format!("{document}/_update"),
                false => format!("/{index}/_update/{escaped}"),
            };
            ("POST", path, Some(json!({ "doc": { "tag": tag } })))
        }
        What::Delete => ("DELETE", document, None),
    };
    let query = if more.is_empty() { String::new() } else { format!("?{}", more.join("&")) };
    (method, path + &query, body)
}

/// What an answer, or none, says of an operation.
fn outcome(client: &Client, what: What, reply: Result<Reply, Failure>) -> Outcome {
    let reply = match reply {
        Ok(reply) => reply,
        Err(Failure::NotSent(why)) => return Outcome::Refused(why),
        Err(Failure::Unknown(why)) => return Outcome::Unknown(why),
    };
    let Reply { status, body, served_by } = &reply;
    let said = || format!("{status} {}", body.to_string().chars().take(300).collect::<String>());
    let is_done =
        reply.is_good() || (*status == 404 && what == What::Delete && body["result"] == "not_found");
    if is_done && let Some(seq_no) = body["_seq_no"].as_u64() {
        let index = body["_index"].as_str().unwrap_or_default();
        let through = served_by.as_deref().unwrap_or_default();
        return Outcome::Acknowledged(log::Acknowledged {
            place: format!("{} {through} {index}", client.base()),
            version: body["_version"].as_u64().unwrap_or_default(),
            seq_no,
            found: *status != 404,
        });
    }
    let text = body.to_string();
    if *status == 404 && what == What::Update && text.contains("document_missing_exception") {
        return Outcome::Missing;
    }
    let refused = match status {
        400..=408 | 410..=499 => true,
        // By the server before it does anything, and by HAProxy when it has nobody to ask.
        503 => text.contains("cluster_block_exception") || text.contains("No server is available"),
        // A conflict (409) may be with what the server itself repeated.
        _ => false,
    };
    if refused { Outcome::Refused(said()) } else { Outcome::Unknown(said()) }
}
