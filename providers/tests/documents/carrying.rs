//! Loads, passes in both directions, deletions, what is set aside, and verification.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use segue_contract::{Engine, StepError, Transform, VerifyCall, VerifyLevel};

use crate::world::{UNIT, Unit, World, key};

#[test]
fn a_load_carries_everything_and_a_pass_what_changed_since() {
    let mut world = World::new(300, 5);
    let report = world.load();
    assert_eq!((report.records_written, report.set_aside_total), (300, 0));
    world.assert_equal();
    assert_eq!(report.position, world.engine.position(&world.job, &world.io).unwrap());
    world.source.with(|unit| {
        unit.put("d0001", "{\"n\":\"changed\"}");
        unit.put("fresh", "{\"n\":\"new\"}");
        unit.delete("d0002");
        unit.put("d0003", "{}");
        unit.delete("d0003");
        unit.put("d0003", "{\"n\":\"made again\"}");
    });
    let drift = world.engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap();
    assert_eq!((drift.waiting_records, drift.drifted_total), (6, 0));
    let report = world.pass();
    assert_eq!((report.records_written, report.records_deleted), (3, 1));
    world.assert_equal();
    assert_eq!(report.position, world.engine.position(&world.job, &world.io).unwrap());
    let report = world.pass();
    assert_eq!(
        (report.records_written, report.records_deleted),
        (0, 0),
        "a pass without changes writes nothing"
    );
}

#[test]
fn documents_that_are_placed_by_something_else_than_their_name_are_two_under_one_name() {
    let mut world = World::new(10, 3);
    world.source.with(|unit| {
        for place in ["a", "b", "c"] {
            let key = key("same");
            unit.put_key(
                segue_providers::engines::documents::Key { place: Some(place.to_owned()), ..key },
                &format!("{{\"in\":\"{place}\"}}"),
            );
        }
    });
    assert_eq!(world.load().records_written, 13);
    world.assert_equal();
}

#[test]
fn busy_systems_and_lost_answers_cost_time_and_nothing_else() {
    let mut world = World::new(0, 3);
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there before", 2));
    world.source.with(|unit| (0..120).for_each(|n| unit.put(&format!("k{n}"), &format!("{{\"n\":{n}}}"))));
    world.target.with(|unit| (unit.busy, unit.lossy) = (13, 5));
    world.load();
    world.source.with(|unit| (0..60).for_each(|n| unit.put(&format!("k{n}"), "{\"n\":\"again\"}")));
    world.source.with(|unit| (30..40).for_each(|n| unit.delete(&format!("k{n}"))));
    let report = world.pass();
    assert_eq!(report.stale, vec![], "its own writes are no stranger's");
    world.target.with(|unit| (unit.busy, unit.lossy) = (0, 0));
    world.pass();
    world.assert_equal();
}

#[test]
fn what_the_target_refuses_is_set_aside_with_its_reason_until_it_takes_it() {
    let mut world = World::new(50, 2);
    world.source.with(|unit| unit.put("d0007", "{\"n\":\"poison\"}"));
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), Unit::new("there", 2));
    world.target.with(|unit| unit.poison = Some("poison".to_owned()));
    let report = world.load();
    let reason = "mapper_parsing_exception: failed to parse field";
    assert_eq!((report.set_aside[0].key.as_str(), report.set_aside[0].reason.as_str()), ("d0007", reason));
    let report = world.pass();
    assert_eq!(report.set_aside_total, 1, "every pass says so again");
    let verified = world.engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(
        verified.mismatches,
        [],
        "it is told by its reason, and may be waived by its key: no difference"
    );
    world.target.with(|unit| unit.poison = None);
    assert_eq!(world.pass().set_aside_total, 0);
    world.assert_equal();
    // One that was carried before and is refused now stays as it was, and says so.
    world.target.with(|unit| unit.poison = Some("poison".to_owned()));
    world.source.with(|unit| unit.put("d0008", "{\"n\":\"poison\"}"));
    assert_eq!(world.pass().set_aside_total, 1);
    for level in [VerifyLevel::Count, VerifyLevel::Full] {
        let call = VerifyCall { level, ..world.full() };
        assert_eq!(world.engine.verify(&world.job, &call, &world.io).unwrap().mismatches, []);
    }
    world.source.with(|unit| unit.delete("d0008"));
    assert_eq!(world.pass().set_aside_total, 0);
    world.assert_equal();
}

#[test]
fn a_unit_that_holds_what_segue_did_not_write_is_not_loaded_into() {
    let world = World::new(5, 1);
    let mut there = Unit::new("there", 1);
    there.put("theirs", "{}");
    world.target.units.lock().unwrap().insert(UNIT.to_owned(), there);
    let error = world.engine.load(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("holds 1 documents that segue did not write"), "{error}");
    assert_eq!(world.target.with(|unit| unit.bodies().len()), 1);
}

