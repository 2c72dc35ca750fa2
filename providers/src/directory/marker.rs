//! The marker of a directory: a file in its root or, when the root is a mount point (which may be made
//! read-only as a whole), beside it. Written conditionally, under a lock on the root itself.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use segue_contract::paths::{self, PathError};
use segue_contract::{Claim, Marker, MarkerError, StepError};
use serde::{Deserialize, Serialize};

use crate::engines::files::{MARKER, TEMPORARY};

/// The version of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    marker: Marker,
}

/// Where the marker of this root lies.
pub(super) fn place(root: &Path) -> PathBuf {
    match (root.parent(), root.file_name()) {
        (Some(parent), Some(name)) if is_mount_point(root, parent) => {
            let mut beside = std::ffi::OsString::from(".");
            beside.push(name);
            beside.push(MARKER);
            parent.join(beside)
        }
        _ => root.join(MARKER),
    }
}

fn is_mount_point(root: &Path, parent: &Path) -> bool {
    match (std::fs::metadata(root), std::fs::metadata(parent)) {
        (Ok(root), Ok(parent)) => root.dev() != parent.dev(),
        _ => false,
    }
}

/// The marker of this root.
pub(super) fn read(root: &Path) -> Result<Option<Marker>, StepError> {
    let path = place(root);
    let text = match paths::read(&path) {
        Ok(text) => text,
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let garbled = |why: String| {
        StepError::permanent(format!("the marker {} cannot be read: {why}", path.display()))
            .remedy("it says who may act on this directory: find out before you remove it")
    };
    let stored: Stored = serde_json::from_slice(&text).map_err(|e| garbled(e.to_string()))?;
    if stored.version > VERSION {
        return Err(garbled(format!(
            "it has version {}, this segue reads {VERSION}",
            stored.version
        )));
    }
    Ok(Some(stored.marker))
}

/// Of two claimants one holds this at a time. The kernel gives it back when the holder dies.
fn lock(root: &Path) -> Result<File, StepError> {
    let file = paths::open(root)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| PathError::new("lock", root, e))?;
    Ok(file)
}

/// Whether a claim may replace what is there.
fn admits(present: Option<&Marker>, claim: &Claim) -> bool {
    match present {
        None => true,
        Some(present) if present.state_id == claim.marker.state_id => present.epoch <= claim.marker.epoch,
        Some(present) => claim.adopt_from.as_deref() == Some(present.state_id.as_str()),
    }
}

/// Writes a marker where the one that is there admits it.
pub(super) fn write(root: &Path, claim: &Claim) -> Result<(), MarkerError> {
    let _lock = lock(root)?;
    if let Some(present) = read(root)?.filter(|present| !admits(Some(present), claim)) {
        return Err(MarkerError::Refused(Box::new(present)));
    }
    let path = place(root);
    let stored = Stored {
        version: VERSION,
        marker: claim.marker.clone(),
    };
    put(&path, &stored).map_err(MarkerError::from)
}

fn put(path: &Path, stored: &Stored) -> Result<(), StepError> {
    let mut text = serde_json::to_vec_pretty(stored)
        .map_err(|e| StepError::permanent("cannot write a marker").because(e))?;
    text.push(b'\n');
    let new = path.with_file_name(format!("{TEMPORARY}marker"));
    let mut file = paths::create_private(&new)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(|e| PathError::new("write", &new, e))?;
    paths::rename(&new, path)?;
    if let Some(parent) = path.parent() {
        paths::sync_dir(parent)?;
    }
    Ok(())
}

/// Removes the marker of this state.
pub(super) fn remove(root: &Path, state_id: &str) -> Result<(), MarkerError> {
    let _lock = lock(root)?;
    let Some(present) = read(root)? else { return Ok(()) };
    if present.state_id != state_id {
        return Err(MarkerError::Refused(Box::new(present)));
    }
    let path = place(root);
    std::fs::remove_file(&path).map_err(|e| StepError::from(PathError::new("remove", &path, e)))?;
    if let Some(parent) = path.parent() {
        paths::sync_dir(parent).map_err(StepError::from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use segue_contract::{Address, Side};

    use super::*;

    fn claim(state_id: &str, epoch: u64, adopt_from: Option<&str>) -> Claim {
        let marker = Marker {
            owner: Address::new("cutover.site"),
            epoch,
            live: Side::Source,
            raised: false,
            state_id: state_id.to_owned(),
            state_dir: "/srv/.segue".to_owned(),
            machine_id: "m".to_owned(),
            host: "h".to_owned(),
            user: "u".to_owned(),
        };
        Claim {
            marker,
            adopt_from: adopt_from.map(str::to_owned),
        }
    }

    #[test]
    fn a_foreign_state_and_a_lower_epoch_are_refused_and_an_adopted_one_is_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        write(dir.path(), &claim("a", 2, None)).expect("first");
        write(dir.path(), &claim("a", 2, None)).expect("the same again");
        let refused = write(dir.path(), &claim("a", 1, None)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "held by u@h from /srv/.segue (epoch 2, state a)"
        );
        assert!(matches!(
            write(dir.path(), &claim("b", 9, None)),
            Err(MarkerError::Refused(_))
        ));
        assert!(matches!(remove(dir.path(), "b"), Err(MarkerError::Refused(_))));
        write(dir.path(), &claim("b", 3, Some("a"))).expect("adopts");
        remove(dir.path(), "b").expect("removes");
        remove(dir.path(), "b").expect("absent is fine");
        assert_eq!(read(dir.path()).expect("reads"), None);
    }

    #[test]
    fn of_many_claimants_exactly_one_wins() {
        let dir = tempfile::tempdir().expect("tempdir");
        let won: usize = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..16)
                .map(|i| {
                    let root = dir.path();
                    scope.spawn(move || {
                        usize::from(write(root, &claim(&format!("state-{i}"), 1, None)).is_ok())
                    })
                })
                .collect();
            tasks.into_iter().map(|t| t.join().expect("joins")).sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn a_marker_that_is_no_marker_is_never_taken_for_none() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut file = paths::create_private(&dir.path().join(MARKER)).expect("file");
        file.write_all(b"{\"version\":1,").expect("write");
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains(".segue-marker cannot be read"), "{error}");
        assert!(write(dir.path(), &claim("a", 1, None)).is_err());
    }

    #[test]
    fn the_marker_of_a_mount_point_lies_beside_it() {
        assert_eq!(place(Path::new("/proc")), Path::new("/.proc.segue-marker"));
    }
}
