//! Writers who wrote to a side that should have had no writes (protocol P21).

use segue_contract::{Engine, StaleFind, VerifyLevel};

use crate::world::{Unit, World, key};

fn words(finds: &[StaleFind]) -> Vec<(String, String)> {
    let mut words: Vec<_> = finds.iter().map(|f| (f.key.clone(), f.what.clone())).collect();
    words.sort();
    words
}

#[test]
fn stale_writes_are_kept_aside_and_written_over_whether_or_not_the_live_side_changed_the_same() {
    let mut world = World::loaded(60, 3);
    world.turn();
    world.target.with(|unit| {
        unit.put("d0001", "{\"by\":\"the new side's clients\"}");
        unit.delete("d0005");
    });
    world.source.with(|unit| {
        unit.put("d0001", "{\"by\":\"a stale writer\"}");
        unit.put("d0002", "{\"by\":\"a stale writer\"}");
        unit.put("theirs", "{\"by\":\"a stale writer\"}");
        unit.delete("d0003");
        unit.put("d0005", "{\"by\":\"a stale writer\"}");
    });
    let expected = [
        ("d0001", "changed"),
        ("d0002", "changed"),
        ("d0003", "deleted"),
        ("d0005", "changed"),
        ("theirs", "created"),
    ]
    .map(|(k, w)| (k.to_owned(), w.to_owned()));
    let seen = world.engine.stale(&world.job, &world.io).unwrap();
    assert_eq!(words(&seen.finds), expected);
    let drift = world.engine.drift(&world.job, VerifyLevel::Count, &world.io).unwrap();
    assert_eq!(drift.drifted_total, 5);
    let report = world.pass();
    assert_eq!(words(&report.stale), expected);
    for find in report.stale.iter().filter(|find| find.what != "deleted") {
        let kept = world.io.artifacts.join(find.kept.as_ref().unwrap());
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "{\"by\":\"a stale writer\"}");
    }
    world.assert_equal();
    assert_eq!(world.pass().stale, vec![]);
}

#[test]
fn what_a_stranger_has_just_written_is_verified_before_any_scan_would_see_it() {
    let world = World::loaded(60, 3);
    world.target.with(|unit| {
        unit.put("d0001", "{\"by\":\"somebody else\"}");
        unit.put("theirs", "{\"by\":\"somebody else\"}");
    });
    let report = world.engine.verify(&world.job, &world.full(), &world.io).unwrap();
    let mut told: Vec<_> = report.mismatches.into_iter().map(|found| (found.key, found.what)).collect();
    told.sort();
    let expected = [("d0001", "content"), ("theirs", "extra at target")];
    assert_eq!(told, expected.map(|(key, what)| (key.to_owned(), what.to_owned())));
}

#[test]
fn a_stale_writer_who_never_stops_never_wins() {
    let mut world = World::loaded(40, 2);
    world.turn();
    let mut round = 0;
    world.source.with(|unit| {
        unit.script = Some(Box::new(move |call, unit: &mut Unit| {
            if call == "write" {
                round += 1;
                unit.put(&format!("d{:04}", round % 10), &format!("{{\"stale\":{round}}}"));
            }
            None
        }));
    });
    for n in 0..5 {
        world
            .target
            .with(|unit| (0..20).for_each(|k| unit.put(&format!("d{k:04}"), &format!("{{\"n\":{n}}}"))));
        world.pass();
    }
    world.source.with(|unit| unit.script = Some(Box::new(|_, _| None)));
    world.pass();
    world.pass();
    world.assert_equal();
}

#[test]
fn a_target_that_is_written_to_before_the_switch_is_found_by_the_next_pass() {
    let mut world = World::loaded(40, 2);
    world.target.with(|unit| {
        unit.put("d0009", "{\"by\":\"somebody\"}");
        unit.put("more", "{}");
    });
    let report = world.pass();
    assert_eq!(
        words(&report.stale),
        [("d0009".to_owned(), "changed".to_owned()), ("more".to_owned(), "created".to_owned())]
    );
    world.assert_equal();
    assert!(!world.target.with(|unit| unit.bodies().contains_key(&key("more"))));
}
