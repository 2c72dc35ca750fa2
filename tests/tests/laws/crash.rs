//! The crash matrix: killed before and after every event of the journal, and after every call, then resumed by
//! the same command, a run comes to what a clean run comes to.

use segue_contract::Side;
use segue_plan::cutover::{Settle, settle};
use segue_plan::event::Event;
use segue_tests::lab::Task;
use segue_tests::memory::Deed;
use segue_tests::rounds;

use crate::harness::{
    ABANDONED, FINISHED, Kind, Lab, REHEARSED, SOURCE, TARGET, WEIGHTED, Want, cutover, store,
};
use crate::normal;
use crate::table::{self, Row};

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
    /// What it is about; in the short run only the first.
    kinds: &'static [Kind],
    /// It goes back by itself: only deaths on its way back are looked at. Whoever resumes begins another plan then, by
    /// which the state differs.
    goes_back: bool,
}

impl Scenario {
    fn new(name: &'static str, before: &'static [Want], want: Want) -> Self {
        // A group of both kinds has every event of either; each alone is for the long run.
        let kinds = &[Kind::Group, Kind::Writers, Kind::Data, Kind::Documents];
        Self { name, before, want, faults: Vec::new(), exits: &[0], live: want.live, kinds, goes_back: false }
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
        if self.goes_back {
            assert!(lab.state().cutovers[&cutover()].held.is_some(), "{what}: is not held");
        } else {
            normal::similar(&normal::state(&lab.state()), &clean.0, &format!("{what}: the state"));
        }
        normal::similar(&normal::world(&lab.world()), &clean.1, &format!("{what}: the world"));
    }

    fn clean(&self, lab: &Lab) -> (String, String) {
        let outcome = lab.apply(self.want);
        assert!(self.exits.contains(&outcome.exit), "{}: {:?} {:?}", self.name, lab.kind, outcome.messages);
        (normal::state(&lab.state()), normal::world(&lab.world()))
    }

    fn crash_at_every_event(&self) {
        let mut row = self.row("apply, before and after each event");
        for kind in self.kinds.iter().copied().take(rounds(1, 4)) {
            let lab = self.prepare(kind);
            let before = lab.last_event() + 1;
            let clean = self.clean(&lab);
            let first = if self.goes_back { last_attempt(&lab) } else { before };
            let last = lab.last_event();
            in_world(&mut row, kind, last + 1 - first);
            for n in first..=last {
                for when in ["before", "after"] {
                    let kill = format!("{when}:{n}");
                    let what = format!("{} {kind:?} {kill} of {first}..={last}", self.name);
                    lab.restore("base");
                    let ended = lab.try_run(&lab.case(self.want), &Task::Apply, Some(&kill));
                    if ended.is_some() && lab.last_event() < n {
                        // Passes go on until they stop shrinking: this run needed fewer.
                        continue;
                    }
                    assert!(ended.is_none(), "{what}: was not killed: {:?}", ended.map(|o| o.messages));
                    row.deaths += 1;
                    check_killed(&lab, &what);
                    self.resume(&lab, &what);
                    self.check(&lab, &clean, &what);
                }
            }
        }
        table::note(row);
    }

    fn crash_at_every_call(&self) {
        let mut row = self.row("apply, after each call of a provider");
        for kind in Kind::ALL {
            let lab = self.prepare(kind);
            let clean = self.clean(&lab);
            let calls = lab.world().calls;
            in_world(&mut row, kind, calls.values().sum());
            for (call, count) in calls {
                for n in kind.looked_at(count) {
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
                    row.deaths += 1;
                    check_killed(&lab, &what);
                    self.resume(&lab, &what);
                    self.check(&lab, &clean, &what);
                }
            }
        }
        table::note(row);
    }

    fn row(&self, killed: &'static str) -> Row {
        let outcome = match self.exits {
            [0] => format!("the {} serves, all as after a clean run", self.live),
            _ => format!("aborted, the {} serves, all as after a clean run", self.live),
        };
        Row { run: self.name, killed, worlds: String::new(), instants: 0, deaths: 0, outcome }
    }
}

fn in_world(row: &mut Row, kind: Kind, instants: u64) {
    let name = format!("{kind:?}").to_lowercase();
    row.worlds = if row.worlds.is_empty() { name } else { format!("{}, {name}", row.worlds) };
    row.instants += instants;
}

