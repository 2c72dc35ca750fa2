//! The marker of a directory: where it lies, and how two claimants are kept apart (protocol P18).
//!
//! The conditional write is read, compare and rename under flock(2) on a lock file beside the marker. A
//! directory that is a mount point has its marker beside it: a barrier may make its file system
//! read-only, and the marker is raised while it is.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use segue_contract::paths::{self, PathError, sync_dir};
use segue_contract::{Claim, Marker, MarkerError, StepError};
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::engines::files::is_own;

/// The marker inside a directory.
const MARKER: &str = ".segue-marker";
/// What names the root for the files engine, which writes it.
const IDENTITY: &str = ".segue-marker.id";
/// The layout of [`Wire`].
const VERSION: u32 = 1;
/// A marker is a few hundred bytes; more is something else.
const BYTES_MAX: u64 = 64 * 1024;
/// A claimant holds the lock for a few writes; one that was stopped is not waited for.
const LOCK_TRIES: u32 = 1000;
/// Between two tries: 10 s in all.
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// The marker on disk.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    marker: Marker,
}

/// Only the version, which every layout has.
#[derive(Deserialize)]
struct WireVersion {
    version: u32,
}

/// Whether a name inside an endpoint's directory is Segue's own and no data.
pub(super) fn is_own_name(name: &[u8]) -> bool {
    is_own(b"", name)
}

/// Where the marker is written.
pub(super) fn at(place: &Place) -> PathBuf {
    if place.is_mount_point() { beside(place) } else { place.root.join(MARKER) }
}

/// Where the marker of a mount point lies.
pub(super) fn beside(place: &Place) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(place.root.file_name().unwrap_or_default());
    name.push(MARKER);
    place.root.with_file_name(name)
}

/// Whether there is a marker of a mount point, and the mount point is none now.
pub(super) fn is_left_beside(place: &Place) -> bool {
    place.root.parent().is_some() && !place.is_mount_point() && fs::symlink_metadata(beside(place)).is_ok()
}

