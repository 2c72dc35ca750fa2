//! Faults while it runs: full disks, applications that lie or hang, signals, and writers that do not know. The side that
//! serves is open afterwards, and the reason is told.

use rustix::process::Signal;
use segue_tests::{Mount, Ran, Running, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const MIB: u64 = 1024 * 1024;

fn writing() -> Scratch {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    scratch
}

/// Aborted: exit 5 with this reason, the source open and serving, held until somebody says go on.
#[track_caller]
fn aborted(scratch: &Scratch, ran: Ran, reason: &str) {
    let ran = ran.expect_code(5);
    assert!(ran.stderr.contains(reason), "{reason:?}: {}", ran.all());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
    let held = scratch.segue(&APPLY).expect_code(3);
    assert!(held.all().contains("is held"), "{}", held.all());
}

/// Once the cause is mended, it goes on to the end.
#[track_caller]
fn goes_on(scratch: &Scratch) {
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn a_full_disk_at_the_target_names_what_to_free_and_is_gone_on_from() {
    let target = Mount::tmpfs(MIB);
    let scratch = writing();
    let place = target.at("tree").display().to_string();
    scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
    scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
    let full = scratch.segue(&APPLY).expect_code(1);
    assert!(full.all().contains(&place), "{}", full.all());
    assert!(full.all().contains("free"), "what to free: {}", full.all());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
    target.grow(64 * MIB);
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at(&place);
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn a_full_disk_under_the_state_in_the_pause_leaves_exactly_one_side_serving() {
    let state = Mount::tmpfs(8 * MIB);
    let scratch = writing();
    let text = segue_contract::paths::read_to_string(&scratch.at("site.segue.hcl")).expect("the spec");
    let backend = format!(
        "segue {{\n  backend \"local\" {{\n    path = \"{}\"\n  }}\n}}\n",
        state.at("state").display()
    );
    scratch.write("site.segue.hcl", &format!("{backend}{text}"));
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch
        .executable("slow-pause", ": >pausing\nwhile [ ! -e go-on ]; do sleep 0.01; done\nexec ./app pause");
    let apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    state.fill();
    scratch.write("go-on", "");
    let ended = apply.wait();
    println!("with the disk full: {}", ended.all());
    let committed = scratch.live() == "new";
    assert!(matches!((ended.code, committed), (Some(0), true) | (Some(1 | 5), _)), "{}", ended.all());
    // Exactly one side serves, with the disk still full.
    scratch.accepts_writes();
    state.free();
    let settled = scratch.segue(&["abort"]);
    assert_eq!(settled.code, Some(0), "{}", settled.all());
    scratch.accepts_writes();
    scratch.nothing_is_lost();
    assert_eq!(scratch.serves() == "target", scratch.live() == "new");
    if scratch.live() == "old" {
        scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    }
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn an_application_that_keeps_a_file_open_while_it_claims_to_be_paused_is_named() {
    for (held, what) in [("exec 3>>old/pages/1.html", "pages/1.html"), ("cd old/pages", "old")] {
        let scratch = writing();
        scratch.executable("holder", &format!("{held}\n: >\"$1\"\nexec sleep 600"));
        let ready = scratch.at("ready").display().to_string();
        let mut holder = std::process::Command::new(scratch.at("holder"))
            .arg(&ready)
            .current_dir(scratch.path())
            .spawn()
            .expect("the holder starts");
        wait_until("it holds", || scratch.at("ready").exists());
        let ran = scratch.segue(&APPLY);
        let pid = holder.id().to_string();
        assert!(ran.stderr.contains(&pid), "the process is named: {}", ran.all());
        aborted(&scratch, ran, what);
        holder.kill().expect("killed");
        holder.wait().expect("waited");
        goes_on(&scratch);
    }
}

#[test]
fn a_stop_command_that_fails_aborts_with_what_it_printed() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./broken-pause\"]");
    scratch.executable("broken-pause", "echo no such unit >&2; exit 7");
    let ran = scratch.segue(&APPLY);
    assert!(ran.stderr.contains("no such unit"), "{}", ran.all());
    aborted(&scratch, ran, "7");
    scratch.edit_spec("[\"./broken-pause\"]", "[\"./app\", \"pause\"]");
    goes_on(&scratch);
}

#[test]
fn a_stop_command_that_hangs_is_ended_at_its_timeout() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./hanging-pause\"]");
    scratch.edit_spec("    probe = ", "    timeout = \"300ms\"\n    probe = ");
    scratch.executable("hanging-pause", "echo $$ >hanging; exec sleep 600");
    let ran = scratch.segue(&APPLY);
    aborted(&scratch, ran, "300");
    let text = segue_contract::paths::read_to_string(&scratch.at("hanging")).expect("it ran");
    assert!(!std::path::Path::new("/proc").join(text.trim()).exists(), "the hanging command was ended");
}

