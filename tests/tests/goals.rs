//! What a person types states a goal, not a move (protocol P31): typed twice, by two people, or again after a death, it
//! changes nothing more. The released binary.

use segue_tests::{Pane, Running, Scratch, segue_binary, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
/// The hash of a plan that nobody made.
const HASH: &str = "abababababababababababababababababababababababababababababababab";
const BACK: [&str; 3] = ["switch-back", "cutover.site", "--auto-approve"];

fn moved() -> Scratch {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "new");
    scratch
}

fn every_write_is_there(scratch: &Scratch) {
    scratch.app(&["stop"]).expect_code(0);
    let checked = scratch.app(&["check"]).expect_code(0);
    assert!(checked.stdout.contains(" 0 lost, 0 doubled, 0 deleted ones back"), "{}", checked.all());
    scratch.app(&["start"]).expect_code(0);
}

/// Typed again until nobody holds the state any more: a watchdog may be settling.
fn typed_again(scratch: &Scratch) -> segue_tests::Ran {
    let mut last = scratch.segue(&BACK);
    wait_until("nobody else settles", || {
        if last.code == Some(6) {
            last = scratch.segue(&BACK);
        }
        last.code != Some(6)
    });
    last
}

#[test]
fn a_switch_back_that_is_typed_again_changes_nothing_and_never_leads_to_the_target() {
    let scratch = moved();
    scratch.segue(&BACK).expect_code(0);
    assert_eq!(scratch.live(), "old");
    let history = scratch.segue(&["history"]).stdout;
    for words in [&BACK[..], &["switch-back", "site"], &["switch-back", "cutover.site", "--dry-run"]] {
        let again = scratch.segue(words).expect_code(0);
        assert!(again.stderr.contains("the source serves already: nothing to do"), "{}", again.all());
        assert!(again.stderr.contains("segue unhold cutover.site"), "it stays held: {}", again.all());
        assert_eq!(scratch.live(), "old", "{}", again.all());
    }
    assert_eq!(scratch.segue(&["history"]).stdout, history, "nothing is recorded");
    every_write_is_there(&scratch);
}

#[test]
fn a_cutover_that_never_switched_is_where_a_switch_back_wants_it() {
    let scratch = Scratch::new();
    let said = scratch.segue(&["switch-back", "cutover.site"]).expect_code(0);
    assert!(said.stderr.contains("the source serves already"), "{}", said.all());
    assert!(said.stderr.contains("live = \"source\""), "what the next apply does: {}", said.all());
    assert!(!scratch.at(".segue").exists(), "no state is made of it");
}

#[test]
fn without_a_terminal_the_way_back_is_shown_and_the_command_that_goes_it_is_printed() {
    let scratch = moved();
    let shown = scratch.segue(&["switch-back", "site", "--dry-run"]).expect_code(0);
    for said in
        ["Going back to the source", "routes    route.symlink.site", "lost      nothing", "held until"]
    {
        assert!(shown.stdout.contains(said), "{said}: {}", shown.all());
    }
    let json = scratch.segue(&["switch-back", "site", "--dry-run", "--json"]).expect_code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    assert_eq!(json["loses_something"], false, "{json}");
    let refused = scratch.segue(&["switch-back", "site"]).expect_code(3);
    assert!(refused.stderr.contains("lost      nothing"), "{}", refused.all());
    assert_eq!(scratch.live(), "new");
    let next = refused.stderr.split("next: `").nth(1).unwrap_or_default();
    let printed = next.split('`').next().unwrap_or_default();
    let words: Vec<&str> = printed.split(' ').skip(1).collect();
    assert_eq!(words, BACK, "{}", refused.all());
    scratch.segue(&words).expect_code(0);
    assert_eq!(scratch.live(), "old");
    every_write_is_there(&scratch);
}

#[test]
fn at_a_terminal_the_way_back_is_asked_for_and_a_no_changes_nothing() {
    let scratch = moved();
    for (answer, live) in [("no", "new"), ("yes", "old")] {
        let shell = format!("{} switch-back site; echo \"ended: $?\"; cat", segue_binary().display());
        let pane = Pane::new(scratch.path(), &shell);
        pane.until_it_shows("Go back to the source now?");
        pane.keys(answer);
        pane.enter();
        pane.until_it_shows(if answer == "no" { "ended: 1" } else { "ended: 0" });
        assert_eq!(scratch.live(), live, "{}", pane.shows());
    }
    every_write_is_there(&scratch);
}

/// Kills a switch back where a script of the spec waits, and types it again: the source serves.
fn killed_and_typed_again(step: &str, at: &str) {
    let scratch = moved();
    scratch.edit_spec(&format!("[\"./app\", \"{step}\"]"), "[\"./slow\"]");
    scratch.executable("slow", &format!(": >reached; while [ ! -e go ]; do sleep 0.01; done; ./app {step}"));
    scratch.write("go", "");
    // The spec as it is now is what an attempt records.
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    scratch.segue(&APPLY).expect_code(0);
    for name in ["go", "reached"] {
        scratch.run("rm", &[name]).expect_code(0);
    }
    let back = Running::new(&scratch, &BACK);
    wait_until(at, || scratch.at("reached").exists());
    back.kill();
    let shown = scratch.segue(&["switch-back", "site", "--dry-run"]);
    assert!(shown.code == Some(0), "{}", shown.all());
    scratch.write("go", "");
    let again = typed_again(&scratch);
    assert_eq!((again.code, scratch.live().as_str()), (Some(0), "old"), "{at}: {}", again.all());
    scratch.segue(&BACK).expect_code(0);
    assert_eq!(scratch.live(), "old");
    every_write_is_there(&scratch);
}

