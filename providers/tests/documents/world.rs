//! Two systems of documents in memory, with slices, versions, deletions, a script of what goes wrong, and the executor's side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use segue_contract::{
    Address, ArtifactName, BlockRef, Config, Direction, Engine, LoadMode, LoadModeSchema, LoadSettings,
    PassReport, Select, StepError, StepIo, Transform, UnitJob, VerifyCall, VerifyLevel,
};
use segue_providers::engines::documents::{
    CENSUS_PARTS_MAX, Collection, Documents, DocumentsEngine, Found, Key, Limits, Memo, SliceStand, Stand,
    Want, Window, Write, Written,
};

use crate::step::Io;

/// The mode in which the memory fills its units by itself.
pub(crate) const NATIVE: &str = "native";
pub(crate) const UNIT: &str = "products";

#[derive(Clone, Debug)]
pub(crate) struct Doc {
    pub(crate) number: u64,
    pub(crate) version: u64,
    pub(crate) body: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) changes: u64,
    pub(crate) term: u64,
    pub(crate) docs: BTreeMap<Key, Doc>,
    /// What scans, censuses and counts see.
    pub(crate) shown: BTreeMap<Key, Doc>,
}

/// What is done at a call, before it.
type Script = Box<dyn FnMut(&str, &mut Unit) -> Option<StepError> + Send>;

pub(crate) struct Unit {
    pub(crate) incarnation: String,
    pub(crate) slices: Vec<Slice>,
    pub(crate) deleted: BTreeMap<Key, u64>,
    /// Bodies that cannot be taken hold this.
    pub(crate) poison: Option<String>,
    /// Of so many writes one is not taken now.
    pub(crate) busy: u64,
    /// Of so many batches the answer of one is lost.
    pub(crate) lossy: u64,
    pub(crate) calls: u64,
    /// The network holds what is written now, and its answers.
    pub(crate) holding: bool,
    /// What it holds.
    pub(crate) held: Vec<Write>,
    pub(crate) scan_max: u64,
    /// Whether it can count its documents by their changes.
    pub(crate) counts: bool,
    /// Whether it can give many documents at once.
    pub(crate) sweeps: bool,
    /// Documents that scans gave.
    pub(crate) scanned: u64,
    pub(crate) script: Option<Script>,
}

fn slice_of(key: &Key, slices: usize) -> usize {
    let placed = key.place.as_ref().unwrap_or(&key.id);
    placed.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % slices
}

pub(crate) fn key(id: &str) -> Key {
    Key { id: id.to_owned(), place: None }
}

impl Unit {
    pub(crate) fn new(incarnation: &str, slices: usize) -> Self {
        Self {
            incarnation: incarnation.to_owned(),
            slices: vec![Slice { term: 1, ..Slice::default() }; slices],
            deleted: BTreeMap::new(),
            poison: None,
            busy: 0,
            lossy: 0,
            calls: 0,
            holding: false,
            held: Vec::new(),
            scan_max: 50,
            counts: true,
            sweeps: true,
            scanned: 0,
            script: None,
        }
    }

    fn at(&mut self, key: &Key) -> &mut Slice {
        let at = slice_of(key, self.slices.len());
        &mut self.slices[at]
    }

    /// A client's write.
    pub(crate) fn put(&mut self, id: &str, body: &str) {
        self.put_key(key(id), body);
    }

    pub(crate) fn put_key(&mut self, key: Key, body: &str) {
        let before = self.deleted.remove(&key).unwrap_or(0);
        let slice = self.at(&key);
        let version = slice.docs.get(&key).map_or(before, |doc| doc.version) + 1;
        let number = slice.changes;
        slice.changes += 1;
        slice.docs.insert(key, Doc { number, version, body: body.to_owned() });
    }

    /// A client's deletion.
    pub(crate) fn delete(&mut self, id: &str) {
        let key = key(id);
        let slice = self.at(&key);
        slice.changes += 1;
        if let Some(doc) = slice.docs.remove(&key) {
            self.deleted.insert(key, doc.version + 1);
        }
    }

    /// The documents get each other's numbers: what a ledger says of them is wrong.
    pub(crate) fn shuffle_numbers(&mut self) {
        for slice in &mut self.slices {
            let mut numbers: Vec<u64> = slice.docs.values().map(|doc| doc.number).collect();
            numbers.rotate_left(slice.docs.len() / 3 + usize::from(slice.docs.len() > 1));
            slice.docs.values_mut().zip(numbers).for_each(|(doc, number)| doc.number = number);
        }
    }

