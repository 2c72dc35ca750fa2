//! An index as the documents engine sees it: every document once, in its slice, as it was written.

use std::collections::BTreeMap;

use segue_contract::Side;
use segue_providers::engines::documents::{Collection, Documents, Found, Key, Want, Window, Write, Written};
use segue_providers::search::SearchDocuments;
use serde_json::json;

use crate::world::{Index, Io, Server, elasticsearch, opensearch};

fn servers() -> [Server; 2] {
    [opensearch(), elasticsearch()]
}

fn open(index: &Index<'_>) -> std::sync::Arc<dyn Collection> {
    let block = index.server.block(Side::Source, &[&index.name]);
    SearchDocuments.open(&block, &Io::default()).expect("opens")
}

fn key(id: &str, place: Option<&str>) -> Key {
    Key { id: id.to_owned(), place: place.map(str::to_owned) }
}

fn put(id: &str, place: Option<&str>, version: u64, body: &str) -> Write {
    Write { key: key(id, place), version, body: Some(body.as_bytes().to_vec()) }
}

/// Everything, window by window, halved where there is too much.
fn scan(collection: &dyn Collection, step: u64) -> Vec<Found> {
    let stand = collection.stand().expect("stands");
    collection.show().expect("shows");
    let mut all = Vec::new();
    for (slice, stand) in (0_u32..).zip(&stand.slices) {
        let mut from = 0;
        while from < stand.settled {
            let to = (from + step).min(stand.settled);
            let window = Window { slice, from, to };
            let found = collection.scan(window, Want::Bodies).expect("scans").expect("small enough");
            assert!(found.iter().all(|f| (from..to).contains(&f.number)));
            all.extend(found);
            from = to;
        }
    }
    all
}

#[test]
fn small_windows_over_five_shards_give_every_document_once() {
    for server in servers() {
        let index = server.index("scan", &json!({"index.number_of_shards": 5}), &json!({}));
        let collection = open(&index);
        let mut wanted = BTreeMap::new();
        for batch in 0..6_u64 {
            let writes: Vec<Write> = (0..500)
                .map(|n| {
                    let (id, routed) = (format!("d{}", batch * 500 + n), n % 3 == 0);
                    put(&id, routed.then_some("there"), 1 << 40, &format!("{{\"n\":{n},\"x\":1.00}}"))
                })
                .collect();
            let written = collection.write(&writes).expect("writes");
            assert!(written.iter().all(|w| matches!(w, Written::Done { .. })), "{written:?}");
            wanted.extend(writes.into_iter().map(|w| (w.key, w.body.expect("a body"))));
        }
        let stand = collection.stand().expect("stands");
        assert!(stand.is_settled() && stand.slices.len() == 5, "{stand:?}");
        assert_eq!(stand.slices.iter().map(|s| s.settled).sum::<u64>(), 3000);
        let found = scan(&*collection, 41);
        let got: BTreeMap<Key, Vec<u8>> = found.iter().map(|f| (f.key.clone(), f.body.clone())).collect();
        assert_eq!((found.len(), got == wanted), (3000, true));
        assert!(found.iter().all(|f| f.version == 1 << 40));
        assert_eq!(collection.count().expect("counts"), 3000);
        // Read by key, a document is as it was scanned.
        let keys: Vec<Key> = found.iter().map(|f| f.key.clone()).collect();
        let read = collection.read(&keys, Want::Bodies).expect("reads");
        let read: Vec<Found> = read.into_iter().flatten().collect();
        assert_eq!(read, found);
    }
}

#[test]
fn a_window_that_is_too_large_is_said_and_a_later_change_is_in_its_own() {
    for server in servers() {
        let index = server.index("window", &json!({"index.max_result_window": 10}), &json!({}));
        let collection = open(&index);
        assert_eq!(collection.limits().scan_documents_max, 10);
        for n in 0..12 {
            index.must_put(&format!("{n}"), &json!({"n": n}));
        }
        index.must_put("0", &json!({"n": 100}));
        let stand = collection.stand().expect("stands");
        assert_eq!(stand.slices[0].settled, 13);
        collection.show().expect("shows");
        let window = |from, to| collection.scan(Window { slice: 0, from, to }, Want::Keys).expect("scans");
        assert_eq!(window(0, 13), None);
        assert_eq!(window(0, 6).expect("fits").len(), 5, "the first change of document 0 is over");
        let last = window(12, 13).expect("fits");
        assert_eq!((last[0].key.id.as_str(), last[0].version, last[0].body.len()), ("0", 2, 0));
        assert_eq!(window(13, 20), Some(Vec::new()));
        assert_eq!(window(5, 5), Some(Vec::new()));
    }
}

