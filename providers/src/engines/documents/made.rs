//! The note that Segue makes the unit at a job's declared target: written before the unit is there, so that a death between
//! the two leaves nothing that nobody knows of; and then which one it is that was made, for somebody may delete it and make
//! another one under its name.

use std::path::{Path, PathBuf};

use segue_contract::{Direction, StepError, UnitJob, paths};

use crate::engines::beside::{self, side_file};

/// See the module.
pub(crate) struct Made {
    path: PathBuf,
}

impl Made {
    /// The note for the declared target of a job, whichever way that goes.
    pub(crate) fn of(artifacts: &Path, job: &UnitJob) -> Self {
        let forward = UnitJob { direction: Direction::Forward, ..job.clone() };
        Self { path: side_file(artifacts, "made", &forward) }
    }

    /// Whether Segue made the unit, or was about to.
    pub(crate) fn is_noted(&self) -> bool {
        self.path.exists()
    }

    /// Notes, durably, that it is about to be made.
    pub(crate) fn note(&self) -> Result<(), StepError> {
        Ok(paths::replace(&self.path, b"")?)
    }

    /// Notes which one it is that was made, unless that is known, or nothing was made.
    pub(crate) fn note_incarnation(&self, incarnation: &str) -> Result<(), StepError> {
        if self.is_noted() && self.incarnation()?.is_none() {
            paths::replace(&self.path, incarnation.as_bytes())?;
        }
        Ok(())
    }

    /// Which one was made; `None`: none was, or a run died before it knew.
    pub(crate) fn incarnation(&self) -> Result<Option<String>, StepError> {
        let noted = beside::read(&self.path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(noted.filter(|incarnation| !incarnation.is_empty()))
    }

    /// Whether Segue made the unit that is there now, as far as is known.
    pub(crate) fn is(&self, incarnation: &str) -> Result<bool, StepError> {
        Ok(self.is_noted() && self.incarnation()?.is_none_or(|made| made == incarnation))
    }

    /// Forgets it: nothing of it is there any more, or it is somebody else's from now on.
    pub(crate) fn forget(&self) {
        // Best effort: a note that stays is written anew by whoever makes the same unit again.
        let _ = std::fs::remove_file(&self.path);
    }
}
