//! The lease of a pause on real files: who re-opens the source when the process that pauses dies, hangs, or loses
//! its watchdog, with nobody there to type anything.

use rustix::process::{Pid, Signal, kill_process};
use segue_tests::{Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart that is written to, and whose pause does not end by itself.
fn pausing(scratch: &Scratch) -> Running {
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", "./app pause; : >pausing; sleep 600");
    let apply = Running::new(scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    apply
}

fn takes_writes_by_itself(scratch: &Scratch) {
    wait_until("the source takes writes again", || scratch.app(&["try-write"]).code == Some(0));
    wait_until("it is settled", || scratch.status()["cutovers"][0]["phase"] == "ready");
    assert_eq!(scratch.live(), "old");
}

fn goes_on(scratch: &Scratch) {
    scratch.edit_spec("[\"./slow-pause\"]", "[\"./app\", \"pause\"]");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    scratch.app(&["stop"]).expect_code(0);
}

#[expect(clippy::expect_used, reason = "this is an assertion of tests")]
fn watchdog_of(scratch: &Scratch) -> Pid {
    let state = scratch.state();
    let pid = state["state"]["cutovers"]["cutover.site"]["attempt"]["watchdog"]["pid"]
        .as_i64()
        .expect("a watchdog");
    Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
}

#[test]
fn a_process_that_is_killed_in_the_pause_is_settled_with_nobody_there() {
    let scratch = Scratch::new();
    pausing(&scratch).kill();
    takes_writes_by_itself(&scratch);
    // A death is no reason to hold.
    goes_on(&scratch);
}

#[test]
fn a_process_that_hangs_past_its_lease_is_killed_and_settled() {
    let scratch = Scratch::new();
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"2s\"");
    let mut apply = pausing(&scratch);
    apply.signal(Signal::STOP);
    takes_writes_by_itself(&scratch);
    assert!(!apply.kill(), "it was not killed");
    scratch.edit_spec("timeout    = \"2s\"", "timeout    = \"30s\"");
    goes_on(&scratch);
}

#[test]
fn when_both_are_killed_the_next_command_settles() {
    let scratch = Scratch::new();
    let mut apply = pausing(&scratch);
    apply.signal(Signal::STOP);
    kill_process(watchdog_of(&scratch), Signal::KILL).expect("killed");
    apply.kill();
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("segue abort"), "{}", status.all());
    let told = scratch.segue(&["abort", "cutover.site"]).expect_code(0);
    assert!(told.stderr.contains("settled"), "{}", told.all());
    takes_writes_by_itself(&scratch);
    goes_on(&scratch);
}

#[test]
fn when_the_watchdog_is_dead_and_the_process_hangs_the_next_command_kills_it_and_settles() {
    let scratch = Scratch::new();
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"6s\"");
    let mut apply = pausing(&scratch);
    kill_process(watchdog_of(&scratch), Signal::KILL).expect("killed");
    apply.signal(Signal::STOP);
    scratch.segue(&APPLY).expect_code(6);
    wait_until("the lease is over", || scratch.segue(&["abort", "cutover.site"]).code == Some(0));
    takes_writes_by_itself(&scratch);
    assert!(!apply.kill(), "it was not killed");
}

/// An apply that is committed, and hangs while it starts the writers on the new side.
fn hangs_after_the_commit(scratch: &Scratch) -> Running {
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"6s\"");
    scratch.edit_spec("[\"./app\", \"resume\"]", "[\"./resume\"]");
    scratch.executable(
        "resume",
        "[ -e resuming ] || { : >resuming; while [ ! -e go ]; do sleep 0.01; done; }; ./app resume",
    );
    let mut apply = Running::new(scratch, &APPLY);
    wait_until("it starts the writers", || scratch.at("resuming").exists());
    apply.signal(Signal::STOP);
    apply
}

#[test]
fn a_process_that_hangs_after_the_commit_is_killed_and_its_switch_completed() {
    let scratch = Scratch::new();
    let apply = hangs_after_the_commit(&scratch);
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("the watchdog completes"), "{}", status.all());
    wait_until("the target takes writes", || scratch.app(&["try-write"]).code == Some(0));
    wait_until("it is settled", || scratch.status()["cutovers"][0]["writes"]["state"] == "open");
    assert!(!apply.kill(), "it was not killed");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn without_a_watchdog_the_next_command_completes_what_hangs_after_the_commit() {
    let scratch = Scratch::new();
    let apply = hangs_after_the_commit(&scratch);
    kill_process(watchdog_of(&scratch), Signal::KILL).expect("killed");
    // Within its time it is not a case for settling.
    scratch.segue(&APPLY).expect_code(6);
    wait_until("its time is over", || scratch.segue(&["unhold", "cutover.site"]).code != Some(6));
    scratch.app(&["try-write"]).expect_code(0);
    assert!(!apply.kill(), "it was not killed");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn of_both_that_were_stopped_the_one_that_goes_on_ends_the_other() {
    let scratch = Scratch::new();
    let mut apply = hangs_after_the_commit(&scratch);
    let watchdog = watchdog_of(&scratch);
    kill_process(watchdog, Signal::STOP).expect("stopped");
    apply.signal(Signal::CONT);
    scratch.write("go", "");
    apply.wait().expect_code(0);
    assert!(rustix::process::test_kill_process(watchdog).is_err(), "the watchdog was left stopped");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn a_process_that_hangs_within_its_lease_is_killed_by_hand() {
    let scratch = Scratch::new();
    let mut apply = pausing(&scratch);
    apply.signal(Signal::STOP);
    // Somebody must say so.
    scratch.segue(&["state", "unlock"]).expect_code(1);
    assert!(!apply.ended());
    scratch.segue(&["state", "unlock", "--yes"]).expect_code(0);
    takes_writes_by_itself(&scratch);
    assert!(!apply.kill(), "it was not killed");
    scratch.segue(&["state", "unlock"]).expect_code(0);
    goes_on(&scratch);
}

#[test]
fn without_its_watchdog_no_side_is_hardened() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", "./app pause; : >pausing; while [ ! -e go ]; do sleep 0.01; done");
    let apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    kill_process(watchdog_of(&scratch), Signal::KILL).expect("killed");
    scratch.write("go", "");
    let ended = apply.wait().expect_code(5);
    assert!(ended.stderr.contains("watchdog"), "{}", ended.all());
    scratch.accepts_writes();
    assert_eq!(scratch.live(), "old");
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn a_target_whose_writers_cannot_be_started_has_its_commit_taken_back() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"12s\"");
    // It starts on the source only: what the link says tells which.
    scratch.executable(
        "picky",
        "[ \"$(readlink live)\" = old ] || { echo no room on the new host >&2; exit 1; }; ./app resume",
    );
    scratch.edit_spec("[\"./app\", \"resume\"]", "[\"./picky\"]");
    let ended = scratch.segue(&APPLY).expect_code(5);
    assert!(ended.stderr.contains("no room on the new host"), "{}", ended.all());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
    scratch.segue(&APPLY).expect_code(3);
    scratch.edit_spec("[\"./picky\"]", "[\"./app\", \"resume\"]");
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn nobody_is_left_watching_when_a_run_is_over() {
    let scratch = Scratch::new();
    scratch.segue(&APPLY).expect_code(0);
    let watchdog = watchdog_of(&scratch);
    assert_eq!(rustix::process::test_kill_process(watchdog), Err(rustix::io::Errno::SRCH));
    assert!(std::fs::read_dir(scratch.at(".segue/leases")).expect("the directory").next().is_none());
}
