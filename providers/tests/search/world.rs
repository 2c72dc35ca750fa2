//! What these tests share: real servers, a step that nobody watches, blocks, and indices with names of a test's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Endpoint, Finding, LoadSettings, Progress, Quiesce, QuiesceCall,
    Registry, Secret, SecretRef, Select, Setting, Severity, Side, StepError, StepIo, Transform, UnitJob,
    UnitName,
};
use serde_json::{Value, json};
use ureq::Agent;

use crate::servers::{Version, server};

/// A step that nobody watches; what is found is kept.
#[derive(Default)]
pub(crate) struct Io {
    pub(crate) found: Mutex<Vec<Finding>>,
}

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
        Ok(())
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        Path::new("/nonexistent")
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        match secret {
            SecretRef::Env(name) => Ok(Secret::new(name.clone())),
            SecretRef::Spec { .. } => Err(StepError::permanent(format!("no secret {secret}"))),
        }
    }
    fn find(&self, finding: Finding) {
        self.found.lock().expect("not poisoned").push(finding);
    }
}

impl Io {
    pub(crate) fn codes(&self) -> Vec<String> {
        self.found.lock().expect("not poisoned").iter().map(|f| f.code.clone()).collect()
    }
}

/// A real server.
pub(crate) struct Server {
    pub(crate) url: String,
    /// Whether its mappings have types.
    pub(crate) typed: bool,
    agent: Agent,
}

impl Server {
    pub(crate) fn at(url: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build();
        let mut server = Self { url: url.to_owned(), typed: false, agent: config.new_agent() };
        server.typed = server.root()["version"]["number"].as_str().is_some_and(|v| v.starts_with("6."));
        server
    }

    /// Whether one answers there.
    pub(crate) fn is_healthy(url: &str) -> bool {
        ureq::get(format!("{url}/_cluster/health?wait_for_status=yellow&timeout=1s")).call().is_ok()
    }

    /// Asks anything.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        let reply = match body {
            Some(body) => self.agent.run(request.body(body.to_string()).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut reply = reply.unwrap_or_else(|e| panic!("{method} {}{path}: {e}", self.url));
        let text = reply.body_mut().read_to_string().expect("text");
        (reply.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Asks what has to succeed.
    pub(crate) fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Sends lines of a bulk, each of which has to be taken.
    pub(crate) fn lines(&self, path: &str, lines: &str) {
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/x-ndjson");
        let reply = self.agent.run(request.body(lines.to_owned()).expect("a request"));
        let text = reply.expect("answers").body_mut().read_to_string().expect("text");
        assert!(text.contains("\"errors\":false"), "{}", text.get(..500).unwrap_or(&text));
    }

    /// A mapping as this server wants it.
    pub(crate) fn mapping(&self, mapping: &Value) -> Value {
        if self.typed { json!({"_doc": mapping}) } else { mapping.clone() }
    }

    /// Makes an index with a name of its own, and takes it away in the end.
    pub(crate) fn index(&self, name: &str, settings: &Value, mapping: &Value) -> Index<'_> {
        let index = self.name(name);
        let mut all = json!({"index.number_of_shards": 1, "index.number_of_replicas": 0});
        for (name, value) in settings.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let body = json!({"settings": all, "mappings": self.mapping(mapping)});
        self.must("PUT", &format!("/{}", index.name), Some(&body));
        index
    }

    /// A name of its own; whatever has it is taken away in the end.
    pub(crate) fn name(&self, name: &str) -> Index<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Index { server: self, name: format!("{name}-{}-{count}", std::process::id()) }
    }

    /// The block of this server.
    pub(crate) fn block(&self, side: Side, units: &[&str]) -> BlockRef {
        let provider = if self.is_opensearch() { "opensearch" } else { "elasticsearch" };
        let name = if side == Side::Source { "old" } else { "new" };
        let address = format!("{side}.{provider}.{name}");
        let mut block = block(&address, provider, &[("url", json!(self.url)), ("timeout", json!(40_000))]);
        block.scope = units.iter().map(|u| (*u).to_owned()).collect();
        block
    }

    /// What it says of itself; nothing where it has no such page.
    pub(crate) fn root(&self) -> Value {
        self.ask("GET", "/", None).1
    }

    fn is_opensearch(&self) -> bool {
        self.root()["version"]["distribution"] == "opensearch"
    }
}

