//! `segue approve`

use std::path::Path;

use clap::Args;
use segue_contract::{paths, segue};
use segue_language::{Desired, GateCondition};
use segue_plan::cutover::may_approve;
use segue_plan::event::Event;
use segue_plan::plan::PlanFile;
use segue_run::execute::Ask;
use segue_run::host;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::{ask_running, writing};

/// Digits of a whole hash.
const HASH_DIGITS: usize = 64;
/// So many are shown.
const SHOWN_DIGITS: usize = 12;

/// Approve a plan, by its hash or its file
///
/// An approval is for the spec, the systems' identities and settings, and all steps: when one of them
/// changes, the hash does. A running apply that waits for it goes on at once. Where the gate names approvers,
/// only theirs are taken, by the user that the operating system says; a person counts once. Others than the state
/// directory's owner approve while an apply runs, if their group may enter the directory (`chmod 2750 .segue`).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue plan --out site.plan && segue approve site.plan")]
pub(crate) struct Approve {
    /// The plan: its hash, whole or as it is shown (12 digits), or the plan file
    #[arg(value_name = "HASH|FILE")]
    plan: String,
}

impl Approve {
    /// Approves.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let file = self.file()?;
        let variables = file.as_ref().map(|file| file.variables.clone()).unwrap_or_default();
        let workspace = Workspace::read_with(invocation, variables);
        let hash = match file {
            Some(file) => file.plan.hash,
            None => self.hash(invocation, &workspace)?,
        };
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

impl Approve {
    /// The plan file that is meant, if it is one.
    fn file(&self) -> Result<Option<PlanFile>, Failure> {
        let path = Path::new(&self.plan);
        if !path.is_file() {
            return Ok(None);
        }
        PlanFile::decode(&paths::read_to_string(path)?).map(Some).map_err(|error| {
            Failure::new(format!("{} {error}", path.display()))
                .remedy(format!("write it again: `{}`", segue(&["plan", "--out", &self.plan])))
        })
    }

    /// The whole hash of the plan that is meant. A beginning is completed by the plan as it is made now.
    fn hash(&self, invocation: &Invocation, workspace: &Workspace) -> Result<String, Failure> {
        let beginning = match typed_hash(&self.plan)? {
            Typed::Whole(hash) => return Ok(hash),
            Typed::Beginning(beginning) => beginning,
        };
        let mut now = Vec::new();
        for early in [false, true] {
            let hash = workspace.plan(invocation, early)?.plan.hash;
            if hash.starts_with(&beginning) {
                return Ok(hash);
            }
            now.push(hash.get(..SHOWN_DIGITS).unwrap_or(&hash).to_owned());
        }
        now.dedup();
        Err(Failure::new(format!(
            "no plan of this spec begins with {beginning}: it is {} now",
            now.join(" or ")
        ))
        .remedy(format!("look at it with `{}`; or give the plan file", segue(&["plan"])))
        .exit(Exit::Usage))
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

/// What was typed, where it is no plan file.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Whole(String),
    Beginning(String),
}

fn typed_hash(typed: &str) -> Result<Typed, Failure> {
    let hash = typed.to_ascii_lowercase();
    match hash.len() {
        _ if !hash.chars().all(|c| c.is_ascii_hexdigit()) => {}
        HASH_DIGITS => return Ok(Typed::Whole(hash)),
        SHOWN_DIGITS..HASH_DIGITS => return Ok(Typed::Beginning(hash)),
        _ => {}
    }
    Err(Failure::new(format!(
        "{typed:?} is neither a plan file nor a plan's hash: that has {HASH_DIGITS} hexadecimal digits, of which \
         {SHOWN_DIGITS} are enough"
    ))
    .remedy(format!("`{}` shows it at its end", segue(&["plan"])))
    .exit(Exit::Usage))
}

#[cfg(test)]
mod tests {
    use super::{Typed, typed_hash};

    #[test]
    fn a_whole_hash_or_what_is_shown_of_it_is_taken() {
        let hash = "AB".repeat(32);
        assert_eq!(typed_hash(&hash).unwrap(), Typed::Whole("ab".repeat(32)));
        assert_eq!(typed_hash("ABCDEF012345").unwrap(), Typed::Beginning("abcdef012345".to_owned()));
        assert!(typed_hash("abcdef01234").is_err());
        assert!(typed_hash(&"zz".repeat(32)).is_err());
    }
}
