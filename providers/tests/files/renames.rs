//! Renames are carried as renames: what moves keeps its inode at the target and no content is written; whatever the
//! order, whatever dies in the middle, both sides end alike.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use segue_contract::{Direction, Engine, ErrorClass, PassReport};
use segue_providers::engines::files::FilesEngine;

use crate::world::{World, io, put, set_mtime};

fn ino(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn loaded(fill: impl FnOnce(&Path)) -> World {
    let mut world = World::new();
    fill(&world.source);
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world
}

/// A pass, after which both sides are alike, the ledger says so, and nothing was anybody else's.
#[track_caller]
fn passed(world: &mut World) -> PassReport {
    let engine = FilesEngine::new();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!((&report.stale, &report.set_aside), (&vec![], &vec![]));
    world.set(report.ledger.clone());
    world.assert_equal();
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(verified.mismatches, vec![]);
    assert_eq!(engine.position(&world.job, &world.io).unwrap(), report.position);
    assert_eq!(engine.stale(&world.job, &world.io).unwrap().finds, vec![]);
    report
}

fn moved(world: &World, from: &str, to: &str) {
    let to = world.source.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(world.source.join(from), to).unwrap();
}

const LARGE: usize = 8 * 1024 * 1024;

#[test]
fn a_large_file_that_is_renamed_is_renamed_at_the_target_and_no_byte_is_copied() {
    let mut world = loaded(|source| {
        put(&source.join("a/large"), vec![7; LARGE]);
        put(&source.join("b"), "other");
    });
    let was = ino(&world.target.join("a/large"));
    for (from, to) in [("a/large", "z"), ("z", "a/0"), ("a/0", "new/deep/er/large"), ("new", "newer")] {
        moved(&world, from, to);
        let report = passed(&mut world);
        assert_eq!(report.bytes_written, 0, "{from} -> {to}");
    }
    assert_eq!(ino(&world.target.join("newer/deep/er/large")), was);
}

#[test]
fn a_directory_of_ten_thousand_files_is_one_rename() {
    let mut world = loaded(|source| {
        for i in 0..10_000 {
            put(&source.join(format!("dir/{}/{i}", i % 10)), format!("{i}"));
        }
    });
    let was = (ino(&world.target.join("dir")), ino(&world.target.join("dir/3/3")));
    moved(&world, "dir", "moved/here");
    let report = passed(&mut world);
    assert_eq!((report.bytes_written, report.records_deleted), (0, 0));
    assert_eq!((ino(&world.target.join("moved/here")), ino(&world.target.join("moved/here/3/3"))), was);
}

#[test]
fn chains_swaps_and_renames_over_others_end_right() {
    let large = |source: &Path| {
        for (i, name) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
            put(&source.join(name), vec![i as u8; LARGE]);
            // Not so fresh that a stale write could hide.
            set_mtime(&source.join(name), 1_000_000);
        }
    };
    // A chain: nothing is copied.
    let mut world = loaded(large);
    let was = ino(&world.target.join("a"));
    for (from, to) in [("c", "c2"), ("b", "c"), ("a", "b")] {
        moved(&world, from, to);
    }
    assert_eq!(passed(&mut world).bytes_written, 0);
    assert_eq!(ino(&world.target.join("b")), was);
    // Over another.
    moved(&world, "d", "e");
    assert_eq!(passed(&mut world).bytes_written, 0);
    // A swap: one of the two is copied.
    for (from, to) in [("b", "x"), ("c", "b"), ("x", "c")] {
        moved(&world, from, to);
    }
    assert_eq!(passed(&mut world).bytes_written, LARGE as u64);
    // Moved, and changed since.
    moved(&world, "f", "g");
    put(&world.source.join("g"), vec![9; LARGE]);
    assert_eq!(passed(&mut world).bytes_written, LARGE as u64);
}

#[test]
fn a_rename_in_a_renamed_directory_and_one_out_of_it_are_renames_too() {
    let mut world = loaded(|source| {
        put(&source.join("d/x"), vec![1; LARGE]);
        put(&source.join("d/y"), vec![2; LARGE]);
        put(&source.join("d/sub/z"), vec![3; LARGE]);
    });
    moved(&world, "d", "e");
    moved(&world, "e/x", "e/x2");
    moved(&world, "e/y", "out");
    moved(&world, "e/sub", "e/sup");
    put(&world.source.join("d/x"), "a new one in its old place");
    assert_eq!(passed(&mut world).bytes_written, 26);
}

