//! Power cuts: the disk with the state and the target is copied while the run stands still, which is what a disk holds
//! when the power goes, and the run goes on from the copy.

use std::fs::{read_dir, read_link};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use segue_contract::paths;
use segue_tests::{Bound, Mount, Random, Running, Scratch, rounds, run, say, segue_binary, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
/// How long the power is there, at most.
const LIFE_MAX: Duration = Duration::from_millis(1500);

/// The processes of segue in a scratch: apply, and its watchdog. The power goes for all of them: one that outlived it would go on
/// with what it has open of the disk that was, and with whatever is at its paths then.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
fn of_segue(scratch: &Scratch) -> Vec<PathBuf> {
    let is = |link: PathBuf, what: &Path| read_link(link).is_ok_and(|found| found == what);
    let binary = segue_binary().canonicalize().expect("the binary");
    let at = scratch.path().canonicalize().expect("the scratch");
    let all = read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
    all.filter(|process| is(process.join("exe"), &binary) && is(process.join("cwd"), &at)).collect()
}

fn signal_all(scratch: &Scratch, signal: Signal) {
    for process in of_segue(scratch) {
        let number = process.file_name().and_then(|name| name.to_str()?.parse().ok());
        // It may end just now.
        let _ = number.and_then(Pid::from_raw).map(|pid| kill_process(pid, signal));
    }
}

/// Whether none of its threads does anything: a signal to stop is answered once a system call is over.
fn is_still(process: &Path) -> bool {
    let Ok(threads) = read_dir(process.join("task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = paths::read_to_string(&thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['T', 'Z', 'X']))
    })
}

/// Returns when none of them does anything any more.
fn stand_still(scratch: &Scratch) {
    let mut looks = 0;
    wait_until("segue stands still", || {
        looks += 1;
        // A child that was stopped between fork and exec keeps its parent in the kernel: both go on for a moment.
        let signal = if looks % 50 == 0 { Signal::CONT } else { Signal::STOP };
        signal_all(scratch, signal);
        signal == Signal::STOP && of_segue(scratch).iter().all(|process| is_still(process))
    });
}

/// Shows a disk in a scratch, and puts the state and the target there.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
fn with_cut(scratch: &Scratch, disk: &Mount) -> Bound {
    for place in [disk.at("state"), disk.at("new"), scratch.at("cut")] {
        run("mkdir", &[&place.display().to_string()]);
    }
    scratch.edit_spec("path = \"new\"", "path = \"cut/new\"");
    scratch.edit_spec("target = \"new\"", "target = \"cut/new\"");
    let spec = paths::read_to_string(&scratch.at("site.segue.hcl")).expect("the spec");
    let backend = "segue {\n  backend \"local\" {\n    path = \"cut/state\"\n  }\n}\n";
    scratch.write("site.segue.hcl", &format!("{backend}{spec}"));
    Bound::new(disk.path(), &scratch.at("cut"))
}

#[test]
fn after_a_power_cut_at_any_time_it_ends_as_a_clean_run() {
    if rounds(0, 1) == 0 {
        say("NOT RUN: power cuts take minutes; `tests/run --long` sets SEGUE_TESTS_LONG");
        return;
    }
    let mut random = Random::seeded("power_cut");
    let clean = Scratch::new();
    clean.app(&["start"]).expect_code(0);
    clean.segue(&APPLY).expect_code(0);
    let wanted = clean.what_matters();
    for round in 1..=12 {
        let place = tempfile::tempdir().expect("a directory");
        let image = |name: &str| place.path().join(name);
        let text = |name: &str| image(name).display().to_string();
        run("truncate", &["-s", "64M", &text("disk")]);
        run("mkfs.ext4", &["-q", "-F", &text("disk")]);
        let disk = Mount::image(&image("disk"));
        // Source, route and application stay on the machine's own disk: what is cut is Segue's own and the target.
        let scratch = Scratch::new();
        let bound = with_cut(&scratch, &disk);
        scratch.app(&["start"]).expect_code(0);
        let apply = Running::new(&scratch, &APPLY);
        // The time is what is tested, and waits for nothing.
        std::thread::sleep(random.time_below(LIFE_MAX));
        stand_still(&scratch);
        let said = apply.output().lines().last().unwrap_or_default().to_owned();
        println!("round {round}: {said}");
        // Writes that the application made on the new side without syncing them are its own to lose.
        let application_wrote_there = scratch.live() != "old" && !scratch.at("var/paused").exists();
        // No sync: only what was made durable is in the image.
        run("cp", &["--sparse=always", &text("disk"), &text("after")]);
        let _ = apply.kill();
        wait_until("segue is gone", || {
            signal_all(&scratch, Signal::KILL);
            of_segue(&scratch).is_empty()
        });
        drop(bound);
        drop(disk);
        let disk = Mount::image(&image("after"));
        let bound = Bound::new(disk.path(), &scratch.at("cut"));
        scratch.segue(&APPLY).expect_code(0);
        assert_eq!(scratch.live(), "cut/new", "round {round}: {said}");
        scratch.accepts_writes();
        if application_wrote_there {
            println!(
                "  too late: the application wrote to the target already, its own unsynced writes are not held against Segue"
            );
        } else {
            scratch.nothing_is_lost();
        }
        scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
        let mut got = scratch.what_matters();
        // What a dead pass wrote and its ledger does not know is kept aside after a power cut: nothing is lost.
        got["stale_total"] = wanted["stale_total"].clone();
        got["made"] = wanted["made"].clone();
        assert_eq!(got, wanted, "round {round}: {said}");
        scratch.app(&["stop"]).expect_code(0);
        drop(bound);
    }
}
