//! A store as an endpoint: facts, making it, its marker.

use std::collections::BTreeMap;

use segue_contract::{
    Barrier, BlockRef, Claim, Endpoint, EndpointFacts, Finding, Identity, InUse, Marker, MarkerError,
    Setting, Severity, StepError, StepIo, UnitFacts,
};

use super::UNIT;
use super::world::{Handle, Store, World};

/// A store.
pub(super) struct MemoryEndpoint;

/// The store's name: as the block says, or else the block's own.
pub(super) fn name_of(block: &BlockRef) -> String {
    match block.text("name") {
        Ok(name) => name.to_owned(),
        Err(_) => block.address.as_str().rsplit('.').next().unwrap_or_default().to_owned(),
    }
}

/// What a closed store does with Segue's own writes.
pub(super) fn barrier_of(block: &BlockRef) -> Barrier {
    match block.text("barrier") {
        Ok("none") => Barrier::None,
        _ => Barrier::Identity,
    }
}

/// Whether Segue can reach the store of a block.
pub(super) fn reached(world: &World, block: &BlockRef) -> Result<(), StepError> {
    match world.stores.get(&name_of(block)) {
        Some(store) if store.unreachable => {
            Err(StepError::permanent(format!("{} does not answer", block.address)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The store of a block.
pub(super) fn store_of<'w>(world: &'w mut World, block: &BlockRef) -> Result<&'w mut Store, StepError> {
    let name = name_of(block);
    reached(world, block)?;
    match world.stores.get_mut(&name) {
        Some(store) if store.exists => Ok(store),
        _ => Err(StepError::permanent(format!("{}: there is no store {name:?}", block.address))
            .remedy("make it, or name another one")),
    }
}

impl Endpoint for MemoryEndpoint {
    fn observe(&self, block: &BlockRef, _: &dyn StepIo) -> Result<EndpointFacts, StepError> {
        let handle = Handle::of(block)?;
        let world = handle.read()?;
        reached(&world, block)?;
        let name = name_of(block);
        let store = world.stores.get(&name).cloned().unwrap_or_default();
        let records = store.live().len() as u64;
        let unit = UnitFacts { name: UNIT.to_owned(), records: Some(records), bytes: None, marker: None };
        Ok(EndpointFacts {
            identity: Identity(format!("memory:{}:{name}", block.path("world")?.display())),
            exists: store.exists,
            barrier: barrier_of(block),
            units: if store.exists { vec![unit] } else { Vec::new() },
            free_bytes: None,
            settings: BTreeMap::new(),
            findings: Vec::new(),
            foreign: None,
            marker: store.marker,
            places: Vec::new(),
        })
    }

    fn check_pair(&self, source: &BlockRef, target: &BlockRef) -> Vec<Finding> {
        if name_of(source) != name_of(target) {
            return Vec::new();
        }
        vec![Finding {
            severity: Severity::Critical,
            code: "MEMORY_SAME".to_owned(),
            summary: format!("{} and {} are one store", source.address, target.address),
            remedy: "name two".to_owned(),
        }]
    }

    fn scratch(&self, target: &BlockRef, tag: &str) -> Result<(BlockRef, Vec<Finding>), StepError> {
        let mut block = target.clone();
        block.address = target.address.step("rehearsal");
        let name = format!("{}-rehearsal-{tag}", name_of(target));
        block.config.insert("name", Setting::Plain(name.into()));
        Ok((block, Vec::new()))
    }

    fn provision(&self, block: &BlockRef, _: &dyn StepIo) -> Result<bool, StepError> {
        let handle = Handle::of(block)?;
        let call = handle.call("endpoint.provision")?;
        let made = call.act(|world| {
            let name = name_of(block);
            if world.stores.get(&name).is_some_and(|s| s.exists) {
                return Ok(false);
            }
            world.log("endpoint.provision", Some(&name), None, "");
            // A store that can tell Segue from clients is made closed: nobody needs it yet.
            let store = Store { exists: true, open: barrier_of(block) == Barrier::None, ..Store::default() };
            world.stores.insert(name, store);
            Ok(true)
        })?;
        call.end(made)
    }

    fn in_use(&self, block: &BlockRef, _: &dyn StepIo) -> Result<InUse, StepError> {
        let handle = Handle::of(block)?;
        let call = handle.call("endpoint.in_use")?;
        call.end(InUse::default())
    }

    fn marker(&self, block: &BlockRef, _: &dyn StepIo) -> Result<Option<Marker>, MarkerError> {
        let world = Handle::of(block)?.read()?;
        reached(&world, block)?;
        Ok(world.stores.get(&name_of(block)).and_then(|s| s.marker.clone()))
    }

    fn write_marker(&self, block: &BlockRef, claim: &Claim, _: &dyn StepIo) -> Result<(), MarkerError> {
        let handle = Handle::of(block)?;
        let call = handle.call("endpoint.write_marker")?;
        let refused = call.act(|world| {
            let store = store_of(world, block)?;
            let ours = |there: &Marker| {
                there.state_id == claim.marker.state_id || claim.adopt_from.as_ref() == Some(&there.state_id)
            };
            match &store.marker {
                Some(there) if !ours(there) || there.epoch > claim.marker.epoch => {
                    return Ok(Some(Box::new(there.clone())));
                }
                Some(_) | None => store.marker = Some(claim.marker.clone()),
            }
            let detail = if claim.marker.raised { "raised" } else { "claimed" };
            world.log("marker", Some(&name_of(block)), Some(claim.marker.epoch), detail);
            Ok(None)
        })?;
        match refused {
            Some(there) => Err(MarkerError::Refused(there)),
            None => Ok(call.end(())?),
        }
    }

    fn remove_marker(&self, block: &BlockRef, state_id: &str, _: &dyn StepIo) -> Result<(), MarkerError> {
        let handle = Handle::of(block)?;
        let call = handle.call("endpoint.remove_marker")?;
        let refused = call.act(|world| {
            let name = name_of(block);
            reached(world, block)?;
            let Some(store) = world.stores.get_mut(&name) else {
                return Ok(None);
            };
            match &store.marker {
                None => Ok(None),
                Some(there) if there.state_id != state_id => Ok(Some(Box::new(there.clone()))),
                Some(there) => {
                    let epoch = there.epoch;
                    store.marker = None;
                    world.log("marker", Some(&name), Some(epoch), "removed");
                    Ok(None)
                }
            }
        })?;
        match refused {
            Some(there) => Err(MarkerError::Refused(there)),
            None => Ok(call.end(())?),
        }
    }

    fn marker_by_hand(&self, block: &BlockRef) -> String {
        format!("stores.{}.marker of the world's file", name_of(block))
    }
}