#[test]
fn an_inode_that_came_back_with_the_same_size_and_time_is_no_rename() {
    let mut world = loaded(|source| {
        put(&source.join("a"), vec![1; LARGE]);
        set_mtime(&source.join("a"), 1_000_000);
    });
    // What an unpacked archive may look like: the inode is used again. Here it is the same file with other content.
    moved(&world, "a", "b");
    put(&world.source.join("b"), vec![2; LARGE]);
    set_mtime(&world.source.join("b"), 1_000_000);
    assert_eq!(passed(&mut world).bytes_written, LARGE as u64);
}

#[test]
fn files_with_several_names_and_excluded_ones_stay_right() {
    let mut world = World::new();
    world.job.select.exclude = vec!["cache/".to_owned(), "*.tmp".to_owned()];
    put(&world.source.join("d/one"), vec![1; LARGE]);
    fs::hard_link(world.source.join("d/one"), world.source.join("d/two")).unwrap();
    put(&world.source.join("k/large"), vec![2; LARGE]);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    moved(&world, "d", "e");
    passed(&mut world);
    // Out of what is selected, and in again.
    moved(&world, "k/large", "k/large.tmp");
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    assert!(!world.target.join("k/large").exists() && !world.target.join("k/large.tmp").exists());
    moved(&world, "k/large.tmp", "k/back");
    passed(&mut world);
}

#[test]
fn what_a_stale_writer_touched_is_kept_and_not_renamed() {
    let world = loaded(|source| {
        put(&source.join("a"), vec![1; LARGE]);
        put(&source.join("d/x"), vec![2; LARGE]);
        put(&source.join("d/y"), vec![3; LARGE]);
    });
    put(&world.target.join("a"), "stale");
    put(&world.target.join("d/foreign"), "stale, too");
    moved(&world, "a", "b");
    moved(&world, "d", "e");
    let engine = FilesEngine::new();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(report.stale.iter().map(|find| find.key.as_str()).collect::<Vec<_>>(), ["a"]);
    // The files of the directory moved one by one, and what is foreign stayed where it was.
    assert_eq!(report.bytes_written, LARGE as u64);
    assert_eq!(fs::read(world.target.join("d/foreign")).unwrap(), b"stale, too");
    assert_eq!(fs::read(world.target.join("e/y")).unwrap(), vec![3; LARGE]);
}

/// The log names a rename before it is done: a pass that died between the two has not done it.
#[test]
fn a_rename_that_was_logged_and_not_done_is_done_by_the_next_pass() {
    let mut died_in_time = 0;
    for calls in 0..40 {
        let mut world = loaded(|source| {
            put(&source.join("a"), vec![7; 300_000]);
            set_mtime(&source.join("a"), 1_000_000);
        });
        moved(&world, "a", "b");
        let dying = io(&world.io.artifacts);
        dying.calls_left.store(calls, Ordering::SeqCst);
        if FilesEngine::new().pass(&world.job, None, &dying).is_ok() || !world.target.join("b").exists() {
            continue;
        }
        died_in_time += 1;
        let log = fs::read_dir(&world.io.artifacts).unwrap().map(|entry| entry.unwrap().path());
        let log = log.into_iter().find(|path| path.to_str().unwrap().contains("/moves-")).unwrap();
        let mut bytes = fs::read(&log).unwrap();
        bytes.extend([&1_u32.to_le_bytes()[..], b"b", &1_u32.to_le_bytes(), b"c"].concat());
        bytes.extend(ino(&world.target.join("b")).to_le_bytes());
        // Whole, or torn.
        bytes.truncate(bytes.len() - (calls % 4) as usize);
        fs::write(log, bytes).unwrap();
        if calls % 3 == 0 {
            moved(&world, "b", "c");
        }
        assert_eq!(passed(&mut world).bytes_written, 0, "stopped at {calls}");
    }
    assert!(died_in_time > 3, "{died_in_time} passes died between rename and ledger");
}

/// Two levels of few names, so that renames meet: `0`, `0/1`, ...
fn named(root: &Path, a: u8, b: u8) -> std::path::PathBuf {
    let top = root.join(format!("{}", a % 5));
    if b.is_multiple_of(3) { top } else { top.join(format!("{}", b % 5)) }
}

