//! A target that cannot be read, with the released binary on real files: it is left only behind a fence that is proven,
//! and an empty mount point is never taken for it.

#![expect(clippy::expect_used, reason = "a test cannot go on without its files")]

use segue_tests::{Ran, Scratch};

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// Switched to the target, whose directory is then away: an empty one is in its place, as after a lazy umount.
fn away() -> Scratch {
    let scratch = Scratch::new();
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch.run("mv", &["new", "away"]).expect_code(0);
    std::fs::create_dir(scratch.at("new")).expect("made");
    scratch
}

fn with_fence(scratch: &Scratch, script: &str) {
    scratch.edit_spec(
        "reverse       = true",
        "reverse       = true\n    accept_loss   = true\n    fence         = [\"./fence-target\"]",
    );
    scratch.executable("fence-target", script);
}

#[test]
fn an_empty_mount_point_is_not_carried_back() {
    let scratch = away();
    let before = scratch.run("find", &["old", "-type", "f"]).stdout;
    let ended = scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(3);
    says(&ended, "the target is not left");
    says(&ended, "fence = [");
    assert_eq!(scratch.run("find", &["old", "-type", "f"]).stdout, before, "nothing was deleted");
    assert_eq!(scratch.live(), "new");
    let status = scratch.segue(&["status"]);
    says(&status, "HELD");
}

#[test]
fn it_is_left_behind_a_fence_and_stale_when_it_comes_back() {
    let scratch = away();
    with_fence(&scratch, "echo $SEGUE_SIDE $SEGUE_ENDPOINT >> fenced; echo its power is off");
    let ended = scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(0);
    says(&ended, "is LEFT");
    says(&ended, "its power is off");
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    let fenced = segue_contract::paths::read_to_string(&scratch.at("fenced")).expect("fenced");
    assert!(fenced.starts_with("target target.directory.new\n"), "{fenced}");
    let history = scratch.segue(&["history"]).expect_code(0).stdout;
    let at = |what: &str| history.find(what).unwrap_or_else(|| panic!("{what} is not in {history}"));
    assert!(
        at("fencing target.directory.new from outside") < at("target.directory.new is fenced"),
        "{history}"
    );
    assert!(
        at("target.directory.new is fenced") < at("route.symlink.site points to the source"),
        "{history}"
    );
    // It comes back, as it was, with what it took meanwhile.
    std::fs::remove_dir(scratch.at("new")).expect("empty");
    scratch.run("mv", &["away", "new"]).expect_code(0);
    scratch.write("new/taken", "by the target alone");
    says(&scratch.segue(&["plan"]), "SIDE_LEFT");
    says(&scratch.segue(&["plan"]), "is behind");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(3);
    says(&scratch.segue(&["cleanup"]).expect_code(0), "segue lifts no fence");
    says(&scratch.segue(&["unhold", "cutover.site"]).expect_code(0), "this state's again");
    let again = scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    says(&again, "STALE");
    assert_eq!(scratch.live(), "new");
    assert!(!scratch.at("new/taken").exists(), "kept aside");
}

#[test]
fn a_fence_that_fails_opens_nothing() {
    let scratch = away();
    with_fence(&scratch, "echo no route to the power switch; exit 4");
    let ended = scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(5);
    says(&ended, "is not fenced");
    says(&ended, "no route to the power switch");
    assert_eq!(scratch.live(), "new");
}
