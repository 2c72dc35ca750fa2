//! Trees on file systems that differ from the source's: what they can do more is used, what they cannot keep is
//! told before anything is lost.

use std::path::Path;

use segue_tests::{Mount, Scratch, run};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const MIB: usize = 1024 * 1024;

/// The quickstart with its target at `place`; it stays at the source.
fn moved_to(place: &Path) -> Scratch {
    let scratch = Scratch::new();
    let place = place.display().to_string();
    scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
    scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    scratch
}

/// Without the cache of libfuse, which shows removed names for a second more, as no file system of the kernel does.
fn exfat() -> Mount {
    let options = "loop,entry_timeout=0,attr_timeout=0,negative_timeout=0";
    Mount::made(64, &["mkfs.exfat"], &["-t", "exfat-fuse", "-o", options])
}

/// A file system that knows neither owners nor modes shows everything as 0777 of root: a source that looks the same.
fn plain_source(scratch: &Scratch) {
    run("chown", &["-R", "0:0", &scratch.at("old").display().to_string()]);
    run("chmod", &["-R", "0777", &scratch.at("old").display().to_string()]);
    run(
        "find",
        &[
            &scratch.at("old").display().to_string(),
            "(",
            "-type",
            "l",
            "-o",
            "-links",
            "+1",
            "-type",
            "f",
            ")",
            "-delete",
        ],
    );
}

