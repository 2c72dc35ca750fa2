//! Data streams, which take no writes with versions and are no units: what is said of them before anything runs, and what is
//! made of them at the target, once.

use segue_tests::servers::{Client, Options, SearchServer, Version};
use serde_json::{Value, json};

use crate::scene::{Scene, Terms, says};
use crate::servers::{Pair, park, shared};

/// A stream at the source. No selection of these tests matches its name.
const STREAM: &str = "events-of-streams";
/// Its template, and the part that this is composed of.
const TEMPLATE: &str = "/_index_template/events-of-streams";
const PART: &str = "/_component_template/events-of-streams-part";

/// Makes the stream with its template, and sends it an event.
fn make(client: &Client) {
    let properties = json!({ "properties": { "message": { "type": "keyword" } } });
    client.put(PART, &json!({ "template": { "mappings": properties } }));
    let template = json!({
        "index_patterns": [format!("{STREAM}*")], "data_stream": {}, "composed_of": [format!("{STREAM}-part")],
        "priority": 500, "template": { "settings": { "number_of_replicas": 0 } },
    });
    client.put(TEMPLATE, &template);
    client.demand("PUT", &format!("/_data_stream/{STREAM}"), None);
    send(client);
}

/// An event, as a pipeline sends it.
fn send(client: &Client) {
    let event = json!({ "@timestamp": "2026-11-21T08:00:00Z", "message": "began" });
    client.post(&format!("/{STREAM}/_doc"), &event);
}

fn unmake(client: &Client) {
    for path in [format!("/_data_stream/{STREAM}"), TEMPLATE.to_owned(), PART.to_owned()] {
        let _ = client.ask("DELETE", &path, None);
    }
}

/// What a cluster says of the stream; null where there is none.
fn stream(client: &Client) -> Value {
    let found = client.ask("GET", &format!("/_data_stream/{STREAM}"), None).expect("an answer");
    found.body["data_streams"].as_array().and_then(|list| list.first()).cloned().unwrap_or_default()
}

/// Everything at the target by what is made there: the stream with its one index, and its template.
fn made(client: &Client) -> [Value; 3] {
    [stream(client), client.get(TEMPLATE), client.get(PART)]
}

#[test]
fn a_data_stream_is_told_before_anything_runs_and_made_once_where_the_target_names_it() {
    let name = "streams";
    let servers = shared();
    let target =
        SearchServer::with(Version::OpenSearch2_19, Options::default().at("127.0.0.13", &servers.port));
    park(&target);
    let pair = Pair { source: &servers.opensearch, target: &target, bind: &servers.bind };
    make(&pair.source.client());
    let terms = Terms { include: Some("streams-*".to_owned()), ..Terms::default() };
    let scene = Scene::new(pair, name, 100, 2, &terms);
    let (source, target) = (scene.source(), scene.target());

    // Nobody carries it, and it cannot be selected.
    let plan = scene.segue(&["plan"]).expect_code(0);
    says(&plan, &format!("source.opensearch.old has data streams, which are no units: {STREAM}"));
    scene.scratch.edit_spec("include = [\"streams-*\"]", &format!("include = [\"{STREAM}\"]"));
    let plan = scene.segue(&["plan"]).expect_code(1);
    says(&plan, "no index of source.opensearch.old is selected");
    says(&plan, &format!("which are no units: {STREAM}"));
    scene.scratch.edit_spec(&format!("include = [\"{STREAM}\"]"), "include = [\"streams-*\"]");

    // It is made where the target says so; a name that is none is told before.
    let declare = |from: &str, to: &str| scene.scratch.edit_spec(from, to);
    let barrier = "barrier = \"name\"\n  \n}\nroute";
    let (wrong, right) = ("data_streams = [\"no-such\"]", format!("data_streams = [\"{STREAM}\"]"));
    declare(barrier, &format!("barrier = \"name\"\n  {wrong}\n}}\nroute"));
    says(&scene.segue(&["plan"]).expect_code(0), "source.opensearch.old has no data stream no-such");
    declare(wrong, &right);
    let plan = scene.segue(&["plan"]).expect_code(0);
    says(&plan, &format!("data stream {STREAM} is made at target.opensearch.new, empty, with its templates"));
    assert!(!plan.all().contains("which are no units"), "{}", plan.all());
    assert!(stream(&target).is_null(), "it was made by a plan");

    scene.wants("source");
    let first = scene.apply().expect_code(0);
    assert!(!first.all().contains("SEARCH_NOT_MADE"), "{}", first.all());
    let [there, template, part] = made(&target);
    assert_eq!(
        (&there["generation"], there["indices"].as_array().map(Vec::len)),
        (&json!(1), Some(1)),
        "{there}"
    );
    assert_eq!([template, part], [source.get(TEMPLATE), source.get(PART)]);
    assert_eq!(target.count(STREAM), 0);
    send(&target);

    // Another index has what is around it made again, and there is nothing left of that to make.
    let before = made(&target);
    source.make_index("streams-2", 1, &Value::Null);
    source.bulk("streams-2", [("a", &json!({ "n": 1 }))]);
    let again = scene.apply().expect_code(0);
    assert_eq!(target.count("streams-2"), 1, "{}", again.all());
    for code in ["SEARCH_DIFFERS", "SEARCH_NOT_MADE", "SEARCH_DATA_STREAMS"] {
        assert!(!again.all().contains(code), "{}", again.all());
    }
    assert_eq!(made(&target), before);
    scene.wants("target");
    scene.apply().expect_code(0);
    scene.serves("target");
    scene.judged("target", &[]);
    assert_eq!((made(&target), target.count(STREAM)), (before, 1), "what a pipeline sent there is its own");

    // A stream is no unit: it drifts nowhere. One that was to be made and is gone is told all the same.
    says(&scene.segue(&["drift"]).expect_code(0), "Nothing drifted");
    let plan = scene.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    assert!(!plan.all().contains("data stream"), "{}", plan.all());
    target.delete(&format!("/_data_stream/{STREAM}"));
    says(&scene.segue(&["drift"]).expect_code(0), "Nothing drifted");
    let plan = scene.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    says(&plan, &format!("target.opensearch.new has no data stream {STREAM}, which data_streams names"));
    unmake(&source);
}
