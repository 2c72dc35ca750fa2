//! One index with words and writers, and a spec that moves it: what every test of this binary begins with and ends with.
//!
//! Clients find the cluster by a name (DNS) and the index by an alias, and know nothing else. In each cluster the alias leads
//! to the index while that cluster serves, and to a closed one otherwise: so `barrier = "name"` is true of both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use segue_tests::servers::writer::{Door, Log, Verdict, Workload, Writers};
use segue_tests::servers::{Client, Document, SearchServer, look_up, wordnet};
use segue_tests::{Ran, Running, Scratch, say};
use serde_json::{Value, json};

use crate::servers::{PARKED, Pair, ZONE};

/// What a test types.
pub(crate) const APPLY: [&str; 2] = ["apply", "--auto-approve"];
/// How long anything may take: only a bound against hanging, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(540);
/// The environment variable with the name server's key.
pub(crate) const KEY: &str = "SEGUE_TEST_DNS_KEY";
/// The environment variable with a password, which is a wrong one.
pub(crate) const PASSWORD: &str = "SEGUE_TEST_PASSWORD_OF_SPEC";
/// How many words are dealt to writers as keys of their own.
const SEEDS: usize = 120;

/// What differs from test to test.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    /// More in the source's block, the target's, the migration, the cutover.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) migration: String,
    pub(crate) cutover: String,
    /// In place of what is between the braces of `fallback`.
    pub(crate) fallback: Option<String>,
    /// In place of the addresses of the clusters: what stands in front of them.
    pub(crate) source_url: Option<String>,
    pub(crate) target_url: Option<String>,
    /// The aliases' routes go the clusters' way: through what stands in front of them, with what is in `source` and `target`.
    pub(crate) routes_alike: bool,
    /// In place of the one index: a pattern.
    pub(crate) include: Option<String>,
    /// In place of the name server's key.
    pub(crate) dns_key: Option<(String, String)>,
}

/// One of the clusters.
struct End {
    client: Client,
    at: Ipv4Addr,
}

impl End {
    fn of(server: &SearchServer) -> Self {
        Self { client: server.client(), at: address(server) }
    }
}

/// An index on its way. Borrows nothing of the servers: they may be killed meanwhile.
pub(crate) struct Scene {
    source: End,
    target: End,
    dns_port: u16,
    /// The alias; also the first label of the DNS name.
    pub(crate) name: String,
    pub(crate) scratch: Scratch,
    /// How many words were loaded.
    words: usize,
    /// Documents that are to be there beside the words, by id.
    pub(crate) beside: BTreeMap<String, Value>,
}

impl Scene {
    /// An index of so many words in so many shards at the cluster that is moved from.
    pub(crate) fn new(pair: Pair, name: &str, words: usize, shards: usize, terms: &Terms) -> Self {
        let index = format!("{name}-1");
        let (source, target) = (End::of(pair.source), End::of(pair.target));
        assert_eq!(wordnet::load(&source.client, &index, shards, words), words);
        lead(&source.client, name, &index);
        lead(&target.client, name, PARKED);
        let record = format!("{name}.{ZONE}");
        pair.bind
            .update(&format!("update add {record} 1 A {}", source.at))
            .expect("the name server takes it");
        let secret = pair.bind.secret();
        let secret = terms.dns_key.as_ref().map_or(secret.as_str(), |(_, secret)| secret.as_str());
        let scratch = Scratch::of_spec(&spec(pair, name, terms), &[(KEY, secret), (PASSWORD, "wrong")]);
        let (name, dns_port) = (name.to_owned(), pair.bind.port());
        Self { source, target, dns_port, name, scratch, words, beside: BTreeMap::new() }
    }

    /// What the index is called.
    pub(crate) fn index(&self) -> String {
        format!("{}-1", self.name)
    }

    pub(crate) fn source(&self) -> Client {
        self.source.client.clone()
    }

    pub(crate) fn target(&self) -> Client {
        self.target.client.clone()
    }

    /// The whole name that clients look up.
    pub(crate) fn record(&self) -> String {
        format!("{}.{ZONE}", self.name)
    }

    /// By the name, then by the alias, at each write.
    pub(crate) fn door(&self) -> Door {
        let clients: BTreeMap<Ipv4Addr, Client> =
            [&self.source, &self.target].map(|end| (end.at, end.client.clone())).into();
        let nobody = Client::new("http://127.0.0.1:1");
        let (port, record) = (self.dns_port, self.record());
        let ask = move || {
            let found = look_up(port, &record);
            found.and_then(|at| clients.get(&at).cloned()).unwrap_or_else(|| nobody.clone())
        };
        Door::asked(ask, &self.name).require_alias()
    }

