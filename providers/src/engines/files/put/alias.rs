//! Names that the written side takes for one: it folds case, or Unicode forms, and the side that is read does not.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir};
use segue_contract::StepError;

use super::{Hand, Outcome, Stop};
use crate::engines::files::tree::{Tree, name_of, printed, split};
use crate::engines::files::work::Work;

impl Hand<'_> {
    /// What becomes of a path whose place another one has: with both at the side that is read, neither may go.
    pub(super) fn alias(&self, dir: &OwnedFd, path: &[u8], other: &[u8]) -> Result<Outcome, Stop> {
        match self.work.from.look(other) {
            // Gone from there, and removed here in this pass: the next one has room.
            Ok(None) => Ok(Outcome::Later),
            _ => Err(collision(self.work, dir, path)),
        }
    }
}

/// The path whose entry answers to the name of `path`, where that is not its own. `dir` is its directory.
pub(crate) fn alias_of(tree: &Tree, dir: &OwnedFd, path: &[u8]) -> Option<Vec<u8>> {
    let name = name_of(path);
    let at = |name: &[u8]| {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let here = at(name)?;
    // Listing costs: only where the name with its letters' case swapped is there, too, or has no such letters.
    let swapped: Vec<u8> =
        name.iter().map(|byte| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte }).collect();
    if swapped != name && at(&swapped).is_none() {
        return None;
    }
    let listed = tree.open_dir(split(path).0).and_then(Dir::new).ok()?;
    let mut other = None;
    for entry in listed.flatten() {
        let bytes = entry.file_name().to_bytes();
        if bytes == name {
            return None;
        }
        if bytes == b"." || bytes == b".." || other.is_some() {
            continue;
        }
        // Some FUSE file systems give every name an inode of its own.
        if at(bytes) == Some(here) || folded(bytes) == folded(name) {
            other = Some(bytes.to_vec());
        }
    }
    let mut found = split(path).0.to_vec();
    if !found.is_empty() {
        found.push(b'/');
    }
    found.extend_from_slice(&other?);
    Some(found)
}

fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// Two names of one side are one on the other. Where that is not why something is there, somebody else put it there, and the
/// next look decides.
pub(crate) fn collision(work: &Work<'_>, dir: &OwnedFd, path: &[u8]) -> Stop {
    let Some(other) = alias_of(&work.to, dir, path) else { return Stop::Later };
    let error = StepError::permanent(format!(
        "{} and {} are one name in {}, whose file system does not tell them apart",
        printed(&other),
        printed(path),
        work.to.root().display()
    ))
    .remedy(format!(
        "rename one of the two in {}, exclude one, or use a target that tells them apart; both are still there",
        work.from.root().display()
    ));
    Stop::Failed(error)
}
