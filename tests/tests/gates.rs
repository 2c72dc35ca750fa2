//! Gates from the released binary on real files: what a cutover waits for, what it says while it waits, who may
//! approve, and what stays in the journal.

use segue_tests::{Ran, Running, Scratch};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart with writers, and more in its cutover.
fn with(inside: &str) -> Scratch {
    let scratch = Scratch::new();
    add(&scratch, inside);
    scratch.app(&["start"]).expect_code(0);
    scratch
}

fn add(scratch: &Scratch, inside: &str) {
    scratch.add_to_cutover(inside);
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// What the journal says of gates.
fn recorded(scratch: &Scratch) -> String {
    let history = scratch.segue(&["history"]).expect_code(0);
    history.stdout.lines().filter(|l| l.contains(".gate.")).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::expect_used, reason = "a test cannot go on without the hash")]
fn hash(scratch: &Scratch) -> String {
    let plan = scratch.segue(&["plan", "--json"]).expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("plan --json prints JSON");
    plan["hash"].as_str().expect("a hash").to_owned()
}

#[test]
fn an_approval_is_of_the_hash_and_the_journal_says_by_whom() {
    let scratch = with("gate \"approval\" {}");
    let waits = scratch.segue(&APPLY).expect_code(3);
    let hash = hash(&scratch);
    says(&waits, &format!("segue approve {hash}"));
    assert_eq!(scratch.live(), "old");
    scratch.segue(&["approve", &hash]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    let recorded = recorded(&scratch);
    assert!(recorded.contains("cutover.site.gate.approval: waits: plan"), "{recorded}");
    assert!(recorded.contains("cutover.site.gate.approval: met: approved by root ("), "{recorded}");
}

#[test]
fn who_is_not_an_approver_is_refused_and_does_not_count() {
    let scratch = with("gate \"approval\" {\n approvers = [\"alice\", \"bob\"]\n count = 2\n }");
    says(&scratch.segue(&["plan"]).expect_code(0), "2 of alice, bob approve this plan's hash");
    let refused = scratch.segue(&["approve", &hash(&scratch)]).expect_code(1);
    says(&refused, "may not approve: the spec's gate \"approval\" names alice, bob");
    says(&scratch.segue(&APPLY).expect_code(3), "is not approved by 2 of alice, bob");
    assert_eq!(scratch.live(), "old");
}

#[test]
fn one_person_is_not_two_however_often() {
    let scratch = with("gate \"approval\" {\n count = 2\n }");
    let hash = hash(&scratch);
    scratch.segue(&["approve", &hash]).expect_code(0);
    scratch.segue(&["approve", &hash]).expect_code(0);
    says(&scratch.segue(&APPLY).expect_code(3), "so far root");
}

#[test]
fn an_apply_that_waits_is_approved_from_another_terminal() {
    let scratch = with("gate \"approval\" {}");
    let mut apply = Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    apply.until_it_says("gate.approval: waiting");
    scratch.segue(&["approve", &hash(&scratch)]).expect_code(0);
    apply.until_it_says("Keeping passes running");
    assert_eq!(scratch.live(), "new");
    apply.kill();
    scratch.settled_at("new");
}

#[test]
fn an_apply_that_waits_refuses_who_is_not_an_approver() {
    let scratch = with("gate \"approval\" {\n approvers = [\"alice\"]\n }");
    let mut apply = Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    apply.until_it_says("gate.approval: waiting");
    let refused = scratch.segue(&["approve", &hash(&scratch)]).expect_code(1);
    says(&refused, "may not approve this plan: alice may");
    apply.signal(rustix::process::Signal::INT);
    apply.wait().expect_code(130);
    assert_eq!(scratch.live(), "old");
}

#[test]
fn a_window_that_opens_later_than_anybody_waits_ends_the_run_and_says_when() {
    let later =
        "gate \"window\" {\n not_before = \"2999-01-01T22:00:00+01:00\"\n zone = \"Europe/Berlin\"\n }";
    let scratch = with(later);
    says(&scratch.segue(&["plan"]).expect_code(0), "opens Tue 2999-01-01 22:00 CET (UTC+01:00)");
    says(&scratch.segue(&APPLY).expect_code(3), "is closed, it opens Tue 2999-01-01 22:00 CET (UTC+01:00)");
    scratch.edit_spec("2999-01-01T22:00:00+01:00", "2020-01-01T22:00:00+01:00");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    assert!(recorded(&scratch).contains("cutover.site.gate.window: met: any time"), "{}", recorded(&scratch));
}

#[test]
fn a_window_that_never_opens_again_refuses_the_plan() {
    let scratch = with("gate \"window\" {\n not_after = \"2020-01-01T22:00:00+01:00\"\n }");
    says(&scratch.segue(&["plan"]).expect_code(1), "WINDOW_OVER");
}

#[test]
fn a_command_is_asked_until_it_says_yes_while_passes_go_on() {
    let ask = "gate \"command\" {\n command = [\"./go\"]\n interval = \"200ms\"\n }";
    let scratch = with(ask);
    scratch.executable("go", "test -e var/go && exit 0; echo 7 jobs left; exit 1");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("cutover.site.gate.command: waiting: exit 1: 7 jobs left");
    assert_eq!(scratch.live(), "old");
    scratch.write("var/go", "");
    apply.wait().expect_code(0);
    scratch.settled_at("new");
    let recorded = recorded(&scratch);
    assert!(recorded.contains("cutover.site.gate.command: waits: exit 1: 7 jobs left"), "{recorded}");
    assert!(recorded.contains("cutover.site.gate.command: met: exit 0"), "{recorded}");
}

#[test]
fn a_gate_waits_no_longer_than_it_may() {
    let scratch =
        with("gate \"command\" {\n command = [\"false\"]\n interval = \"200ms\"\n wait = \"1s\"\n }");
    let waits = scratch.segue(&APPLY).expect_code(3);
    says(&waits, "cutover.site.gate.command: exit 1");
    scratch.accepts_writes();
    assert_eq!(scratch.live(), "old");
}

#[test]
fn what_cannot_be_asked_refuses_the_plan() {
    let scratch = with("gate \"command\" {\n command = [\"./not-there\"]\n }");
    says(&scratch.segue(&["plan"]).expect_code(1), "not-there");
}

#[test]
fn a_check_looks_at_what_is_observed_and_says_by_what_it_was_met() {
    let scratch = with(
        r#"gate "check" {
    condition = observed.units["migration.site"]["tree"].records > local.least && observed.forecast_ms < duration("1m")
    message   = "the tree is too small"
    wait      = "1s"
  }"#,
    );
    scratch.edit_spec("migration \"site\" {", "locals {\n  least = 1000000\n}\nmigration \"site\" {");
    let small = scratch.segue(&APPLY).expect_code(3);
    says(&small, "the tree is too small: ");
    says(&small, "does not hold (observed.units[\"migration.site\"][\"tree\"].records = ");
    let before = hash(&scratch);
    scratch.edit_spec("least = 1000000", "least = 1");
    assert_ne!(hash(&scratch), before, "what the condition refers to is part of the plan");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
    assert!(recorded(&scratch).contains("observed.forecast_ms = "), "{}", recorded(&scratch));
}

