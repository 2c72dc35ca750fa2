//! What a running apply is asked from outside: stop, abort, go on. Workers look at it at safe points and
//! sleep on it, so that nobody waits for a timer.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use segue_contract::Address;
use segue_plan::cutover::may_approve;

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
    /// Rises with each message, so that a sleeper sees that something came.
    version: u64,
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

    /// Wakes sleepers: something else that they may wait for has changed (an approval).
    pub fn nudge(&self) {
        self.change(|_| {});
    }

    /// Sleeps for `time`, or until a message comes.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut asked = self.lock();
        let version = asked.version;
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
