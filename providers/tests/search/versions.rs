//! Every version that is supported, as a source that is moved to OpenSearch 2.19: the same things, asked of each. The older
//! ones are started in the long run alone (`SEGUE_TESTS_LONG`).

use std::io::{Write as _, stderr};
use std::sync::Once;

use segue_contract::{BarrierState, RouteAt, Side};
use segue_providers::engines::documents::{Collection, Documents, Key, Want, Window, Write, Written};
use segue_providers::search::SearchDocuments;
use serde_json::json;

use crate::servers::{Version, server};
use crate::world::{
    Index, Io, Server, block, call, compared, critical, endpoint, job, opensearch, registry, write_block,
};

fn each(test: impl Fn(&Server)) {
    let long = std::env::var_os("SEGUE_TESTS_LONG").is_some();
    let versions: &[Version] = if long { &Version::ALL } else { &[Version::Elasticsearch7] };
    static TOLD: Once = Once::new();
    if !long {
        // Not by a macro: the test runner keeps what those print to itself.
        let what = "NOT RUN: five versions of six; `tests/run --long` sets SEGUE_TESTS_LONG";
        TOLD.call_once(|| drop(writeln!(stderr(), "{what}")));
    }
    versions.iter().for_each(|version| test(&server(*version)));
}

fn put(id: &str, place: Option<&str>, version: u64) -> Write {
    let key = Key { id: id.to_owned(), place: place.map(str::to_owned) };
    Write { key, version, body: Some(format!("{{\"n\":{version},\"x\":1.00}}").into_bytes()) }
}

fn everything(collection: &dyn Collection) -> Vec<segue_providers::engines::documents::Found> {
    let stand = collection.stand().expect("stands");
    assert!(stand.is_settled(), "{stand:?}");
    collection.show().expect("shows");
    let windows = (0_u32..).zip(&stand.slices).map(|(slice, at)| Window { slice, from: 0, to: at.settled });
    windows.flat_map(|w| collection.scan(w, Want::Bodies).expect("scans").expect("small enough")).collect()
}

/// A census and a sweep say of each slice what a scan of it does.
fn census_and_sweep_are_exact(collection: &dyn Collection) {
    let stand = collection.stand().expect("stands");
    collection.show().expect("shows");
    for (slice, at) in (0_u32..).zip(&stand.slices) {
        let window = |from, to| Window { slice, from, to };
        let whole = window(3, at.settled);
        let mut scanned = collection.scan(whole, Want::Bodies).expect("scans").expect("small enough");
        let mut wanted = vec![0; (at.settled - 3).div_ceil(7) as usize];
        scanned.iter().for_each(|found| wanted[((found.number - 3) / 7) as usize] += 1);
        assert_eq!(collection.census(&[whole], 7).expect("counts"), Some(wanted));
        let two = [window(5, 9), window(20, 31)];
        let each: Vec<u64> = two
            .iter()
            .flat_map(|window| window.from..window.to)
            .map(|number| u64::from(scanned.iter().any(|found| found.number == number)))
            .collect();
        assert_eq!(collection.census(&two, 1).expect("counts"), Some(each));
        let (mut swept, mut pieces) = (Vec::new(), 0);
        let mut each = |found: Vec<_>| {
            pieces += 1;
            swept.extend(found);
            Ok(())
        };
        assert!(collection.sweeps() && collection.sweep(whole, Want::Bodies, 13, &mut each).expect("sweeps"));
        swept.sort_by_key(|found| found.number);
        scanned.sort_by_key(|found| found.number);
        assert_eq!((swept == scanned, pieces), (true, scanned.len().div_ceil(13)));
        let none = collection.sweep(window(at.settled, at.settled + 9), Want::Keys, 13, &mut |_| Ok(()));
        assert!(none.expect("sweeps"));
    }
}

