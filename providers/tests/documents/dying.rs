//! A load or a pass that dies anywhere, clients that never rest meanwhile, and writes of the dead that arrive late.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use segue_contract::{Direction, Engine, ErrorClass, VerifyCall, VerifyLevel};

use crate::world::{UNIT, Unit, World};

/// Times that a step may be stopped before it must have ended.
const RUNS: i64 = 400;

#[test]
fn a_load_stopped_again_and_again_goes_on_where_it_was() {
    let mut world = World::new(500, 3);
    for run in 0..RUNS {
        world.io.calls_left.store(6 + run / 3, Ordering::SeqCst);
        let from = world.io.checkpoints.lock().unwrap().last().cloned();
        // The application goes on, too.
        world.source.with(|unit| unit.put(&format!("d{:04}", run * 7 % 500), &format!("{{\"run\":{run}}}")));
        world.source.with(|unit| unit.delete(&format!("d{:04}", run * 11 % 500)));
        match world.engine.load(&world.job, from.as_ref(), &world.io) {
            Err(error) => assert_eq!(error.class, ErrorClass::Cancelled, "{error}"),
            Ok(report) => {
                assert!(run > 2, "it was never stopped");
                world.io.calls_left.store(-1, Ordering::SeqCst);
                world.set(report.ledger);
                let written = world.io.taken.load(Ordering::SeqCst);
                assert!(written < 500 * 40 * 4, "{written} bytes: the load began again");
                assert_eq!(world.pass().stale, vec![]);
                world.assert_equal();
                return;
            }
        }
    }
    panic!("it never ended");
}

#[test]
fn a_pass_stopped_anywhere_is_repeated_and_takes_its_own_work_for_its_own() {
    for turned in [false, true] {
        for stop_at in (1..60).step_by(3) {
            let mut world = World::loaded(80, 3);
            if turned {
                world.turn();
            }
            world.live().with(|unit| {
                (0..40).for_each(|n| unit.put(&format!("d{n:04}"), &format!("{{\"changed\":{n}}}")));
                (0..20).for_each(|n| unit.put(&format!("fresh{n}"), "{}"));
                (60..70).for_each(|n| unit.delete(&format!("d{n:04}")));
            });
            world.io.calls_left.store(stop_at, Ordering::SeqCst);
            let first = world.engine.pass(&world.job, None, &world.io);
            world.io.calls_left.store(-1, Ordering::SeqCst);
            // What the dead pass wrote is no longer wanted, or wanted otherwise.
            world.live().with(|unit| {
                unit.delete("fresh3");
                unit.put("fresh4", "{\"newer\":true}");
                unit.put("d0065", "{\"made again\":true}");
            });
            if let Ok(report) = first {
                world.set(report.ledger);
            }
            let drift = world.engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap();
            assert_eq!(drift.drifted, vec![], "stopped at {stop_at}");
            let report = world.pass();
            assert_eq!(report.stale, vec![], "stopped at {stop_at}");
            world.pass();
            world.assert_equal();
        }
    }
}

#[test]
fn a_write_of_the_dead_that_arrives_late_changes_nothing() {
    let mut world = World::loaded(30, 1);
    world.source.with(|unit| {
        unit.put("d0001", "{\"n\":\"first\"}");
        unit.put("d0002", "{\"n\":\"first\"}");
        unit.put("fresh", "{\"n\":\"first\"}");
    });
    // A run sends these, and dies; the network holds them.
    world.target.with(|unit| unit.holding = true);
    world.engine.pass(&world.job, None, &world.io).unwrap_err();
    world.target.with(|unit| unit.holding = false);
    assert_eq!(world.target.with(|unit| unit.held.len()), 3);
    world.source.with(|unit| {
        unit.put("d0001", "{\"n\":\"second\"}");
        unit.delete("d0002");
        unit.delete("fresh");
    });
    // The next run waits until they have landed; nothing of it is taken for somebody else's, and nothing comes back.
    assert_eq!(world.pass().stale, vec![]);
    assert_eq!(world.target.with(|unit| unit.held.len()), 0, "it was waited for");
    world.assert_equal();
}

