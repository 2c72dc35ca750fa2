//! `quiesce "systemd"`: the writers are units of this host's systemd. They are kept from starting, stopped,
//! and given back as they were.
//!
//! Keeping from starting is a drop-in with an assertion that never holds. A mask would not do: `mask --runtime`
//! is gone after a reboot, when the protocol wants the units down (P2), a lasting mask is refused for units whose
//! file lies in /etc, and a masked unit forgets its own stop command. A drop-in works for every unit, lasts, changes
//! nothing else, and is undone by removing one file.

mod before;
mod drain;
mod hold;
mod lease;
mod units;

use segue_contract::{
    AttributeSchema, AttributeType, BarrierState, BlockKind, BlockSchema, ErrorClass, Finding, Quiesce,
    QuiesceCall, QuiesceKind, Reopeners, Severity, StepError, StepIo,
};
use serde_json::json;

use self::before::Before;
use self::units::{Systemd, Unit};
use crate::command::{end_orphans, quoted};

/// How long stopping may take when the spec says nothing, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 30_000;

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "systemd".to_owned(),
        doc: "Stops the writers' units on this host and keeps them from starting, over a reboot too, until the cutover is \
              settled; then starts those that ran. A timer of systemd itself starts them again if Segue dies before the \
              commit. Proof of quiet: every unit inactive, no process left in its control group."
            .to_owned(),
        attributes: vec![
            AttributeSchema::required(
                "units",
                AttributeType::Words,
                "The units, \"app.service\", with the sockets and timers that start them.",
            ),
            AttributeSchema::optional(
                "scope",
                AttributeType::String,
                "Whose units: the system's, or those of the user who runs Segue. Default system.",
            )
            .allowed(&["system", "user"])
            .default(json!("system")),
            AttributeSchema::optional(
                "timeout",
                AttributeType::Duration,
                "How long stopping, or starting, may take; more than the units' own TimeoutStopSec, after which systemd \
                 kills. Default 30s.",
            )
            .default(json!(TIMEOUT_DEFAULT_MS)),
        ],
    }
}

pub(super) struct SystemdQuiesce;

fn finding(severity: Severity, summary: String, remedy: &str) -> Finding {
    Finding { severity, code: "QUIESCE_SYSTEMD".to_owned(), summary, remedy: remedy.to_owned() }
}

impl Quiesce for SystemdQuiesce {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn check(&self, call: &QuiesceCall) -> Vec<Finding> {
        let never = || false;
        let found = Systemd::new(&call.block, &never).and_then(|systemd| {
            let units = systemd.units()?;
            Ok((check_units(&systemd, &units)?, systemd.may_hold()))
        });
        match found {
            Ok((mut findings, may_hold)) => {
                findings.extend(may_hold.err().map(|e| {
                    let remedy = e.remedy.clone().unwrap_or_default();
                    finding(Severity::Critical, e.to_string(), &remedy)
                }));
                findings
            }
            Err(error) => {
                let remedy =
                    error.remedy.clone().unwrap_or_else(|| "run the same command by hand and see".to_owned());
                vec![finding(Severity::Critical, error.to_string(), &remedy)]
            }
        }
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        end_orphans(call.endpoint.address.as_str())?;
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        let before = Before::taken(&systemd, io)?;
        hold::keep_from_starting(&systemd, &before)?;
        systemd.act("stop", &before.names()).map_err(|error| match error.class {
            ErrorClass::Unknown => drain::too_slow(&systemd, error),
            ErrorClass::Transient | ErrorClass::Permanent | ErrorClass::Cancelled => error,
        })?;
        drain::wait(&systemd, &before)
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        end_orphans(call.endpoint.address.as_str())?;
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        let before = Before::read(&systemd, io)?;
        hold::let_start(&systemd, before.as_ref())?;
        let wanted = match &before {
            Some(before) => before.ran(),
            // Nothing of this block was ever closed here: these are the new side's own writers.
            None => systemd.names().to_vec(),
        };
        systemd.start(&wanted)?;
        lease::forget(&systemd)?;
        match before {
            Some(before) => before.settled().write(&systemd, io),
            None => Ok(()),
        }
    }

    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        let before = Before::read(&systemd, io)?;
        match state(&systemd, before.as_ref()) {
            Ok(state) => Ok(state),
            Err(error) if error.class == ErrorClass::Cancelled => Err(error),
            Err(error) => Ok(BarrierState::Unknown(error.to_string())),
        }
    }

    /// What systemd could not read, or has been masked, it would not start. That nothing but Segue's own drop-in keeps a
    /// unit down is looked at, and not that its program will run.
    fn openable(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        let units = systemd.units()?;
        match units.iter().find(|u| u.load != "loaded") {
            Some(unit) => Err(StepError::permanent(format!(
                "{}: systemd could not start {}: it is {}",
                call.block.address, unit.id, unit.load
            ))
            .remedy(format!("`{}` says why", quoted(&systemd.argv(&["status", &unit.id]))))),
            None => Ok(Some(format!("systemd has loaded {}", systemd.names().join(", ")))),
        }
    }

    /// A timer of systemd's own, which a restart of this machine takes away; what keeps the units down outlives it.
    fn reopeners(&self, call: &QuiesceCall) -> Reopeners {
        let units = call.block.words("units").ok().flatten().unwrap_or_default().join(", ");
        Reopeners {
            process: Some(format!(
                "systemd on this host starts {units} by a timer of its own when the lease is over"
            )),
            machine: None,
        }
    }

    fn lease(&self, call: &QuiesceCall, lease_ms: u64, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        end_orphans(call.endpoint.address.as_str())?;
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        lease::arm(&systemd, lease_ms, io).map(Some)
    }

    fn harden(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let cancelled = || io.cancelled();
        let systemd = Systemd::new(&call.block, &cancelled)?;
        lease::harden(&systemd, io)?;
        match state(&systemd, Before::read(&systemd, io)?.as_ref())? {
            BarrierState::Closed(_) => Ok(()),
            BarrierState::Open => Err(StepError::permanent(format!(
                "{}: the units run again although their timer had not run out",
                call.block.address
            ))
            .remedy("see the units' journal for who started them, then apply again")),
            BarrierState::Unknown(why) => {
                Err(StepError::permanent(format!("{}: cannot be made lasting: {why}", call.block.address)))
            }
        }
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        let never = || false;
        match Systemd::new(&call.block, &never) {
            Err(error) => format!("# {error}"),
            Ok(systemd) => {
                // Those that run now are those to be started; none runs any more once the side is closed.
                let units = systemd.units().unwrap_or_default();
                let named = |wanted: &dyn Fn(&Unit) -> bool| -> Vec<String> {
                    units.iter().filter(|u| wanted(u)).map(|u| u.id.clone()).collect()
                };
                let (all, running) = (named(&|_| true), named(&Unit::runs));
                let all = if all.is_empty() { systemd.names().to_vec() } else { all };
                let wanted = if running.is_empty() { &all } else { &running };
                format!("{} && {}", hold::by_hand(&systemd, &all, wanted), lease::by_hand(&systemd))
            }
        }
    }
}

