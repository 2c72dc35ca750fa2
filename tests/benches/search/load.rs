//! A whole load, a pass with 1 % changed, and a full verification, each beside what it is measured by.

use segue_plan::event::Event;

use crate::rivals;
use crate::site::{INDEX, Ran, Servers, Site};
use crate::words;

/// One run of Segue, in seconds.
#[derive(Clone, Copy, Default)]
struct Run {
    load: f64,
    /// From the start of the program to its end: plan, load, passes, verification of everything.
    whole: f64,
    pass: f64,
    verify: f64,
    peak: f64,
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}

fn segue(servers: &Servers, count: usize, round: usize) -> Run {
    let site = Site::new(servers, true);
    // The source goes on serving: everything but the switch is done.
    let stay = ["apply", "--auto-approve", "--quiet", "--var", "live=source"];
    let first: Ran = site.segue(&stay);
    let changed = words::touch(&servers.source(), INDEX, count, round);
    // The first of its passes has what was changed.
    let second: Ran = site.segue(&["apply", "--auto-approve", "--quiet"]);
    let mut run =
        Run { whole: first.took.as_secs_f64(), peak: first.peak.max(second.peak), ..Run::default() };
    let mut passed = 0;
    site.events(|event| match event {
        Event::UnitCarried { load: true, took_us, .. } => run.load = seconds(*took_us),
        Event::UnitCarried { load: false, took_us, report, .. }
            if report.records_written == changed as u64 =>
        {
            (run.pass, passed) = (seconds(*took_us), passed + 1);
        }
        Event::UnitVerified { report, whole: true, .. } if run.verify == 0.0 => {
            run.verify = seconds(report.took_us);
        }
        _ => {}
    });
    assert_eq!(passed, 1, "one pass carries the {changed} documents that were changed");
    run
}

fn best(runs: &[f64]) -> f64 {
    runs.iter().copied().fold(f64::INFINITY, f64::min)
}

pub(crate) fn run(servers: &Servers, count: usize, rounds: usize) {
    println!("\n{count} documents, the best of {rounds} rounds");
    words::fill(&servers.source(), INDEX, count);
    let elasticdump = rivals::elasticdump();
    let (mut runs, mut one, mut four, mut raw) = (vec![], vec![], vec![], vec![]);
    let mut dumps = [rivals::DUMP_DEFAULT, rivals::PAGE].map(|page| (page, vec![]));
    // Servers compile what they run often: the first round of all is for that alone.
    for round in 0..=rounds {
        let run = segue(servers, count, round);
        let scan = rivals::raw_scan(servers);
        let reindex = [1, 4].map(|tasks| rivals::reindex(servers, count, tasks));
        if round == 0 {
            continue;
        }
        println!(
            "round {round}: load {:.2} s, apply {:.2} s, pass {:.2} s, verify {:.2} s, raw scan {scan:.2} s, reindex {:.2} and {:.2} s",
            run.load, run.whole, run.pass, run.verify, reindex[0], reindex[1]
        );
        runs.push(run);
        raw.push(scan);
        one.push(reindex[0]);
        four.push(reindex[1]);
        if let Some(program) = &elasticdump {
            for (page, took) in &mut dumps {
                took.push(rivals::dump(program, servers, count, *page));
            }
        }
    }
    let of = |what: fn(&Run) -> f64| best(&runs.iter().map(what).collect::<Vec<_>>());
    let (load, pass, verify) = (of(|r| r.load), of(|r| r.pass), of(|r| r.verify));
    println!("{:>58}  {:>8}  {:>6}", "", "seconds", "ratio");
    let row =
        |name: &str, value: f64, beside: f64| println!("{name:>58}  {value:>8.2}  {:>6.2}", value / beside);
    row("Segue, load", load, load);
    row("Segue, the whole apply: plan, load, pass, verify in full", of(|r| r.whole), load);
    row("_reindex from remote, one task", best(&one), load);
    row("_reindex from remote, four tasks with a query each", best(&four), load);
    for (page, took) in dumps.iter().filter(|(_, took)| !took.is_empty()) {
        row(&format!("elasticdump, {page} at once"), best(took), load);
    }
    row("Segue, pass with 1 % changed", pass, load);
    row("Segue, full verification", verify, verify);
    row("raw scan of both sides", best(&raw), verify);
    println!("memory at most {:.0} MiB", runs.iter().map(|r| r.peak).fold(0.0, f64::max));
}
