//! Bad input: everything that a person can get wrong is refused before anything is touched, with its name and what to
//! do about it.

use segue_tests::{Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// Plan and apply refuse, with these words, and nothing was made at the target or the source.
#[track_caller]
fn refused(scratch: &Scratch, words: &[&str]) -> Ran {
    let plan = scratch.segue(&["plan"]);
    for word in words {
        assert!(plan.stdout.contains(word), "{word:?} is missing: {}", plan.all());
    }
    let apply = scratch.segue(&APPLY).expect_code(1);
    assert!(apply.stderr.contains("refused"), "{}", apply.all());
    assert!(!scratch.at("new").exists(), "nothing is made");
    assert!(!scratch.at("old/.segue-marker").exists(), "nothing is marked");
    apply
}

fn spec(scratch: &Scratch, from: &str, to: &str) {
    scratch.edit_spec(&format!("path = \"{from}\""), &format!("path = \"{to}\""));
}

#[test]
fn a_missing_source_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    spec(&scratch, "old", "elsewhere/gone");
    refused(&scratch, &["critical[DIR_MISSING]", "elsewhere/gone does not exist", "next:"]);
}

#[test]
fn a_target_inside_the_source_and_the_other_way_round_are_refused() {
    let scratch = Scratch::new();
    spec(&scratch, "new", "old/inside");
    refused(&scratch, &["critical", "old/inside"]);
    assert!(!scratch.at("old/inside").exists());
    spec(&scratch, "old/inside", "new");
    spec(&scratch, "old", "old/pages");
    spec(&scratch, "new", "old");
    refused(&scratch, &["critical", "old/pages"]);
}

#[test]
fn the_same_directory_twice_is_refused_even_by_another_name() {
    let scratch = Scratch::new();
    spec(&scratch, "new", "old");
    refused(&scratch, &["critical"]);
    std::os::unix::fs::symlink("old", scratch.at("alias")).expect("a link");
    spec(&scratch, "old", "alias");
    // Both `path` lines now say alias: one is the directory's own name again.
    let text = segue_contract::paths::read_to_string(&scratch.at("site.segue.hcl")).expect("the spec");
    scratch.write("site.segue.hcl", &text.replacen("\"alias\"", "\"old\"", 1));
    refused(&scratch, &["critical"]);
}

#[test]
fn a_source_that_may_not_be_read_is_named_and_nothing_is_touched() {
    let scratch = Scratch::new();
    let own = scratch.path().display().to_string();
    segue_tests::run("chown", &["-R", "65534:65534", &own]);
    segue_tests::run("chown", &["root:root", &format!("{own}/old")]);
    segue_tests::run("chmod", &["0700", &format!("{own}/old")]);
    let plan = scratch.segue_as_nobody(&["plan"]);
    assert!(
        plan.stdout.contains("DIR_NO_PERMISSION") && plan.stdout.contains("/old cannot be read"),
        "{}",
        plan.all()
    );
    scratch.segue_as_nobody(&APPLY).expect_code(1);
    assert!(!scratch.at("new").exists());
}

#[test]
fn a_directory_that_may_not_be_read_stops_the_cutover_before_the_pause() {
    let scratch = Scratch::new();
    let own = scratch.path().display().to_string();
    segue_tests::run("chown", &["-R", "65534:65534", &own]);
    segue_tests::run("chown", &["root:root", &format!("{own}/old/pages")]);
    segue_tests::run("chmod", &["0700", &format!("{own}/old/pages")]);
    let apply = scratch.segue_as_nobody(&APPLY);
    assert!(apply.stderr.contains("pages"), "{}", apply.all());
    assert!(
        !apply.stderr.contains("QUIESCING"),
        "writers were stopped for a cutover that could not succeed: {}",
        apply.all()
    );
    assert_eq!(apply.code, Some(3), "a gate that is not met: {}", apply.all());
    assert_eq!(scratch.live(), "old");
    // Once it can be read, the same command goes on.
    segue_tests::run("chown", &["-R", "65534:65534", &format!("{own}/old/pages")]);
    scratch.segue_as_nobody(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), "new");
}

const TEN_MISTAKES: &str = r#"source "directory" "old" {
  pth = "old"
}
target "directroy" "new" {
  path = "new"
}
route "symlink" "site" {
  path   = 7
  source = "old"
}
migration "site" {
  source = source.directory.odl
  target = target.directory.nwe
  verify {
    level = "fulll"
  }
  lode {
  }
}
cutover "site" {
  migrations = [migration.site]
  live       = "middle"
  timeout    = "30 parsecs"
  gate "lagg" {
    max = "2s"
  }
  switch {
    routes = [route.symlink.site]
  }
}
"#;

