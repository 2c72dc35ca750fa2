//! A small client for search servers, written for the tests alone: what Segue's own client gets wrong must not be judged by it.
//! It reads all documents by a scroll in index order, which no engine of Segue's uses where it has something better.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// How long any request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that an answer may have, in bytes.
const REPLY_BYTES_MAX: u64 = 1 << 30;
/// Documents that are read at once.
const PAGE: usize = 5000;

/// An answer, of any status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// 200.
    pub status: u16,
    /// JSON, or a string of what is no JSON.
    pub body: Value,
    /// Which backend an `HaProxy` says that it asked.
    pub served_by: Option<String>,
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection: the server has not heard of it.
    NotSent(String),
    /// Whatever was sent may have been done.
    Unknown(String),
}

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The index that it is in, never an alias.
    pub index: String,
    /// Its id.
    pub id: String,
    /// Its custom routing.
    pub routing: Option<String>,
    /// Its version.
    pub version: u64,
    /// Its number in the sequence of its shard's operations.
    pub seq_no: u64,
    /// The primary term in which it was written.
    pub primary_term: u64,
    /// What it holds.
    pub source: Value,
}

/// A client of one address. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    base: String,
    authorization: Option<String>,
    typed: bool,
    agent: Agent,
}

impl Client {
    /// Of an address such as `http://127.0.0.1:9200`; connects nowhere yet.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            authorization: None,
            typed: false,
            agent: agent(TlsConfig::builder().build()),
        }
    }

    /// Of a server that names mapping types (6.8).
    #[must_use]
    pub fn typed(mut self, typed: bool) -> Self {
        self.typed = typed;
        self
    }

    /// With a name and a password.
    #[must_use]
    pub fn with_password(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// Trusting this authority (PEM) alone, and showing this certificate and key (PEM).
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without its certificates")]
    pub fn with_tls(mut self, authority: &[u8], own: Option<(&[u8], &[u8])>) -> Self {
        let read = |pem: &[u8]| Certificate::from_pem(pem).expect("a certificate");
        let own = own.map(|(certificate, key)| {
            ClientCert::new_with_certs(&[read(certificate)], PrivateKey::from_pem(key).expect("a key"))
        });
        let roots = RootCerts::new_with_certs(&[read(authority)]);
        self.agent = agent(TlsConfig::builder().root_certs(roots).client_cert(own).build());
        self
    }

    /// The address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether the server names mapping types.
    pub fn is_typed(&self) -> bool {
        self.typed
    }

    /// Asks. Every status is an answer.
    ///
    /// # Errors
    /// There is no whole answer.
    #[expect(clippy::expect_used, reason = "a test's own addresses are valid")]
    pub fn ask(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Reply, Failure> {
        let kind = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let answered = match body {
            Some(body) => self.agent.run(request.header("content-type", kind).body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        let mut reply = answered.map_err(|e| failure(&e))?;
        let status = reply.status().as_u16();
        let served_by = reply.headers().get("served-by").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let read = reply.body_mut().with_config().limit(REPLY_BYTES_MAX).read_to_vec();
        let bytes = read.map_err(|e| Failure::Unknown(format!("the answer was cut short: {e}")))?;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()), served_by })
    }

    /// Asks, and takes nothing but a good answer.
    ///
    /// # Panics
    /// No answer, or a status that is not 2xx.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is an assertion of tests")]
    pub fn demand(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let bytes = body.map(|body| body.to_string().into_bytes());
        match self.ask(method, path, bytes.as_deref()) {
            Ok(reply) if reply.is_good() => reply.body,
            Ok(reply) => panic!("{method} {}{path}: {} {}", self.base, reply.status, reply.body),
            Err(failure) => panic!("{method} {}{path}: {failure:?}", self.base),
        }
    }

    /// `GET`. Panics as `demand`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.demand("GET", path, None)
    }

    /// `PUT`. Panics as `demand`.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.demand("PUT", path, Some(body))
    }

    /// `POST`. Panics as `demand`.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.demand("POST", path, Some(body))
    }

    /// `DELETE`. Panics as `demand`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Value {
        self.demand("DELETE", path, None)
    }

    /// Whether there is such an index or alias.
    pub fn has(&self, index: &str) -> bool {
        self.ask("GET", &format!("/{index}"), None).is_ok_and(|reply| reply.is_good())
    }

    /// Makes an index with so many shards and no replicas, and these properties in its mapping (`null`: none).
    #[track_caller]
    pub fn make_index(&self, index: &str, shards: usize, properties: &Value) {
        let mapping = if properties.is_null() { json!({}) } else { json!({ "properties": properties }) };
        let mapping = if self.typed { json!({ "_doc": mapping }) } else { mapping };
        let settings = json!({ "number_of_shards": shards, "number_of_replicas": 0 });
        self.put(&format!("/{index}"), &json!({ "settings": settings, "mappings": mapping }));
    }

    /// The path of a document: `/INDEX/_doc/ID`.
    pub fn doc(index: &str, id: &str) -> String {
        format!("/{index}/_doc/{}", escape(id))
    }

    /// Writes documents, each over what there is under its id.
    ///
    /// # Panics
    /// One of them was not taken.
    #[track_caller]
    pub fn bulk<'a>(&self, index: &str, documents: impl IntoIterator<Item = (&'a str, &'a Value)>) {
        let kind = if self.typed { json!("_doc") } else { Value::Null };
        let mut lines = String::new();
        for (id, source) in documents {
            let mut action = json!({ "index": { "_index": index, "_id": id } });
            if self.typed {
                action["index"]["_type"] = kind.clone();
            }
            lines.push_str(&format!("{action}\n{source}\n"));
        }
        if lines.is_empty() {
            return;
        }
        let reply = self.ask("POST", "/_bulk", Some(lines.as_bytes()));
        let taken = reply.as_ref().is_ok_and(|r| r.is_good() && r.body["errors"] == json!(false));
        assert!(taken, "POST {}/_bulk: {}", self.base, beginning(&format!("{reply:?}")));
    }

    /// Makes what was written visible to searches.
    #[track_caller]
    pub fn refresh(&self, index: &str) {
        self.demand("POST", &format!("/{index}/_refresh"), None);
    }

    /// How many documents a search of everything finds, after a refresh.
    #[track_caller]
    pub fn count(&self, index: &str) -> u64 {
        self.refresh(index);
        self.get(&format!("/{index}/_count"))["count"].as_u64().unwrap_or_default()
    }

    /// All documents of an index, an alias or a pattern, after a refresh, by one scroll in index order.
    #[track_caller]
    pub fn documents(&self, index: &str) -> Vec<Document> {
        self.documents_with(index, &json!({}))
    }

    /// The same with more in the search's body: `{"_source": ["tag"]}`, `{"query": …}`.
    #[track_caller]
    pub fn documents_with(&self, index: &str, more: &Value) -> Vec<Document> {
        self.refresh(index);
        let mut asked =
            json!({ "size": PAGE, "sort": ["_doc"], "version": true, "seq_no_primary_term": true });
        for (name, value) in more.as_object().into_iter().flatten() {
            asked[name] = value.clone();
        }
        let mut page = self.post(&format!("/{index}/_search?scroll=5m"), &asked);
        let mut found = Vec::new();
        loop {
            assert_eq!(page["_shards"]["failed"], json!(0), "a shard did not answer: {}", page["_shards"]);
            let Value::Array(hits) = page["hits"]["hits"].take() else { break };
            let scroll = page["_scroll_id"].take();
            if hits.is_empty() {
                // Its own alone: other tests read at the same server.
                self.demand("DELETE", "/_search/scroll", Some(&json!({ "scroll_id": [scroll] })));
                break;
            }
            found.extend(hits.into_iter().map(document));
            page = self.post("/_search/scroll", &json!({ "scroll": "5m", "scroll_id": scroll }));
        }
        found
    }
}

fn agent(tls: TlsConfig) -> Agent {
    // No proxy: these are servers of this machine.
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .tls_config(tls)
        .build()
        .new_agent()
}

fn failure(error: &ureq::Error) -> Failure {
    let not_sent = match error {
        ureq::Error::Io(e) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(at) => matches!(at, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::BadUri(_) => true,
        _ => false,
    };
    if not_sent { Failure::NotSent(error.to_string()) } else { Failure::Unknown(error.to_string()) }
}

fn document(mut hit: Value) -> Document {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Document {
        index: text(&hit["_index"]).unwrap_or_default(),
        id: text(&hit["_id"]).unwrap_or_default(),
        routing: text(&hit["_routing"]),
        version: hit["_version"].as_u64().unwrap_or_default(),
        seq_no: hit["_seq_no"].as_u64().unwrap_or_default(),
        primary_term: hit["_primary_term"].as_u64().unwrap_or_default(),
        source: hit["_source"].take(),
    }
}

/// A part of a path, with each byte escaped that could mean something else there.
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// The beginning of a text, for messages.
fn beginning(text: &str) -> String {
    text.chars().take(2000).collect()
}
