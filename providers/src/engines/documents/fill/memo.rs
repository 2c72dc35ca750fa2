//! What a fill notes for the run after its death: one small file, written before the effect that it is about.

use std::path::{Path, PathBuf};

use segue_contract::{StepError, paths};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engines::beside;

/// The layout of the file around what is noted.
const VERSION: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Wire<T> {
    version: u32,
    note: T,
}

/// See the module.
pub struct Memo {
    path: PathBuf,
}

impl Memo {
    /// The memo in a file.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What was noted; `None`: nothing.
    ///
    /// # Errors
    /// It cannot be read, or is another version's.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, StepError> {
        let Some(bytes) = beside::read(&self.path)? else { return Ok(None) };
        let wrong = |why: String| {
            StepError::permanent(format!("{} makes no sense: {why}", self.path.display()))
                .remedy("remove it: the fill then begins again")
        };
        let wire: Wire<T> = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if wire.version == VERSION {
            Ok(Some(wire.note))
        } else {
            Err(wrong(format!("its version is {}", wire.version)))
        }
    }

    /// Notes, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write<T: Serialize>(&self, note: &T) -> Result<(), StepError> {
        let bytes = serde_json::to_vec(&Wire { version: VERSION, note })
            .map_err(|e| StepError::permanent(e.to_string()))?;
        Ok(paths::replace(&self.path, &bytes)?)
    }

    /// Forgets.
    pub(super) fn remove(&self) {
        // Best effort: a file that stays is found by whoever fills the same unit again, and removed then.
        let _ = std::fs::remove_file(&self.path);
    }
}