#[test]
fn a_switch_back_that_was_killed_before_its_commit_leads_to_the_source_when_typed_again() {
    killed_and_typed_again("pause", "the writers are being stopped");
}

#[test]
fn a_switch_back_that_was_killed_after_its_commit_leads_to_the_source_when_typed_again() {
    killed_and_typed_again("resume", "the writers are being started");
}

#[test]
fn status_names_the_side_that_waits_for_unhold() {
    let scratch = moved();
    scratch.segue(&BACK).expect_code(0);
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("the spec's wish for the target waits for `unhold`"), "{}", status.all());
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("the spec wants the source too: nothing waits"), "{}", status.all());
}

/// A command of two people, what the first is told, and what the second.
struct Twice {
    words: &'static [&'static str],
    first: &'static str,
    second: &'static str,
}

/// Types each twice; the second time must end well and say that the goal is reached.
fn twice(scratch: &Scratch, table: &[Twice]) {
    for Twice { words, first, second } in table {
        for said in [first, second] {
            let typed = scratch.segue(words).expect_code(0);
            assert!(typed.stderr.contains(said), "{words:?}: {said}: {}", typed.all());
        }
    }
}

#[test]
fn what_steers_a_running_apply_may_be_typed_twice() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let mut apply = Running::new(&scratch, &["apply", "--follow", "--auto-approve"]);
    apply.until_it_says("is switched: the target serves");
    apply.until_it_says("Keeping passes running");
    twice(
        &scratch,
        &[
            Twice { words: &["pause", "--why", "dump"], first: "paused", second: "paused already" },
            Twice { words: &["resume"], first: "it goes on", second: "goes on already" },
            Twice {
                words: &["throttle", "5MiB/s"],
                first: "throttled to 5 MiB/s",
                second: "throttled to 5 MiB/s",
            },
            Twice { words: &["throttle", "off"], first: "count again", second: "count again" },
            Twice { words: &["approve", HASH], first: "is approved by", second: "is approved by" },
        ],
    );
    // Whoever paused first stays the one who did.
    scratch.segue(&["pause", "--why", "the first"]).expect_code(0);
    scratch.segue(&["pause", "--why", "the second"]).expect_code(0);
    assert_eq!(scratch.status()["brakes"]["paused"]["why"], "the first");
    assert_eq!(scratch.live(), "new");
    apply.kill();
}

#[test]
fn what_steers_a_cutover_at_rest_may_be_typed_twice() {
    let scratch = moved();
    scratch.segue(&BACK).expect_code(0);
    twice(
        &scratch,
        &[
            Twice {
                words: &["unhold", "site"],
                first: "is not held any more",
                second: "is not held: nothing to do",
            },
            Twice { words: &["abort"], first: "Nothing to abort", second: "Nothing to abort" },
            Twice { words: &["adopt"], first: "Nothing to take over", second: "Nothing to take over" },
        ],
    );
    assert_eq!(scratch.live(), "old", "none of these leads to the target");
    // The goals of the spec: reached, they change nothing more.
    scratch.segue(&APPLY).expect_code(0);
    scratch.edit_spec("live       = \"target\"", "live       = \"target\"\n  finished   = true");
    scratch.segue(&APPLY).expect_code(0);
    let switches = scratch.status()["cutovers"][0]["since"].clone();
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!((scratch.live().as_str(), &scratch.status()["cutovers"][0]["since"]), ("new", &switches));
    let refused = scratch.segue(&BACK).expect_code(1);
    assert!(refused.stderr.contains("is finished"), "{}", refused.all());
    assert_eq!(scratch.live(), "new");
    every_write_is_there(&scratch);
}

#[test]
fn a_cutover_that_does_not_say_which_side_serves_is_told_which_does_now() {
    let scratch = Scratch::new();
    scratch.edit_spec("  live       = \"target\"\n", "");
    let unsaid = scratch.segue(&["validate"]).expect_code(1);
    unsaid.says("cutover.site does not say which side serves");
    unsaid.says("write live = \"source\" to keep the source serving");
    scratch.edit_spec("  timeout    = \"30s\"", "  live       = \"target\"\n  timeout    = \"30s\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch.edit_spec("  live       = \"target\"\n", "  finished   = true\n");
    let unsaid = scratch.segue(&["plan"]).expect_code(1);
    unsaid.says("the target serves now: write live = \"target\" to keep it serving");
    scratch.edit_spec("  finished   = true\n", "  finished   = true\n  live       = \"target\"\n");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "new");
}

#[test]
fn a_plan_file_that_was_applied_says_so() {
    let scratch = Scratch::new();
    scratch.segue(&["plan", "--out", "site.plan"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve", "site.plan"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve", "site.plan"]).expect_code(0).says("was applied already");
    scratch.edit_spec("max = \"2s\"", "max = \"3s\"");
    let changed = scratch.segue(&["apply", "--auto-approve", "site.plan"]).expect_code(1);
    changed.says("was applied already, and does not fit any more");
}

#[test]
fn what_is_asked_of_a_run_that_ends_before_it_answers_is_answered_from_what_it_left() {
    let scratch = moved();
    let socket = scratch.at(".segue/socket");
    let asked = |words: &[&str]| {
        // Whoever takes the lock removes it.
        let _ = std::fs::remove_file(&socket);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let ran = scratch.segue(words);
        assert!(!ran.all().contains("EOF"), "{}", ran.all());
        ran
    };
    for words in [&["abort"][..], &["unhold", "cutover.site"], &BACK] {
        asked(words).expect_code(0);
    }
    assert_eq!(scratch.live(), "old");
    for words in [&["pause"][..], &["throttle", "1MiB/s"]] {
        asked(words).expect_code(1).says("no apply is running");
    }
}
