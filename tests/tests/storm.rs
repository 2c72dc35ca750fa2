//! Kill storms: segue dies at any instant, and the same command ends as if it never had.

#![expect(
    clippy::print_stdout,
    reason = "what died where belongs to the output of a test that fails"
)]

use std::time::{Duration, Instant};

use segue_tests::{Random, Running, Scratch, rounds, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A scratch with a writer, and how long a clean switch of it takes.
fn clean() -> (Scratch, Duration) {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let began = Instant::now();
    scratch.segue(&APPLY).expect_code(0);
    (scratch, began.elapsed())
}

/// Lives for a random time, dies, and again, then runs to its end.
fn dies_and_ends(scratch: &Scratch, random: &mut Random, about: Duration) {
    let deaths = 1 + random.below(3);
    for death in 1..=deaths {
        let apply = Running::new(scratch, &APPLY);
        // The time is what is tested, and waits for nothing.
        std::thread::sleep(random.time_below(about));
        let phase = apply.output().lines().last().unwrap_or_default().to_owned();
        let alive = apply.kill();
        println!("  death {death}: alive {alive}, last said: {phase}");
    }
    scratch.segue(&APPLY).expect_code(0);
}

#[test]
fn killed_at_any_time_it_ends_with_everything_at_the_target() {
    let mut random = Random::seeded("killed_at_any_time");
    let (clean, about) = clean();
    let wanted = clean.what_matters();
    for round in 1..=rounds(6, 50) {
        println!("round {round}");
        let scratch = Scratch::new();
        scratch.app(&["start"]).expect_code(0);
        dies_and_ends(&scratch, &mut random, about);
        scratch.settled_at("new");
        assert_eq!(scratch.what_matters(), wanted, "round {round}");
    }
}

#[test]
fn killed_at_any_time_a_switch_back_ends_with_everything_at_the_source() {
    let mut random = Random::seeded("killed_switching_back");
    let (scratch, _) = clean();
    // Forth and back on the same tree: each round starts where the last one ended.
    for round in 1..=rounds(3, 20) {
        println!("round {round}");
        scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
        dies_and_ends(&scratch, &mut random, Duration::from_millis(1200));
        scratch.settled_at("old");
        assert_eq!(scratch.serves(), "source");
        scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
        dies_and_ends(&scratch, &mut random, Duration::from_millis(1200));
        scratch.settled_at("new");
        assert_eq!(scratch.serves(), "target");
        assert_eq!(scratch.what_matters()["held"], serde_json::Value::Null);
    }
}

#[test]
fn killed_in_the_pause_the_next_command_leaves_exactly_one_side_serving() {
    let mut random = Random::seeded("killed_in_the_pause");
    for round in 1..=rounds(4, 40) {
        let scratch = Scratch::new();
        scratch.app(&["start"]).expect_code(0);
        let apply = Running::new(&scratch, &APPLY);
        wait_until("the pause begins", || apply.output().contains("QUIESCING"));
        std::thread::sleep(random.time_below(Duration::from_millis(700)));
        let said = apply.output();
        apply.kill();
        println!("round {round}: {}", said.lines().last().unwrap_or_default());
        // `abort` settles and does no more: complete with COMMITTED, otherwise undo.
        let settles = scratch.segue(&["abort"]);
        let committed = scratch.serves() == "target";
        assert_eq!(settles.code, Some(0), "round {round}: {}", settles.all());
        assert_eq!(
            committed,
            scratch.live() == "new",
            "round {round}: state and route disagree"
        );
        if said.contains("COMMITTED") {
            assert!(committed, "round {round}: what was committed is completed");
        }
        assert_eq!(scratch.status()["cutovers"][0]["writes"]["state"], "open");
        scratch.accepts_writes();
        scratch.nothing_is_lost();
        scratch.segue(&APPLY).expect_code(0);
        scratch.settled_at("new");
    }
}
