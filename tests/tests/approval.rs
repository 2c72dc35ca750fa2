//! Approvals by people: one who is asked at a terminal and takes their time, and two with accounts of their own.

use segue_tests::{Pane, Ran, Running, Scratch, segue_binary, wait_until};

/// Passes that must complete while nobody has answered.
const PASSES: usize = 4;
/// The lag that passes a second apart keep, with room for a slow machine, in milliseconds.
const LAG_MAX_MS: u64 = 10_000;

/// A quickstart with writers, passes a second apart, and a gate.
fn waits_for(gate: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.edit_spec("  gate \"lag\" {", &format!("  {gate}\n  gate \"lag\" {{"));
    scratch.edit_spec("  verify {", "  sync {\n    interval = \"1s\"\n  }\n  verify {");
    scratch.app(&["start"]).expect_code(0);
    scratch
}

/// `segue apply` in a terminal, at the question whether to approve.
fn asked(scratch: &Scratch) -> Pane {
    let shell = format!("trap : INT; {} apply; echo left $?; exec cat", segue_binary().display());
    let pane = Pane::new(scratch.path(), &shell);
    pane.until_it_shows("Type yes to go on:");
    pane.keys("yes");
    pane.enter();
    pane.until_it_shows("Type approve to go on:");
    pane
}

fn passes(scratch: &Scratch) -> usize {
    scratch.segue(&["history"]).stdout.matches(": pass carried ").count()
}

#[expect(clippy::expect_used, reason = "a test cannot go on without the status")]
fn lag_ms(scratch: &Scratch) -> u64 {
    let status = scratch.segue(&["status", "--json"]).expect_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("status --json prints JSON");
    status["migrations"][0]["lag_ms"].as_u64().expect("a lag")
}

#[expect(clippy::expect_used, reason = "a test cannot go on without the hash")]
fn hash(scratch: &Scratch) -> String {
    let plan = scratch.segue(&["plan", "--json"]).expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("plan --json prints JSON");
    plan["hash"].as_str().expect("a hash").to_owned()
}

#[test]
fn while_somebody_is_asked_passes_go_on_and_the_socket_answers() {
    let scratch = waits_for("gate \"approval\" {}");
    let pane = asked(&scratch);
    let before = passes(&scratch);
    // Half an answer is on the line, and stays there whatever is said meanwhile.
    pane.keys("appr");
    wait_until("passes go on", || passes(&scratch) >= before + PASSES);
    let lag = lag_ms(&scratch);
    assert!(lag < LAG_MAX_MS, "the lag is {lag} ms");
    scratch.segue(&["pause", "--why", "a look first"]).expect_code(0);
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains(": a look first"), "{}", status.stdout);
    scratch.segue(&["resume"]).expect_code(0);
    assert_eq!(scratch.live(), "old");
    pane.keys("ove");
    pane.enter();
    pane.until_it_shows("left 0");
    assert_eq!(scratch.live(), "new");
    let history = scratch.segue(&["history"]).expect_code(0).stdout;
    assert!(history.contains(" approved by root@"), "{history}");
}

#[test]
fn a_signal_ends_a_run_whose_question_nobody_answers() {
    let scratch = waits_for("gate \"approval\" {}");
    let pane = asked(&scratch);
    pane.press("C-c");
    pane.until_it_shows("left 130");
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
}

#[test]
fn an_approval_from_elsewhere_ends_the_question() {
    let scratch = waits_for("gate \"approval\" {}");
    let pane = asked(&scratch);
    scratch.segue(&["approve", &hash(&scratch)]).expect_code(0);
    pane.until_it_shows("left 0");
    assert_eq!(scratch.live(), "new");
}

#[test]
fn who_does_not_type_it_has_not_approved() {
    let scratch = waits_for("gate \"approval\" {}");
    let pane = asked(&scratch);
    pane.keys("yes");
    pane.enter();
    pane.until_it_shows("left 3");
    assert_eq!(scratch.live(), "old");
}

/// Accounts that exist in the tests' own view of `/etc/passwd`, and of what a name service knows, alone.
const ALICE: u32 = 64_101;
const BOB: u32 = 64_102;
const MALLORY: u32 = 64_103;
const TEAM: u32 = 64_100;

