//! What a cluster says of itself, and what two say of each other.

use segue_contract::{Barrier, BlockRef, EndpointFacts, Setting, Side, UnitName};
use serde_json::json;

use crate::world::{Io, block, compared, critical, elasticsearch, endpoint, opensearch};

#[test]
fn a_cluster_is_its_id_and_its_indices_are_its_units() {
    for server in [opensearch(), elasticsearch()] {
        let nested = json!({"properties": {"parts": {"type": "nested"}}});
        let (plain, hidden) = (
            server.index("facts", &json!({}), &nested),
            server.index("facts", &json!({"index.hidden": true}), &json!({})),
        );
        plain.must_put("1", &json!({"parts": [{"n": 1}, {"n": 2}]}));
        server.must("POST", "/_refresh", None);
        let io = Io::default();
        let target = server.block(Side::Target, &[]);
        let facts = endpoint(&target).observe(&target, &io).expect("observes");
        let root = server.root();
        let uuid = root["cluster_uuid"].as_str().expect("an id");
        assert!(facts.identity.0.contains(uuid), "{}", facts.identity);
        assert_eq!((facts.exists, facts.barrier), (true, Barrier::None));
        let unit = facts.units.iter().find(|u| u.name == plain.name).expect("a unit");
        assert_eq!(unit.records, Some(1), "nested documents are no documents");
        assert!(unit.bytes.is_some_and(|b| b > 0));
        assert!(
            !facts.units.iter().any(|u| u.name == hidden.name || u.name.starts_with('.')),
            "{:?}",
            facts.units
        );
        assert!(facts.settings[&format!("{}: mappings", plain.name)].contains("nested"));
        // Of this index alone: other tests make and delete theirs meanwhile.
        let again = endpoint(&target).observe(&target, &io).expect("observes");
        let own = |facts: &EndpointFacts| -> Vec<(String, String)> {
            let settings = facts.settings.iter().filter(|(name, _)| name.starts_with(&plain.name));
            settings.map(|(name, text)| (name.clone(), text.clone())).collect()
        };
        assert_eq!(own(&again), own(&facts));
        assert_eq!(own(&facts).len(), 3, "{:?}", own(&facts));
        let mut named = target.clone();
        named.config.insert("indices", Setting::Plain(json!([hidden.name])));
        let facts = endpoint(&named).observe(&named, &io).expect("observes");
        assert_eq!(facts.units.iter().map(|u| &u.name).collect::<Vec<_>>(), [&hidden.name]);
    }
}

#[test]
fn a_block_that_names_the_other_product_and_one_that_names_nobody_are_told() {
    let server = opensearch();
    let wrong = block("source.elasticsearch.old", "elasticsearch", &[("url", json!(server.url))]);
    let facts = endpoint(&wrong).observe(&wrong, &Io::default()).expect("observes");
    assert!(facts.findings.iter().any(|f| f.code == "SEARCH_PRODUCT" && f.summary.contains("OpenSearch 2")));
    let nobody = block("source.elasticsearch.old", "elasticsearch", &[("url", json!("http://127.0.0.1:1"))]);
    let error = endpoint(&nobody).observe(&nobody, &Io::default()).expect_err("nobody");
    assert!(error.to_string().contains("nobody listens"), "{error}");
}

#[test]
fn one_index_onto_itself_is_refused_and_under_another_name_it_is_not() {
    let server = opensearch();
    let books = server.index("same", &json!({}), &json!({}));
    assert_eq!(critical(&compared(&books, &server, &books.name)), ["SEARCH_SAME"]);
    assert_eq!(critical(&compared(&books, &server, &format!("{}-2", books.name))), Vec::<&str>::new());
}

#[test]
fn what_the_target_would_refuse_is_told_before_anything_is_made() {
    let (from, to) = (elasticsearch(), opensearch());
    let analysis = json!({
        "index.analysis.analyzer.mine.type": "custom",
        "index.analysis.analyzer.mine.tokenizer": "standard",
        "index.analysis.analyzer.mine.filter": ["lowercase", "grams"],
        "index.analysis.filter.grams.type": "edge_ngram",
    });
    let well =
        from.index("well", &analysis, &json!({"properties": {"t": {"type": "text", "analyzer": "mine"}}}));
    let found = compared(&well, &to, &well.name);
    assert_eq!(found.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "{found:?}");
    // What both accept as a mapping and only a file or another version can fulfil shows in the trial.
    let odd = from.index(
        "odd",
        &json!({}),
        &json!({"_source": {"enabled": false}, "properties": {"t": {"type": "text"}}}),
    );
    assert_eq!(critical(&compared(&odd, &to, &odd.name)), ["SEARCH_SOURCE"]);
    let part = from.index("part", &json!({}), &json!({"_source": {"excludes": ["secret"]}}));
    assert_eq!(critical(&compared(&part, &to, &part.name)), ["SEARCH_SOURCE"]);
    let closed = from.index("closed", &json!({}), &json!({}));
    from.must("POST", &closed.path("/_close"), None);
    assert_eq!(critical(&compared(&closed, &to, &closed.name)), ["SEARCH_CLOSED"]);
    let gone = from.name("gone");
    assert_eq!(critical(&compared(&gone, &to, &gone.name)), ["SEARCH_MISSING"]);
    for index in [&well, &odd, &part, &closed, &gone] {
        assert_eq!(to.ask("GET", &index.path(""), None).0, 404, "nothing was made at the target");
    }
}

