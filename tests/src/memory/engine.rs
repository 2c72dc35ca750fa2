//! Carrying records between two stores. A ledger is a file named by its hash: by key the value and version that both
//! sides had after the last pass.

use std::collections::{BTreeMap, BTreeSet};

use segue_contract::{
    ArtifactName, Barrier, BlockRef, Checkpoint, Deletions, DriftReport, Engine, Finding, PassReport,
    PassTimes, Position, Severity, StaleFind, StaleReport, StepError, StepIo, UnitJob, VerifyCall,
    VerifyLevel, VerifyMismatch, VerifyReport, paths,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::endpoint::{barrier_of, name_of, reached, store_of};
use super::world::{Author, Call, Handle, Store, World};

/// Records that are carried between two checkpoints and two ticks of the writers.
const CHUNK: usize = 6;
/// The layout of checkpoints.
const CHECKPOINT_VERSION: u32 = 1;

/// By key the value and its version.
type Records = BTreeMap<String, (String, u64)>;

/// Carries records.
pub(super) struct MemoryEngine;

/// How far a load is: the last key carried, and the ledger of what was.
#[derive(Serialize, Deserialize)]
struct LoadedUpTo {
    key: String,
    ledger: ArtifactName,
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StepError> {
    serde_json::to_vec(value).map_err(|e| StepError::permanent("cannot be encoded").because(e))
}

fn hash(records: &Records) -> Result<String, StepError> {
    Ok(format!("{:032x}", xxh3_128(&encode(records)?)))
}

/// Keeps bytes as an artifact, durable when this returns.
fn keep(kind: &str, bytes: &[u8], io: &dyn StepIo) -> Result<ArtifactName, StepError> {
    let name = ArtifactName(format!("{kind}-{:032x}.json", xxh3_128(bytes)));
    paths::replace(&io.artifacts().join(&name.0), bytes)?;
    Ok(name)
}

fn ledger_of(job: &UnitJob, io: &dyn StepIo) -> Result<Option<Records>, StepError> {
    let Some(name) = &job.ledger else { return Ok(None) };
    let bytes = paths::read(&io.artifacts().join(&name.0))?;
    let records = serde_json::from_slice(&bytes)
        .map_err(|e| StepError::permanent(format!("{name} is no ledger")).because(e))?;
    Ok(Some(records))
}

fn records_of(world: &World, block: &BlockRef) -> Store {
    world.stores.get(&name_of(block)).cloned().unwrap_or_default()
}

/// Every store that a call needs answers.
fn answer(world: &World, blocks: &[&BlockRef]) -> Result<(), StepError> {
    blocks.iter().try_for_each(|block| reached(world, block))
}

/// Both sides of a job now: the one that is read, the one that is written.
fn both(world: &World, job: &UnitJob) -> (Store, Store) {
    (records_of(world, job.reads()), records_of(world, job.writes()))
}

/// One of Segue's own writes: refused by a marker of a later attempt (protocol P5), and by a store that is closed
/// and cannot tell Segue from clients.
fn carry(world: &mut World, job: &UnitJob, key: &str, from: Option<&(String, u64)>) -> Result<(), StepError> {
    let block = job.writes();
    let blind = barrier_of(block) == Barrier::None;
    let store = store_of(world, block)?;
    if let Some(marker) = store.marker.as_ref().filter(|m| m.epoch > job.epoch) {
        return Err(StepError::permanent(format!(
            "{}: a write of epoch {} is refused, epoch {} holds it",
            block.address, job.epoch, marker.epoch
        )));
    }
    if blind && !store.open {
        return Err(StepError::permanent(format!("{} is closed, for segue too", block.address)));
    }
    let (value, version) = match from {
        Some((value, version)) => (Some(value.clone()), *version),
        None => (None, store.records.get(key).map_or(0, |r| r.version)),
    };
    store.put(key, value, version, Author::Segue, None);
    Ok(())
}

/// What a client did to a record on the side that only Segue writes to.
fn stale_at(written: &Store, ledger: &Records, key: &str) -> Option<&'static str> {
    let record = written.records.get(key)?;
    if record.by == Author::Segue {
        return None;
    }
    match (ledger.get(key), &record.value) {
        (None, None) => None,
        (None, Some(_)) => Some("created"),
        (Some(_), None) => Some("deleted"),
        (Some(known), Some(value)) => (known != &(value.clone(), record.version)).then_some("changed"),
    }
}

fn keys<'a>(maps: impl IntoIterator<Item = &'a Records>, written: &Store) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = maps.into_iter().flat_map(|m| m.keys().cloned()).collect();
    keys.extend(written.records.keys().cloned());
    keys
}

fn stale_finds(written: &Store, ledger: &Records) -> Vec<StaleFind> {
    let found = |key: &String| {
        stale_at(written, ledger, key).map(|what| StaleFind {
            key: key.clone(),
            what: what.to_owned(),
            kept: None,
            process: None,
        })
    };
    keys([ledger], written).iter().filter_map(found).collect()
}

