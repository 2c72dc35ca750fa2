//! Routes: what clients follow.

use serde::{Deserialize, Serialize};

use crate::{BlockRef, Finding, Side, StepError, StepIo, SystemPath};

/// Where a route points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAt {
    /// At one of the two sides.
    Side(Side),
    /// Somewhere else: what it says.
    Other(String),
    /// There is no such route.
    Missing,
    /// Writes go to the source, and this many percent of reads (1 to 99) to the target.
    Weighted(u8),
}

impl RouteAt {
    /// Where a route points that sends so many percent of reads to the target: none of them is the source, all of
    /// them the target.
    pub fn weighted(target_percent: u8) -> Self {
        match target_percent {
            0 => Self::Side(Side::Source),
            1..100 => Self::Weighted(target_percent),
            100.. => Self::Side(Side::Target),
        }
    }
}

/// A kind of route. Setting twice is setting once.
pub trait Route: Send + Sync {
    /// Whether the change is seen by all clients at one instant.
    fn atomic(&self) -> bool;

    /// How long clients may keep the old answer, in milliseconds (a record's TTL; 0 for a symlink).
    fn ttl_ms(&self, route: &BlockRef) -> u64;

    /// What it changes, by the block's text alone: the link, the record, the entry. Two routes with one in common are one.
    /// Empty: the text does not tell.
    fn declared_places(&self, _route: &BlockRef) -> Vec<SystemPath> {
        Vec::new()
    }

    /// What it changes really, whatever path leads there; asked while planning. `None`: as declared.
    fn place(&self, _route: &BlockRef) -> Option<SystemPath> {
        None
    }

    /// Whether the spec and the world allow this route here: a critical finding refuses the plan.
    fn check(&self, route: &BlockRef) -> Vec<Finding>;

    /// Where it points now.
    fn observe(&self, route: &BlockRef, io: &dyn StepIo) -> Result<RouteAt, StepError>;

    /// Points it at a side, reads and writes, and ends any weight; durable when this returns.
    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError>;

    /// Looks whether it could be set, and changes nothing: asked before a pause, which would be for nothing if the
    /// route were refused at its end. Says by what that is proven; `None`: this kind cannot tell beforehand.
    ///
    /// # Errors
    /// It could not be set, or cannot be looked at.
    fn settable(&self, _route: &BlockRef, _io: &dyn StepIo) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    /// What a person types to point it at a side without Segue; it ends any weight.
    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String;

    /// Whether this route can send a part of the reads to the target while every write goes to the source.
    fn can_weigh(&self, _route: &BlockRef) -> bool {
        false
    }

    /// Sends `target_percent` (0 to 99) of the reads to the target and the others to the source. Writes are not
    /// touched: they go where [`Route::set`] pointed them. Weighing twice is weighing once; durable when this returns.
    ///
    /// # Errors
    /// It failed, or this route cannot weigh ([`Route::can_weigh`]).
    fn weigh(&self, route: &BlockRef, _target_percent: u8, _io: &dyn StepIo) -> Result<(), StepError> {
        Err(StepError::permanent(format!("{} cannot send a part of the reads elsewhere", route.address))
            .remedy("leave steps out of the cutover's switch block"))
    }
}
