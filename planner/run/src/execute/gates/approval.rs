//! The approval gate: of the plan's hash, by people who may, each counted once.

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

/// Asks the person at the terminal, if there is one.
pub(super) fn ask(ground: &Ground, hash: &str) -> Result<(), RunError> {
    let by = here(ground);
    let question = format!(
        "Every other gate is met. Approve plan {} as {by}? Its switch begins at once when enough have approved.",
        short(hash)
    );
    if ground.listener.confirm(&question, "approve") == Some(true) {
        ground.record(Event::Approved { plan_hash: hash.to_owned(), by: by.clone() })?;
        ground.tell(&RunEvent::Said { text: format!("plan {} is approved by {by}", short(hash)) });
    }
    Ok(())
}
