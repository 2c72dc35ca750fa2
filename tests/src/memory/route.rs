//! The route that the writers follow.

use segue_contract::{BlockRef, Finding, Route, RouteAt, Side, StepError, StepIo};

use super::endpoint::name_of;
use super::world::Handle;

/// A pointer to a store.
pub(super) struct MemoryRoute;

impl Route for MemoryRoute {
    fn atomic(&self) -> bool {
        true
    }

    fn ttl_ms(&self, _: &BlockRef) -> u64 {
        0
    }

    fn check(&self, _: &BlockRef) -> Vec<Finding> {
        Vec::new()
    }

    fn observe(&self, route: &BlockRef, _: &dyn StepIo) -> Result<RouteAt, StepError> {
        let world = Handle::of(route)?.read()?;
        let Some(Some(at)) = world.routes.get(&name_of(route)) else {
            return Ok(RouteAt::Missing);
        };
        Ok(if at == route.text("source")? {
            RouteAt::weighted(world.weights.get(&name_of(route)).copied().unwrap_or(0))
        } else if at == route.text("target")? {
            RouteAt::Side(Side::Target)
        } else {
            RouteAt::Other(at.clone())
        })
    }

    fn set(&self, route: &BlockRef, side: Side, _: &dyn StepIo) -> Result<(), StepError> {
        let handle = Handle::of(route)?;
        let store = route.text(side.as_str())?;
        let call = handle.call("route.set")?;
        call.act(|world| {
            world.routes.insert(name_of(route), Some(store.to_owned()));
            world.weights.remove(&name_of(route));
            world.log("route.set", Some(store), None, side.as_str());
            Ok(())
        })?;
        call.end(())
    }

    fn can_weigh(&self, _: &BlockRef) -> bool {
        true
    }

    fn weigh(&self, route: &BlockRef, target_percent: u8, _: &dyn StepIo) -> Result<(), StepError> {
        let handle = Handle::of(route)?;
        let call = handle.call("route.weigh")?;
        call.act(|world| {
            world.weights.insert(name_of(route), target_percent);
            world.weights.retain(|_, percent| *percent > 0);
            world.log("route.weigh", Some(route.text("target")?), None, target_percent.to_string());
            Ok(())
        })?;
        call.end(())
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        format!("set routes.{} in the world's file to the {side}", name_of(route))
    }
}