#[derive(Default)]
struct Tally {
    written: u64,
    deleted: u64,
    bytes: u64,
    stale: Vec<StaleFind>,
}

impl Tally {
    fn report(self, ledger: &Records, io: &dyn StepIo) -> Result<PassReport, StepError> {
        Ok(PassReport {
            ledger: keep("ledger", &encode(ledger)?, io)?,
            position: Position(hash(ledger)?),
            records_seen: ledger.len() as u64,
            records_written: self.written,
            records_deleted: self.deleted,
            bytes_written: self.bytes,
            set_aside: Vec::new(),
            set_aside_total: 0,
            stale_total: self.stale.len() as u64,
            stale: self.stale,
            times: PassTimes::default(),
            kept_deleted: None,
            audit: segue_contract::AuditReport::default(),
        })
    }
}

/// Protocol P28: before anything is written.
fn check_deletions(job: &UnitJob, wanted: &Records, ledger: &Records) -> Result<(), StepError> {
    let mut found = Deletions::default();
    ledger.keys().filter(|key| !wanted.contains_key(*key)).for_each(|key| found.add(|| key.clone()));
    job.deletions.check(&found, ledger.len() as u64)
}

/// Makes `keys` of the written side as they are in `wanted`; the writers go on between two chunks.
fn carry_all(
    call: &Call<'_>,
    job: &UnitJob,
    wanted: &Records,
    ledger: &Records,
    keys: &BTreeSet<String>,
    io: &dyn StepIo,
) -> Result<Tally, StepError> {
    let mut tally = Tally::default();
    let keys: Vec<&String> = keys.iter().collect();
    for chunk in keys.chunks(CHUNK) {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        call.act(|world| {
            for key in chunk {
                carry_one(world, job, wanted, ledger, key, &mut tally, io)?;
            }
            world.tick();
            Ok(())
        })?;
    }
    Ok(tally)
}

fn carry_one(
    world: &mut World,
    job: &UnitJob,
    wanted: &Records,
    ledger: &Records,
    key: &str,
    tally: &mut Tally,
    io: &dyn StepIo,
) -> Result<(), StepError> {
    let written = records_of(world, job.writes());
    let there = written.live().get(key).cloned();
    if let Some(what) = stale_at(&written, ledger, key) {
        let kept = match written.records.get(key) {
            Some(record) if record.value.is_some() => Some(keep("stale", &encode(record)?, io)?.0),
            _ => None,
        };
        tally.stale.push(StaleFind { key: key.to_owned(), what: what.to_owned(), kept, process: None });
    }
    if there.as_ref() == wanted.get(key) {
        return Ok(());
    }
    carry(world, job, key, wanted.get(key))?;
    match wanted.get(key) {
        Some((value, _)) => {
            tally.written += 1;
            tally.bytes += value.len() as u64;
        }
        None => tally.deleted += 1,
    }
    Ok(())
}

