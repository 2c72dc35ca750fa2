//! `segue approve`

use clap::Args;
use segue_language::{Desired, GateCondition};
use segue_plan::cutover::may_approve;
use segue_plan::event::Event;
use segue_run::execute::Ask;
use segue_run::host;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::{ask_running, writing};

/// Digits of a whole hash.
const HASH_DIGITS: usize = 64;

/// Approve a plan, by its hash
///
/// An approval is for the spec, the systems' identities and settings, and all steps: when one of them
/// changes, the hash does. A running apply that waits for it goes on at once. Where the gate names approvers,
/// only theirs are taken, by the user that the operating system says; a person counts once. Others than the state
/// directory's owner approve while an apply runs, if their group may enter the directory (`chmod 2750 .segue`).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue approve $(segue plan --json | jq -r .hash)")]
pub(crate) struct Approve {
    /// The whole hash, 64 digits: `segue plan --json` and `--out` print it
    hash: String,
}

impl Approve {
    /// Approves.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let hash = whole_hash(&self.hash)?;
        let workspace = Workspace::read(invocation);
        let by = format!("{}@{}", host::user(), host::hostname());
        let question = Ask::Approve { plan_hash: hash.clone(), by: by.clone() };
        if let Some(exit) = ask_running(invocation, &workspace, &question)? {
            return Ok(exit);
        }
        if let Some(approvers) = workspace.desired_if_right().and_then(|desired| refused(desired, &by)) {
            let who = approvers.join(", ");
            return Err(Failure::new(format!(
                "{by} may not approve: the spec's gate \"approval\" names {who}"
            ))
            .remedy(format!("have it approved by {who}, or change `approvers`, which changes the hash")));
        }
        writing(invocation, &workspace, "approve", false, |desk| {
            desk.ground.record(Event::Approved { plan_hash: hash.clone(), by: by.clone() })?;
            invocation.printer.say(&format!("plan {} is approved by {by}", hash.get(..12).unwrap_or(&hash)));
            Ok(Exit::Done)
        })
    }
}

/// The people whom the spec's approval gates name, where `by` is none of them and each names some.
fn refused(desired: &Desired, by: &str) -> Option<Vec<String>> {
    let gates = desired.cutovers.values().flat_map(|c| &c.gates);
    let named: Vec<&Vec<String>> = gates
        .filter_map(|gate| match &gate.condition {
            GateCondition::Approval { approvers, .. } => Some(approvers),
            _ => None,
        })
        .collect();
    let refused = !named.is_empty() && !named.iter().any(|approvers| may_approve(approvers, by));
    refused.then(|| named.into_iter().flatten().cloned().collect())
}

fn whole_hash(typed: &str) -> Result<String, Failure> {
    let hash = typed.to_ascii_lowercase();
    if hash.len() == HASH_DIGITS && hash.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(hash);
    }
    Err(Failure::new(format!("{typed:?} is not a plan's hash: it has {HASH_DIGITS} hexadecimal digits"))
        .remedy("`segue plan --json` prints the whole hash, `segue plan --out FILE` says it, too")
        .exit(Exit::Usage))
}

#[cfg(test)]
mod tests {
    use super::whole_hash;

    #[test]
    fn only_a_whole_hash_is_approved() {
        let hash = "AB".repeat(32);
        assert_eq!(whole_hash(&hash).unwrap(), "ab".repeat(32));
        assert!(whole_hash("abcdef012345").is_err());
        assert!(whole_hash(&"zz".repeat(32)).is_err());
    }
}
