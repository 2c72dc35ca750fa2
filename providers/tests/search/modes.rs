//! The first load where Segue does not carry everything itself, between real servers: whatever the way, in the end both sides
//! are equal, also when documents change and runs die meanwhile.

mod beside;
mod reindex;
mod reload;
mod snapshot;

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use segue_contract::{
    Checkpoint, Engine, Finding, LoadMode, LoadSettings, PassReport, Progress, Secret, SecretRef, Setting,
    Severity, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel, VerifyReport,
};
use serde_json::{Value, json};

use crate::world::{Index, Server, registry};

type Hook<'a> = Box<dyn Fn() + Send + Sync + 'a>;

/// A step whose beginning is seen by a test, and that can be stopped when the cluster has begun to work.
struct Step<'a> {
    dir: tempfile::TempDir,
    /// Called when the position of the source is taken and nothing is filled yet.
    began: Option<Hook<'a>>,
    /// Stops at the first progress, as a death does.
    dies: AtomicBool,
    dead: AtomicBool,
    checkpoint: Mutex<Option<Checkpoint>>,
    found: Mutex<Vec<Finding>>,
}

impl<'a> Step<'a> {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            began: None,
            dies: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            checkpoint: Mutex::default(),
            found: Mutex::default(),
        }
    }

    fn began(mut self, hook: impl Fn() + Send + Sync + 'a) -> Self {
        self.began = Some(Box::new(hook));
        self
    }

    /// The next call stops in the middle.
    fn dying(&self, dies: bool) {
        self.dies.store(dies, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint.lock().expect("not poisoned").clone()
    }

    /// The files beside the ledgers whose names begin so.
    fn files(&self, prefix: &str) -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(self.dir.path()).expect("listed").flatten().map(|e| e.path());
        let begins = |p: &Path| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
        all.filter(|path| begins(path)).collect()
    }

    /// What the fill noted.
    fn memo(&self) -> (std::path::PathBuf, Value) {
        let is_memo = |p: &std::path::PathBuf| {
            let name = p.file_name().expect("a name").to_string_lossy().into_owned();
            name.len() == "fill-".len() + 32
        };
        let path = self.files("fill-").into_iter().find(is_memo).expect("a memo");
        let text = segue_contract::paths::read_to_string(&path).expect("read");
        (path, serde_json::from_str(&text).expect("json"))
    }
}

impl StepIo for Step<'_> {
    fn cancelled(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
    fn progress(&self, _: Progress) {
        if self.dies.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
        }
    }
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StepError> {
        let first = self.checkpoint.lock().expect("not poisoned").replace(checkpoint).is_none();
        if let Some(began) = self.began.as_ref().filter(|_| first) {
            began();
        }
        Ok(())
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        self.dir.path()
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent(format!("no secret {secret}")))
    }
    fn find(&self, finding: Finding) {
        self.found.lock().expect("not poisoned").push(finding);
    }
}

fn engine(job: &UnitJob) -> Arc<dyn Engine> {
    registry().engine(&job.source, &job.target).expect("offered").clone()
}

/// A job in a mode.
fn in_mode(job: UnitJob, mode: &str, settings: &[(&str, Value)]) -> UnitJob {
    let mut mode = LoadMode { name: mode.to_owned(), ..LoadMode::default() };
    for (name, value) in settings {
        mode.config.insert(*name, Setting::Plain(value.clone()));
    }
    UnitJob { load: LoadSettings { parallelism: 3, mode, ..LoadSettings::default() }, ..job }
}

fn load(job: &UnitJob, step: &Step<'_>) -> Result<PassReport, StepError> {
    engine(job).load(job, step.checkpoint().as_ref(), step)
}

fn carried(job: &UnitJob, report: &PassReport) -> UnitJob {
    UnitJob { ledger: Some(report.ledger.clone()), ..job.clone() }
}

fn pass(job: &UnitJob, step: &Step<'_>) -> UnitJob {
    let report = engine(job).pass(job, None, step).expect("passes");
    assert_eq!((report.stale_total, report.set_aside_total), (0, 0), "{report:?}");
    carried(job, &report)
}

fn verify(job: &UnitJob, step: &Step<'_>) -> VerifyReport {
    let call = VerifyCall { level: VerifyLevel::Full, since: None, quiet: true, set_aside: Vec::new() };
    engine(job).verify(job, &call, step).expect("verifies")
}

/// What differs, by key.
fn differing(report: &VerifyReport) -> Vec<(&str, &str)> {
    report.mismatches.iter().map(|m| (m.key.as_str(), m.what.as_str())).collect()
}

/// So many documents, `d0` and on.
fn filled<'a>(server: &'a Server, name: &str, shards: u32, count: u32) -> Index<'a> {
    let mapping = json!({"properties": {"n": {"type": "long"}, "t": {"type": "keyword"}}});
    let index = server.index(name, &json!({"index.number_of_shards": shards}), &mapping);
    for start in (0..count).step_by(5_000) {
        let lines: String = (start..count.min(start + 5_000))
            .map(|n| format!("{{\"index\":{{\"_id\":\"d{n}\"}}}}\n{{\"n\":{n},\"t\":\"word {n}\"}}\n"))
            .collect();
        server.lines(&index.path("/_bulk"), &lines);
    }
    index
}

/// What clients do while a load runs: a document changed, one deleted, one made, one deleted and made again.
fn disturb(index: &Index<'_>) {
    index.must_put("d1", &json!({"n": -1}));
    index.server.must("DELETE", &index.path("/_doc/d2"), None);
    index.must_put("new", &json!({"n": 7}));
    index.server.must("DELETE", &index.path("/_doc/d3"), None);
    index.must_put("d3", &json!({"n": -3}));
}

fn made<'a>(at: &'a Server, from: &Index<'_>) -> Index<'a> {
    Index { server: at, name: format!("{}-new", from.name) }
}

/// How many reindexes into an index run at a server: tests of others run there, too.
fn tasks(at: &Server, into: &str) -> usize {
    let found = at.must("GET", "/_tasks?actions=*reindex&detailed=true&group_by=none", None);
    let into = format!("to [{into}]");
    let is_of_it = |task: &&Value| task["description"].as_str().is_some_and(|what| what.contains(&into));
    found["tasks"].as_array().map_or(0, |list| list.iter().filter(is_of_it).count())
}

fn criticals(found: &[Finding]) -> Vec<&str> {
    found.iter().filter(|f| f.severity == Severity::Critical).map(|f| f.code.as_str()).collect()
}
