//! The load: everything, to a unit that has none of it yet, in windows of change numbers, gone on with from where a dead
//! run was. What changes meanwhile has higher numbers, and is the first pass's.

mod head;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use segue_contract::{Checkpoint, PassReport, PassTimes, Progress, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Key, Stand, Want};
use super::gone::Census;
use super::keys::{all, keys};
use super::ledger::{About, Mark, Record};
use super::notes::Notes;
use super::runs::Entry;
use super::send::{Sender, Sink as _};
use super::sides::{Sides, position};
use super::versions::Versions;
use super::windows::Windows;
use super::{merge, report_of};
use crate::engines::beside::side_file;
use head::{Head, Log};

/// The time between two checkpoints: what a death costs at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3);
/// Keys that are asked for at once.
const READ_AT_ONCE: usize = 500;
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
    let notes = Notes::open(io.artifacts(), job)?;
    if notes.is_resumed() {
        again(io, || sides.write.nothing_on_its_way())?;
    }
    let head = begin(&sides, from, made)?;
    let log = Log::open(&side_file(io.artifacts(), "load", job), head.len)?;
    io.checkpoint(Checkpoint { version: CHECKPOINT, bytes: Vec::new() })?;
    let there = again(io, || sides.write.stand())?;
    Load { sides: &sides, head, there, began: Instant::now() }.run(log, notes)
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
    let count = again(io, || sides.write.count())?;
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
    /// Where the side that is written stood when this run began.
    there: Stand,
    began: Instant,
}

impl Load<'_> {
    fn run(self, log: Log, notes: Notes) -> Result<PassReport, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let to: Vec<u64> = self.head.stand.slices.iter().map(|slice| slice.settled).collect();
        let windows = Windows::new(&self.head.lows, &to);
        let all = again(io, || sides.read.count()).ok();
        let resumed = notes.is_resumed();
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
        let done = carried.and_then(|()| if resumed { self.settle_dead(&sender) } else { Ok(()) });
        if let Err(error) = done {
            // What is done stays done, unless even that cannot be written now.
            let _ = self.checkpoint(&windows, &sender);
            return Err(error);
        }
        self.finish(sender, resumed)
    }

    /// What a run that died had written, and what was deleted or changed since at the side that is read, is in no log: it
    /// is deleted, or noted for the first pass. What somebody else put there is not touched here.
    fn settle_dead(&self, sender: &Sender<'_, Log>) -> Result<(), StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let (known, _) = sender.sink().entries(io.artifacts(), sides.from())?;
        let mut known = known.finish()?;
        let stand = again(io, || sides.write.stand())?;
        let mut there = keys(&*sides.write, sides.to(), &all(&stand), sides.workers(), io)?;
        let mut next = known.next()?;
        let mut some = Vec::new();
        while let Some(found) = there.next()? {
            while next.as_ref().is_some_and(|next| next.record.key < found.record.key) {
                next = known.next()?;
            }
            let carried = next.as_ref().is_some_and(|next| next.record.key == found.record.key);
            if !carried && sender.knows(&found.record.key, found.record.mark(sides.to()).version) {
                some.push(found.record);
            }
            if some.len() >= READ_AT_ONCE {
                self.settle_some(sender, &std::mem::take(&mut some))?;
            }
        }
        self.settle_some(sender, &some)
    }

    fn settle_some(&self, sender: &Sender<'_, Log>, some: &[Record]) -> Result<(), StepError> {
        if some.is_empty() {
            return Ok(());
        }
        self.sides.go_on()?;
        let asked: Vec<Key> = some.iter().map(|record| record.key.clone()).collect();
        let read = again(self.sides.io, || self.sides.read.read(&asked, Want::Keys))?;
        let mut gone = Vec::new();
        for (record, now) in some.iter().zip(read) {
            let Some(now) = now else {
                gone.push(record.clone());
                continue;
            };
            // It changed since the load began: the first pass carries it, and is to know whose the old one is.
            let mut record = record.clone();
            record.set_mark(self.sides.from(), Mark::new(now.version, now.number));
            sender.sink().push(Entry { record, gone: false })?;
        }
        let settled = self.head.stand.slices.iter().map(|slice| slice.settled);
        sender.delete(&gone, settled.max().unwrap_or(0))
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

    fn finish(self, sender: Sender<'_, Log>, resumed: bool) -> Result<PassReport, StepError> {
        let (sides, io) = (self.sides, self.sides.io);
        let applied = self.began.elapsed();
        let (mut log, tally, epoch) = sender.finish();
        again(io, || sides.writes.serve(sides.job, io))?;
        let there = match &self.head.beside {
            Some(beside) => beside.clone(),
            None => self.stand_written(tally.taken, resumed)?,
        };
        let bytes = tally.bytes;
        let (runs, log_highest) = log.entries(io.artifacts(), sides.from())?;
        let draft = merge::merge(io.artifacts(), None, runs.finish()?, sides.from(), Census::none())?;
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
        let live = draft.live;
        let ledger = draft.finish(about, true)?;
        let times = PassTimes {
            scan_us: 0,
            apply_us: super::micros(applied),
            sync_us: super::micros(self.began.elapsed() - applied),
        };
        let at = position(&self.head.stand, |slice| slice.settled, tally.later);
        Ok(report_of(ledger, live, at, tally, times))
    }

    /// Where the side that is written stands. If somebody else may have written there meanwhile, nothing of it counts as
    /// looked at: the first pass holds all of it against the ledger.
    fn stand_written(&self, taken: u64, resumed: bool) -> Result<Stand, StepError> {
        let mut now = again(self.sides.io, || self.sides.write.stand())?;
        let sum = |stand: &Stand| stand.slices.iter().map(|slice| slice.all).sum::<u64>();
        if resumed || !now.is_settled() || sum(&now) != sum(&self.there) + taken {
            for slice in &mut now.slices {
                (slice.settled, slice.all) = (0, 0);
            }
        }
        Ok(now)
    }
}
