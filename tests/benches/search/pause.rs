//! The write pause with live writers that follow the link, phase by phase.

use std::sync::Arc;
use std::time::Duration;

use segue_tests::servers::Client;
use segue_tests::servers::writer::{Door, Workload, Writers};

use crate::phases::{TERMS, last_pause, last_switch};
use crate::sample::Sample;
use crate::site::{INDEX, Servers, Site};
use crate::words;

/// The first switch loads everything before it; it and the next find servers that have not compiled themselves yet.
const WARM_UP: usize = 2;
/// Two writers that rest so long after each write change 1 % of WordNet in about 15 s.
const REST: Duration = Duration::from_millis(20);

/// What was measured of one size.
pub(crate) struct Grown {
    documents: usize,
    pauses: Sample,
    catch_up: Sample,
    peak: f64,
}

/// Switches to and fro so many times.
pub(crate) fn run(servers: &Servers, documents: usize, switches: usize) -> Grown {
    println!("\n{documents} documents, two writers that rest {} ms after each write", REST.as_millis());
    let (old, new) = (servers.source(), servers.target());
    words::fill(&old, INDEX, documents);
    let site = Site::new(servers, true);
    let writers = writers(&site, [old, new], documents);
    writers.until_more(50);
    let (mut terms, mut pauses) = (vec![Sample::default(); TERMS.len()], Sample::default());
    let mut peak = 0.0_f64;
    let began = std::time::Instant::now();
    for turn in 0..switches + WARM_UP {
        let live = if turn % 2 == 0 { "live=target" } else { "live=source" };
        let ran = site.segue(&["apply", "--auto-approve", "--quiet", "--var", live]);
        peak = peak.max(ran.peak);
        if turn < WARM_UP {
            continue;
        }
        let state = site.state();
        let cutover = &state["state"]["cutovers"]["cutover.site"];
        for (term, ms) in terms.iter_mut().zip(last_switch(cutover)) {
            term.push(ms);
        }
        pauses.push(last_pause(cutover));
    }
    let seconds = began.elapsed().as_secs_f64();
    let acknowledged = writers.acknowledged();
    let log = writers.stop();
    let longest = log.longest_pause().as_millis();
    let last = if (switches + WARM_UP) % 2 == 1 { servers.target() } else { servers.source() };
    log.judge(&last, INDEX).expect_clean();
    println!(
        "{switches} switches: median {:.0} ms, worst {:.0} ms; {acknowledged} writes acknowledged ({:.0}/s), every one there once",
        pauses.median(),
        pauses.worst(),
        acknowledged as f64 / seconds
    );
    println!("the longest time without an acknowledged write: {longest} ms; memory at most {peak:.0} MiB");
    println!("{:>20}  {:>9} {:>9}", "", "median", "worst");
    for ((name, _), term) in TERMS.iter().zip(&terms) {
        println!("{name:>20}  {:>6.0} ms {:>6.0} ms", term.median(), term.worst());
    }
    Grown { documents, pauses, catch_up: terms.swap_remove(2), peak }
}

/// Writers of their own keys, of shared ones, and of documents that were there, at the side that the link leads to.
fn writers(site: &Site, sides: [Client; 2], documents: usize) -> Writers {
    let link = Arc::new(site.path().join("live"));
    let [old, new] = sides;
    let follow = move || match std::fs::read_link(&*link) {
        Ok(to) if to.as_os_str() == "new" => new.clone(),
        _ => old.clone(),
    };
    Writers::start(Workload {
        writers: 2,
        rest: REST,
        seeds: words::ids(documents, 50),
        ..Workload::new(Door::asked(follow, INDEX), 1)
    })
}

pub(crate) fn print_growth(grown: &[Grown]) {
    println!(
        "\n{:>10}  {:>12} {:>12}  {:>12}  {:>8}",
        "documents", "median pause", "worst", "catch up", "memory"
    );
    for size in grown {
        println!(
            "{:>10}  {:>9.0} ms {:>9.0} ms  {:>9.0} ms  {:>4.0} MiB",
            size.documents,
            size.pauses.median(),
            size.pauses.worst(),
            size.catch_up.median(),
            size.peak
        );
    }
}
