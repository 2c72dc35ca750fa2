//! Held cutovers: an abort for a failure is not tried again by itself; one that only settles a death is.

use segue_contract::Side;
use segue_plan::cutover::{Phase, Settle, settle};
use segue_plan::event::Event;
use segue_tests::lab::Task;
use segue_tests::memory::Deed;

use crate::harness::{Kind, Lab, SOURCE, TARGET, cutover};

/// A cutover that was aborted because its probe got a write through.
fn aborted(kind: Kind) -> Lab {
    let lab = Lab::new(kind);
    lab.script(&[("quiesce.observe", Deed::Lie)]);
    let outcome = lab.apply(TARGET);
    assert_eq!(outcome.exit, 5, "{kind:?}: {:?}", outcome.messages);
    lab.script(&[]);
    lab
}

#[test]
fn after_an_abort_for_a_failure_the_next_apply_exits_3_and_touches_nothing() {
    for kind in Kind::ALL {
        let lab = aborted(kind);
        lab.check_serves(Side::Source, "aborted");
        let before = lab.world();
        let outcome = lab.apply(TARGET);
        assert_eq!(outcome.exit, 3, "{kind:?}: {:?}", outcome.messages);
        assert!(outcome.messages.iter().any(|m| m.contains("is held")), "{:?}", outcome.messages);
        assert_eq!(lab.world(), before, "{kind:?}");
    }
}

#[test]
fn unhold_lets_it_go_on() {
    for kind in Kind::ALL {
        let lab = aborted(kind);
        assert_eq!(lab.run(TARGET, &Task::Unhold(cutover())).exit, 0);
        lab.applied(TARGET);
        lab.check_serves(Side::Target, "unheld");
    }
}

#[test]
fn an_edit_of_live_lifts_the_hold() {
    for kind in Kind::ALL {
        let lab = aborted(kind);
        lab.applied(SOURCE);
        lab.check_serves(Side::Source, "edited");
        lab.applied(TARGET);
        lab.check_serves(Side::Target, "edited back");
    }
}

#[test]
fn an_abort_that_only_settles_a_death_does_not_hold() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.script(&[("quiesce.close#1", Deed::KillAfter)]);
        assert_eq!(lab.try_run(&lab.case(TARGET), &Task::Apply, None), None, "{kind:?}: killed");
        assert_eq!(lab.world().serving(), None, "{kind:?}: closed");
        assert_eq!(lab.run(TARGET, &Task::Settle).exit, 0);
        assert_eq!(lab.state().cutovers[&cutover()].held, None, "{kind:?}");
        lab.check_serves(Side::Source, "settled");
        lab.applied(TARGET);
        lab.check_serves(Side::Target, "gone on");
    }
}

#[test]
fn a_switch_back_by_command_is_not_switched_again_by_the_next_apply() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        let back = lab.run(TARGET, &Task::SwitchBack(cutover()));
        assert_eq!(back.exit, 0, "{kind:?}: {:?}", back.messages);
        lab.check_serves(Side::Source, "switched back");
        let before = lab.world();
        assert_eq!(lab.apply(TARGET).exit, 3, "{kind:?}");
        assert_eq!(lab.world(), before, "{kind:?}");
        assert_eq!(lab.run(TARGET, &Task::Unhold(cutover())).exit, 0);
        lab.applied(TARGET);
        lab.check_serves(Side::Target, "unheld");
    }
}

/// The number of the event by which an attempt was committed.
fn commit_of(lab: &Lab) -> u64 {
    let commit = |event: &Event| matches!(event, Event::PhaseReached { phase: Phase::Committed, .. });
    lab.events().into_iter().find(|(_, event)| commit(event)).expect("committed").0
}

/// Protocol P17: nobody had raised the marker, so the operator was allowed to open the old side.
#[test]
fn an_old_side_that_was_opened_by_hand_after_the_commit_is_not_left() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.keep("base");
        lab.applied(TARGET);
        let commit = commit_of(&lab);
        lab.restore("base");
        let kill = format!("after:{commit}");
        assert_eq!(lab.try_run(&lab.case(TARGET), &Task::Apply, Some(&kill)), None, "{kind:?}");
        assert_eq!(settle(lab.state().cutovers[&cutover()].phase), Settle::Complete, "{kind:?}");
        lab.change(|world| {
            world.running = true;
            world.stores.get_mut("old").expect("old").open = true;
        });
        let outcome = lab.run(TARGET, &Task::Settle);
        assert_eq!(outcome.exit, 5, "{kind:?}: {:?}", outcome.messages);
        let known = lab.state().cutovers[&cutover()].clone();
        assert_eq!((known.live, known.switches), (Side::Source, 0), "{kind:?}");
        lab.check_serves(Side::Source, "opened by hand");
        assert_eq!(lab.apply(TARGET).exit, 3, "{kind:?}: held");
        assert_eq!(lab.run(TARGET, &Task::Unhold(cutover())).exit, 0);
        lab.applied(TARGET);
        lab.check_serves(Side::Target, "and later switched");
    }
}

#[test]
fn a_stale_write_after_the_switch_is_found_kept_aside_and_finishing_waits_for_a_person() {
    for kind in [Kind::Writers, Kind::Blind] {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        lab.change(|world| assert!(world.stale_write("old", "stale")));
        let refused = lab.apply(crate::harness::FINISHED);
        assert_eq!(refused.exit, 3, "{kind:?}: {:?}", refused.messages);
        let known = lab.state().cutovers[&cutover()].clone();
        let kept = known.stale.first().and_then(|find| find.kept.clone()).expect("kept aside");
        assert!(lab.state_dir().join("artifacts").join(kept).exists(), "{kind:?}");
        assert_eq!(lab.apply(crate::harness::FINISHED).exit, 1, "{kind:?}: refused by the plan");
        assert_eq!(lab.run(TARGET, &Task::SettleStale(cutover())).exit, 0);
        lab.applied(crate::harness::FINISHED);
        lab.check_serves(Side::Target, "finished");
    }
}

#[test]
fn a_store_that_is_closed_to_its_clients_refuses_the_stale_writer() {
    let lab = Lab::new(Kind::Data);
    lab.applied(TARGET);
    lab.change(|world| assert!(!world.stale_write("old", "stale")));
    lab.applied(SOURCE);
    lab.change(|world| assert!(!world.stale_write("new", "stale")));
    lab.check_serves(Side::Source, "back");
}
