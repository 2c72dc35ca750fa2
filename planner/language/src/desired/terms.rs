//! The terms of the predicted pause (protocol P25), by the names that a spec and a forecast call them.

use serde::{Deserialize, Serialize};

/// A part of the pause, from QUIESCING to the first write that the new side accepts through the route. (The aliases are what
/// journals said before the terms had names of their own.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// Closing the side that serves, or stopping its writers, and waiting for what is on its way.
    #[serde(alias = "quiesce and drain")]
    Drain,
    /// Fixing its position.
    Fence,
    /// The last pass.
    #[serde(alias = "catch up")]
    CatchUp,
    /// Verifying what changed since the last verification.
    #[serde(alias = "verify the residual")]
    VerifyResidual,
    /// The last look before the point of no return.
    Harden,
    /// Recording where the way back starts, and that the new side is the one that serves.
    #[serde(alias = "arm and commit")]
    Commit,
    /// Pointing the routes.
    Route,
    /// Opening the new side, or starting the writers.
    Open,
    /// Reading what no time of a file vouches for.
    #[serde(alias = "read what no time vouches for")]
    ReadAgain,
    /// A verification of everything: `verify { in_pause }`.
    #[serde(alias = "verify everything")]
    VerifyAll,
    /// The life of old answers of the routes.
    #[serde(alias = "old answers expire")]
    Settle,
}

impl Term {
    /// Those that `gate "downtime" { assume }` takes: the last one is declared by the routes.
    pub const ASSUMABLE: [Self; 10] = [
        Self::Drain,
        Self::Fence,
        Self::CatchUp,
        Self::VerifyResidual,
        Self::Harden,
        Self::Commit,
        Self::Route,
        Self::Open,
        Self::ReadAgain,
        Self::VerifyAll,
    ];

    /// The name in `assume`: `catch_up`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Fence => "fence",
            Self::CatchUp => "catch_up",
            Self::VerifyResidual => "verify_residual",
            Self::Harden => "harden",
            Self::Commit => "commit",
            Self::Route => "route",
            Self::Open => "open",
            Self::ReadAgain => "read_again",
            Self::VerifyAll => "verify_all",
            Self::Settle => "settle",
        }
    }

    /// The words for people: `quiesce and drain`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Drain => "quiesce and drain",
            Self::Fence => "fence",
            Self::CatchUp => "catch up",
            Self::VerifyResidual => "verify the residual",
            Self::Harden => "harden",
            Self::Commit => "arm and commit",
            Self::Route => "route",
            Self::Open => "open",
            Self::ReadAgain => "read what no time vouches for",
            Self::VerifyAll => "verify everything",
            Self::Settle => "old answers expire",
        }
    }
}
