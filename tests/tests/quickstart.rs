//! The main job, from the released binary, with a live writer running through all of it.

use segue_tests::Scratch;

/// With writers running: plan, apply, and every acknowledged write at the live side.
fn moved() -> Scratch {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch
}

fn every_write_is_there(scratch: &Scratch) {
    scratch.app(&["stop"]).expect_code(0);
    let checked = scratch.app(&["check"]).expect_code(0);
    assert!(checked.stdout.contains(" 0 lost, 0 doubled, 0 deleted ones back"), "{}", checked.all());
    scratch.app(&["start"]).expect_code(0);
}

#[test]
fn the_quickstart_moves_a_live_tree_and_loses_nothing() {
    let scratch = moved();
    assert_eq!(scratch.live(), "new");
    every_write_is_there(&scratch);
    assert!(!scratch.at("new/cache").exists() && !scratch.at("new/draft.tmp").exists(), "excluded");
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("target"), "{}", status.all());
}

#[test]
fn plan_says_changes_before_and_nothing_after_and_names_what_drifted() {
    let scratch = Scratch::new();
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(2);
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    // One byte on the side that is not live, by hand.
    scratch.write("old/pages/7.html", "page X\n");
    let plan = scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(4);
    assert!(plan.stdout.contains("pages/7.html"), "{}", plan.all());
}

#[test]
fn live_source_switches_back_and_live_target_forward_again() {
    let scratch = moved();
    for (live, link) in [("source", "old"), ("target", "new"), ("source", "old")] {
        let before = if live == "source" { "target" } else { "source" };
        scratch.edit_spec(&format!("live       = \"{before}\""), &format!("live       = \"{live}\""));
        let plan = scratch.segue(&["plan"]).expect_code(0);
        if live == "source" {
            assert!(plan.stdout.contains("loses 0 writes"), "{}", plan.all());
        }
        scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
        assert_eq!(scratch.live(), link);
        every_write_is_there(&scratch);
        scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn a_switch_back_by_command_is_held_until_somebody_lets_it_go_on() {
    let scratch = moved();
    scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "old");
    every_write_is_there(&scratch);
    let held = scratch.segue(&["apply", "--auto-approve"]).expect_code(3);
    assert!(held.all().contains("segue unhold cutover.site"), "{}", held.all());
    assert_eq!(scratch.live(), "old", "a CI run must not flip it again");
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "new");
    every_write_is_there(&scratch);
}

#[test]
fn a_plan_file_is_applied_exactly_and_refused_when_the_spec_changed() {
    let scratch = Scratch::new();
    scratch.segue(&["plan", "--out", "site.plan"]).expect_code(0);
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"31s\"");
    let refused = scratch.segue(&["apply", "site.plan"]).expect_code(1);
    assert!(refused.all().contains("cutover.site has changed"), "{}", refused.all());
    scratch.edit_spec("timeout    = \"31s\"", "timeout    = \"30s\"");
    let whole = segue_contract::paths::read_to_string(&scratch.at("site.plan")).expect("the plan file");
    scratch.write("short.plan", &whole[..whole.len() / 2]);
    let cut = scratch.segue(&["apply", "short.plan"]).expect_code(1);
    assert!(cut.all().contains("not a whole plan file"), "{}", cut.all());
    scratch.segue(&["apply", "site.plan"]).expect_code(0);
    assert_eq!(scratch.live(), "new");
}

#[test]
fn finished_gives_up_the_fallback_and_nothing_changes_it_afterwards() {
    let scratch = moved();
    scratch.edit_spec("live       = \"target\"", "live       = \"target\"\n  finished   = true");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    every_write_is_there(&scratch);
    assert!(!scratch.at("new/.segue-marker").exists() && !scratch.at("old/.segue-marker").exists());
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    let refused = scratch.segue(&["plan"]).expect_code(1);
    assert!(refused.all().contains("is finished"), "{}", refused.all());
}

#[test]
fn abandoning_removes_what_segue_made_and_leaves_the_source_alone() {
    let scratch = Scratch::new();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    assert!(scratch.at("new/pages/1.html").exists());
    assert_eq!(scratch.live(), "old");
    scratch.edit_spec("live       = \"source\"", "live       = \"source\"\n  finished   = true");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    assert!(!scratch.at("new").exists(), "the target that Segue made is gone");
    assert!(scratch.at("old/pages/1.html").exists());
}

#[test]
fn writers_are_started_once_the_old_answers_of_a_route_are_over() {
    let scratch = Scratch::new();
    scratch
        .edit_spec("routes = [route.symlink.site]", "routes = [route.symlink.site]\n    settle = \"1500ms\"");
    scratch.edit_spec("[\"./app\", \"resume\"]", "[\"./resume\"]");
    scratch.executable("resume", "./app resume && : >started");
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    let changed = |name: &str| {
        let seen = std::fs::symlink_metadata(scratch.at(name)).expect("it is there");
        seen.modified().expect("the file system keeps times")
    };
    let between = changed("started").duration_since(changed("live")).expect("the route was moved first");
    assert!(between >= std::time::Duration::from_millis(1500), "{between:?}");
    scratch.settled_at("new");
}
