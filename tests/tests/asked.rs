//! What a running apply is asked for from another terminal: that the source serves, that a held cutover goes on. The run
//! does it, whoever asks hears how far it is, and asking twice changes nothing more.

use rustix::process::Signal;
use segue_tests::{Ran, Running, Scratch, wait_until};

const BACK: [&str; 3] = ["switch-back", "cutover.site", "--auto-approve"];
const FOLLOW: [&str; 3] = ["apply", "--follow", "--auto-approve"];

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.edit_spec(
        "    level = \"full\"\n  }",
        "    level = \"full\"\n  }\n  sync {\n    interval = \"200ms\"\n  }",
    );
    scratch.app(&["start"]).expect_code(0);
    scratch
}

fn epoch(scratch: &Scratch) -> u64 {
    scratch.state()["state"]["cutovers"]["cutover.site"]["epoch"].as_u64().unwrap_or_default()
}

fn held(scratch: &Scratch) -> bool {
    !scratch.state()["state"]["cutovers"]["cutover.site"]["held"].is_null()
}

#[test]
fn a_follower_goes_back_when_it_is_asked_and_follows_on_from_the_side_that_serves() {
    let scratch = scratch();
    let mut follow = Running::new(&scratch, &FOLLOW);
    follow.until_it_says("Keeping passes running");
    assert_eq!(scratch.live(), "new");
    let back = scratch.segue(&BACK).expect_code(0);
    says(&back, "leads back to the source");
    says(&back, "cutover.site: DRAINED");
    says(&back, "the source serves. It is held");
    assert_eq!(scratch.live(), "old");
    scratch.nothing_is_lost();
    let epoch_before = epoch(&scratch);
    says(&scratch.segue(&BACK).expect_code(0), "the source serves already");
    assert_eq!(epoch(&scratch), epoch_before, "typed twice it changes nothing more");
    assert!(held(&scratch));
    says(&scratch.segue(&["unhold", "cutover.site"]).expect_code(0), "is not held any more");
    says(&scratch.segue(&["unhold", "cutover.site"]).expect_code(0), "nothing to do");
    assert!(!held(&scratch));
    assert!(!follow.ended(), "it follows on");
    scratch.write("old/written-after", "the way back");
    wait_until("it is carried to the target", || scratch.at("new/written-after").exists());
    follow.signal(Signal::INT);
    follow.wait();
}

#[test]
fn a_run_that_watches_goes_back_when_it_is_asked_and_ends_with_its_exit_code() {
    let scratch = scratch();
    scratch.edit_spec(
        "  fallback {",
        "  watch \"command\" {\n    command = [\"true\"]\n    for = \"10m\"\n    interval = \"100ms\"\n  }\n  fallback {",
    );
    let mut apply = Running::new(&scratch, &["apply", "--auto-approve"]);
    apply.until_it_says("cutover.site.watch.command: good");
    assert_eq!(scratch.live(), "new");
    says(&scratch.segue(&BACK).expect_code(0), "the source serves. It is held");
    says(&apply.wait().expect_code(7), "the source serves: switched back by");
    assert_eq!(scratch.live(), "old");
    assert!(held(&scratch));
    scratch.nothing_is_lost();
}

#[test]
fn that_whoever_asked_is_killed_and_another_asks_too_changes_nothing() {
    let scratch = scratch();
    let mut follow = Running::new(&scratch, &FOLLOW);
    follow.until_it_says("Keeping passes running");
    let epoch_before = epoch(&scratch);
    let mut first = Running::new(&scratch, &BACK);
    first.until_it_says("leads back to the source");
    let _ = first.kill();
    // It is under way, in its pause, or done: each is an answer, and none begins another way back.
    let second = scratch.segue(&BACK);
    assert!(
        ["under way", "is at", "already"].iter().any(|word| second.all().contains(word)),
        "{}",
        second.all()
    );
    wait_until("the source serves", || scratch.live() == "old" && held(&scratch));
    assert_eq!(epoch(&scratch), epoch_before + 1);
    scratch.nothing_is_lost();
    follow.signal(Signal::INT);
    follow.wait();
}

#[test]
fn a_follower_ends_when_nothing_is_left_to_follow() {
    let scratch = scratch();
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
    scratch.edit_spec("live       = \"source\"", "live       = \"source\"\n  finished   = true");
    says(&scratch.segue(&FOLLOW).expect_code(0), "Nothing is left to follow");
}

#[test]
fn that_the_run_dies_on_its_way_back_leaves_the_goal_to_whoever_asked() {
    for said in ["leads back to the source", "cutover.site: DRAINED", "cutover.site: COMMITTED"] {
        let scratch = scratch();
        let mut follow = Running::new(&scratch, &FOLLOW);
        follow.until_it_says("Keeping passes running");
        let mut back = Running::new(&scratch, &BACK);
        back.until_it_says(said);
        let _ = follow.kill();
        back.wait().expect_code(0);
        assert_eq!(scratch.live(), "old", "{said}");
        assert!(held(&scratch), "{said}");
        says(&scratch.segue(&BACK).expect_code(0), "the source serves already");
        scratch.nothing_is_lost();
    }
}
