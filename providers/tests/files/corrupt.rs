//! A target damaged behind Segue's back: found at the level that claims to find it, and repaired.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use segue_contract::{Engine, VerifyCall, VerifyLevel};
use segue_providers::engines::files::FilesEngine;

use crate::everything::fill;
use crate::world::{World, put};

fn times(path: &Path) -> rustix::fs::Timestamps {
    let meta = fs::metadata(path).unwrap();
    let spec = |s, ns| rustix::fs::Timespec { tv_sec: s, tv_nsec: ns };
    rustix::fs::Timestamps {
        last_access: spec(meta.atime(), meta.atime_nsec()),
        last_modification: spec(meta.mtime(), meta.mtime_nsec()),
    }
}

fn keep_times(path: &Path, damage: impl FnOnce()) {
    let before = times(path);
    damage();
    rustix::fs::utimensat(rustix::fs::CWD, path, &before, rustix::fs::AtFlags::empty()).unwrap();
}

/// The damage, the least level that must find it, and what it is called.
type Case = (&'static str, VerifyLevel, fn(&Path), &'static str);

const CASES: [Case; 10] = [
    ("flipped byte, time kept", VerifyLevel::Sampled, flip, "content"),
    ("missing file", VerifyLevel::Count, |t| fs::remove_file(t.join("a.txt")).unwrap(), "missing at target"),
    ("extra file", VerifyLevel::Count, |t| put(&t.join("dir/extra"), "x"), "extra at target"),
    ("older version", VerifyLevel::Count, |t| put(&t.join("a.txt"), "tw"), "size"),
    ("older version of the same size", VerifyLevel::Count, |t| put(&t.join("a.txt"), "TWO"), "mtime"),
    ("wrong mode", VerifyLevel::Count, mode, "mode"),
    (
        "wrong owner",
        VerifyLevel::Count,
        |t| std::os::unix::fs::chown(t.join("a.txt"), Some(9), None).unwrap(),
        "owner",
    ),
    ("wrong attribute", VerifyLevel::Count, attribute, "attributes"),
    ("another link target", VerifyLevel::Count, relink, "link target"),
    ("a link broken in two", VerifyLevel::Count, unlink, "hard link"),
];

fn flip(target: &Path) {
    let path = target.join("dir/x");
    keep_times(&path, || {
        let mut content = fs::read(&path).unwrap();
        content[350_000] ^= 1;
        fs::write(&path, content).unwrap();
    });
}

fn mode(target: &Path) {
    fs::set_permissions(target.join("a.txt"), fs::Permissions::from_mode(0o777)).unwrap();
}

fn attribute(target: &Path) {
    rustix::fs::setxattr(target.join("a.txt"), "user.x", b"y", rustix::fs::XattrFlags::empty()).unwrap();
}

fn relink(target: &Path) {
    let path = target.join("link");
    let meta = fs::symlink_metadata(&path).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("dir/y", &path).unwrap();
    rustix::fs::lsetxattr(&path, "trusted.link", b"l", rustix::fs::XattrFlags::empty()).unwrap();
    let time = rustix::fs::Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    let both = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &both, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn unlink(target: &Path) {
    let path = target.join("zz-x");
    let before = times(&path);
    let content = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    rustix::fs::utimensat(rustix::fs::CWD, &path, &before, rustix::fs::AtFlags::empty()).unwrap();
}

#[test]
fn every_damage_is_found_at_its_level_and_repaired() {
    for (name, least, damage, word) in CASES {
        let mut world = World::new();
        fill(&world.source);
        let engine = FilesEngine::new();
        let report = engine.load(&world.job, None, &world.io).unwrap();
        world.set(report.ledger);
        damage(&world.target);
        let mut last = Vec::new();
        for level in [VerifyLevel::Count, VerifyLevel::Sampled, VerifyLevel::Full] {
            let call = VerifyCall { level, since: None, quiet: false, set_aside: Vec::new() };
            let found = engine.verify(&world.job, &call, &world.io).unwrap();
            if level >= least {
                assert!(
                    found.mismatches.iter().any(|m| m.what == word),
                    "{name} at {level:?}: {:?}",
                    found.mismatches
                );
            }
            assert_eq!(found.mismatches_total, found.mismatches.len() as u64);
            last = found.mismatches;
        }
        let drift = engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap();
        assert!(drift.drifted_total > 0, "{name}, {last:?}");
        let found = engine.verify(&world.job, &world.full(), &world.io).unwrap();
        let report = engine.repair(&world.job, &found, &world.io).unwrap();
        world.set(report.ledger);
        world.assert_equal();
        let again = engine.verify(&world.job, &world.full(), &world.io).unwrap();
        assert_eq!(again.mismatches, vec![], "{name}");
    }
}

#[test]
fn a_first_name_that_is_written_anew_takes_its_later_names_along() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    // Until nothing is too fresh to be sure of.
    loop {
        let report = engine.pass(&world.job, None, &world.io).unwrap();
        if world.job.ledger.as_ref() == Some(&report.ledger) {
            break;
        }
        world.set(report.ledger);
    }
    fs::remove_file(world.target.join("a.txt")).unwrap();
    let mut found = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    let one = found.mismatches.first_mut().unwrap();
    // The first name of three.
    "dir/x".clone_into(&mut one.key);
    let report = engine.repair(&world.job, &found, &world.io).unwrap();
    world.set(report.ledger);
    world.assert_equal();
    let again = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(again.mismatches, vec![]);
}

#[test]
fn changes_on_the_live_side_are_residual_until_it_is_quiet() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    let first = report.ledger.clone();
    world.set(report.ledger);
    put(&world.source.join("a.txt"), "newer");
    put(&world.source.join("created"), "created");
    fs::remove_file(world.source.join("dir/empty")).unwrap();
    let call = VerifyCall { level: VerifyLevel::Full, since: None, quiet: false, set_aside: Vec::new() };
    let found = engine.verify(&world.job, &call, &world.io).unwrap();
    assert_eq!(found.mismatches, vec![]);
    // The three and their directory.
    assert_eq!(found.residual, 4);
    let quiet = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(quiet.mismatches_total, 4, "{:?}", quiet.mismatches);
    let drift = engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap();
    assert_eq!((drift.waiting_records, drift.drifted_total), (4, 0), "{drift:?}");

    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    let since =
        VerifyCall { level: VerifyLevel::Full, since: Some(first), quiet: true, set_aside: Vec::new() };
    let residual = engine.verify(&world.job, &since, &world.io).unwrap();
    assert_eq!(residual.mismatches, vec![]);
    assert!(residual.records_checked >= 3 && residual.records_checked < 8, "{residual:?}");
    put(&world.target.join("dir/empty"), "back again");
    put(&world.target.join("created"), "CREATED");
    let residual = engine.verify(&world.job, &since, &world.io).unwrap();
    let mut keys: Vec<_> = residual.mismatches.iter().map(|found| found.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["created", "dir", "dir/empty"]);
}
