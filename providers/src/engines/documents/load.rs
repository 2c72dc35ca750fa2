//! The load: everything, to a unit that has none of it yet, in windows of change numbers, gone on with from where a dead
//! run was. What changes meanwhile has higher numbers, and is the first pass's.

mod head;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use segue_contract::{Checkpoint, PassReport, PassTimes, Progress, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Stand, Want};
use super::ledger::About;
use super::notes::Notes;
use super::send::Sender;
use super::sides::{Sides, position};
use super::versions::Versions;
use super::windows::Windows;
use super::{merge, report_of};
use crate::engines::beside::side_file;
use head::{Head, Log};

/// The time between two checkpoints: what a death costs at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3);
/// The number of the pass that a load is.
const LOAD_PASS: u64 = 1;
/// The layout of the checkpoint: it says only that the head is to be believed.
const CHECKPOINT: u32 = 1;

/// See [`segue_contract::Engine::load`].
pub(crate) fn load(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    from: Option<&Checkpoint>,
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    if job.ledger.is_some() {
        // Loaded already: what is missing is a pass.
        return super::pass::pass(source, target, job, &[], io);
    }
    let made = provide(target, job, io)?;
    let sides = Sides::open(source, target, job, io)?;
    again(io, || sides.writes.remember(job, io))?;
    let head = begin(&sides, from, made)?;
    let log = Log::open(&side_file(io.artifacts(), "load", job), head.len)?;
    io.checkpoint(Checkpoint { version: CHECKPOINT, bytes: Vec::new() })?;
    Load { sides: &sides, head, began: Instant::now() }.run(log)
}

/// Makes the unit that is written where it is not there. Whether Segue made it, now or in a run that died.
fn provide(target: &dyn Documents, job: &UnitJob, io: &dyn StepIo) -> Result<bool, StepError> {
    let note = super::release::made_note(io.artifacts(), job);
    let exists = again(io, || target.exists(job.writes(), io))?;
    if !exists {
        // Before it is made: a death between the two leaves nothing that nobody knows of.
        segue_contract::paths::replace(&note, b"")?;
    }
    let made = note.exists();
    if made {
        again(io, || target.make(job, io))?;
    }
    Ok(made)
}

/// From where the load goes: from a dead run's head, or from the beginning.
fn begin(sides: &Sides<'_>, from: Option<&Checkpoint>, made: bool) -> Result<Head, StepError> {
    let (job, io) = (sides.job, sides.io);
    let path = side_file(io.artifacts(), "load-head", job);
    let there = again(io, || sides.write.stand())?;
    let here = again(io, || sides.read.stand())?;
    let known = if from.is_some() { Head::read(&path)? } else { None };
    if let Some(mut head) = known
        && head.written == there.incarnation
    {
        if head.stand.incarnation != here.incarnation {
            // Made anew under the same name: everything is read anew; what is no longer there, a pass finds.
            head.versions = head.versions.next(job.direction, &here, 0);
            head.lows = vec![0; here.slices.len()];
            head.stand = here;
            head.write(&path)?;
        }
        return Ok(head);
    }
    let count = again(io, || sides.write.count(None))?;
    if count > 0 && !made && !sides.adds() {
        return Err(not_empty(job, count));
    }
    let versions = Versions::none().next(job.direction, &here, 0);
    let lows = vec![0; here.slices.len()];
    // What clients wrote there since is looked at on the way back: nobody can tell it from what Segue adds.
    let beside = sides.adds().then(|| super::carried(&there));
    let head = Head { stand: here, versions, written: there.incarnation, lows, len: 0, beside };
    head.write(&path)?;
    Ok(head)
}

/// What is there is somebody's.
pub(super) fn not_empty(job: &UnitJob, count: u64) -> StepError {
    StepError::permanent(format!(
        "{}: {} holds {count} documents that segue did not write",
        job.writes().address,
        job.writes().scope.join(", ")
    ))
    .remedy("empty it, or give the unit another name at the target with select { rename }")
}

