//! Protocol P22: a target that cannot be read is left only with the loss accepted and a fence that is proven; whatever
//! dies meanwhile, the source never opens while the target can still take writes.

use segue_contract::Side;
use segue_language::Desired;
use segue_plan::event::Event;
use segue_tests::lab::{Case, Outcome, Task};
use segue_tests::memory::{Deed, MEMORY};

use crate::harness::{Kind, Lab, TARGET, Want, cutover};
use crate::watches::watched;

/// Commands that are needed at most after one death.
const RESUMES_MAX: usize = 5;

fn fenced(lab: &Lab, mut desired: Desired) -> Desired {
    for decl in desired.cutovers.values_mut() {
        decl.fallback.accept_loss = true;
        decl.fallback.fence = Some(lab.block("cutover.site.fallback.fence", MEMORY, &[]));
    }
    desired
}

fn case(lab: &Lab, desired: Desired) -> Case {
    Case { desired, state_dir: lab.state_dir() }
}

fn run(lab: &Lab, case: &Case, task: &Task) -> Outcome {
    lab.try_run(case, task, None).expect("nobody kills it")
}

fn unreachable(lab: &Lab, is: bool) {
    lab.change(|world| world.stores.get_mut("new").expect("made").unreachable = is);
}

/// Never two sides that take clients' writes (P1).
fn check_one_side(lab: &Lab, what: &str) {
    let world = lab.world();
    let new = &world.stores["new"];
    let stopped = lab.kind == Kind::Writers && (!world.running || world.serving() != Some("old"));
    let opened = world.stores["old"].open && world.serving() == Some("old");
    assert!(
        !opened || stopped || new.fenced || !new.open,
        "{what}: the source is open, the target is not fenced"
    );
}

fn check_left(lab: &Lab, what: &str) {
    check_one_side(lab, what);
    assert_eq!(lab.world().serving(), Some("old"), "{what}");
    assert!(lab.world().stores["new"].fenced, "{what}: fenced");
    let known = lab.state().cutovers[&cutover()].clone();
    assert_eq!(known.live, Side::Source, "{what}");
    let left = known.left.expect("left");
    assert_eq!(left.side, Side::Target, "{what}");
    assert!(left.loses.contains("LOST"), "{what}: {}", left.loses);
    assert!(known.held.is_some(), "{what}: held");
}

#[test]
fn lost_health_leaves_a_target_that_cannot_be_read_once_it_is_fenced() {
    for kind in [Kind::Writers, Kind::Data] {
        let lab = Lab::new(kind);
        lab.answers("health", &[true, true, false]);
        lab.script(&[("watch.look#3", Deed::Unreachable { store: "new".to_owned() })]);
        let case = case(&lab, fenced(&lab, watched(&lab, TARGET, 60_000, true)));
        let outcome = run(&lab, &case, &Task::Apply);
        assert_eq!(outcome.exit, 7, "{kind:?}: {:?}", outcome.messages);
        assert!(outcome.messages[0].contains("LOST"), "{kind:?}: {:?}", outcome.messages);
        check_left(&lab, "left");
        let effects = lab.world().effects;
        let fence = effects.iter().position(|e| e.call == "fence").expect("fenced");
        let opened = |e: &segue_tests::memory::Effect| e.call == "route.set" && e.detail == "source";
        assert!(
            effects.iter().position(opened).is_some_and(|at| at > fence),
            "{kind:?}: fenced before it was routed"
        );
        assert_eq!(run(&lab, &case, &Task::Apply).exit, 3, "{kind:?}: held");
    }
}

#[test]
fn what_was_left_and_comes_back_is_stale_until_it_is_taken_back() {
    for kind in [Kind::Writers, Kind::Data] {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        let case = case(&lab, fenced(&lab, lab.desired(TARGET)));
        // Clients write to it, and Segue cannot see it.
        lab.change(|world| (0..8).for_each(|_| world.tick()));
        unreachable(&lab, true);
        let outcome = run(&lab, &case, &Task::SwitchBack(cutover()));
        assert_eq!(outcome.exit, 0, "{kind:?}: {:?}", outcome.messages);
        check_left(&lab, "by command");
        let refused = run(&lab, &case, &Task::Unhold(cutover()));
        assert_eq!(refused.exit, 1, "{kind:?}: it does not answer");
        unreachable(&lab, false);
        let left = lab.state().cutovers[&cutover()].left.clone().expect("left");
        let behind = lab.world().stores["new"].marker.clone().expect("marked");
        assert!(behind.epoch < left.epoch && behind.live == Side::Target, "{kind:?}: its marker is behind");
        let planned = segue_tests::lab::run(&case, &Task::Plan).plan.expect("a plan");
        let told = planned.notes.iter().find(|n| n.finding.code == "SIDE_LEFT").expect("told");
        assert!(told.finding.summary.contains("is back"), "{kind:?}: {}", told.finding.summary);
        // The source serves: typed again it changes nothing, and nobody goes to the side that was left.
        let effects = lab.world().effects;
        let reached = run(&lab, &case, &Task::SwitchBack(cutover()));
        assert_eq!(reached.exit, 0, "{kind:?}: {:?}", reached.messages);
        assert_eq!(lab.world().effects, effects, "{kind:?}: nothing is touched");
        assert_eq!(run(&lab, &case, &Task::Apply).exit, 3, "{kind:?}: held");
        assert_eq!(run(&lab, &case, &Task::Unhold(cutover())).exit, 0, "{kind:?}: taken back");
        lab.change(|world| world.stores.get_mut("new").expect("there").fenced = false);
        if kind == Kind::Data {
            // Writers follow the route; a side that can tell clients is closed before its fence is lifted.
            check_one_side(&lab, "taken back");
        }
        let again = run(&lab, &case, &Task::Apply);
        assert_eq!(again.exit, 0, "{kind:?}: {:?}", again.messages);
        assert_eq!(lab.world().serving(), Some("new"), "{kind:?}: switched again");
        let known = lab.state().cutovers[&cutover()].clone();
        assert!(known.stale_total > 0, "{kind:?}: what it took is listed");
    }
}

