//! Asking systemd, and telling it: `systemctl` with its time limit, and what it says of a unit.

use std::path::{Path, PathBuf};

use segue_contract::{BlockRef, ErrorClass, StepError};
use xxhash_rust::xxh3::xxh3_64;

use crate::command::{Call, Ended, quoted, run_unless};

/// The properties that matter here (systemd.unit(5), org.freedesktop.systemd1(5)).
const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,ControlGroup,DropInPaths,\
                          NeedDaemonReload,RequiredBy,BoundBy,ConsistsOf,TriggeredBy,Job";

/// A unit as systemd sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name, `app.service`.
    pub(super) id: String,
    /// `loaded`, `not-found`, `masked`.
    pub(super) load: String,
    /// `active`, `activating`, `deactivating`, `inactive`, `failed`.
    pub(super) active: String,
    /// `running`, `exited`, `stop-sigterm`.
    pub(super) sub: String,
    /// `enabled`, `disabled`, `static`, `masked`.
    pub(super) file_state: String,
    /// Below the control group hierarchy's root, `/system.slice/app.service`; empty: none.
    pub(super) control_group: String,
    /// Files that change it.
    pub(super) drop_ins: Vec<String>,
    /// Whether its files changed since they were read.
    pub(super) stale: bool,
    /// Units that stop with it.
    pub(super) dependents: Vec<String>,
    /// Sockets, paths and timers that start it.
    pub(super) triggered_by: Vec<String>,
    /// Whether systemd has something left to do with it.
    pub(super) has_job: bool,
}

impl Unit {
    fn parse(text: &str) -> Self {
        let mut unit = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            let words = || value.split_whitespace().map(str::to_owned);
            match name {
                "Id" => value.clone_into(&mut unit.id),
                "LoadState" => value.clone_into(&mut unit.load),
                "ActiveState" => value.clone_into(&mut unit.active),
                "SubState" => value.clone_into(&mut unit.sub),
                "UnitFileState" => value.clone_into(&mut unit.file_state),
                "ControlGroup" => value.clone_into(&mut unit.control_group),
                "DropInPaths" => unit.drop_ins = words().collect(),
                "NeedDaemonReload" => unit.stale = value == "yes",
                "RequiredBy" | "BoundBy" | "ConsistsOf" => unit.dependents.extend(words()),
                "TriggeredBy" => unit.triggered_by = words().collect(),
                "Job" => unit.has_job = !matches!(value, "" | "0"),
                _ => {}
            }
        }
        unit
    }

    /// Whether it runs, or is about to.
    pub(super) fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "activating" | "refreshing" | "maintenance")
    }

    /// Whether it does not run, and nothing is under way.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed") && !self.has_job
    }
}

/// The systemd of a block: the system's or the user's.
pub(super) struct Systemd<'a> {
    pub(super) block: &'a BlockRef,
    names: Vec<String>,
    user: bool,
    cancelled: &'a dyn Fn() -> bool,
}

impl<'a> Systemd<'a> {
    /// # Errors
    /// The block names no units.
    pub(super) fn new(block: &'a BlockRef, cancelled: &'a dyn Fn() -> bool) -> Result<Self, StepError> {
        let names = block.words("units")?.unwrap_or_default();
        let wrong = |what: String| {
            Err(StepError::permanent(format!("{}: {what}", block.address))
                .remedy("write units as `systemctl list-units` shows them, \"app.service\""))
        };
        if names.is_empty() {
            return wrong("names no unit".to_owned());
        }
        // What looks like an option or a pattern would be one to systemctl.
        let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.@\\".contains(c);
        if let Some(odd) =
            names.iter().find(|n| n.starts_with('-') || !n.contains('.') || !n.chars().all(plain))
        {
            return wrong(format!("{odd:?} is no unit's whole name"));
        }
        let user = block.text("scope").is_ok_and(|s| s == "user");
        Ok(Self { block, names, user, cancelled })
    }

    /// The units' names as the block says them.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Tells this block's files and units from all others: its spec, its address, its units.
    pub(super) fn id(&self) -> String {
        let all = format!(
            "{}\n{}\n{}\n{}",
            self.block.base_dir.display(),
            self.block.address,
            self.user,
            self.names.join("\n")
        );
        format!("{:016x}", xxh3_64(all.as_bytes()))
    }

    /// Whether the run was asked to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// Where an administrator's unit files lie.
    pub(super) fn unit_directory(&self) -> Result<PathBuf, StepError> {
        if !self.user {
            return Ok(PathBuf::from("/etc/systemd/system"));
        }
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let config = config.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
        config.map(|c| c.join("systemd/user")).ok_or_else(|| {
            StepError::permanent(format!("{}: neither XDG_CONFIG_HOME nor HOME is set", self.block.address))
                .remedy("set HOME, or use scope = \"system\"")
        })
    }

    /// Whether drop-ins can be written, before anything runs.
    pub(super) fn may_hold(&self) -> Result<(), StepError> {
        let directory = self.unit_directory()?;
        let there = directory.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/"));
        rustix::fs::access(there, rustix::fs::Access::WRITE_OK).map_err(|e| {
            StepError::permanent(format!("{} cannot be written", there.display()))
                .because(std::io::Error::from(e))
                .remedy("run segue as root, or use scope = \"user\" for a user's own units")
        })
    }

