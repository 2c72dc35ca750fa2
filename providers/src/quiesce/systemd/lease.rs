//! The lease that systemd itself holds: a transient timer that gives the units back when Segue does not
//! renew it or take it away in time (protocol P7).
//!
//! The service that the timer starts stays known once it was started (`RemainAfterExit`), so that "not started"
//! after the timer is gone means that it never was, and never will be.

use segue_contract::{StepError, StepIo};

use super::before::Before;
use super::hold;
use super::units::Systemd;
use crate::command::quoted;

/// How exactly the timer runs out; systemd's own default is a minute.
const ACCURACY: &str = "--timer-property=AccuracySec=10ms";

fn prefix(systemd: &Systemd<'_>) -> String {
    format!("segue-lease-{}-", systemd.id())
}

/// The names, without suffix, of the lease units of a type that systemd knows, with their numbers.
fn known(systemd: &Systemd<'_>, suffix: &str) -> Result<Vec<(u64, String)>, StepError> {
    let prefix = prefix(systemd);
    let pattern = format!("{prefix}*.{suffix}");
    let argv =
        systemd.argv(&["list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full", &pattern]);
    let listed = systemd.must(&argv, "observe")?;
    let mut found: Vec<(u64, String)> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.strip_suffix(suffix)?.strip_suffix('.'))
        .filter_map(|name| Some((name.strip_prefix(&prefix)?.parse().ok()?, name.to_owned())))
        .collect();
    found.sort();
    Ok(found)
}

fn lapsed(systemd: &Systemd<'_>, why: &str) -> StepError {
    StepError::permanent(format!(
        "{}: systemd's own lease is not certainly pending: {why}",
        systemd.block.address
    ))
    .remedy("the units were, or may be, started again: abort, raise the cutover's timeout, and apply again")
}

/// Takes one timer away.
///
/// # Errors
/// It had run out, or cannot be asked.
fn take_away(systemd: &Systemd<'_>, name: &str) -> Result<(), StepError> {
    let timer = format!("{name}.timer");
    let service = format!("{name}.service");
    let before = systemd.unit(&timer)?;
    let stopped = systemd.act("stop", std::slice::from_ref(&timer));
    // From here on nothing starts the service any more: what it is now it stays.
    let fired = systemd.unit(&service)?;
    if fired.active != "inactive" || fired.has_job {
        return Err(lapsed(
            systemd,
            &format!("{timer} ran out, {service} is {} ({})", fired.active, fired.sub),
        ));
    }
    stopped.map_err(|e| lapsed(systemd, &e.to_string()))?;
    if before.active != "active" || before.sub != "waiting" {
        return Err(lapsed(systemd, &format!("{timer} was {} ({})", before.active, before.sub)));
    }
    let after = systemd.unit(&timer)?;
    if after.is_down() {
        return Ok(());
    }
    Err(lapsed(systemd, &format!("{timer} is still {} ({})", after.active, after.sub)))
}

/// A service of a lease that was started.
fn fired(systemd: &Systemd<'_>) -> Result<Option<String>, StepError> {
    for (_, name) in known(systemd, "service")? {
        let service = systemd.unit(&format!("{name}.service"))?;
        if service.active != "inactive" || service.has_job {
            return Ok(Some(service.id));
        }
    }
    Ok(None)
}

/// Arms the timer, or a new one before the old one is taken away.
pub(super) fn arm(systemd: &Systemd<'_>, lease_ms: u64, io: &dyn StepIo) -> Result<String, StepError> {
    if !hold::is_closed(systemd, io)? {
        // Left over from an attempt that was settled.
        forget(systemd)?;
    }
    let mut before = Before::taken(systemd, io)?;
    if before.hardened {
        before.hardened = false;
        before.write(systemd, io)?;
    }
    if let Some(service) = fired(systemd)? {
        return Err(lapsed(systemd, &format!("{service} has started")));
    }
    let old = known(systemd, "timer")?;
    let number = old.last().map_or(0, |(n, _)| *n) + 1;
    let name = format!("{}{number}", prefix(systemd));
    let scope = systemd.argv(&[]).into_iter().skip(1);
    let script = hold::by_hand(systemd, &before.names(), &before.ran());
    let words = [
        "--quiet".to_owned(),
        format!("--unit={name}"),
        format!("--description=Segue's lease on {}", systemd.block.address),
        format!("--on-active={lease_ms}ms"),
        ACCURACY.to_owned(),
        "--property=Type=oneshot".to_owned(),
        "--property=RemainAfterExit=yes".to_owned(),
        "--property=Restart=on-failure".to_owned(),
        "--property=RestartSec=1s".to_owned(),
        "--".to_owned(),
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        // systemd replaces variables in command lines.
        script.replace('$', "$$"),
    ];
    let argv: Vec<String> = std::iter::once("systemd-run".to_owned()).chain(scope).chain(words).collect();
    systemd.must(&argv, "lease")?;
    for (_, old) in old {
        take_away(systemd, &old)?;
    }
    let units = before.ran().join(", ");
    Ok(format!("systemd on this host ({name}.timer) starts {units} again after {lease_ms} ms"))
}

/// Takes every timer away; afterwards nothing but Segue gives the units back.
pub(super) fn harden(systemd: &Systemd<'_>, io: &dyn StepIo) -> Result<(), StepError> {
    let Some(mut before) = Before::read(systemd, io)?.filter(|b| !b.settled) else {
        return Err(lapsed(systemd, "the units were not closed"));
    };
    let timers = known(systemd, "timer")?;
    if timers.is_empty() && before.hardened {
        // The same block closes several migrations of a group.
        return Ok(());
    }
    if timers.is_empty() {
        return Err(lapsed(systemd, "there is no timer: it ran out, or the host restarted"));
    }
    for (_, name) in timers {
        take_away(systemd, &name)?;
    }
    if let Some(service) = fired(systemd)? {
        return Err(lapsed(systemd, &format!("{service} has started")));
    }
    before.hardened = true;
    before.write(systemd, io)
}

/// What a person types so that no timer acts later.
pub(super) fn by_hand(systemd: &Systemd<'_>) -> String {
    quoted(&systemd.argv(&["stop", &format!("{}*.timer", prefix(systemd))]))
}

/// Removes every trace of a lease, pending or run out: the units are given back.
pub(super) fn forget(systemd: &Systemd<'_>) -> Result<(), StepError> {
    let mut names = Vec::new();
    for suffix in ["timer", "service"] {
        names.extend(known(systemd, suffix)?.into_iter().map(|(_, name)| format!("{name}.{suffix}")));
    }
    if names.is_empty() {
        return Ok(());
    }
    systemd.act("stop", &names)?;
    for name in &names {
        // Fails where the unit is gone already, which is what is wanted.
        let _ = systemd.run(&systemd.argv(&["reset-failed", "--", name]), "lease")?;
    }
    Ok(())
}
