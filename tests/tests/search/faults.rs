//! What is wrong with a spec, a cluster, an index or a document, and what others do meanwhile: each is told clearly, before the
//! pause where that can be, and what was begun goes on when it is mended.

use segue_tests::servers::writer::{Door, Workload, Writers};
use segue_tests::servers::{Backend, Certificates, Client, HaProxy, wordnet};
use segue_tests::{Ran, Random, wait_long};
use serde_json::json;

use crate::network::held;
use crate::scene::{KEY, PASSWORD, PATIENCE, Scene, Terms, address, lead, led, says, told};
use crate::servers::{Pair, Way, alone, guarded, shared};

/// Where somebody else has the name lead.
const ELSEWHERE: &str = "127.0.0.99";

/// Nothing was closed to anybody.
#[track_caller]
fn no_pause(scene: &Scene) {
    let history = scene.segue(&["history"]).expect_code(0);
    assert!(!history.stdout.contains("QUIESCING"), "{}", history.stdout);
}

#[track_caller]
fn refused(ran: &Ran, wanted: &[&str]) {
    assert!(matches!(ran.code, Some(1 | 3)), "{}", ran.all());
    wanted.iter().for_each(|text| says(ran, text));
}

/// What was wrong is mended: the same command goes to its end, and the target has every word.
#[track_caller]
fn goes_on(scene: &Scene) {
    scene.apply().expect_code(0);
    scene.serves("target");
    scene.judged("target", &[]);
}

/// The writers have gone on to the target, and nothing of theirs is lost.
#[track_caller]
fn ends(scene: &Scene, writers: Writers) {
    writers.until_more(20);
    let log = writers.stop();
    scene.serves("target");
    told(&scene.name, &log, &scene.judged("target", &[&log]));
}

/// Somebody else has the name lead somewhere.
fn somebody_sets(pair: Pair, scene: &Scene, there: &str) {
    let record = scene.record();
    let lines = format!("update delete {record} A\nupdate add {record} 1 A {there}");
    pair.bind.update(&lines).expect("taken");
}

/// What somebody else has set is left as it is.
#[track_caller]
fn not_overwritten(pair: Pair, scene: &Scene) {
    assert_eq!(pair.bind.records(&scene.record(), "A"), [ELSEWHERE], "somebody else's value was overwritten");
}

