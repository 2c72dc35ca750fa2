//! A store as a system of documents: for the laws of the documents engine. Its records lie in two slices, each of which
//! counts its changes; what was deleted is remembered for ever.

use std::sync::Arc;

use segue_contract::{Barrier, BlockRef, StepError, StepIo, UnitJob};
use segue_providers::engines::documents::{
    Collection, Documents, Found, Key, Limits, SliceStand, Stand, Want, Window, Write, Written,
};
use serde::{Deserialize, Serialize};

use super::endpoint::{barrier_of, name_of, reached, store_of};
use super::world::{Author, Handle, Record, Store, World, slice_of};

/// Documents in one batch: few, so that a pass has several.
const BATCH: usize = 6;

/// The stores of a world.
pub(super) struct MemoryDocuments {
    /// Only to look: a call is then none of the script, and nobody writes meanwhile.
    pub(super) looking: bool,
}

/// One store.
struct Open {
    block: BlockRef,
    looking: bool,
}

/// A record as a document's body.
#[derive(Serialize, Deserialize)]
struct Body {
    value: String,
    write: u64,
}

impl Open {
    /// Makes a call: the writers write, the script strikes, and the store answers or does not.
    fn call<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut World, &str) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let handle = Handle::of(&self.block)?;
        if self.looking {
            let mut world = handle.read()?;
            store_of(&mut world, &self.block)?;
            return act(&mut world, &name_of(&self.block));
        }
        let call = handle.call(name)?;
        let done = call.act(|world| {
            store_of(world, &self.block)?;
            act(world, &name_of(&self.block))
        })?;
        call.end(done)
    }

    /// A look at the store.
    fn look<T>(&self, name: &str, look: impl FnOnce(&Store) -> Result<T, StepError>) -> Result<T, StepError> {
        self.call(name, |world, store| look(world.stores.get(store).unwrap_or(&Store::default())))
    }
}

fn found(id: &str, record: &Record, want: Want) -> Result<Option<Found>, StepError> {
    let Some(value) = &record.value else { return Ok(None) };
    let body = match want {
        Want::Keys => Vec::new(),
        Want::Bodies => {
            let body = Body { value: value.clone(), write: record.version };
            serde_json::to_vec(&body).map_err(|e| StepError::permanent(e.to_string()))?
        }
    };
    Ok(Some(Found {
        key: Key { id: id.to_owned(), place: None },
        number: record.number,
        version: record.document,
        body,
    }))
}

/// One of Segue's own writes.
fn write(store: &mut Store, write: &Write) -> Result<Written, StepError> {
    let there = store.records.get(&write.key.id).map(|record| record.document);
    let newer = match write.body {
        Some(_) => there.is_some_and(|there| there > write.version),
        None => there.is_some_and(|there| there >= write.version),
    };
    if newer {
        return Ok(Written::Newer);
    }
    let (value, version) = match &write.body {
        Some(body) => {
            let body: Body = serde_json::from_slice(body).map_err(|e| StepError::permanent(e.to_string()))?;
            (Some(body.value), body.write)
        }
        None => (None, store.records.get(&write.key.id).map_or(0, |record| record.version)),
    };
    store.put(&write.key.id, value, version, Author::Segue, Some(write.version));
    Ok(Written::Done { number: store.records.get(&write.key.id).map_or(0, |record| record.number) })
}

impl Collection for Open {
    fn limits(&self) -> Limits {
        Limits {
            scan_documents_max: 1_000,
            batch_documents_max: BATCH,
            batch_bytes_max: 1 << 20,
            version_max: i64::MAX as u64,
        }
    }

    fn stand(&self) -> Result<Stand, StepError> {
        self.look("documents.stand", |store| {
            let slices = store.changes.iter();
            Ok(Stand {
                incarnation: name_of(&self.block),
                slices: slices.map(|n| SliceStand { term: 1, settled: *n, all: *n }).collect(),
            })
        })
    }

    fn scan(&self, window: Window, want: Want) -> Result<Option<Vec<Found>>, StepError> {
        self.look("documents.scan", |store| {
            let mut list = Vec::new();
            for (id, record) in &store.records {
                let inside = (window.from..window.to).contains(&record.number);
                if inside && slice_of(id) == window.slice as usize {
                    list.extend(found(id, record, want)?);
                }
            }
            Ok(Some(list))
        })
    }

    fn count(&self) -> Result<u64, StepError> {
        self.look("documents.count", |store| Ok(store.live().len() as u64))
    }

    fn read(&self, keys: &[Key], want: Want) -> Result<Vec<Option<Found>>, StepError> {
        self.look("documents.read", |store| {
            let one = |key: &Key| match store.records.get(&key.id) {
                Some(record) => found(&key.id, record, want),
                None => Ok(None),
            };
            keys.iter().map(one).collect()
        })
    }

    fn write(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        let blind = barrier_of(&self.block) == Barrier::None;
        self.call("documents.write", |world, name| {
            let written = match world.stores.get_mut(name) {
                Some(store) if blind && !store.open => {
                    return Err(StepError::permanent(format!("{name} is closed, for segue too")));
                }
                Some(store) => batch.iter().map(|one| write(store, one)).collect(),
                None => Ok(Vec::new()),
            };
            world.tick();
            written
        })
    }

    fn nothing_on_its_way(&self) -> Result<(), StepError> {
        Ok(())
    }
}

impl Documents for MemoryDocuments {
    fn open(&self, block: &BlockRef, _: &dyn StepIo) -> Result<Arc<dyn Collection>, StepError> {
        reached(&Handle::of(block)?.read()?, block)?;
        Ok(Arc::new(Open { block: block.clone(), looking: self.looking }))
    }

    fn exists(&self, block: &BlockRef, _: &dyn StepIo) -> Result<bool, StepError> {
        let world = Handle::of(block)?.read()?;
        reached(&world, block)?;
        Ok(world.stores.get(&name_of(block)).is_some_and(|store| store.exists))
    }

    /// The endpoint made it.
    fn make(&self, _: &UnitJob, _: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    fn remove(&self, job: &UnitJob, _: &dyn StepIo) -> Result<(), StepError> {
        let handle = Handle::of(&job.target)?;
        let call = handle.call("documents.remove")?;
        call.act(|world| {
            let name = name_of(&job.target);
            if let Some(store) = world.stores.get_mut(&name) {
                *store = Store::default();
            }
            world.log("documents.remove", Some(&name), None, "");
            Ok(())
        })?;
        call.end(())
    }

    fn names(&self, _: &BlockRef, _: &dyn StepIo) -> Result<Vec<String>, StepError> {
        Ok(vec![super::UNIT.to_owned()])
    }
}
