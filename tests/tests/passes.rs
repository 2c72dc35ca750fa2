//! Units beside each other: one that is slow, fails or misses a record keeps no other one waiting, and what is missing is
//! told as missing.

#![expect(clippy::expect_used, reason = "a test cannot go on without its set-up")]

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use segue_tests::{Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const FOLLOW: [&str; 3] = ["apply", "--auto-approve", "--follow"];

/// A migration from `NAME` to `NAME-new`, with no cutover.
fn migration(name: &str, load: &str) -> String {
    format!(
        "source \"directory\" \"{name}\" {{\n  path = \"{name}\"\n}}\n\
         target \"directory\" \"{name}\" {{\n  path = \"{name}-new\"\n}}\n\
         migration \"{name}\" {{\n  source = source.directory.{name}\n  target = target.directory.{name}\n  \
         sync {{\n    interval = \"100ms\"\n  }}\n{load}}}\n"
    )
}

fn two(limits: &str, load: &str) -> Scratch {
    let spec = format!("{limits}{}{}", migration("one", load), migration("two", load));
    let scratch = Scratch::of_spec(&spec, &[]);
    scratch.write("one/first", "1");
    scratch.write("two/first", "2");
    scratch
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

#[test]
fn a_unit_at_its_rate_limit_keeps_no_other_one_waiting() {
    let load = "  load {\n    rate_limit = \"4KiB/s\"\n  }\n";
    let scratch = two("segue {\n  parallelism = 2\n}\n", load);
    let mut follow = Running::new(&scratch, &FOLLOW);
    follow.until_it_says("Keeping passes running");
    // At this rate it takes longer than any test waits.
    scratch.write("one/large", &"x".repeat(8 << 20));
    for round in 0..3 {
        scratch.write("two/small", &round.to_string());
        wait_until("the other unit is carried meanwhile", || {
            segue_contract::paths::read_to_string(&scratch.at("two-new/small"))
                .is_ok_and(|is| is == round.to_string())
        });
    }
    assert!(!scratch.at("one-new/large").exists(), "the first unit is still being carried");
    follow.kill();
}

#[test]
fn a_unit_whose_source_vanished_stands_alone_and_goes_on_when_it_is_back() {
    let scratch = two("segue {\n  parallelism = 1\n}\n", "");
    let mut follow = Running::new(&scratch, &FOLLOW);
    follow.until_it_says("Keeping passes running");
    segue_contract::paths::rename(&scratch.at("one"), &scratch.at("away")).expect("renamed");
    follow.until_it_says("tried again in");
    assert!(follow.output().contains("migration.one"), "{}", follow.output());
    scratch.write("two/more", "2");
    wait_until("the other unit goes on", || scratch.at("two-new/more").exists());
    segue_contract::paths::rename(&scratch.at("away"), &scratch.at("one")).expect("renamed");
    scratch.write("one/more", "1");
    wait_until("the unit goes on by itself", || scratch.at("one-new/more").exists());
    follow.signal(Signal::INT);
    follow.wait().expect_code(0);
}

/// A spec whose migration meets a file that cannot be read.
fn with_unreadable(waive: &str) -> Scratch {
    let scratch = Scratch::of_spec(&migration("one", waive), &[]);
    scratch.write("one/good", "1");
    scratch.write("one/bad", "2");
    let mode = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(scratch.at("one/bad"), mode).expect("set");
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), all).expect("set");
    segue_tests::run("chown", &["-R", "nobody", &scratch.path().display().to_string()]);
    scratch
}

#[test]
fn what_was_set_aside_is_missing_until_it_is_carried() {
    let scratch = with_unreadable("");
    let applied = scratch.segue_as_nobody(&APPLY).expect_code(3);
    says(&applied, "1 records were set aside, the first: bad");
    says(&applied, "waive \"SET_ASIDE\"");
    let verified = scratch.segue_as_nobody(&["verify"]).expect_code(8);
    says(&verified, "1 more MISSING, set aside");
    says(&verified, "missing, set aside: bad");
    // Mended at the source, the next apply carries it.
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(scratch.at("one/bad"), mode).expect("set");
    scratch.segue_as_nobody(&APPLY).expect_code(0);
    assert_eq!(scratch.read("one-new/bad"), "2");
    scratch.segue_as_nobody(&["verify"]).expect_code(0);
    // Without a cutover each apply goes on syncing, and then there is nothing to do.
    scratch.segue_as_nobody(&["plan", "--detailed-exitcode"]).expect_code(0);
    scratch.write("one/later", "3");
    scratch.segue_as_nobody(&["plan", "--detailed-exitcode"]).expect_code(2);
    scratch.segue_as_nobody(&APPLY).expect_code(0);
    assert_eq!(scratch.read("one-new/later"), "3");
}

#[test]
fn what_is_waived_by_key_is_listed_with_its_reason_and_changes_no_exit_code() {
    let waive = "  waive \"SET_ASIDE\" {\n    keys = [\"bad\"]\n    reason = \"made anew each night\"\n  }\n";
    let scratch = with_unreadable(waive);
    says(&scratch.segue_as_nobody(&APPLY).expect_code(0), "missing, waived (made anew each night): bad");
    let verified = scratch.segue_as_nobody(&["verify"]).expect_code(0);
    says(&verified, "missing, waived (made anew each night): bad");
    says(&verified, "1 more missing and waived");
}
