//! Deletions before which a pass stopped, and that a person let go.

use std::fmt;

use segue_contract::Address;
use serde::{Deserialize, Serialize};

use crate::state::AskedDeletions;

/// A pass that stopped before its first deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoppedPass {
    /// The migration.
    pub migration: Address,
    /// The unit.
    pub unit: String,
    /// What it would delete.
    pub asked: Box<AskedDeletions>,
}

impl fmt::Display for StoppedPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migration: _, unit, asked } = self;
        write!(f, "a pass of {unit} stopped before {} deletions of {}", asked.deletions, asked.known)
    }
}

/// An acceptance of deletions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedDeletions {
    /// The migration.
    pub migration: Address,
    /// The unit.
    pub unit: String,
    /// What was typed: it names unit, direction and ledger.
    pub hash: String,
    /// At most so many.
    pub allowed: u64,
    /// Who.
    pub by: String,
}

impl fmt::Display for AcceptedDeletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migration: _, unit, hash: _, allowed, by: _ } = self;
        write!(f, "up to {allowed} deletions of {unit} accepted")
    }
}
