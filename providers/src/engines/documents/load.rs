//! The load: everything, to a unit that has none of it yet, in windows of change numbers, gone on with from where a dead
//! run was. What changes meanwhile has higher numbers, and is the first pass's.

mod head;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use segue_contract::{Checkpoint, PassReport, PassTimes, Progress, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Stand, Want};
use super::deletions::Gathered;
use super::ledger::{About, Mark, Record, Stood};
use super::made::Made;
use super::notes::Notes;
use super::runs::Entry;
use super::send::{Sender, Sink as _};
use super::sides::{Sides, counted, position, shown};
use super::sorted::{Join, in_batches};
use super::versions::Versions;
use super::windows::Windows;
use super::{merge, report_of};
use crate::engines::beside::side_file;
use head::{Head, Log};

/// The time between two checkpoints: what a death costs at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3);
/// What lies beside the ledgers until the unit is loaded: the log, and the head that says how much of it is to be believed.
const FILES: [&str; 2] = ["load", "load-head"];
/// The number of the pass that a load is.
pub(super) const LOAD_PASS: u64 = 1;
/// The layout of the checkpoint.
const CHECKPOINT: u32 = 1;

/// See [`segue_contract::Engine::load`].
pub(crate) fn load(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    from: Option<&Checkpoint>,
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    let made = provide(target, job, io)?;
    let sides = Sides::open(source, target, job, io)?;
    again(io, || sides.writes.remember(job, io))?;
    let notes = Notes::open(io.artifacts(), job)?;
    if notes.is_resumed() {
        again(io, || sides.write.nothing_on_its_way())?;
    }
    let head = begin(&sides, from, &made)?;
    // What could not be carried of it is told by the first pass.
    again(io, || sides.writes.surround(job, io))?;
    let [log, _] = log_and_head(job, io);
    let log = Log::open(&log, head.len)?;
    believe_head(io)?;
    let there = again(io, || sides.write.stand())?;
    Load { sides: &sides, head, there, began: Instant::now() }.run(log, notes)
}

fn log_and_head(job: &UnitJob, io: &dyn StepIo) -> [PathBuf; 2] {
    FILES.map(|what| side_file(io.artifacts(), what, job))
}

/// Forgets what a load noted for its successor.
pub(super) fn forget(job: &UnitJob, io: &dyn StepIo) {
    for path in log_and_head(job, io) {
        // Best effort: a file that stays takes room and does no harm.
        let _ = std::fs::remove_file(path);
    }
}

/// Says that what was noted beside the ledgers is to be believed: that is all that a checkpoint says here.
pub(super) fn believe_head(io: &dyn StepIo) -> Result<(), StepError> {
    io.checkpoint(Checkpoint { version: CHECKPOINT, bytes: Vec::new() })
}

/// Makes the unit that is written where it is not there. Whether Segue made it, now or in a run that died.
fn provide(target: &dyn Documents, job: &UnitJob, io: &dyn StepIo) -> Result<Made, StepError> {
    let made = Made::of(io.artifacts(), job);
    if !again(io, || target.exists(job.writes(), io))? {
        made.note()?;
    }
    if made.is_noted() {
        again(io, || target.make(job, io))?;
    }
    Ok(made)
}

/// From where the load goes: from a dead run's head, or from the beginning.
fn begin(sides: &Sides<'_>, from: Option<&Checkpoint>, made: &Made) -> Result<Head, StepError> {
    let (job, io) = (sides.job, sides.io);
    let [_, path] = log_and_head(job, io);
    let there = again(io, || sides.write.stand())?;
    made.note_incarnation(&there.incarnation)?;
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
    let count = counted(&*sides.write, io)?;
    if count > 0 && !sides.adds() && !made.is(&there.incarnation)? {
        return Err(not_empty(job, count));
    }
    let versions = Versions::none().next(job.direction, &here, 0);
    let lows = vec![0; here.slices.len()];
    // What clients wrote there since is looked at on the way back: nobody can tell it from what Segue adds.
    let beside = sides.adds().then(|| there.carried());
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
        let windows = Windows::new(&self.head.lows, &self.head.stand.settled());
        again(io, || sides.read.show())?;
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
        let stand = shown(&*sides.write, io)?;
        let there = sides.keys(sides.to(), &Windows::all(&stand))?;
        let mut join = Join::of(known.finish()?, there)?;
        let (mut gathered, mut carried_in_all) = (Gathered::new(sides), 0);
        let of_the_dead = |(carried, found): (Option<Entry>, Option<Entry>)| {
            carried_in_all += u64::from(carried.is_some());
            let record = found.filter(|_| carried.is_none())?.record;
            let of_the_dead = sender.knows(&record.key, record.mark(sides.to()).version);
            carried_in_all += u64::from(of_the_dead);
            of_the_dead.then_some(record)
        };
        in_batches(|| join.next(), of_the_dead, |some| self.settle_some(sender, some, &mut gathered))?;
        match gathered.allowed(sides, carried_in_all)? {
            Ok(few) => few.make(sender, self.head.stand.bound()),
            // The first pass finds them, and asks: it has a ledger, which an acceptance names.
            Err(many) => many.keep_as_carried(sides.from(), |entry| sender.sink().push(entry)),
        }
    }

    fn settle_some(
        &self,
        sender: &Sender<'_, Log>,
        some: Vec<Record>,
        gathered: &mut Gathered,
    ) -> Result<(), StepError> {
        let now = self.sides.now(self.sides.from(), &some)?;
        for (mut record, now) in some.into_iter().zip(now) {
            let Some(now) = now else {
                gathered.add_dead(record)?;
                continue;
            };
            // It changed since the load began: the first pass carries it, and is to know whose the old one is.
            record.set_mark(self.sides.from(), Mark::new(now.version, now.number));
            sender.sink().push(Entry { record, gone: false })?;
        }
        Ok(())
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
        let [_, path] = log_and_head(self.sides.job, self.sides.io);
        head.write(&path)?;
        believe_head(self.sides.io)
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
        let from = sides.from();
        let (runs, (read, written)) = log.entries(io.artifacts(), from)?;
        let draft = merge::merge(io.artifacts(), None, runs.finish()?, from, &self.head.stand)?;
        let versions = Versions { epoch, ..self.head.versions };
        let read = Stood { stand: self.head.stand.carried(), highest: read };
        let written = Stood { stand: there, highest: written };
        let about = About::new(LOAD_PASS, tally.bytes, versions, from, read, written);
        let live = draft.live(from);
        let ledger = draft.finish(io.artifacts(), about)?;
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
        let now = again(self.sides.io, || self.sides.write.stand())?;
        let alone = !resumed && now.is_settled() && now.changes() == self.there.changes() + taken;
        Ok(if alone { now } else { now.unseen() })
    }
}
