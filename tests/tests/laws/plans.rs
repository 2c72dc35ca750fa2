//! Planning is pure, and after an apply there is nothing to plan.

use segue_contract::Side;
use segue_tests::lab::Task;

use crate::harness::{FINISHED, Kind, Lab, SOURCE, TARGET, Want, bytes_below};

const WAYS: [Want; 4] = [SOURCE, TARGET, SOURCE, TARGET];

#[test]
fn planning_twice_changes_nothing_and_says_the_same() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        for want in WAYS.into_iter().chain([FINISHED]) {
            let before = (lab.world(), bytes_below(&lab.state_dir()));
            let first = lab.run(want, &Task::Plan).plan.expect("a plan");
            let second = lab.run(want, &Task::Plan).plan.expect("a plan");
            let text = |plan| serde_json::to_string(plan).expect("JSON");
            assert_eq!(text(&first), text(&second), "{kind:?} {want:?}");
            assert!(
                (lab.world(), bytes_below(&lab.state_dir())) == before,
                "{kind:?} {want:?}: planning wrote"
            );
            lab.applied(want);
        }
    }
}

#[test]
fn after_an_apply_the_plan_is_empty() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        for want in WAYS.into_iter().chain([FINISHED]) {
            lab.applied(want);
            let what = format!("{kind:?} {want:?}");
            lab.check_plan_is_empty(want, &what);
            lab.check_serves(want.live, &what);
            let events = lab.last_event();
            lab.applied(want);
            assert_eq!(lab.last_event(), events + 2, "{what}: a second apply records but its run");
        }
    }
}

#[test]
fn switching_there_and_back_and_there_again_loses_nothing() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        for (i, want) in [TARGET, SOURCE, TARGET, SOURCE, TARGET].into_iter().enumerate() {
            lab.applied(want);
            lab.check_serves(want.live, &format!("{kind:?}, switch {i}"));
        }
        let known = &lab.state().cutovers[&crate::harness::cutover()];
        assert_eq!((known.switches, known.live, known.stale_total), (5, Side::Target, 0), "{kind:?}");
    }
}
