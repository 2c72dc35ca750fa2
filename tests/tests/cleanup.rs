//! `segue cleanup` from the released binary on real files.

use segue_tests::{Ran, Scratch};

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

fn forget(scratch: &Scratch) {
    let spec = "source \"directory\" \"old\" {\n path = \"old\"\n}\ntarget \"directory\" \"new\" {\n path = \"new\"\n}\n\
                removed {\n from = cutover.site\n}\nremoved {\n from = migration.site\n}\n";
    scratch.write("site.segue.hcl", spec);
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
}

#[test]
fn what_a_given_up_migration_left_is_listed_and_released_in_order() {
    let scratch = Scratch::new();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    says(&scratch.segue(&["cleanup"]).expect_code(0), "needed");
    says(&scratch.segue(&["state", "list"]).expect_code(0), "migration.site/target");
    forget(&scratch);
    let listed = scratch.segue(&["cleanup"]).expect_code(3);
    says(&listed, "left over  migration.site/target");
    says(&listed, "was forgotten");
    says(&listed, "`segue cleanup --yes` releases them");
    says(&scratch.segue(&["status"]).expect_code(0), "temporary resources that nobody needs");
    assert!(scratch.at("new").exists() && scratch.at("old/.segue-marker").exists());
    let released = scratch.segue(&["cleanup", "--yes", "--json"]).expect_code(0);
    let released: serde_json::Value = serde_json::from_str(&released.stdout).unwrap_or_default();
    assert_eq!(released["released"][0]["id"], "migration.site/target", "{released}");
    assert_eq!(released["resources"].as_array().map(Vec::len), Some(0), "{released}");
    assert!(!scratch.at("new").exists() && !scratch.at("old/.segue-marker").exists());
    says(&scratch.segue(&["cleanup"]).expect_code(0), "Nothing temporary is anywhere");
}

#[test]
fn what_serves_is_never_released() {
    let scratch = Scratch::new();
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    let listed = scratch.segue(&["cleanup", "--yes"]).expect_code(0);
    says(&listed, "the target serves");
    says(&listed, "the way back, until finished = true");
    forget(&scratch);
    scratch.segue(&["cleanup", "--yes"]).expect_code(0);
    assert!(scratch.at("new").read_dir().is_ok_and(|mut d| d.next().is_some()), "its files are there");
    assert_eq!(scratch.live(), "new");
}

#[test]
fn what_an_abandon_had_to_leave_is_told_until_it_can_go() {
    let scratch = Scratch::new();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch.write("new/somebody.txt", "else's");
    scratch.edit_spec("live       = \"source\"", "live       = \"source\"\n  finished   = true");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    says(&scratch.segue(&["cleanup"]).expect_code(3), "was abandoned");
    assert!(scratch.at("new/somebody.txt").exists(), "never touched");
    let _ = std::fs::remove_file(scratch.at("new/somebody.txt"));
    scratch.segue(&["cleanup", "--yes"]).expect_code(0);
    assert!(!scratch.at("new").exists());
}

#[test]
fn a_plan_names_who_reopens_each_source_and_that_nobody_does() {
    let scratch = Scratch::new();
    let plan = scratch.segue(&["plan"]).expect_code(0);
    says(&plan, "its watchdog re-opens source.directory.old");
    says(&plan, "if this machine dies, NOBODY re-opens source.directory.old");
    says(&plan, "warning[NOBODY_REOPENS]: source.directory.old");
}

#[test]
fn the_way_back_is_said_to_go_stale_before_it_is() {
    let scratch = Scratch::new();
    scratch.edit_spec("reverse       = true", "reverse       = true\n    max_age       = \"1ms\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    says(&scratch.segue(&["status"]).expect_code(0), "STALE");
    says(&scratch.segue(&["status"]).expect_code(0), "if you go back now: 0 writes lost");
    says(&scratch.segue(&["plan"]), "FALLBACK_STALE");
    let mut follow = segue_tests::Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    follow.until_it_says("if you go back now: 0 writes lost");
    follow.signal(rustix::process::Signal::INT);
    follow.wait();
}