#[test]
fn ten_mistakes_in_a_spec_are_all_told_at_once_with_file_and_line() {
    let scratch = Scratch::new();
    scratch.write("site.segue.hcl", TEN_MISTAKES);
    let told = scratch.segue(&["validate"]).expect_code(1);
    let wanted = [
        (2, "no argument `pth`", "did you mean `path`"),
        (4, "\"directroy\"", "did you mean `directory`"),
        (7, "needs `target`", "is missing"),
        (8, "is a path, not a number", ""),
        (12, "\"odl\"", "did you mean `old`"),
        (13, "\"nwe\"", ""),
        (15, "\"fulll\"", "did you mean \"full\""),
        (17, "no block `lode`", "did you mean `load`"),
        (22, "\"middle\"", "\"source\", \"target\""),
        (23, "30 parsecs", "\"30s\""),
        (24, "\"lagg\"", "did you mean `lag`"),
    ];
    for (line, what, nearest) in wanted {
        let found = told.all().split("error[").any(|one| {
            one.contains(what) && one.contains(nearest) && one.contains(&format!("site.segue.hcl:{line}:"))
        });
        assert!(found, "line {line}, {what:?}, {nearest:?}: {}", told.all());
    }
    for command in [&["plan"][..], &APPLY] {
        let said = scratch.segue(command).expect_code(1);
        assert!(said.all().contains("11 errors"), "{}", said.all());
    }
    assert!(!scratch.at(".segue").exists(), "a wrong spec makes no state directory");
}

#[test]
fn an_address_that_does_not_exist_gets_the_nearest_one() {
    let scratch = Scratch::new();
    scratch.segue(&APPLY).expect_code(0);
    for (command, nearest) in [
        (&["switch-back", "cutover.sit", "--auto-approve"][..], "cutover.site"),
        (&["unhold", "cutover.siet"], "cutover.site"),
        (&["verify", "migration.sight"], "migration.site"),
    ] {
        let said = scratch.segue(command).expect_code(1);
        assert!(said.stderr.contains(nearest), "{}", said.all());
    }
    assert_eq!(scratch.live(), "new");
    scratch.segue(&["aply"]).expect_code(64);
}

#[test]
fn a_second_writer_is_told_who_holds_the_state_and_readers_go_on() {
    let scratch = Scratch::new();
    scratch.edit_spec("  gate \"lag\"", "  gate \"approval\" {}\n  gate \"lag\"");
    let mut first = Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    first.until_it_says("is not approved");
    let second = scratch.segue(&APPLY).expect_code(6);
    let host = segue_tests::run("uname", &["-n"]);
    for word in [&format!("process {}", first.pid()), host.trim(), "apply --follow", "since 2"] {
        assert!(second.stderr.contains(word), "{word:?}: {}", second.all());
    }
    scratch.segue(&["state", "rebuild"]).expect_code(6);
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("apply --follow"), "{}", status.all());
    scratch.segue(&["history"]).expect_code(0);
    scratch.segue(&["plan"]).expect_code(0);
    // Approved from this terminal, it goes on in that one.
    let plan = scratch.segue(&["plan", "--json"]).expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("JSON");
    scratch.segue(&["approve", plan["hash"].as_str().expect("a hash")]).expect_code(0);
    wait_until("it switches", || scratch.live() == "new");
    first.until_it_says("SOAKING");
    first.signal(rustix::process::Signal::INT);
    // Everything that was asked for is done: Ctrl-C is how following ends.
    first.wait().expect_code(0);
}

#[test]
fn a_second_state_directory_on_the_same_endpoints_is_refused_until_it_adopts() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    let second = scratch.elsewhere("second").display().to_string();
    for command in [&["plan", "-C", &second][..], &["apply", "--auto-approve", "-C", &second]] {
        let said = scratch.segue(command).all();
        for word in
            ["critical[MARKER_FOREIGN]", "root@", &scratch.at(".segue").display().to_string(), "segue adopt"]
        {
            assert!(said.contains(word), "{word:?}: {said}");
        }
    }
    let refused = scratch.segue(&["adopt", "-C", &second]).expect_code(1);
    assert!(refused.stderr.contains("still there"), "{}", refused.all());
    assert_eq!(scratch.live(), "new");
    segue_contract::paths::rename(&scratch.at(".segue"), &scratch.at("gone")).expect("renamed");
    scratch.segue(&["adopt", "-C", &second]).expect_code(0);
    // Brought back, the first one is the stranger now.
    segue_contract::paths::rename(&scratch.at("gone"), &scratch.at(".segue")).expect("renamed");
    scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(1);
    assert_eq!(scratch.live(), "new");
    scratch.accepts_writes();
}

