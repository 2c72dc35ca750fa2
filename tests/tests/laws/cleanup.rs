//! Temporary resources: what is left over is released in order, what is needed is not, and no death changes either.

use segue_contract::Address;
use segue_language::Desired;
use segue_plan::event::ResourceKind;
use segue_tests::lab::{Case, Task};
use segue_tests::memory::Deed;

use crate::harness::{ABANDONED, Kind, Lab, SOURCE, TARGET};
use crate::normal;

/// A day in the future, wall clock, milliseconds.
const LATER_MS: i64 = 4_000_000_000_000;

fn left_over(lab: &Lab) -> Vec<String> {
    let state = lab.state();
    let all = state.resources_in_order().into_iter();
    all.filter(|r| state.standing(r, LATER_MS, false).is_left_over()).map(|r| r.resource.id.clone()).collect()
}

/// The spec without its migration and cutover, which shall be forgotten.
fn removed(lab: &Lab) -> Case {
    let desired = lab.desired(SOURCE);
    let removed: Vec<Address> = desired.cutovers.keys().chain(desired.migrations.keys()).cloned().collect();
    let desired =
        Desired { migrations: Default::default(), cutovers: Default::default(), removed, ..desired };
    Case { desired, state_dir: lab.state_dir() }
}

#[test]
fn nothing_is_left_over_while_a_cutover_or_its_fallback_needs_it() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        let state = lab.state();
        assert!(state.resources.values().any(|r| r.resource.kind == ResourceKind::Marker), "{kind:?}");
        assert!(state.resources.values().any(|r| r.resource.kind == ResourceKind::Fallback), "{kind:?}");
        assert!(
            state.resources.values().all(|r| !r.state_id.is_empty() && r.made_ms > 0),
            "{kind:?}: owner tags"
        );
        assert_eq!(left_over(&lab), Vec::<String>::new(), "{kind:?}");
        let before = lab.world();
        assert_eq!(lab.run(TARGET, &Task::CleanUp).exit, 0, "{kind:?}");
        assert_eq!(lab.world().stores, before.stores, "{kind:?}: nothing is released");
    }
}

#[test]
fn an_abandoned_migration_leaves_nothing() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(SOURCE);
        lab.applied(ABANDONED);
        let known: Vec<String> = lab.state().resources.keys().cloned().collect();
        assert_eq!(known, Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn a_failure_that_is_forgotten_is_released_by_cleanup_and_killed_at_any_event_ends_the_same() {
    let lab = Lab::new(Kind::Data);
    // It fails in the middle of its load.
    lab.script(&[("engine.load", Deed::Kill)]);
    assert_eq!(lab.try_run(&lab.case(SOURCE), &Task::Apply, None), None);
    lab.script(&[]);
    let case = removed(&lab);
    let forgotten = lab.try_run(&case, &Task::Apply, None).expect("nobody kills it");
    assert_eq!(forgotten.exit, 0, "{:?}", forgotten.messages);
    assert!(lab.world().stores["new"].exists, "forgetting touches no system");
    let ids = left_over(&lab);
    let wanted = ["migration.site/unfinished/all", "migration.site/target"];
    assert_eq!(ids[..2], wanted, "in release order: {ids:?}");
    assert_eq!(ids.iter().filter(|id| id.contains("/marker/")).count(), 2, "{ids:?}");
    lab.keep("base");
    let first = lab.last_event() + 1;
    assert_eq!(lab.try_run(&case, &Task::CleanUp, None).expect("ran").exit, 0);
    assert!(!lab.world().stores.get("new").is_some_and(|s| s.exists), "the root that segue made is gone");
    assert_eq!(lab.world().stores["old"].marker, None);
    assert!(lab.state().resources.is_empty(), "{:?}", lab.state().resources.keys());
    let (clean, last) = (normal::world(&lab.world()), lab.last_event());
    for n in first..=last {
        for when in ["before", "after"] {
            lab.restore("base");
            let _ = lab.try_run(&case, &Task::CleanUp, Some(&format!("{when}:{n}")));
            assert_eq!(lab.try_run(&case, &Task::CleanUp, None).expect("ran").exit, 0, "{when}:{n}");
            assert_eq!(normal::world(&lab.world()), clean, "{when}:{n}");
            assert!(lab.state().resources.is_empty(), "{when}:{n}");
        }
    }
}

/// The worst mistake that a cleanup could make.
#[test]
fn a_target_that_serves_is_not_released_when_its_cutover_is_forgotten() {
    for order in [["cutover", "migration"], ["migration", "cutover"]] {
        let lab = Lab::new(Kind::Data);
        lab.applied(TARGET);
        for kind in order {
            let mut case = removed(&lab);
            case.desired.removed.retain(|address| address.kind() == kind);
            assert!(lab.try_run(&case, &Task::Apply, None).is_some(), "nobody kills it");
        }
        let records = lab.world().stores["new"].live();
        let case = removed(&lab);
        lab.try_run(&case, &Task::CleanUp, None).expect("ran");
        let new = &lab.world().stores["new"];
        assert!(new.exists && new.open, "{order:?}");
        assert!(new.live().len() >= records.len().min(1), "{order:?}: its records are there");
    }
}
