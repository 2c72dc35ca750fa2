//! Watches from the released binary on real files: the new side is looked at after the switch, lost health leads back
//! by itself and loses nothing, and no death or stop changes that.

use rustix::process::Signal;
use segue_tests::{Ran, Running, Scratch};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart with writers, watched: well until there is a file `sick`.
fn watched(time: &str, on_failure: &str) -> Scratch {
    let scratch = Scratch::new();
    let watch = format!(
        "watch \"command\" {{\n command = [\"./well\"]\n for = {time:?}\n interval = \"100ms\"\n failures = 2\n on_failure = {on_failure:?}\n }}"
    );
    scratch.edit_spec("  fallback {", &format!("{watch}\n  fallback {{"));
    scratch.edit_spec(
        "    level = \"full\"\n  }",
        "    level = \"full\"\n  }\n  sync {\n    interval = \"200ms\"\n  }",
    );
    scratch.executable("well", "test -e var/sick || exit 0; echo 503 of 1000 requests failed; exit 1");
    scratch.app(&["start"]).expect_code(0);
    scratch
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

fn recorded(scratch: &Scratch) -> String {
    scratch.segue(&["history"]).expect_code(0).stdout
}

fn sick(scratch: &Scratch) {
    scratch.write("var/sick", "");
}

/// After going back: the source serves, nothing is lost, and nobody flips it again.
fn went_back(scratch: &Scratch) {
    assert_eq!(scratch.live(), "old");
    let held = scratch.segue(&APPLY).expect_code(3);
    says(&held, "health was lost after the switch");
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

#[test]
fn a_switch_that_stays_well_is_done_when_its_time_is_over() {
    let scratch = watched("1s", "switch_back");
    let plan = scratch.segue(&["plan"]).expect_code(0);
    says(&plan, "look at command every 100ms for 1s; 2 in a row that are not good: switch back by itself");
    let applied = scratch.segue(&APPLY).expect_code(0);
    says(&applied, "if you go back now: 0 writes lost");
    scratch.settled_at("new");
    let recorded = recorded(&scratch);
    assert!(recorded.contains("cutover.site.watch.command: good: exit 0"), "{recorded}");
}

#[test]
fn lost_health_goes_back_by_itself_with_what_the_new_side_took() {
    let scratch = watched("10m", "switch_back");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("if you go back now: 0 writes lost");
    assert_eq!(scratch.live(), "new");
    sick(&scratch);
    let ended = apply.wait().expect_code(7);
    says(&ended, "was switched and went back, the source serves");
    says(&ended, "503 of 1000 requests failed");
    says(&ended, "0 writes lost");
    went_back(&scratch);
    let recorded = recorded(&scratch);
    assert!(recorded.contains("HEALTH LOST at cutover.site.watch.command"), "{recorded}");
}

#[test]
fn a_run_that_was_killed_while_it_watched_goes_on_watching() {
    let scratch = watched("3s", "switch_back");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("cutover.site.watch.command: good");
    assert!(apply.kill(), "it still watched");
    scratch.accepts_writes();
    says(
        &scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(2),
        "cutover.site.watch.command (resumed)",
    );
    let applied = scratch.segue(&APPLY).expect_code(0);
    says(&applied, "cutover.site.watch.command: resumed");
    scratch.settled_at("new");
}

#[test]
fn a_run_that_was_killed_while_it_watched_goes_back_when_it_resumes_and_all_is_sick() {
    let scratch = watched("10m", "switch_back");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("cutover.site.watch.command: good");
    assert!(apply.kill(), "it still watched");
    sick(&scratch);
    says(&scratch.segue(&APPLY).expect_code(7), "0 writes lost");
    went_back(&scratch);
}

#[test]
fn an_interrupt_stops_watching_and_nothing_else() {
    let scratch = watched("10m", "switch_back");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("cutover.site.watch.command: good");
    apply.signal(Signal::INT);
    let ended = apply.wait().expect_code(130);
    says(&ended, "the next apply goes on with it");
    assert_eq!(scratch.live(), "new");
    scratch.accepts_writes();
    // Going back by hand does not wait for the watch.
    scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "old");
    scratch.nothing_is_lost();
}

#[test]
fn a_plan_file_is_applied_again_to_go_on_watching_and_not_to_switch_again() {
    let scratch = watched("2s", "switch_back");
    scratch.segue(&["plan", "--out", "site.plan"]).expect_code(0);
    let mut apply = Running::new(&scratch, &["apply", "site.plan"]);
    apply.until_it_says("cutover.site.watch.command: good");
    assert!(apply.kill(), "it still watched");
    scratch.segue(&["apply", "site.plan"]).expect_code(0);
    let state = scratch.state();
    assert_eq!(state["state"]["cutovers"]["cutover.site"]["switches"], 1);
    scratch.settled_at("new");
}

#[test]
fn without_a_reverse_sync_lost_health_is_said_and_the_new_side_kept() {
    let scratch = watched("10m", "switch_back");
    scratch.edit_spec("reverse       = true", "reverse       = false");
    says(&scratch.segue(&["plan"]).expect_code(0), "WATCH_BACK");
    sick(&scratch);
    let ended = scratch.segue(&APPLY).expect_code(1);
    says(&ended, "HEALTH WAS LOST and the target still serves");
    says(&ended, "going back would lose what the target took");
    scratch.settled_at("new");
}

#[test]
fn health_that_is_only_reported_is_a_finding() {
    let scratch = watched("1s", "report");
    sick(&scratch);
    says(
        &scratch.segue(&APPLY).expect_code(0),
        "warning[WATCH_LOST]: cutover.site.watch.command: 2 looks in a row",
    );
    scratch.settled_at("new");
}