/// The marker, `None` when there is none.
pub(super) fn read(place: &Place) -> Result<Option<Marker>, MarkerError> {
    let found = read_file(&at(place))?;
    if found.is_none() && is_left_beside(place) {
        return read_file(&beside(place));
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Option<Marker>, MarkerError> {
    let mut options = OpenOptions::new();
    // Those who write to the directory could put a pipe or a symlink here.
    options.read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    let file = match paths::open_with(path, &options) {
        Ok(file) => file,
        Err(e) if absent(&e.source) => return Ok(None),
        Err(e) => return Err(StepError::from(e).into()),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| StepError::from(PathError::new("read", path, e)))?;
    match serde_json::from_slice::<WireVersion>(&bytes) {
        Ok(wire) if wire.version > VERSION => {
            return Err(StepError::permanent(format!(
                "marker {} was written by a later version of segue (layout {})",
                path.display(),
                wire.version
            ))
            .remedy("Run the version that wrote it.")
            .into());
        }
        Ok(_) | Err(_) => {}
    }
    let wire: Wire = serde_json::from_slice(&bytes).map_err(|e| {
        StepError::permanent(format!("marker {} is damaged", path.display()))
            .remedy(format!(
                "Look at {}. If no other segue works on this directory, remove that file and run again.",
                path.display()
            ))
            .because(e)
    })?;
    Ok(Some(wire.marker))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn flags(flags: OFlags) -> i32 {
    // The bits are the kernel's; open(2) takes them as an int.
    flags.bits().cast_signed()
}

/// Writes a marker where the one that is there allows it.
pub(super) fn write(place: &Place, claim: &Claim) -> Result<(), MarkerError> {
    if !place.is_dir() {
        return Err(StepError::permanent(format!("cannot mark {}: it is not there", place.root.display()))
            .remedy("Make or mount it and run again.")
            .into());
    }
    if is_left_beside(place) {
        return Err(StepError::permanent(format!(
            "cannot mark {}: it was a file system of its own and is not mounted",
            place.root.display()
        ))
        .remedy(format!("Mount it again. If it was moved for good, remove {}.", beside(place).display()))
        .into());
    }
    let path = at(place);
    // A refusal names the holder, also to a user who may not open the lock.
    allowed(place, &path, claim)?;
    let _lock = lock(&path)?;
    allowed(place, &path, claim)?;
    let wire = Wire { version: VERSION, marker: claim.marker.clone() };
    let bytes = serde_json::to_vec_pretty(&wire)
        .map_err(|e| StepError::permanent(format!("cannot encode marker {}", path.display())).because(e))?;
    put(&path, &bytes).map_err(|e| StepError::from(e).into())
}

fn allowed(place: &Place, path: &Path, claim: &Claim) -> Result<(), MarkerError> {
    let inside = place.root.join(MARKER);
    let mut seen = vec![read_file(path)?];
    if inside != path {
        // The same file system may be mounted elsewhere as a part of a larger tree.
        seen.push(read_file(&inside)?);
    }
    for there in seen.into_iter().flatten() {
        let ours =
            there.state_id == claim.marker.state_id || claim.adopt_from.as_ref() == Some(&there.state_id);
        if !ours || there.epoch > claim.marker.epoch {
            return Err(MarkerError::Refused(Box::new(there)));
        }
    }
    Ok(())
}

/// Replaces the marker; everybody may read who holds it. Under the lock, so the name beside it is ours.
fn put(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    let fresh = suffixed(path, ".new");
    forget(&fresh)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let mut file = paths::open_with(&fresh, &options)?;
    file.set_permissions(Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .map_err(|e| PathError::new("write", &fresh, e))?;
    paths::rename(&fresh, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), PathError> {
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file, absent is fine. Returns whether it was there.
fn forget(path: &Path) -> Result<bool, PathError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if absent(&e) => Ok(false),
        Err(e) => Err(PathError::new("remove", path, e)),
    }
}

/// Looks that a directory which was marked as a mount point is one.
pub(super) fn prove(place: &Place) -> Result<(), StepError> {
    if !is_left_beside(place) {
        return Ok(());
    }
    let root = place.root.display();
    Err(StepError::permanent(format!("{root} is not mounted: it was a file system of its own when it was marked"))
        .remedy(format!(
            "Mount it again and run the same command again: nothing is read from {root} as it is. If it was moved \
             for good, remove {}.",
            beside(place).display()
        )))
}

/// Takes the marker away where it is this state's, with the lock file, and the file that names the root.
pub(super) fn remove(place: &Place, state_id: &str) -> Result<(), MarkerError> {
    let mut paths = vec![at(place)];
    if is_left_beside(place) {
        paths.push(beside(place));
    }
    for path in paths {
        match read_file(&path)? {
            Some(there) if there.state_id != state_id => {
                return Err(MarkerError::Refused(Box::new(there)));
            }
            Some(_) => {}
            // A lock that a crash left goes too.
            None if fs::symlink_metadata(suffixed(&path, ".lock")).is_err() => continue,
            None => {}
        }
        let _lock = lock(&path)?;
        match read_file(&path)? {
            Some(there) if there.state_id != state_id => {
                return Err(MarkerError::Refused(Box::new(there)));
            }
            Some(_) | None => {}
        }
        // The lock goes last: whoever waits for it sees that its name is gone, and makes a new one.
        let gone = forget(&path)
            .and_then(|_| forget(&suffixed(&path, ".new")))
            .and_then(|_| forget(&suffixed(&path, ".lock")))
            .and_then(|_| sync_parent(&path));
        gone.map_err(StepError::from)?;
    }
    let name = place.root.join(IDENTITY);
    match fs::remove_file(&name) {
        Ok(()) => Ok(()),
        // A side that is kept closed may be read-only for good: the file means nothing to anybody else.
        Err(e) if absent(&e) || e.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(e) => Err(StepError::from(PathError::new("remove", name, e)).into()),
    }
}

/// The lock of a marker, until it is dropped.
fn lock(marker: &Path) -> Result<File, StepError> {
    let path = suffixed(marker, ".lock");
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    for _ in 0..LOCK_TRIES {
        let file = paths::open_with(&path, &options)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // It may have been removed, and made anew by another, between open and lock.
            Ok(()) if names(&path, &file)? => return Ok(file),
            Ok(()) => continue,
            Err(Errno::WOULDBLOCK | Errno::INTR) => thread::sleep(LOCK_WAIT),
            Err(e) => return Err(PathError::new("lock", &path, e).into()),
        }
    }
    Err(StepError::transient(format!("{} stays locked by another process", path.display()))
        .remedy(format!("See who holds it (fuser {}) and run again.", path.display())))
}

fn names(path: &Path, file: &File) -> Result<bool, PathError> {
    let held = file.metadata().map_err(|e| PathError::new("look at", path, e))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(e) if absent(&e) => Ok(false),
        Err(e) => Err(PathError::new("look at", path, e)),
    }
}
