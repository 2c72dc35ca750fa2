//! Watches: what is looked at after a switch, going back by itself, and that a death changes none of it.

use segue_contract::{Address, BlockRef, Side};
use segue_language::{Desired, WatchDecl};
use segue_plan::cutover::Phase;
use segue_plan::event::Event;
use segue_tests::lab::{Case, Outcome, Task};
use segue_tests::memory::Deed;

use crate::harness::{Kind, Lab, TARGET, Want, cutover};
use crate::normal;
use crate::table::{self, Row};

/// Resumes that a run needs at most after one death.
const RESUMES_MAX: usize = 5;

/// The spec with one watch.
pub(crate) fn watched(lab: &Lab, want: Want, for_ms: u64, switch_back: bool) -> Desired {
    let mut desired = lab.desired(want);
    let block: BlockRef =
        lab.block("cutover.site.watch.memory", segue_tests::memory::MEMORY, &[("name", "health")]);
    let watch = WatchDecl { block, for_ms, interval_ms: 2, failures: 2, switch_back };
    for decl in desired.cutovers.values_mut() {
        decl.watches = vec![watch.clone()];
    }
    desired
}

fn case(lab: &Lab, desired: Desired) -> Case {
    Case { desired, state_dir: lab.state_dir() }
}

fn apply(lab: &Lab, case: &Case) -> Outcome {
    lab.try_run(case, &Task::Apply, None).expect("nobody kills it")
}

fn reads(lab: &Lab) -> Vec<bool> {
    let read = |event| match event {
        Event::WatchRead { ok, .. } => Some(ok),
        _ => None,
    };
    lab.events().into_iter().filter_map(|(_, event)| read(event)).collect()
}

#[test]
fn a_switch_whose_watch_stays_good_is_complete() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        let case = case(&lab, watched(&lab, TARGET, 30, true));
        let outcome = apply(&lab, &case);
        assert_eq!(outcome.exit, 0, "{kind:?}: {:?}", outcome.messages);
        assert_eq!(reads(&lab), [true], "{kind:?}: the first look is recorded, no change came after");
        assert_eq!(lab.state().cutovers[&cutover()].phase, Phase::Soaking, "{kind:?}");
        lab.check_serves(Side::Target, "watched");
        let planned = segue_tests::lab::run(&case, &Task::Plan);
        assert_eq!(planned.exit, 0, "{kind:?}: nothing is left to do");
    }
}

#[test]
fn lost_health_goes_back_by_itself_loses_nothing_and_holds() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.answers("health", &[true, false, true, false, false]);
        let case = case(&lab, watched(&lab, TARGET, 60_000, true));
        let outcome = apply(&lab, &case);
        assert_eq!(outcome.exit, 7, "{kind:?}: {:?}", outcome.messages);
        assert!(outcome.messages[0].contains("0 writes lost"), "{:?}", outcome.messages);
        assert_eq!(reads(&lab), [true, false, true, false], "{kind:?}: each change is recorded");
        let known = lab.state().cutovers[&cutover()].clone();
        assert!(known.held.is_some_and(|h| h.reason.contains("health was lost")), "{kind:?}");
        let before = lab.world();
        assert_eq!(apply(&lab, &case).exit, 3, "{kind:?}: held");
        assert_eq!(lab.world(), before, "{kind:?}: and nothing is touched");
        assert_eq!(lab.try_run(&case, &Task::Unhold(cutover()), None).expect("ran").exit, 0);
        lab.answers("health", &[true]);
        let again = case.desired.clone();
        let again = Case { desired: short(again), ..case };
        assert_eq!(apply(&lab, &again).exit, 0, "{kind:?}: unheld");
        lab.check_serves(Side::Target, "unheld");
    }
}

/// The same spec, watched for a moment only.
fn short(mut desired: Desired) -> Desired {
    for watch in desired.cutovers.values_mut().flat_map(|c| c.watches.iter_mut()) {
        watch.for_ms = 10;
    }
    desired
}

