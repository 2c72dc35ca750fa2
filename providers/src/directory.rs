//! A local directory as a source or a target: what it is, whether it may be used, its marker, and who
//! holds it open. Moving its content is the files engine's.

mod holders;
mod marker;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, access, statfs};
use segue_contract::paths::{self, PathError};
use segue_contract::{
    AttributeSchema, AttributeType, Barrier, BlockKind, BlockRef, BlockSchema, Claim, Endpoint,
    EndpointFacts, Finding, Identity, InUse, Marker, MarkerError, Registry, Severity, StepError, StepIo,
    UnitFacts,
};

use crate::engines::files::{MARKER, TEMPORARY, UNIT};

/// The name in specs.
pub(crate) const PROVIDER: &str = "directory";

/// Adds the endpoint type and its schemas.
pub(crate) fn register(registry: &mut Registry) {
    for kind in [BlockKind::Source, BlockKind::Target] {
        registry.schema(BlockSchema {
            kind,
            name: PROVIDER.to_owned(),
            doc: "A directory tree on this machine. Segue puts one file into it, `.segue-marker` (beside it, when it is a \
                  mount point), which names the state directory that may act on it."
                .to_owned(),
            attributes: vec![AttributeSchema::required(
                "path",
                AttributeType::Path,
                "The directory. A target that is not there is made.",
            )],
        });
    }
    registry.add_endpoint(PROVIDER, Arc::new(Directory));
}

/// A local directory.
pub(crate) struct Directory;

fn is_target(block: &BlockRef) -> bool {
    block.address.kind() == BlockKind::Target.as_str()
}

fn finding(code: &str, summary: String, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Critical,
        code: code.to_owned(),
        summary,
        remedy: remedy.to_owned(),
    }
}

/// The path with the links of its existing part resolved, and that part.
fn resolved(path: &Path) -> Result<(PathBuf, PathBuf), PathError> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut at = path;
    loop {
        match std::fs::canonicalize(at) {
            Ok(real) => {
                let whole = missing.iter().rev().fold(real.clone(), |p, name| p.join(name));
                return Ok((whole, real));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match (at.parent(), at.file_name())
            {
                (Some(parent), Some(name)) => {
                    missing.push(name);
                    at = parent;
                }
                _ => return Err(PathError::new("find", path, error)),
            },
            Err(error) => return Err(PathError::new("find", path, error)),
        }
    }
}

/// Whether a name at the root is Segue's own.
fn is_own(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name == MARKER.as_bytes() || name.starts_with(TEMPORARY.as_bytes())
}

/// A directory's identity: the machine and the path with its links resolved. Not the inode: a target is
/// identified before it is made, and a tree that was restored from a backup is still the same endpoint. That two
/// paths lead to one directory (a bind mount) is found by [`Directory::check_pair`].
fn identity(real: &Path) -> Identity {
    let machine = paths::read_to_string(Path::new("/etc/machine-id")).unwrap_or_default();
    Identity(format!("directory:{}:{}", machine.trim(), real.display()))
}

fn settings(real: &Path) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Ok(found) = statfs(real) {
        let kind = match found.f_type as u64 {
            0xef53 => "ext2, ext3 or ext4".to_owned(),
            0x9123_683e => "btrfs".to_owned(),
            0x5846_5342 => "xfs".to_owned(),
            0x0102_1994 => "tmpfs".to_owned(),
            0x794c_7630 => "overlay".to_owned(),
            0x6969 => "nfs".to_owned(),
            0x4d44 => "vfat".to_owned(),
            other => format!("{other:#x}"),
        };
        settings.insert("file system".to_owned(), kind);
        settings.insert("longest name".to_owned(), format!("{} bytes", found.f_namelen));
    }
    settings
}