struct Load<'a> {
    sides: &'a Sides<'a>,
    head: Head,
    began: Instant,
}

impl Load<'_> {
    fn run(self, log: Log) -> Result<PassReport, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let to: Vec<u64> = self.head.stand.slices.iter().map(|slice| slice.settled).collect();
        let windows = Windows::new(&self.head.lows, &to);
        let all = again(io, || sides.read.count(None)).ok();
        // A load has the log: what a dead run wrote is of the same versions.
        let notes = Notes::open(io.artifacts(), sides.job)?;
        let sender = Sender::new(sides, notes, self.head.versions.epoch, LOAD_PASS, log);
        let last = Mutex::new(Instant::now());
        let each = |found| sender.carry(found);
        let after = || {
            let tally = sender.tally();
            io.progress(Progress {
                records: tally.seen,
                records_total: all,
                bytes: tally.bytes,
                bytes_total: None,
            });
            drop(tally);
            self.checkpoint_if_due(&windows, &sender, &last)
        };
        let carried = windows.run(&*sides.read, Want::Bodies, sides.workers(), io, &each, &after);
        if let Err(error) = carried {
            // What is done stays done, unless even that cannot be written now.
            let _ = self.checkpoint(&windows, &sender);
            return Err(error);
        }
        self.finish(sender)
    }

    fn checkpoint_if_due(
        &self,
        windows: &Windows,
        sender: &Sender<'_, Log>,
        last: &Mutex<Instant>,
    ) -> Result<(), StepError> {
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() < CHECKPOINT_EVERY {
            return Ok(());
        }
        self.checkpoint(windows, sender)?;
        *last = Instant::now();
        Ok(())
    }

    /// What the written side has taken is durable there; then the log, then the head, and only then is it named (P11).
    fn checkpoint(&self, windows: &Windows, sender: &Sender<'_, Log>) -> Result<(), StepError> {
        let lows = windows.lows();
        let len = sender.sink().sync()?;
        let head = Head { lows, len, ..self.head.clone() };
        head.write(&side_file(self.sides.io.artifacts(), "load-head", self.sides.job))?;
        self.sides.io.checkpoint(Checkpoint { version: CHECKPOINT, bytes: Vec::new() })
    }

    fn finish(self, sender: Sender<'_, Log>) -> Result<PassReport, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let applied = self.began.elapsed();
        let (log, tally, epoch) = sender.finish();
        again(io, || sides.writes.serve(sides.job, io))?;
        let there: Stand = match &self.head.beside {
            Some(beside) => beside.clone(),
            None => again(io, || sides.write.stand())?,
        };
        let bytes = tally.bytes;
        let (runs, log_highest) = log.entries(io.artifacts(), sides.from())?;
        let draft = merge::merge(io.artifacts(), None, runs.finish()?, sides.from())?;
        let versions = Versions { epoch, ..self.head.versions };
        let carried = super::carried(&self.head.stand);
        let (source, target) = match sides.from() {
            segue_contract::Side::Source => (carried, there),
            segue_contract::Side::Target => (there, carried),
        };
        let (source_highest, target_highest) = match sides.from() {
            segue_contract::Side::Source => (log_highest.0, log_highest.1),
            segue_contract::Side::Target => (log_highest.1, log_highest.0),
        };
        let about = About {
            pass: LOAD_PASS,
            records: 0,
            bytes,
            aside: 0,
            source,
            target,
            source_highest,
            target_highest,
            versions,
        };
        let ledger = draft.finish(about)?;
        let times = PassTimes {
            scan_us: 0,
            apply_us: super::micros(applied),
            sync_us: super::micros(self.began.elapsed() - applied),
        };
        let at = position(&self.head.stand, |slice| slice.settled, tally.later);
        Ok(report_of(ledger, at, tally, times))
    }
}
