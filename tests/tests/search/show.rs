//! The show: words under live writers from one cluster to the other and back, while new fields come into the mapping and
//! apply is killed at random instants.

use std::collections::BTreeMap;
use std::time::Duration;

use segue_tests::servers::wordnet;
use segue_tests::{Random, rounds, say, wait_long};
use serde_json::Value;

use crate::grower::{Grower, has_types};
use crate::scene::{APPLY, PATIENCE, Scene, Terms, says, told};
use crate::servers::{Way, shared};

/// How long a run may live before its first death, at most.
const LIFE: Duration = Duration::from_millis(2500);
/// And the last of many, which a load of everything outlives by far.
const LIFE_MAX: Duration = Duration::from_secs(30);
/// How long after the beginning of the pause it may live, at most.
const PAUSE: Duration = Duration::from_millis(1500);

/// Runs apply towards a side, killed at so many random instants and started again by the same command, until it has ended by
/// itself with that side serving. One that ends before it was killed often enough goes to the other side and comes again.
fn storm(scene: &Scene, random: &mut Random, deaths: usize, live: &str) {
    let (mut towards, mut died, mut life) = (live, 0, LIFE);
    scene.wants(towards);
    while died < deaths {
        let mut apply = scene.start();
        if died % 2 == 1 {
            // The pause is short beside the rest: every second death is in it, or after it.
            wait_long("the pause begins", PATIENCE, || apply.ended() || apply.output().contains("QUIESCING"));
            std::thread::sleep(random.time_below(PAUSE));
        } else {
            // The time is what is tested, and waits for nothing.
            std::thread::sleep(random.time_below(life));
        }
        let said = apply.output().lines().last().unwrap_or_default().to_owned();
        if apply.ended() {
            apply.wait_for(PATIENCE).expect_code(0);
            towards = if towards == "target" { "source" } else { "target" };
            say(&format!("  ended by itself, now towards the {towards}"));
            scene.wants(towards);
            life = LIFE;
        } else if apply.kill() {
            died += 1;
            say(&format!("  death {died}, last said: {said}"));
            // What is left takes its time, too.
            life = (life * 3 / 2).min(LIFE_MAX);
        }
    }
    scene.segue(&APPLY).expect_code(0);
    if towards != live {
        scene.wants(live);
        scene.segue(&APPLY).expect_code(0);
    }
}

fn killed_at_random_instants(way: Way, name: &str) {
    let servers = shared();
    let mut random = Random::seeded(name);
    let words = rounds(4000, wordnet::COUNT);
    let mut scene = Scene::new(servers.pair(way), name, words, 5, &Terms::default());
    let mut grown = BTreeMap::new();

    let (writers, grower) = (scene.writers("there", 0, random.number()), Grower::start(&scene, "there"));
    writers.until_more(50);
    storm(&scene, &mut random, rounds(5, 20), "target");
    writers.until_more(50);
    let there = writers.stop();
    grown.extend(grower.stop());
    scene.beside.extend(grown.clone());
    scene.serves("target");
    has_types(&scene.target(), &scene.index(), &grown);
    told(&format!("{name}, there"), &there, &scene.judged("target", &[&there]));
    assert!(there.acknowledged_at(scene.target().base()) >= 50 && there.refused() > 0);

    let (writers, grower) = (scene.writers("back", 1, random.number()), Grower::start(&scene, "back"));
    writers.until_more(50);
    storm(&scene, &mut random, rounds(3, 10), "source");
    writers.until_more(50);
    let back = writers.stop();
    grown.extend(grower.stop());
    scene.beside.extend(grown.clone());
    scene.serves("source");
    has_types(&scene.source(), &scene.index(), &grown);
    say(&format!("{name}: {} fields grown", grown.len()));
    told(&format!("{name}, back"), &back, &scene.judged("source", &[&there, &back]));
    assert!(back.acknowledged_at(scene.source().base()) >= 50);

    // Once more without a death, and then there is nothing left to do.
    scene.wants("target");
    scene.apply().expect_code(0);
    scene.serves("target");
    scene.judged("target", &[&there, &back]);
    scene.alike();
    says(&scene.segue(&["plan", "--detailed-exitcode"]).expect_code(0), "Nothing to do");
    reported(&scene);
}

/// What the report says to who was not there: every switch with its pause, the deaths, and what nobody knows is no outcome.
fn reported(scene: &Scene) {
    let printed = scene.segue(&["report", "--json"]).expect_code(0);
    let report: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    let attempts = report["attempts"]["kept"].as_array().expect("attempts");
    let switched = attempts.iter().filter(|attempt| attempt["outcome"]["is"] == "switched").count();
    assert!(switched >= 3, "{}", report["attempts"]);
    assert!(attempts.iter().all(|a| a["outcome"]["is"] != "in_flight"), "{}", report["attempts"]);
    scene.segue(&["report", "--out", "move.html"]).expect_code(0);
    let page = scene.scratch.read("move.html");
    for text in ["route.dns.search", "route.search_alias.at_new", &scene.index(), "COMMITTED"] {
        assert!(page.contains(text), "the report does not name {text}");
    }
    say(&format!(
        "{}: {} attempts in the report, {switched} of them switched",
        scene.index(),
        attempts.len()
    ));
}

#[test]
fn elasticsearch_to_opensearch_and_back_killed_at_random_instants_loses_nothing() {
    killed_at_random_instants(Way::ToOpenSearch, "to-opensearch");
}

#[test]
fn opensearch_to_elasticsearch_and_back_killed_at_random_instants_loses_nothing() {
    killed_at_random_instants(Way::ToElasticsearch, "to-elasticsearch");
}
