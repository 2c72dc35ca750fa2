//! A side proves that it is itself (protocol P27): on file systems that are unmounted, moved away or exchanged under
//! the released binary. Nothing is carried from what is not the side that is known, and nothing is written to it.

use std::path::Path;

use rustix::process::Signal;
use segue_tests::{Mount, Ran, Running, Scratch, run, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const BACK: [&str; 3] = ["switch-back", "cutover.site", "--auto-approve"];

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// A small file system with nothing in it.
fn disk() -> Mount {
    let disk = Mount::made(24, &["mkfs.ext4", "-q", "-F"], &["-o", "loop"]);
    run("rmdir", &[&disk.at("lost+found").display().to_string()]);
    disk
}

/// The quickstart with its target at the root of a file system of its own.
fn onto(disk: &Mount) -> Scratch {
    let scratch = Scratch::new();
    let place = disk.path().display().to_string();
    scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
    scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
    scratch
}

/// The same, switched.
fn switched(disk: &Mount) -> Scratch {
    let scratch = onto(disk);
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), disk.path().display().to_string());
    scratch
}

/// Names, sizes and times of all files below a directory that the spec selects.
fn listed(root: &Path) -> Vec<String> {
    let root = root.display().to_string();
    let left_out = [
        "-name",
        ".segue-marker*",
        "-o",
        "-name",
        ".probe",
        "-o",
        "-path",
        "*/cache/*",
        "-o",
        "-name",
        "*.tmp",
    ];
    let words = [
        &[root.as_str(), "-not", "-type", "d", "-not", "("],
        &left_out[..],
        &[")", "-printf", "%P %s %T@\n"],
    ];
    let mut lines: Vec<String> = run("find", &words.concat()).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Whether a directory holds what it held, or what another holds.
#[track_caller]
fn holds(root: &Path, wanted: &[String]) {
    let found = listed(root);
    let differs = wanted.iter().filter(|line| !found.contains(line));
    let differs: Vec<_> = differs.chain(found.iter().filter(|line| !wanted.contains(line))).take(5).collect();
    assert!(
        differs.is_empty(),
        "{}: {} entries, {} wanted: {differs:?}",
        root.display(),
        found.len(),
        wanted.len()
    );
}

fn fenced(scratch: &Scratch) {
    scratch.edit_spec(
        "reverse       = true",
        "reverse       = true\n    accept_loss   = true\n    fence         = [\"true\"]",
    );
}

#[test]
fn a_serving_target_that_is_not_mounted_is_not_carried_back_and_is_once_it_is() {
    for lazily in [false, true] {
        let disk = disk();
        let scratch = switched(&disk);
        let before = listed(&scratch.at("old"));
        disk.unmount(lazily);
        let ran = scratch.segue(&BACK);
        assert_ne!(ran.code, Some(0), "{}", ran.all());
        says(&ran, "is not mounted");
        holds(&scratch.at("old"), &before);
        holds(disk.path(), &[]);
        assert_eq!(scratch.live(), disk.path().display().to_string());
        disk.mount();
        scratch.segue(&BACK).expect_code(0);
        assert_eq!(scratch.live(), "old");
    }
}

#[test]
fn another_file_system_in_the_targets_place_is_not_carried_back() {
    let (disk, other) = (disk(), disk());
    let scratch = switched(&disk);
    fenced(&scratch);
    let before = listed(&scratch.at("old"));
    let place = disk.path().display().to_string();
    run("mount", &["--bind", &other.path().display().to_string(), &place]);
    let ran = scratch.segue(&BACK);
    run("umount", &[&place]);
    assert_ne!(ran.code, Some(0), "{}", ran.all());
    says(&ran, "is not what it was");
    says(&ran, "then run the same command again");
    holds(&scratch.at("old"), &before);
    assert_eq!(scratch.live(), place);
    scratch.segue(&BACK).expect_code(0);
    assert_eq!(scratch.live(), "old");
}

#[test]
fn a_target_that_is_not_mounted_is_left_behind_its_fence_and_not_carried() {
    let disk = disk();
    let scratch = switched(&disk);
    fenced(&scratch);
    let before = listed(&scratch.at("old"));
    disk.unmount(false);
    says(&scratch.segue(&BACK).expect_code(0), "is LEFT");
    holds(&scratch.at("old"), &before);
    assert_eq!(scratch.live(), "old");
}

#[test]
fn a_run_that_follows_carries_nothing_from_a_target_that_went_away() {
    let disk = disk();
    let scratch = onto(&disk);
    scratch.edit_spec(
        "    level = \"full\"\n  }",
        "    level = \"full\"\n  }\n  sync {\n    interval = \"200ms\"\n  }",
    );
    let mut follow = Running::new(&scratch, &["apply", "--auto-approve", "--follow"]);
    wait_until("it switches", || scratch.live() == disk.path().display().to_string());
    scratch.write("carried", "");
    run("cp", &[&scratch.at("carried").display().to_string(), &disk.at("carried").display().to_string()]);
    wait_until("a reverse pass carries", || scratch.at("old/carried").exists());
    let before = listed(&scratch.at("old"));
    disk.unmount(true);
    // Between passes, or in the middle of one.
    let told = |said: String| said.contains("is not mounted") || said.contains("is not what it was");
    wait_until("it says so", || told(follow.output()));
    if !follow.ended() {
        follow.signal(Signal::INT);
    }
    follow.wait();
    holds(&scratch.at("old"), &before);
    holds(disk.path(), &[]);
}

#[test]
fn a_watch_that_goes_back_by_itself_carries_nothing_from_a_target_that_went_away() {
    for with_fence in [false, true] {
        let disk = disk();
        let scratch = onto(&disk);
        let place = disk.path().display().to_string();
        let watch = format!(
            "watch \"command\" {{\n command = [\"test\", \"-e\", \"{place}/pages\"]\n for = \"10m\"\n interval = \"100ms\"\n failures = 2\n on_failure = \"switch_back\"\n }}\n  fallback {{"
        );
        scratch.edit_spec("  fallback {", &watch);
        if with_fence {
            fenced(&scratch);
        }
        let mut apply = Running::new(&scratch, &APPLY);
        apply.until_it_says("if you go back now");
        let before = listed(&scratch.at("old"));
        disk.unmount(true);
        let ended = apply.wait();
        assert_ne!(ended.code, Some(0), "{}", ended.all());
        says(&ended, "is not mounted");
        holds(&scratch.at("old"), &before);
        assert_eq!(scratch.live(), if with_fence { "old".to_owned() } else { place });
    }
}

/// Fills a directory with what takes a while at a small rate.
fn fill(root: &Path) {
    for n in 0..30 {
        let at = root.join(format!("large-{n:02}")).display().to_string();
        run("dd", &["if=/dev/urandom", &format!("of={at}"), "bs=100k", "count=1", "status=none"]);
    }
}

/// Kills a load in the middle.
fn killed_in_its_load(scratch: &Scratch, target: &Path) {
    scratch
        .edit_spec("migration \"site\" {", "segue {\n  rate_limit = \"1MiB/s\"\n}\n\nmigration \"site\" {");
    let load = Running::new(scratch, &APPLY);
    wait_until("it copies", || target.join("large-03").exists());
    assert!(load.kill(), "it was in the middle");
    scratch.edit_spec("segue {\n  rate_limit = \"1MiB/s\"\n}\n\n", "");
}

#[test]
fn a_target_unmounted_in_mid_load_gets_nothing_below_its_mount_point() {
    let disk = disk();
    let scratch = onto(&disk);
    fill(&scratch.at("old"));
    killed_in_its_load(&scratch, disk.path());
    disk.unmount(false);
    let ran = scratch.segue(&APPLY);
    assert_ne!(ran.code, Some(0), "{}", ran.all());
    holds(disk.path(), &[]);
    disk.mount();
    scratch.segue(&APPLY).expect_code(0);
    holds(disk.path(), &listed(&scratch.at("old")));
}

#[test]
fn a_source_unmounted_in_mid_load_empties_nothing() {
    let disk = disk();
    let scratch = Scratch::new();
    let place = disk.path().display().to_string();
    scratch.edit_spec("path = \"old\"", &format!("path = \"{place}\""));
    scratch.edit_spec("source = \"old\"", &format!("source = \"{place}\""));
    run("cp", &["-a", &format!("{}/.", scratch.at("old").display()), &place]);
    run("ln", &["-sfn", &place, &scratch.at("live").display().to_string()]);
    fill(disk.path());
    killed_in_its_load(&scratch, &scratch.at("new"));
    disk.unmount(false);
    let before = listed(&scratch.at("new"));
    let ran = scratch.segue(&APPLY);
    assert_ne!(ran.code, Some(0), "{}", ran.all());
    holds(&scratch.at("new"), &before);
    holds(disk.path(), &[]);
    disk.mount();
    scratch.segue(&APPLY).expect_code(0);
    holds(&scratch.at("new"), &listed(disk.path()));
}

#[test]
fn what_is_written_to_a_target_that_is_lazily_unmounted_meanwhile_does_not_count() {
    let disk = disk();
    let scratch = onto(&disk);
    fill(&scratch.at("old"));
    scratch
        .edit_spec("migration \"site\" {", "segue {\n  rate_limit = \"1MiB/s\"\n}\n\nmigration \"site\" {");
    let load = Running::new(&scratch, &APPLY);
    wait_until("it copies", || disk.at("large-03").exists());
    disk.unmount(true);
    let ended = load.wait();
    assert_ne!(ended.code, Some(0), "{}", ended.all());
    says(&ended, "another directory is in its place by now");
    holds(disk.path(), &[]);
    disk.mount();
    scratch.edit_spec("segue {\n  rate_limit = \"1MiB/s\"\n}\n\n", "");
    scratch.segue(&APPLY).expect_code(0);
    holds(disk.path(), &listed(&scratch.at("old")));
}

/// Kinds of file systems, and how they come back: by another device number, by a bind mount, read-only.
#[test]
fn a_side_that_comes_back_by_another_device_or_read_only_is_still_itself() {
    let kinds: [(u32, &[&str], &[&str]); 4] = [
        (24, &["mkfs.ext4", "-q", "-F"], &["-o", "loop"]),
        (320, &["mkfs.xfs", "-q"], &["-o", "loop"]),
        (320, &["mkfs.btrfs", "-q"], &["-o", "loop"]),
        (24, &["mkfs.ext3", "-q", "-F"], &["-o", "loop"]),
    ];
    for (mib, mkfs, words) in kinds {
        let disk = Mount::made(mib, mkfs, words);
        let place = disk.path().display().to_string();
        // Read-only from the beginning: no file of Segue's can lie in it.
        for first in ["rw", "ro"] {
            run("mount", &["-o", "remount,rw", &place]);
            run(
                "sh",
                &[
                    "-c",
                    &format!(
                        "rm -rf {place}/* {place}/.segue* {place}/../.disk.segue*; mkdir {place}/d; echo 1 > {place}/d/f"
                    ),
                ],
            );
            let scratch = Scratch::new();
            scratch.edit_spec("path = \"old\"", &format!("path = \"{place}\""));
            scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
            run("mount", &["-o", &format!("remount,{first}"), &place]);
            scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
            disk.unmount(false);
            // It takes the first number that is free.
            let between = self::disk();
            disk.mount();
            scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
            disk.unmount(false);
            disk.mount_with("ro");
            scratch.segue(&["apply", "--auto-approve"]).expect_code(0);
            drop(between);
            run("mount", &["--bind", &place, &place]);
            scratch.segue(&["verify"]).expect_code(0);
            run("umount", &[&place]);
            disk.unmount(false);
            disk.mount();
            assert_eq!(
                run("cat", &[&scratch.at("new/d/f").display().to_string()]),
                "1\n",
                "{mkfs:?} {first}"
            );
        }
    }
}
