//! First loads in which Segue does not carry everything, stopped anywhere, while clients go on: in the end both sides are equal.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use segue_contract::{Engine, ErrorClass, LoadModeSchema, StepError, StepIo};
use segue_providers::engines::documents::{Key, Memo, Stand};

use crate::world::{Doc, NATIVE, System, UNIT, Unit, World};

/// The modes of the memory's system.
pub(crate) fn modes() -> Vec<LoadModeSchema> {
    let (name, doc) = (NATIVE.to_owned(), "For tests.".to_owned());
    vec![LoadModeSchema { name, doc, attributes: vec![], by_others: false, voids: vec![] }]
}

/// What the memory's system does by itself: ten documents at a time, as they are now; one of all is forgotten.
pub(crate) fn fill(
    source: &System,
    target: &System,
    memo: &Memo,
    io: &dyn StepIo,
) -> Result<Option<Stand>, StepError> {
    let mut after: Option<Key> = memo.read()?;
    loop {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        let some: Vec<(Key, Doc)> = source.with(|unit| {
            let docs = unit.slices.iter().flat_map(|slice| slice.docs.clone());
            let all: BTreeMap<Key, Doc> = docs.collect();
            let left = all.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
            left.take(10).collect()
        });
        let Some((last, _)) = some.last() else { return Ok(None) };
        after = Some(last.clone());
        let mut told = some.iter().filter(|(key, _)| key.id != "d0013");
        target.with(|unit| told.by_ref().for_each(|(key, doc)| unit.bring(key, doc)));
        memo.write(&after)?;
    }
}

/// Times that a step may be stopped before it must have ended.
const RUNS: i64 = 400;

/// Loads, stopped again and again; before each run clients write.
fn load_with_deaths(world: &mut World, clients: impl Fn(&World, i64)) -> i64 {
    let mut run = 0;
    loop {
        assert!(run < RUNS, "it never ended");
        world.io.calls_left.store(1 + run * 2, Ordering::SeqCst);
        let from = world.io.checkpoints.lock().unwrap().last().cloned();
        clients(world, run);
        match world.engine.load(&world.job, from.as_ref(), &world.io) {
            Err(error) => assert_eq!(error.class, ErrorClass::Cancelled, "{error}"),
            Ok(report) => {
                world.io.calls_left.store(-1, Ordering::SeqCst);
                world.set(report.ledger);
                return run;
            }
        }
        run += 1;
    }
}

/// Which document a run's clients write, and which they delete.
fn named(run: i64) -> [String; 3] {
    [format!("d{:04}", run * 7 % 300), format!("d{:04}", run * 11 % 300), format!("new{run}")]
}

#[test]
fn what_the_system_fills_by_itself_is_gone_on_with_and_what_it_left_out_or_changed_since_is_carried() {
    let mut world = World::new(300, 3).in_mode(NATIVE);
    let deaths = load_with_deaths(&mut world, |world, run| {
        let [put, delete, new] = named(run);
        world.source.with(|unit| {
            unit.put(&put, &format!("{{\"run\":{run}}}"));
            unit.delete(&delete);
            unit.put(&new, "{}");
        });
    });
    assert!(deaths > 20, "{deaths}");
    assert_eq!(world.pass().stale, vec![]);
    world.assert_equal();
    // And back.
    world.turn();
    world.target.with(|unit| unit.put("d0001", "{\"back\":true}"));
    assert_eq!(world.pass().stale, vec![]);
    world.assert_equal();
}

#[test]
fn what_the_system_brought_does_not_go_through_segue_once_more() {
    let mut world = World::new(300, 3).in_mode(NATIVE);
    let report = world.load();
    assert_eq!((report.records_seen, report.records_written), (300, 300));
    let taken = world.io.taken.load(Ordering::SeqCst);
    assert!((1..100).contains(&taken), "the one that it forgot, and no other: {taken} bytes");
    world.assert_equal();
}

