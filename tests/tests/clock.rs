//! A wall clock that jumps, under the released binary: libfaketime moves what the clock says while it runs. Leases, lag
//! and watches are measured on a clock that does not jump; a window follows the wall clock, which is what it is about.

#![expect(clippy::expect_used, reason = "a test cannot go on without its clock")]

use std::process::Command;

use rustix::process::Signal;
use segue_tests::{Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const JUMPS: [&str; 2] = ["+1d", "-1d"];

/// A scratch in which the clock can be moved.
struct Moved {
    scratch: Scratch,
    preload: String,
}

impl Moved {
    fn new() -> Self {
        let asked = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let asked = asked.expect("faketime is installed: tests/run installs it");
        let preload = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        assert!(preload.contains("libfaketime"), "{preload:?}");
        let moved = Self { scratch: Scratch::new(), preload };
        moved.jump("+0");
        moved
    }

    /// From now on the clock says so much more or less than it is.
    fn jump(&self, by: &str) {
        let file = self.scratch.at("clock");
        segue_contract::paths::replace(&file, by.as_bytes()).expect("written");
    }

    fn apply(&self) -> Running {
        let clock = self.scratch.at("clock").display().to_string();
        let environment = [
            ("LD_PRELOAD", self.preload.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Running::with(&self.scratch, &APPLY, &environment)
    }

    /// An apply whose pause lasts until there is a file `go`.
    fn pausing(&self) -> Running {
        self.scratch.app(&["start"]).expect_code(0);
        self.scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
        self.scratch
            .executable("slow-pause", "./app pause; : >pausing; while [ ! -e go ]; do sleep 0.01; done");
        let apply = self.apply();
        wait_until("it pauses", || self.scratch.at("pausing").exists());
        apply
    }
}

#[test]
fn the_fake_clock_is_seen_by_the_binary() {
    let moved = Moved::new();
    moved.jump("+1d");
    moved.apply().wait().expect_code(0);
    let at_ms = |scratch: &Scratch| {
        let history = scratch.segue(&["history", "--json"]).expect_code(0);
        let first = history.stdout.lines().next().unwrap_or_default().to_owned();
        let events: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        events["at_ms"].as_i64().expect("a time")
    };
    let honest = Scratch::new();
    honest.segue(&APPLY).expect_code(0);
    assert!(at_ms(&moved.scratch) - at_ms(&honest) > 80_000_000, "else no test here proves anything");
}

#[test]
fn a_jump_in_the_pause_does_not_end_its_lease() {
    for jump in JUMPS {
        let moved = Moved::new();
        let apply = moved.pausing();
        moved.jump(jump);
        moved.scratch.write("go", "");
        apply.wait().expect_code(0);
        moved.scratch.settled_at("new");
        let state = moved.scratch.state();
        let pause_us = &state["state"]["cutovers"]["cutover.site"]["last_switch"]["pause_us"];
        assert!(pause_us.as_u64().is_some_and(|us| us < 60_000_000), "{jump}: a pause of {pause_us} us");
    }
}

#[test]
fn a_jump_back_does_not_lengthen_the_lease() {
    let moved = Moved::new();
    moved.scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"3s\"");
    let apply = moved.pausing();
    moved.jump("-1d");
    let ended = apply.wait().expect_code(5);
    assert!(ended.stderr.contains("not committed within the timeout"), "{}", ended.all());
    moved.scratch.accepts_writes();
    moved.scratch.nothing_is_lost();
    assert_eq!(moved.scratch.live(), "old");
}

#[test]
fn a_jump_while_gates_wait_does_not_move_the_lag() {
    for jump in JUMPS {
        let moved = Moved::new();
        moved.scratch.app(&["start"]).expect_code(0);
        moved.scratch.add_to_cutover("gate \"command\" {\n command = [\"./go\"]\n interval = \"100ms\"\n }");
        moved.scratch.executable("go", "echo asked >>asked; test -e var/go");
        let mut apply = moved.apply();
        apply.until_it_says("cutover.site.gate.command: waiting");
        moved.jump(jump);
        let asked = || segue_contract::paths::read_to_string(&moved.scratch.at("asked")).unwrap_or_default();
        let before = asked().lines().count();
        wait_until("it is asked again", || asked().lines().count() > before + 2);
        moved.scratch.write("var/go", "");
        apply.wait().expect_code(0);
        moved.scratch.settled_at("new");
        let history = moved.scratch.segue(&["history"]).expect_code(0).stdout;
        let lags: Vec<&str> = history.lines().filter(|line| line.contains(".gate.lag:")).collect();
        assert!(!lags.is_empty() && !lags.iter().any(|line| line.contains("000000")), "{jump}: {lags:?}");
    }
}

#[test]
fn a_jump_does_not_end_a_watch() {
    for jump in JUMPS {
        let moved = Moved::new();
        moved.scratch.app(&["start"]).expect_code(0);
        moved.scratch.add_to_cutover(
            "watch \"command\" {\n command = [\"./well\"]\n for = \"10m\"\n interval = \"100ms\"\n }",
        );
        moved.scratch.executable("well", "echo asked >>asked");
        let mut apply = moved.apply();
        apply.until_it_says("cutover.site.watch.command: good");
        moved.jump(jump);
        let asked = || segue_contract::paths::read_to_string(&moved.scratch.at("asked")).unwrap_or_default();
        let before = asked().lines().count();
        wait_until("it looks again", || apply.ended() || asked().lines().count() > before + 5);
        assert!(!apply.ended(), "{jump}: {}", apply.output());
        apply.signal(Signal::INT);
        apply.wait().expect_code(130);
        moved.scratch.nothing_is_lost();
        assert_eq!(moved.scratch.live(), "new");
    }
}

#[test]
fn a_window_opens_when_the_wall_clock_says_so() {
    let moved = Moved::new();
    moved.scratch.app(&["start"]).expect_code(0);
    let soon = Command::new("date").args(["-u", "-d", "+30 minutes", "+%Y-%m-%dT%H:%M:%S+00:00"]).output();
    let soon = String::from_utf8_lossy(&soon.expect("date").stdout).trim().to_owned();
    moved.scratch.add_to_cutover(&format!("gate \"window\" {{\n not_before = \"{soon}\"\n }}"));
    let mut apply = moved.apply();
    apply.until_it_says("is closed, it opens");
    assert_eq!(moved.scratch.live(), "old");
    moved.jump("+1h");
    apply.wait().expect_code(0);
    assert_eq!(moved.scratch.live(), "new");
    moved.scratch.nothing_is_lost();
}
