//! `mode = "reload"`: what files, commands and people brought is taken as it is.

use serde_json::json;

use super::{Step, carried, criticals, differing, disturb, engine, filled, in_mode, load, made, verify};
use crate::world::{elasticsearch, job, opensearch};

#[test]
fn a_target_that_files_filled_is_taken_as_it_is_and_verification_tells_what_differs() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "files", 2, 2_000);
    let target = made(&to, &source);
    let dir = tempfile::tempdir().expect("a directory");
    let line = |n: u32, value: &str| {
        format!("{{\"_id\":\"d{n}\",\"_source\":{{\"n\": {value}, \"t\":\"word {n}\"}}}}\n")
    };
    // One is older than the source's, one is missing, one is in no other place; a file that is not this unit's is not read.
    let one: String =
        (0..1_000).map(|n| line(n, if n == 5 { "-1" } else { "XX" }).replace("XX", &n.to_string())).collect();
    let two: String = (1_000..2_000).filter(|n| *n != 1_500).map(|n| line(n, &n.to_string())).collect();
    let write = |name: String, text: &str| {
        segue_contract::paths::replace(&dir.path().join(name), text.as_bytes()).expect("written");
    };
    write(format!("{}.1.ndjson", source.name), &one);
    write(format!("{}.2.ndjson", source.name), &format!("{two}{}", line(9_999, "1")));
    write("other.ndjson".to_owned(), "no document");
    let job = in_mode(job(&source, &to, &target.name), "reload", &[("files", json!(dir.path()))]);
    let step = Step::new().began(|| disturb(&source));
    assert_eq!(criticals(&engine(&job).check_load(&job, &step)), Vec::<&str>::new());
    let report = load(&job, &step).expect("loads");
    let job = carried(&job, &report);
    let found = verify(&job, &step);
    let mut differ = differing(&found);
    differ.sort_unstable();
    // What changed since the load began is carried; d2 was deleted at the source before stock was taken.
    let wanted = [
        ("d1500", "missing at target"),
        ("d2", "extra at target"),
        ("d5", "content"),
        ("d9999", "extra at target"),
    ];
    assert_eq!(differ, wanted);
    let mended = engine(&job).repair(&job, &found, &step).expect("repairs");
    assert_eq!(differing(&verify(&carried(&job, &mended), &step)), []);
}

#[test]
fn a_target_that_is_filled_by_hand_or_by_command_is_waited_for_and_a_bad_line_is_told() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "by-hand", 1, 10);
    let target = made(&to, &source);
    let by_hand = in_mode(job(&source, &to, &target.name), "reload", &[]);
    let step = Step::new();
    let error = load(&by_hand, &step).expect_err("not there");
    assert!(error.to_string().contains("is not there yet"), "{error}");
    to.must("PUT", &target.path(""), None);
    let lines: String = (0..10)
        .map(|n| format!("{{\"index\":{{\"_id\":\"d{n}\"}}}}\n{{\"n\":{n},\"t\":\"word {n}\"}}\n"))
        .collect();
    to.lines(&target.path("/_bulk"), &lines);
    let loaded = carried(&by_hand, &load(&by_hand, &step).expect("loads"));
    assert_eq!(differing(&verify(&loaded, &step)), []);

    let command = [("command", json!(["sh", "-c", "test \"$SEGUE_UNIT\" != \"$SEGUE_TARGET\" && exit 3"]))];
    let fails = in_mode(by_hand.clone(), "reload", &command);
    let error = load(&fails, &Step::new()).expect_err("fails");
    assert!(error.to_string().contains("ended with exit 3"), "{error}");

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(format!("{}.ndjson", source.name));
    segue_contract::paths::replace(&path, b"{\"_id\":\"a\",\"_source\":{}}\n\nnonsense\n").expect("written");
    let files = in_mode(by_hand, "reload", &[("files", json!(dir.path()))]);
    let error = load(&files, &Step::new()).expect_err("a bad line");
    assert!(error.to_string().contains(".ndjson:3: it is no document"), "{error}");
}