#[test]
fn a_wrong_password_a_wrong_authority_and_a_missing_index_are_told_before_anything_moves() {
    let (name, way) = ("wrong", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let people = "userlist people\n  user segue insecure-password right\n";
    let front = guarded(pair.source.url(), people, "auth unless { http_auth(people) }");
    let certificates = Certificates::new(&["search.segue.test"]);
    let tls = HaProxy::tls(pair.target.url(), &certificates, true);
    let at = |file: &str| certificates.path(file).display().to_string();
    let terms = Terms {
        source_url: Some(front.url()),
        target_url: Some(tls.url()),
        source: format!("username = \"segue\"\n  password = env(\"{PASSWORD}\")"),
        target: format!(
            "ca_file = \"{}\"\n  client_cert = \"{}\"\n  client_key = \"{}\"",
            at("other-ca.pem"),
            at("client.pem"),
            at("client.key")
        ),
        ..Terms::default()
    };
    let mut scene = Scene::new(pair, name, 100, 2, &terms);
    let wrong = scene.apply();
    refused(&wrong, &["401", "source.elasticsearch.old", "certificate", "target.opensearch.new"]);
    assert!(!wrong.all().contains("\"wrong\""), "a password is shown: {}", wrong.all());
    assert!(!scene.target().has(&scene.index()), "something was made");

    scene.scratch.edit_spec(&at("other-ca.pem"), &at("ca.pem"));
    refused(&scene.apply(), &["401"]);
    scene.scratch.set(PASSWORD, "right");
    scene.scratch.edit_spec("include = [\"wrong-1\"]", "include = [\"wrong-7\"]");
    refused(
        &scene.apply(),
        &["SEARCH_MISSING", "no index of source.elasticsearch.old is selected: it offers wrong-1"],
    );
    scene.scratch.edit_spec("include = [\"wrong-7\"]", "include = [\"wrong-1\"]");
    assert!(!scene.target().has(&scene.index()), "something was made");
    no_pause(&scene);

    goes_on(&scene);
}

#[test]
fn a_document_that_the_target_refuses_is_told_by_its_key_and_stops_the_switch_until_it_is_mended() {
    let (name, way) = ("conflict", Way::ToElasticsearch);
    let servers = shared();
    let pair = servers.pair(way);
    let mut scene = Scene::new(pair, name, 400, 2, &Terms::default());
    // The source takes any text for it, the target numbers alone.
    let mut properties = wordnet::properties();
    properties["odd"] = json!({ "type": "integer" });
    scene.target().make_index(&scene.index(), 3, &properties);
    let path = Client::doc(&scene.index(), "odd-one");
    scene.source().put(&path, &json!({ "odd": "7", "kept": "yes" }));
    scene.source().put(&path, &json!({ "odd": "many", "kept": "yes" }));
    let stopped = scene.apply();
    refused(&stopped, &["odd-one"]);
    assert!(!stopped.all().contains("many"), "what the document holds is shown: {}", stopped.all());
    assert_eq!(scene.scratch.serves(), "source");
    no_pause(&scene);
    says(&scene.segue(&["status"]), "SET ASIDE   1 record could not be carried");

    scene.source().put(&path, &json!({ "odd": "12", "kept": "yes" }));
    scene.beside.insert("odd-one".to_owned(), json!({ "odd": "12", "kept": "yes" }));
    goes_on(&scene);
}

#[test]
fn a_target_closed_for_a_full_disk_in_mid_load_is_told_and_the_load_goes_on_when_there_is_room() {
    let (name, way) = ("full-disk", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let (front, hold) = held(pair.target.url(), "/_bulk", 3);
    let terms = Terms { target_url: Some(front.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 1200, 5, &terms);
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    let set = |value| json!({ "index.blocks.read_only_allow_delete": value });
    let settings = format!("/{}/_settings", scene.index());
    scene.target().put(&settings, &set(json!(true)));
    hold.release();
    let ended = apply.wait_for(PATIENCE);
    refused(&ended, &["blocks", "disk"]);
    assert_eq!(scene.scratch.serves(), "source");
    scene.target().put(&settings, &set(json!(null)));
    goes_on(&scene);
}

#[test]
fn a_source_index_that_is_closed_or_deleted_in_mid_load_is_told() {
    let (name, way) = ("closed", Way::ToElasticsearch);
    let servers = shared();
    let pair = servers.pair(way);
    let (front, hold) = held(pair.source.url(), "/_search", 3);
    let scene = Scene::new(pair, name, 1200, 5, &Terms { source_url: Some(front.url()), ..Terms::default() });
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    scene.source().demand("POST", &format!("/{}/_close", scene.index()), None);
    hold.release();
    refused(&apply.wait_for(PATIENCE), &["closed", &scene.index()]);
    scene.source().demand("POST", &format!("/{}/_open?wait_for_active_shards=1", scene.index()), None);
    goes_on(&scene);

    let (front, hold) = held(pair.source.url(), "/_search", 3);
    let scene =
        Scene::new(pair, "deleted", 1200, 5, &Terms { source_url: Some(front.url()), ..Terms::default() });
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    scene.source().delete(&format!("/{}", scene.index()));
    hold.release();
    refused(&apply.wait_for(PATIENCE), &[&scene.index()]);
    // Nothing follows from nothing: what was carried is not deleted because the source has gone.
    let carried = scene.target().count(&scene.index());
    let again = scene.apply();
    refused(&again, &[&scene.index()]);
    assert_eq!(scene.target().count(&scene.index()), carried);
}

#[test]
fn a_target_index_that_is_deleted_in_mid_load_is_told_although_the_server_makes_another() {
    let (name, way) = ("gone", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let (front, hold) = held(pair.target.url(), "/_bulk", 3);
    let terms = Terms { target_url: Some(front.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 1200, 5, &terms);
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    scene.target().delete(&format!("/{}", scene.index()));
    hold.release();
    refused(&apply.wait_for(PATIENCE), &["was deleted", &scene.index()]);
    assert_eq!(scene.scratch.serves(), "source");
    // What the server made by itself, if it did, has no mapping of Segue's: it goes, and the load begins anew.
    if scene.target().has(&scene.index()) {
        scene.target().delete(&format!("/{}", scene.index()));
    }
    goes_on(&scene);
    let kind = scene.target().get(&format!("/{}/_mapping", scene.index()));
    assert_eq!(kind[scene.index()]["mappings"]["properties"]["part"]["type"], "keyword", "{kind}");
}

#[test]
fn a_red_cluster_is_told_before_anything_moves() {
    let (name, way) = ("red", Way::ToOpenSearch);
    let servers = alone();
    let pair = servers.pair(way);
    let gate = format!("gate \"search_health\" {{\n url = \"{}\"\n wait = \"1s\"\n }}", pair.target.url());
    let scene = Scene::new(pair, name, 100, 2, &Terms { cutover: gate, ..Terms::default() });
    // A shard that no node may have.
    let nobody = json!({ "settings": { "number_of_replicas": 0, "index.routing.allocation.require._name": "nobody" } });
    scene.target().demand("PUT", "/red-elsewhere?wait_for_active_shards=0", Some(&nobody));
    let ran = scene.apply();
    refused(&ran, &["red"]);
    assert_eq!(scene.scratch.serves(), "source");
    no_pause(&scene);
    scene.target().delete("/red-elsewhere");
    goes_on(&scene);
}

#[test]
fn what_others_write_to_the_target_is_found_kept_aside_and_not_switched_to() {
    let (name, way) = ("strangers", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let scene = Scene::new(pair, name, 300, 3, &Terms::default());
    scene.wants("source");
    scene.apply().expect_code(0);
    let (index, target) = (scene.index(), scene.target());
    let (first, _) = wordnet::synsets().next().expect("a word");
    target.put(&Client::doc(&index, "strange-one"), &json!({ "gloss": "nobody carried me" }));
    target.put(&Client::doc(&index, &first), &json!({ "gloss": "changed by somebody else" }));
    let second = wordnet::synsets().nth(1).expect("a word").0;
    target.delete(&Client::doc(&index, &second));
    let plan = scene.segue(&["plan", "--detailed-exitcode"]).expect_code(4);
    for key in ["strange-one", &first, &second] {
        says(&plan, key);
    }
    scene.wants("target");
    let ran = scene.apply().expect_code(0);
    says(&ran, "STALE");
    scene.serves("target");
    scene.judged("target", &[]);
    says(&scene.segue(&["status"]), "strange-one");
}

#[test]
fn an_alias_that_somebody_moved_is_told_and_not_taken() {
    let (name, way) = ("moved", Way::ToElasticsearch);
    let servers = shared();
    let pair = servers.pair(way);
    let scene = Scene::new(pair, name, 100, 2, &Terms::default());
    scene.target().make_index("moved-elsewhere", 1, &json!(null));
    lead(&scene.target(), name, "moved-elsewhere");
    refused(&scene.apply(), &["moved-elsewhere", "at_new"]);
    assert_eq!(led(&scene.target(), name), ["moved-elsewhere"]);
    assert_eq!(scene.scratch.serves(), "source");
    no_pause(&scene);
    lead(&scene.target(), name, "parked");
    scene.apply().expect_code(0);
    scene.serves("target");
    // After the switch it is drift, and apply sets it right.
    lead(&scene.target(), name, "parked");
    says(&scene.segue(&["plan", "--detailed-exitcode"]).expect_code(4), "at_new");
    goes_on(&scene);
}

#[test]
fn an_index_that_is_made_after_the_plan_stops_the_cutover_and_is_moved_by_the_next() {
    let (name, way) = ("appears", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let gate = "gate \"command\" {\n command = [\"./go\"]\n interval = \"100ms\"\n }".to_owned();
    let terms = Terms { include: Some("appears-*".to_owned()), cutover: gate, ..Terms::default() };
    let scene = Scene::new(pair, name, 100, 2, &terms);
    scene.scratch.executable("go", "test -e go-on");
    let mut apply = scene.start();
    apply.until_it_says_within("cutover.site.gate.command: waiting", PATIENCE);
    scene.source().make_index("appears-2", 2, &json!(null));
    scene.source().bulk("appears-2", [("a", &json!({ "n": 1 })), ("b", &json!({ "n": 2 }))]);
    scene.scratch.write("go-on", "");
    let ended = apply.wait_for(PATIENCE).expect_code(5);
    says(&ended, "appears-2");
    assert_eq!(scene.scratch.serves(), "source");
    // Whoever aborted for that has to say that it may go on.
    let _ = scene.segue(&["unhold", "cutover.site"]);
    goes_on(&scene);
    assert_eq!(scene.target().count("appears-2"), 2);
}

#[test]
fn a_name_server_that_refuses_or_says_something_else_costs_no_pause() {
    let (name, way) = ("refuses", Way::ToElasticsearch);
    let servers = shared();
    let pair = servers.pair(way);
    let mut random = Random::seeded(name);
    let (key, secret) = pair.bind.powerless_key();
    let terms = Terms { dns_key: Some((key.to_owned(), secret)), ..Terms::default() };
    let mut scene = Scene::new(pair, name, 200, 2, &terms);
    let writers = scene.writers("refuses", 0, random.number());
    writers.until_more(20);
    refused(&scene.apply(), &["REFUSED", "route.dns.search"]);
    no_pause(&scene);
    scene.scratch.edit_spec(&format!("\"{key}\""), &format!("\"{}\"", pair.bind.key_name()));
    scene.scratch.set(KEY, &pair.bind.secret());

    // Somebody else has changed the record: the update's condition would not hold.
    somebody_sets(pair, &scene, ELSEWHERE);
    refused(&scene.apply(), &[ELSEWHERE]);
    no_pause(&scene);
    not_overwritten(pair, &scene);
    somebody_sets(pair, &scene, &address(pair.source).to_string());
    scene.apply().expect_code(0);
    ends(&scene, writers);
}

#[test]
fn a_record_that_somebody_changes_in_the_pause_is_not_overwritten_and_the_switch_ends_when_it_is_back() {
    let (name, way) = ("stale-name", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let mut random = Random::seeded(name);
    // The source's block: the pause has begun, and all that was asked before it was asked.
    let (front, hold) = held(pair.source.url(), "/_block/write", 1);
    let terms = Terms { source_url: Some(front.url()), ..Terms::default() };
    let scene = Scene::new(pair, name, 200, 2, &terms);
    let writers = scene.writers("stale", 0, random.number());
    let mut apply = scene.start();
    hold.until_there(&mut apply);
    somebody_sets(pair, &scene, ELSEWHERE);
    hold.release();
    wait_long("the record is told", PATIENCE, || apply.ended() || apply.output().contains(ELSEWHERE));
    not_overwritten(pair, &scene);
    somebody_sets(pair, &scene, &address(pair.source).to_string());
    let ran = apply.wait_for(PATIENCE);
    says(&ran, ELSEWHERE);
    if ran.code != Some(0) {
        assert!(matches!(ran.code, Some(1 | 5)), "{}", ran.all());
        let _ = scene.segue(&["unhold", "cutover.site"]);
        scene.apply().expect_code(0);
    }
    ends(&scene, writers);
}

#[test]
fn a_proxy_that_is_reloaded_forgets_the_switch_which_is_seen_and_set_again() {
    let (name, way) = ("reloaded", Way::ToOpenSearch);
    let servers = shared();
    let pair = servers.pair(way);
    let mut random = Random::seeded(name);
    let mut proxy = HaProxy::weighted(&[
        Backend::new("source", pair.source.url(), 100),
        Backend::new("target", pair.target.url(), 100),
    ]);
    proxy.say("set server search/target state maint");
    let scene = Scene::new(pair, name, 200, 2, &Terms::default());
    let spec = scene.scratch.read("site.segue.hcl");
    let route = format!(
        "route \"haproxy\" \"front\" {{\n  socket = \"{}\"\n  backend = \"search\"\n  source = \"source\"\n  target = \"target\"\n}}\n",
        proxy.socket().display()
    );
    scene.scratch.write(
        "site.segue.hcl",
        &format!("{route}{}", spec.replace("route.dns.search", "route.haproxy.front")),
    );
    let client = Client::new(&proxy.url());
    let door = Door::at(&client, name).require_alias();
    let writers = Writers::start(Workload {
        prefix: "reloaded".to_owned(),
        own_keys: 40,
        ..Workload::new(door, random.number())
    });
    writers.until_more(20);
    scene.apply().expect_code(0);
    writers.until_more(20);
    proxy.reload();
    // Both are ready now: at the source the alias leads where nobody can write.
    let plan = scene.segue(&["plan", "--detailed-exitcode"]).expect_code(4);
    says(&plan, "route.haproxy.front");
    scene.apply().expect_code(0);
    let seen = || client.ask("GET", "/", None).ok().and_then(|reply| reply.served_by);
    wait_long("the proxy leads to the target", PATIENCE, || {
        (0..4).all(|_| seen().as_deref() == Some("target"))
    });
    writers.until_more(20);
    let log = writers.stop();
    told(name, &log, &scene.judged("target", &[&log]));
    scene.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
}
