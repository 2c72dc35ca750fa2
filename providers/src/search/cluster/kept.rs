//! Ways to clusters that stay open from one call to the next. An engine, a barrier and a marker each ask by a call of their own,
//! a hundred of them in a pause; connecting, shaking hands over TLS and asking what answers there each time cost more than what
//! they ask.
//!
//! A way is shared by blocks that connect alike: the same nodes, login, certificates and time-out. Nothing is concluded from its
//! being open. Whether the index behind it is still the one is known by its id and primary terms, which whoever counts or reads
//! changes looks at each time (`collection`), and by the marker before each pass; those who look where a name leads, or what a
//! cluster is (facts, findings, probes), ask by ways of their own. And none is given out for long: a name that leads elsewhere,
//! and a server that was upgraded, are found without a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use segue_contract::{BlockRef, StepError, StepIo};

use super::{Way, nodes};
use crate::http;

/// How long a way is given out after it was made; who has it then goes on using it.
const GIVEN_OUT: Duration = Duration::from_secs(30);

struct Kept {
    nodes: Vec<String>,
    /// Of whom, and how: [`http::identity`].
    identity: [u8; 32],
    since: Instant,
    way: Arc<Way>,
}

/// Few: a run knows the clusters of its spec.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// The way to a block's cluster.
pub(super) fn way(block: &BlockRef, io: &dyn StepIo) -> Result<Arc<Way>, StepError> {
    let (nodes, identity) = (nodes(block)?, http::identity(block, io)?);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|kept| kept.since.elapsed() < GIVEN_OUT);
    if let Some(found) = kept.iter().find(|kept| kept.identity == identity && kept.nodes == nodes) {
        return Ok(Arc::clone(&found.way));
    }
    let way = Arc::new(Way::of(block, io)?);
    kept.push(Kept { nodes, identity, since: Instant::now(), way: Arc::clone(&way) });
    Ok(way)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::{Ask, Cluster};
    use crate::http::stub::{Answer, Stub};
    use crate::testing::{Io, block};

    const ABOUT: &str = r#"{"cluster_name": "c", "cluster_uuid": "u", "version": {"number": "2.19.4", "distribution": "opensearch"}}"#;

    #[test]
    fn a_cluster_is_asked_once_what_it_is_however_often_it_is_opened() {
        let stub = Stub::new(|_| Answer::ok(ABOUT));
        let block = block("target.opensearch.new", "opensearch", &[("url", json!(stub.url))]);
        for _ in 0..5 {
            let cluster = Cluster::kept(&block, &Io::default()).expect("a cluster");
            cluster.about().expect("known");
            cluster.json(&Ask::get("/_x")).expect("answers");
        }
        let heard = stub.heard();
        assert_eq!(heard.iter().filter(|heard| heard.path == "/").count(), 1);
        assert_eq!(heard.len(), 6);
        Cluster::of(&block, &Io::default()).expect("a cluster").about().expect("known");
        assert_eq!(stub.heard().len(), 7, "who looks anew asks anew");
    }

    #[test]
    fn blocks_that_connect_otherwise_share_nothing() {
        let stub = Stub::new(|_| Answer::ok(ABOUT));
        let open = |settings: &[(&str, serde_json::Value)]| {
            let mut all = vec![("url", json!(stub.url))];
            all.extend(settings.iter().cloned());
            let cluster = Cluster::kept(&block("target.opensearch.new", "opensearch", &all), &Io::default());
            std::sync::Arc::as_ptr(&cluster.expect("a cluster").way) as usize
        };
        let ways: BTreeSet<usize> = [
            open(&[]),
            open(&[("indices", json!(["a"]))]),
            open(&[("headers", json!(["X-Tenant: a"]))]),
            open(&[("headers", json!(["X-Tenant: b"]))]),
            open(&[("timeout", json!(7))]),
        ]
        .into();
        assert_eq!(ways.len(), 4, "which indices are meant changes nothing in how they are asked for");
    }
}