    /// `systemctl`, for this scope, with these words.
    pub(super) fn argv(&self, words: &[&str]) -> Vec<String> {
        let scope = self.user.then_some("--user");
        std::iter::once("systemctl").chain(scope).chain(words.iter().copied()).map(str::to_owned).collect()
    }

    /// Runs a program of systemd's.
    pub(super) fn run(&self, argv: &[String], action: &str) -> Result<Ended, StepError> {
        run_unless(&Call { block: self.block, argv, action, environment: Vec::new() }, self.cancelled)
    }

    /// Runs a program that has to succeed, and gives what it printed.
    pub(super) fn must(&self, argv: &[String], action: &str) -> Result<String, StepError> {
        let ended = self.run(argv, action)?;
        if ended.status.success() {
            return Ok(ended.whole());
        }
        Err(StepError::permanent(format!(
            "{}: `{}` ended with {}: {}",
            self.block.address,
            quoted(argv),
            ended.how(),
            ended.printed
        ))
        .remedy("run it by hand and see; `systemctl status` and `journalctl -u` of the unit say more"))
    }

    /// Looks at one unit; one that is not there is said so by its load state.
    pub(super) fn unit(&self, name: &str) -> Result<Unit, StepError> {
        let argv = self.argv(&["show", "--no-pager", "--property", PROPERTIES, "--", name]);
        let unit = Unit::parse(&self.must(&argv, "observe")?);
        if unit.active.is_empty() {
            return Err(StepError::transient(format!(
                "{}: systemd says nothing of {name}",
                self.block.address
            )));
        }
        Ok(unit)
    }

    /// Looks at every unit of the block.
    pub(super) fn units(&self) -> Result<Vec<Unit>, StepError> {
        self.names.iter().map(|name| self.unit(name)).collect()
    }

    /// Lets systemd read its files again.
    pub(super) fn reload(&self) -> Result<(), StepError> {
        self.must(&self.argv(&["daemon-reload"]), "reload").map(drop)
    }

    /// `stop` or `start`, all units at once: systemd knows their order.
    pub(super) fn act(&self, verb: &str, units: &[String]) -> Result<(), StepError> {
        if units.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = [verb, "--"].into_iter().chain(units.iter().map(String::as_str)).collect();
        self.must(&self.argv(&words), verb).map(drop)
    }

    /// Starts units. One that fails may start in a moment: whoever re-opens a side tries again.
    pub(super) fn start(&self, units: &[String]) -> Result<(), StepError> {
        let again = |mut error: StepError| {
            if error.class != ErrorClass::Cancelled {
                error.class = ErrorClass::Transient;
            }
            error
        };
        let started = self.act("start", units);
        if started.is_err() && !units.is_empty() {
            // After too many tries in a row systemd refuses: the next try begins a new count.
            let words: Vec<&str> =
                ["reset-failed", "--"].into_iter().chain(units.iter().map(String::as_str)).collect();
            let _ = self.run(&self.argv(&words), "start");
        }
        started.map_err(again)?;
        for name in units {
            let unit = self.unit(name).map_err(again)?;
            if unit.active == "failed" {
                return Err(StepError::transient(format!(
                    "{}: {name} failed right after its start ({})",
                    self.block.address, unit.sub
                ))
                .remedy(format!("`journalctl -u {name}` says why")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::block;

    #[test]
    fn a_unit_is_read_from_what_systemctl_shows() {
        let unit = Unit::parse(
            "Id=app.service\nLoadState=loaded\nActiveState=deactivating\nSubState=stop-sigterm\nJob=7\n\
             DropInPaths=/a/b.conf /c.conf\nRequiredBy=x.service\nConsistsOf=y.service\nNeedDaemonReload=yes\n",
        );
        assert_eq!(
            (unit.id.as_str(), unit.runs(), unit.is_down(), unit.stale),
            ("app.service", false, false, true)
        );
        assert_eq!(unit.drop_ins, ["/a/b.conf", "/c.conf"]);
        assert_eq!(unit.dependents, ["x.service", "y.service"]);
        assert!(Unit::parse("ActiveState=failed\nJob=\n").is_down());
        assert!(!Unit::parse("ActiveState=inactive\nJob=12\n").is_down(), "a start is on its way");
    }

    #[test]
    fn names_that_systemctl_would_take_for_something_else_are_refused() {
        let never = || false;
        for odd in ["--now", "*.service", "app", "a b.service", "a.service;x"] {
            let block = block("q", "systemd", &[("units", json!([odd]))]);
            assert!(Systemd::new(&block, &never).is_err(), "{odd}");
        }
        let block = block("q", "systemd", &[("units", json!(["app@1-x\\x2d.service"]))]);
        assert!(Systemd::new(&block, &never).is_ok());
    }

    #[test]
    fn two_blocks_never_share_files() {
        let never = || false;
        let id = |address: &str, unit: &str| {
            Systemd::new(&block(address, "systemd", &[("units", json!([unit]))]), &never).expect("valid").id()
        };
        assert_eq!(id("a", "x.service"), id("a", "x.service"));
        assert_ne!(id("a", "x.service"), id("b", "x.service"));
        assert_ne!(id("a", "x.service"), id("a", "y.service"));
    }
}
