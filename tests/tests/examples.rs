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

/// An example in a directory of its own.
fn copy(name: &str) -> tempfile::TempDir {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join(".");
    let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a directory");
    let copied = Command::new("cp").arg("-r").arg(example).arg(dir.path()).status().expect("cp is there");
    assert!(copied.success());
    dir
}

/// What the example's `site` prints.
fn site(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("./site").args(args).current_dir(dir).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A port of the loopback that is free.
fn port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.local_addr().expect("an address").port().to_string()
}

/// Ends the example's server, whatever becomes of the test.
struct Serves<'a>(&'a Path);

impl Drop for Serves<'_> {
    fn drop(&mut self) {
        let _ = Command::new("./site").arg("stop").current_dir(self.0).status();
    }
}

#[test]
fn clients_that_follow_a_name_are_led_to_the_target_and_back() {
    let dir = copy("dns");
    let (key, port) = (site(dir.path(), &["make"]), port());
    let _serves = Serves(dir.path());
    site(dir.path(), &["serve", &port]);
    let run = |args: &[&str]| {
        let output = Command::new(segue_binary())
            .arg("-C")
            .arg(dir.path())
            .args(args)
            .env("SITE_KEY", &key)
            .env("SEGUE_VAR_server", format!("127.0.0.1:{port}"))
            .output()
            .expect("segue starts");
        let all =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !all.contains(&key), "{args:?}: {all}");
        all
    };
    // Clients may keep the first answer for three seconds, whatever the spec wants for those that follow.
    let lines = "update delete www.site.test A\nupdate add www.site.test 3 A 127.0.0.11\nsend\n";
    let script = dir.path().join("var/script");
    let text = format!("server 127.0.0.1 {port}\nzone site.test\n{lines}");
    segue_contract::paths::replace(&script, text.as_bytes()).expect("written");
    let signed = format!("hmac-sha256:site:{key}");
    let slow = Command::new("nsupdate").args(["-y", &signed]).arg(&script).status().expect("nsupdate starts");
    assert!(slow.success());
    let plan = run(&["plan"]);
    assert!(plan.contains("has a TTL of 3 s and not of 1 s"), "{plan}");
    let said = run(&["apply", "--auto-approve"]);
    assert!(said.contains("route.dns.www can be set: "), "asked before the pause: {said}");
    assert_eq!(site(dir.path(), &["at"]), "127.0.0.12");
    let (mut set_ms, mut started_ms) = (0, 0);
    let mut event = |_, entry: &Entry| match &entry.event {
        Event::RouteSet { .. } => set_ms = entry.at_ms,
        Event::PhaseReached { phase: Phase::Started, .. } => started_ms = entry.at_ms,
        _ => {}
    };
    history(&dir.path().join(".segue"), &mut event).expect("a journal");
    assert!(started_ms - set_ms >= 3000, "writers start when old answers are over: {set_ms} to {started_ms}");
    site(dir.path(), &["write", "to the new one"]);
    run(&["apply", "--auto-approve", "--var", "live=source"]);
    assert_eq!(site(dir.path(), &["at"]), "127.0.0.11");
    let written =
        segue_contract::paths::read_to_string(&dir.path().join("old/written")).expect("carried back");
    assert!(written.contains("to the new one"), "{written}");
}

#[test]
fn a_route_that_would_be_refused_costs_no_pause() {
    let dir = copy("dns");
    let (key, port) = (site(dir.path(), &["make"]), port());
    let other = "s/grant site name www/grant site name other/";
    let changed = Command::new("sed").args(["-i", other, "site"]).current_dir(dir.path()).status();
    assert!(changed.expect("sed starts").success());
    let _serves = Serves(dir.path());
    site(dir.path(), &["serve", &port]);
    let output = Command::new(segue_binary())
        .arg("-C")
        .arg(dir.path())
        .args(["apply", "--auto-approve"])
        .env("SITE_KEY", &key)
        .env("SEGUE_VAR_server", format!("127.0.0.1:{port}"))
        .output()
        .expect("segue starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("refuses the update of www.site.test. A (REFUSED)"), "{said}");
    assert!(!said.contains("QUIESCING"), "{said}");
    site(dir.path(), &["write", "writes were never paused"]);
}

#[test]
fn clients_behind_haproxy_are_led_to_the_target_and_a_reload_is_drift() {
    let dir = copy("haproxy");
    site(dir.path(), &["make"]);
    let ports = [port(), port(), port()];
    let serve = || site(dir.path(), &["serve", &ports[0], &ports[1], &ports[2]]);
    serve();
    let _serves = Serves(dir.path());
    segue(dir.path(), &["plan"]);
    segue(dir.path(), &["apply", "--auto-approve"]);
    let who = || (site(dir.path(), &["get"]), site(dir.path(), &["post"]));
    assert_eq!(who(), ("new".to_owned(), "new".to_owned()));
    // Started anew, it has forgotten.
    site(dir.path(), &["stop"]);
    let gone = || Command::new("./site").arg("get").current_dir(dir.path()).output().expect("it starts");
    while !gone().stdout.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    serve();
    assert_eq!(who(), ("old".to_owned(), "old".to_owned()));
    let plan = segue(dir.path(), &["plan"]);
    assert!(plan.contains("points to the source, while the target serves"), "{plan}");
    segue(dir.path(), &["apply", "--auto-approve"]);
    assert_eq!(who(), ("new".to_owned(), "new".to_owned()));
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
            let output = Command::new(segue_binary())
                .arg("-C")
                .arg(entry.path())
                .args(command)
                .env("SITE_KEY", "what examples read from the environment")
                .output();
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