    /// Deletions are remembered no longer.
    pub(crate) fn forget_deletions(&mut self) {
        self.deleted.clear();
    }

    fn write(&mut self, write: &Write) -> Written {
        self.calls += 1;
        if self.busy > 0 && self.calls.is_multiple_of(self.busy) {
            return Written::Later("too many requests".to_owned());
        }
        let body = write.body.as_ref().map(|body| String::from_utf8(body.clone()).unwrap());
        let poison = self.poison.clone();
        if body.as_ref().zip(poison.as_ref()).is_some_and(|(body, poison)| body.contains(poison)) {
            return Written::Refused("mapper_parsing_exception: failed to parse field".to_owned());
        }
        let deleted = self.deleted.get(&write.key).copied();
        let slice = self.at(&write.key);
        let there = slice.docs.get(&write.key).map(|doc| doc.version).or(deleted);
        let newer = match body {
            Some(_) => there.is_some_and(|there| there > write.version),
            None => there.is_some_and(|there| there >= write.version),
        };
        if newer {
            return Written::Newer;
        }
        let number = slice.changes;
        slice.changes += 1;
        match body {
            Some(body) => {
                slice.docs.insert(write.key.clone(), Doc { number, version: write.version, body });
                self.deleted.remove(&write.key);
            }
            None => {
                slice.docs.remove(&write.key);
                self.deleted.insert(write.key.clone(), write.version);
            }
        }
        Written::Done { number }
    }

    /// Adds what is not there and was not deleted lately.
    fn add(&mut self, write: &Write) -> Written {
        let at = slice_of(&write.key, self.slices.len());
        if self.deleted.contains_key(&write.key) || self.slices[at].docs.contains_key(&write.key) {
            return Written::Newer;
        }
        self.write(&Write { version: 1, ..write.clone() })
    }

    /// What the system's own fill brings: with the version of the source, where none above is there.
    pub(crate) fn bring(&mut self, key: &Key, doc: &Doc) {
        let body = Some(doc.body.clone().into_bytes());
        self.write(&Write { key: key.clone(), version: doc.version, body });
    }

    /// What scans see of a window.
    fn shown(&mut self, window: Window, want: Want) -> Vec<Found> {
        let docs = self.slices[window.slice as usize].shown.iter();
        let inside = docs.filter(|(_, doc)| (window.from..window.to).contains(&doc.number));
        let list: Vec<Found> = inside.map(|(key, doc)| found(key, doc, want)).collect();
        self.scanned += list.len() as u64;
        list
    }

    pub(crate) fn bodies(&self) -> BTreeMap<Key, String> {
        let docs = self.slices.iter().flat_map(|slice| &slice.docs);
        docs.map(|(key, doc)| (key.clone(), doc.body.clone())).collect()
    }
}

/// A system: its units by name.
#[derive(Clone, Default)]
pub(crate) struct System {
    pub(crate) units: Arc<Mutex<BTreeMap<String, Unit>>>,
    /// What it fills its units from by itself.
    from: Option<Box<System>>,
}

struct Open {
    system: System,
    name: String,
}

impl System {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Unit) -> T) -> T {
        act(self.units.lock().unwrap().get_mut(UNIT).expect("the unit"))
    }

    fn call<T>(&self, name: &str, what: &str, act: impl FnOnce(&mut Unit) -> T) -> Result<T, StepError> {
        let mut units = self.units.lock().unwrap();
        let unit =
            units.get_mut(name).ok_or_else(|| StepError::permanent(format!("no such index [{name}]")))?;
        if let Some(mut script) = unit.script.take() {
            let failed = script(what, unit);
            unit.script.get_or_insert(script);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(act(unit))
    }
}

impl Open {
    fn call<T>(&self, what: &str, act: impl FnOnce(&mut Unit) -> T) -> Result<T, StepError> {
        self.system.call(&self.name, what, act)
    }
}

fn found(key: &Key, doc: &Doc, want: Want) -> Found {
    let body = if want == Want::Bodies { doc.body.clone().into_bytes() } else { Vec::new() };
    Found { key: key.clone(), number: doc.number, version: doc.version, body }
}

impl Collection for Open {
    fn limits(&self) -> Limits {
        Limits {
            scan_documents_max: 20,
            batch_documents_max: 7,
            batch_bytes_max: 500,
            version_max: i64::MAX as u64,
        }
    }