fn rename_any(root: &Path, (a, b, c, d): (u8, u8, u8, u8)) {
    let (from, to) = (named(root, a, b), named(root, c, d));
    if fs::symlink_metadata(&from).is_ok() && !to.starts_with(&from) && !from.starts_with(&to) {
        let above = to.parent().unwrap();
        if fs::create_dir_all(above).is_ok() {
            // Over what is there, where that can be; refused is no matter.
            let _ = fs::rename(from, to);
        }
    }
}

#[test]
fn random_renames_end_alike_also_when_passes_die_in_the_middle() {
    let renames = || proptest::collection::vec(any::<(u8, u8, u8, u8)>(), 1..12);
    let rounds = proptest::collection::vec((renames(), renames(), 0_i64..60, any::<bool>()), 1..5);
    let cases = std::env::var("SEGUE_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&rounds, |rounds| {
            let mut world = loaded(|source| {
                for i in 0..5_u8 {
                    for j in 0..5_u8 {
                        if (i + j) % 3 > 0 {
                            put(&source.join(format!("{i}/{j}")), vec![i * 5 + j; 100_000]);
                        }
                    }
                }
            });
            for (before, after, calls, turn) in rounds {
                if turn {
                    world.job.direction = match world.job.direction {
                        Direction::Forward => Direction::Reverse,
                        Direction::Reverse => Direction::Forward,
                    };
                }
                let live = match world.job.direction {
                    Direction::Forward => world.source.clone(),
                    Direction::Reverse => world.target.clone(),
                };
                before.iter().for_each(|act| rename_any(&live, *act));
                let dying = io(&world.io.artifacts);
                dying.calls_left.store(calls, Ordering::SeqCst);
                match FilesEngine::new().pass(&world.job, None, &dying) {
                    Ok(report) => world.set(report.ledger),
                    Err(error) => assert_eq!(error.class, ErrorClass::Cancelled, "{error}"),
                }
                after.iter().for_each(|act| rename_any(&live, *act));
                passed(&mut world);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_directory_that_was_made_for_a_rename_and_is_renamed_on_at_once_leaves_nothing() {
    let mut world = loaded(|source| {
        for i in 0..40 {
            put(&source.join(format!("old/{i:02}")), format!("{i}").repeat(100_000));
        }
        put(&source.join("stays"), "here");
    });
    fs::create_dir(world.source.join("new")).unwrap();
    for i in 0..40 {
        fs::rename(world.source.join(format!("old/{i:02}")), world.source.join(format!("new/{i:02}")))
            .unwrap();
    }
    // So that the files are what was renamed, and not their directory.
    put(&world.source.join("old/fresh"), "holds it");
    let (made, from, to) = (world.target.join("new"), world.source.join("new"), world.source.join("newer"));
    *world.io.on_asked.lock().unwrap() = Some(Box::new(move || {
        if made.exists() && from.exists() {
            fs::rename(&from, &to).unwrap();
        }
    }));
    let report = FilesEngine::new().pass(&world.job, None, &world.io).unwrap();
    assert!(world.source.join("newer").exists(), "it was renamed while the pass renamed");
    *world.io.on_asked.lock().unwrap() = None;
    assert!(!world.target.join("new").exists(), "no ledger names it");
    world.set(report.ledger);
    passed(&mut world);
}

#[test]
fn a_directory_that_a_dead_pass_made_for_a_rename_gives_way_to_a_file() {
    let mut world = loaded(|source| {
        put(&source.join("stays"), "or all that the ledger knows would go");
        for i in 0..40 {
            put(&source.join(format!("old/{i:02}")), format!("{i}").repeat(100_000));
        }
    });
    fs::create_dir(world.source.join("new")).unwrap();
    for i in 0..40 {
        fs::rename(world.source.join(format!("old/{i:02}")), world.source.join(format!("new/{i:02}")))
            .unwrap();
    }
    put(&world.source.join("old/fresh"), "holds it");
    // It dies between two renames.
    let stopping = io(&world.io.artifacts);
    let made = world.target.join("new");
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&calls);
    *stopping.on_asked.lock().unwrap() = Some(Box::new(move || seen.store(made.exists(), Ordering::SeqCst)));
    let mut stop_at = 1;
    while !calls.load(Ordering::SeqCst) {
        stopping.calls_left.store(stop_at, Ordering::SeqCst);
        let error = FilesEngine::new().pass(&world.job, None, &stopping).unwrap_err();
        assert_eq!(error.class, ErrorClass::Cancelled, "{error}");
        stop_at += 1;
    }
    fs::remove_dir_all(world.source.join("new")).unwrap();
    put(&world.source.join("new"), "a file now");
    passed(&mut world);
}
