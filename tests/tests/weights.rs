//! Reads that go over in steps, from the released binary: a route of commands that keeps its weight in a file, gates
//! that are lost meanwhile, and a run that is killed while a step is held.

use rustix::process::Signal;
use segue_tests::{Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart with writers, of which a script is the balancer.
fn balanced(hold: &str, gate: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.executable(
        "lb",
        "case $1 in\nsource) rm -f weight; ln -sfn old live ;;\ntarget) rm -f weight; ln -sfn new live ;;\nweigh) echo \"$2\" >weight; test \"$2\" != 0 || rm weight ;;\nat) test ! -s weight || exec cat weight; case $(readlink live) in old) echo source ;; new) echo target ;; esac ;;\nesac",
    );
    scratch.edit_spec(
        "route \"symlink\" \"site\" {",
        "route \"command\" \"lb\" {\n set_source = [\"./lb\", \"source\"]\n set_target = [\"./lb\", \"target\"]\n observe = [\"./lb\", \"at\"]\n weigh = [\"./lb\", \"weigh\", \"{percent}\"]\n}\nroute \"symlink\" \"site\" {",
    );
    scratch.edit_spec(
        "routes = [route.symlink.site]",
        &format!("routes = [route.command.lb]\n steps = [5, 25, 100]\n hold = {hold:?}"),
    );
    scratch.edit_spec("  quiesce \"command\" {", &format!("{gate}\n  quiesce \"command\" {{"));
    scratch.app(&["start"]).expect_code(0);
    scratch
}

fn weight(scratch: &Scratch) -> Option<String> {
    segue_contract::paths::read_to_string(&scratch.at("weight")).ok().map(|w| w.trim().to_owned())
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

#[test]
fn a_run_killed_while_a_step_is_held_leaves_no_reads_at_the_target_and_is_resumed() {
    let scratch = balanced("1s", "");
    says(
        &scratch.segue(&["plan"]).expect_code(0),
        "send 25 % of the reads to the target through route.command.lb; hold that for 1s",
    );
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("25 % of the reads go to the target");
    assert_eq!(weight(&scratch).as_deref(), Some("25"));
    says(&scratch.segue(&["status"]).expect_code(0), "25 % go to the target");
    assert!(apply.kill());
    wait_until("the watchdog takes the reads back", || weight(&scratch).is_none());
    let resumed = scratch.segue(&APPLY).expect_code(0);
    assert!(!resumed.all().contains("5 % of the reads go to the target\n") || resumed.all().contains("25 %"));
    let history = scratch.segue(&["history"]).expect_code(0).stdout;
    assert_eq!(history.matches("sending 5 % of the reads").count(), 1, "it was held before: {history}");
    assert_eq!(history.matches("sending 25 % of the reads").count(), 2, "{history}");
    assert_eq!(weight(&scratch), None);
    scratch.settled_at("new");
}

#[test]
fn a_stop_takes_the_reads_back_and_the_next_apply_goes_on() {
    let scratch = balanced("10m", "");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("5 % of the reads go to the target");
    apply.signal(Signal::INT);
    apply.wait().expect_code(130);
    assert_eq!(weight(&scratch), None);
    scratch.edit_spec("hold = \"10m\"", "hold = \"100ms\"");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn a_gate_that_is_lost_takes_the_reads_back_holds_and_exits_3() {
    let scratch = balanced(
        "10m",
        "gate \"command\" {\n command = [\"test\", \"!\", \"-e\", \"alarm\"]\n interval = \"100ms\"\n }",
    );
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("5 % of the reads go to the target");
    scratch.write("alarm", "");
    let ended = apply.wait().expect_code(3);
    says(&ended, "cutover.site.gate.command was lost");
    says(&ended, "segue unhold cutover.site");
    assert_eq!((weight(&scratch), scratch.live()), (None, "old".to_owned()));
    scratch.segue(&["report", "--out", "move.html"]).expect_code(0);
    let page = scratch.read("move.html");
    assert!(page.contains("Reads in steps") && page.contains("the reads are taken back, held"), "{page}");
    scratch.segue(&APPLY).expect_code(3);
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

#[test]
fn an_abort_from_another_terminal_takes_the_reads_back() {
    let scratch = balanced("10m", "");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("5 % of the reads go to the target");
    says(&scratch.segue(&["abort"]).expect_code(0), "its reads go back to the source");
    apply.wait().expect_code(5);
    assert_eq!((weight(&scratch), scratch.live()), (None, "old".to_owned()));
}
