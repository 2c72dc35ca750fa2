//! The world's file: read whole, changed under a lock, replaced at once.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{BlockRef, Marker, StepError};
use serde::{Deserialize, Serialize};

use super::fault::{Deed, Fault, deed_at};
use super::writers::Acknowledged;

/// Slices of a store, as a system of documents.
const SLICES: usize = 2;

/// The slice of a record.
pub(super) fn slice_of(key: &str) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % SLICES
}

/// Everything there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Of the writers' sequence.
    pub seed: u64,
    /// The writers stop after so many acknowledged writes.
    pub writes_max: u64,
    /// Whether the writers run.
    pub running: bool,
    /// The route that the writers follow.
    pub follows: String,
    /// By route the store that it points to.
    pub routes: BTreeMap<String, Option<String>>,
    /// By route how many percent of the reads go to its target.
    #[serde(default)]
    pub weights: BTreeMap<String, u8>,
    /// The stores.
    pub stores: BTreeMap<String, Store>,
    /// What the writers were told is written, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes that found no open store.
    pub refused: u64,
    /// What Segue and stale clients did, in order.
    pub effects: Vec<Effect>,
    /// What probes answer, by name.
    #[serde(default)]
    pub answers: BTreeMap<String, Answers>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// How often each call was made.
    pub calls: BTreeMap<String, u64>,
}

/// The answers of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// One a look; the last is given for ever.
    pub script: Vec<bool>,
    /// How many were given.
    pub given: usize,
}

/// A store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Whether it is there.
    pub exists: bool,
    /// Whether it takes clients' writes.
    pub open: bool,
    /// Records, those that were deleted too.
    pub records: BTreeMap<String, Record>,
    /// Whose it is.
    pub marker: Option<Marker>,
    /// Segue cannot reach it; clients still can.
    #[serde(default)]
    pub unreachable: bool,
    /// Clients cannot reach it, whatever else it is.
    #[serde(default)]
    pub fenced: bool,
    /// Changes so far, by slice.
    #[serde(default)]
    pub changes: [u64; SLICES],
}

/// A record, or the trace of one that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `None`: deleted.
    pub value: Option<String>,
    /// Unique to the write that made it; a copy keeps it.
    pub version: u64,
    /// Who wrote it here.
    pub by: Author,
    /// As a document: the number of its last change in its slice.
    #[serde(default)]
    pub number: u64,
    /// As a document: its version here, which rises by one with each write of a client.
    #[serde(default)]
    pub document: u64,
}

/// Who wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// A client.
    Client,
    /// Segue carried it.
    Segue,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The call: `quiesce.close`.
    pub call: String,
    /// The store it was done to.
    pub store: Option<String>,
    /// The attempt's epoch, where the call knows it.
    pub epoch: Option<u64>,
    /// More: `raised`, a key.
    pub detail: String,
}

impl Store {
    /// Writes a record, or the trace of one that was deleted. `document`: its version as a document; `None`: one more than
    /// before. Returns the number of the change.
    pub fn put(
        &mut self,
        key: &str,
        value: Option<String>,
        version: u64,
        by: Author,
        document: Option<u64>,
    ) -> u64 {
        let before = self.records.get(key).map_or(0, |record| record.document);
        let changes = self.changes.get_mut(slice_of(key));
        let number = changes.map_or(0, |changes| std::mem::replace(changes, *changes + 1));
        let document = document.unwrap_or(before + 1);
        self.records.insert(key.to_owned(), Record { value, version, by, number, document });
        number
    }

    /// The records that are there, as positions and ledgers see them.
    pub fn live(&self) -> BTreeMap<String, (String, u64)> {
        self.records
            .iter()
            .filter_map(|(key, r)| r.value.clone().map(|value| (key.clone(), (value, r.version))))
            .collect()
    }
}

impl World {
    /// Notes an effect.
    pub fn log(&mut self, call: &str, store: Option<&str>, epoch: Option<u64>, detail: impl Into<String>) {
        self.effects.push(Effect {
            call: call.to_owned(),
            store: store.map(str::to_owned),
            epoch,
            detail: detail.into(),
        });
    }
}

/// The file.
#[derive(Clone, Debug)]
pub struct Handle {
    path: PathBuf,
}

impl Handle {
    /// The world of this file.
    pub fn new(path: &Path) -> Self {
        crate::timing::watch();
        Self { path: path.to_owned() }
    }

    /// The world that a block names.
    pub(super) fn of(block: &BlockRef) -> Result<Self, StepError> {
        Ok(Self::new(block.path("world")?))
    }

    /// The world now.
    ///
    /// # Errors
    /// The file cannot be read, or is no world.
    pub fn read(&self) -> Result<World, StepError> {
        let text = paths::read(&self.path)?;
        serde_json::from_slice(&text)
            .map_err(|e| StepError::permanent(format!("{} is no world", self.path.display())).because(e))
    }

    /// Replaces the world.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, world: &World) -> Result<(), StepError> {
        let text = serde_json::to_vec(world)
            .map_err(|e| StepError::permanent("the world cannot be encoded").because(e))?;
        Ok(paths::replace(&self.path, &text)?)
    }

    /// Changes the world under its lock; what `change` did counts even if it fails.
    ///
    /// # Errors
    /// Those of `change` and of the file.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> Result<T, StepError>) -> Result<T, StepError> {
        let path = self.path.with_extension("lock");
        let lock = paths::open_with(&path, OpenOptions::new().write(true).create(true).truncate(false))?;
        lock.lock().map_err(|e| PathError::new("lock", &path, e))?;
        let mut world = self.read()?;
        let result = change(&mut world);
        self.write(&world)?;
        result
    }

    /// Begins a call: counts it, lets the writers write, and does what the script says.
    ///
    /// # Errors
    /// As the script says.
    pub(super) fn call<'a>(&'a self, name: &'a str) -> Result<Call<'a>, StepError> {
        let deed = self.change(|world| {
            let count = world.calls.entry(name.to_owned()).or_default();
            *count += 1;
            let n = *count;
            world.tick();
            let deed = deed_at(world, name, n);
            if let Some(Deed::StaleWrite { store, key }) = &deed {
                world.stale_write(store, key);
            }
            if let Some(Deed::Unreachable { store }) = &deed
                && let Some(store) = world.stores.get_mut(store)
            {
                store.unreachable = true;
            }
            Ok(deed)
        })?;
        if deed == Some(Deed::Kill) {
            crate::lab::die();
        }
        match deed.as_ref().and_then(|d| d.before(name)) {
            Some(error) => Err(error),
            None => Ok(Call { world: self, name, deed }),
        }
    }
}

/// A call under way.
pub(super) struct Call<'a> {
    pub(super) world: &'a Handle,
    pub(super) name: &'a str,
    pub(super) deed: Option<Deed>,
}

impl Call<'_> {
    /// Its effect.
    pub(super) fn act<T>(
        &self,
        act: impl FnOnce(&mut World) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        self.world.change(act)
    }

    /// Ends it, its effect done.
    pub(super) fn end<T>(self, value: T) -> Result<T, StepError> {
        if self.deed == Some(Deed::KillAfter) {
            crate::lab::die();
        }
        match self.deed.as_ref().and_then(|d| d.after(self.name)) {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}