impl Directory {
    fn source_findings(path: &Path) -> Vec<Finding> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                vec![finding(
                    "DIR_MISSING",
                    format!("{} is not there", path.display()),
                    "correct path, or make the directory",
                )]
            }
            Err(error) => vec![finding(
                "DIR_NO_PERMISSION",
                format!("cannot look at {}: {error}", path.display()),
                "run as a user who may",
            )],
            Ok(found) if !found.is_dir() => {
                vec![finding(
                    "DIR_NOT_DIRECTORY",
                    format!("{} is not a directory", path.display()),
                    "correct path",
                )]
            }
            Ok(_) if access(path, Access::READ_OK | Access::EXEC_OK | Access::WRITE_OK).is_err() => {
                vec![finding(
                    "DIR_NO_PERMISSION",
                    format!("{} cannot be read, or no marker can be put there", path.display()),
                    "run as a user who may read it and write its marker",
                )]
            }
            Ok(_) => Vec::new(),
        }
    }

    fn target_findings(path: &Path, existing: &Path, marked: bool) -> Vec<Finding> {
        let is_dir = existing.is_dir();
        if !is_dir {
            return vec![finding(
                "DIR_NOT_DIRECTORY",
                format!("{} is not a directory", existing.display()),
                "correct path",
            )];
        }
        if access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            let what = format!("{} cannot be written", existing.display());
            return vec![finding(
                "DIR_NO_PERMISSION",
                what,
                "run as a user who may, or change its mode",
            )];
        }
        let listed = std::fs::read_dir(path)
            .map(|entries| entries.flatten().filter(|e| !is_own(&e.file_name())).count());
        match listed {
            Ok(entries) if entries > 0 && !marked => vec![finding(
                "DIR_NOT_EMPTY",
                format!(
                    "{} is not empty ({entries} entries) and carries no marker of Segue's",
                    path.display()
                ),
                "name a new directory, or empty this one: nothing that is there is overwritten",
            )],
            Ok(_) | Err(_) => Vec::new(),
        }
    }
}

impl Endpoint for Directory {
    fn observe(&self, block: &BlockRef, _: &dyn StepIo) -> Result<EndpointFacts, StepError> {
        let path = block.path("path")?;
        let (real, existing) = resolved(path)?;
        let exists = real == existing && real.is_dir();
        let marker = if exists { marker::read(&real)? } else { None };
        let findings = if is_target(block) {
            Self::target_findings(&real, &existing, marker.is_some())
        } else {
            Self::source_findings(path)
        };
        Ok(EndpointFacts {
            identity: identity(&real),
            exists,
            barrier: Barrier::None,
            units: vec![UnitFacts {
                name: UNIT.to_owned(),
                records: None,
                bytes: None,
            }],
            settings: settings(&existing),
            findings,
            marker,
        })
    }

    fn check_pair(&self, source: &BlockRef, target: &BlockRef) -> Vec<Finding> {
        let place = |block: &BlockRef| block.path("path").ok().and_then(|p| resolved(p).ok());
        let (Some((source, _)), Some((target, existing))) = (place(source), place(target)) else {
            return Vec::new();
        };
        let inode = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        if source == target || inode(&source).is_some_and(|i| Some(i) == inode(&target)) {
            return vec![finding(
                "DIR_SAME",
                format!("source and target are the same directory ({})", source.display()),
                "name another target",
            )];
        }
        // Bind mounts lead to one directory by two paths: every directory above is looked at by its inode too.
        let above = |inner: &Path, outer: &Path| {
            inner.starts_with(outer)
                || inner
                    .ancestors()
                    .any(|a| inode(a).is_some() && inode(a) == inode(outer))
        };
        if above(&existing, &source) || target.starts_with(&source) {
            let what = format!(
                "the target {} lies inside the source {}",
                target.display(),
                source.display()
            );
            return vec![finding("DIR_INSIDE", what, "name a target outside the source")];
        }
        if target.is_dir() && above(&source, &target) {
            let what = format!(
                "the source {} lies inside the target {}",
                source.display(),
                target.display()
            );
            return vec![finding(
                "DIR_INSIDE",
                what,
                "name a target that does not hold the source",
            )];
        }
        Vec::new()
    }

    fn provision(&self, block: &BlockRef, _: &dyn StepIo) -> Result<bool, StepError> {
        let path = block.path("path")?;
        if path.is_dir() {
            return Ok(false);
        }
        paths::create_dir_all(path)?;
        if let Some(parent) = path.parent() {
            paths::sync_dir(parent)?;
        }
        Ok(true)
    }

    fn in_use(&self, block: &BlockRef, _: &dyn StepIo) -> Result<InUse, StepError> {
        let path = block.path("path")?;
        let real = std::fs::canonicalize(path).map_err(|e| PathError::new("find", path, e))?;
        Ok(holders::holders(&real)?)
    }

    fn marker(&self, block: &BlockRef, _: &dyn StepIo) -> Result<Option<Marker>, MarkerError> {
        let path = block.path("path").map_err(StepError::from)?;
        match std::fs::canonicalize(path) {
            Ok(real) => Ok(marker::read(&real)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StepError::from(PathError::new("find", path, error)).into()),
        }
    }

