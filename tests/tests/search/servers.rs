//! The two clusters and the name server that all tests of this binary share: starting them takes longer than most tests.
//! Tests that kill one of them, or make it sick as a whole, have them alone meanwhile.

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use segue_tests::servers::{Bind, HaProxy, Options, Port, SearchServer, Version};
use serde_json::json;

/// The zone of the name server.
pub(crate) const ZONE: &str = "segue.test";
/// The index that an alias leads to while a cluster does not serve: nobody can write there.
pub(crate) const PARKED: &str = "parked";

/// Which way documents are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Elasticsearch 7.10.2 to OpenSearch 2.19.4.
    ToOpenSearch,
    /// And the other way.
    ToElasticsearch,
}

/// Two clusters at two addresses with one port, as a name's two addresses must have it.
pub(crate) struct Servers {
    pub(crate) elasticsearch: SearchServer,
    pub(crate) opensearch: SearchServer,
    pub(crate) bind: Bind,
    /// The port of both.
    pub(crate) port: Port,
}

impl Servers {
    fn start() -> Self {
        let port = Port::take();
        let at = |address| Options::default().at(address, &port);
        let [elasticsearch, opensearch] = SearchServer::start_all([
            (Version::Elasticsearch7_10, at("127.0.0.11")),
            (Version::OpenSearch2_19, at("127.0.0.12")),
        ]);
        park(&elasticsearch);
        park(&opensearch);
        Self { elasticsearch, opensearch, bind: Bind::start(ZONE), port }
    }

    /// The cluster that documents are moved from, and that to which they are moved.
    pub(crate) fn pair(&self, way: Way) -> Pair<'_> {
        let (source, target) = match way {
            Way::ToOpenSearch => (&self.elasticsearch, &self.opensearch),
            Way::ToElasticsearch => (&self.opensearch, &self.elasticsearch),
        };
        Pair { source, target, bind: &self.bind }
    }

    /// The cluster to which documents are moved, to be killed and started.
    pub(crate) fn target(&mut self, way: Way) -> &mut SearchServer {
        match way {
            Way::ToOpenSearch => &mut self.opensearch,
            Way::ToElasticsearch => &mut self.elasticsearch,
        }
    }
}

/// Two clusters, and the name server that says which one clients find.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) source: &'a SearchServer,
    pub(crate) target: &'a SearchServer,
    pub(crate) bind: &'a Bind,
}

/// Makes the index that aliases lead to where nothing is served.
pub(crate) fn park(server: &SearchServer) {
    let settings = json!({ "number_of_shards": 1, "number_of_replicas": 0, "blocks.write": true });
    server.client().put(&format!("/{PARKED}"), &json!({ "settings": settings }));
}

/// A front that wants a login, by one of HAProxy's rules (with what that needs before it), and keeps it from the server.
pub(crate) fn guarded(url: &str, before: &str, rule: &str) -> HaProxy {
    let address = url.trim_start_matches("http://").to_owned();
    HaProxy::at("127.0.0.1", &Port::take(), "http", |bind| {
        format!(
            "{before}frontend front\n  bind {bind}\n  http-request {rule}\n  http-request del-header authorization\n  \
             default_backend search\nbackend search\n  server one {address}\n"
        )
    })
}

fn started() -> &'static RwLock<Servers> {
    static SERVERS: OnceLock<RwLock<Servers>> = OnceLock::new();
    SERVERS.get_or_init(|| RwLock::new(Servers::start()))
}

/// The servers beside other tests, which use other names.
pub(crate) fn shared() -> RwLockReadGuard<'static, Servers> {
    started().read().unwrap_or_else(PoisonError::into_inner)
}

/// The servers for one test alone. Whatever it killed is started again when it ends.
pub(crate) fn alone() -> Alone {
    Alone(started().write().unwrap_or_else(PoisonError::into_inner))
}

/// See [`alone`].
pub(crate) struct Alone(RwLockWriteGuard<'static, Servers>);

impl std::ops::Deref for Alone {
    type Target = Servers;

    fn deref(&self) -> &Servers {
        &self.0
    }
}

impl std::ops::DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Servers {
        &mut self.0
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let Servers { elasticsearch, opensearch, .. } = &mut *self.0;
        for server in [elasticsearch, opensearch] {
            if server.client().ask("GET", "/", None).is_err() {
                server.restart();
            }
        }
    }
}
