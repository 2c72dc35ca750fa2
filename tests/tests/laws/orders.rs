//! The protocol's orders, read from the world's log of effects: what a client could have seen.

use segue_contract::Side;
use segue_plan::cutover::Phase;
use segue_plan::event::Event;
use segue_tests::memory::{Deed, Effect};

use crate::harness::{Kind, Lab, SOURCE, TARGET, store};

/// The effects of one apply.
fn effects_of(lab: &Lab, run: impl FnOnce()) -> Vec<Effect> {
    lab.change(|world| world.effects.clear());
    run();
    lab.world().effects
}

fn place(effects: &[Effect], what: &str, is: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().position(is).unwrap_or_else(|| panic!("no {what} in {effects:#?}"))
}

fn last(effects: &[Effect], what: &str, is: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().rposition(is).unwrap_or_else(|| panic!("no {what} in {effects:#?}"))
}

fn at(effect: &Effect, call: &str, side: Side) -> bool {
    effect.call == call && effect.store.as_deref() == Some(store(side))
}

/// Both directions of a switch, in every kind of world.
fn each_switch(check: impl Fn(Kind, Side, &[Effect])) {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(SOURCE);
        for want in [TARGET, SOURCE] {
            let effects = effects_of(&lab, || lab.applied(want));
            check(kind, want.live, &effects);
        }
    }
}

#[test]
fn both_sides_are_claimed_before_the_first_effect() {
    each_switch(|kind, to, effects| {
        let close = place(effects, "close", |e| at(e, "quiesce.close", to.other()));
        for side in [Side::Source, Side::Target] {
            let claim = place(effects, "claim", |e| at(e, "marker", side) && e.detail == "claimed");
            assert!(claim < close, "{kind:?} to the {to}: {side}");
        }
    });
}

#[test]
fn the_old_side_is_closed_before_the_fence_and_the_way_back_is_armed_before_anything_opens() {
    each_switch(|kind, to, effects| {
        let what = format!("{kind:?} to the {to}");
        let close = place(effects, "close", |e| at(e, "quiesce.close", to.other()));
        let fence = place(effects, "fence", |e| at(e, "engine.position", to.other()));
        let armed = place(effects, "way back", |e| at(e, "engine.position", to));
        let raised = place(effects, "raised marker", |e| e.call == "marker" && e.detail == "raised");
        let last_look = effects[..raised].iter().rposition(|e| at(e, "engine.position", to.other()));
        let open = place(effects, "open", |e| at(e, "quiesce.open", to));
        assert!(close < fence && fence < armed, "{what}: {effects:#?}");
        assert!(
            last_look.is_some_and(|look| armed < look),
            "{what}: the fence is looked at again before the commit"
        );
        assert!(armed < raised && raised < open, "{what}: {effects:#?}");
    });
}

#[test]
fn the_target_is_carried_to_the_fence_after_the_fence() {
    each_switch(|kind, to, effects| {
        let fence = place(effects, "fence", |e| at(e, "engine.position", to.other()));
        let caught_up = last(effects, "catch-up", |e| at(e, "engine.pass", to));
        assert!(fence < caught_up, "{kind:?} to the {to}");
    });
}

#[test]
fn markers_are_raised_old_side_first_and_before_the_new_side_opens() {
    each_switch(|kind, to, effects| {
        let what = format!("{kind:?} to the {to}");
        let raised = |side| place(effects, "raise", |e| at(e, "marker", side) && e.detail == "raised");
        let first = place(effects, "opening", |e| e.call == "route.set" || at(e, "quiesce.open", to));
        assert!(raised(to.other()) < raised(to), "{what}: the old side first");
        assert!(raised(to) < first, "{what}: raised before anything leads there");
    });
}

#[test]
fn on_the_data_the_side_opens_before_the_route_and_on_the_writers_after_it() {
    each_switch(|kind, to, effects| {
        let route = place(effects, "route", |e| at(e, "route.set", to));
        let open = place(effects, "open", |e| at(e, "quiesce.open", to));
        match kind {
            Kind::Writers => assert!(route < open, "to the {to}: the writers start where the route leads"),
            Kind::Data | Kind::Documents | Kind::Blind | Kind::Group => {
                assert!(open < route, "{kind:?} to the {to}: clients come to an open side");
            }
        }
    });
}

#[test]
fn the_way_back_is_recorded_before_the_commit() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(TARGET);
        let phases: Vec<Phase> = lab
            .events()
            .into_iter()
            .filter_map(|(_, event)| match event {
                Event::PhaseReached { phase, .. } => Some(phase),
                _ => None,
            })
            .collect();
        let place = |phase| phases.iter().position(|p| *p == phase).expect("reached");
        assert!(place(Phase::ReverseArmed) < place(Phase::Committed), "{kind:?}: {phases:?}");
        assert!(place(Phase::Hardened) < place(Phase::ReverseArmed), "{kind:?}: {phases:?}");
    }
}

#[test]
fn an_abort_opens_the_side_that_served_before_anything_else() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.applied(SOURCE);
        lab.script(&[("engine.position#1", Deed::Fail)]);
        let effects = effects_of(&lab, || assert_eq!(lab.apply(TARGET).exit, 5, "{kind:?}"));
        let close = place(&effects, "close", |e| at(e, "quiesce.close", Side::Source));
        let next = effects.get(close + 1).expect("something after the close");
        assert!(at(next, "quiesce.open", Side::Source), "{kind:?}: {effects:#?}");
        assert_eq!(effects.len(), close + 2, "{kind:?}: nothing else was to undo: {effects:#?}");
    }
}
