//! Rehearsals as the state knows them: one that is not over, and what the last one measured and found.

use segue_contract::Address;
use serde::{Deserialize, Serialize};

use super::{MigrationState, State};
use crate::event::{Rehearsal, RehearsalReport};

/// The rehearsals of a cutover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RehearsalState {
    /// One whose scratch place was not released yet.
    pub open: Option<OpenRehearsal>,
    /// The last that came to its end.
    pub last: Option<Rehearsed>,
}

/// A rehearsal that has a scratch place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRehearsal {
    /// What is rehearsed.
    pub rehearsal: Rehearsal,
    /// Whether it came to its end, so that only its scratch place is left.
    pub ended: bool,
}

/// A rehearsal that came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// What it was of: see [`Rehearsal::subject`].
    pub subject: String,
    /// When it ended, wall clock, milliseconds.
    pub at_ms: i64,
    /// What it measured and found.
    pub report: RehearsalReport,
}

impl State {
    /// Whether a migration or a cutover is the stage of a rehearsal: it is in no spec, and goes with the rehearsal.
    pub fn is_stage(&self, address: &Address) -> bool {
        self.rehearsal_on(address).is_some()
    }

    /// The cutover that is rehearsed on a stage.
    pub fn rehearsal_on(&self, stage: &Address) -> Option<&Address> {
        let on = |known: &RehearsalState| {
            let open = known.open.as_ref().map(|open| &open.rehearsal);
            open.is_some_and(|r| r.stage == *stage || r.members.iter().any(|(_, own)| own == stage))
        };
        self.rehearsals.iter().find(|(_, known)| on(known)).map(|(cutover, _)| cutover)
    }

    /// The stage on which a migration is being rehearsed.
    pub fn stage_of(&self, migration: &Address) -> Option<&MigrationState> {
        let open = self.rehearsals.values().filter_map(|r| r.open.as_ref());
        let mut members = open.flat_map(|open| &open.rehearsal.members);
        let stage = members.find(|(real, _)| real == migration).map(|(_, stage)| stage)?;
        self.migrations.get(stage)
    }

    /// The last rehearsal of a cutover.
    pub fn rehearsed(&self, cutover: &Address) -> Option<&Rehearsed> {
        self.rehearsals.get(cutover).and_then(|r| r.last.as_ref())
    }
}
