//! A load or pass that dies anywhere, and the one after it.

use std::sync::atomic::Ordering;

use segue_contract::{Direction, Engine, ErrorClass};
use segue_providers::engines::files::FilesEngine;

use crate::everything::fill;
use crate::world::{World, assert_same, io, put, snapshot};

/// Times that a step may be stopped before it must have ended.
const RUNS: usize = 500;

fn grow(world: &World, files: usize) {
    fill(&world.source);
    for i in 0..files {
        put(&world.source.join(format!("many/{}/{i}", i % 7)), format!("content {i}"));
    }
}

#[test]
fn a_load_stopped_again_and_again_goes_on_where_it_was() {
    let begun = || {
        let world = World::new();
        grow(&world, 300);
        // A large file that was half copied begins again: how often that is is another matter.
        put(&world.source.join("dir/x"), "small");
        world
    };
    let mut world = begun();
    let engine = FilesEngine::new().checkpoint_records(20);
    let mut written = 0;
    for run in 0..RUNS {
        world.io.calls_left.store(40 + run as i64 * 7, Ordering::SeqCst);
        let from = world.io.checkpoints.lock().unwrap().last().cloned();
        match engine.load(&world.job, from.as_ref(), &world.io) {
            Err(error) => assert_eq!(error.class, ErrorClass::Cancelled, "{error}"),
            Ok(report) => {
                assert!(run > 2, "it was never stopped");
                written = world.io.taken.load(Ordering::SeqCst);
                world.set(report.ledger);
                break;
            }
        }
    }
    world.io.calls_left.store(-1, Ordering::SeqCst);
    world.assert_equal();
    let at_once = begun();
    engine.load(&at_once.job, None, &at_once.io).unwrap();
    let all = at_once.io.taken.load(Ordering::SeqCst);
    assert!(written < all * 6, "{written} bytes, {all} at once: the load started over");
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(verified.mismatches, vec![]);
    // What a resumed load carried was not all scanned at once: a pass settles the position.
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(report.position, engine.position(&world.job, &world.io).unwrap());
}

#[test]
fn a_load_whose_checkpoints_fail_is_repeated_from_the_last_good_one() {
    for fail_at in 0..12 {
        let mut world = World::new();
        grow(&world, 120);
        let engine = FilesEngine::new().checkpoint_records(15);
        world.io.checkpoints_left.store(fail_at, Ordering::SeqCst);
        let first = engine.load(&world.job, None, &world.io);
        world.io.checkpoints_left.store(-1, Ordering::SeqCst);
        if first.is_ok() {
            continue;
        }
        // The source goes on changing meanwhile.
        std::fs::remove_file(world.source.join("many/0/0")).unwrap();
        put(&world.source.join("zzz"), "new");
        put(&world.source.join("many/1/1"), "changed");
        let from = world.io.checkpoints.lock().unwrap().last().cloned();
        let report = engine.load(&world.job, from.as_ref(), &world.io);
        if from.is_none() && report.is_err() {
            // Nothing says that what is there is Segue's: refused, not overwritten.
            continue;
        }
        world.set(report.unwrap().ledger);
        let report = engine.pass(&world.job, None, &world.io).unwrap();
        world.set(report.ledger);
        world.assert_equal();
        assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
    }
}

#[test]
fn a_load_repeated_after_its_end_is_found_done() {
    let mut world = World::new();
    grow(&world, 50);
    let engine = FilesEngine::new().checkpoint_records(10);
    engine.load(&world.job, None, &world.io).unwrap();
    let from = world.io.checkpoints.lock().unwrap().last().cloned();
    let report = engine.load(&world.job, from.as_ref(), &world.io).unwrap();
    world.set(report.ledger);
    world.assert_equal();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.bytes_written, 0);
}

#[test]
fn a_pass_stopped_anywhere_is_repeated_and_takes_its_own_work_for_its_own() {
    for direction in [Direction::Forward, Direction::Reverse] {
        for stop_at in (1..800).step_by(61) {
            let mut world = World::new();
            grow(&world, 60);
            let engine = FilesEngine::new();
            let report = engine.load(&world.job, None, &world.io).unwrap();
            world.set(report.ledger);
            world.job.direction = direction;
            let live =
                if direction == Direction::Forward { world.source.clone() } else { world.target.clone() };
            for i in 0..30 {
                put(&live.join(format!("many/{}/{i}", i % 7)), format!("changed {i} and longer"));
                put(&live.join(format!("fresh/{i}")), "new");
            }
            std::fs::remove_dir_all(live.join("hollow")).unwrap();
            put(&live.join("hollow"), "file now");
            std::fs::remove_file(live.join("a")).unwrap();
            put(&live.join("a/b"), "directory now");
            let stopping = io(&world.io.artifacts);
            stopping.calls_left.store(stop_at, Ordering::SeqCst);
            let first = engine.pass(&world.job, None, &stopping);
            if first.is_err() {
                let drift = engine.drift(&world.job, segue_contract::VerifyLevel::Count, &world.io).unwrap();
                assert_eq!(
                    drift.drifted,
                    vec![],
                    "what a dead pass did is nobody else's, stopped at {stop_at}"
                );
            }
            // What the dead pass wrote is no longer wanted, or wanted otherwise.
            std::fs::remove_file(live.join("fresh/3")).unwrap();
            put(&live.join("fresh/4"), "newer still");
            let report = match first {
                Ok(report) => {
                    world.set(report.ledger);
                    engine.pass(&world.job, None, &world.io).unwrap()
                }
                Err(error) => {
                    assert_eq!(error.class, ErrorClass::Cancelled, "{error}");
                    engine.pass(&world.job, None, &world.io).unwrap()
                }
            };
            assert_eq!(report.stale, vec![], "stopped at {stop_at}");
            world.set(report.ledger);
            assert_same(&snapshot(&world.source), &snapshot(&world.target));
            assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
        }
    }
}

