//! Routes: what clients follow.

use serde::{Deserialize, Serialize};

use crate::{BlockRef, Finding, Side, StepError, StepIo};

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
}

/// A kind of route. Setting twice is setting once.
pub trait Route: Send + Sync {
    /// Whether the change is seen by all clients at one instant.
    fn atomic(&self) -> bool;

    /// How long clients may keep the old answer, in milliseconds (a record's TTL; 0 for a symlink).
    fn ttl_ms(&self, route: &BlockRef) -> u64;

    /// Whether the spec and the world allow this route here: a critical finding refuses the plan.
    fn check(&self, route: &BlockRef) -> Vec<Finding>;

    /// Where it points now.
    fn observe(&self, route: &BlockRef, io: &dyn StepIo) -> Result<RouteAt, StepError>;

    /// Points it at a side; durable when this returns.
    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError>;

    /// What a person types to point it at a side without Segue.
    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String;
}
