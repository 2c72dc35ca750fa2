//! The write pause of the quickstart's cutover, from the released binary with a live writer: median and
//! worst of many switches to and fro, with the terms that they consist of; and how long `segue version`
//! takes to start. One command: `cargo bench --package segue-tests --bench pause`.
//!
//! `SEGUE_BENCH_SWITCHES` sets how many (200 when it is not set).

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use segue_tests::{Scratch, segue_binary};

/// Starts that the median start-up is taken of.
const STARTS: usize = 100;

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn start_up() {
    let mut times: Vec<f64> = (0..STARTS)
        .map(|_| {
            let began = Instant::now();
            let status = Command::new(segue_binary()).arg("version").stdout(Stdio::null()).status();
            assert!(status.expect("segue starts").success());
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    println!("segue version: median of {STARTS} starts {:.2} ms", median(&mut times));
}

fn main() {
    start_up();
    let switches: usize =
        std::env::var("SEGUE_BENCH_SWITCHES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let mut pauses = Vec::new();
    let mut terms: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for i in 0..switches {
        let (from, to) = if i % 2 == 0 { ("source", "target") } else { ("target", "source") };
        if i > 0 {
            scratch.edit_spec(&format!("live       = \"{from}\""), &format!("live       = \"{to}\""));
        }
        scratch.segue(&["apply", "--auto-approve", "--quiet"]).expect_code(0);
        let state = scratch.state();
        let cutover = &state["state"]["cutovers"]["cutover.site"];
        pauses.push(cutover["last_switch"]["pause_us"].as_f64().expect("a pause") / 1000.0);
        let measured = cutover["pauses"].as_array().expect("terms");
        let last = measured.iter().rposition(|t| t["name"] == "DRAINED").unwrap_or_default();
        for term in &measured[last..] {
            let name = term["name"].as_str().unwrap_or_default().to_owned();
            terms.entry(name).or_default().push(term["us"].as_f64().unwrap_or_default() / 1000.0);
        }
    }
    scratch.app(&["stop"]).expect_code(0);
    let checked = scratch.app(&["check"]).expect_code(0);
    println!("{}", checked.stdout.trim());
    let worst = pauses.iter().copied().fold(0.0, f64::max);
    println!(
        "write pause over {switches} switches: median {:.0} ms, worst {worst:.0} ms",
        median(&mut pauses)
    );
    println!("{:>16}  {:>9}  {:>9}", "until", "median ms", "worst ms");
    for (name, mut values) in terms {
        let worst = values.iter().copied().fold(0.0, f64::max);
        println!("{name:>16}  {:>9.1}  {worst:>9.1}", median(&mut values));
    }
}