/// An index of one test; gone with it.
pub(crate) struct Index<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

impl Drop for Index<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for kind in ["marker", "before", "made", "tuned"] {
                let _ =
                    self.server.ask("DELETE", &format!("/.segue-markers/_doc/{kind}%3A{}", self.name), None);
            }
        }
        let _ = self.server.ask("DELETE", &format!("/{}", self.name), None);
    }
}

impl Index<'_> {
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/{}{rest}", self.name)
    }

    /// Writes a document as a client does. Returns the status.
    pub(crate) fn put(&self, id: &str, body: &Value) -> u16 {
        self.server.ask("PUT", &self.path(&format!("/_doc/{id}")), Some(body)).0
    }

    pub(crate) fn must_put(&self, id: &str, body: &Value) {
        let (status, answer) = self.server.ask("PUT", &self.path(&format!("/_doc/{id}")), Some(body));
        assert!((200..300).contains(&status), "{status} {answer}");
    }

    /// A setting by its flat name.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let answer = self.server.must("GET", &self.path("/_settings?flat_settings=true"), None);
        answer[&self.name]["settings"][name].as_str().map(str::to_owned)
    }

    /// What every shard counted, and the documents.
    pub(crate) fn counted(&self) -> Value {
        self.server.must("POST", &self.path("/_refresh"), None);
        let stats = self.server.must("GET", &self.path("/_stats/docs?level=shards"), None);
        let shards = &stats["indices"][&self.name]["shards"];
        let of = |copies: &Value| json!([copies[0]["seq_no"], copies[0]["docs"]]);
        shards.as_object().into_iter().flatten().map(|(n, copies)| (n.clone(), of(copies))).collect()
    }
}

pub(crate) fn opensearch() -> Server {
    server(Version::OpenSearch2)
}

pub(crate) fn elasticsearch() -> Server {
    server(Version::Elasticsearch7)
}

pub(crate) fn block(address: &str, provider: &str, settings: &[(&str, Value)]) -> BlockRef {
    let mut config = Config::default();
    for (name, value) in settings {
        config.insert(*name, Setting::Plain(value.clone()));
    }
    BlockRef {
        address: Address::new(address),
        provider: provider.to_owned(),
        base_dir: PathBuf::from("."),
        config,
        scope: Vec::new(),
    }
}

pub(crate) fn registry() -> Registry {
    segue_providers::registry()
}

/// The role of a block.
pub(crate) fn endpoint(block: &BlockRef) -> std::sync::Arc<dyn Endpoint> {
    registry().endpoint(block).expect("offered").clone()
}

pub(crate) fn write_block() -> std::sync::Arc<dyn Quiesce> {
    registry().quiesce(&block("q", "write_block", &[])).expect("offered").clone()
}

pub(crate) fn call(endpoint: &BlockRef, side: Side) -> QuiesceCall {
    QuiesceCall {
        block: block("cutover.a.quiesce.write_block", "write_block", &[]),
        endpoint: endpoint.clone(),
        side,
    }
}

/// What two sides say of each other, by code.
pub(crate) fn compared(from: &Index<'_>, to: &Server, at_target: &str) -> BTreeMap<String, Finding> {
    let (source, target) = (from.server.block(Side::Source, &[]), to.block(Side::Target, &[]));
    let unit = UnitName { unit: from.name.clone(), at_target: at_target.to_owned() };
    let found = endpoint(&source).compare(&source, &target, &[unit], &Io::default());
    found.into_iter().map(|f| (f.code.clone(), f)).collect()
}

pub(crate) fn critical(found: &BTreeMap<String, Finding>) -> Vec<&str> {
    found.values().filter(|f| f.severity == Severity::Critical).map(|f| f.code.as_str()).collect()
}

pub(crate) fn job(from: &Index<'_>, to: &Server, at_target: &str) -> UnitJob {
    UnitJob {
        migration: Address::new("migration.a"),
        unit: from.name.clone(),
        source: from.server.block(Side::Source, &[&from.name]),
        target: to.block(Side::Target, &[at_target]),
        direction: segue_contract::Direction::Forward,
        select: Select::default(),
        transform: Transform::default(),
        load: LoadSettings { parallelism: 1, ..LoadSettings::default() },
        audit: segue_contract::Audit::default(),
        quiet: false,
        ledger: None,
        epoch: 1,
        deletions: segue_contract::DeletionTerms::default(),
    }
}
