//! Passes that repeat: of `apply --follow`, of gates and of watches. One scheduler carries units in parallel as
//! `segue { parallelism }` says. A unit that fails is told and tried again with backoff, and keeps no other one waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_contract::{Address, segue};
use segue_language::Desired;
use segue_plan::cutover::WayBack;

use super::io::Until;
use super::together::{TOGETHER_MAX, at_most};
use super::unit::{UnitRef, pass, pass_once};
use super::{Ground, RunError, RunEvent};

/// The waits before a unit that failed is tried again, in milliseconds: doubled each time, from the first to the last.
const AGAIN_MS: (u64, u64) = (1_000, 60_000);
/// How often it is looked whether other units are to be carried by now, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;
/// How often it is told how fresh the ways back are, in milliseconds.
const TELL_EVERY_MS: u64 = 10_000;

/// How many units may be carried at once.
fn most(ground: &Ground) -> usize {
    ground.control.carrying_max().unwrap_or(TOGETHER_MAX).max(1)
}

/// One pass of each unit, several at once. All are waited for. Every failure is told; the first is returned.
pub(super) fn pass_all(ground: &Ground, units: &[UnitRef], until: &Until) -> Result<(), RunError> {
    each(ground, units, |unit| pass(ground, unit, &unit.step("sync"), until).map(drop))
}

/// Does something for each unit, several at once. All are waited for. Every failure is told; the first is returned.
pub(super) fn each(
    ground: &Ground,
    units: &[UnitRef],
    work: impl Fn(&UnitRef) -> Result<(), RunError> + Sync,
) -> Result<(), RunError> {
    let results = at_most(most(ground), units, work);
    let mut failures = units.iter().zip(results).filter_map(|(unit, result)| Some((unit, result.err()?)));
    let Some((_, first)) = failures.next() else { return Ok(()) };
    for (unit, error) in failures.filter(|(_, error)| !matches!(error, RunError::Interrupted)) {
        let (message, remedy) = (error.to_string(), error.remedy());
        ground.tell(&RunEvent::StepFailed { step: unit.step("sync"), message, remedy });
    }
    Err(first)
}

/// A unit that is to be carried, and the time between two passes, in milliseconds.
pub(super) type Wanted = (UnitRef, u64);

/// What keeps passes running.
pub(super) struct Schedule<'a> {
    pub(super) ground: &'a Ground,
    /// What is to be carried: asked again and again, for that changes while it runs.
    pub(super) wanted: &'a (dyn Fn() -> Vec<Wanted> + Sync),
    /// Ends passes in the middle.
    pub(super) stop: Arc<AtomicBool>,
    /// Whether no further pass is to begin.
    pub(super) over: &'a (dyn Fn() -> bool + Sync),
    /// Told of each failure, with the time until the next try.
    pub(super) failed: &'a (dyn Fn(&UnitRef, &RunError, Duration) + Sync),
    /// Called between passes, with the time on the boot clock up to which every unit was carried.
    pub(super) between: &'a (dyn Fn(Option<u64>) + Sync),
}

/// What is known of a unit that is carried again and again.
#[derive(Debug, Default)]
struct Turn {
    /// When the next pass is due, boot clock, milliseconds.
    due_ms: u64,
    /// The time between two passes, in milliseconds.
    every_ms: u64,
    running: bool,
    /// Failures in a row.
    failures: u32,
    /// The last of them.
    failure: Option<RunError>,
    /// When the last pass that came through began, boot clock, milliseconds.
    carried_ms: Option<u64>,
}

impl Turn {
    /// A pass ended. Returns how long it waits for the next try where it failed.
    fn ended(&mut self, result: Result<(), RunError>, began_ms: u64, now_ms: u64) -> Option<u64> {
        self.running = false;
        match result {
            Ok(()) => {
                (self.failures, self.failure, self.carried_ms) = (0, None, Some(began_ms));
                self.due_ms = began_ms.saturating_add(self.every_ms.max(1));
                None
            }
            Err(error) => {
                let doubled = AGAIN_MS.0.saturating_mul(1 << self.failures.min(16));
                // Never more often than passes that come through.
                let wait_ms = doubled.min(AGAIN_MS.1).max(self.every_ms);
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(error);
                self.due_ms = now_ms.saturating_add(wait_ms);
                Some(wait_ms)
            }
        }
    }
}

