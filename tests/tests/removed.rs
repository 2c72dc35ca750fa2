//! `removed` blocks: planned like any other change, and taken up again when the block is back.

use segue_tests::{Ran, Scratch};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const PLAN: [&str; 2] = ["plan", "--detailed-exitcode"];
const REMOVED: &str = "source \"directory\" \"old\" {\n  path = \"old\"\n}\n\
                       target \"directory\" \"new\" {\n  path = \"new\"\n}\n\
                       removed {\n  from = cutover.site\n}\nremoved {\n  from = migration.site\n}\n";

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// A cutover that is switched, and then given up by the spec; gives the spec as it was.
fn given_up(scratch: &Scratch) -> String {
    scratch.segue(&APPLY).expect_code(0);
    let spec = scratch.read("site.segue.hcl");
    scratch.write("site.segue.hcl", REMOVED);
    spec
}

#[test]
fn a_removed_block_is_planned_with_what_stays_and_asked_for() {
    let scratch = Scratch::new();
    given_up(&scratch);
    let plan = scratch.segue(&PLAN).expect_code(2);
    says(&plan, "cutover.site.forget (changed)");
    says(&plan, "manage it no longer: the target serves, and the way back is kept fresh no longer");
    says(&plan, "left as it is: the way back");
    says(&plan, "left as it is: the marker that says who may act here (source.directory.old)");
    says(&scratch.segue(&["apply"]).expect_code(1), "there is nobody to ask");
    says(&scratch.segue(&PLAN).expect_code(2), "2 steps to do");

    scratch.segue(&["plan", "--out", "give-up.plan"]).expect_code(0);
    scratch.segue(&["apply", "give-up.plan"]).expect_code(0);
    says(&scratch.segue(&PLAN).expect_code(0), "Nothing to do");
    // The same file again is no other plan.
    scratch.segue(&["apply", "give-up.plan"]).expect_code(0);
    says(&scratch.segue(&["history"]).expect_code(0), "cutover.site forgotten");
    assert_eq!(scratch.live(), "new");
}

#[test]
fn what_was_given_up_is_taken_up_where_it_was() {
    let scratch = Scratch::new();
    let spec = given_up(&scratch);
    scratch.segue(&APPLY).expect_code(0);
    scratch.write("new/pages/meanwhile.html", "written while nobody managed it");
    scratch.write("site.segue.hcl", &spec);
    // Its own markers are no stranger's, and the side that serves is known.
    says(&scratch.segue(&["plan"]).expect_code(0), "the side that serves stays");
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.serves(), "target");
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("old");
    assert_eq!(scratch.read("old/pages/meanwhile.html"), "written while nobody managed it");
}

#[test]
fn what_was_given_up_and_cleaned_up_begins_anew() {
    let scratch = Scratch::new();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    let spec = {
        scratch.segue(&APPLY).expect_code(0);
        scratch.read("site.segue.hcl")
    };
    scratch.write("site.segue.hcl", REMOVED);
    scratch.segue(&APPLY).expect_code(0);
    scratch.segue(&["cleanup", "--yes"]).expect_code(0);
    assert!(!scratch.at("new").exists());
    scratch.write("site.segue.hcl", &spec);
    says(&scratch.segue(&PLAN).expect_code(2), "migration.site.unit[\"tree\"].load (new)");
    scratch.segue(&APPLY).expect_code(0);
    assert!(scratch.at("new").exists());
}
