//! Specs of few lines whose values would fill any memory, and specs of many lines: told at once, once.

use crate::world::{Spec, codes};

/// `l0 = first`, then sixty times `l1 = step(local.l0)`, and outputs.
fn doubling(first: &str, step: impl Fn(&str) -> String, outputs: &str) -> String {
    let lines = (1..=60).map(|i| format!("  l{i} = {}\n", step(&format!("local.l{}", i - 1))));
    format!("locals {{\n  l0 = {first}\n{}}}\n{outputs}", lines.collect::<String>())
}

#[test]
fn doubling_sixty_times_is_told_once_and_where() {
    let outputs = r#"
output "plain" { value = local.l60 }
output "json" { value = jsonencode(local.l60) }
output "text" { value = format("%v", local.l60) }
output "equal" { value = local.l60 == [local.l59, local.l59] }
output "set" { value = toset([local.l60, local.l59]) }
output "distinct" { value = distinct([local.l60, local.l59]) }
output "joined" { value = join(",", flatten(local.l60)) }
"#;
    let spec = Spec::new(&doubling("1", |l| format!("[{l}, {l}]"), outputs));
    insta::assert_snapshot!(spec.problems(), @r#"
    error EXPR_TOO_LARGE: written out, this value would take more than 64 MiB
      main.segue.hcl:23 `[local.l20, local.l20]` it has grown too large here
      help: a value that holds another one twice doubles it: take out what repeats, or leave such data in a file that is migrated
    "#);
    let one = ["EXPR_TOO_LARGE"];
    assert_eq!(codes(&doubling("1", |l| format!("{{ a = {l}, b = {l} }}"), outputs)), one);
    assert_eq!(codes(&doubling("[]", |l| format!("[for x in [1, 2] : {l}]"), outputs)), one);
    assert_eq!(codes(&doubling("\"x\"", |l| format!("\"${{{l}}}${{{l}}}\""), "")), one);
    let base64 = |l: &str| format!("base64encode(base64encode(base64encode({l})))");
    assert_eq!(codes(&doubling("\"x\"", base64, "")), one);
}

#[test]
fn values_just_below_the_limit_are_compared_and_shown() {
    let spec = Spec::new(
        r#"
locals {
  a = [for i in range(1000) : [for j in range(100) : "x"]]
  b = [for i in range(1000) : [for j in range(100) : "x"]]
}
output "equal" { value = local.a == local.b }
"#,
    );
    assert_eq!(spec.load().desired.unwrap().outputs["equal"], true);
}

#[test]
fn loops_in_loops_are_stopped_on_the_way() {
    let x = [
        "[for a in local.n : [for b in local.n : [for c in local.n : local.big]]]",
        "[for a in local.n : { for b in local.n : b => local.big }]",
        "\"%{for a in local.n}%{for b in local.n}${local.big}%{endfor}%{endfor}\"",
    ];
    for x in x {
        let text =
            format!("locals {{\n  n = range(1000)\n  big = format(\"%10000s\", \"x\")\n  x = {x}\n}}\n");
        assert_eq!(codes(&text), ["EXPR_TOO_LARGE"], "{x}");
    }
}

#[test]
fn nesting_without_end_is_told_once() {
    let lines: String = (1..=5_000).map(|i| format!("  l{i} = [local.l{}]\n", i - 1)).collect();
    assert_eq!(codes(&format!("locals {{\n  l0 = 1\n{lines}}}\n")), ["EXPR_TOO_DEEP"]);
}

/// `count` migrations of which each waits for what `needs` says.
fn chain(count: usize, needs: impl Fn(usize) -> String) -> String {
    let mut text = String::from(
        "source \"directory\" \"s\" {\n  path = \"a\"\n}\ntarget \"directory\" \"t\" {\n  path = \"b\"\n}\n",
    );
    for i in 0..count {
        let needs = if i == 0 { "[]".to_owned() } else { needs(i - 1) };
        text.push_str(&format!(
            "migration \"m{i}\" {{\n  source = source.directory.s\n  target = target.directory.t\n  depends_on = {needs}\n}}\n"
        ));
    }
    text
}

#[test]
fn blocks_that_refer_to_each_other_make_no_mountain() {
    let twice = |i: usize| format!("[migration.m{i}, migration.m{i}]");
    let spec = chain(61, twice);
    assert_eq!(codes(&spec), [] as [&str; 0]);
    let spec = format!("{spec}output \"x\" {{ value = jsonencode(migration.m60) }}\n");
    assert_eq!(codes(&spec), ["EXPR_FUNCTION"]);
}

#[test]
fn a_chain_of_five_thousand_blocks_takes_no_stack() {
    let spec = chain(5_000, |i| format!("[migration.m{i}]"));
    assert_eq!(codes(&spec), [] as [&str; 0]);
    let spec = format!("{spec}output \"x\" {{ value = jsonencode(migration.m4999) }}\n");
    assert_eq!(codes(&spec), ["EXPR_FUNCTION"]);
}

/// Thousands of names that are declared nowhere, beside as many that are: each kind of name that is looked up.
#[test]
fn many_unknown_names_beside_many_known_ones_are_told_in_time() {
    let n = 5_000;
    let many = |line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let known = format!("locals {{\n{}}}\n", many(&|i| format!("  known{i} = {i}\n")));
    let wrong = format!("locals {{\n{}}}\n", many(&|i| format!("  x{i} = local.knwon{i}\n")));
    assert_eq!(codes(&format!("{known}{wrong}")).len(), n);
    let tried = format!("locals {{\n{}}}\n", many(&|i| format!("  x{i} = try(local.knwon{i}, 1)\n")));
    assert_eq!(codes(&format!("{known}{tried}")).len(), 0);
    let map = "locals {\n  map = { for i in range(1000) : \"known${i}\" => i }\n}\n";
    let keys = format!("locals {{\n{}}}\n", many(&|i| format!("  x{i} = local.map.knwon{i}\n")));
    assert_eq!(codes(&format!("{map}{keys}")).len(), n);
    let calls = format!("locals {{\n{}}}\n", many(&|i| format!("  x{i} = lenght{i}(1)\n")));
    assert_eq!(codes(&calls).len(), n);

    let declared = many(&|i| format!("variable \"known{i}\" {{\n  default = 1\n}}\n"));
    let mut spec = Spec::new(&declared);
    let file = spec.file("given.hcl", &many(&|i| format!("knwon{i} = 1\n")));
    spec.input.var_files.push(file);
    assert_eq!(spec.load().diagnostics.len(), n);

    let arguments =
        format!("source \"search\" \"s\" {{\n  url = \"u\"\n{}}}\n", many(&|i| format!("  ulr{i} = 1\n")));
    assert_eq!(codes(&arguments).len(), n);
}
