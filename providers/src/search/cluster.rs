//! One cluster as Segue asks it: several nodes of which one answers, plain JSON, refusals by type and reason.
//!
//! What a request may have done when no answer comes is the caller's question, so each says whether it reads or writes. A
//! read goes to the next node; a write whose answer was lost is `unknown` and goes nowhere else.

mod kept;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use segue_contract::{Address, BlockRef, ErrorClass, StepError, StepIo};
use serde_json::Value;

use super::about::About;
use super::refusal::Refusal;
use crate::http::{self, Client, HttpError, HttpErrorKind, Reply, Request, check_url};

/// How much of a reply is taken, in bytes: the mappings of a thousand indices, a page of documents.
const REPLY_BYTES_MAX: u64 = 128 << 20;
/// How long an address may be that lists names: servers take 4096 bytes in the first line unless told otherwise.
const NAMES_BYTES_MAX: usize = 3000;

/// After so many ms a read is put again that a server refused because it is busy (429). What takes longer, the step waits for.
const BUSY_WAITS: [u64; 4] = [100, 200, 400, 800];

/// Whether a request changes something when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing, and may be put to another node.
    Read,
    /// It changes something: without an answer nobody knows whether it did.
    Write,
}

/// A question to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    body: Option<Arc<Vec<u8>>>,
    media: &'static str,
    effect: Effect,
    /// What the server calls the task of this request, `X-Opaque-Id`.
    tag: Option<String>,
}

impl Ask {
    /// A read without a body. The path starts with a slash; names in it are [`super::names::encoded`].
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None, media: JSON, effect: Effect::Read, tag: None }
    }

    /// A read that needs a body.
    pub(crate) fn look(path: impl Into<String>, body: &Value) -> Self {
        Self { method: "POST", body: Some(Arc::new(body.to_string().into_bytes())), ..Self::get(path) }
    }

    /// A read that is put as a `POST` without a body: servers refuse one where they want none.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self { method: "POST", ..Self::get(path) }
    }

    /// A change.
    pub(crate) fn change(method: &'static str, path: impl Into<String>, body: Option<&Value>) -> Self {
        let body = body.map(|b| Arc::new(b.to_string().into_bytes()));
        Self { method, body, effect: Effect::Write, ..Self::get(path) }
    }

    /// A change in lines of JSON, each ended by a newline (`_bulk`).
    pub(crate) fn lines(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            method: "POST",
            body: Some(Arc::new(body)),
            media: LINES,
            effect: Effect::Write,
            ..Self::get(path)
        }
    }

    /// The same, as a task that is found again by this tag.
    pub(crate) fn tagged(self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), ..self }
    }
}

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// How a cluster is reached, and what it said that it is.
struct Way {
    client: Client,
    headers: Vec<(String, String)>,
    nodes: Vec<String>,
    /// The node that answered last.
    preferred: AtomicUsize,
    about: OnceLock<About>,
}

/// A cluster by its nodes' addresses. Connects when it is asked.
pub(crate) struct Cluster {
    way: Arc<Way>,
    /// The block, for messages.
    pub(crate) address: Address,
}

/// The addresses of a block's nodes, without a slash at their ends.
pub(crate) fn nodes(block: &BlockRef) -> Result<Vec<String>, StepError> {
    let one = block.config.plain("url").and_then(Value::as_str).map(str::to_owned);
    let more = block.words("urls")?.unwrap_or_default();
    let wrong = |what: &str, remedy: &str| {
        Err(StepError::permanent(format!("{}: {what}", block.address)).remedy(remedy.to_owned()))
    };
    if one.is_some() != more.is_empty() {
        return wrong(
            "exactly one of url and urls is needed",
            "write url = \"https://host:9200\", or urls with several",
        );
    }
    let all: Vec<String> = one.into_iter().chain(more).map(|u| u.trim_end_matches('/').to_owned()).collect();
    match all.iter().find_map(|url| check_url("", "url", url)) {
        Some(found) => wrong(&found.summary, &found.remedy),
        None => Ok(all),
    }
}

