//! What was there before the quiesce, kept in a file from before the first change on, so that whoever comes
//! after a death gives it back (protocol P2).

use std::collections::BTreeSet;
use std::path::PathBuf;

use segue_contract::{Address, StepError, StepIo, paths};
use serde::{Deserialize, Serialize};

use super::units::{Systemd, Unit};

/// The layout of the file.
const VERSION: u32 = 1;
/// How many units may hang on the block's: more is not a writer with its helpers.
const DEPENDENTS_MAX: usize = 200;

/// One unit before the quiesce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnitBefore {
    /// Its name.
    pub(super) name: String,
    /// Whether it ran, and so is started again.
    pub(super) ran: bool,
    /// `enabled`, `masked`, ...: for people; Segue does not change it.
    pub(super) file_state: String,
    /// Its control group, where processes could be left behind.
    pub(super) control_group: String,
    /// Whether it had a drop-in directory, which is left then.
    pub(super) had_directory: bool,
}

/// What was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    version: u32,
    block: Address,
    /// The block's units.
    pub(super) units: Vec<UnitBefore>,
    /// Units that ran and stop with those, because they require them.
    pub(super) dependents: Vec<String>,
    /// Whether everything was given back. The file stays: giving back again does the same.
    pub(super) settled: bool,
    /// Whether the lease was certainly taken away while it was pending.
    pub(super) hardened: bool,
}

fn path(systemd: &Systemd<'_>, io: &dyn StepIo) -> PathBuf {
    io.artifacts().join(format!("systemd-{}.json", systemd.id()))
}

impl Before {
    /// What is on record; `None`: this block never closed anything here.
    pub(super) fn read(systemd: &Systemd<'_>, io: &dyn StepIo) -> Result<Option<Self>, StepError> {
        let path = path(systemd, io);
        let bytes = match paths::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |what: String| {
            StepError::permanent(format!("{} {what}", path.display())).remedy(format!(
                "start the units by hand ({}), then move the file away",
                super::hold::by_hand(systemd, systemd.names(), systemd.names())
            ))
        };
        let found: Self =
            serde_json::from_slice(&bytes).map_err(|e| damaged(format!("cannot be read: {e}")))?;
        if found.version != VERSION {
            return Err(damaged(format!("has the layout {}, not {VERSION}", found.version)));
        }
        Ok(Some(found))
    }

    /// What was there before the quiesce under way: on record if it began already, else as it is now, and durable
    /// when this returns.
    pub(super) fn taken(systemd: &Systemd<'_>, io: &dyn StepIo) -> Result<Self, StepError> {
        if let Some(before) = Self::read(systemd, io)?
            && !before.settled
        {
            return Ok(before);
        }
        let before = Self::now(systemd)?;
        before.write(systemd, io)?;
        Ok(before)
    }

    fn now(systemd: &Systemd<'_>) -> Result<Self, StepError> {
        let found = systemd.units()?;
        if let Some(missing) = found.iter().find(|u| u.load == "not-found") {
            return Err(StepError::permanent(format!("there is no unit {}", missing.id))
                .remedy("correct the name in the block: `systemctl list-units` shows what is there"));
        }
        let directory = systemd.unit_directory()?;
        let before = |unit: &Unit| UnitBefore {
            name: unit.id.clone(),
            ran: unit.runs(),
            file_state: unit.file_state.clone(),
            control_group: unit.control_group.clone(),
            had_directory: directory.join(format!("{}.d", unit.id)).is_dir(),
        };
        Ok(Self {
            version: VERSION,
            block: systemd.block.address.clone(),
            dependents: dependents(systemd, &found)?,
            units: found.iter().map(before).collect(),
            settled: false,
            hardened: false,
        })
    }

    /// Makes it durable.
    pub(super) fn write(&self, systemd: &Systemd<'_>, io: &dyn StepIo) -> Result<(), StepError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::permanent("what was there before cannot be written down").because(e))?;
        paths::create_dir_all(io.artifacts())?;
        Ok(paths::replace(&path(systemd, io), &text)?)
    }

    /// The same, given back.
    #[must_use]
    pub(super) fn settled(mut self) -> Self {
        self.settled = true;
        self.hardened = false;
        self
    }

    /// The block's units.
    pub(super) fn names(&self) -> Vec<String> {
        self.units.iter().map(|u| u.name.clone()).collect()
    }

    /// Every unit that ran.
    pub(super) fn ran(&self) -> Vec<String> {
        let own = self.units.iter().filter(|u| u.ran).map(|u| u.name.clone());
        own.chain(self.dependents.iter().cloned()).collect()
    }
}

/// The running units that stop with these because they require them.
fn dependents(systemd: &Systemd<'_>, units: &[Unit]) -> Result<Vec<String>, StepError> {
    let own: BTreeSet<&String> = units.iter().map(|u| &u.id).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut next: Vec<String> =
        units.iter().filter(|u| u.runs()).flat_map(|u| u.dependents.clone()).collect();
    while let Some(name) = next.pop() {
        if own.contains(&name) || !seen.insert(name.clone()) {
            continue;
        }
        if seen.len() > DEPENDENTS_MAX {
            return Err(StepError::permanent(format!(
                "{}: more than {DEPENDENTS_MAX} units would stop with these",
                systemd.block.address
            ))
            .remedy("`systemctl list-dependencies --reverse` shows them: name the writers alone"));
        }
        let unit = systemd.unit(&name)?;
        if unit.runs() {
            next.extend(unit.dependents);
            found.push(unit.id);
        }
    }
    found.sort();
    Ok(found)
}
