//! What a pass found of stale writers, noted before it overwrites or removes it. A pass that dies reports nothing, and the
//! next one finds its own version in that place: it reports what was noted, so that what is kept aside is listed, too.
//!
//! As with the notes of what is in flight, they belong to the ledger that the pass began from: once the journal names
//! another, it also has the report. Two dead passes may note the same; who folds reports takes equal finds for one.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StaleFind, StepError};

use crate::engines::beside::{named, remove_others};
use crate::engines::report::Bounded;

/// The notes of the passes from one ledger.
pub(crate) struct Finds {
    path: PathBuf,
    earlier: Vec<StaleFind>,
}

impl Finds {
    /// Reads what dead passes from `ledger` noted, and removes the notes of earlier ledgers.
    pub(crate) fn open(base: &Path, ledger: Option<&ArtifactName>) -> Result<Self, StepError> {
        let path = named(base, ledger);
        remove_others(base, &path)?;
        let earlier = match paths::read_to_string(&path) {
            // A torn line is one whose write had not returned: nothing was overwritten after it.
            Ok(text) => text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        Ok(Self { path, earlier })
    }

    /// Notes a find, before what was found is overwritten or removed.
    pub(crate) fn note(&self, find: &StaleFind) -> Result<(), StepError> {
        let mut line = b"\n".to_vec();
        line.extend(serde_json::to_vec(find).map_err(|e| StepError::permanent(e.to_string()))?);
        line.push(b'\n');
        let mut options = OpenOptions::new();
        let mut file = paths::open_with(&self.path, options.append(true).create(true).mode(0o600))?;
        file.write_all(&line).map_err(|e| PathError::new("write", &self.path, e).into())
    }

    /// Adds what dead passes noted to what this one found.
    pub(crate) fn add_earlier(&self, found: &mut Bounded<StaleFind>) {
        for find in &self.earlier {
            if !found.list.contains(find) {
                found.push(find.clone());
            }
        }
    }
}
