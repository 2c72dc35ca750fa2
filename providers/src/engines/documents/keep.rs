//! Keeping aside what a writer left who should not have written: the document as it was, in a file of its own.

use segue_contract::{StaleFind, StepError, paths};
use xxhash_rust::xxh3::xxh3_128;

use super::collection::{Found, Key};
use super::ledger::key_hash;
use super::sides::Sides;

/// The directory below the artifacts.
const DIRECTORY: &str = "stale";

/// Keeps a document, and says of it what the report needs. Keeping it twice is keeping it once.
pub(crate) fn keep(sides: &Sides<'_>, found: &Found, what: &str) -> Result<StaleFind, StepError> {
    let job = sides.job;
    let unit = xxh3_128(format!("{}\n{}", job.migration, job.unit).as_bytes());
    let name = format!("{:032x}-{}.json", key_hash(&found.key), found.version);
    let below = format!("{DIRECTORY}/documents-{unit:032x}/{name}");
    let path = sides.io.artifacts().join(&below);
    if let Some(dir) = path.parent() {
        paths::create_dir_all(dir)?;
    }
    paths::replace(&path, &found.body)?;
    Ok(StaleFind { kept: Some(below), ..find(&found.key, what) })
}

/// A find of which nothing is kept.
pub(crate) fn find(key: &Key, what: &str) -> StaleFind {
    StaleFind { key: key.to_string(), what: what.to_owned(), kept: None, process: None }
}
