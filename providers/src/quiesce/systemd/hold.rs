//! Keeping units from starting: one drop-in a unit, with an assertion that never holds.

use std::io::ErrorKind;
use std::path::PathBuf;

use segue_contract::paths::{self, PathError};
use segue_contract::{StepError, StepIo};

use super::before::Before;
use super::units::{Systemd, Unit};
use crate::command::quoted;

/// The root directory is always there, so this never holds; the unit's own settings stay as they are.
const CONTENT: &str = "# Segue is moving this unit's data; it is started again when the cutover is settled.\n\
                       # By hand: remove this file, then `systemctl daemon-reload`.\n\
                       [Unit]\n\
                       AssertPathExists=!/\n";

/// The drop-in of one unit. Last by name, so that no other drop-in takes the assertion back.
fn drop_in(systemd: &Systemd<'_>, unit: &str) -> Result<PathBuf, StepError> {
    let directory = systemd.unit_directory()?;
    Ok(directory.join(format!("{unit}.d")).join(format!("zzz-segue-{}.conf", systemd.id())))
}

/// Whether a unit cannot start, as systemd has it loaded.
pub(super) fn is_kept(systemd: &Systemd<'_>, unit: &Unit) -> bool {
    let ours = drop_in(systemd, &unit.id).map(|p| p.display().to_string()).unwrap_or_default();
    unit.load == "masked" || (unit.drop_ins.contains(&ours) && !unit.stale)
}

/// Keeps every unit from starting; durable, and known to systemd, when this returns.
pub(super) fn keep_from_starting(systemd: &Systemd<'_>, before: &Before) -> Result<(), StepError> {
    let mut changed = false;
    for unit in &before.units {
        let path = drop_in(systemd, &unit.name)?;
        if paths::read(&path).is_ok_and(|found| found == CONTENT.as_bytes()) {
            continue;
        }
        if let Some(directory) = path.parent() {
            paths::create_dir_all(directory)?;
            // Its own name has to survive a power cut too.
            if let Some(parent) = directory.parent() {
                paths::sync_dir(parent)?;
            }
        }
        paths::replace(&path, CONTENT.as_bytes())?;
        readable(&path)?;
        changed = true;
    }
    if changed || !systemd.units()?.iter().all(|u| is_kept(systemd, u)) {
        systemd.reload()?;
    }
    match systemd.units()?.into_iter().find(|u| !is_kept(systemd, u)) {
        None => Ok(()),
        Some(unit) => Err(StepError::permanent(format!(
            "{}: {} cannot be kept from starting: systemd does not read {}",
            systemd.block.address,
            unit.id,
            drop_in(systemd, &unit.id)?.display()
        ))
        .remedy("`systemctl show -p UnitPath` lists where it reads from")),
    }
}

/// Everybody may read unit files: `systemctl cat` is run by all.
fn readable(path: &std::path::Path) -> Result<(), StepError> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, mode).map_err(|e| PathError::new("change the mode of", path, e).into())
}

/// Lets them start again.
pub(super) fn let_start(systemd: &Systemd<'_>, before: Option<&Before>) -> Result<(), StepError> {
    let names = before.map_or_else(|| systemd.names().to_vec(), Before::names);
    for name in &names {
        let path = drop_in(systemd, name)?;
        let Some(directory) = path.parent() else { continue };
        match std::fs::remove_file(&path) {
            Ok(()) => paths::sync_dir(directory)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(PathError::new("remove", path, error).into()),
        }
        // Its directory goes where it was made for this; not if somebody else put something there since.
        if before.is_some_and(|b| b.units.iter().any(|u| &u.name == name && !u.had_directory)) {
            let _ = std::fs::remove_dir(directory);
        }
    }
    // Also when a run that died removed the files and systemd was not told.
    if systemd.units()?.iter().any(|u| u.stale || u.drop_ins.iter().any(|d| names_ours(systemd, d))) {
        systemd.reload()?;
    }
    Ok(())
}

fn names_ours(systemd: &Systemd<'_>, drop_in: &str) -> bool {
    drop_in.ends_with(&format!("/zzz-segue-{}.conf", systemd.id()))
}

/// What a person, or the lease's timer, runs to give units back.
pub(super) fn by_hand(systemd: &Systemd<'_>, kept: &[String], wanted: &[String]) -> String {
    let files = kept.iter().filter_map(|name| drop_in(systemd, name).ok()).map(|p| p.display().to_string());
    let remove: Vec<String> = ["rm".to_owned(), "-f".to_owned()].into_iter().chain(files).collect();
    let mut lines = vec![quoted(&remove), quoted(&systemd.argv(&["daemon-reload"]))];
    if !wanted.is_empty() {
        let words: Vec<&str> = std::iter::once("start").chain(wanted.iter().map(String::as_str)).collect();
        lines.push(quoted(&systemd.argv(&words)));
    }
    lines.join(" && ")
}

/// Whether the record says that this quiesce is under way.
pub(super) fn is_closed(systemd: &Systemd<'_>, io: &dyn StepIo) -> Result<bool, StepError> {
    Ok(Before::read(systemd, io)?.is_some_and(|b| !b.settled))
}
