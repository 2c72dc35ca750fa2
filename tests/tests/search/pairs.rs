//! The older and the newer servers, each moved to OpenSearch 2.19.4 and back: for the long run.

use segue_tests::servers::{Options, SearchServer, Version};
use segue_tests::{Random, rounds, say};

use crate::scene::{Scene, Terms, told};
use crate::servers::{Pair, alone, park};

fn there_and_back(version: Version) {
    let servers = alone();
    let source = SearchServer::with(version, Options::default().at("127.0.0.10", &servers.port));
    park(&source);
    let pair = Pair { source: &source, target: &servers.opensearch, bind: &servers.bind };
    let name = format!("pair-{}", version.server().replace('.', "-"));
    let mut random = Random::seeded(&name);
    let scene = Scene::new(pair, &name, 5000, 3, &Terms::default());
    let mut logs = Vec::new();
    for (turn, live) in ["target", "source", "target"].into_iter().enumerate() {
        let writers = scene.writers(&format!("turn{turn}"), turn, random.number());
        writers.until_more(100);
        scene.wants(live);
        scene.apply().expect_code(0);
        writers.until_more(100);
        let log = writers.stop();
        scene.serves(live);
        logs.push(log);
        let all: Vec<_> = logs.iter().collect();
        told(&format!("{name}, to the {live}"), &logs[turn], &scene.judged(live, &all));
    }
    scene.segue(&["verify"]).expect_code(0);
    // Nothing has been written since: a last pass, and both are alike.
    scene.apply().expect_code(0);
    scene.wants("source");
    scene.apply().expect_code(0);
    scene.alike();
    say(&format!("{name}: there, back, there and back; both sides alike"));
}

#[test]
fn each_other_version_is_moved_to_opensearch_and_back_with_every_write() {
    if rounds(0, 1) == 0 {
        say("NOT RUN: four more servers, one after the other; `tests/run --long` sets SEGUE_TESTS_LONG");
        return;
    }
    let versions = [
        Version::Elasticsearch6_8,
        Version::Elasticsearch7_17,
        Version::Elasticsearch8_17,
        Version::OpenSearch1_3,
    ];
    // One to try alone: `SEGUE_TESTS_SERVER=elasticsearch-6.8.23`.
    let only = std::env::var("SEGUE_TESTS_SERVER").ok();
    for version in versions.into_iter().filter(|v| only.as_deref().is_none_or(|only| only == v.server())) {
        there_and_back(version);
    }
}
