//! Mass deletion from the released binary: a side that was emptied empties nothing before a person says so, and what a
//! reverse pass deletes is kept.

#![expect(clippy::expect_used, reason = "a test cannot go on without its set-up")]

use segue_tests::{Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

const SPEC: &str = r#"
source "directory" "old" { path = "old" }
target "directory" "new" { path = "new" }
route "symlink" "site" {
  path   = "live"
  source = "old"
  target = "new"
}
migration "site" {
  source = source.directory.old
  target = target.directory.new
  sync {
    interval = "200ms"
  }
}
cutover "site" {
  migrations = [migration.site]
  live       = "target"
  timeout    = "30s"
  quiesce "command" {
    stop  = ["./stop"]
    start = ["./start"]
    probe = ["./probe"]
  }
  switch { routes = [route.symlink.site] }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
"#;

/// Six files in two directories, and an application that only notes that it was paused.
fn scratch() -> Scratch {
    let scratch = Scratch::of_spec(SPEC, &[]);
    for n in 1..=3 {
        scratch.write(&format!("old/f{n}"), &format!("f{n}"));
        scratch.write(&format!("old/sub/g{n}"), &format!("g{n}"));
    }
    std::os::unix::fs::symlink("old", scratch.at("live")).expect("a link");
    scratch.executable("stop", "echo paused >>pauses; touch closed");
    scratch.executable("start", "rm -f closed");
    scratch.executable("probe", "test ! -e closed");
    scratch
}

fn switched() -> Scratch {
    let scratch = scratch();
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "new");
    std::fs::remove_file(scratch.at("pauses")).expect("it paused once");
    scratch
}

/// `rm -rf SIDE/*`
fn empty(scratch: &Scratch, side: &str) {
    scratch.run("sh", &["-c", &format!("rm -rf {side}/*")]).expect_code(0);
}

/// How many of the six files a side has.
fn files(scratch: &Scratch, side: &str) -> usize {
    let names = ["f1", "f2", "f3", "sub/g1", "sub/g2", "sub/g3"];
    names.iter().filter(|name| scratch.at(side).join(name).exists()).count()
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// What is to be typed.
#[track_caller]
fn hash(ran: &Ran) -> String {
    let text = ran.all();
    let (_, rest) = text.split_once("--accept-deletions ").expect("the command is printed");
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn an_emptied_source_stops_an_apply_and_goes_on_when_it_is_accepted() {
    let scratch = scratch();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    empty(&scratch, "old");
    let plan = scratch.segue(&["plan"]);
    says(&plan, "MASS_DELETION");
    says(&plan, "the next pass would delete 7 of 7 records");
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    says(
        &scratch.segue(&["plan"]),
        "stops and asks before it deletes more than half of the records and more than 100, or all",
    );
    let stopped = scratch.segue(&APPLY).expect_code(3);
    says(
        &stopped,
        "stops before its first deletion: 7 of 7 records would be deleted: f1, f2, f3, sub, sub/g1, ...",
    );
    assert_eq!((files(&scratch, "new"), scratch.at("pauses").exists()), (6, false));
    let status = scratch.segue(&["status"]).expect_code(0);
    says(&status, "would delete 7 of 7 records");
    assert_eq!(hash(&status), hash(&stopped));
    let wrong =
        scratch.segue(&["apply", "--auto-approve", "--accept-deletions", "0123456789ab"]).expect_code(1);
    says(&wrong, &hash(&stopped));
    scratch.segue(&["apply", "--auto-approve", "--accept-deletions", &hash(&stopped)]).expect_code(0);
    assert_eq!((files(&scratch, "new"), scratch.live().as_str()), (0, "new"));
    let history = scratch.segue(&["history"]).expect_code(0);
    says(&history, "up to 7 deletions accepted by");
}

#[test]
fn an_emptied_source_under_follow_empties_no_target() {
    let scratch = scratch();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    let mut follow = Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    follow.until_it_says("Keeping passes running");
    empty(&scratch, "old");
    follow.until_it_says("7 of 7 records would be deleted");
    assert_eq!(files(&scratch, "new"), 6);
}

#[test]
fn an_emptied_target_is_told_before_the_pause_and_what_is_accepted_is_kept() {
    let scratch = switched();
    empty(&scratch, "new");
    let stopped = scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(3);
    says(&stopped, "7 of 7 records would be deleted");
    says(&stopped, "segue switch-back cutover.site --accept-deletions");
    assert_eq!((files(&scratch, "old"), scratch.at("pauses").exists()), (6, false), "told before the pause");
    assert_eq!(scratch.live(), "new");
    scratch
        .segue(&["switch-back", "cutover.site", "--auto-approve", "--accept-deletions", &hash(&stopped)])
        .expect_code(0);
    assert_eq!((files(&scratch, "old"), scratch.live().as_str()), (0, "old"));
    let kept = scratch.run("sh", &["-c", "find .segue/artifacts/deleted -type f | wc -l"]);
    assert_eq!(kept.stdout.trim(), "6", "what was deleted on the way back is kept: {}", kept.all());
    let listed = scratch.segue(&["cleanup"]);
    says(&listed, "what reverse passes deleted at the source");
    says(&listed, "kept until finished = true");
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"\n  finished   = true");
    scratch.segue(&APPLY).expect_code(0);
    assert!(!scratch.at(".segue/artifacts/deleted/migration.site").exists(), "released on finish");
}

#[test]
fn a_source_that_is_emptied_in_the_pause_aborts_and_serves_on() {
    let scratch = scratch();
    scratch.executable("stop", "rm -rf old/*; echo paused >>pauses; touch closed");
    let aborted = scratch.segue(&APPLY).expect_code(5);
    says(&aborted, "7 of 7 records would be deleted");
    assert_eq!((files(&scratch, "new"), scratch.live().as_str()), (6, "old"));
    assert!(!scratch.at("closed").exists(), "the source takes writes again");
    let held = scratch.segue(&APPLY).expect_code(3);
    says(&held, "is held");
    assert_eq!(hash(&held), hash(&aborted), "the hold says how it goes on");
    assert_eq!(files(&scratch, "new"), 6);
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.segue(&["apply", "--auto-approve", "--accept-deletions", &hash(&held)]).expect_code(0);
    assert_eq!((files(&scratch, "new"), scratch.live().as_str()), (0, "new"));
}

#[test]
fn lost_health_of_an_emptied_target_goes_nowhere() {
    let scratch = scratch();
    scratch.executable("well", "test ! -e sick");
    scratch.edit_spec(
        "  fallback {",
        "  watch \"command\" {\n    command = [\"./well\"]\n    for = \"10m\"\n    interval = \"100ms\"\n    failures = 2\n    on_failure = \"switch_back\"\n  }\n  fallback {",
    );
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("if you go back now");
    std::fs::remove_file(scratch.at("pauses")).expect("it paused once");
    empty(&scratch, "new");
    apply.until_it_says("7 of 7 records would be deleted");
    scratch.write("sick", "");
    let ended = apply.wait().expect_code(1);
    says(&ended, "HEALTH WAS LOST and the target still serves");
    says(&ended, "going back would delete");
    assert_eq!((files(&scratch, "old"), scratch.live().as_str()), (6, "new"));
    assert!(!scratch.at("pauses").exists(), "it was told before the pause");
    says(&scratch.segue(&["status"]), "HELD");
    let again = scratch.segue(&APPLY).expect_code(3);
    says(&again, "held");
    assert_eq!(files(&scratch, "old"), 6);
}

#[test]
fn what_is_accepted_is_the_number_shown_and_a_tenth_more() {
    let scratch = scratch();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.edit_spec("interval = \"200ms\"", "interval = \"200ms\"\n    max_deletions = 20");
    for n in 0..100 {
        scratch.write(&format!("old/n{n:02}"), "n");
    }
    scratch.segue(&APPLY).expect_code(0);
    let remove = |from: usize, to: usize| {
        (from..to).for_each(|n| std::fs::remove_file(scratch.at(&format!("old/n{n:02}"))).expect("removed"));
    };
    // A switch carries what changed.
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    remove(0, 30);
    let stopped = scratch.segue(&APPLY).expect_code(3);
    says(&stopped, "30 of 107 records would be deleted");
    remove(30, 34);
    let more =
        scratch.segue(&["apply", "--auto-approve", "--accept-deletions", &hash(&stopped)]).expect_code(3);
    says(&more, "34 of 107 records would be deleted");
    assert_eq!(hash(&more), hash(&stopped), "the same unit, direction and ledger");
    remove(34, 37);
    scratch.segue(&["apply", "--auto-approve", "--accept-deletions", &hash(&more)]).expect_code(0);
    wait_until("the target has what is left", || !scratch.at("new/n36").exists());
    assert!(scratch.at("new/n37").exists());
}

#[test]
fn a_renamed_tree_is_no_deletion_and_nor_is_what_is_left_out_by_now() {
    let scratch = scratch();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch.run("sh", &["-c", "mkdir old/all && mv old/f* old/sub old/all/"]).expect_code(0);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    scratch.segue(&APPLY).expect_code(0);
    assert!(scratch.at("new/all/sub/g3").exists() && !scratch.at("new/f1").exists());
}

#[test]
fn a_limit_that_is_none_is_told_where_it_is_written() {
    let scratch = scratch();
    for wrong in ["\"120%\"", "\"many\"", "-1", "[5]"] {
        let before = scratch.read("site.segue.hcl");
        scratch.edit_spec("interval = \"200ms\"", &format!("interval = \"200ms\"\n max_deletions = {wrong}"));
        let told = scratch.segue(&["validate"]).expect_code(1);
        says(&told, "`max_deletions` is a number of records, or a share of them");
        scratch.write("site.segue.hcl", &before);
    }
    scratch.edit_spec("interval = \"200ms\"", "interval = \"200ms\"\n max_deletions = \"20%\"");
    scratch.segue(&["validate"]).expect_code(0);
    says(&scratch.segue(&["plan"]), "before it deletes more than 20 % of the records, or all");
}
