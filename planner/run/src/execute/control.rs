//! What a running apply is asked from outside: stop, abort, go on. Workers look at it at safe points and
//! sleep on it, so that nobody waits for a timer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use segue_contract::Address;
use segue_language::RunLimits;
use segue_plan::cutover::may_approve;

use super::brake::{Brakes, Halt, Limits, Paused, Why};
use super::goals::{GoalEnd, Goals};
use super::rate::Rate;

/// How urgently a run shall stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Go on.
    #[default]
    None,
    /// Finish what is in flight, then stop.
    Soon,
}

#[derive(Debug, Default)]
struct Asked {
    stop: StopLevel,
    aborts: BTreeMap<Address, String>,
    /// Who may approve which plan: one list of each gate that waits.
    approvers: BTreeMap<String, Vec<Vec<String>>>,
    /// Whether signals and questions are attended to.
    attended: bool,
    halt: Halt,
    limits: Limits,
    /// Cutovers between their gates and the new side's first writes: nothing delays them.
    closing: BTreeSet<Address>,
    /// So many of them at once; `None`: as many as there are.
    closings_max: Option<usize>,
    /// Units that are carried right now, and how many may be; `None`: as many as there are.
    carrying: usize,
    carrying_max: Option<usize>,
    /// What else the run was asked for while it runs.
    goals: Goals,
    /// Rises with each message, so that a sleeper sees that something came.
    version: u64,
}

/// How long a run that reached a goal waits for somebody who asks after it to hear so, before it may end.
const HEARD_WITHIN: Duration = Duration::from_secs(3);

/// Whether a cutover may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has begun.
    Begun,
    /// Somebody paused the run.
    Paused,
    /// So many others are in their pause as may be.
    After(Vec<Address>),
}

/// A unit that is carried; over when it is dropped.
pub(super) struct Carrying<'a> {
    control: &'a Control,
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.control.change(|asked| asked.carrying = asked.carrying.saturating_sub(1));
    }
}

