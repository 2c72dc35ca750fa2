//! Writers that wrote to a side that should have had no writes.

use std::fs;

use segue_contract::{Direction, Engine};
use segue_providers::engines::files::FilesEngine;

use crate::everything::fill;
use crate::world::{World, put};

fn reversed() -> World {
    let mut world = World::new();
    fill(&world.source);
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.job.direction = Direction::Reverse;
    world
}

#[test]
fn a_name_that_a_reverse_pass_deletes_leaves_the_others_no_hidden_name() {
    let mut world = World::new();
    put(&world.source.join("one"), "content");
    put(&world.source.join("stays"), "whatever else goes");
    fs::hard_link(world.source.join("one"), world.source.join("two")).unwrap();
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.job.direction = Direction::Reverse;
    fs::remove_file(world.target.join("two")).unwrap();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!((report.records_deleted, report.kept_deleted.as_ref().unwrap().records), (1, 1));
    world.set(report.ledger);
    world.assert_equal();
}

#[test]
fn a_reverse_pass_keeps_stale_writes_aside_wherever_they_are() {
    let mut world = reversed();
    let engine = FilesEngine::new();
    put(&world.target.join("a"), "changed by a client of the new side");
    put(&world.source.join("a"), "changed by a stale writer too");
    put(&world.source.join("a.txt"), "only stale");
    put(&world.source.join("late/comer"), "created stale");
    fs::remove_file(world.source.join("dir/empty")).unwrap();
    let seen = engine.stale(&world.job, &world.io).unwrap();
    let words = |finds: &[segue_contract::StaleFind]| {
        let mut words: Vec<_> = finds.iter().map(|f| (f.key.clone(), f.what.clone())).collect();
        words.sort();
        words
    };
    let expected: Vec<_> = [
        ("a", "changed"),
        ("a.txt", "changed"),
        ("dir/empty", "deleted"),
        ("late", "created"),
        ("late/comer", "created"),
    ]
    .map(|(key, what)| (key.to_owned(), what.to_owned()))
    .into();
    assert_eq!(words(&seen.finds), expected);
    assert!(seen.finds.iter().all(|find| find.kept.is_none()));

    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(words(&report.stale), expected);
    assert_eq!(report.stale_total, 5);
    world.set(report.ledger);
    world.assert_equal();
    let kept = |key: &str| {
        let find = report.stale.iter().find(|find| find.key == key).unwrap();
        fs::read_to_string(world.io.artifacts.join(find.kept.as_ref().unwrap())).unwrap()
    };
    assert_eq!(kept("a"), "changed by a stale writer too");
    assert_eq!(kept("a.txt"), "only stale");
    assert_eq!(kept("late/comer"), "created stale");
    assert_eq!(engine.stale(&world.job, &world.io).unwrap().total, 0);
    let again = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(again.stale_total, 0, "{:?}", again.stale);
}

#[test]
fn a_stale_file_where_a_directory_is_to_be_and_the_other_way_round() {
    let mut world = reversed();
    put(&world.target.join("new-dir/file"), "x");
    put(&world.source.join("new-dir"), "a stale file");
    put(&world.target.join("new-file"), "y");
    put(&world.source.join("new-file/inner"), "a stale directory");
    let report = FilesEngine::new().pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.assert_equal();
    let stale = world.io.artifacts.join("stale/migration.site/2");
    assert_eq!(fs::read_to_string(stale.join("new-dir")).unwrap(), "a stale file");
    assert_eq!(fs::read_to_string(stale.join("new-file/inner")).unwrap(), "a stale directory");
}

#[test]
fn drift_at_the_target_is_kept_aside_before_a_forward_pass_writes_over_it() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    put(&world.source.join("a.txt"), "newer");
    put(&world.target.join("a.txt"), "somebody's");
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(report.stale_total, 1);
    world.assert_equal();
    let kept = world.io.artifacts.join(report.stale[0].kept.as_ref().unwrap());
    assert_eq!(fs::read_to_string(kept).unwrap(), "somebody's");
}

#[test]
fn the_process_that_holds_a_stale_file_is_named() {
    let world = reversed();
    let path = world.source.join("held");
    let _held = fs::File::create(&path).unwrap();
    let seen = FilesEngine::new().stale(&world.job, &world.io).unwrap();
    let find = seen.finds.iter().find(|find| find.key == "held").unwrap();
    assert!(find.process.as_ref().is_some_and(|p| p.contains(&std::process::id().to_string())), "{find:?}");
}

#[test]
fn releasing_removes_what_segue_made_and_leaves_the_rest() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    put(&world.target.join("dir/mine"), "not Segue's");
    put(&world.target.join("a"), "changed");
    engine.release(&world.job, true, &world.io).unwrap();
    let mut left: Vec<_> =
        crate::world::snapshot(&world.target).into_keys().map(|k| String::from_utf8(k).unwrap()).collect();
    left.sort();
    assert_eq!(left, ["", "a", "dir", "dir/mine"]);
    assert!(world.io.findings.lock().unwrap().iter().any(|f| f.code == "FILES_LEFT"));
    fs::remove_dir_all(&world.target).unwrap();
    engine.release(&world.job, true, &world.io).unwrap();

    let mut world = World::new();
    fill(&world.source);
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    engine.release(&world.job, true, &world.io).unwrap();
    assert!(!world.target.exists());
}

#[test]
fn what_a_pass_wrote_is_no_stale_writers_when_the_run_died_before_its_ledger_was_recorded() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    put(&world.source.join("a"), "changed");
    put(&world.source.join("fresh"), "made");
    // The pass ends, and nobody records its ledger: the next one begins from the old one, on a source that went on.
    engine.pass(&world.job, None, &world.io).unwrap();
    put(&world.source.join("a"), "changed again, and longer");
    put(&world.source.join("fresh"), "made again, and longer");
    let again = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(again.stale_total, 0, "{:?}", again.stale);
    world.set(again.ledger);
    world.assert_equal();
    // And once it is recorded, what somebody else writes is found.
    put(&world.target.join("a"), "a stale writer's");
    assert_eq!(engine.stale(&world.job, &world.io).unwrap().total, 1);
}
