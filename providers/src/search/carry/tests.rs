//! What becomes of mappings and settings between products and versions.

use serde_json::{Map, Value, json};

use super::*;
use crate::search::about::{Product, Version};

fn about(product: Product, text: &str) -> About {
    let version = Version::parse(text).expect("a version");
    About { product, version, name: "c".to_owned(), uuid: "u".to_owned() }
}

fn elastic(text: &str) -> About {
    about(Product::Elasticsearch, text)
}

fn open(text: &str) -> About {
    about(Product::OpenSearch, text)
}

fn index(mapping: &Value, settings: &[(&str, &str)]) -> Index {
    let settings: Map<String, Value> = settings.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    Index { name: "books".to_owned(), is_open: true, mapping: mapping.clone(), settings, ..Index::default() }
}

fn codes(of: &Translated) -> Vec<(Severity, &str)> {
    of.findings.iter().map(|f| (f.severity, f.code.as_str())).collect()
}

#[test]
fn what_both_have_goes_along_as_it_is() {
    let mapping = json!({"dynamic": "strict", "_routing": {"required": true}, "_meta": {"a": 1}, "properties": {
        "title": {"type": "text", "analyzer": "mine", "fields": {"raw": {"type": "keyword"}}},
        "parts": {"type": "nested", "properties": {"n": {"type": "integer"}}},
        "name": {"type": "icu_collation_keyword"}}});
    let kept = [
        ("index.number_of_shards", "5"),
        ("index.analysis.analyzer.mine.type", "standard"),
        ("index.sort.field", "n"),
    ];
    let own = [("index.uuid", "x"), ("index.version.created", "7100299"), ("index.blocks.write", "true")];
    let all: Vec<(&str, &str)> = kept.iter().chain(&own).copied().collect();
    let translated = translated(&index(&mapping, &all), &elastic("7.10.2"), &open("2.19.4"));
    assert_eq!(translated.mapping, mapping);
    assert_eq!(translated.settings, index(&mapping, &kept).settings);
    assert_eq!(translated.findings, []);
}

#[test]
fn types_are_removed_and_more_than_one_is_refused() {
    let mut old = index(
        &json!({"_all": {"enabled": true}, "properties": {"a": {"type": "text", "include_in_all": false}}}),
        &[],
    );
    old.types = vec!["book".to_owned()];
    let one = translated(&old, &elastic("6.8.23"), &open("2.19.4"));
    assert_eq!(one.mapping, json!({"properties": {"a": {"type": "text"}}}));
    assert_eq!(codes(&one), [(Severity::Warning, "SEARCH_TYPES"), (Severity::Warning, "SEARCH_FIELD_GONE")]);
    assert_eq!(one.body(&elastic("6.8.23"))["mappings"]["_doc"], one.mapping);
    old.types.push("author".to_owned());
    old.many_types = true;
    let many = translated(&old, &elastic("6.8.23"), &open("2.19.4"));
    assert_eq!(many.findings[0].severity, Severity::Critical);
    assert!(many.findings[0].summary.contains("book, author"), "{:?}", many.findings[0]);
}

#[test]
fn types_with_a_counterpart_become_it_and_those_without_are_refused() {
    let of = |ty: &str, from: &About, to: &About| {
        let field = json!({"type": ty, "dims": 3, "dimension": 3});
        let done =
            translated(&index(&json!({"properties": {"o": {"properties": {"f": field}}}}), &[]), from, to);
        let severity = done.findings.first().map(|f| f.severity);
        (
            done.mapping["properties"]["o"]["properties"]["f"]["type"].as_str().unwrap_or("none").to_owned(),
            severity,
        )
    };
    let (seven, eight, one, two) = (elastic("7.17.29"), elastic("8.17.0"), open("1.3.14"), open("2.19.4"));
    let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
    assert_eq!(of("flattened", &seven, &two), ("flat_object".to_owned(), warning));
    assert_eq!(of("flattened", &seven, &one), ("none".to_owned(), critical));
    assert_eq!(of("flat_object", &two, &seven), ("flattened".to_owned(), warning));
    assert_eq!(of("dense_vector", &seven, &two), ("knn_vector".to_owned(), warning));
    assert_eq!(of("knn_vector", &two, &eight), ("dense_vector".to_owned(), warning));
    assert_eq!(of("knn_vector", &two, &seven), ("none".to_owned(), critical));
    assert_eq!(of("wildcard", &seven, &two), ("wildcard".to_owned(), None));
    assert_eq!(of("wildcard", &seven, &one), ("none".to_owned(), critical));
    assert_eq!(of("constant_keyword", &seven, &two), ("constant_keyword".to_owned(), None));
    assert_eq!(of("histogram", &seven, &two), ("none".to_owned(), critical));
    let vectors = json!({"properties": {"v": {"type": "dense_vector", "dims": 3, "similarity": "l2_norm"}}});
    let done = translated(&index(&vectors, &[]), &eight, &two);
    assert_eq!(
        (&done.settings["index.knn"], &done.mapping["properties"]["v"]["method"]["space_type"]),
        (&json!("true"), &json!("l2"))
    );
}

