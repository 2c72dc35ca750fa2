//! The fault script: what goes wrong at which call. Calls are counted in the world, so that a fault strikes once
//! although the process dies of it.

use segue_contract::{ErrorClass, StepError};
use serde::{Deserialize, Serialize};

use super::world::World;

/// One line of the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `quiesce.open#2`: the second such call; `quiesce.open`: every one.
    pub at: String,
    /// What happens.
    #[serde(rename = "do")]
    pub deed: Deed,
}

/// What happens at a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It fails before its effect, and may be tried again.
    FailTransient,
    /// It fails before its effect, for good.
    Fail,
    /// Before its effect, and nobody can tell.
    FailUnknown,
    /// Its effect happens, and nobody can tell.
    FailAfterEffect,
    /// The process is killed before the effect.
    Kill,
    /// The process is killed after the effect.
    KillAfter,
    /// A stale client, who follows no route, writes to this store before the call.
    StaleWrite {
        /// The store.
        store: String,
        /// The record.
        key: String,
    },
    /// Only for `quiesce.open` and `quiesce.openable`: this store cannot be opened, the others can.
    Shut {
        /// The store.
        store: String,
    },
    /// From this call on Segue cannot reach this store.
    Unreachable {
        /// The store.
        store: String,
    },
    /// Only for `quiesce.observe`: a write of the probe gets through.
    Lie,
}

impl Deed {
    /// The error of a call that fails before its effect.
    pub(super) fn before(&self, call: &str) -> Option<StepError> {
        let what = format!("{call} failed as the script says");
        match self {
            Self::FailTransient => Some(StepError::transient(what)),
            Self::Fail => Some(StepError::permanent(what)),
            Self::FailUnknown => Some(StepError::unknown(what)),
            Self::FailAfterEffect
            | Self::Kill
            | Self::KillAfter
            | Self::StaleWrite { .. }
            | Self::Shut { .. }
            | Self::Unreachable { .. }
            | Self::Lie => None,
        }
    }

    /// The error of a call whose effect has happened.
    pub(super) fn after(&self, call: &str) -> Option<StepError> {
        (*self == Self::FailAfterEffect).then(|| StepError {
            class: ErrorClass::Unknown,
            ..StepError::permanent(format!("{call} timed out as the script says"))
        })
    }
}

/// The deed of the call that `world` has counted as number `n`.
pub(super) fn deed_at(world: &World, call: &str, n: u64) -> Option<Deed> {
    world
        .faults
        .iter()
        .find(|fault| match fault.at.split_once('#') {
            Some((name, wanted)) => name == call && wanted.parse() == Ok(n),
            None => fault.at == call,
        })
        .map(|fault| fault.deed.clone())
}
