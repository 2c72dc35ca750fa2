//! Deletions that a server has forgotten by the time that the document is made again: its own version begins at 1 then,
//! which must not make it older than what the other side has. Both ways; and what is set for that is put back in the end.

use rustix::process::Signal;
use segue_tests::servers::Client;
use segue_tests::{Running, wait_long};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, Terms, says};
use crate::servers::{Way, shared};

/// How long the source remembers deletions: no time at all, as soon as it is refreshed.
const FORGETS: &str = "1ms";

fn remembers(scene: &Scene, at: &Client) -> Value {
    let index = scene.index();
    at.get(&format!("/{index}/_settings?flat_settings=true"))[&index]["settings"]["index.gc_deletes"].take()
}

/// What a client finds under an id.
fn found(scene: &Scene, at: &Client, id: &str) -> Value {
    let path = Client::doc(&scene.index(), id);
    at.ask("GET", &path, None).expect("an answer").body["_source"].take()
}

/// Deletes a document, has the other side hear of it, waits until the deletion is forgotten, and makes it again, so that its
/// own version is lower than it was.
fn deleted_and_made_again(scene: &Scene, live: &Client, other: &Client) {
    let mut follow = Running::new(&scene.scratch, &["apply", "--auto-approve", "--follow"]);
    let id = "again";
    let path = Client::doc(&scene.index(), id);
    let carried = |what: &str, wanted: Value| {
        wait_long(what, PATIENCE, || found(scene, other, id)["lemmas"] == wanted);
    };
    for n in 0..5 {
        live.put(&path, &json!({ "lemmas": [format!("first {n}")] }));
    }
    carried("the document is carried", json!(["first 4"]));
    live.delete(&path);
    carried("its deletion is carried", Value::Null);
    wait_long("the server forgets the deletion", PATIENCE, || {
        // A refresh is when what is old enough is forgotten.
        live.refresh(&scene.index());
        live.put(&path, &json!({ "lemmas": ["second"] }));
        let forgotten = live.get(&path)["_version"] == json!(1);
        if !forgotten {
            live.delete(&path);
        }
        forgotten
    });
    carried("it is not taken for older than its deletion", json!(["second"]));
    live.delete(&path);
    carried("it is deleted again", Value::Null);
    follow.signal(Signal::INT);
    follow.wait_for(PATIENCE);
}

#[test]
fn a_document_made_again_after_its_deletion_was_forgotten_is_carried_both_ways() {
    let servers = shared();
    let scene = Scene::new(servers.pair(Way::ToOpenSearch), "forgotten", 200, 2, &Terms::default());
    let (source, target) = (scene.source(), scene.target());
    let settings = json!({ "index.gc_deletes": FORGETS });
    source.put(&format!("/{}/_settings", scene.index()), &settings);
    scene.wants("source");
    scene.apply().expect_code(0);
    assert_eq!(remembers(&scene, &target), json!("24h"), "a write of a dead run may still land");
    deleted_and_made_again(&scene, &source, &target);
    scene.wants("target");
    scene.apply().expect_code(0);
    scene.serves("target");
    target.put(&format!("/{}/_settings", scene.index()), &settings);
    deleted_and_made_again(&scene, &target, &source);
    assert_eq!(remembers(&scene, &source), json!("24h"), "this side was written");
    scene.alike();

    // Whoever serves for good has what it had; the target was made with what the source had.
    scene.scratch.edit_spec("timeout    = \"2m\"", "timeout    = \"2m\"\n  finished   = true");
    says(&scene.apply().expect_code(0), "is kept closed");
    assert_eq!(remembers(&scene, &source), json!(FORGETS));
    assert_ne!(remembers(&scene, &target), json!("24h"));
}
