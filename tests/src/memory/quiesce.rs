//! The two ways to make a world quiet: stop its writers, or make a store refuse them.

use segue_contract::{
    BarrierState, BlockRef, Fence, Finding, Quiesce, QuiesceCall, QuiesceKind, StepError, StepIo,
};

use super::endpoint::{name_of, store_of};
use super::fault::Deed;
use super::world::Handle;

/// Stops and starts the writers.
pub(super) struct Writers;

/// Closes and opens a store.
pub(super) struct Block;

/// Keeps clients from a store that Segue cannot reach.
pub(super) struct FromOutside;

impl Fence for FromOutside {
    fn check(&self, _: &BlockRef) -> Vec<Finding> {
        Vec::new()
    }

    fn fence(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<String, StepError> {
        let handle = Handle::of(&call.block)?;
        let asked = handle.call("fence")?;
        asked.act(|world| {
            let name = name_of(&call.endpoint);
            if let Some(store) = world.stores.get_mut(&name) {
                store.fenced = true;
            }
            world.log("fence", Some(&name), None, "");
            Ok(())
        })?;
        asked.end("its power is off".to_owned())
    }

    fn by_hand(&self, _: &BlockRef) -> String {
        "set fenced in the world's file".to_owned()
    }
}

impl Quiesce for Writers {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn check(&self, _: &QuiesceCall) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        run(call, "quiesce.close", false)
    }

    fn open(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        run(call, "quiesce.open", true)
    }

    fn observe(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<BarrierState, StepError> {
        let handle = Handle::of(&call.block)?;
        let asked = handle.call("quiesce.observe")?;
        let running = handle.read()?.running || asked.deed == Some(Deed::Lie);
        asked.end(if running {
            BarrierState::Open
        } else {
            BarrierState::Closed("the writers are stopped".to_owned())
        })
    }

    fn openable(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        openable(call)
    }

    fn open_by_hand(&self, _: &QuiesceCall) -> String {
        "set running in the world's file".to_owned()
    }
}

fn run(call: &QuiesceCall, name: &str, running: bool) -> Result<(), StepError> {
    let handle = Handle::of(&call.block)?;
    let asked = handle.call(name)?;
    not_shut(asked.deed.as_ref(), call)?;
    asked.act(|world| {
        world.running = running;
        world.log(name, Some(&name_of(&call.endpoint)), None, "writers");
        Ok(())
    })?;
    asked.end(())
}

impl Quiesce for Block {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Data
    }

    fn check(&self, _: &QuiesceCall) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        bar(call, "quiesce.close", false)
    }

    fn open(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        bar(call, "quiesce.open", true)
    }

    fn observe(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<BarrierState, StepError> {
        let handle = Handle::of(&call.block)?;
        let asked = handle.call("quiesce.observe")?;
        let mut world = handle.read()?;
        let open = store_of(&mut world, &call.endpoint)?.open || asked.deed == Some(Deed::Lie);
        asked.end(if open {
            BarrierState::Open
        } else {
            BarrierState::Closed("the store refuses writes".to_owned())
        })
    }

    fn openable(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        openable(call)
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        format!("set stores.{}.open in the world's file", name_of(&call.endpoint))
    }
}

fn bar(call: &QuiesceCall, name: &str, open: bool) -> Result<(), StepError> {
    let handle = Handle::of(&call.block)?;
    let asked = handle.call(name)?;
    not_shut(asked.deed.as_ref(), call)?;
    asked.act(|world| {
        store_of(world, &call.endpoint)?.open = open;
        world.log(name, Some(&name_of(&call.endpoint)), None, "store");
        Ok(())
    })?;
    asked.end(())
}

/// What the script says of `quiesce.openable`.
fn openable(call: &QuiesceCall) -> Result<Option<String>, StepError> {
    let handle = Handle::of(&call.block)?;
    let asked = handle.call("quiesce.openable")?;
    not_shut(asked.deed.as_ref(), call)?;
    asked.end(Some("the script says so".to_owned()))
}

fn not_shut(deed: Option<&Deed>, call: &QuiesceCall) -> Result<(), StepError> {
    match deed {
        Some(Deed::Shut { store }) if *store == name_of(&call.endpoint) => {
            Err(StepError::permanent(format!("{store} cannot be opened, as the script says")))
        }
        _ => Ok(()),
    }
}
