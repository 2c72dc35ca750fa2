//! The tests' own servers do what the tests that use them rely on: they start, they can be killed, they end with the tests; and
//! the judge of the oracle workload finds what is planted.

#![expect(clippy::expect_used, reason = "a test cannot go on without its servers")]

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use segue_tests::servers::writer::{Door, Log, What, Workload, Writers};
use segue_tests::servers::{
    Backend, Bind, Certificates, Client, Cluster, Failure, HaProxy, Keys, Options, SearchServer, SharedDir,
    SignedFront, Version, wordnet,
};
use segue_tests::{Answer, Random, Web, rounds, say, wait_until};
use serde_json::{Value, json};

fn opensearch() -> Client {
    SearchServer::shared(Version::OpenSearch2_19).client()
}

/// Writers at a new index of several shards, until they have done so much.
fn written(client: &Client, index: &str, seed: u64) -> Log {
    client.make_index(index, 3, &Value::Null);
    let writers = Writers::start(Workload {
        rest: Duration::ZERO,
        routing: true,
        own_keys: 60,
        prefix: index.to_owned(),
        ..Workload::new(Door::at(client, index), seed)
    });
    writers.until_more(1500);
    writers.stop()
}

/// A document that must be there, and one that must not, of those that one writer alone wrote to.
fn one_of_each(log: &Log) -> (String, String) {
    let own = |id: &&str| !id.contains("shared");
    let last = |id: &str| log.operations().iter().rfind(|o| o.id == id).expect("an operation");
    let mut ids: Vec<&str> = log.operations().iter().map(|o| o.id.as_str()).filter(own).collect();
    ids.sort_unstable();
    ids.dedup();
    let there = ids.iter().find(|id| last(id).what != What::Delete && last(id).routing.is_none());
    let gone = ids.iter().find(|id| last(id).what == What::Delete && last(id).routing.is_none());
    (there.expect("a document").to_string(), gone.expect("a deleted one").to_string())
}

#[test]
fn the_judge_finds_nothing_where_nothing_is_lost() {
    let client = opensearch();
    let seed = Random::seeded("the_judge_finds_nothing").number();
    let log = written(&client, "judged", seed);
    let verdict = log.judge(&client, "judged");
    verdict.expect_clean();
    assert!(verdict.acknowledged >= 1500 && verdict.keys >= 180, "{verdict:#?}");
    assert_eq!(log.refused(), 0);
}

#[test]
fn the_judge_finds_a_planted_loss_a_double_a_resurrection_and_an_older_value() {
    let client = opensearch();
    let seed = Random::seeded("the_judge_finds_what_is_planted").number();
    let log = written(&client, "planted", seed);
    log.judge(&client, "planted").expect_clean();
    let (there, gone) = one_of_each(&log);
    let path = Client::doc("planted", &there);
    let whole = client.get(&path)["_source"].clone();

    client.delete(&path);
    let verdict = log.judge(&client, "planted");
    assert_eq!((verdict.lost, verdict.doubled, verdict.back, verdict.strange), (1, 0, 0, 0), "{verdict:#?}");
    client.put(&path, &whole);
    log.judge(&client, "planted").expect_clean();

    let made = whole["made"].as_str().expect("a tag").to_owned();
    client.put(&path, &json!({ "tag": made, "made": made, "text": "cut sho" }));
    let verdict = log.judge(&client, "planted");
    assert_eq!((verdict.lost, verdict.doubled, verdict.back, verdict.strange), (1, 0, 0, 0), "{verdict:#?}");
    client.put(&path, &whole);

    // The same id at another shard: what an engine makes that forgets a routing.
    let routings: Vec<String> = (0..64).map(|n| format!("elsewhere-{n}")).collect();
    let doubled = routings.iter().any(|routing| {
        client.put(&format!("{path}?routing={routing}"), &whole);
        let two = client.documents("planted").iter().filter(|d| d.id == there).count() == 2;
        if !two {
            client.put(&path, &whole);
        }
        two
    });
    assert!(doubled, "all routings lead to one shard");
    let verdict = log.judge(&client, "planted");
    assert_eq!((verdict.lost, verdict.doubled, verdict.back), (0, 1, 0), "{verdict:#?}");
    client.post(
        "/planted/_delete_by_query?refresh=true",
        &json!({ "query": { "ids": { "values": [there] } } }),
    );
    client.put(&path, &whole);
    log.judge(&client, "planted").expect_clean();

    let before = log.operations().iter().find(|o| o.id == gone).expect("it was made");
    client.put(&Client::doc("planted", &gone), &json!({ "tag": before.tag, "made": before.tag }));
    let verdict = log.judge(&client, "planted");
    assert_eq!((verdict.lost, verdict.doubled, verdict.back, verdict.strange), (0, 0, 1, 0), "{verdict:#?}");
}

