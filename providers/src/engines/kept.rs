//! What reverse passes delete at the declared source is kept below the artifact directory, where there is room.

use std::path::{Path, PathBuf};

use segue_contract::{Address, StepError, StepIo};

/// The directory below the artifacts.
const DIRECTORY: &str = "deleted";
/// What keeping things aside leaves free of a file system: one part in so many, or so many bytes, whichever is less.
const FREE: (u64, u64) = (20, 256 << 20);

/// The place of a migration, below the artifact directory; noted before anything is in it.
pub(crate) fn place_of(migration: &Address, io: &dyn StepIo) -> Result<PathBuf, StepError> {
    let place = Path::new(DIRECTORY).join(migration.as_str().replace('/', "_"));
    io.keeping_deleted(migration, &place.to_string_lossy())?;
    Ok(place)
}

/// Whether so many bytes leave enough room for everybody else on the artifacts' file system.
pub(crate) fn has_room(artifacts: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(artifacts).is_ok_and(|at| {
        let (free, all) = (at.f_bavail.saturating_mul(at.f_frsize), at.f_blocks.saturating_mul(at.f_frsize));
        free.saturating_sub(bytes) >= (all / FREE.0).min(FREE.1)
    })
}
