//! What surrounds documents changes while they are carried: it is at the other side before the documents that need it, in both
//! directions; what cannot be carried is told, and stops the switch.

use segue_tests::servers::Client;
use serde_json::{Value, json};

use crate::scene::{Scene, Terms, led, says};
use crate::servers::{Way, shared};

/// Fields that a server would guess otherwise from what is written to them.
fn fields() -> Value {
    json!({
        "code": {"type": "keyword"},
        "address": {"type": "ip"},
        "place": {"type": "geo_point"},
        "parts": {"type": "nested", "properties": {"name": {"type": "keyword"}}},
    })
}

/// A document with all of them.
fn document() -> Value {
    json!({
        "code": "a b", "address": "10.0.0.7", "place": "52.5,13.4",
        "parts": [{"name": "left"}, {"name": "right"}],
    })
}

/// Names a field after its side, so that each direction has its own.
fn named(fields: &Value, head: &str) -> Value {
    let fields = fields.as_object().expect("an object").iter();
    fields
        .map(|(name, value)| (format!("{head}_{name}"), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn types(scene: &Scene, at: &Client, head: &str) -> Value {
    let found = at.get(&format!("/{}/_mapping", scene.index()));
    let properties = &found[&scene.index()]["mappings"]["properties"];
    let wanted = named(&fields(), head);
    let of = |name: &String| (name.clone(), properties[name].clone());
    wanted.as_object().expect("an object").keys().map(of).collect::<serde_json::Map<_, _>>().into()
}

/// The mapping, a limit and an alias grow, and a document has all of it.
fn grow(scene: &mut Scene, at: &Client, head: &str) {
    let index = scene.index();
    at.put(&format!("/{index}/_mapping"), &json!({ "properties": named(&fields(), head) }));
    at.put(&format!("/{index}/_settings"), &json!({ "index.max_result_window": 20_000 + head.len() }));
    let add = json!({ "add": { "index": index, "alias": format!("{index}-{head}") } });
    at.post("/_aliases", &json!({ "actions": [add] }));
    let id = format!("grown-{head}");
    let body = named(&document(), head);
    at.put(&Client::doc(&index, &id), &body);
    scene.beside.insert(id, body);
}

#[track_caller]
fn grown(scene: &Scene, at: &Client, head: &str) {
    let index = scene.index();
    assert_eq!(types(scene, at, head), named(&fields(), head), "the mapping");
    let settings = at.get(&format!("/{index}/_settings?flat_settings=true"));
    let window = (20_000 + head.len()).to_string();
    assert_eq!(settings[&index]["settings"]["index.max_result_window"], json!(window));
    assert_eq!(led(at, &format!("{index}-{head}")), [index], "the alias");
}

#[test]
fn a_mapping_an_alias_and_a_setting_that_change_later_are_carried_both_ways() {
    let servers = shared();
    let mut scene = Scene::new(servers.pair(Way::ToOpenSearch), "grows", 200, 2, &Terms::default());
    let (source, target) = (scene.source(), scene.target());
    scene.wants("source");
    scene.apply().expect_code(0);

    grow(&mut scene, &source, "there");
    let drift = scene.segue(&["drift"]);
    says(&drift, "there_address");
    scene.wants("target");
    scene.apply().expect_code(0);
    scene.serves("target");
    grown(&scene, &target, "there");
    scene.judged("target", &[]);

    grow(&mut scene, &target, "back");
    scene.wants("source");
    scene.apply().expect_code(0);
    scene.serves("source");
    grown(&scene, &source, "back");
    scene.judged("source", &[]);
}

#[test]
fn a_field_that_cannot_be_carried_is_told_and_stops_the_switch() {
    let servers = shared();
    let scene = Scene::new(servers.pair(Way::ToElasticsearch), "clashes", 200, 2, &Terms::default());
    let (source, target) = (scene.source(), scene.target());
    scene.wants("source");
    scene.apply().expect_code(0);
    let mapping = |ty: &str| json!({ "properties": { "clash": { "type": ty } } });
    let path = format!("/{}/_mapping", scene.index());
    // Somebody guessed at the target.
    target.put(&path, &mapping("text"));
    source.put(&path, &mapping("ip"));

    scene.wants("target");
    let stopped = scene.apply();
    assert!(matches!(stopped.code, Some(1 | 3)), "{}", stopped.all());
    says(&stopped, "field \"clash\"");
    says(&stopped, "ip, and text");
    assert_eq!(scene.scratch.serves(), "source");
    says(&scene.segue(&["status"]), "clash");
    let history = scene.segue(&["history"]).expect_code(0);
    assert!(!history.stdout.contains("QUIESCING"), "{}", history.stdout);
}

/// Servers keep and give back the body that they took, with its byte order mark and comments.
#[test]
fn a_body_with_a_byte_order_mark_or_comments_is_carried_and_stops_no_other() {
    let servers = shared();
    let scene = Scene::new(servers.pair(Way::ToOpenSearch), "remarks", 200, 2, &Terms::default());
    let (source, target) = (scene.source(), scene.target());
    let bodies = [
        ("comment", "{ \"said\": 1 /* it\"s } */, // \"one\n \"more\": [2] }"),
        ("mark", "\u{feff}{ \"said\": 1, \"more\": [2] }"),
    ];
    let taken: Vec<&str> = bodies
        .into_iter()
        .filter(|(id, body)| {
            let path = Client::doc(&scene.index(), id);
            source.ask("PUT", &path, Some(body.as_bytes())).is_ok_and(|reply| reply.is_good())
        })
        .map(|(id, _)| id)
        .collect();
    assert!(taken.contains(&"comment"), "the server takes comments: {taken:?}");
    scene.wants("target");
    scene.apply().expect_code(0);
    scene.serves("target");
    for id in taken {
        let found = target.get(&Client::doc(&scene.index(), id));
        assert_eq!(found["_source"], json!({ "said": 1, "more": [2] }), "{id}");
        target.delete(&Client::doc(&scene.index(), id));
    }
    scene.judged("target", &[]);
}
