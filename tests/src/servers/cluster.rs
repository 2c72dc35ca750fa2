//! Two nodes in one cluster: what a killed primary does to those who read and write meanwhile.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::place::Port;
use super::search::{Options, SearchServer};
use super::version::Version;
use crate::running::wait_long;

/// How long nodes may take to find each other, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A cluster of two. The first node alone may be its master, so that the second can be killed and the cluster goes on.
pub struct Cluster {
    /// Master and data.
    pub first: SearchServer,
    /// Data alone.
    pub second: SearchServer,
}

impl Cluster {
    /// Starts both, and waits until they have found each other.
    pub fn of_two(version: Version) -> Self {
        Self::with(version, &Options::default())
    }

    /// The same with options for both.
    pub fn with(version: Version, options: &Options) -> Self {
        let ports = [Port::take(), Port::take()];
        let name = format!("two-{:x}", RandomState::new().hash_one("a cluster"));
        let seeds = ports.each_ref().map(|port| format!("127.0.0.1:{}", port.number())).join(",");
        let both = options.clone().setting("cluster.name", &name);
        let both = match version {
            Version::Elasticsearch6_8 => {
                both.setting("discovery.type", "zen").setting("discovery.zen.ping.unicast.hosts", &seeds)
            }
            Version::Elasticsearch8_17 => {
                both.setting("discovery.type", "multi-node").setting("discovery.seed_hosts", &seeds)
            }
            _ => both.setting("discovery.type", "zen").setting("discovery.seed_hosts", &seeds),
        };
        let first = both.clone().setting("node.name", "first");
        let first = match version {
            Version::Elasticsearch6_8 => first,
            Version::OpenSearch2_19 => first.setting("cluster.initial_cluster_manager_nodes", "first"),
            _ => first.setting("cluster.initial_master_nodes", "first"),
        };
        let second = both.setting("node.name", "second");
        let second = match version {
            Version::Elasticsearch6_8 => second.setting("node.master", "false"),
            _ => second.setting("node.roles", "data,ingest"),
        };
        let first = SearchServer::begin(version, first, &ports[0]);
        let second = SearchServer::begin(version, second, &ports[1]);
        let mut cluster = Self { first, second };
        cluster.first.until_healthy();
        cluster.second.until_healthy();
        cluster.until_nodes(2);
        cluster
    }

    /// A client of the first node.
    pub fn client(&self) -> Client {
        self.first.client()
    }

    /// Waits until the first node sees so many.
    pub fn until_nodes(&self, wanted: u64) {
        wait_long("the cluster has its nodes", PATIENCE, || {
            let asked = self.client().ask("GET", "/_cluster/health", None);
            asked.is_ok_and(|reply| reply.body["number_of_nodes"] == json!(wanted))
        });
    }

    /// Makes an index whose primaries are all on the second node, each with a copy on the first, and waits until it is green.
    pub fn index_with_primaries_on_second(&self, index: &str, shards: usize) {
        let client = self.client();
        client.put(
            &format!("/{index}"),
            &json!({ "settings": {
                "index.number_of_shards": shards,
                "index.number_of_replicas": 0,
                "index.routing.allocation.include._name": "second",
                // A primary would be moved to the node that has less.
                "index.routing.rebalance.enable": "none",
            } }),
        );
        let copied = json!({
            "index.routing.allocation.include._name": "first,second", "index.number_of_replicas": 1,
        });
        client.put(&format!("/{index}/_settings"), &copied);
        wait_long("every shard has its copy", PATIENCE, || {
            let health = client.get(&format!("/_cluster/health/{index}"));
            health["status"] == "green" && health["relocating_shards"] == json!(0)
        });
        assert_eq!(self.primaries(index), vec!["second".to_owned(); shards]);
    }

    /// The node of each shard's primary, in the order of the shards; empty for one that has none now.
    pub fn primaries(&self, index: &str) -> Vec<String> {
        let shards = self.client().get(&format!("/_cat/shards/{index}?format=json&h=shard,prirep,node"));
        let mut found: Vec<(u64, String)> = shards
            .as_array()
            .into_iter()
            .flatten()
            .filter(|shard| shard["prirep"] == "p")
            .map(|shard| {
                let number = shard["shard"].as_str().and_then(|n| n.parse().ok()).unwrap_or_default();
                (number, shard["node"].as_str().map(str::to_owned).unwrap_or_default())
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, node)| node).collect()
    }

    /// Kills the second node, and waits until the first has taken all of an index's primaries over.
    pub fn kill_second(&mut self, index: &str) {
        self.second.kill();
        wait_long("the first node has the primaries", PATIENCE, || {
            self.primaries(index).iter().all(|node| node == "first")
        });
    }

    /// Figures of each copy of each shard: `_stats?level=shards` of an index.
    pub fn shard_stats(&self, index: &str) -> Value {
        self.client().get(&format!("/{index}/_stats?level=shards"))["indices"][index]["shards"].take()
    }
}
