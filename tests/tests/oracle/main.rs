//! The oracle workload: writers that never rest, switches to and fro, deaths at random instants, writers that do not
//! know and writers that do not stop. Every acknowledged operation is at the side that serves, once.

#![expect(clippy::expect_used, reason = "a test cannot go on without its logs")]
#![expect(clippy::print_stdout, reason = "seeds, deaths and sums are told")]

mod storm;
mod workload;

use std::time::{Duration, Instant};

use segue_tests::{rounds, say, wait_until};

use workload::{Workload, Writer};

#[test]
fn every_acknowledged_operation_survives_switches_deaths_and_writers_that_do_not_know() {
    // Short: a few thousand. Long: a million.
    let (wanted, switches) = (rounds(4_000, 1_000_000) as u64, rounds(3, 16));
    // Long: four thousand operations a second in all, so that passes find some, and a million take four minutes.
    let mut load = Workload::new("oracle", rounds(20_000, 6_000) as u64);
    let began = Instant::now();
    load.switch(0, Duration::ZERO);
    let about = began.elapsed();
    let mut verdict = load.check();
    let mut round = 1;
    // A switch is quicker than the first one was: at some random instants it is over already.
    while round < switches || verdict.acknowledged < wanted || load.deaths == 0 {
        if round / 2 % 4 == 0 {
            load.rogue_is_refused(&format!("rogue{round}"));
        }
        let stale = format!("stale{round}");
        let writer = Writer::start(&load.scratch, &stale, "stale", 0, load.rest_us);
        let log = load.scratch.at(&format!("var/acknowledged-{stale}"));
        wait_until("the stale writer writes", || log.metadata().is_ok_and(|m| m.len() > 0));
        // It wakes at the side that was left, and writes on.
        load.switch(2, about);
        writer.end(false);
        load.check();
        // The next switch writes to that side, and finds what it left.
        load.switch(2, about);
        verdict = load.check();
        load.stale_is_listed(&stale);
        round += 2;
        println!("after {round} switches: {} operations, {} deaths", verdict.acknowledged, load.deaths);
    }
    load.scratch.app(&["pause"]).expect_code(0);
    load.scratch.app(&["resume"]).expect_code(0);
    for writer in std::mem::take(&mut load.writers) {
        writer.end(true);
    }
    let last = load.check();
    load.scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    say(&format!(
        "oracle: {} acknowledged operations, {round} switches, {} deaths of apply, {} stale writes listed: {} lost, {} doubled, {} back, in {} s",
        last.acknowledged,
        load.deaths,
        load.stale_listed,
        last.lost,
        last.doubled,
        last.back,
        began.elapsed().as_secs()
    ));
    assert!(last.acknowledged >= wanted && load.deaths > 0, "{} deaths", load.deaths);
}