/// A machine with alice, bob and mallory, and a state directory that their team may enter.
struct Team {
    scratch: Scratch,
}

impl Team {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test becomes other users: it needs root, setpriv and unshare"
        );
        let scratch =
            waits_for("gate \"approval\" {\n    approvers = [\"alice\", \"bob\"]\n    count     = 2\n  }");
        let people = [("root", 0), ("alice", ALICE), ("bob", BOB), ("mallory", MALLORY)];
        let account = |(name, id): &(&str, u32)| format!("{name}:x:{id}:{id}::/:/bin/sh\n");
        // Bob's account is not in the file: a name service of its own knows him, as LDAP would.
        let (served, listed): (Vec<_>, Vec<_>) = people.iter().partition(|(name, _)| *name == "bob");
        scratch.write("passwd", &listed.into_iter().map(account).collect::<String>());
        scratch.write("served/passwd", &served.into_iter().map(account).collect::<String>());
        scratch.write("nsswitch.conf", "passwd: files extrausers\ngroup: files\n");
        scratch.run("chmod", &["755", "."]).expect_code(0);
        scratch.run("mkdir", &["-m", "700", ".segue"]).expect_code(0);
        scratch.run("chgrp", &[&TEAM.to_string(), ".segue"]).expect_code(0);
        scratch.run("chmod", &["2750", ".segue"]).expect_code(0);
        // A program starts this: everything that runs has the accounts.
        scratch.executable(
            "machine",
            "exec unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind nsswitch.conf /etc/nsswitch.conf \
             && mount --bind served /var/lib/extrausers && exec \"$@\"' sh \"$@\"",
        );
        Self { scratch }
    }

    /// Runs segue as a user, in the team or not.
    fn segue_as(&self, user: u32, team: bool, args: &[&str]) -> Ran {
        let segue = segue_binary().display().to_string();
        let (uid, groups) = (format!("--reuid={user}"), format!("--groups={TEAM}"));
        let groups = if team { groups.as_str() } else { "--clear-groups" };
        let gid = format!("--regid={user}");
        let words = [&["setpriv", &uid, &gid, groups, &segue][..], args].concat();
        self.scratch.run("./machine", &words)
    }
}

#[test]
fn two_people_approve_with_their_own_accounts_and_nobody_else_counts() {
    let team = Team::new();
    let scratch = &team.scratch;
    let segue = segue_binary().display().to_string();
    let words = [&segue, "apply", "--follow", "--auto-approve"];
    let mut apply = Running::program(scratch, "./machine", &words);
    apply.until_it_says("gate.approval: waiting");
    let hash = hash(scratch);
    let approve = ["approve", hash.as_str()];
    let outside = team.segue_as(ALICE, false, &approve).expect_code(1);
    assert!(outside.stderr.contains("is closed to this user"), "{}", outside.all());
    let mallory = team.segue_as(MALLORY, true, &approve).expect_code(1);
    assert!(mallory.stderr.contains("may not approve this plan: alice, bob may"), "{}", mallory.all());
    for _ in 0..2 {
        let alice = team.segue_as(ALICE, true, &approve).expect_code(0);
        assert!(alice.stderr.contains("is approved by alice@"), "{}", alice.all());
    }
    // One of two is not enough, however often.
    apply.until_it_says("so far alice (");
    // The socket is the team's; the journal is its owner's.
    let history = team.segue_as(ALICE, true, &["history"]);
    assert_ne!(history.code, Some(0), "{}", history.all());
    assert_eq!(scratch.live(), "old");
    team.segue_as(BOB, true, &approve).expect_code(0);
    apply.until_it_says("Keeping passes running");
    assert_eq!(scratch.live(), "new");
    let history = scratch.segue(&["history"]).expect_code(0).stdout;
    assert!(history.contains("met: approved by alice (") && history.contains(", bob ("), "{history}");
    let mode = scratch.run("stat", &["-c", "%a %g", ".segue/socket"]).stdout;
    assert_eq!(mode.trim(), format!("660 {TEAM}"));
}