/// Moves an alias from one index to another as carefully as it is told, with the server's own reindex; returns the log.
fn moved_by_alias(client: &Client, name: &str, carefully: bool, seed: u64) -> Log {
    let (old, new, alias) = (format!("{name}-old"), format!("{name}-new"), name.to_owned());
    client.make_index(&old, 2, &Value::Null);
    client.make_index(&new, 3, &Value::Null);
    let add = |index: &str| json!({ "add": { "index": index, "alias": alias } });
    client.post("/_aliases", &json!({ "actions": [add(&old)] }));
    let writers = Writers::start(Workload {
        prefix: name.to_owned(),
        own_keys: 40,
        ..Workload::new(Door::at(client, &alias).require_alias(), seed)
    });
    writers.until_more(400);
    if carefully {
        client.demand("PUT", &format!("/{old}/_block/write"), None);
    }
    client.refresh(&old);
    let copy = json!({ "source": { "index": old }, "dest": { "index": new } });
    let copied = client.post("/_reindex?refresh=true", &copy);
    assert_eq!(copied["failures"], json!([]));
    if !carefully {
        writers.until_more(400);
    }
    let remove = json!({ "remove": { "index": old, "alias": alias } });
    client.post("/_aliases", &json!({ "actions": [remove, add(&new)] }));
    writers.until_more(200);
    writers.stop()
}

#[test]
fn writers_follow_an_alias_and_lose_nothing_when_it_is_moved_with_care() {
    let client = opensearch();
    let seed = Random::seeded("writers_follow_an_alias").number();
    let log = moved_by_alias(&client, "careful", true, seed);
    log.judge(&client, "careful").expect_clean();
    assert!(log.refused() > 0, "nobody was refused in the pause");
    assert!(log.acknowledged_at("careful-old") >= 400 && log.acknowledged_at("careful-new") >= 200);
    say(&format!("the pause of a copy with writes stopped: {} ms", log.longest_pause().as_millis()));
}

#[test]
fn the_judge_finds_what_a_careless_move_loses() {
    let client = opensearch();
    let seed = Random::seeded("the_judge_finds_what_a_careless_move_loses").number();
    let log = moved_by_alias(&client, "careless", false, seed);
    let verdict = log.judge(&client, "careless");
    assert!(verdict.lost > 0 && verdict.back > 0, "{verdict:#?}");
}

#[test]
fn a_killed_server_comes_back_with_every_acknowledged_write() {
    let mut server = SearchServer::start(Version::Elasticsearch7_10);
    let (client, seed) = (server.client(), Random::seeded("a_killed_server").number());
    assert_eq!(wordnet::load(&client, "words", 5, 5000), 5000);
    client.make_index("killed", 3, &Value::Null);
    let seeds = client.documents("words").into_iter().take(300).map(|d| d.id).collect();
    let workload = Workload {
        seeds,
        own_keys: 0,
        prefix: "w".to_owned(),
        ..Workload::new(Door::at(&client, "words"), seed)
    };
    let on_words = Writers::start(workload);
    let on_killed = Writers::start(Workload::new(Door::at(&client, "killed"), seed));
    on_killed.until_more(300);
    server.kill();
    assert!(matches!(client.ask("GET", "/", None), Err(Failure::NotSent(_))));
    server.restart();
    on_killed.until_more(300);
    on_words.until_more(100);
    let (words, killed) = (on_words.stop(), on_killed.stop());
    words.judge(&client, "words").expect_clean();
    killed.judge(&client, "killed").expect_clean();
    assert!(killed.refused() > 0, "nobody noticed");
    // Frozen, it takes connections and says nothing; thawed, it goes on.
    server.freeze();
    server.thaw();
    assert!(client.count("words") >= 4700);
}

#[test]
fn two_servers_read_each_others_snapshots_and_one_refuses_without_its_password() {
    if rounds(0, 1) == 0 {
        say(
            "NOT RUN: two of the older servers read each other's snapshots; `tests/run --long` sets SEGUE_TESTS_LONG",
        );
        return;
    }
    let shared = SharedDir::new();
    let options = || Options::default().repository(shared.path());
    let [old, new] = SearchServer::start_all([
        (Version::Elasticsearch7_10Secured, options().password("segue-tests")),
        (Version::Elasticsearch7_17, options()),
    ]);
    // A server remembers what is in a repository that it may write to: the one that only reads must not be such a one.
    let repository = |readonly: bool| json!({ "type": "fs", "settings": { "location": shared.path().join("r"), "readonly": readonly } });
    old.client().put("/_snapshot/both", &repository(false));
    new.client().put("/_snapshot/both", &repository(true));
    old.client().make_index("carried", 2, &Value::Null);
    old.client().bulk("carried", [("a", &json!({ "n": 1 }))]);
    old.client().put("/_snapshot/both/one?wait_for_completion=true", &json!({ "indices": "carried" }));
    new.client().post("/_snapshot/both/one/_restore?wait_for_completion=true", &json!({}));
    assert_eq!(new.client().count("carried"), 1);
    let stranger = Client::new(old.url()).ask("GET", "/", None).expect("an answer");
    assert_eq!(stranger.status, 401);
}

