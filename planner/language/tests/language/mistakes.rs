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
  d = upperr("x")
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
    insta::assert_snapshot!(spec.problems(), @"");
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
    insta::assert_snapshot!(spec.problems(), @"");
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
    insta::assert_snapshot!(spec.problems(), @"");
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
    assert_eq!(
        codes(&base("cutover \"c\" {\n migrations = [migration.m]\n}")),
        ["SPEC_NO_QUIESCE"]
    );
    let manual = "quiesce \"manual\" {}\n";
    assert!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m]\n {manual} }}"
        )))
        .is_empty()
    );
    assert_eq!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m]\n {manual}{manual} }}"
        ))),
        ["SPEC_TWO_QUIESCES"; 1],
    );
    let narrow = "quiesce \"manual\" {\n source {}\n}\nquiesce \"manual\" {\n target {}\n}\n";
    assert!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m]\n {narrow} }}"
        )))
        .is_empty()
    );
    let target_only = "quiesce \"manual\" {\n target {}\n}\n";
    assert_eq!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m]\n {target_only} }}"
        ))),
        ["SPEC_NO_QUIESCE"]
    );
    assert_eq!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m, migration.n]\n {manual} }}"
        ))),
        ["SPEC_GROUP"]
    );
    assert_eq!(
        codes(&base(&format!(
            "cutover \"c\" {{\n migrations = [migration.m]\n {manual} }}\ncutover \"d\" {{\n migrations = [migration.m]\n {manual} }}"
        ))),
        ["SPEC_TWO_CUTOVERS"]
    );
    assert_eq!(
        codes(&base("removed {\n from = migration.n\n}")),
        ["SPEC_NOT_REMOVED"]
    );
    assert!(codes(&base("removed {\n from = migration.gone[\"eu\"]\n}")).is_empty());
    assert_eq!(
        codes(&base("removed {\n from = \"migration.gone\"\n}")),
        ["SPEC_BAD_ADDRESS"]
    );
    assert_eq!(codes(&base("migration \"m\" {\n}")), ["SPEC_DUPLICATE"]);
    assert_eq!(
        codes(&base(
            "cutover \"c\" {\n migrations = migration.m\n quiesce \"manual\" {}\n freeze = \"1ms\"\n}"
        )),
        ["SPEC_WRONG_REFERENCE"]
    );
}

#[test]
fn words_that_come_later_are_told_so() {
    let spec = Spec::new(
        "module \"m\" {\n}\nsource \"directory\" \"s\" {\n path = \"s\"\n count = 2\n}\nsource \"ssh\" \"s\" {\n}\n",
    );
    insta::assert_snapshot!(spec.problems(), @"");
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
    let bytes = [
        b"\xef\xbb\xbflocals {\r\n a = \"".as_slice(),
        b"\xff",
        b"\"\r\n}\r\n",
    ]
    .concat();
    segue_contract::paths::replace(&spec.dir.path().join("b.segue.hcl"), &bytes).unwrap();
    spec.input.dir_or_file = segue_language::SpecPath::Dir(spec.dir.path().to_path_buf());
    let loaded = spec.load();
    assert_eq!(loaded.diagnostics[0].code, "SPEC_NOT_UTF8");
    assert_eq!(loaded.sources[0].text.as_bytes()[0], b'l');
}

#[test]
fn huge_objects_and_long_lines_are_refused_without_harm() {
    let keys: String = (0..6_000).map(|i| format!("k{i} = {i}\n")).collect();
    assert_eq!(
        codes(&format!("locals {{\n a = {{\n{keys}}}\n}}\n")),
        ["SYNTAX_OBJECT_TOO_LARGE"]
    );
    assert_eq!(codes(&format!("locals {{\n{keys}}}\n")), [] as [&str; 0]);
    let long = format!("locals {{\n a = \"{}\" +\n}}\n", "x".repeat(70_000));
    assert_eq!(codes(&long), ["SYNTAX"]);
    assert_eq!(
        codes(&format!(
            "locals {{\n a = {}1{}\n}}\n",
            "(".repeat(5_000),
            ")".repeat(5_000)
        )),
        ["SYNTAX"]
    );
    assert_eq!(
        codes(&format!("locals {{\n a = [1]{}\n}}\n", "[*]".repeat(20_000))),
        ["EXPR_TOO_DEEP"]
    );
    assert_eq!(
        codes(&format!(
            "locals {{\n a = try({{}}{}, 1)\n}}\n",
            ".a".repeat(20_000)
        )),
        [] as [&str; 0]
    );
}
