//! Verification: both sides against the ledger, as closely as asked. What differs is looked at a second
//! time after a moment, and what the live side changed since the last pass is the residual, no mismatch.

mod examine;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use segue_contract::{
    ArtifactName, Progress, SetAside, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel, VerifyMismatch,
    VerifyReport,
};
use xxhash_rust::xxh3::xxh3_64;

use super::clock;
use super::join::{Join, Seen};
use super::mapped::Mapped;
use super::pass::{differs_from_ledger, ledger_of};
use super::tree::{OpenDirs, printed};
use super::work::Looking;
use crate::engines::report::Bounded;
use crate::ledger::{self, Kind, LedgerReader, Record, compare_paths};
use examine::{Examiner, Verdict};

/// One file in this many is read at the level `sampled`, and at least `SAMPLE_MIN` of them.
const SAMPLE: u64 = 16;
const SAMPLE_MIN: u64 = 1000;
/// How long a difference may settle before it is looked at again.
const SETTLE: Duration = Duration::from_millis(250);
/// Differences that are looked at again; beyond that many nobody's writes explain them.
const RECHECKED: usize = 10_000;
/// Records that wait for a worker.
const WAITING: usize = 1024;

/// A record to examine closely.
struct Task {
    path: Vec<u8>,
    record: Option<Record>,
    read: bool,
}

#[derive(Default)]
struct Found {
    suspects: Vec<(Task, String)>,
    mismatches: Bounded<VerifyMismatch>,
    missing: Bounded<SetAside>,
    checked: u64,
    read: u64,
    bytes: u64,
    residual: u64,
    failure: Option<StepError>,
}

impl Found {
    /// Counts a path as missing where it was set aside.
    fn is_missing(&mut self, aside: &HashMap<&str, &str>, path: &[u8]) -> bool {
        let key = printed(path);
        let Some(reason) = aside.get(key.as_str()) else { return false };
        self.missing.push(SetAside { reason: (*reason).to_owned(), key });
        true
    }
}

#[derive(Default)]
struct Tasks {
    queue: Mutex<(VecDeque<Task>, bool)>,
    moved: Condvar,
}

/// A verification.
struct Verify<'a> {
    looking: Looking,
    io: &'a dyn StepIo,
    call: &'a VerifyCall,
    ledger: &'a ArtifactName,
    /// Files whose path hashes below this are read.
    sample: u64,
    /// What the last pass set aside, and why.
    aside: HashMap<&'a str, &'a str>,
    /// The inodes of files that are, or were, mapped on the side that is read.
    mapped: HashSet<u64>,
    tasks: Tasks,
    found: Mutex<Found>,
}

/// Compares both sides with the ledger.
pub(crate) fn verify(job: &UnitJob, call: &VerifyCall, io: &dyn StepIo) -> Result<VerifyReport, StepError> {
    let started = clock::steady_us();
    let ledger = ledger_of(job)?;
    let about = ledger::summary(io.artifacts(), ledger)?;
    let verify = Verify {
        looking: Looking::open(job, io)?,
        io,
        call,
        ledger,
        sample: match call.level {
            VerifyLevel::Count => 0,
            VerifyLevel::Sampled => sample_below(about.files),
            VerifyLevel::Full => u64::MAX,
        },
        aside: call.set_aside.iter().map(|s| (s.key.as_str(), s.reason.as_str())).collect(),
        mapped: Mapped::known(job, io)?,
        tasks: Tasks::default(),
        found: Mutex::new(Found::default()),
    };
    verify.sweep()?;
    let mut found = verify.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut examiner = Examiner::new(&verify.looking, io, call.quiet, &verify.mapped);
    settle(&mut examiner, io, call, &verify.aside, &mut found)?;
    drop(examiner);
    verify.looking.prove()?;
    Ok(VerifyReport {
        level: call.level,
        ledger: ledger.clone(),
        records_checked: found.checked,
        records_read: found.read,
        bytes_read: found.bytes,
        residual: found.residual,
        mismatches: found.mismatches.list,
        mismatches_total: found.mismatches.total,
        missing: found.missing.list,
        missing_total: found.missing.total,
        took_us: clock::steady_us() - started,
    })
}

fn sample_below(files: u64) -> u64 {
    if files <= SAMPLE_MIN {
        return u64::MAX;
    }
    (u64::MAX / SAMPLE).max(u64::MAX / files * SAMPLE_MIN)
}

/// Looks again at what differed: under quiet at once it counts, otherwise after a moment.
fn settle(
    examiner: &mut Examiner<'_>,
    io: &dyn StepIo,
    call: &VerifyCall,
    aside: &HashMap<&str, &str>,
    found: &mut Found,
) -> Result<(), StepError> {
    let suspects = std::mem::take(&mut found.suspects);
    if suspects.is_empty() {
        return Ok(());
    }
    if !call.quiet {
        std::thread::sleep(SETTLE);
    }
    for (task, _) in suspects {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        match examiner.examine(&task.path, task.record.as_ref(), task.read)? {
            Verdict::Same => {}
            Verdict::Residual | Verdict::Missing(_) if found.is_missing(aside, &task.path) => {}
            Verdict::Residual => found.residual += 1,
            Verdict::Missing(what) | Verdict::Differs(what) => {
                found.mismatches.push(VerifyMismatch { key: printed(&task.path), what });
            }
        }
    }
    Ok(())
}

