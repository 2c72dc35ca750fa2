//! Commands that Segue prints work when they are pasted into a shell: they are about the same spec, and quoted.

use segue_tests::{Scratch, segue_binary};

const NAMED: &str = r#"
variable "side" {
  type = string
}
variable "token" {
  type      = string
  sensitive = true
}
locals {
  token_is_set = length(var.token)
}
source "directory" "old" {
  path = "old"
}
target "directory" "new" {
  for_each = toset(["eu west"])
  path     = "new-${each.key}"
}
migration "site" {
  for_each = toset(["eu west"])
  source   = source.directory.old
  target   = target.directory.new[each.key]
}
cutover "site" {
  for_each   = toset(["eu west"])
  migrations = [migration.site[each.key]]
  live       = var.side
  quiesce "command" {
    stop  = ["touch", "closed"]
    start = ["rm", "-f", "closed"]
    probe = ["test", "!", "-e", "closed"]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
"#;

/// Runs a line as it was printed, in a POSIX shell in which `segue` is the binary under test.
#[track_caller]
fn pasted(scratch: &Scratch, line: &str) -> segue_tests::Ran {
    let script = format!("segue() {{ '{}' \"$@\"; }}; {line}", segue_binary().display());
    scratch.run("sh", &["-c", &script])
}

/// What stands between a label and the remark behind it.
#[track_caller]
fn told(text: &str, begins: &str) -> String {
    let line = text.lines().find_map(|line| line.split_once(begins).map(|(_, rest)| rest));
    assert!(line.is_some(), "{begins:?} is missing: {text}");
    let line = line.unwrap_or_default();
    format!("segue {}", line.split("   (").next().unwrap_or(line).trim())
}

#[test]
fn hints_repeat_how_the_spec_was_named_and_quote_addresses() {
    let scratch = Scratch::new();
    scratch.write("my specs/site.segue.hcl", NAMED);
    scratch.write("my specs/old/page", "text");
    let options = ["-C", "my specs", "--var", "side=target", "--var", "token=s3cret value"];
    let with = |words: &[&str]| scratch.segue(&[words, &options].concat());
    with(&["apply", "--auto-approve"]).expect_code(0);
    let status = with(&["status"]).expect_code(0);
    assert!(!status.all().contains("s3cret"), "{}", status.all());
    let line = told(&status.stdout, "segue switch-back").replacen("segue", "segue switch-back", 1);
    assert!(line.contains(r#"'cutover.site["eu west"]' -C 'my specs' --var side=target"#), "{line}");
    // Only the secret has to be given again. Where nobody can be asked, it may stop at the question; it is never a usage
    // error, and it finds its spec and its cutover.
    let back = pasted(&scratch, &format!("{line} --var 'token=s3cret value'"));
    assert!(matches!(back.code, Some(0 | 3)), "{}", back.all());
}

#[test]
fn a_plan_file_keeps_what_may_be_shown_of_its_variables() {
    let scratch = Scratch::new();
    scratch.write("site.segue.hcl", NAMED);
    let secret = ["--var", "token=s3cret value"];
    let plan = [&["plan", "--out", "my plan", "--var", "side=target"], &secret[..]].concat();
    let plan = scratch.segue(&plan).expect_code(0);
    assert!(!scratch.read("my plan").contains("s3cret"));
    let line = told(&plan.stdout, "To do this: segue");
    assert!(line.starts_with("segue apply 'my plan'"), "{line}");
    scratch.segue(&[&["approve", "my plan", "--var", "side=target"], &secret[..]].concat()).expect_code(0);
    scratch.segue(&[&["apply", "my plan"], &secret[..]].concat()).expect_code(0);
    assert!(scratch.at("new-eu west").is_dir());
}
