//! What a directory is and whether it will do, alone and as one of a pair.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr, ioctl_getflags, statvfs};
use rustix::io::Errno;
use segue_contract::paths::{self, PathError};
use segue_contract::{Barrier, BlockRef, EndpointFacts, Finding, Severity, StepError, SystemPath, UnitFacts};

use super::note;
use super::place::Place;
use crate::mounts::{self, Mount};

/// The one unit of a directory.
const TREE: &str = "tree";
/// `FS_CASEFOLD_FL` of linux/fs.h: names in this directory are compared without case.
const CASEFOLD: u32 = 0x4000_0000;

/// Everything that planning needs to know of a directory.
pub(super) fn facts(block: &BlockRef, place: &Place) -> Result<EndpointFacts, StepError> {
    let is_source = block.address.kind() == "source";
    let mounts = mounts::own()?;
    let mut findings = Vec::new();
    let fit = if is_source { source(block, place) } else { target(block, place) };
    let blocked = fit.is_some();
    findings.extend(fit);
    let marker = if place.is_dir() && blocked {
        // What may not be read says so by its finding.
        note::read(place).ok().flatten()
    } else {
        note::read(place).map_err(into_step)?
    };
    if note::is_left_beside(place) {
        findings.push(critical(
            "DIR_NOT_MOUNTED",
            format!(
                "{} is not mounted: {} was made when {} was a file system of its own",
                block.address,
                note::beside(place).display(),
                place.root.display()
            ),
            "Mount the file system again. If it was moved for good, remove that file.".to_owned(),
        ));
    }
    let may_be_foreign = !is_source && !blocked && marker.is_none() && place.is_dir();
    let foreign = if may_be_foreign { not_empty(block, place)? } else { None };
    Ok(EndpointFacts {
        identity: place.identity(),
        exists: place.is_dir(),
        barrier: Barrier::None,
        units: vec![UnitFacts { name: TREE.to_owned(), records: None, bytes: None, marker: None }],
        free_bytes: free_bytes(place),
        settings: settings(place, &mounts),
        findings,
        foreign,
        marker,
        places: places(place, &mounts),
    })
}

/// What is free to this user. A file system that counts nothing has zeros.
fn free_bytes(place: &Place) -> Option<u64> {
    let at = statvfs(&place.nearest).ok().filter(|at| at.f_blocks > 0)?;
    Some(at.f_bavail.saturating_mul(at.f_frsize))
}

/// The resolved path, and where that lies in its file system: a bind mount is another path to the same place.
fn places(place: &Place, mounts: &[Mount]) -> Vec<SystemPath> {
    let resolved = SystemPath::file(super::FILES, &place.root);
    let mounted = mounts::location(mounts, &place.root).map(|at| at.system_path());
    std::iter::once(resolved).chain(mounted).collect()
}

fn into_step(error: segue_contract::MarkerError) -> StepError {
    match error {
        segue_contract::MarkerError::Failed(error) => error,
        refused @ segue_contract::MarkerError::Refused(_) => StepError::permanent(refused.to_string()),
    }
}

fn critical(code: &str, summary: String, remedy: String) -> Finding {
    Finding { severity: Severity::Critical, code: code.to_owned(), summary, remedy }
}

fn source(block: &BlockRef, place: &Place) -> Option<Finding> {
    let (address, path) = (&block.address, place.root.display());
    match &place.found {
        None => Some(critical(
            "DIR_MISSING",
            format!("{address}: {path} does not exist"),
            format!("Correct its path, or make or mount {path}."),
        )),
        Some(found) if !found.is_dir() => Some(not_directory(block, place)),
        Some(_) => {
            let error = may(&place.root, Access::READ_OK | Access::EXEC_OK).err()?;
            Some(critical(
                "DIR_NO_PERMISSION",
                format!("{address}: {path} cannot be read: {error}"),
                format!("Run segue as a user who may read {path} (root keeps owners too)."),
            ))
        }
    }
}