#[test]
fn deleted_forgotten_and_made_again_in_both_directions() {
    let mut world = World::loaded(40, 3);
    for round in 0..4 {
        for name in ["d0001", "d0002"] {
            world.live().with(|unit| unit.delete(name));
        }
        world.pass();
        // Both sides forget that there ever was such a document: versions begin at 1 again.
        world.source.with(Unit::forget_deletions);
        world.target.with(Unit::forget_deletions);
        world.live().with(|unit| unit.put("d0001", &format!("{{\"round\":{round}}}")));
        let report = world.pass();
        assert_eq!((report.records_written, &report.stale), (1, &vec![]), "round {round}");
        world.assert_equal();
        world.live().with(|unit| unit.put("d0002", "{\"back\":true}"));
        world.pass();
        world.assert_equal();
        world.turn();
    }
}

#[test]
fn versions_of_an_application_that_are_high_already_are_written_over_on_the_way_back() {
    let mut world = World::new(20, 2);
    // The application keeps milliseconds as versions.
    world.source.with(|unit| {
        for slice in &mut unit.slices {
            slice.docs.values_mut().for_each(|doc| doc.version = 1_795_000_000_000_000);
        }
    });
    world.load();
    world.turn();
    world.target.with(|unit| (0..20).for_each(|n| unit.put(&format!("d{n:04}"), "{\"n\":\"after\"}")));
    let report = world.pass();
    assert_eq!(report.stale, vec![], "nobody wrote to the old side");
    world.assert_equal();
}

#[test]
fn fields_are_changed_on_the_way_and_back_and_verification_knows() {
    let mut world = World::new(0, 2);
    let pairs = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    world.job.transform = Transform {
        rename: pairs(&[("old", "new")]),
        drop: vec!["secret".to_owned()],
        map: [("state".to_owned(), pairs(&[("1", "2")]))].into(),
    };
    world.source.with(|unit| unit.put("a", "{\"old\":1.50,\"secret\":\"s\",\"state\":1}"));
    world.load();
    let there = world.target.with(|unit| unit.bodies());
    assert_eq!(there[&key("a")], "{\"state\":2,\"new\":1.50}");
    let verified =
        |world: &World| world.engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches;
    assert_eq!(verified(&world), vec![]);
    world.turn();
    world.target.with(|unit| unit.put("a", "{\"state\":2,\"new\":7}"));
    world.target.with(|unit| unit.put("b", "{\"new\":8}"));
    world.pass();
    let back = world.source.with(|unit| unit.bodies());
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(
        json(&back[&key("a")]),
        json("{\"old\":7,\"secret\":\"s\",\"state\":1}"),
        "what was dropped stays"
    );
    assert_eq!(json(&back[&key("b")]), json("{\"old\":8}"));
    assert_eq!(verified(&world), vec![]);
    world.turn();
    world.pass();
    assert_eq!(verified(&world), vec![]);
}

#[test]
fn a_difference_is_found_at_each_level_that_looks_for_it_and_repaired() {
    let mut world = World::loaded(400, 4);
    let differing = |world: &World, level| {
        let call = VerifyCall { level, since: None, quiet: true, set_aside: Vec::new() };
        let mut found = world.engine.verify(&world.job, &call, &world.io).unwrap().mismatches;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.into_iter().map(|m| (m.key, m.what)).collect::<Vec<_>>()
    };
    // Behind everybody's back: neither number nor version moves.
    world.target.with(|unit| {
        for slice in &mut unit.slices {
            if let Some(doc) = slice.docs.get_mut(&key("d0100")) {
                doc.body = "{\"n\":\"rotten\"}".to_owned();
            }
            slice.docs.remove(&key("d0200"));
        }
    });
    assert_eq!(differing(&world, VerifyLevel::Count).len(), 1);
    let wrong = [("d0100", "content"), ("d0200", "missing at target")];
    let wrong = wrong.map(|(k, w)| (k.to_owned(), w.to_owned()));
    assert_eq!(differing(&world, VerifyLevel::Sampled)[..2], wrong, "400 are less than a sample");
    assert_eq!(differing(&world, VerifyLevel::Full), wrong);
    let report = world.engine.verify(&world.job, &world.full(), &world.io).unwrap();
    let repaired = world.engine.repair(&world.job, &report, &world.io).unwrap();
    world.set(repaired.ledger);
    world.pass();
    world.assert_equal();
}

#[test]
fn what_passes_touched_since_a_verification_is_verified_alone() {
    let mut world = World::loaded(300, 3);
    let before = world.job.ledger.clone();
    world.source.with(|unit| {
        unit.put("d0001", "{\"n\":\"changed\"}");
        unit.put("fresh", "{}");
        unit.delete("d0002");
    });
    world.pass();
    let call = VerifyCall { level: VerifyLevel::Full, since: before, quiet: true, set_aside: Vec::new() };
    let report = world.engine.verify(&world.job, &call, &world.io).unwrap();
    assert_eq!((report.records_read, report.mismatches), (3, vec![]));
    world.target.with(|unit| unit.put("d0001", "{\"n\":\"rotten\"}"));
    let report = world.engine.verify(&world.job, &call, &world.io).unwrap();
    assert_eq!(report.mismatches.len(), 1);
}

