//! The oracle workload: writers that never rest, switches to and fro, deaths at random instants, writers that do not
//! know and writers that do not stop. Every acknowledged operation is at the side that serves, once.

#![expect(clippy::expect_used, reason = "a test cannot go on without its logs")]
#![expect(clippy::print_stdout, reason = "seeds, deaths and sums are told")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use segue_tests::oracle::{Deed, Oracle, Verdict, content};
use segue_tests::{Random, Running, Scratch, rounds, say, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const WRITERS: [&str; 4] = ["w0", "w1", "w2", "w3"];

/// A writer's process. Told to stop, and waited for, when it is dropped.
struct Writer {
    name: String,
    child: Child,
    stop: std::path::PathBuf,
}

impl Writer {
    fn start(scratch: &Scratch, name: &str, role: &str, seed: u64, rest_us: u64) -> Self {
        let child = Command::new(segue_tests::program(env!("CARGO_BIN_EXE_oracle-writer")))
            .args([name, role, &seed.to_string(), &rest_us.to_string()])
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("the writer starts");
        Self { name: name.to_owned(), child, stop: scratch.at(&format!("var/stop-{name}")) }
    }

    /// Its own end, or the one that it is told.
    fn end(mut self, tell: bool) {
        if tell {
            segue_contract::paths::replace(&self.stop, b"").expect("told");
        }
        let name = self.name.clone();
        wait_until(&format!("writer {name} ends"), || !matches!(self.child.try_wait(), Ok(None)));
        let status = self.child.wait().expect("waited");
        assert!(status.success(), "writer {name}: {status}");
    }

    #[track_caller]
    fn still_writes(&mut self) {
        assert!(matches!(self.child.try_wait(), Ok(None)), "writer {} has ended", self.name);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The quickstart with its own writer left out and these in its place.
struct Workload {
    scratch: Scratch,
    oracle: Oracle,
    writers: Vec<Writer>,
    random: Random,
    /// What each writer rests after a few operations, in microseconds.
    rest_us: u64,
    live: &'static str,
    deaths: u64,
    stale_listed: usize,
}

impl Workload {
    fn new(test: &str, rest_us: u64) -> Self {
        let mut random = Random::seeded(test);
        let scratch = Scratch::new();
        scratch.edit_spec("max = \"2s\"", "max = \"10s\"");
        let oracle = Oracle::new(&scratch.at("old"), &scratch.at("var")).expect("an oracle");
        let writers = WRITERS
            .map(|name| Writer::start(&scratch, name, "honest", random.number(), rest_us))
            .into_iter()
            .collect();
        Self { scratch, oracle, writers, random, rest_us, live: "old", deaths: 0, stale_listed: 0 }
    }

    /// Switches to the other side; the run dies up to so many times, at random instants.
    fn switch(&mut self, deaths_max: u64, about: Duration) {
        let (from, to) = if self.live == "old" { ("source", "target") } else { ("target", "source") };
        if self.scratch.serves() == from && !self.asks_for(to) {
            self.scratch.edit_spec(&format!("live       = \"{from}\""), &format!("live       = \"{to}\""));
        }
        for _ in 0..deaths_max.min(1 + self.random.below(deaths_max)) {
            let apply = Running::new(&self.scratch, &APPLY);
            // The instant is what is tested, and waits for nothing.
            std::thread::sleep(self.random.time_below(about));
            let said = apply.output().lines().last().unwrap_or_default().to_owned();
            let alive = apply.kill();
            self.deaths += u64::from(alive);
            println!("  death: alive {alive}, last said: {said}");
        }
        self.scratch.segue(&APPLY).expect_code(0);
        self.live = if self.live == "old" { "new" } else { "old" };
        assert_eq!(self.scratch.live(), self.live);
    }

    fn asks_for(&self, side: &str) -> bool {
        let spec =
            segue_contract::paths::read_to_string(&self.scratch.at("site.segue.hcl")).expect("the spec");
        spec.contains(&format!("live       = \"{side}\""))
    }

    /// Everybody pauses, and the side that serves is held against every acknowledged operation.
    #[track_caller]
    fn check(&mut self) -> Verdict {
        self.writers.iter_mut().for_each(Writer::still_writes);
        self.scratch.app(&["pause"]).expect_code(0);
        self.oracle.advance().expect("the logs");
        let verdict = self.oracle.judge(&self.scratch.at(self.live)).expect("the tree");
        self.scratch.app(&["resume"]).expect_code(0);
        assert!(verdict.clean(), "{verdict:?}");
        verdict
    }

    /// Everything that a stale writer left is listed, and kept where it was content. Then a person settles it.
    fn stale_is_listed(&mut self, name: &str) {
        let wrote = self.oracle.stale(name).expect("its log");
        assert!(!wrote.is_empty(), "{name} wrote nothing stale");
        let status = self.scratch.status();
        let listed = status["cutovers"][0]["stale"].as_array().cloned().unwrap_or_default();
        for deed in &wrote {
            let finds: Vec<_> = listed.iter().filter(|find| find["key"] == deed.path()).collect();
            assert!(!finds.is_empty(), "{deed} is not listed: {listed:?}");
            let kept = finds.iter().any(|find| {
                let place = find["kept"].as_str().map(|at| self.scratch.at(".segue/artifacts").join(at));
                let bytes = place.and_then(|at| segue_contract::paths::read(&at).ok());
                match (deed, bytes) {
                    (Deed::Put(_, tag), Some(bytes)) => bytes == content(tag),
                    (Deed::Line(_, line), Some(bytes)) => {
                        String::from_utf8_lossy(&bytes).lines().any(|l| l == line)
                    }
                    (Deed::Delete(_), _) => true,
                    _ => false,
                }
            });
            assert!(kept, "{deed} is listed and not kept: {finds:?}");
        }
        let strange: Vec<_> =
            listed.iter().filter(|find| !wrote.iter().any(|deed| find["key"] == deed.path())).collect();
        assert!(strange.is_empty(), "no stale writer wrote these: {strange:?}");
        self.stale_listed += wrote.len();
        self.scratch.segue(&["unhold", "cutover.site", "--stale"]).expect_code(0);
    }

    /// A writer that stops for nobody: the cutover does not begin to switch, and what it wrote stays.
    fn rogue_is_refused(&mut self, name: &str) {
        let rogue = Writer::start(&self.scratch, name, "rogue", 0, self.rest_us);
        let log = self.scratch.at(&format!("var/acknowledged-{name}"));
        wait_until("the rogue writes", || log.metadata().is_ok_and(|m| m.len() > 0));
        let (from, to) = if self.live == "old" { ("source", "target") } else { ("target", "source") };
        if !self.asks_for(to) {
            self.scratch.edit_spec(&format!("live       = \"{from}\""), &format!("live       = \"{to}\""));
        }
        let refused = self.scratch.segue(&APPLY).expect_code(5);
        assert!(refused.stderr.contains("aborted"), "{}", refused.all());
        assert_eq!(self.scratch.live(), self.live);
        rogue.end(true);
        self.scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
        self.check();
    }
}

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
