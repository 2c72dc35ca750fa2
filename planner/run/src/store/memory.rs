//! The state in memory: for a run whose disk is full, for readers that fold the journal, and for the laws.

use std::collections::BTreeMap;

use super::{Batch, StateStore, StoreError, Visitor};
use crate::journal::Mark;

/// Nothing of it outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    at: Option<Mark>,
}

impl StateStore for MemoryStore {
    fn stands_at(&self) -> Option<Mark> {
        self.at
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values.get(key).cloned())
    }

    fn visit(&self, prefix: &[u8], visit: Visitor<'_>) -> Result<(), StoreError> {
        for (key, value) in self.values.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, batch: &Batch, at: Mark) -> Result<(), StoreError> {
        batch.check()?;
        for (key, value) in batch.changes() {
            match value {
                Some(value) => self.values.insert(key.to_vec(), value.to_vec()),
                None => self.values.remove(key),
            };
        }
        self.at = Some(at);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::default();
        Ok(())
    }
}