    fn stand(&self) -> Result<Stand, StepError> {
        self.call("stand", |unit| Stand {
            incarnation: unit.incarnation.clone(),
            slices: unit
                .slices
                .iter()
                .map(|s| SliceStand { term: s.term, settled: s.changes, all: s.changes })
                .collect(),
        })
    }

    fn show(&self) -> Result<(), StepError> {
        self.call("show", |unit| unit.slices.iter_mut().for_each(|slice| slice.shown = slice.docs.clone()))
    }

    fn scan(&self, window: Window, want: Want) -> Result<Option<Vec<Found>>, StepError> {
        self.call("scan", |unit| {
            let list = unit.shown(window, want);
            (list.len() as u64 <= unit.scan_max).then_some(list)
        })
    }

    fn census(&self, windows: &[Window], width: u64) -> Result<Option<Vec<u64>>, StepError> {
        self.call("census", |unit| {
            let mut counts = Vec::new();
            for window in windows {
                let begin = counts.len();
                counts.resize(begin + (window.to - window.from).div_ceil(width) as usize, 0);
                let docs = unit.slices[window.slice as usize].shown.values();
                for doc in docs.filter(|doc| (window.from..window.to).contains(&doc.number)) {
                    counts[begin + ((doc.number - window.from) / width) as usize] += 1;
                }
            }
            assert!(counts.len() as u64 <= CENSUS_PARTS_MAX);
            unit.counts.then_some(counts)
        })
    }

    fn sweeps(&self) -> bool {
        true
    }

    /// As it was when it began, in the order of keys.
    fn sweep(
        &self,
        window: Window,
        want: Want,
        piece: u64,
        each: &mut dyn FnMut(Vec<Found>) -> Result<(), StepError>,
    ) -> Result<bool, StepError> {
        let list = self.call("sweep", |unit| unit.sweeps.then(|| unit.shown(window, want)))?;
        let Some(list) = list else { return Ok(false) };
        for (at, some) in list.chunks(piece as usize).enumerate() {
            self.call(if at == 0 { "first piece" } else { "later piece" }, |_| ())?;
            each(some.to_vec())?;
        }
        Ok(true)
    }

    fn count(&self) -> Result<u64, StepError> {
        self.call("count", |unit| unit.slices.iter().map(|slice| slice.shown.len() as u64).sum())
    }

    fn read(&self, keys: &[Key], want: Want) -> Result<Vec<Option<Found>>, StepError> {
        self.call("read", |unit| {
            keys.iter()
                .map(|key| {
                    let at = slice_of(key, unit.slices.len());
                    unit.slices[at].docs.get(key).map(|doc| found(key, doc, want))
                })
                .collect()
        })
    }

    fn write(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        let written = self.call("write", |unit| {
            if unit.holding {
                unit.held.extend(batch.iter().cloned());
                return None;
            }
            let lost = unit.lossy > 0 && unit.calls.is_multiple_of(unit.lossy);
            Some((batch.iter().map(|write| unit.write(write)).collect(), lost))
        })?;
        match written {
            Some((written, false)) => Ok(written),
            Some((_, true)) => Err(StepError::unknown("the answer was lost")),
            None => Err(StepError::cancelled()),
        }
    }

    fn add(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        self.call("add", |unit| batch.iter().map(|write| unit.add(write)).collect())
    }

    fn nothing_on_its_way(&self) -> Result<(), StepError> {
        self.call("nothing_on_its_way", |unit| {
            // What the network held of a dead sender's arrives before this returns.
            for write in std::mem::take(&mut unit.held) {
                let _ = unit.write(&write);
            }
        })
    }
}

impl Documents for System {
    fn open(&self, block: &BlockRef, _: &dyn StepIo) -> Result<Arc<dyn Collection>, StepError> {
        Ok(Arc::new(Open { system: self.clone(), name: block.scope[0].clone() }))
    }
    fn exists(&self, block: &BlockRef, _: &dyn StepIo) -> Result<bool, StepError> {
        Ok(self.units.lock().unwrap().contains_key(&block.scope[0]))
    }
    fn make(&self, job: &UnitJob, _: &dyn StepIo) -> Result<(), StepError> {
        let name = job.writes().scope[0].clone();
        self.units.lock().unwrap().entry(name).or_insert_with(|| Unit::new("made", 2));
        Ok(())
    }
    fn remove(&self, job: &UnitJob, _: &dyn StepIo) -> Result<(), StepError> {
        self.units.lock().unwrap().remove(&job.target.scope[0]);
        Ok(())
    }
    fn fill_modes(&self) -> Vec<LoadModeSchema> {
        crate::filling::modes()
    }
    fn fill(&self, job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<Option<Stand>, StepError> {
        self.make(job, io)?;
        crate::filling::fill(self.from.as_ref().expect("a source"), self, memo, io)
    }
    fn names(&self, _: &BlockRef, _: &dyn StepIo) -> Result<Vec<String>, StepError> {
        Ok(self.units.lock().unwrap().keys().cloned().collect())
    }
}

/// Two systems, a job between them, and the engine.
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) source: System,
    pub(crate) target: System,
    pub(crate) engine: DocumentsEngine,
    pub(crate) job: UnitJob,
    pub(crate) io: Io,
}