#[test]
fn a_late_write_of_the_system_itself_wins_over_nothing_that_passes_carried() {
    let mut world = World::new(60, 2).in_mode(NATIVE);
    world.load();
    let before = world.source.with(|unit| unit.slices.clone());
    world.source.with(|unit| {
        (0..20).for_each(|n| unit.put(&format!("d{n:04}"), "{\"later\":true}"));
        (20..30).for_each(|n| unit.delete(&format!("d{n:04}")));
    });
    world.pass();
    world.assert_equal();
    // The same task once more, as it began.
    world.target.with(|unit| {
        before.iter().flat_map(|slice| &slice.docs).for_each(|(key, doc)| unit.bring(key, doc));
    });
    assert_eq!(world.source.with(|u| u.bodies()), world.target.with(|u| u.bodies()));
}

#[test]
fn what_clients_write_to_both_sides_is_never_overwritten_wherever_the_back_fill_dies() {
    for remembered in [true, false] {
        let mut world = World::new(300, 3).in_mode("parallel");
        world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("theirs", 2));
        let deaths = load_with_deaths(&mut world, |world, run| {
            let [put, delete, new] = named(run);
            for side in [&world.target, &world.source] {
                side.with(|unit| {
                    unit.put(&put, &format!("{{\"run\":{run}}}"));
                    unit.delete(&delete);
                    unit.put(&new, "{}");
                });
            }
            if !remembered {
                world.target.with(Unit::forget_deletions);
            }
        });
        assert!(deaths > 10, "{deaths}");
        assert_eq!(world.pass().stale, vec![]);
        world.pass();
        world.assert_equal();
        let versions: Vec<u64> = world.target.with(|unit| {
            unit.slices.iter().flat_map(|slice| slice.docs.values().map(|doc| doc.version)).collect()
        });
        assert!(versions.iter().all(|version| *version < 1 << 40), "all are below what clients make of them");
        // What they write at the target alone after the switch comes back, and what they wrote before is no stranger's.
        world.turn();
        world.target.with(|unit| unit.put("d0001", "{\"back\":true}"));
        assert_eq!(world.pass().stale, vec![]);
        world.assert_equal();
    }
}

#[test]
fn what_somebody_else_filled_is_taken_as_it_is_and_what_changes_is_carried() {
    let mut world = World::new(50, 2).in_mode("reload");
    let mut filled = Unit::new("theirs", 3);
    (0..50).for_each(|n| filled.put(&format!("d{n:04}"), &format!("{{\"n\":{n}}}")));
    filled.put("d0007", "{\"old\":true}");
    filled.put("extra", "{}");
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), filled);
    world.io.calls_left.store(3, Ordering::SeqCst);
    let _ = world.engine.load(&world.job, None, &world.io);
    world.io.calls_left.store(-1, Ordering::SeqCst);
    world.source.with(|unit| unit.put("d0001", "{\"later\":true}"));
    world.load();
    let report = world.engine.verify(&world.job, &world.full(), &world.io).unwrap();
    let mut differ: Vec<&str> = report.mismatches.iter().map(|m| m.key.as_str()).collect();
    differ.sort_unstable();
    assert_eq!(differ, ["d0007", "extra"]);
    let mended = world.engine.repair(&world.job, &report, &world.io).unwrap();
    world.set(mended.ledger);
    world.assert_equal();
    // Nothing of it is taken away: nobody can tell what is whose.
    world.engine.release(&world.job, false, &world.io).unwrap();
    assert_eq!(world.target.with(|unit| unit.bodies()).len(), 50);
}

#[test]
fn a_target_that_holds_what_nobody_declared_is_not_filled() {
    let world = World::new(10, 2).in_mode(NATIVE);
    let mut theirs = Unit::new("theirs", 2);
    theirs.put("a", "{}");
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), theirs);
    let error = world.engine.load(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("holds 1 documents that segue did not write"), "{error}");
}

#[test]
fn a_unit_that_somebody_made_anew_after_it_was_filled_is_not_filled_again() {
    let mut world = World::new(40, 2).in_mode(NATIVE);
    world.load();
    world.target.with(|unit| unit.incarnation = "somebody's".to_owned());
    let there = world.target.with(|unit| unit.bodies());
    // A state that knows of no load: put back from an earlier copy, or told to load again.
    world.job.ledger = None;
    let error = world.engine.load(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("holds 40 documents that segue did not write"), "{error}");
    assert_eq!(world.target.with(|unit| unit.bodies()), there);
}
