//! Rehearsals from the released binary on real files: what is measured and found, that nothing is left of it, and
//! that a death in it harms nobody.

use rustix::process::Signal;
use segue_tests::{Ran, Running, Scratch};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart with writers, and more in its cutover.
fn with(inside: &str) -> Scratch {
    let scratch = Scratch::new();
    add(&scratch, inside);
    scratch.app(&["start"]).expect_code(0);
    scratch
}

fn add(scratch: &Scratch, inside: &str) {
    scratch.edit_spec("  quiesce \"command\" {", &format!("{inside}\n  quiesce \"command\" {{"));
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// Nothing of a rehearsal is anywhere, and the source serves.
#[track_caller]
fn nothing_is_left(scratch: &Scratch) {
    let hidden = scratch.run("find", &[".", "-name", "*rehearsal*", "-not", "-path", "./.segue/*"]);
    assert_eq!(hidden.stdout, "", "copies are left");
    assert!(!scratch.at("old/.segue-marker").exists(), "the source's marker is left");
    assert!(!scratch.at("new").exists(), "the target was made");
    assert_eq!(scratch.live(), "old");
    scratch.app(&["try-write"]).expect_code(0);
}

#[test]
fn a_rehearsal_measures_everything_and_leaves_nothing() {
    let scratch = with("");
    let ran = scratch.segue(&["rehearse", "site", "--quiesce"]).expect_code(0);
    says(&ran, "migration.site tree: 3");
    says(&ran, "verified full in");
    says(&ran, "quiesce and drain");
    says(&ran, "[the rehearsal]");
    says(&ran, "cutover.site.rehearsal: VERIFIED");
    nothing_is_left(&scratch);
    says(&scratch.segue(&["status"]).expect_code(0), "cutover.site: rehearsed ");
    // Its numbers are in the next plan.
    says(&scratch.segue(&["plan"]).expect_code(0), "in the rehearsal]");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn a_spec_that_rehearses_before_does_so_once_and_then_switches() {
    let scratch = with("rehearse {\n quiesce = true\n }");
    let plan = scratch.segue(&["plan"]).expect_code(0);
    says(&plan, "cutover.site.rehearse (new)");
    says(&plan, "the source IS quiesced for it, for 30s at most");
    let applied = scratch.segue(&APPLY).expect_code(0);
    let (rehearsed, switched) =
        (applied.stderr.find("cutover.site: rehearsed in"), applied.stderr.find("cutover.site: COMMITTED"));
    assert!(rehearsed.is_some() && rehearsed < switched, "{}", applied.all());
    assert!(!applied.stderr.contains("rehearsal: COMMITTED"), "{}", applied.all());
    scratch.settled_at("new");
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    says(&scratch.segue(&["history"]).expect_code(0), "cutover.site: what the rehearsal made is gone");
}

#[test]
fn a_spec_that_only_rehearses_touches_neither_target_nor_route() {
    let scratch = with("rehearse {\n mode = \"only\"\n }");
    let applied = scratch.segue(&APPLY).expect_code(0);
    says(&applied, "note[REHEARSE_NO_PAUSE]");
    nothing_is_left(&scratch);
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    // What it was of changed: it is rehearsed again.
    scratch.edit_spec("cache/", "cache/**");
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(2);
    scratch.edit_spec("mode = \"only\"", "mode = \"before\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn a_critical_finding_stops_until_somebody_says_why_it_may_be() {
    let scratch = with("rehearse {\n test = [\"./look\", \"{path}\"]\n }");
    scratch.executable("look", "test -d \"$1/notes\" && echo \"$1\" >looked && echo no good && exit 1");
    let stopped = scratch.segue(&APPLY).expect_code(3);
    says(&stopped, "CRITICAL[REHEARSE_TEST]: migration.site: the test of the copy failed: exit 1: no good");
    says(&stopped, "waive \"REHEARSE_TEST\" { reason = ... }");
    assert!(scratch.read("looked").contains(".new.rehearsal-"), "it looked at {}", scratch.read("looked"));
    nothing_is_left(&scratch);
    says(&scratch.segue(&["plan"]).expect_code(0), "the last rehearsal stopped at this");
    // A waiver is for what was found: it is not rehearsed again.
    let before = scratch.segue(&["plan", "--json"]).expect_code(0).stdout;
    add(&scratch, "waive \"REHEARSE_TEST\" {\n reason = \"the test is of the old layout\"\n }");
    let plan = scratch.segue(&["plan"]).expect_code(0);
    says(&plan, "waived (the test is of the old layout)");
    let after = scratch.segue(&["plan", "--json"]).expect_code(0).stdout;
    assert_ne!(hash(&before), hash(&after), "a waiver is part of the hash");
    let applied = scratch.segue(&APPLY).expect_code(0);
    assert!(!applied.all().contains("rehearsed in"), "{}", applied.all());
    scratch.settled_at("new");
}

#[expect(clippy::expect_used, reason = "a test cannot go on without the hash")]
fn hash(plan: &str) -> String {
    let plan: serde_json::Value = serde_json::from_str(plan).expect("plan --json prints JSON");
    plan["hash"].as_str().expect("a hash").to_owned()
}

#[test]
fn a_gate_that_could_never_be_met_is_found_before_anything_is_moved() {
    let scratch = with("gate \"downtime\" {\n max = \"20ms\"\n }\n rehearse {}");
    let stopped = scratch.segue(&APPLY).expect_code(3);
    says(&stopped, "CRITICAL[REHEARSE_DOWNTIME]: cutover.site.gate.downtime: a pause of ");
    says(&stopped, "the gate allows 20 ms: quiesce and drain");
    nothing_is_left(&scratch);
}

#[test]
fn writers_that_the_quiesce_does_not_stop_are_found_and_the_source_stays_open() {
    let scratch = with("rehearse {\n quiesce = true\n }");
    // The command says that it stopped them, and did not.
    scratch.edit_spec("stop  = [\"./app\", \"pause\"]", "stop  = [\"true\"]");
    let stopped = scratch.segue(&APPLY).expect_code(3);
    says(&stopped, "CRITICAL[REHEARSE_QUIESCE]: cutover.site: the pause failed: ");
    says(&stopped, "still takes writes");
    nothing_is_left(&scratch);
    // Nobody has to let it go on: what was aborted was the rehearsal.
    assert!(!scratch.segue(&["status"]).expect_code(0).all().contains("HELD"));
}

#[test]
fn one_that_is_killed_while_it_loads_is_gone_on_with() {
    let scratch = with("rehearse {}\n");
    scratch.edit_spec("  select {", "  load {\n    rate_limit = \"500KiB/s\"\n  }\n  select {");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("rehearsal.unit[\"tree\"].load: started");
    apply.kill();
    says(&scratch.segue(&["status"]).expect_code(0), "A REHEARSAL IS NOT OVER");
    let plan = scratch.segue(&["plan"]).expect_code(0);
    says(&plan, "cutover.site.rehearse (resumed)");
    // Another rehearsal is wanted now: what is left of the first one goes.
    scratch.edit_spec("500KiB/s", "500MiB/s");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    let hidden = scratch.run("find", &[".", "-name", "*rehearsal*", "-not", "-path", "./.segue/*"]);
    assert_eq!(hidden.stdout, "", "copies are left");
}

#[test]
fn one_that_is_killed_in_its_pause_opens_the_source_and_is_gone_on_with() {
    let scratch = with("rehearse {\n quiesce = true\n }");
    for phase in ["QUIESCING", "DRAINED", "CAUGHT_UP"] {
        let mut rehearsal = Running::new(&scratch, &["rehearse"]);
        rehearsal.until_it_says(&format!("cutover.site.rehearsal: {phase}"));
        rehearsal.kill();
        // Its watchdog opens the source; this waits for it, and does so itself where it is gone.
        scratch.segue(&["abort"]);
        segue_tests::wait_until("writes are accepted", || scratch.app(&["try-write"]).code == Some(0));
    }
    scratch.segue(&["rehearse"]).expect_code(0);
    nothing_is_left(&scratch);
}

#[test]
fn an_interrupted_rehearsal_is_said_to_be_and_goes_on() {
    let scratch = with("");
    scratch.edit_spec("  select {", "  load {\n    rate_limit = \"500KiB/s\"\n  }\n  select {");
    let mut rehearsal = Running::new(&scratch, &["rehearse"]);
    rehearsal.until_it_says("rehearsal.unit[\"tree\"].load: started");
    rehearsal.signal(Signal::INT);
    rehearsal.wait().expect_code(130);
    says(&scratch.segue(&["status"]).expect_code(0), "A REHEARSAL IS NOT OVER");
    scratch.segue(&["rehearse"]).expect_code(0);
    nothing_is_left(&scratch);
}

#[test]
fn a_place_that_somebody_else_uses_is_not_written_to() {
    let scratch = with("");
    scratch.segue(&["rehearse"]).expect_code(0);
    let tag: String = scratch.state()["state_id"].as_str().unwrap_or_default().chars().take(8).collect();
    let theirs = format!(".new.rehearsal-{tag}/theirs");
    scratch.write(&theirs, "theirs");
    let refused = scratch.segue(&["rehearse"]).expect_code(1);
    says(&refused, "is there already");
    assert_eq!(scratch.read(&theirs), "theirs");
}

#[test]
fn what_cannot_be_waived_is_told_with_its_place() {
    let scratch = Scratch::new();
    add(
        &scratch,
        "waive \"REHEARSE_TSET\" {\n reason = \"x\"\n }\n waive \"SET_ASIDE\" {\n reason = \"x\"\n }",
    );
    let refused = scratch.segue(&["validate"]).expect_code(1);
    says(&refused, "did you mean \"REHEARSE_TEST\"?");
    says(&refused, "records that cannot be carried are waived by name");
}

#[test]
fn the_example_rehearses_and_switches() {
    let scratch = Scratch::new();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rehearsal/.");
    scratch.run("cp", &["-r", &example.display().to_string(), "example"]).expect_code(0);
    scratch.run("example/site", &["make"]).expect_code(0);
    let applied = scratch.segue(&["-C", "example", "apply", "--auto-approve"]).expect_code(0);
    says(&applied, "cutover.site: rehearsed in");
    says(&applied, "cutover.site is switched: the target serves.");
    let report = scratch.segue(&["-C", "example", "report", "--json"]).expect_code(0);
    says(&report, "\"rehearsals\"");
    says(&report, "REHEARSE_PLACE waived: the target's own file system");
}

#[test]
fn after_the_switch_there_is_nothing_to_rehearse() {
    let scratch = with("");
    scratch.segue(&APPLY).expect_code(0);
    says(&scratch.segue(&["rehearse"]).expect_code(1), "there is nothing to rehearse");
    says(&scratch.segue(&["rehearse", "cutover.site"]).expect_code(1), "its source does not serve any more");
}
