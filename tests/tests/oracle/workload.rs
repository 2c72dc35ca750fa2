//! The quickstart under the oracle's writers.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use segue_tests::oracle::{Deed, Oracle, Verdict, content};
use segue_tests::{Mount, Random, Running, Scratch, wait_until};

pub(crate) const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const WRITERS: [&str; 4] = ["w0", "w1", "w2", "w3"];

/// A writer's process. Told to stop, and waited for, when it is dropped.
pub(crate) struct Writer {
    name: String,
    child: Child,
    stop: std::path::PathBuf,
}

impl Writer {
    pub(crate) fn start(scratch: &Scratch, name: &str, role: &str, seed: u64, rest_us: u64) -> Self {
        let child = Command::new(segue_tests::program(env!("CARGO_BIN_EXE_oracle-writer")))
            .args([name, role, &seed.to_string(), &rest_us.to_string()])
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("the writer starts");
        Self { name: name.to_owned(), child, stop: scratch.at(&format!("var/stop-{name}")) }
    }

    /// Its own end, or the one that it is told.
    pub(crate) fn end(mut self, tell: bool) {
        if tell {
            segue_contract::paths::replace(&self.stop, b"").expect("told");
        }
        let name = self.name.clone();
        wait_until(&format!("writer {name} ends"), || !matches!(self.child.try_wait(), Ok(None)));
        let status = self.child.wait().expect("waited");
        assert!(status.success(), "writer {name}: {status}");
    }

    #[track_caller]
    pub(crate) fn still_writes(&mut self) {
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
pub(crate) struct Workload {
    pub(crate) scratch: Scratch,
    oracle: Oracle,
    /// The links' texts for the source and the target.
    sides: [String; 2],
    pub(crate) writers: Vec<Writer>,
    pub(crate) random: Random,
    /// What each writer rests after a few operations, in microseconds.
    pub(crate) rest_us: u64,
    pub(crate) live: String,
    pub(crate) deaths: u64,
    pub(crate) stale_listed: usize,
}

impl Workload {
    pub(crate) fn new(test: &str, rest_us: u64) -> Self {
        Self::of(test, rest_us, Scratch::new(), "new")
    }

    /// With the target at the root of a file system of its own.
    pub(crate) fn onto(test: &str, rest_us: u64, disk: &Mount) -> Self {
        let (scratch, place) = (Scratch::new(), disk.path().display().to_string());
        scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
        scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
        Self::of(test, rest_us, scratch, &place)
    }

    fn of(test: &str, rest_us: u64, scratch: Scratch, target: &str) -> Self {
        let mut random = Random::seeded(test);
        scratch.edit_spec("max = \"2s\"", "max = \"10s\"");
        let oracle = Oracle::new(&scratch.at("old"), &scratch.at("var")).expect("an oracle");
        let writers = WRITERS
            .map(|name| Writer::start(&scratch, name, "honest", random.number(), rest_us))
            .into_iter()
            .collect();
        let sides = ["old".to_owned(), target.to_owned()];
        let live = "old".to_owned();
        Self { scratch, oracle, sides, writers, random, rest_us, live, deaths: 0, stale_listed: 0 }
    }

    /// The side that serves, and the other, as the spec calls them.
    fn here_and_there(&self) -> (&'static str, &'static str) {
        if self.live == self.sides[0] { ("source", "target") } else { ("target", "source") }
    }

    /// The spec asks for a side.
    pub(crate) fn ask_for(&self, side: &str) {
        if !self.asks_for(side) {
            let other = if side == "source" { "target" } else { "source" };
            self.scratch.edit_spec(&format!("live       = \"{other}\""), &format!("live       = \"{side}\""));
        }
    }

    /// The other side serves: a run says so.
    pub(crate) fn switched(&mut self) {
        let there = usize::from(self.live == self.sides[0]);
        self.live.clone_from(&self.sides[there]);
        assert_eq!(self.scratch.live(), self.live);
    }

    /// Switches to the other side; the run dies up to so many times, at random instants.
    pub(crate) fn switch(&mut self, deaths_max: u64, about: Duration) {
        let (from, to) = self.here_and_there();
        if self.scratch.serves() == from {
            self.ask_for(to);
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
        self.switched();
    }

    fn asks_for(&self, side: &str) -> bool {
        let spec =
            segue_contract::paths::read_to_string(&self.scratch.at("site.segue.hcl")).expect("the spec");
        spec.contains(&format!("live       = \"{side}\""))
    }

    /// Everybody pauses, and the side that serves is held against every acknowledged operation.
    #[track_caller]
    pub(crate) fn check(&mut self) -> Verdict {
        self.writers.iter_mut().for_each(Writer::still_writes);
        self.scratch.app(&["pause"]).expect_code(0);
        self.oracle.advance().expect("the logs");
        let verdict = self.oracle.judge(&self.scratch.at(&self.live)).expect("the tree");
        self.scratch.app(&["resume"]).expect_code(0);
        assert!(verdict.clean(), "{verdict:?}");
        verdict
    }

    /// Everything that a stale writer left is listed, and kept where it was content. Then a person settles it.
    pub(crate) fn stale_is_listed(&mut self, name: &str) {
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
    pub(crate) fn rogue_is_refused(&mut self, name: &str) {
        let rogue = Writer::start(&self.scratch, name, "rogue", 0, self.rest_us);
        let log = self.scratch.at(&format!("var/acknowledged-{name}"));
        wait_until("the rogue writes", || log.metadata().is_ok_and(|m| m.len() > 0));
        let (_, to) = self.here_and_there();
        self.ask_for(to);
        let refused = self.scratch.segue(&APPLY).expect_code(5);
        assert!(refused.stderr.contains("aborted"), "{}", refused.all());
        assert_eq!(self.scratch.live(), self.live);
        rogue.end(true);
        self.scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
        self.check();
    }
}
