//! Reads that go to the target in steps before the switch: in order, only while all is well, and back before anything
//! else can be asked for.

use segue_contract::{Address, RouteAt, Side};
use segue_language::{Desired, GateCondition, GateDecl, WatchDecl};
use segue_plan::event::{Event, WeightEvent};
use segue_plan::plan::StepKind;
use segue_tests::lab::{Case, Outcome, Task};
use segue_tests::memory::{Deed, Effect, MEMORY};

use crate::harness::{Kind, Lab, SOURCE, TARGET, WEIGHTED, cutover};

fn apply(lab: &Lab, desired: Desired) -> Outcome {
    let case = Case { desired, state_dir: lab.state_dir() };
    lab.try_run(&case, &Task::Apply, None).expect("nobody kills it")
}

/// The percents that a route was told, in order.
fn told(effects: &[Effect]) -> Vec<&str> {
    effects.iter().filter(|e| e.call == "route.weigh").map(|e| e.detail.as_str()).collect()
}

fn weights(lab: &Lab) -> Vec<WeightEvent> {
    let weight = |event| match event {
        Event::Weight { weight, .. } => Some(weight),
        _ => None,
    };
    lab.events().into_iter().filter_map(|(_, event)| weight(event)).collect()
}

/// A gate that a probe answers.
fn gated(lab: &Lab) -> Desired {
    let mut desired = lab.desired(WEIGHTED);
    let block = lab.block("cutover.site.gate.memory", MEMORY, &[("name", "ready")]);
    let gate = GateDecl {
        address: block.address.clone(),
        timeout_ms: 60_000,
        condition: GateCondition::Probe { block, interval_ms: 1 },
    };
    for decl in desired.cutovers.values_mut() {
        decl.gates.push(gate.clone());
        decl.weights.as_mut().expect("steps").hold_ms = 60_000;
    }
    desired
}

/// After something was lost: the source serves, no read goes elsewhere, and nobody tries again by himself.
fn taken_back(lab: &Lab, desired: Desired, wanted: &str) {
    let outcome = apply(lab, desired.clone());
    let what = format!("{:?}: {:?}", lab.kind, outcome.messages);
    assert_eq!(outcome.exit, 3, "{what}");
    assert!(outcome.messages[0].contains(wanted), "{wanted:?}: {what}");
    assert!(lab.world().weights.is_empty(), "{what}: reads are left at the target");
    assert!(lab.state().cutovers[&cutover()].weight.is_none(), "{what}: and the state knows");
    assert_eq!(lab.state().cutovers[&cutover()].epoch, 0, "{what}: no attempt was begun");
    assert_eq!(apply(lab, desired).exit, 3, "{what}: held");
    lab.check_serves(Side::Source, &what);
}

#[test]
fn each_step_is_intent_outcome_and_hold_and_the_switch_is_the_last() {
    for kind in [Kind::Writers, Kind::Data, Kind::Blind, Kind::Group] {
        let lab = Lab::new(kind);
        lab.applied(WEIGHTED);
        let world = lab.world();
        let routes = if kind == Kind::Group { 2 } else { 1 };
        let wanted: Vec<&str> = ["5", "25"].iter().flat_map(|step| vec![*step; routes]).collect();
        assert_eq!(told(&world.effects), wanted, "{kind:?}");
        let place = |call: &str| world.effects.iter().rposition(|e| e.call == call).expect("done");
        let closed = world.effects.iter().position(|e| e.call == "quiesce.close").expect("closed");
        assert!(place("route.weigh") < closed, "{kind:?}: while the source takes the writes");
        let kinds: Vec<String> = weights(&lab)
            .iter()
            .map(|event| match event {
                WeightEvent::Began { percent, .. } => format!("began {percent}"),
                WeightEvent::Set { percent } => format!("set {percent}"),
                WeightEvent::Held { percent, .. } => format!("held {percent}"),
                WeightEvent::Lost { .. } => "lost".to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["began 5", "set 5", "held 5", "began 25", "set 25", "held 25"], "{kind:?}");
        assert!(lab.state().cutovers[&cutover()].weight.is_none(), "{kind:?}: the switch ends it");
        lab.check_serves(Side::Target, "weighted");
        lab.check_plan_is_empty(WEIGHTED, "weighted");
        lab.applied(SOURCE);
        assert_eq!(told(&lab.world().effects), wanted, "{kind:?}: a switch back takes no steps");
    }
}

#[test]
fn a_plan_shows_each_step_with_what_is_held() {
    let lab = Lab::new(Kind::Data);
    let outcome = lab.run(WEIGHTED, &Task::Plan);
    let plan = outcome.plan.expect("a plan");
    let steps: Vec<(&str, &str)> = plan
        .steps
        .iter()
        .filter(|s| s.kind == StepKind::Weigh)
        .map(|s| (s.address.as_str(), s.what.as_str()))
        .collect();
    let what = |percent| {
        format!("send {percent} % of the reads to the target through route.memory.site; hold that for 1ms")
    };
    let (first, second) = (what(5), what(25));
    assert_eq!(steps, [("cutover.site.weigh_5", &*first), ("cutover.site.weigh_25", &*second)]);
    let place = |kind| plan.steps.iter().position(|s| s.kind == kind).expect("a step");
    assert!(
        place(StepKind::Gate) < place(StepKind::Weigh) && place(StepKind::Weigh) < place(StepKind::Quiesce)
    );
}

#[test]
fn a_gate_that_is_lost_while_a_step_is_held_takes_the_reads_back() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.answers("ready", &[true, true, true, true, false]);
        let desired = gated(&lab);
        taken_back(&lab, desired, "cutover.site.gate.memory was lost");
    }
}

