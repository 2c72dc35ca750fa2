//! What a spec says of how much goes over at once: steps of reads, units, cutovers, bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use segue_contract::Address;
use segue_language::{Desired, RunLimits, WeightsDecl};

use crate::world::Spec;

fn spec(settings: &str, switch: &str) -> Spec {
    Spec::new(&format!(
        r#"
segue {{
{settings}
}}
source "directory" "old" {{
  path = "old"
}}
target "directory" "new" {{
  path = "new"
}}
route "balancer" "lb" {{}}
route "symlink" "link" {{
  path   = "live"
  source = "old"
  target = "new"
}}
migration "site" {{
  source = source.directory.old
  target = target.directory.new
}}
cutover "site" {{
  live = "target"
  migrations = [migration.site]
  quiesce "manual" {{}}
  switch {{
{switch}
  }}
}}
"#
    ))
}

fn desired(settings: &str, switch: &str) -> Desired {
    let spec = spec(settings, switch);
    assert_eq!(spec.problems(), "");
    spec.load().desired.unwrap()
}

fn weights(switch: &str) -> Option<WeightsDecl> {
    desired("", switch).cutovers[&Address::new("cutover.site")].weights.clone()
}

#[track_caller]
fn refused(settings: &str, switch: &str, wanted: &str) {
    let problems = spec(settings, switch).problems();
    assert!(problems.contains(wanted), "{wanted:?} is not said: {problems}");
}

#[test]
fn steps_are_percents_and_are_held() {
    let routes = "routes = [route.balancer.lb]";
    assert_eq!(weights(routes), None);
    let steps = |more: &str| weights(&format!("{routes}\nsteps = [5, 25, 100]\n{more}")).unwrap();
    assert_eq!(steps("hold = \"2m\""), WeightsDecl { steps: vec![5, 25, 100], hold_ms: 120_000 });
    assert_eq!(steps("").hold_ms, 60_000);
}

#[test]
fn steps_rise_from_1_to_100_and_end_there() {
    for (steps, wanted) in [
        ("[5, 25]", "the last step is 100"),
        ("[]", "the last step is 100"),
        ("[25, 5, 100]", "steps rise, and 5 comes after 25"),
        ("[5, 5, 100]", "steps rise, and 5 comes after 5"),
        ("[0, 100]", "0 is none"),
        ("[50, 101]", "101 is none"),
        ("[5.5, 100]", "a list of whole numbers"),
        ("[\"5\", 100]", "a list of whole numbers"),
        ("100", "a list of whole numbers"),
    ] {
        refused("", &format!("routes = [route.balancer.lb]\nsteps = {steps}"), wanted);
    }
    refused("", "routes = [route.balancer.lb]\nhold = \"2m\"", "`hold` holds steps, and there are none");
}

#[test]
fn a_route_that_cannot_weigh_is_named_with_those_that_can() {
    let spec = spec("", "routes = [route.balancer.lb, route.symlink.link]\nsteps = [5, 100]");
    let problems = spec.problems();
    for wanted in [
        "error SPEC_CANNOT_WEIGH: route.symlink.link cannot send a part of the reads to the target",
        "`[5, 100]` steps of reads",
        "those that can: route.balancer.lb",
    ] {
        assert!(problems.contains(wanted), "{wanted:?} is not said: {problems}");
    }
}

#[test]
fn how_much_happens_at_once_is_said_for_the_whole_run() {
    let routes = "routes = [route.balancer.lb]";
    assert_eq!(desired("", routes).limits, RunLimits { parallelism: 4, cutovers: 1, rate_limit: None });
    let limits = desired("parallelism = 6\ncutovers = 2\nrate_limit = \"100MiB/s\"", routes).limits;
    assert_eq!(limits, RunLimits { parallelism: 6, cutovers: 2, rate_limit: Some(100 << 20) });
    refused("parallelism = 0", routes, "`parallelism` is a number from 1 to 64");
    refused("cutovers = 65", routes, "`cutovers` is a number from 1 to 64");
    refused("rate_limit = \"0B/s\"", routes, "a rate of zero would never end");
}

#[test]
fn a_spec_that_says_nothing_of_it_hashes_as_before() {
    let text = serde_json::to_string(&desired("", "routes = [route.balancer.lb]")).unwrap();
    assert!(!text.contains("limits") && !text.contains("weights"), "{text}");
}
