//! The write pause of cutovers with live writers, from the released binary: predicted and measured side by side, term by
//! term, and beside what one would do without Segue. One command: `cargo bench --package segue-tests --bench pause`.
//!
//! * `quickstart`: 200 switches to and fro of the quickstart's tree (`SEGUE_BENCH_SWITCHES` sets another number);
//! * `large`: 20 of 100,000 files of which 1 % change a minute (`SEGUE_BENCH_LARGE_SWITCHES`).
//!
//! A name after `--` runs that one alone. It also says how long `segue version` takes to start.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

mod large;
mod phases;
mod rival;
mod sample;
mod switches;

use std::process::{Command, Stdio};
use std::time::Instant;

use segue_tests::{Scratch, segue_binary};

use sample::Sample;

/// Starts that the median start-up is taken of.
const STARTS: usize = 100;

fn start_up() {
    let mut times = Sample::default();
    for _ in 0..STARTS {
        let began = Instant::now();
        let status = Command::new(segue_binary()).arg("version").stdout(Stdio::null()).status();
        assert!(status.expect("segue starts").success());
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    println!("segue version: median of {STARTS} starts {:.2} ms", times.median());
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn quickstart() {
    println!("\nThe quickstart's tree, one writer that never rests");
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let measured = switches::run(&scratch, number("SEGUE_BENCH_SWITCHES", 200));
    scratch.app(&["stop"]).expect_code(0);
    println!("{}", scratch.app(&["check"]).expect_code(0).stdout.trim());
    measured.print();
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let rival = rival::run(&scratch);
    scratch.app(&["stop"]).expect_code(0);
    rival::print(&rival, &measured.pauses);
}

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let runs = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    start_up();
    if runs("quickstart") {
        quickstart();
    }
    if runs("large") {
        large::run(number("SEGUE_BENCH_LARGE_SWITCHES", 20));
    }
}