#[test]
fn a_watch_that_is_not_good_while_a_step_is_held_takes_the_reads_back_whatever_it_does_later() {
    for switch_back in [true, false] {
        let lab = Lab::new(Kind::Data);
        lab.answers("health", &[true, false, false]);
        let mut desired = lab.desired(WEIGHTED);
        let block = lab.block("cutover.site.watch.memory", MEMORY, &[("name", "health")]);
        for decl in desired.cutovers.values_mut() {
            decl.weights.as_mut().expect("steps").hold_ms = 60_000;
            decl.watches = vec![WatchDecl {
                block: block.clone(),
                for_ms: 10,
                interval_ms: 2,
                failures: 2,
                switch_back,
            }];
        }
        taken_back(&lab, desired, "2 looks in a row were not good");
    }
}

#[test]
fn a_route_that_fails_or_a_pass_that_fails_takes_the_reads_back() {
    for (at, wanted) in [("route.weigh#2", "route.weigh failed"), ("engine.pass", "engine.pass failed")] {
        let lab = Lab::new(Kind::Data);
        lab.applied(SOURCE);
        let mut desired = lab.desired(WEIGHTED);
        if at == "engine.pass" {
            // The first passes are before the steps; the third is in the hold.
            lab.script(&[("engine.pass#5", Deed::Fail)]);
            desired.cutovers.values_mut().for_each(|c| c.weights.as_mut().expect("steps").hold_ms = 60_000);
        } else {
            lab.script(&[(at, Deed::Fail)]);
        }
        taken_back(&lab, desired, wanted);
    }
}

#[test]
fn what_was_lost_begins_with_the_first_step_again_and_what_died_goes_on() {
    let lab = Lab::new(Kind::Data);
    lab.applied(SOURCE);
    lab.keep("base");
    for (deed, wanted) in [(Deed::Fail, vec!["5", "0", "5", "25"]), (Deed::Kill, vec!["5", "0", "25"])] {
        lab.restore("base");
        lab.change(|world| world.effects.clear());
        lab.script(&[("route.weigh#2", deed.clone())]);
        let ended = lab.try_run(&lab.case(WEIGHTED), &Task::Apply, None);
        assert_eq!(ended.map(|o| o.exit), (deed == Deed::Fail).then_some(3), "{deed:?}");
        lab.run(WEIGHTED, &Task::Unhold(cutover()));
        lab.applied(WEIGHTED);
        assert_eq!(told(&lab.world().effects), wanted, "{deed:?}");
        lab.check_serves(Side::Target, "again");
    }
}

#[test]
fn any_command_after_a_death_takes_the_reads_back_before_it_does_anything() {
    let lab = Lab::new(Kind::Data);
    lab.applied(SOURCE);
    lab.script(&[("route.weigh#2", Deed::KillAfter)]);
    assert_eq!(lab.try_run(&lab.case(WEIGHTED), &Task::Apply, None), None);
    assert_eq!(lab.world().weights.get("site"), Some(&25));
    let planned = segue_tests::lab::run(&lab.case(WEIGHTED), &Task::Plan);
    assert_eq!(planned.plan.expect("a plan").drift, [], "what is Segue's own is no drift");
    assert_eq!(lab.run(TARGET, &Task::Settle).exit, 0);
    assert!(lab.world().weights.is_empty() && !lab.state().unsettled());
    lab.check_serves(Side::Source, "settled");
}

#[test]
fn an_abort_in_the_pause_opens_the_source_and_then_takes_the_reads_back() {
    let lab = Lab::new(Kind::Data);
    lab.applied(SOURCE);
    lab.change(|world| world.effects.clear());
    lab.script(&[("quiesce.observe", Deed::Lie)]);
    assert_eq!(lab.apply(WEIGHTED).exit, 5);
    let effects = lab.world().effects;
    let last = |call: &str| effects.iter().rposition(|e| e.call == call).expect("done");
    assert_eq!(told(&effects), ["5", "25", "0"]);
    assert!(last("quiesce.open") < last("route.weigh"), "{effects:#?}");
    let known = lab.state().cutovers[&cutover()].clone();
    assert!(known.weight.is_none() && known.held.is_some());
}

#[test]
fn reads_that_somebody_else_sent_to_the_target_are_drift_and_mended() {
    let lab = Lab::new(Kind::Data);
    lab.applied(SOURCE);
    lab.change(|world| {
        world.weights.insert("site".to_owned(), 30);
    });
    let planned = segue_tests::lab::run(&lab.case(SOURCE), &Task::Plan);
    assert_eq!(planned.exit, 4);
    let drift = planned.plan.expect("a plan").drift;
    assert_eq!(drift[0].address, Address::new("route.memory.site"));
    assert!(drift[0].what.contains("sends 30 % of the reads to the target"), "{drift:?}");
    lab.applied(SOURCE);
    assert!(lab.world().weights.is_empty());
    assert_eq!(RouteAt::weighted(0), RouteAt::Side(Side::Source));
}