#[test]
fn what_a_load_that_died_still_had_on_its_way_is_waited_for() {
    let mut world = World::new(60, 2);
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there before", 2));
    world.target.with(|unit| unit.holding = true);
    world.engine.load(&world.job, None, &world.io).unwrap_err();
    let held = world.target.with(|unit| {
        unit.holding = false;
        unit.held.clone()
    });
    // What is late is deleted at the source meanwhile.
    world.source.with(|unit| held.iter().for_each(|write| unit.delete(&write.key.id)));
    assert!(!held.is_empty());
    world.load();
    assert_eq!(world.pass().stale, vec![]);
    world.assert_equal();
}

#[test]
fn clients_that_write_while_a_pass_looks_lose_nothing() {
    let mut world = World::loaded(200, 4);
    let random = Arc::new(Mutex::new(1u64));
    world.source.with(|unit| {
        unit.script = Some(Box::new(move |_, unit: &mut Unit| {
            let mut state = random.lock().unwrap();
            for _ in 0..5 {
                *state =
                    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let name = format!("d{:04}", (*state >> 33) % 260);
                match (*state >> 20) % 4 {
                    0 => unit.delete(&name),
                    _ => unit.put(&name, &format!("{{\"at\":{}}}", *state >> 40)),
                }
            }
            None
        }));
    });
    for _ in 0..6 {
        assert_eq!(world.pass().stale, vec![]);
    }
    world.source.with(|unit| unit.script = Some(Box::new(|_, _| None)));
    world.pass();
    let report = world.pass();
    world.assert_equal();
    assert_eq!(report.position, world.engine.position(&world.job, &world.io).unwrap());
}

#[test]
fn a_source_that_is_made_anew_in_the_middle_is_read_anew() {
    let mut world = World::new(300, 3);
    world.io.calls_left.store(12, Ordering::SeqCst);
    world.engine.load(&world.job, None, &world.io).unwrap_err();
    world.io.calls_left.store(-1, Ordering::SeqCst);
    let mut anew = Unit::new("second", 3);
    (100..150).for_each(|n| anew.put(&format!("d{n:04}"), "{\"anew\":true}"));
    world.source.units.lock().unwrap().insert(UNIT.to_owned(), anew);
    world.load();
    world.pass();
    world.assert_equal();
    let mut again = Unit::new("third", 3);
    (120..160).for_each(|n| again.put(&format!("d{n:04}"), "{\"third\":true}"));
    world.source.units.lock().unwrap().insert(UNIT.to_owned(), again);
    world.pass();
    world.assert_equal();
}

#[test]
fn a_target_that_is_made_anew_is_told_and_not_filled_in_silence() {
    let world = World::loaded(30, 2);
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("somebody's", 2));
    world.source.with(|unit| unit.put("d0001", "{}"));
    let error = world.engine.pass(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("deleted and made anew"), "{error}");
    world.source.units.lock().unwrap().remove(UNIT);
    let error = world.engine.pass(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("no such index"), "{error}");
}

/// The marker of an index lies beside it, in another one: it says nothing of one that was made anew.
#[test]
fn a_target_that_serves_and_is_made_anew_is_not_carried_back() {
    let mut world = World::loaded(30, 2);
    world.job.direction = Direction::Reverse;
    world.pass();
    let before = world.source.with(|unit| unit.bodies());
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("empty", 2));
    let report = VerifyCall { level: VerifyLevel::Full, since: None, quiet: true, set_aside: Vec::new() };
    let errors = [
        world.engine.pass(&world.job, None, &world.io).unwrap_err(),
        world.engine.verify(&world.job, &report, &world.io).unwrap_err(),
        world.engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("is not what it was"), "{error}");
    }
    assert_eq!(world.source.with(|unit| unit.bodies()), before, "nothing was deleted");
}

#[test]
fn releasing_removes_what_segue_made_and_leaves_what_clients_changed() {
    let world = World::loaded(30, 2);
    world.engine.release(&world.job, false, &world.io).unwrap();
    assert!(world.target.units.lock().unwrap().is_empty(), "it was made by Segue");
    let mut world = World::new(30, 2);
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there before", 2));
    world.load();
    world.target.with(|unit| unit.put("d0003", "{\"theirs\":true}"));
    world.engine.release(&world.job, false, &world.io).unwrap();
    let left: Vec<String> = world.target.with(|unit| unit.bodies()).into_keys().map(|k| k.id).collect();
    assert_eq!(left, ["d0003"]);
    assert!(world.io.findings.lock().unwrap().iter().any(|f| f.code == "DOCUMENTS_LEFT"));
}

