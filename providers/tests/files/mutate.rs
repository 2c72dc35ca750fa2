//! Random changes, a pass, and both trees must be alike: in one direction, then turned round, and again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use segue_contract::{Direction, Engine};
use segue_providers::engines::files::FilesEngine;

use crate::world::{World, put, set_mtime};

/// Eight names two levels deep: small enough that changes meet.
const NAMES: [&str; 8] = ["a", "a.b", "b", "c", "d", "d-e", "e", "f"];

#[derive(Clone, Debug)]
enum Act {
    Write(u8, u8, u16),
    Append(u8, u8),
    Remove(u8, u8),
    Rename(u8, u8, u8, u8),
    Link(u8, u8, u8, u8),
    Symlink(u8, u8, u8),
    Fifo(u8, u8),
    Dir(u8),
    Chmod(u8, u8, u16),
    Chown(u8, u8, u16),
    Xattr(u8, u8, u8),
    Mtime(u8, u8, u32),
}

fn act() -> impl Strategy<Value = Act> {
    let n = || any::<u8>();
    prop_oneof![
        4 => (n(), n(), any::<u16>()).prop_map(|(a, b, c)| Act::Write(a, b, c)),
        2 => (n(), n()).prop_map(|(a, b)| Act::Append(a, b)),
        3 => (n(), n()).prop_map(|(a, b)| Act::Remove(a, b)),
        3 => (n(), n(), n(), n()).prop_map(|(a, b, c, d)| Act::Rename(a, b, c, d)),
        3 => (n(), n(), n(), n()).prop_map(|(a, b, c, d)| Act::Link(a, b, c, d)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Act::Symlink(a, b, c)),
        1 => (n(), n()).prop_map(|(a, b)| Act::Fifo(a, b)),
        2 => n().prop_map(Act::Dir),
        1 => (n(), n(), any::<u16>()).prop_map(|(a, b, c)| Act::Chmod(a, b, c)),
        1 => (n(), n(), any::<u16>()).prop_map(|(a, b, c)| Act::Chown(a, b, c)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Act::Xattr(a, b, c)),
        1 => (n(), n(), any::<u32>()).prop_map(|(a, b, c)| Act::Mtime(a, b, c)),
    ]
}

fn path(root: &Path, a: u8, b: u8) -> PathBuf {
    let top = root.join(NAMES[usize::from(a) % 8]);
    if b.is_multiple_of(3) { top } else { top.join(NAMES[usize::from(b) % 8]) }
}

fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Makes sure that the directory above is one; what is in the way goes.
fn room(root: &Path, path: &Path) {
    let parent = path.parent().unwrap();
    if parent != root && !fs::symlink_metadata(parent).is_ok_and(|meta| meta.is_dir()) {
        clear(parent);
        fs::create_dir(parent).unwrap();
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn do_it(root: &Path, act: &Act) {
    match *act {
        Act::Write(a, b, len) => {
            let path = path(root, a, b);
            room(root, &path);
            if !is_file(&path) {
                clear(&path);
            }
            put(&path, vec![a ^ b; usize::from(len)]);
        }
        Act::Append(a, b) => {
            let path = path(root, a, b);
            if is_file(&path) {
                let mut content = fs::read(&path).unwrap();
                content.push(b);
                fs::write(&path, content).unwrap();
            }
        }
        Act::Remove(a, b) => clear(&path(root, a, b)),
        Act::Rename(a, b, c, d) => {
            let (from, to) = (path(root, a, b), path(root, c, d));
            if exists(&from) && !to.starts_with(&from) && !from.starts_with(&to) {
                room(root, &to);
                // The way to it may lead through what is cleared, by a symbolic link.
                clear(&to);
                if exists(&from) {
                    fs::rename(from, to).unwrap();
                }
            }
        }
        Act::Link(a, b, c, d) => {
            let (from, to) = (path(root, a, b), path(root, c, d));
            if is_file(&from) && !to.starts_with(&from) && !from.starts_with(&to) {
                room(root, &to);
                clear(&to);
                if is_file(&from) {
                    fs::hard_link(from, to).unwrap();
                }
            }
        }
        Act::Symlink(a, b, c) => {
            let path = path(root, a, b);
            room(root, &path);
            clear(&path);
            symlink(NAMES[usize::from(c) % 8], path).unwrap();
        }
        Act::Fifo(a, b) => {
            let path = path(root, a, b);
            room(root, &path);
            clear(&path);
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }
        Act::Dir(a) => {
            let path = path(root, a, 0);
            if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                clear(&path);
                fs::create_dir(path).unwrap();
            }
        }
        Act::Chmod(..) | Act::Chown(..) | Act::Xattr(..) | Act::Mtime(..) => describe(root, act),
    }
}

/// Changes what is said of a path, and not what it is.
fn describe(root: &Path, act: &Act) {
    match *act {
        Act::Chmod(a, b, mode) => {
            let path = path(root, a, b);
            if exists(&path) && !path.is_symlink() {
                fs::set_permissions(path, fs::Permissions::from_mode(u32::from(mode) & 0o7777)).unwrap();
            }
        }
        Act::Chown(a, b, id) => {
            let path = path(root, a, b);
            if exists(&path) && !path.is_symlink() {
                chown(path, Some(u32::from(id)), Some(7)).unwrap();
            }
        }
        Act::Xattr(a, b, value) => {
            let path = path(root, a, b);
            if is_file(&path) {
                rustix::fs::setxattr(path, "user.v", &[value], XattrFlags::empty()).unwrap();
            }
        }
        Act::Mtime(a, b, s) => {
            let path = path(root, a, b);
            if exists(&path) {
                set_mtime(&path, i64::from(s));
            }
        }
        _ => {}
    }
}

#[test]
fn random_changes_are_carried_both_ways() {
    let rounds = proptest::collection::vec(proptest::collection::vec(act(), 0..24), 1..6);
    let cases = std::env::var("SEGUE_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&rounds, |rounds| {
            let mut world = World::new();
            let engine = FilesEngine::new();
            let (first, later) = rounds.split_first().unwrap();
            // A tree that loses its last file is asked about.
            put(&world.source.join("stays"), "whatever else goes");
            first.iter().for_each(|act| do_it(&world.source, act));
            let report = engine.load(&world.job, None, &world.io).unwrap();
            world.set(report.ledger);
            world.assert_equal();
            for (round, acts) in later.iter().enumerate() {
                world.job.direction = if round % 3 == 2 { Direction::Reverse } else { Direction::Forward };
                let live = match world.job.direction {
                    Direction::Forward => world.source.clone(),
                    Direction::Reverse => world.target.clone(),
                };
                acts.iter().for_each(|act| do_it(&live, act));
                let report = engine.pass(&world.job, None, &world.io).unwrap();
                assert_eq!(report.set_aside, vec![]);
                assert_eq!(report.stale, vec![], "round {round}");
                world.set(report.ledger);
                world.assert_equal();
                let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
                assert_eq!(verified.mismatches, vec![]);
                assert_eq!(engine.position(&world.job, &world.io).unwrap(), report.position);
                assert_eq!(engine.stale(&world.job, &world.io).unwrap().finds, vec![]);
                let drift = engine.drift(&world.job, segue_contract::VerifyLevel::Count, &world.io).unwrap();
                assert_eq!((drift.waiting_records, drift.drifted), (0, vec![]));
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_directory_that_is_renamed_while_a_pass_runs_is_the_next_ones_and_not_set_aside() {
    let mut world = World::new();
    for i in 0..2_000 {
        put(&world.source.join(format!("first/{i:04}")), "there before");
    }
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    for i in 0..2_000 {
        put(&world.source.join(format!("first/{i:04}")), "changed since");
    }
    fs::create_dir(world.source.join("then")).unwrap();
    fs::create_dir(world.source.join("then/deeper")).unwrap();
    let (from, to) = (world.source.join("then"), world.source.join("zz"));
    let mut once = Some(());
    // The scan has listed the root by then; two thousand files are between this and the directory's turn.
    *world.io.on_take.lock().unwrap() = Some(Box::new(move |_| {
        if once.take().is_some() {
            fs::rename(&from, &to).unwrap();
        }
    }));
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert!(world.source.join("zz").exists(), "it was renamed in the pass");
    assert_eq!(report.set_aside, []);
    *world.io.on_take.lock().unwrap() = None;
    world.set(report.ledger);
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(report.set_aside, []);
    world.assert_equal();
}