fn target(block: &BlockRef, place: &Place) -> Option<Finding> {
    let nearest_is_dir = place.found.is_some() || place.nearest.is_dir();
    if place.dangling.is_some() || !nearest_is_dir || place.found.as_ref().is_some_and(|m| !m.is_dir()) {
        return Some(not_directory(block, place));
    }
    let at = place.nearest.display();
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let error = match may(&place.nearest, access) {
        Ok(()) => return None,
        Err(error) => error,
    };
    let remedy = if error == Errno::ROFS {
        format!("Mount the file system of {at} for writing, or name another target.")
    } else {
        format!("Run segue as a user who may write to {at} (root keeps owners too), or name another target.")
    };
    Some(critical("DIR_NO_PERMISSION", format!("{}: {at} cannot be written: {error}", block.address), remedy))
}

fn may(path: &Path, access: Access) -> Result<(), Errno> {
    accessat(CWD, path, access, AtFlags::EACCESS)
}

fn not_directory(block: &BlockRef, place: &Place) -> Finding {
    let (what, at) = if let Some(link) = &place.dangling {
        ("a symlink that leads nowhere", link)
    } else if place.found.is_some() {
        ("not a directory", &place.root)
    } else {
        ("not a directory", &place.nearest)
    };
    critical(
        "DIR_NOT_DIRECTORY",
        format!("{}: {} is {what}", block.address, at.display()),
        "Name a directory.".to_owned(),
    )
}

fn not_empty(block: &BlockRef, place: &Place) -> Result<Option<Finding>, StepError> {
    let root = &place.root;
    let failed = |e| PathError::new("list", root, e);
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        // mkfs makes it; it is data only if something was found.
        let bare = || fs::read_dir(entry.path()).is_ok_and(|mut found| found.next().is_none());
        if note::is_own_name(name.as_bytes()) || (name == "lost+found" && bare()) {
            continue;
        }
        return Ok(Some(critical(
            "DIR_NOT_EMPTY",
            format!(
                "{}: {} is not empty: it holds {} and was not filled by segue",
                block.address,
                root.display(),
                name.display()
            ),
            format!(
                "Empty {} after looking at what is in it, or name another directory: what the source does not \
                 have would be deleted there.",
                root.display()
            ),
        )));
    }
    Ok(None)
}

/// What the file system can do. A target that is to be made will have its nearest ancestor's.
fn settings(place: &Place, mounts: &[Mount]) -> BTreeMap<String, String> {
    let at = place.nearest.as_path();
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        settings.insert(name.to_owned(), value.unwrap_or_else(|| "unknown".to_owned()));
    };
    let kind = mounts::mount_of(mounts, at).map(|m| m.kind.clone());
    set("case", Some(case(at, kind.as_deref()).to_owned()));
    set("file_system", kind);
    set("name_max", statvfs(at).ok().map(|s| s.f_namemax.to_string()));
    set("xattr", offers(at, "user.segue").map(str::to_owned));
    set("acl", offers(at, "system.posix_acl_access").map(str::to_owned));
    settings
}

fn offers(at: &Path, name: &str) -> Option<&'static str> {
    let mut room = [0_u8; 0];
    match getxattr(at, name, &mut room) {
        Ok(_) | Err(Errno::NODATA | Errno::RANGE) => Some("yes"),
        Err(Errno::OPNOTSUPP) => Some("no"),
        Err(_) => None,
    }
}

fn case(at: &Path, kind: Option<&str>) -> &'static str {
    if matches!(kind, Some("vfat" | "msdos" | "exfat" | "ntfs" | "ntfs3" | "cifs" | "smb3")) {
        return "insensitive";
    }
    if kind.is_some_and(|kind| kind.starts_with("fuse")) {
        return "unknown";
    }
    let flags = paths::open(at).ok().and_then(|dir| ioctl_getflags(&dir).ok());
    match flags {
        Some(flags) if flags.bits() & CASEFOLD != 0 => "insensitive",
        _ => "sensitive",
    }
}