impl Verify<'_> {
    /// Looks at everything once, with workers for what needs a closer look.
    fn sweep(&self) -> Result<(), StepError> {
        let swept = std::thread::scope(|scope| {
            for _ in 0..self.looking.threads {
                scope.spawn(|| self.serve());
            }
            let swept = match &self.call.since {
                Some(since) => self.sweep_since(since),
                None => self.sweep_all(),
            };
            let mut queue = self.tasks.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.1 = true;
            drop(queue);
            self.tasks.moved.notify_all();
            swept
        });
        let failure = self.lock().failure.take();
        match failure {
            Some(failure) => Err(failure),
            None => swept,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep_all(&self) -> Result<(), StepError> {
        let looking = &self.looking;
        let (from, to) = (Some(looking.from.clone()), Some(looking.to.clone()));
        let mut join = Join::start(self.io, self.ledger, from, to, &looking.chosen, looking.threads)?;
        let mut from = OpenDirs::new(&looking.from);
        let mut to = OpenDirs::new(&looking.to);
        let mut checked = 0;
        while let Some(seen) = join.next()? {
            if self.io.cancelled() || self.lock_failed() {
                return Err(StepError::cancelled());
            }
            checked += 1;
            let read = self.is_read(&seen.path, seen.record.as_ref());
            if read || self.is_suspect(&mut from, &mut to, &seen) {
                self.send(Task { path: seen.path, record: seen.record, read })?;
            }
            if checked % 1024 == 0 {
                self.io.progress(Progress { records: checked, ..Progress::default() });
            }
        }
        self.lock().checked += checked;
        Ok(())
    }

    fn lock_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Whether the scans alone leave a doubt.
    fn is_suspect(&self, from: &mut OpenDirs<'_>, to: &mut OpenDirs<'_>, seen: &Seen) -> bool {
        let read = self.looking.read;
        match (&seen.record, &seen.read, &seen.written) {
            (Some(record), Some(here), Some(there)) => {
                differs_from_ledger(from, &here.look, record, read).is_some()
                    || here.first != record.first
                    || differs_from_ledger(to, &there.look, record, read.other()).is_some()
                    || there.first != record.first
                    || here.trouble.is_some()
                    || there.trouble.is_some()
            }
            _ => true,
        }
    }

    fn is_read(&self, path: &[u8], record: Option<&Record>) -> bool {
        record.is_some_and(|record| record.kind == Kind::File)
            && xxh3_64(path) <= self.sample
            && self.sample > 0
    }

    /// Looks only at what passes touched since the verification with the ledger `since`, and at what was mapped:
    /// that no pass need have seen.
    fn sweep_since(&self, since: &ArtifactName) -> Result<(), StepError> {
        let mut before = LedgerReader::open(self.io.artifacts(), since)?;
        let mut now = LedgerReader::open(self.io.artifacts(), self.ledger)?;
        let pass = before.about().pass;
        let mut old = before.next_record()?;
        let mut checked = 0;
        while let Some(record) = now.next_record()? {
            if self.io.cancelled() || self.lock_failed() {
                return Err(StepError::cancelled());
            }
            while let Some(gone) = old.take_if(|old| compare_paths(&old.path, &record.path).is_lt()) {
                checked += 1;
                self.send(Task { path: gone.path, record: None, read: false })?;
                old = before.next_record()?;
            }
            if old.as_ref().is_some_and(|old| old.path == record.path) {
                old = before.next_record()?;
            }
            let mapped = self.mapped.contains(&record.print(self.looking.read).ino);
            if record.changed_in > pass || (mapped && record.kind == Kind::File) {
                checked += 1;
                let read = self.is_read(&record.path, Some(&record)) || mapped;
                self.send(Task { path: record.path.clone(), record: Some(record), read })?;
            }
        }
        while let Some(gone) = old.take() {
            checked += 1;
            self.send(Task { path: gone.path, record: None, read: false })?;
            old = before.next_record()?;
        }
        self.lock().checked += checked;
        Ok(())
    }

    fn send(&self, task: Task) -> Result<(), StepError> {
        let mut queue = self.tasks.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.0.len() >= WAITING {
            queue = self.tasks.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.0.push_back(task);
        drop(queue);
        self.tasks.moved.notify_all();
        Ok(())
    }

    /// A worker's life.
    fn serve(&self) {
        let mut examiner = Examiner::new(&self.looking, self.io, self.call.quiet, &self.mapped);
        loop {
            let mut queue = self.tasks.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let task = loop {
                if let Some(task) = queue.0.pop_front() {
                    break task;
                }
                if queue.1 {
                    return;
                }
                queue = self.tasks.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            self.tasks.moved.notify_all();
            if self.lock_failed() {
                continue;
            }
            let verdict = examiner.examine(&task.path, task.record.as_ref(), task.read);
            let mut found = self.lock();
            found.read += std::mem::take(&mut examiner.read);
            found.bytes += std::mem::take(&mut examiner.bytes);
            match verdict {
                Ok(Verdict::Same) => {}
                Ok(Verdict::Residual | Verdict::Missing(_)) if found.is_missing(&self.aside, &task.path) => {}
                Ok(Verdict::Residual) => found.residual += 1,
                Ok(Verdict::Missing(what) | Verdict::Differs(what)) if found.suspects.len() < RECHECKED => {
                    found.suspects.push((task, what));
                }
                Ok(Verdict::Missing(what) | Verdict::Differs(what)) => {
                    found.mismatches.push(VerifyMismatch { key: printed(&task.path), what });
                }
                Err(error) => found.failure = Some(error),
            }
        }
    }
}