impl Way {
    fn of(block: &BlockRef, io: &dyn StepIo) -> Result<Self, StepError> {
        let (client, headers) = http::client(block, io)?;
        Ok(Self {
            client: client.reply_bytes_max(REPLY_BYTES_MAX),
            headers,
            nodes: nodes(block)?,
            preferred: AtomicUsize::new(0),
            about: OnceLock::new(),
        })
    }
}

impl Cluster {
    /// The cluster of a block with `url` or `urls` and the attributes of [`http::attributes`], by connections of its own: for
    /// those who want to know where the name leads now, and what is there.
    ///
    /// # Errors
    /// A secret or a file that is missing, an address that is none.
    pub(crate) fn of(block: &BlockRef, io: &dyn StepIo) -> Result<Self, StepError> {
        Ok(Self { way: Arc::new(Way::of(block, io)?), address: block.address.clone() })
    }

    /// The same by connections that calls before this one opened, and by what the cluster said then: see [`kept`].
    ///
    /// # Errors
    /// See [`Self::of`].
    pub(crate) fn kept(block: &BlockRef, io: &dyn StepIo) -> Result<Self, StepError> {
        Ok(Self { way: kept::way(block, io)?, address: block.address.clone() })
    }

    /// What it is; asked once.
    pub(crate) fn about(&self) -> Result<&About, StepError> {
        if let Some(known) = self.way.about.get() {
            return Ok(known);
        }
        let found = About::ask(self)?;
        Ok(self.way.about.get_or_init(|| found))
    }

    /// Asks, whatever the status of the answer.
    ///
    /// # Errors
    /// No node gave a whole answer. Unknown when it was a change that may have arrived.
    pub(crate) fn send(&self, ask: &Ask) -> Result<Reply, StepError> {
        self.sent(&self.way.client, ask)?.ok_or_else(|| {
            StepError::permanent(format!(
                "{}: {} {} has an answer of more than {REPLY_BYTES_MAX} bytes",
                self.address,
                ask.method,
                http::shown(&ask.path)
            ))
            .remedy("name fewer indices in indices")
        })
    }

    /// A read whose answer is to be a success of so many bytes at most; `None`: it has more.
    pub(crate) fn bounded(&self, ask: &Ask, most: Option<u64>) -> Result<Option<Vec<u8>>, StepError> {
        let bounded = most.map(|bytes| self.way.client.clone().reply_bytes_max(bytes));
        let Some(reply) = self.sent(bounded.as_ref().unwrap_or(&self.way.client), ask)? else {
            return if most.is_some() { Ok(None) } else { self.send(ask).map(|reply| Some(reply.body)) };
        };
        match self.understood(ask, reply) {
            Ok(reply) => Ok(Some(reply.body)),
            Err(refusal) => Err(refusal.step(ask.effect)),
        }
    }

    /// `None`: the answer is larger than what is taken. A read is put again a few times while the servers are busy.
    fn sent(&self, client: &Client, ask: &Ask) -> Result<Option<Reply>, StepError> {
        for wait in BUSY_WAITS {
            let reply = self.sent_once(client, ask)?;
            let is_busy = reply.as_ref().is_some_and(|reply| reply.status == 429);
            if !is_busy || ask.effect == Effect::Write {
                return Ok(reply);
            }
            std::thread::sleep(Duration::from_millis(wait));
        }
        self.sent_once(client, ask)
    }

