//! `segue watch` in a real terminal (tmux): what it shows of a run, what its keys do, and that the terminal is given back.

use segue_tests::{Pane, Running, Scratch, segue_binary};

/// Runs `segue watch` in a terminal, and then says how that ended and how the terminal is.
fn watch(scratch: &Scratch, environment: &str) -> Pane {
    let segue = segue_binary();
    let shell = format!(
        "env {environment} {} watch; echo left $?; stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e -icanon; exec cat",
        segue.display()
    );
    Pane::new(scratch.path(), &shell)
}

fn waits_for_approval() -> Scratch {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("  gate \"lag\" {", "  gate \"approval\" {}\n  gate \"lag\" {");
    scratch
}

#[test]
fn a_run_is_watched_paused_throttled_approved_and_left_from_the_screen() {
    let scratch = waits_for_approval();
    let pane = watch(&scratch, "LC_ALL=C.UTF-8");
    pane.until_it_shows("no apply is running: waiting for one");
    pane.keys("p");
    pane.until_it_shows("start one with `segue apply`");
    let mut apply = Running::new(&scratch, &["apply", "--follow", "--auto-approve"]);
    pane.until("the gate waits, with its countdown", |shown| {
        shown.lines().any(|l| l.contains("waits") && l.contains("gate.approval") && l.contains("at most"))
    });
    pane.until_it_shows("apply --follow by ");
    pane.keys("p");
    pane.until_it_shows("! paused by ");
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("paused by "), "{}", status.all());
    pane.keys("p");
    pane.until("it goes on", |shown| !shown.contains("! paused by "));
    pane.keys("t");
    pane.until_it_shows("Bytes a second");
    pane.keys("900KiB/s the shop is slow");
    pane.enter();
    pane.until("who throttled it, and why", |shown| {
        shown.contains("! throttled to 900 KiB/s by ") && shown.contains(": the shop is slow")
    });
    pane.keys("x");
    pane.until_it_shows("Type abort");
    pane.keys("no");
    pane.enter();
    pane.until_it_shows("nothing was done");
    pane.keys("a");
    pane.until_it_shows("Type approve");
    pane.keys("approve");
    pane.enter();
    pane.until_it_shows("cutover.site: the target serves");
    pane.until_it_shows("if you go back now: 0 writes lost");
    assert_eq!(scratch.live(), "new");
    pane.tmux(&["resize-window", "-t", "w", "-x", "50", "-y", "10"]);
    pane.until_it_shows("This terminal has 50 x 10");
    pane.tmux(&["resize-window", "-t", "w", "-x", "100", "-y", "30"]);
    pane.until_it_shows("is approved by");
    pane.keys("q");
    pane.until("the terminal is given back", |shown| {
        shown.contains("left 0") && shown.lines().any(|l| l == "icanon") && !shown.contains("Cutovers")
    });
    assert!(!apply.ended(), "leaving the screen ends nothing: {}", apply.output());
}

#[test]
fn without_unicode_and_colour_every_word_is_still_there_and_a_signal_gives_the_terminal_back() {
    let scratch = waits_for_approval();
    scratch.segue(&["apply", "--auto-approve"]).expect_code(3);
    let pane = watch(&scratch, "LC_ALL=C NO_COLOR=1");
    pane.until_it_shows("cutover.site: the source serves");
    let shown = pane.tmux(&["capture-pane", "-p", "-e", "-t", "w"]);
    assert!(shown.contains("+ Cutovers -"), "{shown}");
    assert!(shown.is_ascii(), "{shown}");
    for colour in 30..38 {
        assert!(!shown.contains(&format!("\u{1b}[{colour}m")), "{shown}");
    }
    let shell = pane.tmux(&["display-message", "-p", "-t", "w", "#{pane_pid}"]);
    scratch.run("pkill", &["-TERM", "-P", shell.trim()]).expect_code(0);
    pane.until("the terminal is given back", |shown| {
        shown.contains("left 0") && shown.lines().any(|l| l == "icanon")
    });
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let scratch = waits_for_approval();
    scratch.segue(&["apply", "--auto-approve"]).expect_code(3);
    let pane = watch(&scratch, "");
    pane.until_it_shows("cutover.site: the source serves");
    let shell = pane.tmux(&["display-message", "-p", "-t", "w", "#{pane_pid}"]);
    let found = scratch.run("pgrep", &["-P", shell.trim()]).expect_code(0);
    let process = std::path::Path::new("/proc").join(found.stdout.trim());
    assert!(process.exists());
    pane.tmux(&["kill-server"]);
    segue_tests::wait_until("nobody watches any more", || !process.exists());
}

#[test]
fn without_a_terminal_watch_says_what_to_use_instead() {
    let scratch = Scratch::new();
    let refused = scratch.segue(&["watch"]).expect_code(1);
    assert!(refused.stderr.contains("segue status --json"), "{}", refused.all());
}
