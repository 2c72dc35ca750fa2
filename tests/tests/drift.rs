//! A target that something else changed: each kind of damage is caught at the level that claims to catch it, named,
//! and mended.

#![expect(clippy::expect_used, reason = "a test cannot go on without its files")]

use segue_tests::{Scratch, compare_trees};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// Loaded and verified, the source serves, nothing runs.
fn carried() -> Scratch {
    let scratch = Scratch::new();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch
}

fn shell(scratch: &Scratch, script: &str) {
    scratch.run("sh", &["-ec", script]).expect_code(0);
}

/// Caught by `drift` and `verify` at this level, not below it, and mended by `verify --repair`.
#[track_caller]
fn caught(script: &str, key: &str, level: &str, misses: Option<&str>) {
    let scratch = carried();
    scratch.segue(&["verify", "--level", "full"]).expect_code(0);
    scratch.segue(&["drift", "--level", "full"]).expect_code(0);
    shell(&scratch, script);
    if let Some(misses) = misses {
        // That a level catches no more than it claims keeps its claim honest, and its cost.
        scratch.segue(&["drift", "--level", misses]).expect_code(0);
    }
    let drift = scratch.segue(&["drift", "--level", level]).expect_code(4);
    assert!(drift.stdout.contains(key), "{}", drift.all());
    let json = scratch.segue(&["drift", "--level", level, "--json"]).expect_code(4);
    assert!(json.stdout.contains(key), "{}", json.all());
    let verify = scratch.segue(&["verify", "--level", level]).expect_code(8);
    assert!(verify.all().contains(key), "{}", verify.all());
    scratch.segue(&["verify", "--level", level, "--repair"]).expect_code(0);
    scratch.segue(&["verify", "--level", "full"]).expect_code(0);
    scratch.segue(&["drift", "--level", "full"]).expect_code(0);
    let excluded = |path: &std::path::Path| path.starts_with("cache") || path.ends_with("draft.tmp");
    let left = compare_trees(&scratch.at("old"), &scratch.at("new"), excluded).expect("both trees");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_flipped_byte_under_the_old_time_is_caught_by_content() {
    // ctime cannot be put back: metadata against the ledger may see it, content must.
    caught(
        "touch -r new/assets/picture.bin stamp
         printf X | dd of=new/assets/picture.bin bs=1 seek=1500000 conv=notrunc status=none
         touch -r stamp new/assets/picture.bin",
        "assets/",
        "full",
        None,
    );
}

#[test]
fn a_missing_file_is_caught_by_counting() {
    caught("rm new/pages/17.html", "pages/17.html", "count", None);
}

#[test]
fn a_missing_directory_is_caught_by_counting() {
    caught("rm -r new/pages", "pages", "count", None);
}

#[test]
fn an_extra_file_is_caught_by_counting() {
    caught("echo stray > new/pages/stray.html", "pages/stray.html", "count", None);
}

#[test]
fn an_older_version_of_a_file_is_caught_by_counting() {
    caught(
        "printf 'page 5\\n' > new/pages/5.html; touch -d '2001-01-01' new/pages/5.html",
        "pages/5.html",
        "count",
        None,
    );
}

#[test]
fn a_wrong_mode_is_caught_by_counting() {
    caught("chmod 0600 new/pages/7.html", "pages/7.html", "count", None);
}

#[test]
fn a_wrong_owner_is_caught_by_counting() {
    caught("chown 12:34 new/pages/8.html", "pages/8.html", "count", None);
}

#[test]
fn a_file_that_became_a_link_is_caught_by_counting() {
    caught("rm new/pages/9.html; ln -s 8.html new/pages/9.html", "pages/9.html", "count", None);
}

#[test]
fn an_attribute_that_was_lost_is_caught() {
    let scratch = Scratch::new();
    shell(&scratch, "setfattr -n user.colour -v red old/pages/3.html");
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    shell(&scratch, "setfattr -x user.colour new/pages/3.html");
    let verify = scratch.segue(&["verify", "--level", "full"]).expect_code(8);
    assert!(verify.all().contains("pages/3.html"), "{}", verify.all());
    scratch.segue(&["verify", "--level", "full", "--repair"]).expect_code(0);
    shell(&scratch, "getfattr -n user.colour new/pages/3.html");
}

#[test]
fn a_route_that_was_moved_by_hand_is_drift_and_plan_says_so() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    scratch.app(&["stop"]).expect_code(0);
    shell(&scratch, "ln -sfn elsewhere live");
    let plan = scratch.segue(&["plan", "--detailed-exitcode"]);
    assert!(plan.stdout.contains("route.symlink.site"), "{}", plan.all());
    assert_eq!(plan.code, Some(4), "{}", plan.all());
    scratch.segue(&["drift"]).expect_code(4);
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "new", "it is set back");
    scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_route_that_somebody_moved_before_the_first_switch_is_named_and_set_back() {
    let scratch = carried();
    for (moved, said) in [("new", "points to the target"), ("/elsewhere", "neither side")] {
        shell(&scratch, &format!("ln -sfn {moved} live"));
        let plan = scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(4);
        assert!(plan.stdout.contains("route.symlink.site") && plan.stdout.contains(said), "{}", plan.all());
        scratch.segue(&APPLY).expect_code(0);
        assert_eq!(scratch.live(), "old");
    }
}
