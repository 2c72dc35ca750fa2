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
    scratch.segue(&[&["approve", "my plan"], &secret[..]].concat()).expect_code(0);
    scratch.segue(&[&["apply", "my plan"], &secret[..]].concat()).expect_code(0);
    assert!(scratch.at("new-eu west").is_dir());
}

/// Every command that the program can print, as its source has it: words in quotes as they are, others as one word.
fn printed() -> Vec<Vec<String>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for room in ["cli/src", "planner", "providers/src"] {
        let files = segue_tests::run(
            "grep",
            &["-rl", "--include=*.rs", "segue(&", &root.join(room).display().to_string()],
        );
        for file in files.lines() {
            let text = segue_contract::paths::read_to_string(std::path::Path::new(file)).unwrap_or_default();
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in program.split("segue(&[").skip(1) {
                let Some((words, _)) = call.split_once(']') else { continue };
                let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
                let literal = |word: &str| {
                    let quoted = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
                    quoted.unwrap_or("cutover.x").to_owned()
                };
                found.push(words.map(literal).collect());
            }
        }
    }
    found
}

/// The first words of every command that help, schemas and README name.
fn named() -> std::collections::BTreeSet<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let at = |name: &str| root.join(name).display().to_string();
    let words = ["-rhoE", "--include=*.rs", "--include=*.md", "`segue [a-z][a-z-]*"];
    let rooms = ["cli/src", "planner", "providers/src", "README.md", "examples"].map(at);
    let found = segue_tests::run("grep", &[&words[..], &rooms.each_ref().map(String::as_str)].concat());
    found.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect()
}

#[test]
fn every_command_that_is_printed_is_one_that_the_program_takes() {
    let scratch = Scratch::new();
    let mut commands = printed();
    assert!(commands.len() > 60, "{} commands", commands.len());
    commands.extend(named().into_iter().map(|word| vec![word]));
    for words in commands {
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = scratch.segue(&words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.all());
    }
}