#[test]
fn every_server_of_the_long_run_takes_writes_and_tells_them() {
    let versions = match rounds(0, 1) {
        0 => {
            say("NOT RUN: six servers of seven; `tests/run --long` sets SEGUE_TESTS_LONG");
            vec![Version::OpenSearch2_19]
        }
        _ => Version::ALL.to_vec(),
    };
    for version in versions {
        let own = (version != Version::OpenSearch2_19).then(|| SearchServer::start(version));
        let client = own.as_ref().map_or_else(opensearch, SearchServer::client);
        let log = written(&client, "everywhere", 7);
        log.judge(&client, "everywhere").expect_clean();
        let count = 3000;
        assert_eq!(wordnet::load(&client, "words", 2, count), count);
        assert_eq!(client.documents("words").len(), count, "{}", version.server());
        say(&format!("{}: {} writes", version.server(), log.acknowledged()));
    }
}

#[test]
fn a_cluster_goes_on_with_every_acknowledged_write_when_its_primaries_are_killed() {
    if rounds(0, 1) == 0 {
        say("NOT RUN: a cluster of two nodes of its own; `tests/run --long` sets SEGUE_TESTS_LONG");
        return;
    }
    let mut cluster = Cluster::of_two(Version::OpenSearch2_19);
    cluster.index_with_primaries_on_second("two", 3);
    let seed = Random::seeded("a_cluster_goes_on").number();
    let client = cluster.client();
    let writers = Writers::start(Workload::new(Door::at(&client, "two"), seed));
    writers.until_more(500);
    cluster.kill_second("two");
    writers.until_more(500);
    let verdict = writers.stop().judge(&client, "two");
    assert_eq!((verdict.lost, verdict.doubled, verdict.back, verdict.strange), (0, 0, 0, 0), "{verdict:#?}");
    cluster.second.restart();
    cluster.until_nodes(2);
    assert!(cluster.shard_stats("two").is_object());
}

#[test]
fn a_name_server_takes_signed_updates_with_conditions_and_keeps_them() {
    let mut bind = Bind::start("segue.test");
    bind.update("update add app.segue.test 5 A 127.0.0.11\nupdate add www.segue.test 5 CNAME app.segue.test")
        .expect("taken");
    let app = |bind: &Bind| bind.address_of("app.segue.test").map(|a| a.to_string()).unwrap_or_default();
    assert_eq!(app(&bind), "127.0.0.11");
    assert_eq!(bind.address_of("www.segue.test"), bind.address_of("app.segue.test"), "an alias is followed");
    let swap = "prereq yxrrset app.segue.test A 127.0.0.11\nupdate delete app.segue.test A\nupdate add app.segue.test 5 A 127.0.0.12";
    bind.update(swap).expect("taken");
    assert_eq!(bind.records("app.segue.test", "A"), ["127.0.0.12"]);
    let stale = bind.update(swap).expect_err("the condition no longer holds");
    assert!(stale.contains("NXRRSET"), "{stale}");
    let refused = bind.update("update add app.segue.test 5 MX 1 mail.segue.test").expect_err("not granted");
    assert!(refused.contains("REFUSED"), "{refused}");
    bind.kill();
    assert_eq!(app(&bind), "");
    bind.restart();
    assert_eq!(app(&bind), "127.0.0.12", "an update is forgotten");
    assert_eq!(bind.address_of("nobody.segue.test"), None);
}

/// How a hundred requests are shared.
fn shared(client: &Client) -> (usize, usize) {
    let asked: Vec<String> = (0..100)
        .map(|_| client.ask("GET", "/", None).expect("an answer").served_by.expect("a backend"))
        .collect();
    let of = |name: &str| asked.iter().filter(|by| *by == name).count();
    (of("source"), of("target"))
}

