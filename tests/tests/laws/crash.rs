//! The crash matrix: killed before and after every event of the journal, and after every call, then resumed by
//! the same command, a run comes to what a clean run comes to.

use segue_contract::Side;
use segue_plan::cutover::{Settle, settle};
use segue_tests::lab::Task;
use segue_tests::memory::Deed;
use segue_tests::rounds;

use crate::harness::{ABANDONED, FINISHED, Kind, Lab, SOURCE, TARGET, WEIGHTED, Want, cutover, store};
use crate::normal;

/// Resumes that a run needs at most after one death.
const RESUMES_MAX: usize = 4;

/// A scenario: what was done before, and the command that is killed.
struct Scenario {
    name: &'static str,
    before: &'static [Want],
    want: Want,
    /// The fault script while it runs.
    faults: Vec<(&'static str, Deed)>,
    /// How a clean run ends, and one that was resumed.
    exits: &'static [i32],
    /// Who serves in the end.
    live: Side,
}

impl Scenario {
    fn new(name: &'static str, before: &'static [Want], want: Want) -> Self {
        Self { name, before, want, faults: Vec::new(), exits: &[0], live: want.live }
    }

    fn prepare(&self, kind: Kind) -> Lab {
        let lab = Lab::new(kind);
        for want in self.before {
            lab.applied(*want);
        }
        let faults: Vec<(&str, Deed)> = self.faults.clone();
        lab.script(&faults);
        lab.keep("base");
        lab
    }

    /// Runs until it ends as it may.
    fn resume(&self, lab: &Lab, what: &str) {
        for _ in 0..RESUMES_MAX {
            let outcome = lab.apply(self.want);
            if self.exits.contains(&outcome.exit) {
                return;
            }
            assert_eq!(outcome.exit, 1, "{what}: resumed: {:?}", outcome.messages);
        }
        panic!("{what}: does not end: {:?}", lab.apply(self.want).messages);
    }

    fn check(&self, lab: &Lab, clean: &(String, String), what: &str) {
        lab.check_serves(self.live, what);
        if self.exits == [0] {
            lab.check_plan_is_empty(self.want, what);
        }
        similar(&normal::state(&lab.state()), &clean.0, &format!("{what}: the state"));
        similar(&normal::world(&lab.world()), &clean.1, &format!("{what}: the world"));
    }

    fn clean(&self, lab: &Lab) -> (String, String) {
        let outcome = lab.apply(self.want);
        assert!(self.exits.contains(&outcome.exit), "{}: {:?} {:?}", self.name, lab.kind, outcome.messages);
        (normal::state(&lab.state()), normal::world(&lab.world()))
    }

    fn crash_at_every_event(&self) {
        let mut cells = 0;
        // A group of both kinds has every event of either; each alone is for the long run.
        for kind in [Kind::Group, Kind::Writers, Kind::Data].into_iter().take(rounds(1, 3)) {
            let lab = self.prepare(kind);
            let first = lab.last_event() + 1;
            let clean = self.clean(&lab);
            let last = lab.last_event();
            for n in first..=last {
                for when in ["before", "after"] {
                    cells += 1;
                    let kill = format!("{when}:{n}");
                    let what = format!("{} {kind:?} {kill} of {first}..={last}", self.name);
                    lab.restore("base");
                    let ended = lab.try_run(&lab.case(self.want), &Task::Apply, Some(&kill));
                    if ended.is_some() && lab.last_event() < n {
                        // Passes go on until they stop shrinking: this run needed fewer.
                        continue;
                    }
                    assert!(ended.is_none(), "{what}: was not killed: {:?}", ended.map(|o| o.messages));
                    check_killed(&lab, &what);
                    self.resume(&lab, &what);
                    self.check(&lab, &clean, &what);
                }
            }
        }
        eprintln!("crash matrix of {}: {cells} deaths at events", self.name);
    }