/// What is wrong with the units of a block.
fn check_units(systemd: &Systemd<'_>, units: &[Unit]) -> Result<Vec<Finding>, StepError> {
    let mut findings = Vec::new();
    let ids: Vec<&str> = units.iter().map(|u| u.id.as_str()).collect();
    for unit in units {
        if unit.load == "not-found" {
            findings.push(finding(
                Severity::Critical,
                format!("there is no unit {}", unit.id),
                "correct its name: `systemctl list-units` shows what is there",
            ));
        } else if unit.load == "masked" && unit.runs() {
            findings.push(finding(
                Severity::Critical,
                format!("{} runs but is masked: once stopped it could not be started again", unit.id),
                &format!("`{}` first", quoted(&systemd.argv(&["unmask", &unit.id]))),
            ));
        }
        for starter in unit.triggered_by.iter().filter(|t| !ids.contains(&t.as_str())) {
            findings.push(finding(
                Severity::Warning,
                format!("{starter} starts {}, and is not among the units", unit.id),
                "name it too: while the cutover runs its starts are refused, and it may then fail and stay so",
            ));
        }
    }
    if findings.is_empty() && !units.iter().any(Unit::runs) {
        findings.push(finding(
            Severity::Info,
            format!("none of {} runs now", ids.join(", ")),
            "those that ran before the quiesce are started after it: here none is",
        ));
    }
    Ok(findings)
}

/// Whether the units run, and whether they could.
fn state(systemd: &Systemd<'_>, before: Option<&Before>) -> Result<BarrierState, StepError> {
    let units = systemd.units()?;
    // A unit on its way down may still write.
    if units.iter().any(|u| !u.is_down()) {
        return Ok(BarrierState::Open);
    }
    if let Some(left) = drain::left_behind(&units, before)? {
        return Ok(BarrierState::Unknown(left));
    }
    if let Some(free) = units.iter().find(|u| !hold::is_kept(systemd, u)) {
        return Ok(BarrierState::Unknown(format!(
            "{} is {} and nothing keeps it from starting",
            free.id, free.active
        )));
    }
    let names: Vec<String> = units.iter().map(|u| format!("{} {}", u.id, u.active)).collect();
    Ok(BarrierState::Closed(format!(
        "{}, kept from starting, no process left in their control groups",
        names.join(", ")
    )))
}