#[test]
fn settings_of_the_other_product_are_left_out_with_what_takes_their_place() {
    let settings = [
        ("index.lifecycle.name", "hot-cold"),
        ("index.lifecycle.rollover_alias", "logs"),
        ("index.routing.allocation.include._tier_preference", "data_hot"),
        ("index.routing.allocation.require.box", "fast"),
        ("index.final_pipeline", "stamp"),
        ("index.refresh_interval", "30s"),
    ];
    let done = translated(&index(&json!({}), &settings), &elastic("7.17.29"), &open("2.19.4"));
    assert_eq!(done.settings.keys().collect::<Vec<_>>(), ["index.refresh_interval"]);
    let said: Vec<&str> = done.findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(said, ["SEARCH_FINAL_PIPELINE", "SEARCH_SETTING", "SEARCH_SETTING", "SEARCH_ALLOCATION"]);
    assert!(done.findings[1].summary.contains("index.lifecycle.name, index.lifecycle.rollover_alias"));
    let back = translated(
        &index(&json!({}), &[("index.knn", "true"), ("index.plugins.x", "y")]),
        &open("2.19.4"),
        &elastic("8.17.0"),
    );
    assert_eq!((back.settings.len(), back.findings.len()), (0, 2));
    let same = translated(&index(&json!({}), &settings[..1]), &elastic("7.10.2"), &elastic("7.17.29"));
    assert_eq!((same.settings.len(), same.findings.len()), (1, 0));
}

#[test]
fn what_later_versions_do_not_take_is_left_out() {
    let mapping = json!({"runtime": {"day": {"type": "keyword"}}, "dynamic": "runtime", "_field_names": {"enabled": false},
        "properties": {"a": {"type": "text", "boost": 2}, "g": {"type": "geo_shape", "tree": "quadtree"}}});
    let settings = [
        ("index.mapper.dynamic", "false"),
        ("index.soft_deletes.enabled", "false"),
        ("index.translog.retention.age", "1h"),
    ];
    let eight = translated(&index(&mapping, &settings), &elastic("7.17.29"), &elastic("8.17.0"));
    assert_eq!(eight.mapping["properties"], json!({"a": {"type": "text"}, "g": {"type": "geo_shape"}}));
    assert_eq!((eight.settings.len(), eight.mapping.get("_field_names")), (0, None));
    assert_eq!(eight.mapping["runtime"], mapping["runtime"]);
    let open = translated(&index(&mapping, &settings), &elastic("7.17.29"), &open("2.19.4"));
    assert_eq!((open.mapping.get("runtime"), &open.mapping["dynamic"]), (None, &json!("true")));
    assert_eq!(open.mapping["properties"], mapping["properties"]);
}

#[test]
fn a_date_format_whose_letters_changed_is_told() {
    let of = |format: &str| {
        let mut old = index(&json!({"properties": {"d": {"type": "date", "format": format}}}), &[]);
        old.types = vec!["_doc".to_owned()];
        translated(&old, &elastic("6.8.23"), &open("2.19.4")).findings.len()
    };
    let said = ["YYYY-MM-dd", "yyyy-MM-dd'T'HH:mm:ss.SSSZ"].map(of);
    let quiet = [
        "yyyy-MM-dd",
        "strict_date_optional_time||epoch_millis",
        "8YYYY-MM-dd",
        "yyyy-MM-dd'Z'",
        "date_time_no_millis",
    ]
    .map(of);
    assert_eq!((said, quiet), ([1, 1], [0; 5]));
}
