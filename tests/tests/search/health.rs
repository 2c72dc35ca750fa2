//! Health that is lost after the switch: back by itself where the target can be read, held where it is dead.

use segue_tests::{Random, Running};

use crate::scene::{APPLY, PATIENCE, Scene, Terms, says, told};
use crate::servers::{Way, alone, shared};

/// Watches that are well, and one that is until there is a file `sick`.
fn watches(target: &str, source: &str, alias: &str) -> String {
    format!(
        r#"watch "search_health" {{
    url        = "{target}"
    for        = "10m"
    interval   = "200ms"
    failures   = 2
    on_failure = "switch_back"
  }}
  watch "search_queries" {{
    source_url    = "{source}"
    target_url    = "{target}"
    queries       = [jsonencode({{ index = "{alias}-1", body = {{ query = {{ match = {{ gloss = "river" }} }} }} }})]
    min_overlap   = 0.2
    max_total_difference = 0.5
    for           = "10m"
    interval      = "500ms"
    on_failure    = "report"
  }}
  watch "command" {{
    command    = ["./well"]
    for        = "10m"
    interval   = "100ms"
    failures   = 2
    on_failure = "switch_back"
  }}"#
    )
}

#[test]
fn health_lost_at_a_target_that_can_be_read_leads_back_with_every_write() {
    leads_back("unwell", Way::ToOpenSearch);
    leads_back("unwell-back", Way::ToElasticsearch);
}

fn leads_back(name: &str, way: Way) {
    let servers = shared();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let terms = Terms { cutover: watches(pair.target.url(), pair.source.url(), name), ..Terms::default() };
    let scene = Scene::new(pair, name, 800, 3, &terms);
    scene.scratch.executable("well", "test -e sick || exit 0; echo 503 of 1000 searches failed; exit 1");
    let writers = scene.writers(name, 0, random.number());
    let mut apply = scene.start();
    apply.until_it_says_within("if you go back now: 0 writes lost", PATIENCE);
    scene.serves("target");
    writers.until_more(100);
    scene.scratch.write("sick", "");
    let ended = apply.wait_for(PATIENCE).expect_code(7);
    says(&ended, "503 of 1000 searches failed");
    says(&ended, "was switched and went back, the source serves");
    says(&ended, "0 writes lost");
    writers.until_more(50);
    let log = writers.stop();
    scene.serves("source");
    assert!(log.acknowledged_at(scene.target().base()) >= 50, "the target took next to nothing");
    told(name, &log, &scene.judged("source", &[&log]));
    says(&scene.apply().expect_code(3), "health was lost after the switch");
    scene.serves("source");
}

#[test]
fn health_lost_with_a_target_that_is_dead_is_held_and_the_loss_shown() {
    is_held("dead", Way::ToOpenSearch);
    is_held("dead-back", Way::ToElasticsearch);
}

fn is_held(name: &str, way: Way) {
    let mut servers = alone();
    let mut random = Random::seeded(name);
    let pair = servers.pair(way);
    let terms = Terms { cutover: watches(pair.target.url(), pair.source.url(), name), ..Terms::default() };
    let scene = Scene::new(pair, name, 800, 3, &terms);
    scene.scratch.executable("well", "exit 0");
    let writers = scene.writers(name, 0, random.number());
    let mut apply = Running::new(&scene.scratch, &APPLY);
    apply.until_it_says_within("if you go back now: 0 writes lost", PATIENCE);
    writers.until_more(100);
    servers.target(way).kill();
    let ended = apply.wait_for(PATIENCE).expect_code(1);
    says(&ended, "HEALTH WAS LOST and the target still serves");
    says(&ended, "the target is not left: it cannot be read");
    says(&ended, "LOST is what the target took since the last reverse pass");
    says(&ended, "accept_loss = true");
    // Passes may fail before the watch has spoken. Then the one under way is given up, and no other is made.
    let all = ended.all();
    let (_, after) = all.split_once("2 of 2 in a row").expect("the look that decided");
    assert!(after.matches("a reverse pass failed").count() <= 1, "it waited for passes: {all}");
    let status = scene.segue(&["status"]);
    says(&status, "HELD");
    says(&status, "health was lost");
    says(&scene.apply(), "HELD");
    assert_eq!(scene.scratch.serves(), "target", "nothing was touched");

    // It comes back with all that it took, and is left in good order.
    servers.target(way).restart();
    writers.until_more(50);
    let back = scene.segue(&["switch-back", "cutover.site"]).expect_code(0);
    says(&back, "the source serves");
    writers.until_more(50);
    let log = writers.stop();
    scene.serves("source");
    told(name, &log, &scene.judged("source", &[&log]));
}