#[test]
fn an_analyzer_and_a_type_that_the_target_lacks_are_told_with_its_reason() {
    let (from, to) = (opensearch(), elasticsearch());
    let flat = from.index("flat", &json!({}), &json!({"properties": {"labels": {"type": "flat_object"}}}));
    // Its counterpart is not in the Apache-licensed server, which the trial shows.
    let found = compared(&flat, &to, &flat.name);
    assert_eq!(critical(&found), ["SEARCH_REFUSED"]);
    assert!(found["SEARCH_FIELD_TYPE"].summary.contains("which is flattened"), "{found:?}");
    let star = from.index("knn", &json!({}), &json!({"properties": {"labels": {"type": "wildcard"}}}));
    assert_eq!(critical(&compared(&star, &to, &star.name)), ["SEARCH_REFUSED"]);
    let zstd = from.index(
        "codec",
        &json!({"index.codec": "best_compression", "index.merge_on_flush.enabled": "false"}),
        &json!({}),
    );
    let found = compared(&zstd, &to, &zstd.name);
    assert!(found["SEARCH_SETTING"].summary.contains("index.merge_on_flush.enabled"), "{found:?}");
    assert_eq!(critical(&found), Vec::<&str>::new());
    // A filter of OpenSearch's own: the trial says what Elasticsearch says.
    let filter = json!({
        "index.analysis.analyzer.mine.type": "custom",
        "index.analysis.analyzer.mine.tokenizer": "keyword",
        "index.analysis.analyzer.mine.filter": ["own"],
        "index.analysis.filter.own.type": "concatenate_graph",
    });
    let other =
        from.index("filter", &filter, &json!({"properties": {"t": {"type": "text", "analyzer": "mine"}}}));
    let found = compared(&other, &to, &other.name);
    assert_eq!(critical(&found), ["SEARCH_REFUSED"]);
    assert!(found["SEARCH_REFUSED"].summary.contains("concatenate_graph"), "{found:?}");
}

#[test]
fn an_index_that_somebody_filled_is_not_filled_again_and_an_empty_one_is_compared() {
    let (from, to) = (elasticsearch(), opensearch());
    let books = from.index("there", &json!({}), &json!({"properties": {"a": {"type": "keyword"}}}));
    let body = json!({"mappings": {"properties": {"a": {"type": "text"}}}});
    to.must("PUT", &books.path(""), Some(&body));
    let target = crate::world::Index { server: &to, name: books.name.clone() };
    let found = compared(&books, &to, &books.name);
    assert_eq!((critical(&found), found.contains_key("SEARCH_DIFFERS")), (Vec::new(), true), "{found:?}");
    target.must_put("1", &json!({"a": "x"}));
    to.must("POST", &target.path("/_refresh"), None);
    assert_eq!(critical(&compared(&books, &to, &books.name)), ["SEARCH_NOT_EMPTY"]);
}

#[test]
fn versions_that_an_application_gives_are_found_and_those_that_the_server_counts_are_not() {
    let (from, to) = (elasticsearch(), opensearch());
    let books = from.index("versions", &json!({}), &json!({}));
    for _ in 0..5 {
        books.must_put("1", &json!({"a": 1}));
    }
    from.must("POST", &books.path("/_refresh"), None);
    assert!(!compared(&books, &to, &books.name).contains_key("SEARCH_EXTERNAL_VERSIONS"));
    let path = books.path("/_doc/2?version=1700000000&version_type=external&refresh=true");
    from.must("PUT", &path, Some(&json!({"a": 2})));
    assert!(compared(&books, &to, &books.name).contains_key("SEARCH_EXTERNAL_VERSIONS"));
}

#[test]
fn a_pipeline_of_processors_that_the_target_lacks_is_told() {
    let (from, to) = (opensearch(), elasticsearch());
    let name = from.name("pipe");
    // OpenSearch has copy, Elasticsearch 7.10 has not.
    let body = json!({"processors": [{"copy": {"source_field": "a", "target_field": "b"}}]});
    from.must("PUT", &format!("/_ingest/pipeline/{}", name.name), Some(&body));
    let books = from.index("piped", &json!({"index.default_pipeline": name.name}), &json!({}));
    let found = compared(&books, &to, &books.name);
    from.must("DELETE", &books.path(""), None);
    from.must("DELETE", &format!("/_ingest/pipeline/{}", name.name), None);
    assert_eq!(critical(&found), ["SEARCH_PIPELINE"]);
}

#[test]
fn data_streams_that_the_target_does_not_know_are_told_before_anything_runs() {
    // Without the vendor's extensions Elasticsearch has none.
    let (from, to) = (opensearch(), elasticsearch());
    let books = from.index("streams", &json!({}), &json!({}));
    let stream = format!("events-{}", books.name);
    let template = format!("/_index_template/{stream}");
    let body = json!({"index_patterns": [stream], "data_stream": {}, "priority": 900});
    from.must("PUT", &template, Some(&body));
    from.must("PUT", &format!("/_data_stream/{stream}"), None);
    let (source, mut target) = (from.block(Side::Source, &[]), to.block(Side::Target, &[]));
    let unit = UnitName { unit: books.name.clone(), at_target: books.name.clone() };
    let said = |target: &BlockRef| -> Vec<String> {
        let found = endpoint(&source).compare(&source, target, std::slice::from_ref(&unit), &Io::default());
        let streams = found.into_iter().filter(|f| f.code == "SEARCH_DATA_STREAMS");
        streams.map(|f| f.summary).collect()
    };
    let undeclared = said(&target);
    target.config.insert("data_streams", Setting::Plain(json!([stream])));
    let declared = said(&target);
    from.must("DELETE", &format!("/_data_stream/{stream}"), None);
    from.must("DELETE", &template, None);
    assert!(undeclared.len() == 1 && undeclared[0].contains("which are no units"), "{undeclared:?}");
    let wanted = format!("target.elasticsearch.new knows no data streams, and {stream} cannot be made there");
    assert!(declared.len() == 1 && declared[0].ends_with(&wanted), "{declared:?}");
}