#[test]
fn a_stop_that_stops_nothing_is_found_by_the_probe() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"true\"]");
    let ran = scratch.segue(&APPLY);
    aborted(&scratch, ran, "still takes writes");
}

#[test]
fn a_writer_that_goes_on_although_all_is_paused_is_found_by_the_position() {
    let scratch = writing();
    scratch.executable("rogue", "n=0; while [ ! -e rogue-stop ]; do n=$((n+1)); echo $n >>old/rogue; done");
    let mut rogue = std::process::Command::new(scratch.at("rogue"))
        .current_dir(scratch.path())
        .spawn()
        .expect("the rogue starts");
    let ran = scratch.segue(&APPLY);
    aborted(&scratch, ran, "aborted");
    scratch.write("rogue-stop", "");
    rogue.wait().expect("it ends");
    goes_on(&scratch);
}

#[test]
fn a_route_that_cannot_be_moved_is_told_and_completed_once_it_can() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./tricky-pause\"]");
    // The link becomes a directory in the pause, after the plan looked.
    scratch.executable(
        "tricky-pause",
        "./app pause; [ -e tricked ] || { rm live; mkdir live; : >live/keep; : >tricked; }",
    );
    let ran = scratch.segue(&APPLY);
    assert!(matches!(ran.code, Some(1 | 5)), "{}", ran.all());
    assert!(ran.stderr.contains("live"), "the path is named: {}", ran.all());
    segue_tests::run("rm", &["-r", &scratch.at("live").display().to_string()]);
    std::os::unix::fs::symlink("old", scratch.at("live")).expect("the link");
    if ran.code == Some(5) {
        scratch.accepts_writes();
        goes_on(&scratch);
    } else {
        scratch.segue(&APPLY).expect_code(0);
        scratch.settled_at("new");
    }
}

#[test]
fn ctrl_c_while_it_loads_stops_and_the_next_apply_goes_on() {
    let scratch = writing();
    scratch.edit_spec("  verify {", "  load {\n    rate_limit = \"1MiB/s\"\n  }\n  verify {");
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("load: started");
    apply.signal(Signal::INT);
    let ended = apply.wait().expect_code(130);
    assert!(ended.stderr.contains("Ctrl-C"), "{}", ended.all());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.edit_spec("1MiB/s", "500MiB/s");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}

#[test]
fn ctrl_c_in_the_pause_aborts_opens_the_source_and_holds() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", ": >pausing; sleep 600");
    let mut apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    apply.signal(Signal::INT);
    aborted(&scratch, apply.wait(), "interrupted");
    scratch.edit_spec("[\"./slow-pause\"]", "[\"./app\", \"pause\"]");
    goes_on(&scratch);
}

#[test]
fn abort_from_another_terminal_opens_the_source_and_holds() {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", ": >pausing; sleep 600");
    let apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    scratch.segue(&["abort", "cutover.site"]).expect_code(0);
    aborted(&scratch, apply.wait(), "aborted");
}

/// Nobody is left to settle: apply and its watchdog are dead, in the pause.
fn dead_in_the_pause() -> Scratch {
    let scratch = writing();
    scratch.edit_spec("[\"./app\", \"pause\"]", "[\"./slow-pause\"]");
    scratch.executable("slow-pause", "./app pause; : >pausing; sleep 600");
    let mut apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("pausing").exists());
    apply.signal(Signal::STOP);
    let state = scratch.state();
    let watchdog = &state["state"]["cutovers"]["cutover.site"]["attempt"]["watchdog"]["pid"];
    segue_tests::run("kill", &["-9", &watchdog.to_string()]);
    apply.kill();
    assert!(scratch.app(&["try-write"]).code != Some(0), "the source is closed");
    scratch
}