    fn crash_at_every_call(&self) {
        let mut cells = 0;
        for kind in Kind::ALL {
            let lab = self.prepare(kind);
            let clean = self.clean(&lab);
            for (call, count) in lab.world().calls {
                for n in 1..=count {
                    cells += 1;
                    let at = format!("{call}#{n}");
                    let what = format!("{} {kind:?} killed after {at}", self.name);
                    lab.restore("base");
                    let mut faults = vec![(at.as_str(), Deed::KillAfter)];
                    faults.extend(self.faults.iter().map(|(at, deed)| (*at, deed.clone())));
                    lab.script(&faults);
                    let ended = lab.try_run(&lab.case(self.want), &Task::Apply, None);
                    if ended.is_some() {
                        // The call failed as the scenario wants, and so had no end to die at.
                        continue;
                    }
                    check_killed(&lab, &what);
                    self.resume(&lab, &what);
                    self.check(&lab, &clean, &what);
                }
            }
        }
        eprintln!("crash matrix of {}: {cells} deaths at calls", self.name);
    }
}

impl Scenario {
    /// The same with a watchdog: before anybody types anything, one side serves and takes writes.
    fn settled_by_the_watchdog_at_every_event(&self) {
        let mut cells = 0;
        for kind in [Kind::Group, Kind::Writers, Kind::Data].into_iter().take(rounds(1, 3)) {
            let mut lab = self.prepare(kind);
            lab.watched = true;
            let first = lab.last_event() + 1;
            let clean = self.clean(&lab);
            let last = lab.last_event();
            for n in first..=last {
                cells += 1;
                let kill = format!("after:{n}");
                let what = format!("{} {kind:?} watched, {kill} of {first}..={last}", self.name);
                lab.restore("base");
                let ended = lab.try_run(&lab.case(self.want), &Task::Apply, Some(&kill));
                if ended.is_some() && lab.last_event() < n {
                    continue;
                }
                assert!(ended.is_none(), "{what}: was not killed: {:?}", ended.map(|o| o.messages));
                lab.until_nobody_watches();
                let state = lab.state();
                assert!(!state.unsettled(), "{what}: is not settled");
                assert!(lab.world().weights.is_empty(), "{what}: reads are left at the target");
                let live = state.cutovers.get(&cutover()).map_or(Side::Source, |c| c.live);
                lab.keep("settled");
                lab.check_serves(live, &what);
                lab.restore("settled");
                self.resume(&lab, &what);
                self.check(&lab, &clean, &what);
            }
        }
        eprintln!("watched crash matrix of {}: {cells} deaths at events", self.name);
    }
}

/// What must hold at the instant of a death: without COMMITTED nothing of the new side was touched.
fn check_killed(lab: &Lab, what: &str) {
    let (state, world) = (lab.state(), lab.world());
    let Some(known) = state.cutovers.get(&cutover()) else {
        return;
    };
    let Some(attempt) = known.attempt.as_ref().filter(|_| settle(known.phase) == Settle::Abort) else {
        return;
    };
    assert_eq!(world.routes["site"].as_deref(), Some(store(attempt.from)), "{what}: routed before COMMITTED");
    for (name, store) in &world.stores {
        let raised = store.marker.as_ref().is_some_and(|m| m.raised && m.epoch >= attempt.epoch);
        assert!(!raised, "{what}: the marker of {name} was raised before COMMITTED");
    }
    let serving = world.serving();
    assert!(serving.is_none() || serving == Some(store(attempt.from)), "{what}: {serving:?} serves");
}

fn similar(found: &str, wanted: &str, what: &str) {
    if found != wanted {
        let changes: Vec<String> = found
            .lines()
            .zip(wanted.lines())
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!("found {a}, clean {b}"))
            .take(12)
            .collect();
        panic!("{what} differs from the clean run's:\n{}", changes.join("\n"));
    }
}

fn switch() -> Scenario {
    Scenario::new("switch", &[], TARGET)
}

/// Everything was carried before: what is left are the steps of the reads, and the switch.
fn weighted() -> Scenario {
    Scenario::new("weighted switch", &[SOURCE], WEIGHTED)
}

fn weighted_abort() -> Scenario {
    Scenario { want: WEIGHTED, ..abort() }
}

fn back() -> Scenario {
    Scenario::new("switch back", &[TARGET], SOURCE)
}

fn finish() -> Scenario {
    Scenario::new("finish", &[TARGET], FINISHED)
}

fn abandon() -> Scenario {
    Scenario::new("abandon", &[SOURCE], ABANDONED)
}

fn abort() -> Scenario {
    Scenario {
        faults: vec![("quiesce.observe", Deed::Lie)],
        exits: &[5, 3],
        live: Side::Source,
        ..Scenario::new("abort", &[SOURCE], TARGET)
    }
}

#[test]
fn a_switch_killed_at_any_event_resumes_to_the_clean_end() {
    switch().crash_at_every_event();
}

#[test]
fn a_weighted_switch_killed_at_any_event_resumes_to_the_clean_end() {
    weighted().crash_at_every_event();
}

#[test]
fn a_weighted_switch_that_is_aborted_and_killed_at_any_event_resumes_to_the_clean_end() {
    // As many deaths as the other matrices together: for the long run.
    if rounds(0, 1) == 1 {
        weighted_abort().crash_at_every_event();
    }
}

#[test]
fn a_watchdog_settles_a_weighted_switch_that_dies_at_any_event() {
    // As many deaths as the other matrices together: for the long run.
    if rounds(0, 1) == 1 {
        weighted().settled_by_the_watchdog_at_every_event();
    }
}

#[test]
fn a_switch_back_killed_at_any_event_resumes_to_the_clean_end() {
    back().crash_at_every_event();
}

#[test]
fn a_finish_killed_at_any_event_resumes_to_the_clean_end() {
    finish().crash_at_every_event();
}

#[test]
fn an_abandon_killed_at_any_event_resumes_to_the_clean_end() {
    abandon().crash_at_every_event();
}

#[test]
fn an_abort_killed_at_any_event_resumes_to_the_clean_end() {
    abort().crash_at_every_event();
}

#[test]
fn a_watchdog_settles_a_switch_that_dies_at_any_event() {
    switch().settled_by_the_watchdog_at_every_event();
}

#[test]
fn a_watchdog_settles_a_switch_back_that_dies_at_any_event() {
    back().settled_by_the_watchdog_at_every_event();
}

#[test]
fn a_watchdog_settles_an_abort_that_dies_at_any_event() {
    abort().settled_by_the_watchdog_at_every_event();
}

#[test]
fn any_run_killed_after_any_call_resumes_to_the_clean_end() {
    for scenario in [switch(), weighted(), back(), finish(), abandon(), abort()] {
        scenario.crash_at_every_call();
    }
}