#[test]
fn a_probe_that_cannot_be_asked_counts_as_not_good() {
    let lab = Lab::new(Kind::Data);
    lab.script(&[("watch.look", Deed::Fail)]);
    let outcome = apply(&lab, &case(&lab, watched(&lab, TARGET, 60_000, true)));
    assert_eq!(outcome.exit, 7, "{:?}", outcome.messages);
    assert!(outcome.messages[0].contains("could not be asked"), "{:?}", outcome.messages);
    lab.check_serves(Side::Source, "went back");
}

#[test]
fn without_a_reverse_sync_lost_health_is_said_loudly_and_the_new_side_kept() {
    for kind in Kind::ALL {
        let lab = Lab::new(kind);
        lab.answers("health", &[false]);
        let mut desired = watched(&lab, Want { reverse: false, ..TARGET }, 60_000, true);
        for decl in desired.cutovers.values_mut() {
            decl.fallback.accept_loss = false;
        }
        let case = case(&lab, desired);
        let outcome = apply(&lab, &case);
        assert_eq!(outcome.exit, 1, "{kind:?}: {:?}", outcome.messages);
        assert!(outcome.messages[0].contains("no reverse sync"), "{:?}", outcome.messages);
        let known = lab.state().cutovers[&cutover()].clone();
        assert_eq!((known.live, known.phase), (Side::Target, Phase::Soaking), "{kind:?}");
        lab.check_serves(Side::Target, "kept");
        assert_eq!(apply(&lab, &case).exit, 0, "{kind:?}: nothing more to do");
    }
}

#[test]
fn with_accepted_loss_it_goes_back_without_a_reverse_sync() {
    let lab = Lab::new(Kind::Data);
    lab.answers("health", &[false]);
    let outcome = apply(&lab, &case(&lab, watched(&lab, Want { reverse: false, ..TARGET }, 60_000, true)));
    assert_eq!(outcome.exit, 7, "{:?}", outcome.messages);
    lab.check_serves(Side::Source, "accepted");
}

#[test]
fn health_that_is_only_reported_is_a_finding() {
    let lab = Lab::new(Kind::Data);
    lab.answers("health", &[false]);
    let outcome = apply(&lab, &case(&lab, watched(&lab, TARGET, 40, false)));
    assert_eq!(outcome.exit, 0, "{:?}", outcome.messages);
    let found: Vec<String> = lab.state().findings.iter().map(|(_, f)| f.code.clone()).collect();
    assert_eq!(found, ["WATCH_LOST"], "said once");
    lab.check_serves(Side::Target, "reported");
}

#[test]
fn a_target_that_cannot_be_read_is_held_and_not_left() {
    let lab = Lab::new(Kind::Data);
    lab.answers("health", &[true, true, true, true, false]);
    let case = case(&lab, watched(&lab, TARGET, 60_000, true));
    lab.keep("base");
    lab.applied(TARGET);
    let passes = lab.world().calls["engine.pass"];
    lab.restore("base");
    // Every pass after those of the switch fails.
    let script: Vec<String> = (passes + 1..passes + 60).map(|n| format!("engine.pass#{n}")).collect();
    let faults: Vec<(&str, Deed)> = script.iter().map(|at| (at.as_str(), Deed::Fail)).collect();
    lab.script(&faults);
    let outcome = apply(&lab, &case);
    assert_eq!(outcome.exit, 1, "{:?}", outcome.messages);
    assert!(outcome.messages[0].contains("is not left"), "{:?}", outcome.messages);
    let known = lab.state().cutovers[&cutover()].clone();
    assert_eq!((known.live, known.phase), (Side::Target, Phase::Soaking));
    assert!(known.held.is_some(), "held");
    lab.script(&[]);
    assert_eq!(lab.try_run(&case, &Task::SwitchBack(cutover()), None).expect("ran").exit, 0);
    lab.check_serves(Side::Source, "by hand");
}

