//! The drain barrier of units: inactive, nothing under way, and no process left in the control group
//! (protocol P3). A stop command may leave processes behind, and `KillMode=process` does so on purpose.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use segue_contract::{StepError, paths};

use super::TIMEOUT_DEFAULT_MS;
use super::before::Before;
use super::units::{Systemd, Unit};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where hierarchies of control groups are mounted: unified, beside the old ones, the old one of systemd.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
/// How many processes a message names.
const SHOWN: usize = 5;

/// Waits until nothing of the units is left.
pub(super) fn wait(systemd: &Systemd<'_>, before: &Before) -> Result<(), StepError> {
    let limit = Duration::from_millis(systemd.block.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT_MS));
    let end = Instant::now() + limit;
    loop {
        let units = systemd.units()?;
        let up = units.iter().find(|u| !u.is_down());
        let left = match up {
            Some(unit) => Some(format!("{} is {} ({})", unit.id, unit.active, unit.sub)),
            None => left_behind(&units, Some(before))?,
        };
        let Some(left) = left else { return Ok(()) };
        if systemd.is_cancelled() {
            return Err(StepError::cancelled());
        }
        if Instant::now() >= end {
            return Err(StepError::permanent(format!("{}: {left}", systemd.block.address)).remedy(
                "end what is left by hand and set KillMode=control-group, or raise timeout, then apply again",
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The error of a stop that did not end in time: who is still there.
pub(super) fn too_slow(systemd: &Systemd<'_>, error: StepError) -> StepError {
    let Ok(units) = systemd.units() else { return error };
    let slow: Vec<String> = units
        .iter()
        .filter(|u| !u.is_down())
        .map(|u| {
            let left = processes(&u.control_group).unwrap_or_default();
            format!("{} is {} ({}), {}", u.id, u.active, u.sub, named(&left))
        })
        .collect();
    if slow.is_empty() {
        return error;
    }
    StepError::unknown(format!(
        "{}: stopping takes longer than timeout: {}",
        systemd.block.address,
        slow.join("; ")
    ))
    .remedy("see why it does not end (systemctl status), or raise timeout above the unit's TimeoutStopSec")
}

/// What is left in the control groups of units that are down; `None`: nothing.
pub(super) fn left_behind(units: &[Unit], before: Option<&Before>) -> Result<Option<String>, StepError> {
    for unit in units {
        // systemd forgets the group of a unit that is down, whether or not it is empty.
        let recorded =
            before.and_then(|b| b.units.iter().find(|u| u.name == unit.id)).map(|u| u.control_group.as_str());
        for group in [Some(unit.control_group.as_str()), recorded].into_iter().flatten() {
            let left = processes(group)?;
            if !left.is_empty() {
                return Ok(Some(format!("{} is {}, but left behind {}", unit.id, unit.active, named(&left))));
            }
        }
    }
    Ok(None)
}

fn named(processes: &[u32]) -> String {
    let name = |pid: &u32| {
        let command = paths::read_to_string(Path::new(&format!("/proc/{pid}/comm"))).unwrap_or_default();
        format!("{pid} ({})", command.trim())
    };
    let shown: Vec<String> = processes.iter().take(SHOWN).map(name).collect();
    match processes.len().saturating_sub(SHOWN) {
        _ if processes.is_empty() => "no process".to_owned(),
        0 => format!("process {}", shown.join(", ")),
        more => format!("process {} and {more} more", shown.join(", ")),
    }
}

/// The processes in a control group and those below it.
fn processes(group: &str) -> Result<Vec<u32>, StepError> {
    let mut found = Vec::new();
    if group.is_empty() || group == "/" {
        return Ok(found);
    }
    if !HIERARCHIES.iter().any(|root| Path::new(root).join("cgroup.procs").is_file()) {
        return Err(StepError::permanent(
            "no control groups are mounted below /sys/fs/cgroup: what a unit left behind cannot be seen",
        )
        .remedy("run segue on the host itself, or in a container that shows them"));
    }
    let mut next: Vec<PathBuf> =
        HIERARCHIES.iter().map(|root| Path::new(root).join(group.trim_start_matches('/'))).collect();
    while let Some(directory) = next.pop() {
        let Ok(text) = paths::read_to_string(&directory.join("cgroup.procs")) else {
            continue;
        };
        found.extend(text.lines().filter_map(|line| line.trim().parse::<u32>().ok()));
        let Ok(listed) = std::fs::read_dir(&directory) else { continue };
        next.extend(listed.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