#[test]
fn without_a_fence_it_is_held_and_nothing_is_touched() {
    for (accept_loss, fence) in [(false, true), (true, false), (false, false)] {
        let lab = Lab::new(Kind::Data);
        lab.applied(TARGET);
        unreachable(&lab, true);
        let mut desired = fenced(&lab, lab.desired(TARGET));
        for decl in desired.cutovers.values_mut() {
            decl.fallback.accept_loss = accept_loss;
            decl.fallback.fence = decl.fallback.fence.take().filter(|_| fence);
        }
        let before = lab.world();
        let outcome = run(&lab, &case(&lab, desired), &Task::SwitchBack(cutover()));
        assert_eq!(outcome.exit, 3, "{:?}", outcome.messages);
        assert!(outcome.messages[0].contains("is not left"), "{:?}", outcome.messages);
        assert_eq!(lab.world().effects, before.effects, "nothing is touched");
        assert!(lab.state().cutovers[&cutover()].held.is_some(), "held");
    }
}

#[test]
fn with_dual_write_it_is_left_without_a_fence() {
    let lab = Lab::new(Kind::Writers);
    lab.applied(TARGET);
    unreachable(&lab, true);
    let mut desired = lab.desired(TARGET);
    for decl in desired.cutovers.values_mut() {
        decl.fallback.accept_loss = true;
        decl.fallback.dual_write = true;
    }
    let outcome = run(&lab, &case(&lab, desired), &Task::SwitchBack(cutover()));
    assert_eq!(outcome.exit, 0, "{:?}", outcome.messages);
    assert_eq!(lab.world().serving(), Some("old"));
}

#[test]
fn a_fence_that_proves_nothing_opens_nothing() {
    let lab = Lab::new(Kind::Data);
    lab.applied(TARGET);
    lab.script(&[("fence", Deed::Fail)]);
    unreachable(&lab, true);
    let case = case(&lab, fenced(&lab, lab.desired(TARGET)));
    let outcome = run(&lab, &case, &Task::SwitchBack(cutover()));
    assert_eq!(outcome.exit, 5, "{:?}", outcome.messages);
    assert!(!lab.world().stores["old"].open, "the source stays closed");
    assert_eq!(lab.state().cutovers[&cutover()].live, Side::Target);
    lab.script(&[]);
    assert_eq!(run(&lab, &case, &Task::SwitchBack(cutover())).exit, 0, "and tried again");
    check_left(&lab, "tried again");
}

/// The crash matrix of leaving: the source opens behind a proven fence, whatever instant it dies at.
#[test]
fn leaving_killed_at_any_event_ends_the_same() {
    let mut cells = 0;
    for kind in [Kind::Writers, Kind::Data] {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        unreachable(&lab, true);
        let case = case(&lab, fenced(&lab, lab.desired(TARGET)));
        lab.keep("base");
        let first = lab.last_event() + 1;
        let back = Task::SwitchBack(cutover());
        assert_eq!(run(&lab, &case, &back).exit, 0, "{kind:?}");
        check_left(&lab, "clean");
        let clean = lab.events();
        assert!(clean.iter().any(|(_, e)| matches!(e, Event::FenceBegan { .. })), "an intent");
        let last = lab.last_event();
        for n in first..=last {
            for when in ["before", "after"] {
                cells += 1;
                let what = format!("{kind:?} {when}:{n} of {first}..={last}");
                lab.restore("base");
                let _ = lab.try_run(&case, &back, Some(&format!("{when}:{n}")));
                check_one_side(&lab, &what);
                let mut resumes = 0;
                while lab.state().cutovers[&cutover()].left.is_none()
                    || lab.state().in_flight().next().is_some()
                {
                    assert!(resumes < RESUMES_MAX, "{what}: does not end");
                    resumes += 1;
                    run(&lab, &case, &Task::Settle);
                    check_one_side(&lab, &what);
                    if lab.state().cutovers[&cutover()].live == Side::Target {
                        run(&lab, &case, &back);
                    }
                }
                check_left(&lab, &what);
            }
        }
    }
    eprintln!("crash matrix of leaving: {cells} deaths at events");
}

/// An empty mount point is not the target: its emptiness is never carried back.
#[test]
fn what_lost_its_marker_is_not_read() {
    let lab = Lab::new(Kind::Data);
    lab.applied(TARGET);
    lab.change(|world| {
        let new = world.stores.get_mut("new").expect("made");
        new.records.clear();
        new.marker = None;
    });
    let records = lab.world().stores["old"].live();
    let want = Want { reverse: true, ..TARGET };
    let outcome = run(&lab, &case(&lab, lab.desired(want)), &Task::SwitchBack(cutover()));
    assert_eq!(outcome.exit, 3, "{:?}", outcome.messages);
    assert_eq!(lab.world().stores["old"].live(), records, "nothing was deleted");
}
