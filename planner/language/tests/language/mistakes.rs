//! Every mistake of a spec is told at once, at its place, with what to do.

use crate::world::{Spec, codes};

#[test]
fn ten_mistakes_are_ten_diagnostics() {
    let spec = Spec::new(
        r#"
source "directory" "old" {
  pth = "old"
}
target "directroy" "new" {
  path = "new"
}
target "directory" "other" {
  path = 5
}
rute "symlink" "site" {
}
locals {
  a = local.b
  b = local.a
  c = var.nmae
  d = lenght("x")
}
variable "name" {
  default = "x"
}
migration "site" {
  source = source.directory.olf
  target = target.directory.new
  verify {
    level = "ful"
  }
}
cutover "site" {
  migrations = [migration.site]
  timeout    = "30"
  select {
  }
  gate "lagg" {
  }
  quiesce "command" {
    stop = ["x"]
  }
}
broken "block {
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_UNKNOWN_ARGUMENT: `source "directory"` has no argument `pth`
      main.segue.hcl:3 `pth`
      help: did you mean `path`?
    error SPEC_UNKNOWN_TYPE: there is no target of type "directroy" in this version
      main.segue.hcl:5 `"directroy"`
      help: did you mean `directory`?
    error SPEC_WRONG_TYPE: `path` is a path, not a number
      main.segue.hcl:9 `5`
    error SPEC_UNKNOWN_BLOCK: there are no `rute` blocks
      main.segue.hcl:11 `rute "symlink" "site"`
      help: did you mean `route`?
    error SPEC_CYCLE: these refer to each other in a circle: local.a -> local.b -> local.a
      main.segue.hcl:14 `local.b` local.a refers to local.b
      main.segue.hcl:15 `local.a` local.b refers to local.a
      help: take one of these references out
    error SPEC_UNKNOWN_REFERENCE: there is no variable `nmae`
      main.segue.hcl:16 `nmae`
      help: did you mean `name`?
    error EXPR_UNKNOWN_FUNCTION: there is no function `lenght`
      main.segue.hcl:17 `lenght`
      help: did you mean `length`?
    error SPEC_UNKNOWN_REFERENCE: there is no source "directory" "olf"
      main.segue.hcl:23 `olf`
      help: did you mean `old`?
    error SPEC_UNKNOWN_REFERENCE: there is no target "directory" "new"
      main.segue.hcl:24 `new`
      help: there are: target.directory.other, target.directroy.new
    error SPEC_NOT_ALLOWED: `level` cannot be "ful"
      main.segue.hcl:26 `"ful"`
      help: did you mean "full"?
    error SPEC_BAD_VALUE: `timeout`: 30 has no unit in "30"; write a number and a unit of ms, s, m, h or d, such as "30s" or "1h30m"
      main.segue.hcl:31 `"30"`
    error SPEC_UNKNOWN_BLOCK: `cutover` has no block `select`
      main.segue.hcl:32 `select`
      help: it takes: gate, quiesce, switch, watch, fallback, rehearse, waive
    error SPEC_UNKNOWN_TYPE: there is no gate of type "lagg" in this version
      main.segue.hcl:34 `"lagg"`
      help: did you mean `lag`?
    error SPEC_MISSING_ARGUMENT: `quiesce "command"` needs `start`
      main.segue.hcl:36 `quiesce "command"` `start` is missing
      help: start: Starts the writers.
    error SPEC_MISSING_ARGUMENT: `quiesce "command"` needs `probe`
      main.segue.hcl:36 `quiesce "command"` `probe` is missing
      help: probe: Must fail while stopped.
    error SYNTAX_UNCLOSED_STRING: this quoted string does not end on its line
      main.segue.hcl:40 `"` starts here
      help: add the closing `"`; for text of several lines write a heredoc: <<EOT
    "#);
}

#[test]
fn syntax_errors_do_not_hide_each_other() {
    let spec = Spec::new(
        r#"
locals {
  a = [1, 2
}
locals {
  b = 1 +
}
source "directory" "old {
  path = "x"
}
target "directory" "new" {
  path = 'x'
}
migration "m" {
  source = source.directory.gone
  target = target.directory.new
  verify {
    level = "full"
}
locals {
  text = <<EOT
no end
}
output "x" {
  value = nothing.here
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    error SYNTAX_UNCLOSED: `}` cannot close `[`
      main.segue.hcl:3 `[` opened here
      main.segue.hcl:4 `}` `]` expected here
      help: add `]`, or correct this bracket
    error SYNTAX: invalid expression
      main.segue.hcl:6 `` the line ends here
      help: see what stands before this place, too: a missing quote or `=` is often noticed late
    error SYNTAX_UNCLOSED_STRING: this quoted string does not end on its line
      main.segue.hcl:8 `"` starts here
      help: add the closing `"`; for text of several lines write a heredoc: <<EOT
    error SYNTAX: invalid expression
      main.segue.hcl:12 `'` found `'`
      help: strings are written in double quotes
    error SYNTAX_UNCLOSED: this `{` is never closed
      main.segue.hcl:17 `{` opened here
      help: add the closing bracket
    error SYNTAX_UNCLOSED_HEREDOC: the end of this heredoc is missing
      main.segue.hcl:21 `<<EOT` starts here
      help: put its delimiter on a line of its own after the text
    error SPEC_UNKNOWN_REFERENCE: `nothing` is not the name of anything
      main.segue.hcl:25 `nothing`
      help: a text is written in quotes; references start with var, local, source, ...
    "#);
}

#[test]
fn a_circle_is_told_with_its_whole_path() {
    let spec = Spec::new(
        r#"
locals {
  a = source.directory.s.path
  self = local.self
}
source "directory" "s" {
  path = "${migration.m.target.path}"
}
target "directory" "t" {
  path = local.a
}
migration "m" {
  source = source.directory.s
  target = target.directory.t
}
"#,
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_CYCLE: these refer to each other in a circle: local.a -> source.directory.s -> migration.m -> target.directory.t -> local.a
      main.segue.hcl:3 `source.directory.s.path` local.a refers to source.directory.s
      main.segue.hcl:7 `migration.m.target.path` source.directory.s refers to migration.m
      main.segue.hcl:14 `target.directory.t` migration.m refers to target.directory.t
      main.segue.hcl:10 `local.a` target.directory.t refers to local.a
      help: take one of these references out
    error SPEC_CYCLE: local.self refers to itself
      main.segue.hcl:4 `local.self` local.self refers to local.self
      help: take one of these references out
    error SPEC_CYCLE: these refer to each other in a circle: source.directory.s -> migration.m -> source.directory.s
      main.segue.hcl:7 `migration.m.target.path` source.directory.s refers to migration.m
      main.segue.hcl:13 `source.directory.s` migration.m refers to source.directory.s
      help: take one of these references out
    "#);
}

#[test]
fn blocks_of_a_cutover_are_checked_against_each_other() {
    let base = |cutovers: &str| {
        format!(
            r#"
source "directory" "s" {{ path = "s" }}
target "directory" "t" {{ path = "t" }}
migration "m" {{
  source = source.directory.s
  target = target.directory.t
}}
migration "n" {{
  source = source.directory.s
  target = target.directory.t
}}
{cutovers}"#
        )
    };
    let cutover = |name: &str, migrations: &str, quiesces: &str| {
        format!("cutover {name:?} {{\n live = \"target\"\n migrations = [{migrations}]\n {quiesces} }}\n")
    };
    let of = |quiesces: &str| codes(&base(&cutover("c", "migration.m", quiesces)));
    let manual = "quiesce \"manual\" {}\n";
    assert_eq!(of(""), ["SPEC_NO_QUIESCE"]);
    assert!(of(manual).is_empty());
    assert_eq!(of(&manual.repeat(2)), ["SPEC_TWO_QUIESCES"; 1]);
    assert!(of("quiesce \"manual\" {\n source {}\n}\nquiesce \"manual\" {\n target {}\n}\n").is_empty());
    assert_eq!(of("quiesce \"manual\" {\n target {}\n}\n"), ["SPEC_NO_QUIESCE"]);
    let group = cutover("c", "migration.m, migration.n", manual);
    assert!(codes(&base(&group)).is_empty(), "a group");
    let two = ["c", "d"].map(|name| cutover(name, "migration.m", manual)).concat();
    assert_eq!(codes(&base(&two)), ["SPEC_TWO_CUTOVERS"]);
    assert_eq!(codes(&base("removed {\n from = migration.n\n}")), ["SPEC_NOT_REMOVED"]);
    assert!(codes(&base("removed {\n from = migration.gone[\"eu\"]\n}")).is_empty());
    assert_eq!(codes(&base("removed {\n from = \"migration.gone\"\n}")), ["SPEC_BAD_ADDRESS"]);
    assert_eq!(codes(&base("migration \"m\" {\n}")), ["SPEC_DUPLICATE"]);
    assert_eq!(
        codes(&base(
            "cutover \"c\" {\n live = \"target\"\n migrations = migration.m\n quiesce \"manual\" {}\n freeze = \"1ms\"\n}"
        )),
        ["SPEC_WRONG_REFERENCE"]
    );
}

#[test]
fn words_that_come_later_are_told_so() {
    let spec = Spec::new(
        "module \"m\" {\n}\nsource \"directory\" \"s\" {\n path = \"s\"\n count = 2\n}\nsource \"ssh\" \"s\" {\n}\n",
    );
    insta::assert_snapshot!(spec.problems(), @r#"
    error SPEC_UNKNOWN_BLOCK: there are no `module` blocks
      main.segue.hcl:1 `module "m"`
      help: `module` is not in this version yet
    error SPEC_UNKNOWN_ARGUMENT: `source "directory"` has no argument `count`
      main.segue.hcl:5 `count`
      help: `count` is not in this version yet
    error SPEC_UNKNOWN_TYPE: there is no source of type "ssh" in this version
      main.segue.hcl:7 `"ssh"`
      help: there are: directory, search
    "#);
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let mut spec = Spec::new("");
    spec.input.dir_or_file = segue_language::SpecPath::File(spec.dir.path().join("gone.hcl"));
    assert_eq!(spec.load().diagnostics[0].code, "SPEC_UNREADABLE");
    spec.input.dir_or_file = segue_language::SpecPath::Dir(spec.dir.path().join("gone"));
    assert_eq!(spec.load().diagnostics[0].code, "SPEC_UNREADABLE");
    let empty = tempfile::tempdir().unwrap();
    spec.input.dir_or_file = segue_language::SpecPath::Dir(empty.path().to_path_buf());
    assert_eq!(spec.load().diagnostics[0].code, "SPEC_NO_FILES");
    let bytes = [b"\xef\xbb\xbflocals {\r\n a = \"".as_slice(), b"\xff", b"\"\r\n}\r\n"].concat();
    segue_contract::paths::replace(&spec.dir.path().join("b.segue.hcl"), &bytes).unwrap();
    spec.input.dir_or_file = segue_language::SpecPath::Dir(spec.dir.path().to_path_buf());
    let loaded = spec.load();
    assert_eq!(loaded.diagnostics[0].code, "SPEC_NOT_UTF8");
    assert_eq!(loaded.sources[0].text.as_bytes()[0], b'l');
}

#[test]
fn huge_objects_and_long_lines_are_refused_without_harm() {
    let keys: String = (0..6_000).map(|i| format!("k{i} = {i}\n")).collect();
    assert_eq!(codes(&format!("locals {{\n a = {{\n{keys}}}\n}}\n")), ["SYNTAX_OBJECT_TOO_LARGE"]);
    assert_eq!(codes(&format!("locals {{\n{keys}}}\n")), [] as [&str; 0]);
    let long = format!("locals {{\n a = \"{}\" +\n}}\n", "x".repeat(70_000));
    assert_eq!(codes(&long), ["SYNTAX"]);
    assert_eq!(
        codes(&format!("locals {{\n a = {}1{}\n}}\n", "(".repeat(5_000), ")".repeat(5_000))),
        ["SYNTAX"]
    );
    assert_eq!(codes(&format!("locals {{\n a = [1]{}\n}}\n", "[*]".repeat(20_000))), ["EXPR_TOO_DEEP"]);
    assert_eq!(codes(&format!("locals {{\n a = try({{}}{}, 1)\n}}\n", ".a".repeat(20_000))), [] as [&str; 0]);
}

#[test]
fn references_take_what_they_can_hold() {
    let text = |line: &str| {
        format!(
            "source \"directory\" \"s\" {{ path = \"s\" }}\ntarget \"directory\" \"t\" {{ path = \"t\" }}\nlocals {{\n x = {{ a = 1 }}\n}}\nmigration \"m\" {{\n target = target.directory.t\n {line}\n}}\n"
        )
    };
    for (line, wanted) in [
        ("source = source.directory.s", &[] as &[&str]),
        ("source = \"source.directory.s\"", &["SPEC_WRONG_REFERENCE"]),
        ("source = target.directory.t", &["SPEC_WRONG_REFERENCE"]),
        ("source = source.directory.t", &["SPEC_UNKNOWN_REFERENCE"]),
        ("source = source.directory", &["SPEC_UNKNOWN_REFERENCE"]),
        ("source = source.directory.s.path", &["SPEC_WRONG_REFERENCE"]),
        ("source = source.directory.s.pth", &["SPEC_UNKNOWN_REFERENCE"]),
        ("source = null", &["SPEC_MISSING_ARGUMENT"]),
        ("source = local.x", &["SPEC_WRONG_REFERENCE"]),
        ("source = source.directory.s\n select = {}", &["SPEC_UNKNOWN_ARGUMENT"]),
        ("source = source.directory.s\n load {\n parallelism = -1\n}", &["SPEC_BAD_VALUE"]),
        ("source = source.directory.s\n load {\n parallelism = 5000\n}", &["SPEC_BAD_VALUE"]),
        ("source = source.directory.s\n load {\n rate_limit = \"5MiB\"\n}", &["SPEC_BAD_VALUE"]),
        ("source = source.directory.s\n select {\n include = \"x\"\n}", &["SPEC_WRONG_TYPE"]),
        ("source = source.directory.s\n select {\n}\n select {\n}", &["SPEC_DUPLICATE_BLOCK"]),
        ("source = source.directory.s\n depends_on = [source.directory.s]", &["SPEC_WRONG_REFERENCE"]),
        ("source = source.directory.s\n verify \"x\" {\n}", &["SPEC_WRONG_LABELS"]),
    ] {
        assert_eq!(codes(&text(line)), wanted, "{line}");
    }
}

#[test]
fn an_empty_heredoc_swallows_nothing() {
    let spec = Spec::new(
        "locals {\n a = <<EOT\nEOT\n b = <<EOT\nx\nEOT\n}\noutput \"v\" {\n value = [local.a, local.b]\n}\n",
    );
    assert_eq!(spec.load().desired.unwrap().outputs["v"].to_string(), r#"["","x\n"]"#);
}