#[test]
fn a_check_of_what_is_not_there_refuses_the_plan() {
    let scratch =
        with(r#"gate "check" { condition = observed.units["migration.site"]["trees"].records > 1 }"#);
    says(&scratch.segue(&["plan"]).expect_code(1), "CHECK_WRONG");
}

#[test]
fn a_verification_that_is_not_close_enough_is_made_again_before_the_pause() {
    let scratch = with("gate \"verified\" {\n level = \"full\"\n max_age = \"1h\"\n }");
    scratch.edit_spec("level = \"full\"\n  }\n}", "level = \"count\"\n  }\n}");
    says(&scratch.segue(&["plan"]).expect_code(0), "verifies only count");
    let applied = scratch.segue(&APPLY).expect_code(0);
    says(&applied, "was verified count, and full is wanted");
    scratch.settled_at("new");
    let recorded = recorded(&scratch);
    assert!(recorded.contains("verified full"), "{recorded}");
}

#[test]
fn the_predicted_pause_is_printed_term_by_term() {
    let scratch = with("gate \"downtime\" {\n max = \"1ms\"\n wait = \"1s\"\n }");
    let waits = scratch.segue(&APPLY).expect_code(3);
    says(&waits, "at most 1 ms are allowed: quiesce and drain ");
    says(&waits, " + fence ");
    scratch.accepts_writes();
}

#[test]
fn a_pause_of_which_a_part_was_never_measured_is_not_predicted() {
    let scratch = with("gate \"downtime\" {\n max = \"10s\"\n }");
    let waits = scratch.segue(&APPLY).expect_code(3);
    says(&waits, "nobody measured quiesce and drain, route, open");
    says(&waits, "segue rehearse --quiesce");
    assert_eq!(scratch.live(), "old");
    // A rehearsal stops the writers and starts them again; it points no route.
    scratch.segue(&["rehearse", "--quiesce"]).expect_code(0);
    let waits = scratch.segue(&APPLY).expect_code(3);
    says(&waits, "nobody measured route: ");
    scratch.edit_spec("max = \"10s\"", "max = \"10s\"\n assume = { route = \"1s\", drain = \"9s\" }");
    let planned = scratch.segue(&["plan"]).expect_code(0);
    says(&planned, "assumed by the spec");
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "new");
    // The switch has measured it: nothing is assumed on the way back.
    scratch.edit_spec("assume = { route = \"1s\", drain = \"9s\" }", "");
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "old");
}

#[test]
fn what_is_assumed_is_a_term_and_a_duration() {
    let scratch = with("gate \"downtime\" {\n max = \"10s\"\n assume = { routes = \"1s\" }\n }");
    let wrong = scratch.segue(&["validate"]).expect_code(1);
    says(&wrong, "\"routes\" is no term of the predicted pause");
    says(&wrong, "its terms are drain, fence, catch_up");
    scratch.edit_spec("routes = \"1s\"", "route = \"soon\"");
    let wrong = scratch.segue(&["validate"]).expect_code(1);
    says(&wrong, "`assume` of route: ");
}

#[test]
fn that_passes_do_not_converge_is_said_while_a_gate_waits_for_them() {
    let scratch = with("gate \"downtime\" {\n max = \"1ms\"\n wait = \"2m\"\n }");
    scratch
        .edit_spec("migration \"site\" {", "migration \"site\" {\n  sync {\n    interval = \"300ms\"\n  }");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("migration.site.unit[\"tree\"].sync will not converge: ");
    apply.until_it_says("records a second change");
    assert_eq!(scratch.live(), "old");
    apply.signal(rustix::process::Signal::INT);
    apply.wait().expect_code(130);
    scratch.accepts_writes();
}
