//! `quiesce "manual"`: a person stops and starts the writers, and says so. One question a step: what was answered
//! counts as long as this process lives, and only what nobody here was asked yet is asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use segue_contract::{
    Address, AttributeSchema, AttributeType, BarrierState, BlockKind, BlockSchema, Finding, Quiesce,
    QuiesceCall, QuiesceKind, Side, StepError, StepIo,
};

pub(super) fn schema() -> BlockSchema {
    let message = |name: &str, doc: &str| AttributeSchema::optional(name, AttributeType::String, doc);
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "manual".to_owned(),
        doc: "A person at the terminal of `segue apply` stops and starts the writers, and answers yes or no: one question \
              to stop, one to start. Nothing but the position standing still and no process holding the data open proves \
              it. Without a terminal no pause is begun: exit 3."
            .to_owned(),
        attributes: vec![
            message("stop_message", "How the writers are stopped, shown with that question."),
            message("start_message", "How the writers are started, shown with that question."),
            message("message", "Shown with either question that has no message of its own."),
        ],
    }
}

/// What the person said last of a side: whether its writers are stopped.
type Said = BTreeMap<(Address, Address, Side), bool>;

/// The method, with what was answered in this process.
#[derive(Default)]
pub(super) struct Manual {
    said: Mutex<Said>,
}

/// What is asked about.
fn key(call: &QuiesceCall) -> (Address, Address, Side) {
    (call.block.address.clone(), call.endpoint.address.clone(), call.side)
}

fn message(call: &QuiesceCall, name: &str) -> String {
    let text = |name: &str| call.block.text(name).ok().map(|text| format!(": {text}"));
    text(name).or_else(|| text("message")).unwrap_or_default()
}

impl Manual {
    /// Asks, unless the side was said to be so already. One question at a time: members of a group that share a side
    /// share the answer. A no leaves unknown what the side is, unless `no_means` says it.
    fn bring(
        &self,
        call: &QuiesceCall,
        stopped: bool,
        no_means: Option<bool>,
        ask: impl FnOnce() -> Result<bool, StepError>,
    ) -> Result<bool, StepError> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&key(call)) == Some(&stopped) {
            return Ok(true);
        }
        let yes = ask()?;
        match if yes { Some(stopped) } else { no_means } {
            Some(now) => said.insert(key(call), now),
            None => said.remove(&key(call)),
        };
        Ok(yes)
    }
}

impl Quiesce for Manual {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn check(&self, _: &QuiesceCall) -> Vec<Finding> {
        Vec::new()
    }

    fn needs_person(&self) -> bool {
        true
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let (side, endpoint) = (call.side, &call.endpoint.address);
        let question = format!(
            "STOP the writers of the {side} ({endpoint}){}\nHas everybody stopped writing? yes: go on; no: abort, nothing is switched.",
            message(call, "stop_message")
        );
        match self.bring(call, true, None, || io.yes_or_no(&question))? {
            true => Ok(()),
            false => {
                Err(StepError::permanent(format!("the writers of the {side} ({endpoint}) did not stop"))
                    .remedy("find who still writes, and apply again"))
            }
        }
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let (side, endpoint) = (call.side, &call.endpoint.address);
        let question = format!(
            "START the writers on the {side} ({endpoint}){}\nAre they running? yes: they are; no: none of them is, and they cannot be started.",
            message(call, "start_message")
        );
        match self.bring(call, false, Some(true), || io.yes_or_no(&question))? {
            true => Ok(()),
            false => Err(StepError::permanent(format!(
                "the writers on the {side} ({endpoint}) could not be started"
            ))
            .remedy("start them, then run the same command again in a terminal, and answer yes")),
        }
    }

    /// A person's word is all there is; after a death, nobody here has it yet.
    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        let question = format!(
            "Are the writers of the {} ({}) stopped now? yes: nobody writes there; no: they are running.",
            call.side, call.endpoint.address
        );
        let known = self.said.lock().unwrap_or_else(PoisonError::into_inner).get(&key(call)).copied();
        let stopped = match known {
            Some(stopped) => Ok(stopped),
            None => self.bring(call, true, Some(false), || io.yes_or_no(&question)),
        };
        Ok(match stopped {
            Ok(true) => BarrierState::Closed("a person said that nobody writes".to_owned()),
            Ok(false) => BarrierState::Open,
            Err(error) => BarrierState::Unknown(error.to_string()),
        })
    }

    /// Nobody is asked in the pause what only trying would show.
    fn openable(&self, _: &QuiesceCall, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        format!("start the writers again{}", message(call, "start_message"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Io, block};

    fn call(side: Side) -> QuiesceCall {
        let endpoint = block(&format!("{side}.directory.a"), "directory", &[("path", "a".into())]);
        QuiesceCall { block: block("cutover.c.quiesce.manual", "manual", &[]), endpoint, side }
    }

    #[test]
    fn a_step_is_asked_for_once_and_what_was_said_is_observed() {
        let (manual, old) = (Manual::default(), call(Side::Source));
        let person = Io::answered(&[true, true]);
        manual.close(&old, &person).expect("stopped");
        manual.close(&old, &person).expect("closing what is closed asks nobody");
        assert!(matches!(manual.observe(&old, &person), Ok(BarrierState::Closed(_))));
        manual.open(&old, &person).expect("started");
        manual.open(&old, &person).expect("opening what is open asks nobody");
        assert!(matches!(manual.observe(&old, &person), Ok(BarrierState::Open)));
        assert_eq!(*person.answers.lock().expect("not poisoned"), Some(Vec::new()));
    }

    #[test]
    fn a_no_has_a_meaning_of_its_own() {
        let (manual, old, new) = (Manual::default(), call(Side::Source), call(Side::Target));
        let person = Io::answered;
        let error = manual.close(&old, &person(&[false])).expect_err("they did not stop");
        assert!(error.to_string().contains("did not stop"), "{error}");
        // Some may have stopped: whether they run again is asked.
        manual.open(&old, &person(&[true])).expect("they run");
        let error = manual.open(&new, &person(&[false])).expect_err("they cannot be started");
        assert!(error.remedy.is_some(), "{error}");
        let seen = manual.observe(&new, &person(&[]));
        assert!(matches!(seen, Ok(BarrierState::Closed(_))), "no writer runs there: {seen:?}");
    }

    #[test]
    fn after_a_death_nobody_has_said_anything_and_nobody_to_ask_is_not_known() {
        let seen = Manual::default().observe(&call(Side::Source), &Io::answered(&[]));
        assert!(matches!(seen, Ok(BarrierState::Unknown(_))), "{seen:?}");
        let seen = Manual::default().observe(&call(Side::Source), &Io::answered(&[false]));
        assert!(matches!(seen, Ok(BarrierState::Open)), "{seen:?}");
    }
}
