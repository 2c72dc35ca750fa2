//! What was given up is kept as it was: its markers are still at the endpoints, with an epoch that only this state
//! explains. A spec that declares the block again takes it up where it was, which side serves included.

use std::borrow::Cow;

use segue_contract::Address;
use segue_language::Desired;
use serde::{Deserialize, Serialize};

use super::{CutoverState, MigrationState, ResourceState, State};

/// A block that is managed no longer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Where the migration stood; `None`: it is a cutover.
    pub migration: Option<MigrationState>,
    /// Where the cutover stood; `None`: it is a migration.
    pub cutover: Option<CutoverState>,
    /// What was temporary of it.
    pub resources: Vec<ResourceState>,
}

impl State {
    /// The state that a plan of `desired` begins from: what was given up and is declared again is as it was.
    pub fn taking_up(&self, desired: &Desired) -> Cow<'_, Self> {
        let blocks = desired.migrations.keys().chain(desired.cutovers.keys());
        let again: Vec<&Address> = blocks.filter(|block| self.forgotten.contains_key(block)).collect();
        if again.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut state = self.clone();
        for address in again {
            state.take_up(address);
        }
        Cow::Owned(state)
    }

    /// Keeps what is about to be given up.
    pub(super) fn give_up(&mut self, address: &Address) {
        let migration = self.migrations.get(address).cloned();
        let cutover = self.cutovers.get(address).cloned();
        if migration.is_none() && cutover.is_none() {
            return;
        }
        let of = |known: &&ResourceState| known.resource.owner == *address;
        let resources = self.resources.values().filter(of).cloned().collect();
        self.forgotten.insert(address.clone(), Forgotten { migration, cutover, resources });
    }

    /// Makes it what it was.
    pub(super) fn take_up(&mut self, address: &Address) {
        let Some(Forgotten { migration, cutover, resources }) = self.forgotten.remove(address) else {
            return;
        };
        if let Some(migration) = migration {
            self.migrations.entry(address.clone()).or_insert(migration);
        }
        if let Some(cutover) = cutover {
            self.cutovers.entry(address.clone()).or_insert(cutover);
        }
        for known in resources {
            self.resources.entry(known.resource.id.clone()).or_insert(known);
        }
    }

    /// Something that a given up block left was released: it is not as it was any more, and begins anew if it is
    /// declared again; and so does what belongs together with it.
    pub(super) fn released_of(&mut self, owner: &Address) {
        let Some(released) = self.forgotten.remove(owner) else { return };
        let cutover = match &released.migration {
            Some(migration) => migration.record.cutover.clone(),
            None => Some(owner.clone()),
        };
        if let Some(cutover) = cutover {
            self.forgotten.remove(&cutover);
            self.forgotten.retain(|_, f| {
                f.migration.as_ref().is_none_or(|m| m.record.cutover.as_ref() != Some(&cutover))
            });
        }
    }
}