impl Engine for MemoryEngine {
    fn load(
        &self,
        job: &UnitJob,
        from: Option<&Checkpoint>,
        io: &dyn StepIo,
    ) -> Result<PassReport, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.load")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let mut done = Records::new();
        let mut after = None;
        if let Some(checkpoint) = from.filter(|c| c.version == CHECKPOINT_VERSION) {
            let mark: LoadedUpTo = serde_json::from_slice(&checkpoint.bytes)
                .map_err(|e| StepError::permanent("the checkpoint cannot be read").because(e))?;
            let at = UnitJob { ledger: Some(mark.ledger), ..job.clone() };
            done = ledger_of(&at, io)?.unwrap_or_default();
            after = Some(mark.key);
        }
        let mut tally = Tally::default();
        loop {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let chunk = call.act(|world| {
                let chunk: Vec<(String, (String, u64))> = records_of(world, job.reads())
                    .live()
                    .into_iter()
                    .filter(|(key, _)| after.as_ref().is_none_or(|a| key > a))
                    .take(CHUNK)
                    .collect();
                for (key, record) in &chunk {
                    carry(world, job, key, Some(record))?;
                    tally.written += 1;
                    tally.bytes += record.0.len() as u64;
                }
                world.tick();
                Ok(chunk)
            })?;
            let Some((last, _)) = chunk.last().cloned() else {
                break;
            };
            done.extend(chunk);
            after = Some(last.clone());
            let mark = LoadedUpTo { key: last, ledger: keep("ledger", &encode(&done)?, io)? };
            io.checkpoint(Checkpoint { version: CHECKPOINT_VERSION, bytes: encode(&mark)? })?;
        }
        call.act(|world| {
            world.log("engine.load", Some(&name_of(job.writes())), Some(job.epoch), "");
            Ok(())
        })?;
        let report = tally.report(&done, io)?;
        call.end(report)
    }

    fn pass(&self, job: &UnitJob, _: Option<&Checkpoint>, io: &dyn StepIo) -> Result<PassReport, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.pass")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let ledger = ledger_of(job, io)?.unwrap_or_default();
        let (read, written) = call.act(|world| {
            world.log("engine.pass", Some(&name_of(job.writes())), Some(job.epoch), "");
            Ok(both(world, job))
        })?;
        let wanted = read.live();
        check_deletions(job, &wanted, &ledger)?;
        let keys = keys([&wanted, &ledger], &written);
        let tally = carry_all(&call, job, &wanted, &ledger, &keys, io)?;
        let report = tally.report(&wanted, io)?;
        call.end(report)
    }

    fn position(&self, job: &UnitJob, _: &dyn StepIo) -> Result<Position, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.position")?;
        answer(&handle.read()?, &[job.reads()])?;
        let position = call.act(|world| {
            let name = name_of(job.reads());
            world.log("engine.position", Some(&name), Some(job.epoch), "");
            hash(&records_of(world, job.reads()).live()).map(Position)
        })?;
        call.end(position)
    }

    fn verify(&self, job: &UnitJob, ask: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.verify")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let ledger = ledger_of(job, io)?.unwrap_or_default();
        let (read, written) = both(&handle.read()?, job);
        let (read, there) = (read.live(), written.live());
        let mut mismatches = Vec::new();
        let mut residual = 0;
        let keys = keys([&read, &ledger], &written);
        for key in &keys {
            let changed = read.get(key) != ledger.get(key);
            let differs = if changed && !ask.quiet {
                residual += 1;
                false
            } else {
                changed || there.get(key) != ledger.get(key)
            };
            if differs {
                mismatches.push(VerifyMismatch { key: key.clone(), what: "content".to_owned() });
            }
        }
        call.end(VerifyReport {
            level: ask.level,
            ledger: job.ledger.clone().unwrap_or_else(|| ArtifactName(String::new())),
            records_checked: keys.len() as u64,
            records_read: keys.len() as u64,
            bytes_read: 0,
            residual,
            mismatches_total: mismatches.len() as u64,
            mismatches,
            missing: Vec::new(),
            missing_total: 0,
            took_us: 0,
        })
    }

    fn repair(&self, job: &UnitJob, found: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.repair")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let mut ledger = ledger_of(job, io)?.unwrap_or_default();
        let wanted = records_of(&handle.read()?, job.reads()).live();
        let keys: BTreeSet<String> = found.mismatches.iter().map(|m| m.key.clone()).collect();
        let tally = carry_all(&call, job, &wanted, &ledger, &keys, io)?;
        for key in keys {
            match wanted.get(&key) {
                Some(record) => ledger.insert(key, record.clone()),
                None => ledger.remove(&key),
            };
        }
        let report = tally.report(&ledger, io)?;
        call.end(report)
    }

    fn drift(&self, job: &UnitJob, _: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError> {
        let world = Handle::of(job.reads())?.read()?;
        answer(&world, &[job.reads(), job.writes()])?;
        let (read, written) = both(&world, job);
        let read = read.live();
        let Some(ledger) = ledger_of(job, io)? else {
            return Ok(DriftReport { waiting_records: read.len() as u64, ..DriftReport::default() });
        };
        let waits = |key: &&String| read.get(*key) != ledger.get(*key);
        let drifted: Vec<VerifyMismatch> = stale_finds(&written, &ledger)
            .into_iter()
            .map(|find| VerifyMismatch { key: find.key, what: find.what })
            .collect();
        Ok(DriftReport {
            waiting_records: keys([&read, &ledger], &Store::default()).iter().filter(waits).count() as u64,
            waiting_bytes: 0,
            needs_bytes: None,
            waiting_deletions: None,
            drifted_total: drifted.len() as u64,
            drifted,
        })
    }

    fn stale(&self, job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError> {
        let handle = Handle::of(job.reads())?;
        let call = handle.call("engine.stale")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let ledger = ledger_of(job, io)?.unwrap_or_default();
        let written = records_of(&handle.read()?, job.writes());
        let finds = stale_finds(&written, &ledger);
        call.end(StaleReport { records_seen: written.records.len() as u64, total: finds.len() as u64, finds })
    }

    fn release(&self, job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError> {
        let handle = Handle::of(&job.source)?;
        let call = handle.call("engine.release")?;
        answer(&handle.read()?, &[job.reads(), job.writes()])?;
        let left = call.act(|world| {
            let name = name_of(&job.target);
            let Some(store) = world.stores.get_mut(&name) else {
                return Ok(Vec::new());
            };
            store.records.retain(|_, record| record.by == Author::Client);
            let left: Vec<String> = store.live().into_keys().collect();
            if made_root && left.is_empty() && store.exists {
                *store = Store::default();
            }
            world.log("engine.release", Some(&name), None, "");
            Ok(left)
        })?;
        if !left.is_empty() {
            io.find(Finding {
                severity: Severity::Warning,
                code: "MEMORY_LEFT".to_owned(),
                summary: format!(
                    "{} records that segue did not write are left: {}",
                    left.len(),
                    left.join(", ")
                ),
                remedy: "remove them yourself".to_owned(),
            });
        }
        call.end(())
    }
}
