//! Every example is a spec that is valid and formatted as `segue fmt` writes it.

#![expect(clippy::expect_used, reason = "a test cannot go on without its files and programs")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use segue_plan::cutover::Phase;
use segue_plan::event::{Entry, Event};
use segue_run::session::history;

use segue_tests::segue_binary;

/// The example of waves in a directory of its own, its six sites made.
fn waves() -> tempfile::TempDir {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waves/.");
    let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a directory");
    let copied = Command::new("cp").arg("-r").arg(example).arg(dir.path()).status().expect("cp is there");
    assert!(copied.success());
    for name in SITES {
        let made = Command::new("./site").args(["make", name]).current_dir(dir.path()).status();
        assert!(made.expect("it starts").success(), "{name} is made");
    }
    dir
}

const SITES: [&str; 6] = ["blog", "wiki", "docs", "news", "mail", "shop"];

fn segue(dir: &Path, args: &[&str]) -> String {
    let output = Command::new(segue_binary()).arg("-C").arg(dir).args(args).output().expect("segue starts");
    let all =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {all}");
    all
}

/// The most cutovers that were between QUIESCING and their first write at the same time, and the order in which they
/// began, by the journal since an event.
fn pauses(dir: &Path, since: u64) -> (usize, Vec<String>, u64) {
    let (mut now, mut most) = (BTreeSet::new(), 0);
    let (mut order, mut last) = (Vec::new(), 0);
    let mut event = |seq: u64, entry: &Entry| {
        last = seq;
        match &entry.event {
            Event::AttemptBegan { cutover, .. } if seq > since => {
                order.push(cutover.to_string());
                now.insert(cutover.clone());
                most = most.max(now.len());
            }
            Event::PhaseReached { cutover, phase: Phase::Started, .. } => {
                now.remove(cutover);
            }
            _ => {}
        }
    };
    history(&dir.join(".segue"), &mut event).expect("a journal");
    (most, order, last)
}

#[test]
fn six_sites_switch_in_waves_of_two_and_go_back_one_after_the_other() {
    let dir = waves();
    segue(dir.path(), &["plan"]);
    segue(dir.path(), &["apply", "--auto-approve"]);
    let lives = || {
        SITES
            .map(|name| std::fs::read_link(dir.path().join("sites").join(name).join("live")).expect("a link"))
    };
    assert!(lives().iter().all(|at| at == Path::new("new")), "{:?}", lives());
    let (most, order, last) = pauses(dir.path(), 0);
    assert!(most <= 2, "{most} in their pause at once");
    let waves: Vec<&str> = order.iter().filter_map(|cutover| cutover.split(['.', '[']).nth(1)).collect();
    assert_eq!(waves, ["first", "first", "second", "second", "third", "third"], "{order:?}");

    let spec = dir.path().join("sites.segue.hcl");
    let text = segue_contract::paths::read_to_string(&spec).expect("the spec");
    let alone: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("cutovers ")).collect();
    segue_contract::paths::replace(&spec, alone.join("\n").as_bytes()).expect("the spec");
    segue(dir.path(), &["apply", "--auto-approve", "--var", "live=source"]);
    assert!(lives().iter().all(|at| at == Path::new("old")), "{:?}", lives());
    let (most, order, _) = pauses(dir.path(), last);
    assert_eq!((most, order.len()), (1, 6), "one after the other where the spec does not say: {order:?}");
}

#[test]
fn every_example_is_valid_and_formatted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&examples).expect("examples").flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        seen += 1;
        assert!(entry.path().join("README.md").is_file(), "{} has no README.md", entry.path().display());
        for command in [&["validate"][..], &["fmt", "--check"][..]] {
            let output = Command::new(segue_binary()).arg("-C").arg(entry.path()).args(command).output();
            let output = output.expect("segue starts");
            assert!(
                output.status.success(),
                "{command:?} of {}: {}{}",
                entry.path().display(),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(seen >= 3, "the examples are where this test looks");
}
