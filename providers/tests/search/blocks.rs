//! The write block: what it refuses, what it waits for, what it puts back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use segue_contract::{BarrierState, ErrorClass, Side};
use serde_json::{Value, json};

use crate::world::{Index, Io, Server, call, elasticsearch, endpoint, opensearch, write_block};

fn servers() -> [Server; 2] {
    [opensearch(), elasticsearch()]
}

fn observe(index: &Index<'_>) -> BarrierState {
    let call = call(&index.server.block(Side::Source, &[&index.name]), Side::Source);
    write_block().observe(&call, &Io::default()).expect("observes")
}

#[test]
fn a_closed_index_refuses_writes_and_an_opened_one_is_as_it_was() {
    for server in servers() {
        for before in [None, Some("false")] {
            let index = server.index("block", &json!({}), &json!({}));
            if let Some(value) = before {
                server.must("PUT", &index.path("/_settings"), Some(&json!({"index.blocks.write": value})));
            }
            let call = call(&server.block(Side::Source, &[&index.name]), Side::Source);
            let (method, io) = (write_block(), Io::default());
            assert_eq!(observe(&index), BarrierState::Open);
            method.close(&call, &io).expect("closes");
            method.close(&call, &io).expect("closes again");
            assert_eq!(index.put("1", &json!({})), 403);
            assert!(matches!(observe(&index), BarrierState::Closed(why) if why.contains("index write")));
            method.open(&call, &io).expect("opens");
            method.open(&call, &io).expect("opens again");
            assert_eq!(observe(&index), BarrierState::Open);
            assert_eq!(index.setting("index.blocks.write").as_deref(), before);
            index.must_put("1", &json!({}));
            assert_eq!(io.codes(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_block_that_was_there_before_stays_and_one_that_is_not_segues_is_not_lifted() {
    for server in servers() {
        let index = server.index("before", &json!({}), &json!({}));
        let block = |on: Value| {
            server.must("PUT", &index.path("/_settings"), Some(&json!({"index.blocks.write": on})));
        };
        let call = call(&server.block(Side::Source, &[&index.name]), Side::Source);
        let (method, io) = (write_block(), Io::default());
        block(json!(true));
        method.close(&call, &io).expect("closes");
        method.open(&call, &io).expect("opens");
        assert_eq!(index.setting("index.blocks.write").as_deref(), Some("true"));
        assert_eq!(io.codes(), ["SEARCH_BLOCKED"]);
        let error = method.open(&call, &io).expect_err("not ours");
        assert!(error.to_string().contains("segue did not close it"), "{error}");
        block(Value::Null);
        method.open(&call, &io).expect("open is open");
        // What closes it after that may be a call of segue's own that arrives late.
        method.close(&call, &io).expect("closes");
        method.open(&call, &io).expect("opens");
        for close_first in [false, true] {
            block(json!(true));
            let io = Io::default();
            if close_first {
                method.close(&call, &io).expect("closes once more");
                assert_eq!(io.codes(), ["SEARCH_CLOSED_LATE"]);
            }
            method.open(&call, &io).expect("opens once more");
            assert_eq!(index.setting("index.blocks.write"), None);
            assert_eq!(io.codes(), ["SEARCH_CLOSED_LATE"]);
        }
        // Not once segue has left the index.
        endpoint(&call.endpoint).remove_marker(&call.endpoint, "mine", &io).expect("left");
        block(json!(true));
        let error = method.open(&call, &io).expect_err("not ours");
        assert!(error.to_string().contains("segue did not close it"), "{error}");
    }
}

#[test]
fn what_was_there_before_outlives_a_death_between_note_and_block() {
    let server = opensearch();
    let index = server.index("death", &json!({}), &json!({}));
    let call = call(&server.block(Side::Source, &[&index.name]), Side::Source);
    let (method, io) = (write_block(), Io::default());
    method.close(&call, &io).expect("closes");
    // A resumed run closes what is closed: the note must not learn that from Segue's own block.
    method.close(&call, &io).expect("closes again");
    method.open(&call, &io).expect("opens");
    assert_eq!(index.setting("index.blocks.write"), None);
    // An index that was made anew is another one.
    method.close(&call, &io).expect("closes");
    server.must("DELETE", &index.path(""), None);
    server.must("PUT", &index.path(""), None);
    method.open(&call, &io).expect("nothing to lift");
    method.close(&call, &io).expect("closes");
    method.open(&call, &io).expect("opens");
    assert_eq!(index.put("1", &json!({})), 201);
}

#[test]
fn a_probe_that_gets_through_leaves_nothing_and_moves_no_position() {
    for server in servers() {
        let index = server.index(
            "probe",
            &json!({"index.number_of_shards": 3}),
            &json!({"_routing": {"required": true}, "dynamic": "strict"}),
        );
        for n in 0..20 {
            let path = index.path(&format!("/_doc/{n}?routing=r{n}"));
            server.must("PUT", &path, Some(&json!({})));
        }
        let (counted, mapping) = (index.counted(), server.must("GET", &index.path("/_mapping"), None));
        for _ in 0..5 {
            assert_eq!(observe(&index), BarrierState::Open);
        }
        assert_eq!((index.counted(), server.must("GET", &index.path("/_mapping"), None)), (counted, mapping));
    }
}

#[test]
fn one_open_index_of_several_is_open_and_a_full_disk_proves_nothing() {
    let server = opensearch();
    let (a, b) =
        (server.index("several", &json!({}), &json!({})), server.index("several", &json!({}), &json!({})));
    let both = call(&server.block(Side::Source, &[&a.name, &b.name]), Side::Source);
    let one = call(&server.block(Side::Source, &[&a.name]), Side::Source);
    let (method, io) = (write_block(), Io::default());
    method.close(&one, &io).expect("closes one");
    assert_eq!(method.observe(&both, &io).expect("observes"), BarrierState::Open);
    method.close(&both, &io).expect("closes both");
    assert!(matches!(method.observe(&both, &io), Ok(BarrierState::Closed(why)) if why.contains("2 indices")));
    method.open(&both, &io).expect("opens");
    server.must("PUT", &a.path("/_settings"), Some(&json!({"index.blocks.read_only_allow_delete": true})));
    let seen = method.observe(&one, &io).expect("observes");
    assert!(!matches!(seen, BarrierState::Closed(_)), "the server lifts that by itself: {seen:?}");
    let error = method.openable(&one, &io).expect_err("not openable");
    assert!(error.to_string().contains("full disk"), "{error}");
    server.must("PUT", &a.path("/_settings"), Some(&json!({"index.blocks.read_only_allow_delete": null})));
    method.openable(&both, &io).expect("openable").expect("it can tell");
}

#[test]
fn that_a_side_could_be_opened_is_seen_without_a_change() {
    for server in servers() {
        let index = server.index("openable", &json!({}), &json!({}));
        let call = call(&server.block(Side::Target, &[&index.name]), Side::Target);
        let (method, io) = (write_block(), Io::default());
        method.close(&call, &io).expect("closes");
        let settings = server.must("GET", &index.path("/_settings?flat_settings=true"), None);
        assert!(method.openable(&call, &io).expect("asks").is_some());
        assert_eq!(server.must("GET", &index.path("/_settings?flat_settings=true"), None), settings);
        assert_eq!(index.put("1", &json!({})), 403, "nobody is let in");
        method.open(&call, &io).expect("opens");
        server.must("PUT", &index.path("/_settings"), Some(&json!({"index.blocks.metadata": true})));
        assert!(
            method.openable(&call, &io).is_err()
                || server.ask("GET", &index.path("/_settings"), None).0 == 403
        );
        server.must("PUT", &index.path("/_settings"), Some(&json!({"index.blocks.metadata": null})));
        let gone = crate::world::call(&server.block(Side::Target, &["not-there"]), Side::Target);
        assert_eq!(method.openable(&gone, &io).expect_err("gone").class, ErrorClass::Permanent);
    }
}

#[test]
fn after_closing_under_writers_nothing_more_arrives_and_every_acknowledged_write_is_there() {
    for server in servers() {
        let index = server.index("drain", &json!({"index.number_of_shards": 3}), &json!({}));
        let call = call(&server.block(Side::Source, &[&index.name]), Side::Source);
        let (method, io) = (write_block(), Io::default());
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        let fenced = std::thread::scope(|scope| {
            for writer in 0..4 {
                let (index, stop, acknowledged) = (&index, &stop, &acknowledged);
                scope.spawn(move || {
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        n += 1;
                        match index.put(&format!("{writer}-{n}"), &json!({"n": n})) {
                            201 => drop(acknowledged.fetch_add(1, Ordering::Relaxed)),
                            403 => {}
                            status => panic!("{status}"),
                        }
                    }
                });
            }
            while acknowledged.load(Ordering::Relaxed) < 200 {
                std::thread::yield_now();
            }
            method.close(&call, &io).expect("closes");
            // Writers go on trying.
            let fenced = index.counted();
            let again = index.counted();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(fenced, again);
            fenced
        });
        assert_eq!(index.counted(), fenced);
        let (_, count) = server.ask("GET", &index.path("/_count"), None);
        assert_eq!(count["count"].as_u64(), Some(acknowledged.load(Ordering::Relaxed)));
        method.open(&call, &io).expect("opens");
    }
}

#[test]
fn by_hand_is_a_line_that_opens_it() {
    let server = elasticsearch();
    let index = server.index("byhand", &json!({}), &json!({}));
    let call = call(&server.block(Side::Source, &[&index.name]), Side::Source);
    write_block().close(&call, &Io::default()).expect("closes");
    let typed = write_block().open_by_hand(&call);
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("{typed} >/dev/null 2>&1")])
        .status()
        .expect("sh");
    assert!(status.success(), "{typed}");
    assert_eq!(index.put("1", &json!({})), 201);
}