/// What a target's file system may not keep of a source, as far as it can be told before anything is written.
pub(super) fn keeps(source: &Place, target: &Place) -> Result<Vec<Finding>, StepError> {
    let mounts = mounts::own()?;
    let (ours, theirs) = (settings(source, &mounts), settings(target, &mounts));
    let is = |settings: &BTreeMap<String, String>, name: &str, value: &str| {
        settings.get(name).is_some_and(|found| found == value)
    };
    let at = target.root.display();
    let mut findings = Vec::new();
    let mut warn = |code: &str, summary: String, remedy: &str| {
        findings.push(Finding {
            severity: Severity::Warning,
            code: code.to_owned(),
            summary,
            remedy: remedy.to_owned(),
        });
    };
    if is(&ours, "case", "sensitive") && is(&theirs, "case", "insensitive") {
        warn(
            "DIR_CASE",
            format!("{at} takes names that differ only by case for one, and the source does not"),
            "Two such names stop the load, which names both; rename one, or use a target that tells them apart.",
        );
    }
    for (name, what) in [("xattr", "extended attributes"), ("acl", "access control lists")] {
        if is(&ours, name, "yes") && is(&theirs, name, "no") {
            warn(
                "DIR_ATTRIBUTES",
                format!("the file system of {at} keeps no {what}, and the source's does"),
                "A path that has some counts as not carried and stops the cutover; use a target that keeps them.",
            );
        }
    }
    let kind = theirs.get("file_system").map_or("unknown", String::as_str);
    if matches!(kind, "vfat" | "msdos" | "exfat") || kind.starts_with("fuseblk") {
        let may = if kind.starts_with("fuseblk") { "may keep" } else { "keeps" };
        warn(
            "DIR_OWNERS",
            format!("the file system of {at} ({kind}) {may} no owners, modes and links"),
            "The load stops at the first path whose owner or mode it does not keep; use a target that keeps them.",
        );
    }
    Ok(findings)
}

/// Whether two directories are one, or one lies inside the other: by name, by inode, or by what is
/// mounted where.
pub(super) fn pair(source: &Place, target: &Place) -> Result<Option<Finding>, StepError> {
    let (s, t) = (source.root.display(), target.root.display());
    if source.root == target.root || same(source, &target.root) {
        return Ok(Some(critical(
            "DIR_SAME",
            format!("source and target are the same directory: {s} and {t}"),
            "Name another directory as the target.".to_owned(),
        )));
    }
    let inside = |inner, outer| {
        critical(
            "DIR_INSIDE",
            format!("{inner} lies inside {outer}: the copy would contain itself"),
            "Name a target that is neither below nor above the source.".to_owned(),
        )
    };
    let below = |inner: &Place, outer: &Place| {
        let mut above = inner.root.ancestors().skip(1);
        inner.root.starts_with(&outer.root) || above.any(|at| same(outer, at))
    };
    if below(target, source) {
        return Ok(Some(inside(format!("target {t}"), format!("source {s}"))));
    }
    if below(source, target) {
        return Ok(Some(inside(format!("source {s}"), format!("target {t}"))));
    }
    let mounts = mounts::own()?;
    let here = |place: &Place| mounts::location(&mounts, &place.root);
    let (Some(at_source), Some(at_target)) = (here(source), here(target)) else {
        return Ok(None);
    };
    if at_source.overlaps(&at_target) {
        return Ok(Some(inside(
            format!("target {t}"),
            format!("source {s}, or the other way, by a bind mount"),
        )));
    }
    for (outer, inner, at_inner) in [(source, target, &at_target), (target, source, &at_source)] {
        let mounted = mounts::mounted_below(&mounts, &outer.root);
        if let Some((point, _)) = mounted.iter().find(|(_, at)| at.overlaps(at_inner)) {
            return Ok(Some(inside(
                format!("{}, mounted at {},", inner.root.display(), point.display()),
                outer.root.display().to_string(),
            )));
        }
    }
    Ok(None)
}

fn same(place: &Place, path: &Path) -> bool {
    let Some(found) = &place.found else {
        return false;
    };
    fs::metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (found.dev(), found.ino()))
}