#[test]
fn a_proxy_shares_by_weights_which_its_socket_changes_and_a_reload_forgets() {
    let (source, target) =
        (Web::new(|_| Answer::new(200, "source")), Web::new(|_| Answer::new(200, "target")));
    let mut proxy = HaProxy::weighted(&[
        Backend::new("source", &source.url(""), 100),
        Backend::new("target", &target.url(""), 0),
    ]);
    let client = Client::new(&proxy.url());
    assert_eq!(shared(&client), (100, 0));
    assert_eq!(proxy.say("set server search/source weight 90"), "");
    proxy.say("set server search/target weight 10");
    assert_eq!((proxy.weight("source"), proxy.weight("target")), (90, 10));
    assert_eq!(shared(&client), (90, 10));
    proxy.reload();
    assert_eq!((proxy.weight("source"), proxy.weight("target")), (100, 0));
    proxy.kill();
    let failure = Client::new(&proxy.url()).ask("GET", "/", None).expect_err("nobody is there");
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    proxy.restart();
    assert_eq!(shared(&client), (100, 0));
}

#[test]
fn a_proxy_in_front_wants_the_right_authority_and_a_certificate() {
    let web = Web::new(|_| Answer::new(200, "{\"fine\":true}"));
    let certificates = Certificates::new(&["search.segue.test"]);
    let [authority, other, certificate, key] =
        ["ca.pem", "other-ca.pem", "client.pem", "client.key"].map(|name| certificates.read(name));
    let open = HaProxy::tls(&web.url(""), &certificates, false);
    let closed = HaProxy::tls(&web.url(""), &certificates, true);
    let asks = |proxy: &HaProxy, authority: &[u8], own: Option<(&[u8], &[u8])>| {
        Client::new(&proxy.url()).with_tls(authority, own).ask("GET", "/", None).map(|reply| reply.status)
    };
    assert_eq!(asks(&open, &authority, None), Ok(200));
    asks(&open, &other, None).expect_err("an authority that has not signed it");
    assert_eq!(asks(&closed, &authority, Some((&certificate, &key))), Ok(200));
    asks(&closed, &authority, None).expect_err("no certificate is shown");
}

#[test]
fn a_signed_front_passes_what_is_signed_by_others_means_and_nothing_else() {
    let server = SearchServer::shared(Version::OpenSearch2_19);
    let keys = Keys {
        access: "AKIDEXAMPLE".to_owned(),
        secret: "secret/with+signs".to_owned(),
        token: None,
        region: "eu-west-1".to_owned(),
        service: "es".to_owned(),
    };
    let front = SignedFront::new(keys, server.url());
    assert_eq!(Client::new(&front.url()).ask("GET", "/", None).expect("an answer").status, 403);
    let curl = |user: &str| {
        let output = Command::new("curl")
            .args(["-sS", "--aws-sigv4", "aws:amz:eu-west-1:es", "--user", user, "-X", "PUT"])
            .args(["-H", "content-type: application/json", "-d", "{\"n\":1}"])
            .arg(format!("{}/signed/_doc/1?refresh=true", front.url()))
            .output()
            .expect("curl is installed: tests/run installs it");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = curl("AKIDEXAMPLE:wrong");
    assert!(said.contains("does not match"), "{said}");
    let said = curl("AKIDEXAMPLE:secret/with+signs");
    assert!(said.contains("\"result\":\"created\""), "{said}: {:?}", front.refused());
    assert_eq!((front.passed(), front.refused().len()), (1, 2));
    assert_eq!(server.client().count("signed"), 1);
}

#[test]
fn wordnet_is_whole() {
    let mut ids: Vec<String> = wordnet::synsets().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), wordnet::COUNT);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), wordnet::COUNT, "an id is there twice");
}

/// The body of `a_server_ends_with_a_killed_test`, in a process that is killed.
#[test]
#[ignore = "the child of another test"]
fn child_that_is_killed() {
    let bind = Bind::start("segue.test");
    say(&format!("child: {}", bind.port()));
    loop {
        std::thread::park();
    }
}

#[test]
fn a_server_ends_with_a_killed_test() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = std::fs::File::create_new(dir.path().join("out")).expect("a file");
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "child_that_is_killed"])
        // Its results are no results of this run.
        .stdout(Stdio::null())
        .stderr(out)
        .spawn()
        .expect("this binary starts");
    let said = || segue_contract::paths::read_to_string(&dir.path().join("out")).unwrap_or_default();
    wait_until("the child's server is up", || said().contains("child: "));
    let port = said().lines().find_map(|l| l.strip_prefix("child: ")?.parse::<u16>().ok()).expect("a port");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "its server does not run");
    child.kill().expect("killed");
    child.wait().expect("waited");
    wait_until("its server is gone", || TcpStream::connect(("127.0.0.1", port)).is_err());
}