    fn write_marker(&self, block: &BlockRef, claim: &Claim, _: &dyn StepIo) -> Result<(), MarkerError> {
        let path = block.path("path").map_err(StepError::from)?;
        let real =
            std::fs::canonicalize(path).map_err(|e| StepError::from(PathError::new("find", path, e)))?;
        marker::write(&real, claim)
    }

    fn remove_marker(&self, block: &BlockRef, state_id: &str, _: &dyn StepIo) -> Result<(), MarkerError> {
        let path = block.path("path").map_err(StepError::from)?;
        match std::fs::canonicalize(path) {
            Ok(real) => marker::remove(&real, state_id),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StepError::from(PathError::new("find", path, error)).into()),
        }
    }

    fn marker_by_hand(&self, block: &BlockRef) -> String {
        let path = block.path("path").unwrap_or(Path::new(""));
        marker::place(path).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block};

    fn source(path: &Path) -> BlockRef {
        block("source.directory.old", PROVIDER, &[("path", json!(path))])
    }

    fn target(path: &Path) -> BlockRef {
        block("target.directory.new", PROVIDER, &[("path", json!(path))])
    }

    fn codes(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|f| f.code.as_str()).collect()
    }

    #[test]
    fn what_cannot_be_used_is_found_before_anything_runs() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::File::create_new(dir.path().join("file")).expect("file");
        std::fs::create_dir(dir.path().join("full")).expect("dir");
        std::fs::File::create_new(dir.path().join("full/x")).expect("file");
        let seen = |b: BlockRef| Directory.observe(&b, &Io::default()).expect("observes").findings;
        assert_eq!(codes(&seen(source(&dir.path().join("gone")))), ["DIR_MISSING"]);
        assert_eq!(
            codes(&seen(source(&dir.path().join("file")))),
            ["DIR_NOT_DIRECTORY"]
        );
        assert_eq!(codes(&seen(source(&dir.path().join("full")))), [""; 0]);
        assert_eq!(codes(&seen(target(&dir.path().join("full")))), ["DIR_NOT_EMPTY"]);
        assert_eq!(codes(&seen(target(&dir.path().join("made/later")))), [""; 0]);
    }

    #[test]
    fn a_target_has_one_identity_before_and_after_it_is_made_and_by_every_link() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("new");
        let look = |p: &Path| Directory.observe(&target(p), &Io::default()).expect("observes");
        let before = look(&path);
        assert!(!before.exists);
        assert!(
            Directory
                .provision(&target(&path), &Io::default())
                .expect("makes")
        );
        assert!(
            !Directory
                .provision(&target(&path), &Io::default())
                .expect("is there")
        );
        symlink("new", dir.path().join("link")).expect("link");
        assert_eq!(before.identity, look(&path).identity);
        assert_eq!(before.identity, look(&dir.path().join("link")).identity);
    }

    #[test]
    fn the_same_directory_twice_and_one_inside_the_other_are_refused_by_any_path() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&a).expect("dir");
        std::fs::create_dir(&b).expect("dir");
        symlink("a", dir.path().join("link")).expect("link");
        let pair = |s: &Path, t: &Path| Directory.check_pair(&source(s), &target(t));
        assert_eq!(codes(&pair(&a, &b)), [""; 0]);
        assert_eq!(codes(&pair(&a, &a)), ["DIR_SAME"]);
        assert_eq!(codes(&pair(&a, &dir.path().join("link"))), ["DIR_SAME"]);
        assert_eq!(codes(&pair(&a, &dir.path().join("link/deep/er"))), ["DIR_INSIDE"]);
        assert_eq!(codes(&pair(&a, dir.path())), ["DIR_INSIDE"]);
        let status = std::process::Command::new("mount")
            .arg("--bind")
            .args([&a, &b])
            .status()
            .expect("mount");
        assert!(status.success(), "this test needs root for a bind mount");
        let (same, inside) = (codes_of(&pair(&a, &b)), codes_of(&pair(&a, &b.join("x"))));
        let _ = std::process::Command::new("umount").arg(&b).status();
        assert_eq!((same.as_str(), inside.as_str()), ("DIR_SAME", "DIR_INSIDE"));
    }

    fn codes_of(findings: &[Finding]) -> String {
        codes(findings).join(" ")
    }
}