#[derive(Default)]
struct Turns {
    of: BTreeMap<UnitRef, Turn>,
    /// The journal cannot be written: nothing counts any more.
    broken: Option<RunError>,
}

impl Turns {
    fn running(&self) -> usize {
        self.of.values().filter(|turn| turn.running).count()
    }

    /// Takes up what is wanted and forgets the rest, but for what runs right now.
    fn want(&mut self, wanted: Vec<Wanted>, now_ms: u64) {
        let wanted: BTreeMap<UnitRef, u64> = wanted.into_iter().collect();
        self.of.retain(|unit, turn| turn.running || wanted.contains_key(unit));
        for (unit, every_ms) in wanted {
            let fresh = || Turn { due_ms: now_ms, ..Turn::default() };
            self.of.entry(unit).or_insert_with(fresh).every_ms = every_ms;
        }
    }

    /// The unit that has been due the longest, begun with this.
    fn begin_next(&mut self, now_ms: u64) -> Option<UnitRef> {
        let due = self.of.iter_mut().filter(|(_, turn)| !turn.running && turn.due_ms <= now_ms);
        let (unit, turn) = due.min_by_key(|(_, turn)| turn.due_ms)?;
        turn.running = true;
        Some(unit.clone())
    }

    /// How long nothing is due, in milliseconds.
    fn idle_ms(&self, now_ms: u64) -> u64 {
        let idle = self.of.values().filter(|turn| !turn.running);
        let next = idle.map(|turn| turn.due_ms.saturating_sub(now_ms)).min();
        next.unwrap_or(LOOK_EVERY_MS).clamp(1, LOOK_EVERY_MS)
    }

    /// Up to when every unit was carried.
    fn carried_ms(&self) -> Option<u64> {
        let all: Option<Vec<u64>> = self.of.values().map(|turn| turn.carried_ms).collect();
        all?.into_iter().min()
    }
}

impl Schedule<'_> {
    /// Carries until it is over or nothing is left to carry. Returns the units that still failed then.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn run(&self) -> Result<Vec<RunError>, RunError> {
        let turns = Mutex::new(Turns::default());
        std::thread::scope(|scope| {
            let mut looked_ms: Option<u64> = None;
            while !(self.over)() && lock(&turns).broken.is_none() {
                let seen = self.ground.control.version();
                let now_ms = self.ground.clock.boot_ms();
                if looked_ms.is_none_or(|at| now_ms.saturating_sub(at) >= LOOK_EVERY_MS) {
                    looked_ms = Some(now_ms);
                    lock(&turns).want((self.wanted)(), now_ms);
                }
                if lock(&turns).of.is_empty() {
                    break;
                }
                (self.between)(lock(&turns).carried_ms());
                let idle_ms = loop {
                    let mut known = lock(&turns);
                    if known.running() >= most(self.ground) {
                        break LOOK_EVERY_MS;
                    }
                    let Some(unit) = known.begin_next(now_ms) else { break known.idle_ms(now_ms) };
                    drop(known);
                    let turns = &turns;
                    scope.spawn(move || self.carry(turns, &unit));
                };
                self.ground.control.sleep_since(seen, Duration::from_millis(idle_ms));
            }
        });
        let turns = turns.into_inner().unwrap_or_else(PoisonError::into_inner);
        match turns.broken {
            Some(error) => Err(error),
            None => Ok(turns.of.into_values().filter_map(|turn| turn.failure).collect()),
        }
    }

    /// One pass, on a thread of its own.
    fn carry(&self, turns: &Mutex<Turns>, unit: &UnitRef) {
        let ground = self.ground;
        let began_ms = ground.clock.boot_ms();
        let until = Until::Flag(Arc::clone(&self.stop));
        let pass = || pass_once(ground, unit, &until).map(drop);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(pass)).unwrap_or_else(|_| {
            let what = "a pass stopped by a defect of segue";
            Err(RunError::step(&unit.step("sync"), segue_contract::StepError::permanent(what)))
        });
        let mut known = lock(turns);
        match result {
            Err(RunError::Interrupted) => {
                if let Some(turn) = known.of.get_mut(unit) {
                    turn.running = false;
                }
            }
            Err(error @ RunError::Record(_)) => known.broken = Some(error),
            result => {
                let now_ms = ground.clock.boot_ms();
                let ended = known.of.get_mut(unit).and_then(|turn| {
                    let wait_ms = turn.ended(result, began_ms, now_ms)?;
                    Some((turn.failure.as_ref()?, wait_ms))
                });
                if let Some((error, wait_ms)) = ended {
                    (self.failed)(unit, error, Duration::from_millis(wait_ms));
                }
            }
        }
        drop(known);
        ground.control.nudge();
    }
}

fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    // The data is plain: a thread that panicked while it held the lock left it whole.
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps passes running for `apply --follow`, until somebody asks to stop or for a goal, or nothing is left to follow.
///
/// # Errors
/// What still failed in the end, or that the journal cannot be written.
pub(super) fn follow(ground: &Ground, desired: &Desired) -> Result<(), Vec<RunError>> {
    let told = Mutex::new(Told::default());
    let failed = |unit: &UnitRef, error: &RunError, wait: Duration| {
        let after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let step = unit.step("sync");
        // The error names its step by itself.
        let message = match error {
            RunError::Step { error, .. } => error.to_string(),
            other => other.to_string(),
        };
        ground.tell(&RunEvent::retried(step, message, after_ms, None));
    };
    let stop = Arc::new(AtomicBool::new(false));
    // What runs ends for a goal, too: it is gone on with by the way back, or from the side that serves then.
    let over = || {
        let over = ground.control.stopping() || ground.control.goal_waits(None);
        if over {
            stop.store(true, Ordering::Relaxed);
        }
        over
    };
    let schedule = Schedule {
        ground,
        wanted: &|| followed(ground, desired),
        stop: Arc::clone(&stop),
        over: &over,
        failed: &failed,
        between: &|_| told.lock().unwrap_or_else(PoisonError::into_inner).ways_back(ground),
    };
    let failing = schedule.run().map_err(|error| vec![error])?;
    if !failing.is_empty() {
        return Err(failing);
    }
    if followed(ground, desired).is_empty() {
        ground.tell(&RunEvent::Said { text: nothing_left(ground) });
    }
    Ok(())
}

/// Why nothing is to be followed any more.
fn nothing_left(ground: &Ground) -> String {
    let left = ground.recorder.look(|state| {
        state.cutovers.iter().find(|(_, c)| c.leaves_the_other()).map(|(cutover, _)| cutover.clone())
    });
    match left {
        Some(cutover) => format!(
            "Nothing is left to follow: the other side of {cutover} was left, and takes nothing before `{}`",
            segue(&["unhold", cutover.as_str()])
        ),
        None => "Nothing is left to follow: what the spec declares is finished, or not loaded".to_owned(),
    }
}

/// The units that are kept in step: loaded, of no cutover that is finished, and of none whose other side was left.
fn followed(ground: &Ground, desired: &Desired) -> Vec<Wanted> {
    ground.recorder.look(|state| {
        let mut wanted = Vec::new();
        for decl in desired.migrations.values() {
            let over = state.cutover_of(&decl.address).is_some_and(|c| c.finished || c.leaves_the_other());
            let Some(known) = state.migrations.get(&decl.address).filter(|_| !over) else { continue };
            for (name, _) in known.units.iter().filter(|(_, unit)| unit.loaded) {
                let unit = UnitRef { migration: decl.address.clone(), unit: name.clone() };
                wanted.push((unit, decl.sync_interval_ms));
            }
        }
        wanted
    })
}

/// When each way back was told of last, boot clock, milliseconds.
#[derive(Default)]
struct Told(BTreeMap<Address, u64>);

impl Told {
    /// Tells what going back now would cost, for each cutover that could.
    fn ways_back(&mut self, ground: &Ground) {
        let (now, now_ms) = (ground.now(), ground.clock.wall_ms());
        let ways: Vec<(Address, WayBack)> = ground.recorder.look(|s| {
            s.cutovers.keys().filter_map(|c| Some((c.clone(), WayBack::of(s, c, now_ms, &now)?))).collect()
        });
        for (cutover, way) in ways {
            if self.0.get(&cutover).is_some_and(|at| now.ms.saturating_sub(*at) < TELL_EVERY_MS) {
                continue;
            }
            self.0.insert(cutover.clone(), now.ms);
            let behind_ms = way.reverse.then_some(way.behind_ms);
            ground.tell(&RunEvent::Fallback { cutover, behind_ms });
        }
    }
}

