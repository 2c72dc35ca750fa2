//! Migrations and cutovers that would be in each other's way: told by `validate` where the spec shows it, by the plan where
//! only looking does.

use segue_tests::{Scratch, run};

/// Two trees, each with a cutover and a route of its own; `{}` is what differs.
fn two(first: &str, second: &str, more: &str) -> String {
    let one = |name: &str, paths: &str, more: &str| {
        let (source, target) = paths.split_once(" to ").unwrap_or((paths, paths));
        format!(
            r#"
source "directory" "{name}" {{
  path = "{source}"
}}
target "directory" "{name}" {{
  path = "{target}"
}}
migration "{name}" {{
  source = source.directory.{name}
  target = target.directory.{name}
}}
cutover "{name}" {{
  migrations = [migration.{name}]
  live       = "target"
  quiesce "command" {{
    stop  = ["true"]
    start = ["true"]
    probe = ["false"]
  }}
  fallback {{
    stale_writers = "report"
  }}
{more}
}}
"#
        )
    };
    format!("{}{}", one("one", first, ""), one("two", second, more))
}

const LINKS: &str = r#"
route "symlink" "a" {
  path   = "links/../live"
  source = "a"
  target = "b"
}
route "symlink" "b" {
  path   = "live"
  source = "c"
  target = "d"
}
"#;

fn spec(text: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("site.segue.hcl", text);
    scratch
}

/// `validate` refuses with this code and names both places by their lines.
#[track_caller]
fn refused(text: &str, code: &str, both: [&str; 2]) {
    let ran = spec(text).segue(&["validate"]).expect_code(1);
    let all = ran.all();
    assert!(all.contains(code), "{code} is missing: {all}");
    for word in both {
        assert!(all.contains(word), "{word:?} is missing: {all}");
    }
}

#[test]
fn two_writers_of_one_directory_are_refused_however_its_path_is_written() {
    let both = ["migration.one writes here", "migration.two writes here"];
    refused(&two("a to n", "b to n", ""), "SPEC_TWO_WRITERS", both);
    refused(&two("a to n", "b to x/.././/n/", ""), "SPEC_TWO_WRITERS", both);
    refused(&two("a to n", "b to n/sub", ""), "SPEC_TWO_WRITERS", both);
    spec(&two("a to n", "b to nsub", "")).segue(&["validate"]).expect_code(0);
}

#[test]
fn instances_of_for_each_with_one_target_are_refused() {
    let text = r#"
source "directory" "s" {
  for_each = toset(["a", "b"])
  path     = "old/${each.key}"
}
target "directory" "t" {
  path = "new"
}
migration "m" {
  for_each = toset(["a", "b"])
  source   = source.directory.s[each.key]
  target   = target.directory.t
}
"#;
    refused(text, "SPEC_TWO_WRITERS", ["migration.m[\"a\"] writes here", "migration.m[\"b\"] writes here"]);
}

#[test]
fn a_chain_is_refused_unless_the_second_cutover_depends_on_the_first() {
    let both = ["migration.one writes here", "migration.two reads here"];
    refused(&two("a to b", "b to c", ""), "SPEC_READS_TARGET", both);
    refused(&two("a to b", "b/sub to c", ""), "SPEC_READS_TARGET", both);
    refused(&two("a to b/sub", "b to c", ""), "SPEC_READS_TARGET", both);
    let after = "  depends_on = [cutover.one]";
    spec(&two("a to b", "b to c", after)).segue(&["validate"]).expect_code(0);
    refused(&two("a to b", "b/sub to c", after), "SPEC_READS_TARGET", both);
}

#[test]
fn a_route_and_a_link_belong_to_one_cutover() {
    let switch = |route: &str| format!("  switch {{\n    routes = [route.symlink.{route}]\n  }}\n");
    let text = |first: &str, second: &str| {
        let text = two("a to b", "c to d", &switch(second)) + LINKS;
        text.replacen("  fallback {", &format!("{}  fallback {{", switch(first)), 1)
    };
    refused(&text("a", "a"), "SPEC_ROUTE_TWICE", ["cutover.one", "cutover.two"]);
    refused(&text("a", "b"), "SPEC_ROUTE_TWICE", ["route.symlink.a", "route.symlink.b"]);
}

#[test]
fn indices_of_one_cluster_are_held_apart_by_their_names_at_the_target() {
    let cluster = |second: &str, rename: &str| {
        let one = |name: &str, url: &str, rename: &str| {
            format!(
                r#"
source "elasticsearch" "{name}" {{
  url = "http://{name}:9200"
}}
target "opensearch" "{name}" {{
  url = "{url}"
}}
migration "{name}" {{
  source = source.elasticsearch.{name}
  target = target.opensearch.{name}
  select {{
    include = ["products-{name}", "logs-{name}-*"]
{rename}
  }}
}}
"#
            )
        };
        one("one", "http://new:9200", "") + &one("two", second, rename)
    };
    let same = "HTTP://NEW:9200/";
    spec(&cluster(same, "")).segue(&["validate"]).expect_code(0);
    let rename = "    rename = { \"products-two\" = \"products-one\" }";
    let both = ["migration.one writes here", "migration.two writes here"];
    refused(&cluster(same, rename), "SPEC_TWO_WRITERS", both);
    spec(&cluster("http://other:9200", rename)).segue(&["validate"]).expect_code(0);
}

#[test]
fn one_directory_by_two_paths_is_refused_by_the_plan() {
    let scratch = spec(&two("a to n", "b to alias", ""));
    for name in ["a", "b", "n"] {
        scratch.write(&format!("{name}/.keep"), "");
    }
    run("rm", &[&scratch.at("n/.keep").display().to_string()]);
    std::os::unix::fs::symlink("n", scratch.at("alias")).expect("a link");
    scratch.segue(&["validate"]).expect_code(0);
    let plan = scratch.segue(&["plan"]).expect_code(1);
    assert!(plan.stdout.contains("MIGRATIONS_COLLIDE"), "{}", plan.all());
    assert!(plan.stdout.contains("migration.one and migration.two both write to"), "{}", plan.all());
    scratch.segue(&["apply", "--auto-approve"]).expect_code(1);
}
