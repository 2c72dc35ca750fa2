//! `mode = "reindex"`: the target's own tasks, found again, cancelled, refused.

use segue_contract::ErrorClass;
use serde_json::{Value, json};

use super::{
    Step, carried, criticals, differing, disturb, engine, filled, in_mode, load, made, pass, tasks, verify,
};
use crate::world::{Index, elasticsearch, job, opensearch};

#[test]
fn the_targets_own_reindex_brings_the_bulk_and_passes_what_changed_meanwhile() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "reindexed", 1, 16_000);
    let target = made(&to, &source);
    let job = in_mode(job(&source, &to, &target.name), "reindex", &[]);
    let step = Step::new().began(|| disturb(&source));
    assert_eq!(engine(&job).check_load(&job, &step), []);
    let report = load(&job, &step).expect("loads");
    assert_eq!(report.set_aside_total, 0);
    let (_, memo) = step.memo();
    let slices = memo["note"]["slices"].as_array().expect("slices").clone();
    assert_eq!(slices.len(), 3, "as many tasks as it pays: {memo}");
    assert!(slices.iter().all(|s| s["ended"] == true && s["starts"] == 1), "{memo}");
    // Replicas and refreshes are as the source's again.
    assert_eq!(target.setting("index.refresh_interval"), None);
    let job = carried(&job, &report);
    let verified = verify(&job, &step);
    assert_eq!(differing(&verified), []);
    assert_eq!(verified.records_checked, 16_000);
    // And so it goes on: versions that passes give are above all that the reindex brought.
    source.must_put("d5", &json!({"n": -5}));
    source.server.must("DELETE", &source.path("/_doc/d6"), None);
    let job = pass(&job, &step);
    assert_eq!(differing(&verify(&job, &step)), []);
    assert!(step.files("fill").is_empty(), "a pass forgets what the load noted");
}

#[test]
fn a_reindex_that_runs_is_found_again_by_its_id_or_by_its_tag_and_not_started_twice() {
    let (from, to) = (elasticsearch(), opensearch());
    for known in [true, false] {
        let source = filled(&from, "found-again", 2, 4_000);
        let target = made(&to, &source);
        let mut job = in_mode(job(&source, &to, &target.name), "reindex", &[]);
        // So slow that it is not over before the run dies.
        job.load.rate_limit = Some(40_000);
        let step = Step::new().began(|| disturb(&source));
        step.dying(true);
        assert_eq!(load(&job, &step).expect_err("dies").class, ErrorClass::Cancelled);
        assert_eq!(tasks(&to, &target.name), 1, "the cluster goes on");
        let (path, mut memo) = step.memo();
        let task = memo["note"]["slices"][0]["task"].clone();
        assert!(task.is_string(), "{memo}");
        if !known {
            // It died between the request and its answer.
            memo["note"]["slices"][0]["task"] = Value::Null;
            segue_contract::paths::replace(&path, memo.to_string().as_bytes()).expect("written");
        }
        let faster =
            format!("/_reindex/{}/_rethrottle?requests_per_second=-1", task.as_str().expect("an id"));
        step.dying(false);
        std::thread::scope(|scope| {
            let resumed = scope.spawn(|| load(&job, &step));
            // Not before the run after the death has found it: then there is nothing to be found.
            while step.memo().1["note"]["slices"][0]["task"].is_null() && !resumed.is_finished() {
                std::thread::yield_now();
            }
            to.must("POST", &faster, None);
            let report = resumed.join().expect("no panic").expect("loads");
            let (_, memo) = step.memo();
            assert_eq!(memo["note"]["slices"][0]["task"], task, "{memo}");
            assert_eq!(memo["note"]["slices"][0]["starts"], 1, "{memo}");
            assert_eq!(differing(&verify(&carried(&job, &report), &step)), []);
        });
    }
}