/// The messages to a run.
#[derive(Debug, Default)]
pub struct Control {
    asked: Mutex<Asked>,
    came: Condvar,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        // The data is plain: a thread that panicked while it held the lock left it whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Asked)) {
        let mut asked = self.lock();
        change(&mut asked);
        asked.version += 1;
        self.came.notify_all();
    }

    /// Asks to stop.
    pub fn stop(&self) {
        self.change(|asked| asked.stop = StopLevel::Soon);
    }

    /// Whether somebody asked to stop.
    pub fn stopping(&self) -> bool {
        self.lock().stop != StopLevel::None
    }

    /// Asks to abort a cutover.
    pub fn abort(&self, cutover: Address, reason: String) {
        self.change(|asked| {
            asked.aborts.insert(cutover, reason);
        });
    }

    /// Whether somebody asked to abort a cutover, and why.
    pub fn abort_of(&self, cutover: &Address) -> Option<String> {
        self.lock().aborts.get(cutover).cloned()
    }

    /// Forgets the request to abort, once it was followed.
    pub fn abort_done(&self, cutover: &Address) {
        self.change(|asked| {
            asked.aborts.remove(cutover);
        });
    }

    /// A gate waits for approvals of a plan by these people; nobody named: by anybody.
    pub fn expect_approval(&self, plan_hash: &str, approvers: &[String]) {
        let mut asked = self.lock();
        asked.approvers.entry(plan_hash.to_owned()).or_default().push(approvers.to_vec());
    }

    /// The people who may approve a plan, where it is waited for and `by` is none of them.
    pub fn refuses_approval(&self, plan_hash: &str, by: &str) -> Option<Vec<String>> {
        let asked = self.lock();
        let gates = asked.approvers.get(plan_hash)?;
        if gates.iter().any(|approvers| may_approve(approvers, by)) {
            return None;
        }
        Some(gates.concat())
    }

    /// From here on signals and questions are attended to: what takes long may be begun.
    pub fn attend(&self) {
        self.lock().attended = true;
    }

    /// Whether signals and questions are attended to.
    pub fn attended(&self) -> bool {
        self.lock().attended
    }

    /// Asks running steps to take no more work, at the next safe point. Refused while a cutover is between its gates
    /// and the new side's first writes: returns which.
    pub fn pause(&self, paused: Paused) -> Result<(), Vec<Address>> {
        let mut asked = self.lock();
        if !asked.closing.is_empty() {
            return Err(asked.closing.iter().cloned().collect());
        }
        asked.halt.begin(paused);
        asked.version += 1;
        self.came.notify_all();
        Ok(())
    }

    /// Lets paused steps go on. Returns whether they were paused.
    pub fn resume(&self) -> bool {
        let mut asked = self.lock();
        let was = asked.halt.end();
        asked.version += 1;
        self.came.notify_all();
        was
    }

    /// Whether somebody paused the run.
    pub fn paused(&self) -> bool {
        self.lock().halt.now.is_some()
    }

    /// How long the run was paused so far, in all.
    pub(super) fn paused_in_all(&self) -> Duration {
        self.lock().halt.in_all()
    }

    /// Waits as long as the run is paused; a stop ends that. Returns how long it waited.
    pub fn wait_while_paused(&self) -> Duration {
        let mut asked = self.lock();
        if asked.halt.now.is_none() {
            return Duration::ZERO;
        }
        let began = Instant::now();
        while asked.halt.now.is_some() && asked.stop == StopLevel::None {
            asked = self.came.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        began.elapsed()
    }

    /// A cutover's gates all hold and it begins: from here on nothing delays it. `at_once`: others in their pause do
    /// not keep it waiting.
    pub(super) fn begin_closing(&self, cutover: &Address, at_once: bool) -> Turn {
        let mut asked = self.lock();
        if asked.halt.now.is_some() {
            return Turn::Paused;
        }
        if !at_once && asked.closings_max.is_some_and(|most| asked.closing.len() >= most.max(1)) {
            return Turn::After(asked.closing.iter().cloned().collect());
        }
        asked.closing.insert(cutover.clone());
        Turn::Begun
    }

    /// The cutover's pause is over: whoever waits for a turn looks again.
    pub(super) fn end_closing(&self, cutover: &Address) {
        if self.lock().closing.contains(cutover) {
            self.change(|asked| {
                asked.closing.remove(cutover);
            });
        }
    }

    /// How much may happen at once, as the spec says.
    pub(super) fn bound(&self, limits: &RunLimits) {
        self.change(|asked| {
            asked.closings_max = Some(limits.cutovers);
            asked.carrying_max = Some(limits.parallelism);
            asked.limits.declare_overall(limits.rate_limit);
        });
    }

    /// Waits until one more unit may be carried. `None`: somebody asked to stop.
    /// Waits for no longer than until `stop` (who makes that true nudges).
    pub(super) fn carry_one(&self, stop: impl Fn() -> bool) -> Option<Carrying<'_>> {
        let mut asked = self.lock();
        while asked.carrying_max.is_some_and(|most| asked.carrying >= most.max(1)) {
            if asked.stop != StopLevel::None || stop() {
                return None;
            }
            asked = self.came.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        asked.carrying += 1;
        Some(Carrying { control: self })
    }

    /// How many units may be carried at once, where that is bounded.
    pub(super) fn carrying_max(&self) -> Option<usize> {
        self.lock().carrying_max
    }

    /// Sets (`Some`: bytes a second, and whose wish it is) or takes back a limit, for one migration or for all
    /// together. `false`: there are too many.
    pub fn throttle(&self, migration: Option<Address>, wish: Option<(u64, Why)>) -> bool {
        let mut set = false;
        self.change(|asked| set = asked.limits.wish(migration, wish));
        set
    }

    /// Notes the spec's limit of a migration. Returns whether that was not known.
    pub(super) fn declare_limit(&self, migration: &Address, bytes_per_s: Option<u64>) -> bool {
        self.lock().limits.declare(migration, bytes_per_s)
    }

    /// The limits that count for a migration: each of them holds.
    pub(super) fn limits_of(&self, migration: &Address) -> Vec<Arc<Rate>> {
        self.lock().limits.buckets(migration)
    }

    /// What slows the run down.
    pub fn brakes(&self) -> Brakes {
        let asked = self.lock();
        let paused = asked.halt.now.as_ref().map(|(paused, _)| paused.clone());
        Brakes { paused, limits: asked.limits.list() }
    }

    /// Reads or changes the goals that the run was asked for.
    pub(super) fn goals<T>(&self, look: impl FnOnce(&mut Goals) -> T) -> T {
        let mut asked = self.lock();
        let found = look(&mut asked.goals);
        asked.version += 1;
        self.came.notify_all();
        found
    }

    /// Whether a goal waits that somebody is to reach: of one cutover, or of any.
    pub(super) fn goal_waits(&self, cutover: Option<&Address>) -> bool {
        self.lock().goals.waits(cutover)
    }

    /// Whether a cutover is between its gates and the new side's first writes.
    pub(super) fn closes(&self, cutover: &Address) -> bool {
        self.lock().closing.contains(cutover)
    }

    /// A goal ended. Whoever waits for that hears it before the run goes on, and perhaps ends.
    pub(super) fn end_goal(&self, cutover: &Address, end: GoalEnd) {
        self.goals(|goals| goals.end(cutover, end));
        let _ = self.wait_within(HEARD_WITHIN, |asked| (!asked.goals.unheard(cutover)).then_some(()));
    }

    /// What is new of a goal since the first `heard` sentences; nothing after `time`.
    pub(super) fn hear(
        &self,
        cutover: &Address,
        heard: usize,
        time: Duration,
    ) -> (Vec<String>, Option<GoalEnd>) {
        let new = self.wait_within(time, |asked| asked.goals.hear(cutover, heard));
        // Whoever waits for the goal's end to be heard looks again.
        self.nudge();
        new.unwrap_or_default()
    }

    /// Waits until there is something, at most for `time`.
    fn wait_within<T>(&self, time: Duration, mut look: impl FnMut(&mut Asked) -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        let mut asked = self.lock();
        loop {
            if let Some(found) = look(&mut asked) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            asked = self.came.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes sleepers: something else that they may wait for has changed (an approval).
    pub fn nudge(&self) {
        self.change(|_| {});
    }

    /// What [`Control::sleep_since`] compares with: rises with each message.
    pub(super) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Sleeps for `time`, or until a message comes.
    pub fn sleep(&self, time: Duration) {
        self.sleep_since(self.version(), time);
    }

    /// Sleeps for `time`, or until a message came after this version was seen: none is missed that comes between a look
    /// and the sleep.
    pub(super) fn sleep_since(&self, version: u64, time: Duration) {
        let end = Instant::now() + time;
        let mut asked = self.lock();
        while asked.version == version {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            asked = self.came.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_wakes_a_sleeper() {
        let control = Control::default();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while !control.stopping() {
                    control.sleep(Duration::from_secs(60));
                }
            });
            control.stop();
            sleeper.join().expect("woken");
        });
    }

    #[test]
    fn an_approval_is_refused_only_where_every_waiting_gate_names_others() {
        let control = Control::default();
        let (alice, bob) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
        assert_eq!(control.refuses_approval("h", "mallory@a"), None);
        control.expect_approval("h", &alice);
        assert_eq!(control.refuses_approval("h", "bob@a"), Some(alice));
        assert_eq!(control.refuses_approval("h", "alice@a"), None);
        assert_eq!(control.refuses_approval("other", "bob@a"), None);
        control.expect_approval("h", &bob);
        assert_eq!(control.refuses_approval("h", "bob@a"), None);
    }

    fn paused() -> Paused {
        Paused { by: "alice@a".to_owned(), since_ms: 0, why: None }
    }

    #[test]
    fn a_pause_ends_by_a_resume_or_a_stop_and_is_refused_while_a_cutover_closes() {
        let (control, cutover) = (Control::default(), Address::new("cutover.a"));
        assert_eq!(control.wait_while_paused(), Duration::ZERO);
        for stop in [false, true] {
            control.pause(paused()).expect("nothing closes");
            assert_eq!(control.begin_closing(&cutover, true), Turn::Paused, "a paused run begins no cutover");
            std::thread::scope(|scope| {
                let sleeper = scope.spawn(|| control.wait_while_paused());
                if stop {
                    control.stop();
                } else {
                    assert!(control.resume());
                }
                sleeper.join().expect("woken");
            });
        }
        assert!(control.resume() && !control.resume());
        assert_eq!(control.begin_closing(&cutover, false), Turn::Begun);
        assert_eq!(control.pause(paused()), Err(vec![cutover.clone()]));
        control.end_closing(&cutover);
        control.pause(paused()).expect("it is through");
        assert_eq!(control.brakes().paused.map(|p| p.by).as_deref(), Some("alice@a"));
    }

    #[test]
    fn no_more_cutovers_pause_their_writes_at_once_than_may() {
        let control = Control::default();
        let name = |n: u8| Address::new(format!("cutover.{n}"));
        control.bound(&RunLimits { cutovers: 2, ..RunLimits::default() });
        assert_eq!(control.begin_closing(&name(1), false), Turn::Begun);
        assert_eq!(control.begin_closing(&name(2), false), Turn::Begun);
        assert_eq!(control.begin_closing(&name(3), false), Turn::After(vec![name(1), name(2)]));
        assert_eq!(control.begin_closing(&name(4), true), Turn::Begun, "lost health waits for nobody");
        control.end_closing(&name(4));
        assert_eq!(control.begin_closing(&name(3), false), Turn::After(vec![name(1), name(2)]));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                while control.begin_closing(&name(3), false) != Turn::Begun {
                    control.sleep(Duration::from_secs(60));
                }
            });
            control.end_closing(&name(1));
            waits.join().expect("woken");
        });
    }

    #[test]
    fn no_more_units_are_carried_at_once_than_may() {
        let control = Control::default();
        control.bound(&RunLimits { parallelism: 2, ..RunLimits::default() });
        let (first, second) = (control.carry_one(|| false), control.carry_one(|| false));
        let at_once = std::sync::atomic::AtomicUsize::new(2);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| {
                let carrying = control.carry_one(|| false);
                (carrying.is_some(), at_once.load(std::sync::atomic::Ordering::SeqCst))
            });
            at_once.store(1, std::sync::atomic::Ordering::SeqCst);
            drop(first);
            assert_eq!(third.join().expect("it goes on"), (true, 1), "not before one of the two was over");
        });
        let third = control.carry_one(|| false);
        assert!(control.carry_one(|| true).is_none(), "so does whoever waits no more");
        control.stop();
        assert!(control.carry_one(|| false).is_none(), "a stop ends the waiting");
        drop((second, third));
    }

    #[test]
    fn an_abort_is_for_one_cutover_and_is_forgotten_when_done() {
        let control = Control::default();
        let (a, b) = (Address::new("cutover.a"), Address::new("cutover.b"));
        control.abort(a.clone(), "asked".into());
        assert_eq!(control.abort_of(&a).as_deref(), Some("asked"));
        assert_eq!(control.abort_of(&b), None);
        control.abort_done(&a);
        assert_eq!(control.abort_of(&a), None);
    }
}