#[test]
fn without_a_spec_status_says_what_to_do_and_abort_apply_or_unhold_settles() {
    let broken = Some("source \"directory\" {{{\n");
    let cases = [(None, &["abort"][..], 0), (broken, &APPLY, 1), (None, &["unhold", "cutover.site"], 0)];
    for (spec, command, code) in cases {
        let scratch = dead_in_the_pause();
        match spec {
            Some(broken) => scratch.write("site.segue.hcl", broken),
            None => std::fs::remove_file(scratch.at("site.segue.hcl")).expect("removed"),
        }
        let status = scratch.segue(&["status"]);
        assert!(status.stdout.contains("segue abort"), "{command:?}: {}", status.all());
        assert!(scratch.app(&["try-write"]).code != Some(0), "status only looks");
        let settled = scratch.segue(command);
        assert_eq!(settled.code, Some(code), "{command:?}: {}", settled.all());
        scratch.accepts_writes();
        scratch.nothing_is_lost();
        assert_eq!(scratch.live(), "old");
        assert_eq!(scratch.status()["cutovers"][0]["phase"], "ready", "{command:?}");
    }
}

#[test]
fn permission_that_is_lost_in_the_load_is_named_and_gone_on_from() {
    let target = Mount::made(48, &["mkfs.ext4", "-q", "-F"], &["-o", "loop"]);
    let scratch = writing();
    let place = target.at("tree").display().to_string();
    scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
    scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
    scratch.edit_spec("  verify {", "  load {\n    rate_limit = \"2MiB/s\"\n  }\n  verify {");
    let apply = Running::new(&scratch, &APPLY);
    wait_until("it loads", || target.at("tree/assets").exists());
    // Not even root may make anything in it now.
    segue_tests::run("chattr", &["+i", &place]);
    let lost = apply.wait().expect_code(1);
    assert!(lost.all().contains(&place), "the place is named: {}", lost.all());
    assert!(lost.all().contains("not permitted"), "{}", lost.all());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
    segue_tests::run("chattr", &["-i", &place]);
    scratch.edit_spec("2MiB/s", "500MiB/s");
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at(&place);
    scratch.app(&["stop"]).expect_code(0);
}

#[test]
fn a_cutover_whose_spec_was_deleted_after_a_death_is_settled_all_the_same() {
    for broken in [None, Some("source \"directory\" {{{\n")] {
        let scratch = writing();
        let mut apply = Running::new(&scratch, &APPLY);
        apply.until_it_says("QUIESCING");
        apply.signal(Signal::STOP);
        apply.kill();
        let spec = scratch.at("site.segue.hcl");
        let text = segue_contract::paths::read_to_string(&spec).expect("the spec");
        match broken {
            Some(broken) => scratch.write("site.segue.hcl", broken),
            None => std::fs::remove_file(&spec).expect("removed"),
        }
        // No spec is an error; what was in flight is settled all the same, by the watchdog or before it is told.
        scratch.segue(&APPLY).expect_code(1);
        scratch.accepts_writes();
        scratch.nothing_is_lost();
        scratch.write("site.segue.hcl", &text);
        scratch.segue(&APPLY).expect_code(0);
        scratch.settled_at("new");
    }
}

#[test]
fn what_a_stale_writer_left_is_kept_aside_listed_and_stops_finishing_until_it_is_settled() {
    let scratch = writing();
    scratch.segue(&APPLY).expect_code(0);
    scratch.write("old/pages/7.html", "written by somebody who did not know\n");
    scratch.write("old/pages/new-order.html", "an order that came too late\n");
    let plan = scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(4);
    assert!(plan.stdout.contains("pages/new-order.html"), "{}", plan.all());
    scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "old");
    let status = scratch.status();
    let cutover = &status["cutovers"][0];
    assert_eq!(cutover["stale_total"], 2, "{status}");
    let kept: Vec<String> = cutover["stale"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|find| Some(scratch.at(".segue/artifacts").join(find["kept"].as_str()?)))
        .map(|path| segue_contract::paths::read_to_string(&path).expect("it is kept"))
        .collect();
    assert!(kept.contains(&"an order that came too late\n".to_owned()), "{kept:?}");
    assert!(kept.contains(&"written by somebody who did not know\n".to_owned()), "{kept:?}");
    scratch.segue(&["unhold", "cutover.site"]).expect_code(0);
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"\n  finished   = true");
    let refused = scratch.segue(&APPLY);
    assert_ne!(refused.code, Some(0), "{}", refused.all());
    assert!(refused.all().contains("--stale"), "{}", refused.all());
    scratch.segue(&["unhold", "cutover.site", "--stale"]).expect_code(0);
    scratch.segue(&APPLY).expect_code(0);
    scratch.nothing_is_lost();
}