    /// Writers with keys that begin with this, and with the words from `turn` times 120 on as keys of their own.
    pub(crate) fn writers(&self, prefix: &str, turn: usize, seed: u64) -> Writers {
        let seeds = wordnet::synsets().take(self.words).skip(turn * SEEDS).take(SEEDS).map(|(id, _)| id);
        Writers::start(Workload {
            prefix: prefix.to_owned(),
            seeds: seeds.collect(),
            routing: true,
            own_keys: 60,
            ..Workload::new(self.door(), seed)
        })
    }

    /// Runs the released binary.
    pub(crate) fn segue(&self, args: &[&str]) -> Ran {
        self.scratch.segue(args)
    }

    pub(crate) fn apply(&self) -> Ran {
        self.segue(&APPLY)
    }

    pub(crate) fn start(&self) -> Running {
        Running::new(&self.scratch, &APPLY)
    }

    /// Says in the spec which side is to serve.
    pub(crate) fn wants(&self, live: &str) {
        let text = self.scratch.read("site.segue.hcl");
        let from = if text.contains("live       = \"target\"") { "target" } else { "source" };
        self.scratch.edit_spec(&format!("live       = \"{from}\""), &format!("live       = \"{live}\""));
    }

    /// Whom the name, the alias at both clusters, and the state say to serve.
    #[track_caller]
    pub(crate) fn serves(&self, live: &str) {
        let (here, there) =
            if live == "source" { (&self.source, &self.target) } else { (&self.target, &self.source) };
        assert_eq!(look_up(self.dns_port, &self.record()), Some(here.at), "the name");
        assert_eq!(led(&here.client, &self.name), [self.index()], "the alias where it serves");
        assert_eq!(led(&there.client, &self.name), [PARKED], "the alias where it does not");
        assert_eq!(self.scratch.serves(), live, "the state");
    }

    /// Nothing that was acknowledged is missing, doubled, back, or older at the cluster that serves; the words that nobody
    /// changed are all there, and nothing else is.
    #[track_caller]
    pub(crate) fn judged(&self, live: &str, logs: &[&Log]) -> Verdict {
        let client = if live == "source" { self.source() } else { self.target() };
        let documents = client.documents(&self.index());
        let mut all = Verdict::default();
        for log in logs {
            let verdict = log.judge_documents(&documents);
            verdict.expect_clean();
            all.acknowledged += verdict.acknowledged;
            all.keys += verdict.keys;
        }
        let mut words: BTreeMap<String, Value> = wordnet::synsets().take(self.words).collect();
        words.extend(self.beside.clone());
        untouched(&documents, logs, words, live);
        all
    }

    /// Both sides hold the same, document by document. Nobody writes meanwhile, and the sides are in sync.
    #[track_caller]
    pub(crate) fn alike(&self) {
        let of = |client: &Client| -> BTreeMap<(String, Option<String>), Value> {
            let found = client.documents(&self.index());
            found.into_iter().map(|d| ((d.id, d.routing), d.source)).collect()
        };
        let (here, there) = (of(&self.source()), of(&self.target()));
        let differing: Vec<_> =
            here.iter().filter(|(key, body)| there.get(*key) != Some(*body)).take(3).collect();
        assert!(
            here.len() == there.len() && differing.is_empty(),
            "{} and {}: {differing:?}",
            here.len(),
            there.len()
        );
    }
}

/// What nobody wrote to is there as it was loaded, and nothing else is.
#[track_caller]
pub(crate) fn untouched(
    documents: &[Document],
    logs: &[&Log],
    mut loaded: BTreeMap<String, Value>,
    live: &str,
) {
    let touched: BTreeSet<&str> =
        logs.iter().flat_map(|log| log.operations()).map(|operation| operation.id.as_str()).collect();
    loaded.retain(|id, _| !touched.contains(id.as_str()));
    for document in documents.iter().filter(|d| !touched.contains(d.id.as_str())) {
        let wanted = loaded.remove(&document.id);
        assert_eq!(wanted.as_ref(), Some(&document.source), "{} at the {live}", document.id);
    }
    let first = loaded.keys().next();
    assert!(loaded.is_empty(), "{} words are missing at the {live}: {first:?}", loaded.len());
}

