//! The approval gate: of the plan's hash, by people who may, each counted once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use segue_plan::cutover::{counted, may_approve, person, wanted_text};
use segue_plan::event::Event;
use segue_plan::state::Approval;

use super::look::{Look, Wants};
use crate::clock::rfc3339;
use crate::execute::{Ground, RunError, RunEvent};

/// Digits of a hash that people compare.
const HASH_SHOWN: usize = 12;

fn short(hash: &str) -> &str {
    hash.get(..HASH_SHOWN).unwrap_or(hash)
}

fn given(ground: &Ground, hash: &str) -> Option<Approval> {
    ground.recorder.look(|s| s.approvals.get(hash).cloned())
}

pub(super) fn look(ground: &Ground, approvers: &[String], count: u32, hash: &str) -> Look {
    let people = counted(approvers, given(ground, hash).as_ref());
    let names: Vec<String> =
        people.iter().map(|(who, at_ms)| format!("{who} ({})", rfc3339(*at_ms))).collect();
    let names = names.join(", ");
    let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
    if have >= count {
        return Look { value: Some(f64::from(have)), ..Look::met(format!("approved by {names}")) };
    }
    let wanted = wanted_text(approvers, count);
    let so_far = if people.is_empty() { String::new() } else { format!(", so far {names}") };
    let said = match approvers {
        [] if count == 1 => format!("plan {} is not approved", short(hash)),
        _ => format!("plan {} is not approved by {wanted}{so_far}", short(hash)),
    };
    Look { value: Some(f64::from(have)), ..Look::unmet(said, Wants::Approval) }
}

fn here(ground: &Ground) -> String {
    format!("{}@{}", ground.who.user, ground.who.host)
}

/// Whether an approval by whoever runs this would count, and is not given yet.
pub(super) fn would_count(ground: &Ground, approvers: &[String], hash: &str) -> bool {
    let by = here(ground);
    let given = counted(approvers, given(ground, hash).as_ref());
    may_approve(approvers, &by) && !given.iter().any(|(who, _)| who == person(&by))
}

/// The question to the person at the terminal. It is asked beside the loop that looks at the gates: passes, signals
/// and the control socket wait for nobody's answer.
#[derive(Default)]
pub(super) struct Question {
    asked: AtomicBool,
    open: AtomicBool,
    over: AtomicBool,
    failed: Mutex<Option<RunError>>,
}

impl Question {
    /// Whether it was asked, answered or not.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Whether an answer may still come.
    pub(super) fn open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// It is asked now.
    pub(super) fn begin(&self) {
        self.open.store(true, Ordering::Release);
        self.asked.store(true, Ordering::Release);
    }

    /// Nobody needs the answer any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// What went wrong with the answer.
    pub(super) fn failure(&self) -> Option<RunError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks, and records the answer; for a thread of its own.
    pub(super) fn ask(&self, ground: &Ground, hash: &str) {
        let over = || self.over.load(Ordering::Acquire) || ground.control.stopping();
        if let Err(error) = ask(ground, hash, &over) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        // After the record: who sees it closed sees the approval.
        self.open.store(false, Ordering::Release);
        ground.control.nudge();
    }
}

fn ask(ground: &Ground, hash: &str, over: &dyn Fn() -> bool) -> Result<(), RunError> {
    let by = here(ground);
    let question = format!(
        "Every other gate is met. Approve plan {} as {by}? Passes go on; its switch begins at once when enough have approved.",
        short(hash)
    );
    if ground.listener.confirm(&question, "approve", over) == Some(true) {
        ground.record(Event::Approved { plan_hash: hash.to_owned(), by: by.clone() })?;
        ground.tell(&RunEvent::Said { text: format!("plan {} is approved by {by}", short(hash)) });
    }
    Ok(())
}
