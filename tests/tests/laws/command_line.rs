//! The same through the command line: a spec in HCL, `segue-lab apply`, deaths at every fifth event.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use segue_contract::{Side, paths};
use segue_tests::lab::KILL;

use crate::harness::{Kind, Lab};

/// Deaths are this many events apart: every event is the business of the matrices.
const STEP: usize = 5;

const SPEC: &str = r#"
segue {
  backend "local" {
    path = "state"
  }
}

source "memory" "old" {
  world = "world.json"
}

target "memory" "new" {
  world = "world.json"
}

route "memory" "site" {
  world  = "world.json"
  source = "old"
  target = "new"
}

migration "site" {
  source = source.memory.old
  target = target.memory.new
}

cutover "site" {
  migrations = [migration.site]
  live       = "target"

  quiesce "memory_block" {
    world = "world.json"
  }
  switch {
    routes = [route.memory.site]
  }
  fallback {
    reverse = true
  }
}
"#;

fn segue(lab: &Lab, words: &[&str], kill: Option<&str>) -> Output {
    let dir = lab.state_dir().with_file_name("");
    let mut command = Command::new(segue_tests::program(env!("CARGO_BIN_EXE_segue-lab")));
    command.current_dir(dir).args(words);
    if let Some(kill) = kill {
        command.env(KILL, kill);
    }
    command.output().expect("started")
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_switch_by_command_resumes_after_any_death_with_the_same_command() {
    let lab = Lab::new(Kind::Data);
    paths::replace(&lab.state_dir().with_file_name("site.segue.hcl"), SPEC.as_bytes()).expect("written");
    lab.keep("base");
    let apply = &["apply", "--auto-approve"];
    let clean = segue(&lab, apply, None);
    assert_eq!(clean.status.code(), Some(0), "{}", said(&clean));
    lab.check_serves(Side::Target, "clean");
    for n in (1..=lab.last_event()).step_by(STEP) {
        let kill = format!("after:{n}");
        lab.restore("base");
        let killed = segue(&lab, apply, Some(&kill));
        assert_eq!(killed.status.signal(), Some(9), "{kill}: {}", said(&killed));
        let resumed = segue(&lab, apply, None);
        assert_eq!(resumed.status.code(), Some(0), "{kill}: {}", said(&resumed));
        lab.check_serves(Side::Target, &kill);
        let plan = segue(&lab, &["plan", "--detailed-exitcode"], None);
        assert_eq!(plan.status.code(), Some(0), "{kill}: {}", said(&plan));
    }
}
