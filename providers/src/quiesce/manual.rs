//! `quiesce "manual"`: a person stops and starts the writers, and says so.

use segue_contract::{
    AttributeSchema, AttributeType, BarrierState, BlockKind, BlockSchema, Finding, Quiesce, QuiesceCall,
    QuiesceKind, StepError, StepIo,
};

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "manual".to_owned(),
        doc: "A person stops and starts the writers and types that it is done. Nothing but the position standing still \
              and no process holding the data open proves it."
            .to_owned(),
        attributes: vec![AttributeSchema::required(
            "message",
            AttributeType::String,
            "What the person has to do, shown with the question.",
        )],
    }
}

pub(super) struct Manual;

impl Quiesce for Manual {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn check(&self, _: &QuiesceCall) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let message = call.block.text("message")?;
        io.confirm(
            &format!("STOP the writers of the {} ({}): {message}", call.side, call.endpoint.address),
            "stopped",
        )
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let message = call.block.text("message")?;
        io.confirm(
            &format!("START the writers on the {} ({}): {message}", call.side, call.endpoint.address),
            "started",
        )
    }

    /// A person's word is all there is.
    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        let question = format!("do writes to the {} ({}) fail now?", call.side, call.endpoint.address);
        match io.confirm(&question, "yes") {
            Ok(()) => Ok(BarrierState::Closed("a person said so".to_owned())),
            Err(error) => Ok(BarrierState::Unknown(error.to_string())),
        }
    }

    /// Nobody is asked in the pause what only trying would show.
    fn openable(&self, _: &QuiesceCall, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        format!("start the writers again: {}", call.block.text("message").unwrap_or("as you always do"))
    }
}