#[test]
fn releasing_a_unit_that_segue_made_leaves_what_others_put_there() {
    let world = World::loaded(30, 2);
    world.target.with(|unit| unit.put("theirs", "{}"));
    world.engine.release(&world.job, false, &world.io).unwrap();
    let left: Vec<String> = world.target.with(|unit| unit.bodies()).into_keys().map(|k| k.id).collect();
    assert_eq!(left, ["theirs"]);
    assert!(world.io.findings.lock().unwrap().iter().any(|f| f.code == "DOCUMENTS_LEFT"));
}

#[test]
fn releasing_after_a_load_that_died_takes_out_what_it_wrote() {
    for made in [true, false] {
        let world = World::new(200, 2);
        if !made {
            world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there before", 2));
        }
        world.io.calls_left.store(9, Ordering::SeqCst);
        world.engine.load(&world.job, None, &world.io).unwrap_err();
        world.io.calls_left.store(-1, Ordering::SeqCst);
        assert!(world.target.with(|unit| unit.bodies().len()) > 0, "it wrote something");
        // What it sent last lands late.
        world.target.with(|unit| unit.holding = true);
        let from = world.io.checkpoints.lock().unwrap().last().cloned();
        world.engine.load(&world.job, from.as_ref(), &world.io).unwrap_err();
        assert!(world.target.with(|unit| !unit.held.is_empty()), "it had sent something");
        world.target.with(|unit| unit.holding = false);
        world.engine.release(&world.job, false, &world.io).unwrap();
        let left = world.target.units.lock().unwrap().get(UNIT).map(|unit| unit.bodies().len());
        assert_eq!(left, if made { None } else { Some(0) }, "{:?}", world.io.findings.lock().unwrap());
    }
}

/// Deleted, and made anew under the same name: with documents that look just like those that Segue wrote.
fn made_anew(world: &World) {
    world.target.with(|unit| unit.incarnation = "somebody's".to_owned());
}

#[test]
fn releasing_leaves_a_unit_alone_that_somebody_made_anew() {
    for there_before in [false, true] {
        for made_root in [false, true] {
            let mut world = World::new(30, 2);
            if there_before {
                world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there before", 2));
            }
            world.load();
            made_anew(&world);
            let before = world.target.with(|unit| unit.slices.clone());
            world.engine.release(&world.job, made_root, &world.io).unwrap();
            assert_eq!(world.target.with(|unit| unit.bodies()).len(), 30);
            let after = world.target.with(|unit| unit.slices.clone());
            let changes = |slices: &[crate::world::Slice]| slices.iter().map(|s| s.changes).sum::<u64>();
            assert_eq!(changes(&before), changes(&after), "nothing was written there");
            let findings = world.io.findings.lock().unwrap();
            let left = findings.iter().find(|f| f.code == "DOCUMENTS_LEFT").expect("it is said");
            assert!(left.summary.contains("made anew by somebody else"), "{}", left.summary);
            assert!(left.summary.contains("with 30 documents"), "{}", left.summary);
        }
    }
}

#[test]
fn a_unit_that_somebody_made_anew_in_the_middle_of_a_load_is_neither_filled_nor_released() {
    let world = World::new(200, 2);
    world.io.calls_left.store(9, Ordering::SeqCst);
    world.engine.load(&world.job, None, &world.io).unwrap_err();
    world.io.calls_left.store(-1, Ordering::SeqCst);
    made_anew(&world);
    let there = world.target.with(|unit| unit.bodies());
    assert!(!there.is_empty(), "it wrote something");
    let from = world.io.checkpoints.lock().unwrap().last().cloned();
    let error = world.engine.load(&world.job, from.as_ref(), &world.io).unwrap_err();
    let said = format!("holds {} documents that segue did not write", there.len());
    assert!(error.to_string().contains(&said), "{error}");
    world.engine.release(&world.job, false, &world.io).unwrap();
    assert_eq!(world.target.with(|unit| unit.bodies()), there);
    assert!(world.io.findings.lock().unwrap().iter().any(|f| f.code == "DOCUMENTS_LEFT"));
}