#[test]
fn a_few_deletions_are_found_without_looking_at_other_documents_in_both_directions() {
    let mut world = World::loaded(3_000, 3);
    let scanned = |world: &World| world.live().with(|unit| std::mem::take(&mut unit.scanned));
    for round in 0..4 {
        scanned(&world);
        let ids = [17, 1_400 + round, 2_900].map(|n| format!("d{:04}", n + round));
        world.live().with(|unit| ids.iter().for_each(|id| unit.delete(id)));
        let report = world.pass();
        assert_eq!((report.records_deleted, &report.stale), (3, &vec![]), "round {round}");
        assert_eq!(scanned(&world), 0, "documents were looked at in round {round}");
        world.assert_equal();
        world.turn();
    }
}

#[test]
fn a_deletion_is_found_where_the_ledger_is_wrong_about_numbers_and_where_nothing_can_be_counted() {
    for (can_count, can_sweep) in [(true, true), (false, true), (false, false)] {
        let mut world = World::loaded(2_000, 3);
        world.source.with(|unit| {
            (unit.counts, unit.sweeps) = (can_count, can_sweep);
            unit.shuffle_numbers();
            (100..110).for_each(|n| unit.delete(&format!("d{n:04}")));
        });
        assert_eq!(world.pass().records_deleted, 10);
        world.assert_equal();
    }
}

#[test]
fn a_sweep_that_breaks_off_is_done_again_and_nothing_is_missing_or_counted_twice() {
    let mut world = World::new(3_000, 2);
    let breaks = |world: &World| {
        let mut left = 40;
        world.source.with(|unit| {
            unit.script = Some(Box::new(move |what, _| {
                // A first piece that fails is asked for again.
                left -= i32::from(what == "later piece");
                (what == "later piece" && left == 0).then(|| StepError::transient("the node went away"))
            }));
        });
    };
    breaks(&world);
    let error = world.engine.load(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains("the node went away"), "{error}");
    assert_eq!(world.load().set_aside_total, 0);
    world.assert_equal();
    breaks(&world);
    assert!(world.engine.verify(&world.job, &world.full(), &world.io).is_err());
    world.assert_equal();
}

#[test]
fn a_deletion_while_clients_write_is_found_at_the_latest_when_they_rest() {
    for call in ["census", "scan", "read", "stand"] {
        let mut world = World::loaded(2_500, 3);
        world.source.with(|unit| {
            (0..5).for_each(|n| unit.delete(&format!("d{:04}", n * 450)));
            let mut left = 40;
            unit.script = Some(Box::new(move |what, unit| {
                if what == call && left > 0 {
                    left -= 1;
                    unit.delete(&format!("d{:04}", 1_000 + left * 7));
                    unit.put(&format!("d{:04}", 2_000 + left * 3), "{}");
                    unit.put(&format!("fresh{left}"), "{}");
                }
                None
            }));
        });
        world.pass();
        world.source.with(|unit| unit.script = None);
        world.pass();
        world.assert_equal();
    }
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Delete(u8),
    Shuffle,
    Forget,
    Term,
    Pass,
    Turn,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any::<u8>(), any::<u8>()).prop_map(|(k, v)| Act::Put(k % 24, v)),
        4 => any::<u8>().prop_map(|k| Act::Delete(k % 24)),
        1 => proptest::prelude::Just(Act::Forget),
        1 => proptest::prelude::Just(Act::Shuffle),
        1 => proptest::prelude::Just(Act::Term),
        3 => proptest::prelude::Just(Act::Pass),
        1 => proptest::prelude::Just(Act::Turn),
    ]
}

#[test]
fn whatever_clients_do_between_passes_both_sides_end_alike_in_both_directions() {
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let acts = proptest::collection::vec(act(), 1..60);
    runner
        .run(&(acts, 1..4usize), |(acts, slices)| {
            let mut world = World::loaded(12, slices);
            for act in acts {
                match act {
                    Act::Put(k, v) => {
                        world.live().with(|unit| unit.put(&format!("d{k:04}"), &format!("{{\"v\":{v}}}")));
                    }
                    Act::Delete(k) => world.live().with(|unit| unit.delete(&format!("d{k:04}"))),
                    // Numbers that are behind the last pass: those after it are what the next one asks for.
                    Act::Shuffle => {
                        assert_eq!(world.pass().stale, vec![]);
                        world.live().with(Unit::shuffle_numbers);
                    }
                    Act::Forget => {
                        world.source.with(Unit::forget_deletions);
                        world.target.with(Unit::forget_deletions);
                    }
                    Act::Term => world.live().with(|unit| unit.slices[0].term += 1),
                    Act::Pass => assert_eq!(world.pass().stale, vec![]),
                    Act::Turn => {
                        assert_eq!(world.pass().stale, vec![]);
                        world.assert_equal();
                        world.turn();
                    }
                }
            }
            assert_eq!(world.pass().stale, vec![]);
            world.assert_equal();
            Ok(())
        })
        .unwrap();
}
