//! The repeat matrix: every call that fails once, before or after its effect, or in a way that nobody can
//! tell, is made again, and what comes of it is what comes of a clean run.

use segue_tests::lab::Task;
use segue_tests::memory::Deed;

use crate::harness::{ABANDONED, FINISHED, Kind, Lab, SOURCE, TARGET, Want};
use crate::normal;

fn prepared(kind: Kind, before: &[Want]) -> Lab {
    let lab = Lab::new(kind);
    for want in before {
        lab.applied(*want);
    }
    lab.script(&[]);
    lab.keep("base");
    lab
}

/// One run in which the first call of every name fails, so that the waits before second tries add up but once.
fn every_call_fails_once(deed: &Deed) {
    let mut cells = 0;
    for kind in Kind::ALL {
        for (before, want) in [
            (&[][..], TARGET),
            (&[TARGET][..], SOURCE),
            (&[TARGET][..], FINISHED),
            (&[SOURCE][..], ABANDONED),
        ] {
            let lab = prepared(kind, before);
            lab.applied(want);
            let calls = lab.world().calls;
            let clean = (normal::state(&lab.state()), normal::world(&lab.world()));
            lab.restore("base");
            let at: Vec<String> = calls.keys().map(|name| format!("{name}#1")).collect();
            let faults: Vec<(&str, Deed)> = at.iter().map(|at| (at.as_str(), deed.clone())).collect();
            lab.script(&faults);
            let what = format!("{kind:?} {want:?} {deed:?}");
            let outcome = lab.run(want, &Task::Apply);
            assert_eq!(outcome.exit, 0, "{what}: {:?}", outcome.messages);
            lab.check_serves(want.live, &what);
            lab.check_plan_is_empty(want, &what);
            normal::similar(&normal::state(&lab.state()), &clean.0, &format!("{what}: the state"));
            normal::similar(&normal::world(&lab.world()), &clean.1, &format!("{what}: the world"));
            cells += at.len();
        }
    }
    eprintln!("repeat matrix: {cells} calls that once {deed:?}");
}

#[test]
fn a_call_that_failed_before_its_effect_is_made_again() {
    every_call_fails_once(&Deed::FailTransient);
}

#[test]
fn a_call_that_failed_after_its_effect_is_made_again_and_ends_as_if_made_once() {
    every_call_fails_once(&Deed::FailAfterEffect);
}

#[test]
fn a_call_whose_outcome_nobody_can_tell_is_made_again() {
    every_call_fails_once(&Deed::FailUnknown);
}

#[test]
fn a_call_that_fails_for_good_at_any_time_leaves_one_side_serving_and_the_next_runs_reach_the_end() {
    for kind in Kind::ALL {
        let lab = prepared(kind, &[]);
        lab.applied(TARGET);
        let calls = lab.world().calls;
        let clean = normal::world(&lab.world());
        let each =
            calls.iter().flat_map(|(name, count)| kind.looked_at(*count).into_iter().map(move |n| (name, n)));
        for at in each.map(|(name, n)| format!("{name}#{n}")) {
            lab.restore("base");
            lab.script(&[(&at, Deed::Fail)]);
            let what = format!("{kind:?}, {at} fails");
            let outcome = lab.apply(TARGET);
            // A side that is open already (one that must be, for Segue to write to it) needs no opening.
            let open_already = kind == Kind::Blind && at.starts_with("quiesce.open#");
            // How many documents there are is asked for the progress, too.
            let not_needed = at.starts_with("documents.count#");
            let exits: &[i32] = if open_already || not_needed { &[0, 1, 5] } else { &[1, 5] };
            assert!(exits.contains(&outcome.exit), "{what}: {} {:?}", outcome.exit, outcome.messages);
            let state = lab.state();
            if let Some(known) = state.cutovers.get(&crate::harness::cutover())
                && state.in_flight().next().is_none()
            {
                lab.check_serves(known.live, &what);
            }
            let unheld = lab.run(TARGET, &Task::Unhold(crate::harness::cutover()));
            assert_eq!(unheld.exit, 0, "{what}: {:?}", unheld.messages);
            lab.applied(TARGET);
            lab.check_serves(TARGET.live, &what);
            lab.check_plan_is_empty(TARGET, &what);
            normal::similar(&normal::world(&lab.world()), &clean, &format!("{what}: the world"));
        }
    }
}