#[test]
fn on_one_file_system_with_reflinks_a_copy_shares_its_extents() {
    for mkfs in [&["mkfs.btrfs", "-q"][..], &["mkfs.xfs", "-q", "-m", "reflink=1"]] {
        let disk = Mount::made(320, mkfs, &["-o", "loop"]);
        let scratch = Scratch::below(disk.path());
        // Of a content that no file system packs.
        let content: String =
            (0..MIB).map(|i| format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        scratch.write("old/large", &content);
        run("sync", &["-f", &disk.path().display().to_string()]);
        scratch.segue(&APPLY).expect_code(0);
        let copy = scratch.at("new/large");
        assert_eq!(segue_contract::paths::read_to_string(&copy).expect("the copy"), content);
        let extents = run("filefrag", &["-v", &copy.display().to_string()]);
        let lines: Vec<&str> = extents
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        assert!(!lines.is_empty(), "{extents}");
        assert!(lines.iter().all(|line| line.contains("shared")), "{}: {extents}", mkfs[0]);
        scratch.app(&["stop"]).expect_code(0);
    }
}

#[test]
fn two_names_that_a_target_takes_for_one_are_both_named_and_nothing_is_lost() {
    let disk = exfat();
    let scratch = moved_to(&disk.at("tree"));
    scratch.write("old/pages/Straße.html", "one");
    scratch.write("old/pages/STRAßE.html", "two");
    plain_source(&scratch);
    // Also when the next run finds the first of them there already.
    for _ in 0..2 {
        let ran = scratch.segue(&APPLY).expect_code(1);
        for name in ["pages/Straße.html", "pages/STRAßE.html"] {
            assert!(ran.stderr.contains(name), "{name}: {}", ran.all());
        }
    }
    for (name, content) in [("Straße.html", "one"), ("STRAßE.html", "two")] {
        let path = scratch.at(&format!("old/pages/{name}"));
        assert_eq!(segue_contract::paths::read_to_string(&path).expect("still there"), content);
    }
    run(
        "mv",
        &[
            &scratch.at("old/pages/Straße.html").display().to_string(),
            &scratch.at("old/pages/other.html").display().to_string(),
        ],
    );
    // In a pass, too.
    scratch.write("old/pages/STRASSE.html", "three");
    scratch.write("old/pages/strasse.html", "four");
    plain_source(&scratch);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    for (from, to) in [("pause", "true"), ("resume", "true"), ("try-write", "false")] {
        scratch.edit_spec(&format!("[\"./app\", \"{from}\"]"), &format!("[\"{to}\"]"));
    }
    let ran = scratch.segue(&APPLY).expect_code(1);
    for name in ["pages/STRASSE.html", "pages/strasse.html"] {
        assert!(ran.stderr.contains(name), "{name}: {}", ran.all());
    }
    let there = [("STRAßE.html", "two"), ("other.html", "one")];
    for (name, content) in there {
        for side in [scratch.at("old"), disk.at("tree")] {
            let path = side.join("pages").join(name);
            assert_eq!(segue_contract::paths::read_to_string(&path).expect(name), content);
        }
    }
    for (name, content) in [("STRASSE.html", "three"), ("strasse.html", "four")] {
        let path = scratch.at("old/pages").join(name);
        assert_eq!(segue_contract::paths::read_to_string(&path).expect(name), content);
    }
    assert_eq!(scratch.live(), "old");
}

#[test]
fn a_target_that_keeps_no_owners_and_modes_is_refused_with_the_path() {
    let disk = exfat();
    let scratch = moved_to(&disk.at("tree"));
    let planned = scratch.segue(&["plan"]);
    assert!(planned.all().contains("keep no owners"), "{}", planned.all());
    plain_source(&scratch);
    let secret = scratch.at("old/pages/1.html").display().to_string();
    run("chown", &["65534:65534", &secret]);
    let ran = scratch.segue(&APPLY).expect_code(1);
    assert!(ran.stderr.contains("tree/pages/1.html") && ran.stderr.contains("owner"), "{}", ran.all());
    run("chown", &["0:0", &secret]);
    run("chmod", &["0640", &secret]);
    let ran = scratch.segue(&APPLY).expect_code(1);
    assert!(ran.stderr.contains("tree/pages/1.html") && ran.stderr.contains("mode"), "{}", ran.all());
}

#[test]
fn attributes_and_lists_that_a_target_does_not_keep_are_told_by_path() {
    let disk = Mount::ramfs();
    let scratch = moved_to(&disk.at("tree"));
    let page = scratch.at("old/pages/1.html").display().to_string();
    run("setfattr", &["-n", "user.origin", "-v", "here", &page]);
    run("setfacl", &["-m", "u:65534:r", &scratch.at("old/pages/2.html").display().to_string()]);
    let planned = scratch.segue(&["plan"]);
    assert!(planned.all().contains("extended attributes"), "{}", planned.all());
    // It stays at the source: what is set aside is told, and stays set aside from pass to pass.
    for _ in 0..2 {
        let ran = scratch.segue(&["apply", "--auto-approve"]);
        println!("{}", ran.all());
    }
    let ran = scratch.segue(&["status"]).expect_code(0);
    for word in ["pages/1.html", "user.origin", "pages/2.html", "system.posix_acl_access"] {
        assert!(ran.all().contains(word), "{word}: {}", ran.all());
    }
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    for _ in 0..2 {
        let held = scratch.segue(&APPLY).expect_code(3);
        assert!(held.stderr.contains("2 records cannot be carried"), "{}", held.all());
        assert!(held.stderr.contains("pages/1.html"), "{}", held.all());
    }
    assert_eq!(scratch.live(), "old");
    // Accepted record by record, with a reason; one that is not named still stops it.
    let waive = |keys: &str| {
        format!(
            "  waive \"SET_ASIDE\" {{\n    keys = [{keys}]\n    reason = \"nobody reads it\"\n  }}\n  quiesce \"command\" {{"
        )
    };
    scratch.edit_spec("  quiesce \"command\" {", &waive("\"pages/1.html\""));
    scratch.segue(&APPLY).expect_code(3);
    scratch.edit_spec("\"pages/1.html\"]", "\"pages/1.html\", \"pages/2*\"]");
    let planned = scratch.segue(&["plan"]).expect_code(0);
    assert!(planned.all().contains("every one of them is waived"), "{}", planned.all());
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(scratch.live(), disk.at("tree").display().to_string());
}

#[test]
fn a_target_that_is_read_only_is_refused_before_anything_runs() {
    let disk = Mount::made(16, &["mkfs.ext4", "-q", "-F"], &["-o", "loop,ro"]);
    let scratch = moved_to(&disk.at("tree"));
    let at = disk.path().display().to_string();
    for args in [&["plan"][..], &APPLY] {
        let ran = scratch.segue(args);
        assert_ne!(ran.code, Some(0), "{}", ran.all());
        assert!(ran.all().contains(&at), "{}", ran.all());
        assert!(ran.all().contains("Read-only file system"), "{}", ran.all());
        assert!(ran.all().contains("Mount the file system"), "{}", ran.all());
    }
}

#[test]
fn a_fresh_file_system_is_empty_and_what_mkfs_made_there_is_no_data() {
    let old = Mount::made(64, &["mkfs.ext4", "-q"], &["-o", "loop"]);
    let new = Mount::made(64, &["mkfs.ext4", "-q"], &["-o", "loop"]);
    let scratch = moved_to(new.path());
    let source = old.path().display().to_string();
    scratch.edit_spec("path = \"old\"", &format!("path = \"{source}\""));
    scratch.edit_spec("source = \"old\"", &format!("source = \"{source}\""));
    run("cp", &["-a", &scratch.at("old/.").display().to_string(), &source]);
    run("ln", &["-sfn", &source, &scratch.at("live").display().to_string()]);
    run("chmod", &["755", &new.at("lost+found").display().to_string()]);
    scratch.segue(&APPLY).expect_code(0);
    let plan = scratch.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    assert!(!plan.all().contains("lost+found"), "{}", plan.all());
    let mode = run("stat", &["-c", "%a", &new.at("lost+found").display().to_string()]);
    assert_eq!(mode.trim(), "755", "the target's own was touched");
}

#[test]
fn an_attribute_that_is_too_large_for_the_target_sets_one_record_aside() {
    let roomy = Mount::made(320, &["mkfs.xfs", "-q"], &["-o", "loop"]);
    let tight = Mount::made(64, &["mkfs.ext4", "-q"], &["-o", "loop"]);
    let scratch = Scratch::below(roomy.path());
    let place = tight.at("tree").display().to_string();
    scratch.edit_spec("path = \"new\"", &format!("path = \"{place}\""));
    scratch.edit_spec("target = \"new\"", &format!("target = \"{place}\""));
    scratch.edit_spec("live       = \"target\"", "live       = \"source\"");
    let value = "v".repeat(20_000);
    run(
        "setfattr",
        &["-n", "user.large", "-v", &value, &scratch.at("old/pages/1.html").display().to_string()],
    );
    let ran = scratch.segue(&APPLY);
    assert!(ran.all().contains("user.large (too large for it)"), "{}", ran.all());
    let status = scratch.status();
    assert_eq!(status["cutovers"][0]["set_aside_total"], 1, "{status}");
    assert!(tight.at("tree/pages/1.html").exists(), "its content is carried all the same");
    assert!(tight.at("tree/pages/2.html").exists(), "and so are all others");
}

#[test]
fn a_target_that_is_too_small_is_told_by_the_plan() {
    let small = Mount::tmpfs(8 * MIB as u64);
    let scratch = moved_to(&small.at("tree"));
    scratch.write("old/large", &"x".repeat(6 * MIB));
    // Holes take no room.
    run("truncate", &["-s", "1G", &scratch.at("old/holes").display().to_string()]);
    let plan = scratch.segue(&["plan"]).expect_code(0);
    assert!(plan.all().contains("warning[TARGET_SPACE]"), "{}", plan.all());
    run("rm", &[&scratch.at("old/large").display().to_string()]);
    let plan = scratch.segue(&["plan"]).expect_code(0);
    assert!(!plan.all().contains("TARGET_SPACE"), "{}", plan.all());
}

#[test]
fn flags_that_are_not_carried_are_told() {
    let scratch = Scratch::new();
    let at = scratch.at("old/pages/0.html").display().to_string();
    run("chattr", &["+a", &at]);
    let ran = scratch.segue(&["apply", "--auto-approve"]);
    run("chattr", &["-a", &at]);
    ran.expect_code(0).says("FILES_FLAGS").says("the first: pages/0.html in ");
}