impl Scenario {
    /// The same with a watchdog: before anybody types anything, one side serves and takes writes.
    fn settled_by_the_watchdog_at_every_event(&self) {
        let mut row = self.row("apply; its watchdog settles");
        for kind in self.kinds.iter().copied().take(rounds(1, 4)) {
            let mut lab = self.prepare(kind);
            lab.watched = true;
            let before = lab.last_event() + 1;
            let clean = self.clean(&lab);
            let first = if self.goes_back { last_attempt(&lab) } else { before };
            let last = lab.last_event();
            in_world(&mut row, kind, last + 1 - first);
            for n in first..=last {
                let kill = format!("after:{n}");
                let what = format!("{} {kind:?} watched, {kill} of {first}..={last}", self.name);
                lab.restore("base");
                let ended = lab.try_run(&lab.case(self.want), &Task::Apply, Some(&kill));
                if ended.is_some() && lab.last_event() < n {
                    continue;
                }
                assert!(ended.is_none(), "{what}: was not killed: {:?}", ended.map(|o| o.messages));
                row.deaths += 1;
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
        table::note(row);
    }

    /// Apply dies, and its watchdog dies at each event by which it settles: the same command is the third to come.
    fn dies_with_its_watchdog(&self) {
        let mut row = self.row("apply, then its watchdog settling");
        let mut lab = self.prepare(Kind::Group);
        lab.watched = true;
        let first = lab.last_event() + 1;
        let clean = self.clean(&lab);
        let last = lab.last_event();
        in_world(&mut row, lab.kind, last + 1 - first);
        // In the short run not every pair.
        let step = rounds(4, 1);
        for n in (first..=last).step_by(step) {
            for m in (n + 1..).step_by(step) {
                let what = format!("{} killed after:{n} of {first}..={last}, watchdog after:{m}", self.name);
                lab.restore("base");
                lab.kill_watchdog = Some(format!("after:{m}"));
                let ended = lab.try_run(&lab.case(self.want), &Task::Apply, Some(&format!("after:{n}")));
                lab.kill_watchdog = None;
                if ended.is_some() {
                    break;
                }
                lab.until_nobody_watches();
                // The watchdog had less to do than that, or nothing.
                if lab.last_event() < m {
                    break;
                }
                row.deaths += 1;
                self.resume(&lab, &what);
                self.check(&lab, &clean, &what);
            }
        }
        assert!(row.deaths > 0, "no watchdog was killed");
        table::note(row);
    }
}

/// Where the last attempt began.
fn last_attempt(lab: &Lab) -> u64 {
    let began = |(seq, event): &(u64, Event)| matches!(event, Event::AttemptBegan { .. }).then_some(*seq);
    lab.events().iter().rev().find_map(began).expect("an attempt")
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

fn switch() -> Scenario {
    Scenario::new("switch", &[], TARGET)
}

fn rehearsed() -> Scenario {
    Scenario { live: Side::Source, ..Scenario::new("rehearsal", &[], REHEARSED) }
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

/// The second member of a group cannot be opened after the first took writes.
fn group_back() -> Scenario {
    Scenario {
        faults: vec![("quiesce.open", Deed::Shut { store: "new2".to_owned() })],
        exits: &[7, 3],
        live: Side::Source,
        kinds: &[Kind::Group],
        goes_back: true,
        ..Scenario::new("group that goes back", &[], TARGET)
    }
}

#[test]
fn a_switch_killed_at_any_event_resumes_to_the_clean_end() {
    switch().crash_at_every_event();
}

#[test]
fn a_rehearsal_killed_at_any_event_resumes_to_the_clean_end() {
    rehearsed().crash_at_every_event();
}

#[test]
fn a_watchdog_settles_a_rehearsal_that_dies_at_any_event() {
    rehearsed().settled_by_the_watchdog_at_every_event();
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
fn a_group_that_goes_back_killed_at_any_event_comes_back_although_its_new_side_cannot_be_opened() {
    group_back().crash_at_every_event();
}

#[test]
fn a_watchdog_settles_a_group_that_dies_on_its_way_back() {
    group_back().settled_by_the_watchdog_at_every_event();
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
fn a_switch_whose_watchdog_dies_too_resumes_to_the_clean_end() {
    switch().dies_with_its_watchdog();
}

#[test]
fn a_switch_back_whose_watchdog_dies_too_resumes_to_the_clean_end() {
    back().dies_with_its_watchdog();
}

#[test]
fn any_run_killed_after_any_call_resumes_to_the_clean_end() {
    for scenario in [switch(), rehearsed(), weighted(), back(), finish(), abandon(), abort()] {
        scenario.crash_at_every_call();
    }
}

#[test]
fn documents_carried_by_a_run_killed_at_any_event_are_all_there_in_the_end() {
    for scenario in [switch(), back(), finish(), abandon(), abort()] {
        Scenario { kinds: &[Kind::Documents], ..scenario }.crash_at_every_event();
    }
}
