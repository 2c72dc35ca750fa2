//! Gates and watches against real servers.

use serde_json::{Value, json};

use crate::world::{Io, block, elasticsearch, opensearch, registry};

#[test]
fn a_healthy_cluster_is_well_and_an_index_without_a_node_for_its_replica_is_not_green() {
    for server in [opensearch(), elasticsearch()] {
        let index = server.index("health", &json!({"index.number_of_replicas": 1}), &json!({}));
        let look = |settings: &[(&str, Value)]| {
            let mut all = vec![("url", json!(server.url)), ("indices", json!([index.name]))];
            all.extend(settings.iter().cloned());
            let block = block("watch", "search_health", &all);
            registry().watch(&block).expect("offered").look(&block, &Io::default()).expect("looks")
        };
        let well = look(&[]);
        assert!(well.ok && well.said.starts_with("yellow, 1 nodes"), "{well:?}");
        assert!(!look(&[("status", json!("green"))]).ok);
    }
}

#[test]
fn the_same_queries_find_the_same_or_it_is_said() {
    let (from, to) = (elasticsearch(), opensearch());
    let mapping = json!({"properties": {"t": {"type": "text"}}});
    let (old, new) = (from.index("queries", &json!({}), &mapping), to.index("queries", &json!({}), &mapping));
    for n in 0..30 {
        let body = json!({"t": format!("word{} common", n % 5), "n": n});
        old.must_put(&n.to_string(), &body);
        new.must_put(&n.to_string(), &body);
    }
    let refresh = || [&old, &new].map(|i| i.server.must("POST", &i.path("/_refresh"), None));
    refresh();
    let query = |body: Value| json!({"index": old.name, "target_index": new.name, "body": body}).to_string();
    let queries = [
        query(json!({"query": {"match": {"t": "word3"}}, "sort": [{"n": "asc"}]})),
        query(json!({"query": {"range": {"n": {"gte": 10}}}, "sort": [{"n": "desc"}]})),
    ];
    let block = block(
        "gate",
        "search_queries",
        &[
            ("source_url", json!(from.url)),
            ("target_url", json!(to.url)),
            ("queries", json!(queries)),
            ("max_latency_ratio", json!(50.0)),
        ],
    );
    let look = || registry().gate(&block).expect("offered").look(&block, &Io::default()).expect("looks");
    assert_eq!(registry().gate(&block).expect("offered").check(&block), []);
    let well = look();
    assert!(well.ok && well.value == Some(100.0), "{well:?}");
    assert_eq!(to.ask("DELETE", &new.path("/_doc/3"), None).0, 200);
    refresh();
    let no = look();
    assert!(!no.ok && no.said.contains("6 hits at the source, 5 at the target"), "{no:?}");
}
