//! The simulated writers and their oracle. The n-th write is a pure function of the seed; a write that is
//! refused is tried again at the next tick, so that what was acknowledged is always a prefix of one sequence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::world::{Author, World};

/// Keys that are written; few, so that most are overwritten and deleted several times.
const KEYS: u64 = 24;
/// One write in so many deletes.
const DELETE_ONE_IN: u64 = 4;

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The record.
    pub key: String,
    /// Its value; `None` deletes it.
    pub value: Option<String>,
}

/// Writes that a store acknowledged one after the other. The first write of all has number 1; a write's number
/// is its record's version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who acknowledged them.
    pub store: String,
    /// How many.
    pub writes: u64,
}

/// The `n`-th write of a seed.
pub fn write_of(seed: u64, n: u64) -> Write {
    let hash = xxh3_64_with_seed(&n.to_le_bytes(), seed);
    let deletes = (hash >> 32).is_multiple_of(DELETE_ONE_IN);
    Write { key: format!("k{:02}", hash % KEYS), value: (!deletes).then(|| format!("v{n}")) }
}

/// What the acknowledged writes come to: by key the value and its version. Deleted keys are absent.
pub fn expected(world: &World) -> BTreeMap<String, (String, u64)> {
    let mut records = BTreeMap::new();
    for n in 1..=world.written() {
        let write = write_of(world.seed, n);
        match write.value {
            Some(value) => records.insert(write.key, (value, n)),
            None => records.remove(&write.key),
        };
    }
    records
}

impl World {
    /// The store that takes the writers' writes now.
    pub fn serving(&self) -> Option<&str> {
        let name = self.routes.get(&self.follows)?.as_deref()?;
        let store = self.stores.get(name)?;
        (self.running && store.exists && store.open && !store.fenced).then_some(name)
    }

    /// How many writes were acknowledged.
    pub fn written(&self) -> u64 {
        self.acknowledged.iter().map(|a| a.writes).sum()
    }

    /// One write through the route, if there are writes left.
    pub fn tick(&mut self) {
        let n = self.written() + 1;
        if n > self.writes_max {
            return;
        }
        let Some(name) = self.serving().map(str::to_owned) else {
            self.refused += 1;
            return;
        };
        let write = write_of(self.seed, n);
        self.put(&name, &write.key, write.value, n);
        match self.acknowledged.last_mut().filter(|last| last.store == name) {
            Some(last) => last.writes += 1,
            None => self.acknowledged.push(Acknowledged { store: name, writes: 1 }),
        }
    }

    /// A client that follows no route writes to a store; whether it was let.
    pub fn stale_write(&mut self, name: &str, key: &str) -> bool {
        let taken = self.stores.get(name).is_some_and(|s| s.exists && s.open && !s.fenced);
        let what = if taken { "stale.taken" } else { "stale.refused" };
        self.log(what, Some(name), None, key);
        if taken {
            // Above every version that the writers can reach.
            let version = self.writes_max + 1 + self.effects.len() as u64;
            self.put(name, key, Some(format!("stale {version}")), version);
        }
        taken
    }

    fn put(&mut self, store: &str, key: &str, value: Option<String>, version: u64) {
        if let Some(store) = self.stores.get_mut(store) {
            store.put(key, value, version, Author::Client, None);
        }
    }
}
