//! Gates and watches: what they take, what can be known of a condition before anything runs, and what the plan's hash
//! rests on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use segue_contract::{Address, SecretRef, Setting, VerifyLevel};
use segue_language::{CutoverDecl, Day, GateCondition, GateDecl};

use crate::world::Spec;

/// A spec around the body of a cutover.
fn spec(inside: &str) -> Spec {
    spec_with("", inside)
}

fn spec_with(before: &str, inside: &str) -> Spec {
    Spec::new(&format!(
        r#"
{before}
source "directory" "old" {{
  path = "old"
}}
target "directory" "new" {{
  path = "new"
}}
migration "site" {{
  source = source.directory.old
  target = target.directory.new
}}
cutover "site" {{
  live = "target"
  migrations = [migration.site]
  quiesce "manual" {{}}
{inside}
}}
"#
    ))
}

fn cutover(spec: &Spec) -> CutoverDecl {
    assert_eq!(spec.problems(), "");
    spec.load().desired.unwrap().cutovers[&Address::new("cutover.site")].clone()
}

fn gate(spec: &Spec) -> GateDecl {
    cutover(spec).gates[0].clone()
}

/// The codes of what is wrong, and the texts.
#[track_caller]
fn refused(inside: &str, wanted: &str) {
    let spec = spec(inside);
    let problems = spec.problems();
    assert!(problems.contains(wanted), "{wanted:?} is not said: {problems}");
}