/// Keeps the side that was left fresh while a switch is watched. One pass that fails is told and tried again: whether the
/// new side is healthy is for the watches to say.
pub(super) fn keep_fresh(
    ground: &Ground,
    cutover: &Address,
    units: &[Wanted],
    lost: &Arc<AtomicBool>,
    over: &(dyn Fn() -> bool + Sync),
) -> Result<(), RunError> {
    let told_ms = Mutex::new(None::<u64>);
    let failed = |_: &UnitRef, error: &RunError, _: Duration| {
        if lost.load(Ordering::SeqCst) {
            return;
        }
        let text = format!("{cutover}: a reverse pass failed, the fallback grows older: {error}");
        ground.tell(&RunEvent::Said { text });
    };
    let between = |carried_ms: Option<u64>| {
        let now_ms = ground.clock.boot_ms();
        let Some(carried_ms) = carried_ms else { return };
        let mut told_ms = told_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if told_ms.is_none_or(|at| now_ms.saturating_sub(at) >= TELL_EVERY_MS) {
            *told_ms = Some(now_ms);
            let behind_ms = Some(now_ms.saturating_sub(carried_ms));
            ground.tell(&RunEvent::Fallback { cutover: cutover.clone(), behind_ms });
        }
    };
    let schedule = Schedule {
        ground,
        wanted: &|| units.to_vec(),
        stop: Arc::clone(lost),
        over,
        failed: &failed,
        between: &between,
    };
    schedule.run().map(drop)
}

#[cfg(test)]
mod tests {
    use segue_contract::StepError;

    use super::*;

    fn unit(name: &str) -> UnitRef {
        UnitRef { migration: Address::new("migration.a"), unit: name.to_owned() }
    }

    fn failure() -> RunError {
        RunError::Setup(StepError::transient("the source is away"))
    }

    #[test]
    fn a_unit_that_fails_waits_longer_each_time_and_no_other_one_waits_for_it() {
        let mut turns = Turns::default();
        let wanted = [(unit("bad"), 10), (unit("good"), 10)];
        turns.want(wanted.to_vec(), 0);
        let mut waits = Vec::new();
        let (mut now_ms, mut good) = (0, 0);
        while waits.len() < 9 {
            while let Some(begun) = turns.begin_next(now_ms) {
                let turn = turns.of.get_mut(&begun).expect("wanted");
                if begun == unit("bad") {
                    waits.extend(turn.ended(Err(failure()), now_ms, now_ms));
                } else {
                    good += 1;
                    assert_eq!(turn.ended(Ok(()), now_ms, now_ms), None);
                }
            }
            now_ms += turns.idle_ms(now_ms);
        }
        assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(waits[8], AGAIN_MS.1);
        assert_eq!(good, now_ms.div_ceil(10), "each of its passes was made when it was due");
    }

    #[test]
    fn whoever_was_due_first_is_next_and_what_is_not_wanted_is_forgotten() {
        let mut turns = Turns::default();
        turns.want(vec![(unit("a"), 10), (unit("b"), 10)], 0);
        turns.of.get_mut(&unit("a")).expect("wanted").due_ms = 5;
        assert_eq!(turns.begin_next(5), Some(unit("b")));
        assert_eq!(turns.begin_next(5), Some(unit("a")));
        assert_eq!((turns.begin_next(5), turns.running()), (None, 2));
        turns.want(vec![(unit("c"), 10)], 6);
        assert_eq!(turns.of.len(), 3, "what runs is waited for");
        turns.of.get_mut(&unit("a")).expect("runs").ended(Ok(()), 5, 6);
        turns.want(vec![(unit("c"), 10)], 7);
        assert_eq!(turns.of.keys().map(|u| u.unit.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn all_units_are_as_fresh_as_the_one_that_is_furthest_behind() {
        let mut turns = Turns::default();
        turns.want(vec![(unit("a"), 10), (unit("b"), 10)], 0);
        turns.of.get_mut(&unit("a")).expect("wanted").ended(Ok(()), 7, 8);
        assert_eq!(turns.carried_ms(), None, "one of them was never carried");
        turns.of.get_mut(&unit("b")).expect("wanted").ended(Ok(()), 5, 9);
        assert_eq!(turns.carried_ms(), Some(5));
    }
}
