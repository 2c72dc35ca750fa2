//! A probe that answers what the world's script says: for gates and for watches.

use segue_contract::{BlockRef, Finding, Probe, Reading, StepError, StepIo};

use super::endpoint::name_of;
use super::world::Handle;

/// Asks the world.
pub(super) struct MemoryProbe {
    /// The call that the fault script knows.
    pub(super) call: &'static str,
}

impl Probe for MemoryProbe {
    fn check(&self, _: &BlockRef) -> Vec<Finding> {
        Vec::new()
    }

    fn look(&self, block: &BlockRef, _: &dyn StepIo) -> Result<Reading, StepError> {
        let handle = Handle::of(block)?;
        let name = name_of(block);
        let call = handle.call(self.call)?;
        let ok = call.act(|world| {
            let script = world.answers.entry(name).or_default();
            // The last answer is given for ever; a name without a script says yes.
            let ok = script.script.get(script.given).or(script.script.last()).copied().unwrap_or(true);
            script.given += 1;
            Ok(ok)
        })?;
        call.end(Reading { ok, said: format!("the script says {ok}"), value: Some(f64::from(u8::from(ok))) })
    }
}