/// The second pass finds the file listed, and gone when it opens it: what the dead pass put at the target is in
/// no ledger, and must not stay there.
#[test]
fn what_a_dead_pass_put_and_the_writer_took_away_meanwhile_is_removed() {
    let mut died_in_time = 0;
    for calls in (0..1000).step_by(40) {
        let mut world = World::new();
        put(&world.source.join("calm"), "x");
        let engine = FilesEngine::new();
        let report = engine.load(&world.job, None, &world.io).unwrap();
        world.set(report.ledger);
        put(&world.source.join("late"), "put by the pass that dies");
        for i in 0..300 {
            put(&world.source.join(format!("z/{i}")), format!("{i}"));
        }
        world.io.calls_left.store(calls, Ordering::SeqCst);
        let first = engine.pass(&world.job, None, &world.io);
        world.io.calls_left.store(-1, Ordering::SeqCst);
        if first.is_ok() || !world.target.join("late").exists() {
            continue;
        }
        died_in_time += 1;
        put(&world.source.join("early"), "read before it");
        let mut gone = Some(world.source.join("late"));
        *world.io.on_take.lock().unwrap() = Some(Box::new(move |_| {
            if let Some(path) = gone.take() {
                std::fs::remove_file(path).unwrap();
            }
        }));
        let report = engine.pass(&world.job, None, &world.io).unwrap();
        *world.io.on_take.lock().unwrap() = None;
        world.set(report.ledger);
        let report = engine.pass(&world.job, None, &world.io).unwrap();
        assert_eq!(report.stale, vec![]);
        world.set(report.ledger);
        world.assert_equal();
        assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
    }
    assert!(died_in_time > 0, "no pass died between its write and its end");
}

/// Stops a load in the middle, and takes away what a SIGKILL would have kept from the disk: its own record.
fn killed_load(world: &World, calls: i64) {
    world.io.calls_left.store(calls, Ordering::SeqCst);
    let error = FilesEngine::new().load(&world.job, None, &world.io).unwrap_err();
    assert_eq!(error.class, ErrorClass::Cancelled, "{error}");
    world.io.calls_left.store(-1, Ordering::SeqCst);
    for entry in std::fs::read_dir(&world.io.artifacts).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().contains("part") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn what_a_killed_load_had_not_recorded_is_released_all_the_same_and_nothing_else() {
    for calls in [3, 30, 90, 300] {
        let world = World::new();
        grow(&world, 300);
        std::fs::create_dir(&world.target).unwrap();
        killed_load(&world, calls);
        FilesEngine::new().release(&world.job, true, &world.io).unwrap();
        assert!(!world.target.exists(), "{calls}: {:?}", snapshot(&world.target).keys());
    }
    let world = World::new();
    grow(&world, 300);
    std::fs::create_dir(&world.target).unwrap();
    killed_load(&world, 300);
    put(&world.target.join("many/mine"), "a client's");
    FilesEngine::new().release(&world.job, true, &world.io).unwrap();
    let left: Vec<Vec<u8>> = snapshot(&world.target).into_keys().collect();
    assert_eq!(left, [&b""[..], b"many", b"many/mine"]);
}

#[test]
fn what_a_dead_pass_kept_aside_is_listed_by_the_next_one() {
    let mut world = World::new();
    grow(&world, 30);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.job.direction = Direction::Reverse;
    put(&world.target.join("a"), "a client's of the new side");
    put(&world.source.join("a"), "a stale writer's");
    put(&world.source.join("many/0/stale"), "only stale");
    // It kept the stale versions aside, overwrote one, removed the other, and died before its report.
    engine.pass(&world.job, None, &world.io).unwrap();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    let mut found: Vec<(&str, &str)> =
        report.stale.iter().map(|find| (find.key.as_str(), find.what.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [("a", "changed"), ("many/0/stale", "created")]);
    for find in &report.stale {
        let kept = world.io.artifacts.join(find.kept.as_ref().unwrap());
        assert!(std::fs::read_to_string(kept).unwrap().contains("stale"));
    }
    world.assert_equal();
}

#[test]
fn a_directory_that_is_gone_goes_and_what_nobody_noted_in_it_is_kept_aside_whatever_its_name() {
    let mut world = World::new();
    grow(&world, 30);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.job.direction = Direction::Reverse;
    std::fs::remove_dir_all(world.target.join("many/3")).unwrap();
    let name = format!("many/3/.segue-tmp-{:032x}", 7);
    put(&world.source.join(&name), "half");
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    assert_eq!(report.stale.iter().map(|find| find.key.as_str()).collect::<Vec<_>>(), [name]);
    assert!(!world.source.join("many/3").exists(), "{:?}", world.io.findings.lock().unwrap());
    world.assert_equal();
}
