//! Mass deletion (protocol P28): a unit that was emptied empties no other one before a person says so.

use segue_contract::{DeletionTerms, Direction, Engine, MaxDeletions, UnitJob};

use crate::world::World;

fn emptied(world: &World, keep: usize, of: usize) {
    let unit = if world.job.direction == Direction::Forward { &world.source } else { &world.target };
    unit.with(|unit| (keep..of).for_each(|n| unit.delete(&format!("d{n:04}"))));
}

/// The pass stops, nothing was deleted, and so many would go.
#[track_caller]
fn stops(world: &World, deletions: u64, known: u64) {
    let there = world.live().with(|u| u.bodies().len());
    let written = if world.job.direction == Direction::Forward { &world.target } else { &world.source };
    let error = world.engine.pass(&world.job, None, &world.io).unwrap_err();
    let stop = error.too_many_deletions().expect("it stops for its deletions");
    assert_eq!((stop.deletions, stop.known), (deletions, known), "{error}");
    let left = written.with(|u| u.bodies().len());
    assert_eq!(left as u64, there as u64 + deletions, "none is deleted");
}

fn accepted(world: &World, most: u64) -> UnitJob {
    UnitJob { deletions: DeletionTerms { max: None, accepted: Some(most) }, ..world.job.clone() }
}

#[test]
fn a_pass_stops_before_all_documents_go_or_most_of_many_and_goes_on_when_that_is_accepted() {
    for (documents, keep) in [(6, 0), (300, 50)] {
        for slices in [1, 3] {
            let mut world = World::loaded(documents, slices);
            emptied(&world, keep, documents);
            let gone = (documents - keep) as u64;
            stops(&world, gone, documents as u64);
            stops(&world, gone, documents as u64);
            let short = accepted(&world, gone - 1);
            assert!(world.engine.pass(&short, None, &world.io).is_err(), "less was accepted");
            let report = world.engine.pass(&accepted(&world, gone), None, &world.io).unwrap();
            assert_eq!((report.records_deleted, report.kept_deleted), (gone, None));
            world.set(report.ledger);
            world.assert_equal();
        }
    }
}

#[test]
fn what_a_pass_writes_beside_its_deletions_is_there_although_it_stopped() {
    let mut world = World::loaded(6, 2);
    emptied(&world, 0, 6);
    world.source.with(|unit| unit.put("fresh", "{\"n\":7}"));
    let error = world.engine.pass(&world.job, None, &world.io).unwrap_err();
    assert!(error.too_many_deletions().is_some(), "{error}");
    assert_eq!(world.target.with(|u| u.bodies().len()), 7);
    // The stale writer's look of the next pass knows what the one that stopped wrote.
    let report = world.engine.pass(&accepted(&world, 6), None, &world.io).unwrap();
    assert_eq!((report.records_deleted, report.stale_total), (6, 0));
    world.set(report.ledger);
    world.assert_equal();
}

#[test]
fn a_reverse_pass_keeps_the_documents_that_it_deletes() {
    let mut world = World::loaded(200, 2);
    world.turn();
    emptied(&world, 0, 200);
    stops(&world, 200, 200);
    let report = world.engine.pass(&accepted(&world, 220), None, &world.io).unwrap();
    let kept = report.kept_deleted.clone().expect("they are kept");
    assert_eq!((kept.records, kept.not_kept), (200, 0));
    let text = std::fs::read_to_string(world.io.artifacts.join(kept.place)).unwrap();
    let mut bodies: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["body"]["n"].as_u64().unwrap())
        .collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..200).collect::<Vec<_>>());
    world.set(report.ledger);
    world.assert_equal();
}

#[test]
fn a_limit_of_the_spec_counts_instead_and_a_stale_writers_documents_are_no_deletions() {
    let mut world = World::loaded(50, 2);
    world.job.deletions.max = Some(MaxDeletions::Percent(10));
    emptied(&world, 44, 50);
    assert_eq!(world.live().with(|u| u.bodies().len()), 44);
    stops(&world, 6, 50);
    world.job.deletions.max = Some(MaxDeletions::Records(6));
    assert_eq!(world.pass().records_deleted, 6);
    world.turn();
    // Theirs alone: kept aside, and not of this unit.
    world.source.with(|unit| (0..300).for_each(|n| unit.put(&format!("theirs{n}"), "{}")));
    let report = world.pass();
    assert_eq!((report.records_deleted, report.stale_total), (300, 300));
    world.assert_equal();
}