fn block(address: &str) -> BlockRef {
    BlockRef {
        address: Address::new(address),
        provider: "memory".into(),
        base_dir: "/".into(),
        config: Config::default(),
        scope: vec![UNIT.to_owned()],
    }
}

impl World {
    /// A source with so many documents in so many slices.
    pub(crate) fn new(documents: usize, slices: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let io = Io {
            artifacts: dir.path().to_owned(),
            checkpoints: Mutex::default(),
            findings: Mutex::default(),
            taken: AtomicU64::new(0),
            calls_left: AtomicI64::new(-1),
        };
        let source = System::default();
        let target = System { from: Some(Box::new(source.clone())), ..System::default() };
        let mut unit = Unit::new("first", slices);
        for n in 0..documents {
            unit.put(&format!("d{n:04}"), &format!("{{\"n\":{n}}}"));
        }
        source.units.lock().unwrap().insert(UNIT.to_owned(), unit);
        let engine = DocumentsEngine::new(Arc::new(source.clone()), Arc::new(target.clone()));
        let job = UnitJob {
            migration: Address::new("migration.catalog"),
            unit: UNIT.to_owned(),
            source: block("source.memory.old"),
            target: block("target.memory.new"),
            direction: Direction::Forward,
            select: Select::default(),
            transform: Transform::default(),
            load: LoadSettings { parallelism: 2, ..LoadSettings::default() },
            audit: segue_contract::Audit::default(),
            quiet: false,
            ledger: None,
            epoch: 1,
            deletions: segue_contract::DeletionTerms::default(),
        };
        Self { _dir: dir, source, target, engine, job, io }
    }

    /// The same, loaded in another way.
    pub(crate) fn in_mode(mut self, mode: &str) -> Self {
        self.job.load.mode = LoadMode { name: mode.to_owned(), ..LoadMode::default() };
        self
    }

    pub(crate) fn loaded(documents: usize, slices: usize) -> Self {
        let mut world = Self::new(documents, slices);
        world.load();
        world
    }

    pub(crate) fn set(&mut self, ledger: ArtifactName) {
        self.job.ledger = Some(ledger);
    }

    pub(crate) fn load(&mut self) -> PassReport {
        let from = self.io.checkpoints.lock().unwrap().last().cloned();
        let report = self.engine.load(&self.job, from.as_ref(), &self.io).unwrap();
        self.set(report.ledger.clone());
        report
    }

    pub(crate) fn pass(&mut self) -> PassReport {
        let report = self.engine.pass(&self.job, None, &self.io).unwrap();
        self.set(report.ledger.clone());
        report
    }

    pub(crate) fn turn(&mut self) {
        self.job.direction = match self.job.direction {
            Direction::Forward => Direction::Reverse,
            Direction::Reverse => Direction::Forward,
        };
    }

    /// The side that serves.
    pub(crate) fn live(&self) -> &System {
        if self.job.direction == Direction::Forward { &self.source } else { &self.target }
    }

    pub(crate) fn full(&self) -> VerifyCall {
        VerifyCall { level: VerifyLevel::Full, since: None, quiet: true, set_aside: Vec::new() }
    }

    /// Both sides are alike, the ledger says so, and nothing is anybody else's.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        assert_eq!(self.source.with(|u| u.bodies()), self.target.with(|u| u.bodies()));
        let report = self.engine.verify(&self.job, &self.full(), &self.io).unwrap();
        assert_eq!((report.mismatches, report.residual), (vec![], 0));
        let drift = self.engine.drift(&self.job, VerifyLevel::Count, &self.io).unwrap();
        assert_eq!((drift.waiting_records, drift.drifted), (0, vec![]));
    }
}
