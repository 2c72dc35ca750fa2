//! How the journal fails; shared by every ticket of a failed group, hence cheap to clone.

use std::path::PathBuf;
use std::sync::Arc;

use segue_contract::paths::PathError;

use super::{Damage, MAX_EVENT_BYTES, Seq};

/// Why an event does not count, or the journal cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation that changed nothing of the journal's content.
    #[error("{0}")]
    Path(#[from] Arc<PathError>),
    /// The journal does not add up: nothing may be written to it or concluded from it.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// A segment of a newer format.
    #[error("{} has journal format {found}, and this segue reads format {known}", path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// An empty event, or one over the limit. Nothing was written.
    #[error("a journal event of {bytes} bytes cannot be written: 1 to {MAX_EVENT_BYTES} bytes are possible")]
    EventSize {
        /// Its size.
        bytes: usize,
    },
    /// No room on the disk; nothing was written, and later appends may succeed.
    #[error("cannot append to {}: the disk is full{}", path.display(), if *reserve_used { " and the reserve is used up" } else { "" })]
    StorageFull {
        /// The segment that could not grow.
        path: PathBuf,
        /// The append was allowed to use the reserve, and that is used up, too.
        reserve_used: bool,
    },
    /// The write or sync of these events failed: they may or may not be on the disk, and do not count.
    #[error("events {first} to {last} may not have reached the disk: {cause}; no event after {} counts", first.0 - 1)]
    WriteFailed {
        /// The first event of the group.
        first: Seq,
        /// The last event of the group.
        last: Seq,
        /// What failed.
        cause: Arc<PathError>,
    },
    /// Refused: an earlier write failed, so that nothing may follow it.
    #[error("refused: {0}")]
    Poisoned(Box<Self>),
    /// The writer has ended (closed, or died of a bug).
    #[error("the journal's writer has ended")]
    Closed,
}

impl JournalError {
    /// What the user can do next, a sentence.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Path(error) => error.remedy(),
            Self::Damaged(damage) => Some(damage.remedy()),
            Self::Version { .. } => Some("use the segue that wrote it, or a newer one".to_owned()),
            Self::StorageFull { path, .. } => Some(format!(
                "free space on the file system of {} and run the same command again; it goes on where it stopped",
                path.display()
            )),
            Self::WriteFailed { .. } => Some(
                "look at the disk and the kernel's log, then run the same command again: it reads what is there and goes on"
                    .to_owned(),
            ),
            Self::Poisoned(cause) => cause.remedy(),
            Self::EventSize { .. } | Self::Closed => None,
        }
    }
}

impl From<PathError> for JournalError {
    fn from(error: PathError) -> Self {
        Self::Path(Arc::new(error))
    }
}

impl From<Damage> for JournalError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}