#[test]
fn versions_decide_and_a_delete_is_remembered() {
    for server in servers() {
        let index = server.index("write", &json!({}), &json!({"properties": {"n": {"type": "long"}}}));
        let collection = open(&index);
        let write = |write: Write| collection.write(&[write]).expect("writes").remove(0);
        let delete = |version| Write { body: None, ..put("a", None, version, "") };
        assert!(matches!(write(put("a", None, 10, r#"{"n":1}"#)), Written::Done { .. }));
        assert!(matches!(write(put("a", None, 10, r#"{"n":1}"#)), Written::Done { .. }), "the same again");
        assert_eq!(write(put("a", None, 9, r#"{"n":0}"#)), Written::Newer);
        assert_eq!(write(delete(10)), Written::Newer);
        assert!(matches!(write(delete(11)), Written::Done { .. }));
        assert_eq!(write(delete(11)), Written::Newer);
        assert_eq!(write(put("a", None, 10, r#"{"n":1}"#)), Written::Newer, "a late write of a dead sender");
        assert!(matches!(write(put("a", None, 12, r#"{"n":1}"#)), Written::Done { .. }));
        // What is not there leaves a change, too.
        assert!(matches!(
            write(Write { key: key("none", None), version: 5, body: None }),
            Written::Done { .. }
        ));
        assert!(matches!(write(put("none", None, 5, "{}")), Written::Done { .. }));
        let refused = write(put("bad", None, 1, r#"{"n":"the secret words"}"#));
        assert!(matches!(&refused, Written::Refused(why) if !why.contains("secret")), "{refused:?}");
        let mixed = collection.write(&[
            put("x", None, 1, "{}"),
            put("bad", None, 1, r#"{"n":"s"}"#),
            put("a", None, 1, "{}"),
        ]);
        let mixed = mixed.expect("writes");
        assert!(
            matches!(mixed[..], [Written::Done { .. }, Written::Refused(_), Written::Newer]),
            "{mixed:?}"
        );
    }
}

#[test]
fn bodies_come_back_to_the_digit_and_one_id_in_two_places_is_two_documents() {
    for server in servers() {
        let index = server.index("body", &json!({"index.number_of_shards": 4}), &json!({"enabled": false}));
        let collection = open(&index);
        let body =
            r#"{"z":1.00,"a":12345678901234567890123,"e":1e400,"u":"ü\u00fc\"\\","z2":{"b":[],"a":{}}}"#;
        // Two routings of which the server makes two places.
        let routings: Vec<String> = (0..20).map(|n| format!("r{n}")).collect();
        let writes: Vec<Write> = routings.iter().map(|r| put("same ü/?%", Some(r), 3, body)).collect();
        let written = collection.write(&writes).expect("writes");
        assert!(written.iter().all(|w| matches!(w, Written::Done { .. })), "{written:?}");
        let found = scan(&*collection, 1000);
        let stand = collection.stand().expect("stands");
        let of_each: Vec<usize> = (0_u32..)
            .zip(&stand.slices)
            .map(|(slice, s)| {
                let window = Window { slice, from: 0, to: s.settled };
                collection.scan(window, Want::Keys).expect("scans").expect("few").len()
            })
            .collect();
        assert_eq!((found.len(), of_each), (4, vec![1; 4]), "one of each shard");
        assert!(
            found.iter().all(|f| f.body == body.as_bytes()),
            "{:?}",
            String::from_utf8_lossy(&found[0].body)
        );
        let keys: Vec<Key> = found.iter().map(|f| f.key.clone()).chain([key("none", None)]).collect();
        let read = collection.read(&keys, Want::Bodies).expect("reads");
        assert_eq!(read.last(), Some(&None));
        assert_eq!(read.into_iter().flatten().collect::<Vec<_>>(), found);
    }
}

#[test]
fn what_was_just_written_is_read_by_key_before_a_scan_could_see_it() {
    for server in servers() {
        let index = server.index("real", &json!({"index.refresh_interval": "-1"}), &json!({}));
        let collection = open(&index);
        collection.write(&[put("a", None, 4, "{}")]).expect("writes");
        let read = collection.read(&[key("a", None)], Want::Keys).expect("reads").remove(0).expect("there");
        assert_eq!((read.version, read.number), (4, 0));
        assert_eq!(collection.stand().expect("stands").slices[0].settled, 1);
        assert_eq!(collection.count().expect("counts"), 0, "nobody asked for it to be shown");
        assert_eq!(scan(&*collection, 10).len(), 1);
        assert_eq!(collection.count().expect("counts"), 1);
        collection.nothing_on_its_way().expect("nothing");
    }
}

#[test]
fn a_blocked_index_is_an_error_and_an_index_made_anew_is_another_incarnation() {
    for server in servers() {
        let index = server.index("anew", &json!({}), &json!({}));
        let collection = open(&index);
        let before = collection.stand().expect("stands").incarnation;
        server.must("PUT", &index.path("/_settings"), Some(&json!({"index.blocks.write": true})));
        let error = collection.write(&[put("a", None, 1, "{}")]).expect_err("blocked");
        assert!(error.to_string().contains("cluster_block_exception"), "{error}");
        assert_eq!(collection.count().expect("counts"), 0);
        server.must("DELETE", &index.path(""), None);
        assert!(collection.stand().is_err());
        server.must("PUT", &index.path(""), None);
        let error = collection.stand().expect_err("another one");
        assert!(error.to_string().contains("is another one now"), "{error}");
        assert_ne!(open(&index).stand().expect("stands").incarnation, before);
        server.must("POST", &index.path("/_close"), None);
        let block = server.block(Side::Source, &[&index.name]);
        assert!(SearchDocuments.open(&block, &Io::default()).is_err());
    }
}
