//! Files beside the ledgers: what a run notes for the one after its death. Named after the unit and the side that is
//! written, and, where notes belong to the ledger that a pass began from, after that: a pass from another removes them.

use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{ArtifactName, StepError, UnitJob};
use xxhash_rust::xxh3::xxh3_128;

/// A file beside the ledgers that belongs to a job and a direction.
pub(crate) fn side_file(artifacts: &Path, what: &str, job: &UnitJob) -> PathBuf {
    let key = format!("{}\n{}\n{}", job.migration, job.unit, job.direction.from());
    artifacts.join(format!("{what}-{:032x}", xxh3_128(key.as_bytes())))
}

/// The content of such a file; `None`: there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    match paths::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) fn named(base: &Path, ledger: Option<&ArtifactName>) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!("-{}", ledger.map_or("load", |ledger| ledger.0.as_str())));
    PathBuf::from(name)
}

pub(crate) fn remove_others(base: &Path, own: &Path) -> Result<(), StepError> {
    let (Some(dir), Some(prefix)) = (base.parent(), base.file_name()) else {
        return Ok(());
    };
    let listed = match std::fs::read_dir(dir) {
        Ok(listed) => listed,
        // The first run of all: there is nothing to remove.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(PathError::new("list", dir, e).into()),
    };
    for entry in listed {
        let path = entry.map_err(|e| PathError::new("list", dir, e))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(prefix.as_encoded_bytes()) && path != own {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PathError::new("remove", &path, e).into());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