/// Whoever only settles does not sit and watch; the next apply does.
#[test]
fn settling_leaves_the_watch_to_the_next_apply() {
    let lab = Lab::new(Kind::Writers);
    let case = case(&lab, watched(&lab, TARGET, 30, true));
    lab.script(&[("watch.look#1", Deed::Kill)]);
    assert_eq!(lab.try_run(&case, &Task::Apply, None), None, "killed");
    let phase = |lab: &Lab| lab.state().cutovers[&cutover()].phase;
    assert_eq!(phase(&lab), Phase::Watching);
    assert_eq!(lab.try_run(&case, &Task::Settle, None).expect("ran").exit, 0);
    assert_eq!(phase(&lab), Phase::Watching);
    let planned = segue_tests::lab::run(&case, &Task::Plan);
    assert_eq!(planned.exit, 2, "the watch is still to do");
    assert_eq!(apply(&lab, &case).exit, 0);
    assert_eq!(phase(&lab), Phase::Soaking);
    lab.check_serves(Side::Target, "watched after a death");
}

#[test]
fn a_switch_back_by_command_ends_a_watch_that_a_death_left() {
    let lab = Lab::new(Kind::Writers);
    let case = case(&lab, watched(&lab, TARGET, 60_000, true));
    lab.script(&[("watch.look#1", Deed::Kill)]);
    assert_eq!(lab.try_run(&case, &Task::Apply, None), None, "killed");
    assert_eq!(lab.try_run(&case, &Task::SwitchBack(cutover()), None).expect("ran").exit, 0);
    lab.check_serves(Side::Source, "by command");
    assert_eq!(apply(&lab, &case).exit, 3, "held");
}

/// The crash matrix of a run that loses its health: whatever instant it dies at, it ends on the source, held.
#[test]
fn a_run_that_loses_health_killed_at_any_event_still_goes_back() {
    let mut row = Row {
        run: "lost health",
        killed: "apply, before and after each event",
        worlds: "writers, data".to_owned(),
        instants: 0,
        deaths: 0,
        outcome: "went back by itself, the source serves, held".to_owned(),
    };
    for kind in [Kind::Writers, Kind::Data] {
        let lab = Lab::new(kind);
        lab.answers("health", &[true, false]);
        let case = case(&lab, watched(&lab, TARGET, 60_000, true));
        lab.keep("base");
        let first = lab.last_event() + 1;
        assert_eq!(apply(&lab, &case).exit, 7, "{kind:?}");
        let clean = normal::world(&lab.world());
        let last = lab.last_event();
        row.instants += last + 1 - first;
        for n in first..=last {
            for when in ["before", "after"] {
                let what = format!("{kind:?} {when}:{n} of {first}..={last}");
                lab.restore("base");
                let ended = lab.try_run(&case, &Task::Apply, Some(&format!("{when}:{n}")));
                row.deaths += u64::from(ended.is_none());
                // How many reverse passes there are until health is lost depends on the time: a run may have fewer events.
                let mut exits: Vec<i32> = ended.into_iter().map(|o| o.exit).collect();
                while !matches!(exits.last(), Some(3 | 7)) {
                    assert!(exits.len() < RESUMES_MAX, "{what}: does not end: {exits:?}");
                    exits.push(apply(&lab, &case).exit);
                }
                lab.check_serves(Side::Source, &what);
                let known = lab.state().cutovers[&cutover()].clone();
                assert!(known.held.is_some(), "{what}: held");
                assert_eq!(normal::world(&lab.world()), clean, "{what}");
            }
        }
    }
    table::note(row);
}

#[test]
fn the_plan_shows_the_watch_and_its_hash_covers_it() {
    let lab = Lab::new(Kind::Data);
    let plan = |desired: Desired| {
        let outcome = segue_tests::lab::run(&case(&lab, desired), &Task::Plan);
        outcome.plan.expect("a plan")
    };
    let with = plan(watched(&lab, TARGET, 60_000, true));
    let step = with.steps.iter().find(|s| s.address == Address::new("cutover.site.watch.memory"));
    assert!(step.expect("a step").what.contains("switch back by itself"));
    assert_ne!(with.hash, plan(watched(&lab, TARGET, 60_001, true)).hash);
    assert_ne!(with.hash, plan(lab.desired(TARGET)).hash);
}
