//! The stored state: the fold of the journal, so that a start need not read all of it.
//!
//! It is a cache with a sequence: everything in it can be made anew from the journal, so a damaged one is
//! set aside, and one that cannot be used (a full disk) is done without. What it is kept in is named in
//! `store/sled.rs` alone.

mod catch_up;
mod memory;
mod record;
mod sled;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;

use segue_contract::paths::PathError;

use crate::journal::Mark;

pub use catch_up::{CatchUpError, CaughtUp, Fold, catch_up};
pub use memory::MemoryStore;
pub use sled::{OpenedStore, SetAside, SledStore};

/// The largest value, in bytes: a few thousand chunks. The state of one unit with its checkpoint is far below.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// The largest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// Changes that become visible and durable together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets a key. The last change of a key in a batch wins.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, in the order in which they were made.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// The last change of each key, by key.
    fn net(&self) -> std::collections::BTreeMap<&[u8], Option<&[u8]>> {
        self.changes().collect()
    }

    fn check(&self) -> Result<(), StoreError> {
        for (key, value) in self.changes() {
            let bytes = value.map_or(0, <[u8]>::len);
            if key.is_empty() || key.len() > MAX_KEY_BYTES || bytes > MAX_VALUE_BYTES {
                return Err(StoreError::Size { key: String::from_utf8_lossy(key).into_owned(), bytes });
            }
        }
        Ok(())
    }
}

/// Is shown a key and its value, and may stop.
pub type Visitor<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Keys and values, and the event that they stand at. Keys are 1 to [`MAX_KEY_BYTES`] bytes.
pub trait StateStore: Send {
    /// The last event whose effect is in the store. `None`: none is.
    fn stands_at(&self) -> Option<Mark>;

    /// The value of a key.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows every key that begins with `prefix`, in the order of their bytes, until the visitor stops.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn visit(&self, prefix: &[u8], visit: Visitor<'_>) -> Result<(), StoreError>;

    /// Makes the changes, and the event that they stand at, durable: all or nothing. A store stands
    /// where it stood when this fails.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn put(&mut self, batch: &Batch, at: Mark) -> Result<(), StoreError>;

    /// Empties it; it then stands at no event.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// Why the store did not do it. In every case the journal remains, and the run can go on without the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be used now (a full disk, no permission); what is in it is left alone.
    #[error("the stored state in {} cannot be used: {why}", path.display())]
    Unavailable {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It does not add up. Opened again it is set aside, and can be filled from the journal.
    #[error("the stored state in {} is damaged: {why}", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A key or value over the limit: a bug of the caller.
    #[error("a stored value of {bytes} bytes under a key like `{key}` is over the limit")]
    Size {
        /// The key, as text.
        key: String,
        /// The value's size.
        bytes: usize,
    },
    /// A file operation beside the store itself.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl StoreError {
    /// Whether the store should be opened again, which sets it aside.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
