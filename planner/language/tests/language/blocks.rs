//! Blocks: `for_each`, references, secrets, settings, size.

use segue_contract::{Address, SecretRef, Setting};

use crate::world::{Spec, codes};

#[test]
fn for_each_makes_an_instance_a_key() {
    let spec = Spec::new(
        r#"
locals {
  sites = { eu = "a", us = "b" }
}
source "directory" "old" {
  for_each = local.sites
  path     = each.value
}
target "directory" "new" {
  for_each = local.sites
  path     = "new-${each.key}"
}
migration "site" {
  for_each = source.directory.old
  source   = each.value
  target   = target.directory.new[each.key]
}
cutover "site" {
  live = "target"
  for_each   = migration.site
  migrations = [each.value]
  quiesce "manual" {}
}
output "paths" {
  value = [for k, s in source.directory.old : "${k}:${s.path}"]
}
output "one" {
  value = migration.site["eu"].source.path
}
"#,
    );
    assert_eq!(spec.problems(), "");
    let desired = spec.load().desired.unwrap();
    assert_eq!(desired.outputs["paths"].to_string(), r#"["eu:a","us:b"]"#);
    assert_eq!(desired.outputs["one"], "a");
    let eu = &desired.migrations[&Address::new("migration.site[\"eu\"]")];
    assert_eq!(eu.source.as_str(), "source.directory.old[\"eu\"]");
    assert_eq!(eu.target.as_str(), "target.directory.new[\"eu\"]");
    assert_eq!(
        desired.cutovers[&Address::new("cutover.site[\"us\"]")].migrations[0].as_str(),
        "migration.site[\"us\"]"
    );
}

#[test]
fn wrong_uses_of_for_each_are_told() {
    let spec = Spec::new(
        r#"
source "directory" "a" {
  for_each = ["x"]
  path     = "p"
}
source "directory" "b" {
  for_each = { (env("OLD_PASSWORD")) = 1 }
  path     = "p"
}
source "directory" "c" {
  for_each = { x = 1, y = 2 }
  path     = each.vlaue
}
source "directory" "d" {
  for_each = { x = "p" }
  path     = each.value
}
target "directory" "t" {
  path = "t"
}
migration "m" {
  source = source.directory.d
  target = source.directory.d["x"]
}
output "o" {
  value = source.directory.d.path
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_BAD_FOR_EACH: for_each takes a map or a set of strings, not a list
      main.segue.hcl:3 `["x"]`
      help: write toset(...)
    error SPEC_BAD_FOR_EACH: for_each cannot go through something sensitive: its keys become part of addresses, which are shown
      main.segue.hcl:7 `{ (env("OLD_PASSWORD")) = 1 }`
      help: use keys that may be shown
    error SPEC_UNKNOWN_REFERENCE: there is no key `vlaue` here
      main.segue.hcl:12 `vlaue`
      help: did you mean `value`?
    error SPEC_WRONG_REFERENCE: `source` names a source, and this is all instances of one with for_each
      main.segue.hcl:22 `source.directory.d`
      help: name one, [each.key] or ["..."], or take all where a list is wanted: values(...)
    error SPEC_WRONG_REFERENCE: `target` names a target, and source.directory.d["x"] is none
      main.segue.hcl:23 `source.directory.d["x"]`
    error SPEC_UNKNOWN_REFERENCE: there is no key `path` here
      main.segue.hcl:26 `path`
      help: this has for_each: name the instance, ["x"]
    "#);
}

#[test]
fn secrets_are_references_and_never_in_the_json() {
    let text = r#"
variable "token" {
  sensitive = true
}
source "search" "a" {
  url      = "u"
  password = env("OLD_PASSWORD")
}
source "search" "b" {
  url      = "u"
  password = "x-${env("OLD_PASSWORD")}"
}
target "search" "c" {
  url      = "u"
  password = var.token
}
output "hidden" {
  value     = var.token
  sensitive = true
}
"#;
    let spec = Spec::new(text).var("token", "t0ken");
    assert_eq!(spec.problems(), "");
    let loaded = spec.load();
    let desired = loaded.desired.unwrap();
    let json = serde_json::to_string(&desired).unwrap();
    assert!(!json.contains("s3cret") && !json.contains("t0ken"), "{json}");
    assert!(!format!("{desired:?} {:?}", loaded.secrets).contains("s3cret"));
    let password = |address: &str| desired.endpoints[&Address::new(address)].config.get("password").cloned();
    assert_eq!(password("source.search.a"), Some(Setting::Secret(SecretRef::Env("OLD_PASSWORD".to_owned()))));
    let Some(Setting::Secret(reference)) = password("source.search.b") else { panic!("not a secret") };
    assert_eq!(loaded.secrets.values[&reference].reveal(), "x-s3cret");
    let Some(Setting::Secret(reference)) = password("target.search.c") else { panic!("not a secret") };
    assert_eq!(loaded.secrets.values[&reference].reveal(), "t0ken");
    assert_eq!(desired.outputs["hidden"], serde_json::Value::Null);
}

#[test]
fn a_secret_does_not_get_out_by_any_door() {
    let spec = Spec::new(
        r#"
variable "token" {
  type      = string
  sensitive = true
  default   = "t0ken"
  validation {
    condition     = var.token == "x"
    error_message = "not ${var.token}"
  }
}
variable "number" {
  type      = number
  sensitive = true
}
locals {
  list = [for c in ["a"] : "${c}${var.token}"]
  pick = { t0ken = 1 }[var.token]
}
source "directory" "a" {
  path = local.list[0]
}
source "search" "b" {
  url  = source.search.c.password
  mode = var.token == "t0ken" ? "fast" : "careful"
}
source "search" "c" {
  url      = "u"
  password = "written down"
}
output "o" {
  value = local.pick
}
output "p" {
  value = { x = [var.token] }
}
"#,
    )
    .var("number", "t0ken");
    let problems = spec.problems();
    let loaded = spec.load();
    assert!(!format!("{:?}", loaded.diagnostics).contains("t0ken"), "{problems}");
    insta::assert_snapshot!(problems, @r#"
    error SPEC_INVALID_VARIABLE: variable `token`: the value is not valid
      main.segue.hcl:2 `variable "token"`
      main.segue.hcl:7 `var.token == "x"` this condition is not met
    error SPEC_WRONG_TYPE: --var number does not fit variable `number` of type number: wanted number, found a string that is not a number
      main.segue.hcl:11 `variable "number"`
    error SPEC_SENSITIVE_VALUE: `path` is shown and stored, and this value is sensitive
      main.segue.hcl:20 `local.list[0]` a sensitive value
      help: give it to an argument that is kept secret, or let the command read it from its own environment
    error SPEC_SENSITIVE_VALUE: `url` is shown and stored, and this value is sensitive
      main.segue.hcl:23 `source.search.c.password` a sensitive value
      help: give it to an argument that is kept secret, or let the command read it from its own environment
    error SPEC_SENSITIVE_VALUE: `mode` is shown and stored, and this value is sensitive
      main.segue.hcl:24 `var.token == "t0ken" ? "fast" : "careful"` a sensitive value
      help: give it to an argument that is kept secret, or let the command read it from its own environment
    warning SPEC_LITERAL_SECRET: `password` of `source "search"` is a secret, and its value stands in the spec
      main.segue.hcl:28 `"************"` a literal value, not shown here
      help: write password = env("NAME") and set NAME where Segue runs, or use a variable with sensitive = true; then change the secret: whoever could read the spec knows it
    error SPEC_SENSITIVE_VALUE: output `o` would show something sensitive
      main.segue.hcl:31 `local.pick` a sensitive value
      help: add sensitive = true to the output, or leave the secret out
    error SPEC_SENSITIVE_VALUE: output `p` would show something sensitive
      main.segue.hcl:34 `{ x = [var.token] }` a sensitive value
      help: add sensitive = true to the output, or leave the secret out
    "#);
}

#[test]
fn defaults_and_units_are_decoded() {
    let spec = Spec::new(
        r#"
segue {
  required_version = ">= 0.1"
  backend "local" {
    path = "state"
  }
}
source "search" "a" {
  url   = "u"
  batch = "2KiB"
}
target "search" "b" {
  url  = "u"
  mode = null
}
migration "m" {
  source = source.search.a
  target = target.search.b
  load {
    parallelism = 8
    rate_limit  = "50MiB/s"
  }
}
output "batch" {
  value = [source.search.a.batch, target.search.b.batch, target.search.b.mode]
}
"#,
    );
    assert_eq!(spec.problems(), "");
    let desired = spec.load().desired.unwrap();
    assert_eq!(desired.state_dir, spec.dir.path().join("state"));
    assert_eq!(desired.endpoints[&Address::new("source.search.a")].number("batch").unwrap(), Some(2048));
    assert_eq!(desired.endpoints[&Address::new("target.search.b")].number("batch").unwrap(), Some(1_048_576));
    let load = desired.migrations[&Address::new("migration.m")].load.clone();
    assert_eq!((load.parallelism, load.rate_limit), (8, Some(50 << 20)));
    assert_eq!(desired.outputs["batch"].to_string(), r#"["2KiB",1048576,null]"#);
}

#[test]
fn the_same_spec_gives_the_same_json_whatever_the_order_of_its_files() {
    let one = Spec::new("source \"directory\" \"a\" { path = local.p }\nlocals {\n p = \"x\"\n}\n");
    let two = Spec::new("locals {\n p = \"x\"\n}\n");
    two.file("a.segue.hcl", "source \"directory\" \"a\" { path = local.p }\n");
    two.file(".hidden.segue.hcl", "nonsense");
    let json = |spec: &Spec| {
        let text = serde_json::to_string(&spec.load().desired.unwrap()).unwrap();
        text.replace(&spec.dir.path().display().to_string(), "")
    };
    assert_eq!(json(&one), json(&two));
}

#[test]
fn versions_that_are_not_allowed_are_refused() {
    assert_eq!(codes("segue {\n required_version = \">= 99\"\n}"), ["SPEC_VERSION"]);
    assert_eq!(codes("segue {\n required_version = \"new\"\n}"), ["SPEC_BAD_VALUE"]);
    assert_eq!(codes("segue {\n backend \"s3\" {}\n}"), ["SPEC_UNKNOWN_TYPE"]);
}

#[test]
fn thousands_of_blocks_load() {
    let mut text = String::from("locals {\n v0 = \"p\"\n");
    for i in 1..3_000 {
        text.push_str(&format!(" v{i} = local.v{}\n", i - 1));
    }
    text.push_str("}\n");
    for i in 0..1_000 {
        text.push_str(&format!(
            "source \"directory\" \"s{i}\" {{\n path = local.v{i}\n}}\ntarget \"directory\" \"t{i}\" {{\n path = \"t{i}\"\n}}\nmigration \"m{i}\" {{\n source = source.directory.s{i}\n target = target.directory.t{i}\n}}\n"
        ));
    }
    let loaded = Spec::new(&text).load();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.desired.unwrap().migrations.len(), 1_000);
}

#[test]
fn a_literal_secret_is_warned_about_and_never_shown() {
    let spec = Spec::new(
        r#"
source "search" "old" {
  url      = "http://old"
  password = "hünter2"
}
target "search" "new" {
  url      = "http://new"
  password = ("${"hunter3"}")
}
target "search" "other" {
  url      = "http://new"
  password = <<-EOT
    hunter4
  EOT
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    warning SPEC_LITERAL_SECRET: `password` of `source "search"` is a secret, and its value stands in the spec
      main.segue.hcl:4 `"********"` a literal value, not shown here
      help: write password = env("NAME") and set NAME where Segue runs, or use a variable with sensitive = true; then change the secret: whoever could read the spec knows it
    warning SPEC_LITERAL_SECRET: `password` of `target "search"` is a secret, and its value stands in the spec
      main.segue.hcl:8 `****************` a literal value, not shown here
      help: write password = env("NAME") and set NAME where Segue runs, or use a variable with sensitive = true; then change the secret: whoever could read the spec knows it
    warning SPEC_LITERAL_SECRET: `password` of `target "search"` is a secret, and its value stands in the spec
      main.segue.hcl:12 `******⏎***********⏎*****` a literal value, not shown here
      help: write password = env("NAME") and set NAME where Segue runs, or use a variable with sensitive = true; then change the secret: whoever could read the spec knows it
    "#);
    let loaded = spec.load();
    let shown = format!("{:?} {:?}", loaded.diagnostics, loaded.sources);
    assert!(!shown.contains("nter2") && !shown.contains("hunter4"), "{shown}");
    assert!(loaded.desired.is_some());
}

#[test]
fn secrets_that_the_spec_does_not_hold_are_not_warned_about() {
    let block = |password: &str| {
        format!(
            "variable \"pw\" {{\n  sensitive = true\n  default = \"x\"\n}}\nsource \"search\" \"a\" {{\n  url = \"u\"\n  password = {password}\n}}\n"
        )
    };
    for password in ["env(\"OLD_PASSWORD\")", "var.pw", "\"a-${var.pw}\"", "\"\"", "null"] {
        assert_eq!(codes(&block(password)), [] as [&str; 0], "{password}");
    }
    assert_eq!(codes(&block("true ? \"a\" : null")), ["SPEC_LITERAL_SECRET"]);
}

#[test]
fn a_string_stands_for_a_list_of_one_where_the_schema_says_so() {
    let hosts = |value: &str| {
        let spec = Spec::new(&format!("route \"balancer\" \"lb\" {{\n  hosts = {value}\n}}\n"));
        let desired = spec.load().desired.unwrap_or_else(|| panic!("{}", spec.problems()));
        desired.routes[&Address::new("route.balancer.lb")].block.words("hosts").unwrap()
    };
    assert_eq!(hosts("\"a\""), Some(vec!["a".to_owned()]));
    assert_eq!(hosts("[\"a\", \"b\"]"), Some(vec!["a".to_owned(), "b".to_owned()]));
    let wrong = Spec::new("route \"balancer\" \"lb\" {\n  hosts = 7\n}\n");
    assert!(wrong.problems().contains("a string or a list of strings"), "{}", wrong.problems());
}
