//! `mode = "snapshot"`: restored under the new name, and nothing temporary stays.

use std::sync::Mutex;

use segue_contract::ErrorClass;
use serde_json::json;

use super::{
    Step, carried, criticals, differing, disturb, engine, filled, in_mode, load, made, pass, verify,
};
use crate::servers::snapshots;
use crate::world::{Server, elasticsearch, job, opensearch};

/// Whether a server knows a repository that Segue made.
fn repositories(at: &Server) -> Vec<String> {
    let found = at.must("GET", "/_snapshot", None);
    found
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .filter(|n| n.starts_with("segue-"))
        .collect()
}

/// One at a time: tests look at all repositories of a server.
static SNAPSHOTS: Mutex<()> = Mutex::new(());

#[test]
fn a_snapshot_is_restored_under_the_new_name_and_nothing_temporary_stays() {
    let _alone = SNAPSHOTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "restored", 3, 6_000);
    from.must(
        "PUT",
        &source.path("/_settings"),
        Some(&json!({"index.refresh_interval": "7s", "index.routing.allocation.total_shards_per_node": 9})),
    );
    let target = made(&to, &source);
    let place = [("location", json!(snapshots()))];
    let job = in_mode(job(&source, &to, &target.name), "snapshot", &place);
    let step = Step::new().began(|| disturb(&source));
    assert_eq!(engine(&job).check_load(&job, &step), []);
    // A run that dies again and again, wherever it is, and in the end one that does not.
    let mut deaths = 0;
    let report = loop {
        step.dying(deaths < 4);
        match load(&job, &step) {
            Ok(report) => break report,
            Err(error) => assert_eq!(error.class, ErrorClass::Cancelled, "{error}"),
        }
        deaths += 1;
        source.must_put(&format!("death-{deaths}"), &json!({"n": deaths}));
    };
    assert!(deaths > 0);
    let job = pass(&carried(&job, &report), &step);
    assert_eq!(differing(&verify(&job, &step)), []);
    assert_eq!((repositories(&from), repositories(&to)), (Vec::new(), Vec::new()));
    let setting = |name: &str| target.setting(name);
    assert_eq!(setting("index.refresh_interval").as_deref(), Some("7s"));
    assert_eq!(setting("index.number_of_replicas").as_deref(), Some("0"));
    // Abandoned, it goes like any index that Segue made.
    engine(&job).release(&job, true, &step).expect("releases");
    assert_eq!(to.ask("HEAD", &target.path(""), None).0, 404);
}

#[test]
fn a_snapshot_that_nobody_goes_on_with_is_taken_away_with_its_repository() {
    let _alone = SNAPSHOTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (from, to) = (elasticsearch(), opensearch());
    let source = filled(&from, "left", 1, 500);
    let target = made(&to, &source);
    let job = in_mode(job(&source, &to, &target.name), "snapshot", &[("location", json!(snapshots()))]);
    let step = Step::new();
    step.dying(true);
    if load(&job, &step).is_err() {
        assert_eq!(repositories(&from).len(), 1);
    }
    step.dying(false);
    engine(&job).release(&job, true, &step).expect("releases");
    assert_eq!((repositories(&from), repositories(&to)), (Vec::new(), Vec::new()));
    assert_eq!(to.ask("HEAD", &target.path(""), None).0, 404);
    assert!(step.files("fill").is_empty());
}

#[test]
fn a_snapshot_that_cannot_be_read_is_told_before_it_is_made() {
    let (from, to) = (elasticsearch(), opensearch());
    let step = Step::new();
    let source = filled(&to, "unreadable", 1, 1);
    let place = [("location", json!(snapshots()))];
    let back = in_mode(job(&source, &from, "unreadable-new"), "snapshot", &place);
    assert_eq!(criticals(&engine(&back).check_load(&back, &step)), ["SNAPSHOT_VERSION"]);
    let source = filled(&from, "unreadable", 1, 1);
    let there = to.index("unreadable", &json!({}), &json!({}));
    let wrong =
        in_mode(job(&source, &to, &there.name), "snapshot", &[("location", json!("/nowhere/at/all"))]);
    let found = engine(&wrong).check_load(&wrong, &step);
    assert_eq!(criticals(&found), ["SNAPSHOT_EXISTS", "SNAPSHOT_LOCATION", "SNAPSHOT_LOCATION"]);
}