#[test]
fn a_reindex_that_nobody_goes_on_with_is_cancelled_and_one_that_was_cancelled_is_no_loss() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "cancelled", 1, 4_000);
    let target = made(&to, &source);
    let mut job = in_mode(job(&source, &to, &target.name), "reindex", &[]);
    job.load.rate_limit = Some(40_000);
    let step = Step::new();
    step.dying(true);
    load(&job, &step).expect_err("dies");
    let (_, memo) = step.memo();
    assert_eq!(tasks(&to, &target.name), 1);
    step.dying(false);
    engine(&job).tidy(&job, &step).expect("tidies");
    assert_eq!(tasks(&to, &target.name), 0);
    assert!(step.files("fill").is_empty());
    // Somebody else cancelled it: what it did not bring is carried by key.
    *step.checkpoint.lock().expect("not poisoned") = None;
    step.dying(true);
    load(&job, &step).expect_err("dies");
    let (_, other) = step.memo();
    assert_ne!(memo["note"]["slices"][0]["task"], other["note"]["slices"][0]["task"]);
    let task = other["note"]["slices"][0]["task"].as_str().expect("an id").to_owned();
    to.must("POST", &format!("/_tasks/{task}/_cancel"), None);
    step.dying(false);
    let report = load(&job, &step).expect("loads");
    assert_eq!(differing(&verify(&carried(&job, &report), &step)), []);
    assert_eq!(verify(&carried(&job, &report), &step).records_checked, 4_000);
}

#[test]
fn what_stands_in_the_way_of_a_reindex_is_told_before_anything_runs() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "told", 1, 1);
    let step = Step::new();
    let elsewhere = [("from", json!("http://10.99.99.99:9200"))];
    let refused = in_mode(job(&source, &to, "told-new"), "reindex", &elsewhere);
    let found = engine(&refused).check_load(&refused, &step);
    assert_eq!(criticals(&found), ["REINDEX_WHITELIST"]);
    assert!(found[0].summary.contains("may not reindex from 10.99.99.99:9200"), "{}", found[0].summary);
    assert!(
        found[0].remedy.contains("reindex.remote.allowlist: [\"10.99.99.99:9200\"]"),
        "{}",
        found[0].remedy
    );
    assert!(found[0].remedy.contains("opensearch.yml"), "{}", found[0].remedy);
    // Run all the same, it fails with what to do, and starts nothing again and again.
    let error = load(&refused, &step).expect_err("refused");
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.remedy.as_deref().is_some_and(|r| r.contains("reindex.remote.whitelist")), "{error:?}");
    let _gone = made(&to, &Index { server: &to, name: "told".to_owned() });

    let mut changed = in_mode(job(&source, &to, "told-new"), "reindex", &[]);
    changed.transform.drop = vec!["t".to_owned()];
    assert_eq!(criticals(&engine(&changed).check_load(&changed, &step)), ["LOAD_TRANSFORM"]);
    let back = filled(&to, "told", 1, 1);
    let back = in_mode(job(&back, &from, "told-new"), "reindex", &[]);
    assert_eq!(criticals(&engine(&back).check_load(&back, &step)), ["REINDEX_VERSION"]);
}

#[test]
fn a_document_that_the_target_cannot_take_stops_the_reindex_and_not_the_load() {
    let (from, to) = (elasticsearch(), opensearch());
    let source = from.index("poison", &json!({}), &json!({"properties": {"n": {"type": "long"}}}));
    source.must_put("well", &json!({"n": 1}));
    source.must_put("ill", &json!({"n": 2, "d": {"deep": 1}}));
    let target = to.index(
        "poison",
        &json!({}),
        &json!({"properties": {"n": {"type": "long"}, "d": {"type": "long"}}}),
    );
    let job = in_mode(job(&source, &to, &target.name), "reindex", &[]);
    let step = Step::new();
    let report = load(&job, &step).expect("loads");
    assert_eq!((report.set_aside_total, report.set_aside[0].key.as_str()), (1, "ill"));
    let found = step.found.lock().expect("not poisoned");
    assert!(found.iter().any(|f| f.code == "REINDEX_INCOMPLETE"), "{found:?}");
    assert_eq!(to.must("GET", &target.path("/_doc/well"), None)["_source"]["n"], 1);
}