#[test]
fn documents_are_written_scanned_counted_and_read_on_every_version() {
    each(|server| {
        let index = server.index("every", &json!({"index.number_of_shards": 3}), &json!({}));
        let block = server.block(Side::Source, &[&index.name]);
        let collection = SearchDocuments.open(&block, &Io::default()).expect("opens");
        let batch: Vec<Write> =
            (0..300).map(|n| put(&format!("d{n}"), (n % 3 == 0).then_some("r"), 1 << 40)).collect();
        let written = collection.write(&batch).expect("writes");
        assert!(written.iter().all(|w| matches!(w, Written::Done { .. })), "{written:?}");
        let delete = Write { version: (1 << 40) + 1, body: None, ..put("d1", None, 0) };
        assert!(matches!(
            collection.write(std::slice::from_ref(&delete)).expect("writes")[0],
            Written::Done { .. }
        ));
        let late = [delete, put("d2", None, 5)];
        assert_eq!(collection.write(&late).expect("writes"), [Written::Newer, Written::Newer]);
        census_and_sweep_are_exact(&*collection);
        let found = everything(&*collection);
        assert_eq!((found.len(), collection.count().expect("counts")), (299, 299));
        let keys: Vec<Key> = found.iter().map(|f| f.key.clone()).collect();
        let read = collection.read(&keys, Want::Bodies).expect("reads");
        assert_eq!(read.into_iter().flatten().collect::<Vec<_>>(), found);
        collection.nothing_on_its_way().expect("nothing");
        SearchDocuments.remember(&job(&index, server, &index.name), &Io::default()).expect("remembers");
        assert_eq!(index.setting("index.gc_deletes").as_deref(), Some("24h"));
        SearchDocuments.forget(&job(&index, server, &index.name), &Io::default()).expect("forgets");
        assert_eq!(index.setting("index.gc_deletes"), None);
    });
}

#[test]
fn every_version_is_closed_probed_and_opened_as_it_was() {
    each(|server| {
        let index = server.index("close", &json!({}), &json!({}));
        index.must_put("1", &json!({"n": 1}));
        let (call, io) = (call(&server.block(Side::Source, &[&index.name]), Side::Source), Io::default());
        let (method, counted) = (write_block(), index.counted());
        assert_eq!(method.observe(&call, &io).expect("observes"), BarrierState::Open);
        assert_eq!(index.counted(), counted, "the probe moves nothing");
        method.close(&call, &io).expect("closes");
        method.close(&call, &io).expect("closes again");
        assert!(matches!(method.observe(&call, &io), Ok(BarrierState::Closed(_))));
        assert!(method.openable(&call, &io).expect("asks").is_some());
        assert_eq!((index.put("2", &json!({})), index.counted()), (403, counted));
        method.open(&call, &io).expect("opens");
        assert_eq!(index.setting("index.blocks.write"), None);
        assert_eq!(method.observe(&call, &io).expect("observes"), BarrierState::Open);
        index.must_put("2", &json!({"n": 2}));
    });
}

#[test]
fn every_version_is_observed_compared_and_made_at_the_target() {
    let to = opensearch();
    each(|server| {
        let mapping =
            json!({"properties": {"t": {"type": "text"}, "k": {"type": "keyword", "ignore_above": 20}}});
        let books = server.index("move", &json!({"index.number_of_shards": 2}), &mapping);
        books.must_put("1", &json!({"t": "a", "k": "b"}));
        let source = server.block(Side::Source, &[]);
        let facts = endpoint(&source).observe(&source, &Io::default()).expect("observes");
        assert!(facts.units.iter().any(|u| u.name == books.name), "{:?}", facts.units);
        assert!(!facts.findings.iter().any(|f| f.code == "SEARCH_PRODUCT"), "{:?}", facts.findings);
        let made = Index { server: &to, name: format!("{}-new", books.name) };
        let found = compared(&books, &to, &made.name);
        assert_eq!(critical(&found), Vec::<&str>::new(), "{found:?}");
        assert!(!found.contains_key("SEARCH_NOT_COMPARED"), "{found:?}");
        let (job, io) = (job(&books, &to, &made.name), Io::default());
        SearchDocuments.make(&job, &io).expect("makes");
        SearchDocuments.serve(&job, &io).expect("serves");
        assert_eq!(to.must("GET", &made.path("/_mapping"), None)[&made.name]["mappings"], mapping);
        assert_eq!(made.setting("index.number_of_shards").as_deref(), Some("2"));
        SearchDocuments.remove(&job, &io).expect("removes");
    });
}

#[test]
fn an_alias_is_swapped_on_every_version() {
    each(|server| {
        let (old, new) =
            (server.index("swap", &json!({}), &json!({})), server.index("swap", &json!({}), &json!({})));
        let alias = server.name("alias").name.clone();
        let route = block(
            "route.search_alias.a",
            "search_alias",
            &[
                ("url", json!(server.url)),
                ("alias", json!(alias)),
                ("source", json!(old.name)),
                ("target", json!(new.name)),
            ],
        );
        let (method, io) = (registry().route(&route).expect("offered").clone(), Io::default());
        for side in [Side::Source, Side::Target, Side::Source] {
            method.set(&route, side, &io).expect("sets");
            assert_eq!(method.observe(&route, &io).expect("observes"), RouteAt::Side(side));
        }
    });
}
