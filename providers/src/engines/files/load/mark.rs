//! What a load's checkpoint says: whether the target was empty when it began, and how far its partial
//! ledger can be trusted. The records themselves are too many for a checkpoint and lie in that file.

use segue_contract::{Checkpoint, StepError};
use serde::{Deserialize, Serialize};

use crate::ledger::PartMark;

/// The layout that this version writes.
const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) empty: bool,
    /// Bytes of the partial ledger.
    pub(crate) len: u64,
    /// Their XXH3-128, in hex.
    pub(crate) checksum: String,
}

impl Mark {
    pub(crate) fn start(empty: bool) -> Self {
        Self { empty, len: 0, checksum: String::new() }
    }

    pub(crate) fn at(empty: bool, mark: &PartMark) -> Self {
        Self { empty, len: mark.len, checksum: format!("{:032x}", mark.checksum) }
    }

    pub(crate) fn encode(&self) -> Result<Checkpoint, StepError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| StepError::permanent("cannot encode a checkpoint").because(e))?;
        Ok(Checkpoint { version: VERSION, bytes })
    }

    pub(crate) fn decode(checkpoint: &Checkpoint) -> Result<Self, StepError> {
        if checkpoint.version != VERSION {
            return Err(StepError::permanent(format!(
                "the checkpoint has layout {}, and this version reads {VERSION}",
                checkpoint.version
            ))
            .remedy("run the version of segue that wrote it, or a later one"));
        }
        serde_json::from_slice(&checkpoint.bytes).map_err(|e| {
            StepError::permanent("the checkpoint makes no sense")
                .because(e)
                .remedy("redo the load: equal content at the target is kept")
        })
    }
}