#[test]
fn a_window_is_days_times_and_a_zone() {
    let found = gate(&spec(
        r#"gate "window" {
          days       = ["mon-wed", "sun"]
          from       = "22:00"
          to         = "04:30"
          zone       = "Europe/Berlin"
          not_before = "2026-12-01T22:00:00+01:00"
          wait       = "2d"
        }"#,
    ));
    let GateCondition::Window(window) = found.condition else { panic!("{found:?}") };
    assert_eq!(window.days, [Day::Mon, Day::Tue, Day::Wed, Day::Sun]);
    assert_eq!((window.from_min, window.to_min), (1320, 270));
    assert_eq!(window.not_before_ms, Some(1_796_158_800_000));
    assert_eq!(found.timeout_ms, 172_800_000);
    let all = gate(&spec(r#"gate "window" {}"#));
    let GateCondition::Window(all) = all.condition else { panic!("{all:?}") };
    assert_eq!((all.from_min, all.to_min, all.days.len(), all.zone.as_str()), (0, 1440, 7, "UTC"));
}

#[test]
fn what_is_no_window_is_told_with_what_to_write() {
    refused(r#"gate "window" { zone = "Europe/Berln" }"#, "did you mean \"Europe/Berlin\"?");
    refused(r#"gate "window" { days = ["monday"] }"#, "\"monday\" is no day");
    refused(r#"gate "window" { days = [] }"#, "names no day");
    refused(r#"gate "window" { from = "10" }"#, "`from` is no time of day");
    refused(
        r#"gate "window" {
          from = "10:00"
          to   = "10:00"
        }"#,
        "closes when it opens",
    );
    refused(r#"gate "window" { not_before = "2026-12-01" }"#, "`not_before` is no time");
    refused(
        r#"gate "window" {
          not_before = "2026-12-01T00:00:00Z"
          not_after  = "2026-11-01T00:00:00Z"
        }"#,
        "the window never opens",
    );
}

#[test]
fn approvers_are_people_and_enough_of_them() {
    let found = gate(&spec(
        r#"gate "approval" {
          approvers = ["bob", "alice", "bob"]
          count     = 2
        }"#,
    ));
    let wanted = GateCondition::Approval { approvers: vec!["alice".to_owned(), "bob".to_owned()], count: 2 };
    assert_eq!(found.condition, wanted);
    assert_eq!(
        gate(&spec(r#"gate "approval" {}"#)).condition,
        GateCondition::Approval { approvers: Vec::new(), count: 1 }
    );
    refused(r#"gate "approval" { count = 0 }"#, "`count` is between");
    refused(r#"gate "approval" { approvers = [] }"#, "names nobody");
    refused(
        r#"gate "approval" {
          approvers = ["alice", "alice"]
          count     = 2
        }"#,
        "only 1 people may give one",
    );
}

#[test]
fn a_verification_may_be_of_some_migrations_and_as_they_verify() {
    let found = gate(&spec(
        r#"gate "verified" {
          level      = "sampled"
          max_age    = "2h"
          migrations = [migration.site]
        }"#,
    ));
    let migrations = vec![Address::new("migration.site")];
    let (level, max_age_ms) = (Some(VerifyLevel::Sampled), Some(7_200_000));
    assert_eq!(found.condition, GateCondition::Verified { level, max_age_ms, migrations });
    let other = r#"
migration "other" {
  source = source.directory.old
  target = target.directory.new
}"#;
    let spec = spec_with(other, r#"gate "verified" { migrations = [migration.other] }"#);
    assert!(spec.problems().contains("migration.other is no migration of cutover.site"));
}

#[test]
fn several_gates_of_a_type_have_addresses_of_their_own_where_that_makes_sense() {
    let found = cutover(&spec(
        r#"
gate "window" {}
gate "ask" { url = "a" }
gate "window" { zone = "Europe/Berlin" }
"#,
    ));
    let addresses: Vec<&str> = found.gates.iter().map(|g| g.address.as_str()).collect();
    assert_eq!(
        addresses,
        ["cutover.site.gate.window", "cutover.site.gate.ask", "cutover.site.gate.window_2"]
    );
    refused("gate \"approval\" {}\ngate \"approval\" {}", "two gates \"approval\"");
}

#[test]
fn gates_and_watches_of_providers_are_typed_and_keep_their_secrets_by_reference() {
    let spec = spec(
        r#"
gate "ask" {
  url      = "a"
  token    = env("OLD_PASSWORD")
  interval = "2s"
}
watch "ask" {
  url        = "b"
  for        = "30m"
  failures   = 5
  on_failure = "switch_back"
}
"#,
    );
    let found = cutover(&spec);
    let GateCondition::Probe { block, interval_ms } = &found.gates[0].condition else { panic!("{found:?}") };
    assert_eq!((*interval_ms, block.number("timeout").unwrap()), (2_000, Some(10_000)));
    let token = Setting::Secret(SecretRef::Env("OLD_PASSWORD".to_owned()));
    assert_eq!(block.config.get("token"), Some(&token));
    assert!(
        block.config.get("interval").is_none() && block.config.get("wait").is_none(),
        "not the provider's"
    );
    let watch = &found.watches[0];
    assert_eq!(watch.block.address.as_str(), "cutover.site.watch.ask");
    assert_eq!(
        (watch.for_ms, watch.interval_ms, watch.failures, watch.switch_back),
        (1_800_000, 5_000, 5, true)
    );
}

#[test]
fn wrong_words_in_gates_and_watches_are_told() {
    refused(r#"gate "ask" { ulr = "a" }"#, "did you mean `url`?");
    refused(r#"gate "asks" {}"#, "did you mean `ask`?");
    refused(r#"watch "ask" { url = "a" }"#, "needs `for`");
    refused(
        r#"watch "ask" {
          url        = "a"
          for        = "1m"
          on_failure = "switchback"
        }"#,
        "did you mean \"switch_back\"?",
    );
    refused(
        r#"watch "ask" {
          url      = "a"
          for      = "10s"
          interval = "5s"
          failures = 4
        }"#,
        "`for` is over before so many looks could fail",
    );
}

const LIMIT: &str = r#"
variable "limit" {
  type    = number
  default = 5000
}
variable "secret" {
  sensitive = true
  default   = "hunter2"
}
locals {
  limits = { lag = var.limit, other = "x" }
}"#;

fn condition(text: &str) -> Spec {
    spec_with(LIMIT, &format!("gate \"check\" {{ condition = {text} }}"))
}

#[test]
fn a_condition_is_kept_with_the_values_that_it_names_and_changes_with_them() {
    let text = r#"observed.units["migration.site"]["tree"].lag_ms < local.limits.lag && source.directory.old.path != """#;
    let of = |spec: &Spec| match gate(spec).condition {
        GateCondition::Check { condition, .. } => condition,
        other => panic!("{other:?}"),
    };
    let spec = condition(text);
    let found = of(&spec);
    assert_eq!(found.text, text);
    let names: Vec<&str> = found.known.keys().map(String::as_str).collect();
    assert_eq!(names, ["local.limits.lag", "source.directory.old.path"], "and nothing of the rest");
    assert_eq!(found.known["local.limits.lag"], 5000);
    assert_eq!(of(&condition(text).var("limit", "7")).known["local.limits.lag"], 7);
}

#[test]
fn what_can_be_known_of_a_condition_before_anything_runs_is_told() {
    let told = |text: &str, wanted: &str| {
        let problems = condition(text).problems();
        assert!(problems.contains(wanted), "{text}: {wanted:?} is not said: {problems}");
    };
    told("observed.unit", "did you mean `units`?");
    told(r#"observed.units["migration.sit"]["tree"].records > 0"#, "migration.sit");
    told("observed.forecast_ms < local.limit.lag", "did you mean `limits`?");
    told("1 + 1", "a condition is true or false");
    told(r#"env("OLD_PASSWORD") == "x""#, "cannot stand in a condition");
    told(r#"observed.forecast_ms < 5 && file("x") == """#, "cannot stand in a condition");
    assert_eq!(condition("observed.now != \"\" || can(observed.units)").problems(), "");
}

#[test]
fn nothing_sensitive_gets_into_a_condition() {
    for text in [
        "var.secret == \"a\"",
        "observed.now != var.secret",
        "observed.now != \"${var.secret}\"",
        "length([for s in [var.secret] : s if s == observed.now]) == 0",
    ] {
        let spec = condition(text);
        let loaded = spec.load();
        let codes: Vec<&str> = loaded.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, ["SPEC_SENSITIVE_VALUE"], "{text}");
        assert!(loaded.desired.is_none());
        assert!(!spec.problems().contains("hunter2"), "{text}");
    }
}