    /// A read whose connection broke is put once more although no other node is left: idle connections are closed by whatever
    /// lies between.
    fn sent_once(&self, client: &Client, ask: &Ask) -> Result<Option<Reply>, StepError> {
        let first = self.way.preferred.load(Ordering::Relaxed);
        let mut failed: Option<StepError> = None;
        let (mut turn, mut turns) = (0, self.way.nodes.len());
        while turn < turns {
            let at = (first + turn) % self.way.nodes.len();
            turn += 1;
            let last = turn == turns;
            match client.send(&self.request(ask, at)) {
                // A node that is busy or on its way down, or a proxy before one that is gone.
                Ok(reply)
                    if ask.effect == Effect::Read && matches!(reply.status, 429 | 502..=504) && !last =>
                {
                    self.way.preferred.store(at + 1, Ordering::Relaxed);
                }
                Ok(reply) => {
                    self.way.preferred.store(at, Ordering::Relaxed);
                    return Ok(Some(reply));
                }
                Err(error) if error.kind == HttpErrorKind::TooLarge && ask.effect == Effect::Read => {
                    return Ok(None);
                }
                Err(error) => {
                    self.way.preferred.store(at + 1, Ordering::Relaxed);
                    let elsewhere = ask.effect == Effect::Read || had_no_effect(&error);
                    if error.kind == HttpErrorKind::Broken && elsewhere && turn == self.way.nodes.len() {
                        turns = turn + 1;
                    }
                    let error = step(error, ask.effect);
                    if error.class == ErrorClass::Permanent && turn == turns || !elsewhere {
                        return Err(error);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| StepError::transient(format!("{}: no node answers", self.address))))
    }

    fn request(&self, ask: &Ask, node: usize) -> Request {
        let url = format!("{}{}", self.way.nodes.get(node).map_or("", String::as_str), ask.path);
        let mut request = Request::new(ask.method, &url);
        request.headers.clone_from(&self.way.headers);
        if let Some(tag) = &ask.tag {
            request = request.header("x-opaque-id", tag);
        }
        if let Some(body) = &ask.body {
            request = request.header("content-type", ask.media);
            request.body = Some(Arc::clone(body));
        }
        request
    }

    /// Asks for JSON; a status that is no success is a refusal.
    pub(crate) fn answer(&self, ask: &Ask) -> Result<Result<Value, Refusal>, StepError> {
        let reply = match self.understood(ask, self.send(ask)?) {
            Ok(reply) => reply,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if reply.body.is_empty() {
            return Ok(Ok(Value::Null));
        }
        // What is no JSON was cut short, or is a proxy's.
        reply.json().map(Ok).map_err(|mut error| {
            error.class =
                if ask.effect == Effect::Read { ErrorClass::Transient } else { ErrorClass::Unknown };
            error
        })
    }

    /// A status that is no success is a refusal.
    fn understood(&self, ask: &Ask, reply: Reply) -> Result<Reply, Refusal> {
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let node = self.way.nodes.first().map_or("", String::as_str);
        let asked = Request::new(ask.method, &format!("{node}{}", ask.path)).shown();
        Err(Refusal::read(asked, reply.status, reply.retry_after_s, &reply.body))
    }

    /// Asks for JSON that has to come.
    pub(crate) fn json(&self, ask: &Ask) -> Result<Value, StepError> {
        self.answer(ask)?.map_err(|refusal| refusal.step(ask.effect))
    }

    /// Asks for JSON; what is not there (404) is `None`.
    pub(crate) fn maybe(&self, ask: &Ask) -> Result<Option<Value>, StepError> {
        match self.answer(ask)? {
            Ok(value) => Ok(Some(value)),
            Err(refusal) if refusal.is_absent() => Ok(None),
            Err(refusal) => Err(refusal.step(ask.effect)),
        }
    }

    /// Makes a change of the cluster's state that has to be acknowledged by all nodes.
    ///
    /// # Errors
    /// Unknown when it was taken and not acknowledged in time: it may still be applied.
    pub(crate) fn acknowledged(&self, ask: &Ask) -> Result<Value, StepError> {
        let value = self.json(ask)?;
        self.is_acknowledged(ask, &value)?;
        Ok(value)
    }

    /// Whether an answer says that all nodes applied the change.
    pub(crate) fn is_acknowledged(&self, ask: &Ask, answer: &Value) -> Result<(), StepError> {
        if answer["acknowledged"] == Value::Bool(true) {
            return Ok(());
        }
        Err(StepError::unknown(format!(
            "{}: {} {} was taken, and not every node acknowledged it in time",
            self.address,
            ask.method,
            http::shown(&ask.path)
        ))
        .remedy("see the cluster's pending tasks (`GET /_cluster/pending_tasks`)"))
    }
}

/// Names in groups that fit into an address each.
pub(crate) fn in_groups(names: &[String]) -> Vec<&[String]> {
    let mut groups = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        let bytes = super::names::encoded(name).len() + 1;
        if at > start && size + bytes > NAMES_BYTES_MAX {
            groups.extend(names.get(start..at));
            (start, size) = (at, 0);
        }
        size += bytes;
    }
    groups.extend(names.get(start..).filter(|rest| !rest.is_empty()));
    groups
}

/// Whether a request without an answer certainly did nothing.
fn had_no_effect(error: &HttpError) -> bool {
    matches!(
        error.kind,
        HttpErrorKind::Invalid
            | HttpErrorKind::Refused
            | HttpErrorKind::Unreachable
            | HttpErrorKind::Tls
            | HttpErrorKind::Clock
    )
}

/// A read that got no answer did nothing, and may be put again.
fn step(error: HttpError, effect: Effect) -> StepError {
    let mut error = error.step();
    if effect == Effect::Read && error.class == ErrorClass::Unknown {
        error.class = ErrorClass::Transient;
    }
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::stub::{Answer, Stub, nobody};
    use crate::testing::{Io, block};

    fn cluster(urls: &[&str]) -> Cluster {
        let block = block("target.opensearch.new", "opensearch", &[("urls", json!(urls))]);
        Cluster::of(&block, &Io::default()).expect("a cluster")
    }

    #[test]
    fn the_next_node_is_asked_when_one_is_down_and_stays_the_first_choice() {
        let up = Stub::new(|_| Answer::ok("{\"acknowledged\":true}"));
        let cluster = cluster(&[&nobody(), &up.url]);
        let put = Ask::change("PUT", "/a/_settings", Some(&json!({"index.refresh_interval": "1s"})));
        cluster.acknowledged(&put).expect("the second answers");
        assert_eq!(cluster.way.preferred.load(Ordering::Relaxed), 1);
        cluster.json(&Ask::get("/")).expect("answers");
        let heard = up.heard();
        assert_eq!(heard.len(), 2);
        assert!(heard[0].headers.contains(&"content-type: application/json".to_owned()), "{heard:?}");
        assert!(!heard[1].headers.iter().any(|h| h.contains("content-type")), "{heard:?}");
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_unknown_and_is_put_to_nobody_else() {
        let (breaks, other) = (Stub::new(|_| Answer::status(0)), Stub::new(|_| Answer::ok("{}")));
        let cluster = cluster(&[&breaks.url, &other.url]);
        let error = cluster.json(&Ask::change("DELETE", "/a", None)).expect_err("lost");
        assert_eq!((error.class, other.heard().len()), (ErrorClass::Unknown, 0));
        let breaks_only = self::cluster(&[&breaks.url]);
        let error = breaks_only.json(&Ask::get("/a")).expect_err("lost");
        assert_eq!(error.class, ErrorClass::Transient, "a read may be put again");
    }

    #[test]
    fn a_read_whose_connection_broke_is_put_once_more() {
        let count = AtomicUsize::new(0);
        let once = Stub::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::status(0),
            _ => Answer::ok("{\"n\":1}"),
        });
        assert_eq!(cluster(&[&once.url]).json(&Ask::get("/a")).expect("answers"), json!({"n": 1}));
        let always = Stub::new(|_| Answer::status(0));
        cluster(&[&always.url]).json(&Ask::get("/a")).expect_err("broken");
        assert_eq!(always.heard().len(), 2);
    }

    #[test]
    fn a_read_goes_past_a_node_that_answers_503_and_a_refusal_is_told_by_type_and_reason() {
        let body = json!({"error": {"type": "busy_exception", "reason": "later"}}).to_string();
        let busy = Stub::new(move |_| Answer(503, "retry-after: 7\r\n", body.clone()));
        let well = Stub::new(|_| Answer::ok("{\"n\":1}"));
        assert_eq!(cluster(&[&busy.url, &well.url]).json(&Ask::get("/")).expect("answers"), json!({"n": 1}));
        let error = cluster(&[&busy.url]).json(&Ask::get("/_x?token=1")).expect_err("busy");
        assert_eq!(error.class, ErrorClass::Transient);
        let said = error.to_string();
        assert!(
            said.ends_with("/_x?… answered HTTP 503: busy_exception: later (it asks to wait 7 s)"),
            "{said}"
        );
    }

    #[test]
    fn a_read_is_put_again_while_servers_are_busy_and_a_write_is_not() {
        let busy = |times: usize| {
            let count = AtomicUsize::new(0);
            Stub::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
                asked if asked < times => Answer::status(429),
                _ => Answer::ok("{\"n\":1}"),
            })
        };
        let (one, other) = (busy(1), busy(1));
        let both = cluster(&[&one.url, &other.url]);
        assert_eq!(both.json(&Ask::get("/a")).expect("answers"), json!({"n": 1}));
        assert_eq!((one.heard().len(), other.heard().len()), (1, 2), "the other node before any wait");
        let long = busy(BUSY_WAITS.len() + 1);
        let error = cluster(&[&long.url]).json(&Ask::get("/a")).expect_err("busy");
        assert_eq!((error.class, long.heard().len()), (ErrorClass::Transient, BUSY_WAITS.len() + 1));
        let write = busy(1);
        cluster(&[&write.url]).json(&Ask::change("PUT", "/a", None)).expect_err("busy");
        assert_eq!(write.heard().len(), 1);
    }

    #[test]
    fn what_is_not_there_is_none_and_what_nobody_acknowledged_is_unknown() {
        let stub = Stub::new(|heard| match heard.path.as_str() {
            "/gone" => Answer::status(404),
            _ => Answer::ok("{\"acknowledged\":false}"),
        });
        let cluster = cluster(&[&stub.url]);
        assert_eq!(cluster.maybe(&Ask::get("/gone")).expect("absent"), None);
        let error = cluster.acknowledged(&Ask::change("PUT", "/a", None)).expect_err("not acknowledged");
        assert_eq!(error.class, ErrorClass::Unknown);
    }

    #[test]
    fn a_block_has_one_address_or_several_and_no_login_in_them() {
        let nodes =
            |settings: &[(&str, Value)]| nodes(&block("source.elasticsearch.old", "elasticsearch", settings));
        assert_eq!(nodes(&[("url", json!("http://h:9200/"))]).expect("valid"), ["http://h:9200"]);
        for wrong in [
            vec![],
            vec![("url", json!("http://h")), ("urls", json!(["http://i"]))],
            vec![("url", json!("h:9200"))],
            vec![("url", json!("https://me:hunter2@h"))],
        ] {
            let error = nodes(&wrong).expect_err("wrong");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn long_lists_of_names_are_asked_in_groups() {
        let names: Vec<String> = (0..100).map(|n| format!("{n:0>100}")).collect();
        let groups = in_groups(&names);
        assert!(groups.len() > 1 && groups.iter().all(|g| g.len() * 101 <= NAMES_BYTES_MAX + 101));
        assert_eq!(groups.concat(), names);
        assert!(in_groups(&[]).is_empty());
    }
}