#[test]
fn an_old_copy_of_the_state_opens_nothing() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch.segue(&APPLY).expect_code(0);
    let at = |name: &str| scratch.at(name).display().to_string();
    segue_tests::run("cp", &["-a", &at(".segue"), &at("copy")]);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    scratch.segue(&APPLY).expect_code(0);
    // In place of the real one: another inode, so that it is a copy.
    segue_contract::paths::rename(&scratch.at(".segue"), &scratch.at("real")).expect("renamed");
    segue_contract::paths::rename(&scratch.at("copy"), &scratch.at(".segue")).expect("renamed");
    for command in [&APPLY[..], &["switch-back", "cutover.site", "--auto-approve"], &["abort"]] {
        let refused = scratch.segue(command).expect_code(1);
        assert!(refused.stderr.contains("is a copy of a state directory"), "{}", refused.all());
        assert_eq!(scratch.live(), "new");
    }
    assert!(scratch.segue(&["status"]).stderr.contains("is a copy"), "readers say so too");
    // And its content in the real one's place, inode and all: its epoch is below the endpoints' markers.
    segue_contract::paths::rename(&scratch.at(".segue"), &scratch.at("copy")).expect("renamed");
    segue_contract::paths::rename(&scratch.at("real"), &scratch.at(".segue")).expect("renamed");
    put_back(&scratch, "copy");
    for command in [&APPLY[..], &["switch-back", "cutover.site", "--auto-approve"], &["status"], &["plan"]] {
        let refused = scratch.segue(command).expect_code(1);
        assert!(refused.all().contains("epoch") && refused.all().contains("old copy"), "{}", refused.all());
    }
    let status = scratch.segue(&["status"]).expect_code(1);
    assert!(status.stdout.starts_with("!! WHO SERVES IS NOT KNOWN HERE"), "{}", status.all());
    assert!(scratch.segue(&["state", "pull"]).stderr.contains("not to be believed"));
    assert_eq!(scratch.live(), "new");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

/// The content of a state directory as it was once, in the place and the inode of today's.
fn put_back(scratch: &Scratch, old: &str) {
    let at = |name: &str| scratch.at(name).display().to_string();
    for part in ["journal", "sled", "artifacts", "identity.json"] {
        segue_tests::run("rm", &["-rf", &at(&format!(".segue/{part}"))]);
        segue_tests::run("cp", &["-a", &at(&format!("{old}/{part}")), &at(&format!(".segue/{part}"))]);
    }
}

#[test]
fn a_state_of_the_pause_that_is_put_back_after_the_switch_settles_nothing() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("QUIESCING");
    apply.signal(rustix::process::Signal::STOP);
    let at = |name: &str| scratch.at(name).display().to_string();
    segue_tests::run("cp", &["-a", &at(".segue"), &at("copy")]);
    assert!(!apply.output().contains("COMMITTED"), "stopped too late to test this");
    apply.signal(rustix::process::Signal::CONT);
    apply.wait().expect_code(0);
    put_back(&scratch, "copy");
    for command in [&["abort"][..], &APPLY] {
        let refused = scratch.segue(command).expect_code(1);
        assert!(refused.stderr.contains("cannot be settled from here"), "{}", refused.all());
        assert_eq!(scratch.live(), "new");
    }
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

#[test]
fn a_variable_that_nobody_declared_is_refused_from_each_of_its_three_sources() {
    let scratch = Scratch::new();
    let said = scratch.segue(&["plan", "--var", "colour=red"]).expect_code(1);
    assert!(said.all().contains("colour"), "{}", said.all());
    scratch.write("more.vars.hcl", "colour = \"red\"\n");
    let said = scratch.segue(&["plan", "--var-file", "more.vars.hcl"]).expect_code(1);
    assert!(said.all().contains("colour"), "{}", said.all());
    let said = scratch
        .run("env", &["SEGUE_VAR_colour=red", &segue_tests::segue_binary().display().to_string(), "plan"])
        .expect_code(1);
    assert!(said.all().contains("colour"), "{}", said.all());
}
