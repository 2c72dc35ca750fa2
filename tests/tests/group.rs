//! A group of three live trees that switch as one (protocol P20): whichever of them fails, and at whichever
//! stage, all serve from the same side, take writes, and have lost none.

use segue_tests::{Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const TREES: [&str; 3] = ["invoices", "media", "orders"];
/// The second in the order in which they open.
const SECOND: &str = "media";

/// The example, with a writer at each of its trees.
struct Group {
    scratch: Scratch,
}

#[expect(clippy::expect_used, reason = "a test cannot go on without its files")]
impl Group {
    fn new() -> Self {
        let scratch = Scratch::new();
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/group/shop.segue.hcl");
        let spec = segue_contract::paths::read_to_string(example.as_ref()).expect("the example");
        std::fs::remove_file(scratch.at("site.segue.hcl")).expect("removed");
        scratch.write("shop.segue.hcl", &spec);
        for tree in TREES {
            let made = format!("mkdir {tree} && cp app {tree}/ && ./{tree}/app setup && ./{tree}/app start");
            scratch.run("sh", &["-c", &made]).expect_code(0);
        }
        Self { scratch }
    }

    /// Gives a command of the second tree's quiesce another script, in which `$app` is the application.
    fn script(&self, verb: &str, script: &str) {
        let name = format!("{SECOND}-{verb}");
        self.scratch.executable(&name, &format!("app=./{SECOND}/app; {script}"));
        let spec =
            self.spec().replace(&format!("[\"./{SECOND}/app\", \"{verb}\"]"), &format!("[\"./{name}\"]"));
        self.scratch.write("shop.segue.hcl", &spec);
    }

    fn mend(&self) {
        let mut spec = self.spec();
        for verb in ["pause", "resume", "try-write"] {
            spec = spec
                .replace(&format!("[\"./{SECOND}-{verb}\"]"), &format!("[\"./{SECOND}/app\", \"{verb}\"]"));
        }
        self.scratch.write("shop.segue.hcl", &spec);
    }

    fn spec(&self) -> String {
        segue_contract::paths::read_to_string(&self.scratch.at("shop.segue.hcl")).expect("the spec")
    }

    /// Every tree is served from this side, takes writes, and has every acknowledged one.
    #[track_caller]
    fn all_serve(&self, side: &str) {
        for tree in TREES {
            let link = std::fs::read_link(self.scratch.at(tree).join("live")).expect("the link");
            assert_eq!(link.to_str(), Some(side), "{tree}");
            let app = format!("./{tree}/app");
            self.scratch.run(&app, &["try-write"]).expect_code(0);
            self.scratch.run(&app, &["stop"]).expect_code(0);
            let checked = self.scratch.run(&app, &["check"]).expect_code(0);
            assert!(checked.stdout.contains(" 0 lost, 0 doubled, 0 deleted"), "{tree}: {}", checked.all());
            self.scratch.run(&app, &["start"]).expect_code(0);
        }
    }

    /// It ended so, for this reason, with all at the source, held; once mended it goes on to the end.
    #[track_caller]
    fn failed(&self, ran: Ran, code: i32, reason: &str) {
        let ran = ran.expect_code(code);
        assert!(ran.stderr.contains(reason), "{reason:?}: {}", ran.all());
        self.all_serve("old");
        self.scratch.segue(&APPLY).expect_code(3);
        self.mend();
        self.scratch.segue(&["unhold", "cutover.shop"]).expect_code(0);
        self.scratch.segue(&APPLY).expect_code(0);
        self.all_serve("new");
        self.scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for tree in TREES {
            self.scratch.run(&format!("./{tree}/app"), &["stop"]);
        }
    }
}

#[test]
fn three_trees_switch_and_switch_back_as_one() {
    let group = Group::new();
    let ran = group.scratch.segue(&APPLY).expect_code(0);
    assert_eq!(ran.stderr.matches("COMMITTED").count(), 1, "one commit for all: {}", ran.stderr);
    group.all_serve("new");
    group.scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    group.scratch.segue(&["switch-back", "cutover.shop", "--auto-approve"]).expect_code(0);
    group.all_serve("old");
}

#[test]
fn the_second_cannot_be_closed() {
    let group = Group::new();
    group.script("pause", "echo will not pause >&2; exit 1");
    let ran = group.scratch.segue(&APPLY);
    group.failed(ran, 5, "will not pause");
}

#[test]
fn the_second_still_takes_writes() {
    let group = Group::new();
    group.script("pause", "exit 0");
    let ran = group.scratch.segue(&APPLY);
    group.failed(ran, 5, "still takes writes");
}

#[test]
fn the_second_is_written_to_by_somebody_else_at_the_fence() {
    let group = Group::new();
    group.script(
        "pause",
        "$app pause; (while [ ! -e rogue-stop ]; do echo x >>media/old/rogue; sleep 0.005; done) </dev/null >/dev/null 2>&1 &",
    );
    let ran = group.scratch.segue(&APPLY);
    group.scratch.write("rogue-stop", "");
    let ran = ran.expect_code(5);
    assert!(ran.stderr.contains("media") || ran.stderr.contains("held open"), "{}", ran.all());
    group.failed(ran, 5, "aborted");
}

#[test]
fn the_second_cannot_be_caught_up() {
    let group = Group::new();
    group.script(
        "pause",
        "$app pause; [ -e tricked ] || { : >tricked; mv media/new media/away; : >media/new; }",
    );
    let ran = group.scratch.segue(&APPLY).expect_code(5);
    group.scratch.run("sh", &["-c", "rm media/new && mv media/away media/new"]).expect_code(0);
    group.failed(ran, 5, "media");
}

#[test]
fn the_second_opens_by_itself_before_it_is_hardened() {
    let group = Group::new();
    // Quiet for its first probes, then somebody resumes it.
    group.script(
        "try-write",
        "$app try-write || { echo x >>probes; [ \"$(wc -l <probes)\" -lt 2 ] && exit 1; exit 0; }",
    );
    let ran = group.scratch.segue(&APPLY);
    group.failed(ran, 5, "still takes writes");
}

#[test]
fn the_second_says_in_the_pause_that_it_could_not_be_opened() {
    let group = Group::new();
    let scratch = &group.scratch;
    // Ready before the pause, and not any more in it.
    group.script("pause", "$app pause && : >paused");
    scratch.executable(
        "ready",
        "[ \"$SEGUE_SIDE\" = source ] || [ ! -e paused ] || { echo no room there >&2; exit 1; }",
    );
    let probe = format!("[\"./{SECOND}/app\", \"try-write\"]");
    scratch.write(
        "shop.segue.hcl",
        &group.spec().replace(&probe, &format!("{probe}\n    ready = [\"./ready\"]")),
    );
    let ran = scratch.segue(&APPLY).expect_code(5);
    assert!(ran.stderr.contains("no room there") && !ran.stderr.contains("COMMITTED"), "{}", ran.all());
    group.all_serve("old");
    scratch.segue(&["unhold", "cutover.shop"]).expect_code(0);
    // While it says so, nothing is paused any more.
    let again = scratch.segue(&APPLY).expect_code(1);
    assert!(again.stderr.contains("no room there") && !again.stderr.contains("QUIESCING"), "{}", again.all());
    group.mend();
    scratch.run("rm", &["paused"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    group.all_serve("new");
}

#[test]
fn the_second_cannot_be_opened_after_the_first_took_writes() {
    let group = Group::new();
    let spec = group.spec().replace("timeout    = \"30s\"", "timeout    = \"8s\"");
    group.scratch.write("shop.segue.hcl", &spec);
    group.script(
        "resume",
        "[ \"$(readlink media/live)\" = old ] || { echo no room there >&2; exit 1; }; $app resume",
    );
    let ran = group.scratch.segue(&APPLY);
    group.failed(ran, 7, "no room there");
}

#[test]
fn the_second_route_cannot_be_moved_after_the_first_was() {
    let group = Group::new();
    let spec = group.spec().replace("timeout    = \"30s\"", "timeout    = \"8s\"");
    group.scratch.write("shop.segue.hcl", &spec);
    // The link becomes a directory with something in it, in the pause, after the plan looked.
    group.script("pause", "$app pause; rm media/live; mkdir media/live; : >media/live/keep");
    let ran = group.scratch.segue(&APPLY);
    assert!(ran.stderr.contains("media/live"), "the route is named: {}", ran.all());
    let first = std::fs::read_link(group.scratch.at("invoices/live")).expect("the link");
    println!("exit {:?}, the first route leads to {}", ran.code, first.display());
    group.scratch.run("sh", &["-c", "rm -r media/live && ln -s old media/live"]).expect_code(0);
    group.mend();
    if ran.code == Some(1) {
        // Committed: it is completed, and not taken back, once the route can be moved.
        group.scratch.segue(&APPLY).expect_code(0);
        group.all_serve("new");
    } else {
        group.failed(ran, 5, "media/live");
    }
}

#[test]
fn killed_in_the_pause_all_three_take_writes_again_by_themselves() {
    let group = Group::new();
    group.script("pause", "$app pause; : >pausing; sleep 600");
    let apply = Running::new(&group.scratch, &APPLY);
    wait_until("it pauses", || group.scratch.at("pausing").exists());
    apply.kill();
    wait_until("all take writes", || {
        TREES.iter().all(|tree| group.scratch.run(&format!("./{tree}/app"), &["try-write"]).code == Some(0))
    });
    group.mend();
    group.scratch.segue(&APPLY).expect_code(0);
    group.all_serve("new");
}
