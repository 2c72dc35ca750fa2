//! Switches to and fro by Segue, each predicted by the plan before it (protocol P25) and measured by the journal.

use segue_tests::Scratch;
use serde_json::Value;

use crate::phases::{TERMS, last_pause, last_switch};
use crate::sample::Sample;

/// The first switches have nothing to be predicted from; they are measured, and their prediction is not counted.
const UNMEASURED: usize = 5;

#[derive(Default)]
struct Term {
    predicted: Sample,
    measured: Sample,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Measured {
    terms: [Term; TERMS.len()],
    sum: Term,
    /// Of every switch, the first ones too.
    pub(crate) pauses: Sample,
}

fn predicted(scratch: &Scratch) -> Vec<f64> {
    let plan = scratch.segue(&["plan", "--json"]).expect_code(0);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("plan --json prints JSON");
    let terms = plan["plan"]["forecasts"]["cutover.site"]["terms"].as_array().expect("a forecast");
    let ms = |name: &str| {
        let term = terms.iter().find(|term| term["name"] == name);
        term.and_then(|term| term["ms"].as_f64()).unwrap_or_default()
    };
    assert!(terms.iter().all(|t| TERMS.iter().any(|(name, _)| t["name"] == *name)), "a new term: {terms:?}");
    TERMS.iter().map(|(name, _)| ms(name)).collect()
}

/// Switches so many times, to and fro.
pub(crate) fn run(scratch: &Scratch, switches: usize) -> Measured {
    let mut measured = Measured::default();
    for i in 0..switches {
        let (from, to) = if i % 2 == 0 { ("source", "target") } else { ("target", "source") };
        if i > 0 {
            scratch.edit_spec(&format!("live       = \"{from}\""), &format!("live       = \"{to}\""));
        }
        let forecast = predicted(scratch);
        scratch.segue(&["apply", "--auto-approve", "--quiet"]).expect_code(0);
        let state = scratch.state();
        let cutover = &state["state"]["cutovers"]["cutover.site"];
        let pause_ms = last_pause(cutover);
        measured.pauses.push(pause_ms);
        if i < UNMEASURED.min(switches / 2) {
            continue;
        }
        for ((term, ms), predicted) in measured.terms.iter_mut().zip(last_switch(cutover)).zip(&forecast) {
            term.predicted.push(*predicted);
            term.measured.push(ms);
        }
        measured.sum.predicted.push(forecast.iter().sum());
        measured.sum.measured.push(pause_ms);
    }
    measured
}

impl Measured {
    pub(crate) fn print(&self) {
        println!(
            "write pause over {} switches: median {:.0} ms, worst {:.0} ms",
            self.pauses.len(),
            self.pauses.median(),
            self.pauses.worst()
        );
        println!("{:>20}  {:^19}  {:^19}  {:>7}", "", "predicted (p90) ms", "measured ms", "kept to");
        println!("{:>20}  {:>9} {:>9}  {:>9} {:>9}", "", "median", "worst", "median", "worst");
        let names = TERMS.iter().map(|(name, _)| *name).chain(["sum"]);
        for (name, term) in names.zip(self.terms.iter().chain([&self.sum])) {
            println!(
                "{name:>20}  {:>9.1} {:>9.1}  {:>9.1} {:>9.1}  {:>5.0} %",
                term.predicted.median(),
                term.predicted.worst(),
                term.measured.median(),
                term.measured.worst(),
                term.measured.within(&term.predicted)
            );
        }
    }
}