/// What a side took, and what was asked of it, for people.
pub(crate) fn told(what: &str, log: &Log, verdict: &Verdict) {
    say(&format!(
        "{what}: {} writes acknowledged, {} refused, {} of unknown outcome; {} keys judged: {} lost, {} doubled, {} back; \
         longest pause {} ms",
        log.acknowledged(),
        log.refused(),
        log.unknown(),
        verdict.keys,
        verdict.lost,
        verdict.doubled,
        verdict.back,
        log.longest_pause().as_millis()
    ));
}

#[track_caller]
pub(crate) fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// The address of a server, for a record of the name server.
pub(crate) fn address(server: &SearchServer) -> Ipv4Addr {
    let host = server.url().trim_start_matches("http://").split(':').next().unwrap_or_default();
    host.parse().expect("an address")
}

/// Has an alias lead to an index, and to nothing else.
pub(crate) fn lead(client: &Client, alias: &str, index: &str) {
    let remove = json!({ "remove": { "index": "*", "alias": alias } });
    let add = json!({ "add": { "index": index, "alias": alias } });
    let had = !led(client, alias).is_empty();
    client.post("/_aliases", &json!({ "actions": if had { vec![remove, add] } else { vec![add] } }));
}

/// The indices that an alias leads to.
pub(crate) fn led(client: &Client, alias: &str) -> Vec<String> {
    let found = client.ask("GET", &format!("/_alias/{alias}"), None).expect("an answer");
    if !found.is_good() {
        return Vec::new();
    }
    found.body.as_object().expect("indices").keys().cloned().collect()
}

/// The name, and the alias at each cluster.
fn routes(pair: Pair, name: &str, terms: &Terms) -> String {
    let Pair { source, target, bind } = pair;
    let way = |server: &SearchServer, front: &Option<String>, more: &str| match front {
        _ if !terms.routes_alike => format!("url    = \"{}\"", server.url()),
        front => format!("url    = \"{}\"\n  {more}", front.as_deref().unwrap_or(server.url())),
    };
    let at_old = way(source, &terms.source_url, &terms.source);
    let at_new = way(target, &terms.target_url, &terms.target);
    let [source_at, target_at] = [source, target].map(address);
    let key = terms.dns_key.as_ref().map_or(bind.key_name(), |(name, _)| name.as_str());
    let bind = bind.address();
    format!(
        r#"route "dns" "search" {{
  server     = "{bind}"
  zone       = "{ZONE}."
  name       = "{name}"
  ttl        = "1s"
  source     = "{source_at}"
  target     = "{target_at}"
  key_name   = "{key}"
  key_secret = env("{KEY}")
}}
route "search_alias" "at_old" {{
  {at_old}
  alias  = "{name}"
  source = "{name}-1"
  target = "{PARKED}"
}}
route "search_alias" "at_new" {{
  {at_new}
  alias  = "{name}"
  source = "{PARKED}"
  target = "{name}-1"
}}
"#
    )
}

/// The spec of a scene.
fn spec(pair: Pair, name: &str, terms: &Terms) -> String {
    let Pair { source, target, .. } = pair;
    let (from, to) = (source.version().product(), target.version().product());
    let Terms { source: in_source, target: in_target, migration, cutover, .. } = terms;
    let source_seen = terms.source_url.as_deref().unwrap_or(source.url());
    let target_seen = terms.target_url.as_deref().unwrap_or(target.url());
    let include = terms.include.clone().unwrap_or_else(|| format!("{name}-1"));
    let fallback = terms.fallback.as_deref().unwrap_or("reverse = true");
    let routes = routes(pair, name, terms);
    format!(
        r#"source "{from}" "old" {{
  url     = "{source_seen}"
  indices = ["{include}"]
  barrier = "name"
  {in_source}
}}
target "{to}" "new" {{
  url     = "{target_seen}"
  indices = ["{include}"]
  barrier = "name"
  {in_target}
}}
{routes}migration "site" {{
  source = source.{from}.old
  target = target.{to}.new
  select {{
    include = ["{include}"]
  }}
  sync {{
    interval = "1s"
  }}
  verify {{
    level = "full"
  }}
  {migration}
}}
cutover "site" {{
  migrations = [migration.site]
  live       = "target"
  timeout    = "2m"
  {cutover}
  quiesce "write_block" {{}}
  switch {{
    routes = [route.dns.search, route.search_alias.at_old, route.search_alias.at_new]
  }}
  fallback {{
    {fallback}
  }}
}}
"#
    )
}
