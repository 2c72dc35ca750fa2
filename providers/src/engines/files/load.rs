//! The load: everything, to a side that has none of it yet, from a checkpoint where there is one.

mod begin;
mod mark;

use std::sync::atomic::Ordering;

use segue_contract::{Checkpoint, PassReport, PassTimes, Progress, StepError, StepIo, UnitJob};

use super::apply::{Applier, Change};
use super::close::{self, Merge};
use super::identity::Sides;
use super::mapped::Mapped;
use super::pool::Pool;
use super::position::Digest;
use super::scan::Scan;
use super::work::{Unknown, Work};
use super::{FilesEngine, clock, pass, space};
use crate::engines::beside::side_file;
use crate::ledger::{PartReader, PartWriter, compare_paths, is_below};
use begin::Begin;
use mark::Mark;

/// Microseconds between checkpoints, unless enough bytes were written before.
const CHECKPOINT_US: u64 = 10_000_000;
/// Bytes between checkpoints.
const CHECKPOINT_BYTES: u64 = 2 << 30;
/// The number of the pass that a load is.
const LOAD_PASS: u64 = 1;

/// Runs the load.
pub(crate) fn load(
    engine: &FilesEngine,
    job: &UnitJob,
    from: Option<&Checkpoint>,
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    if job.ledger.is_some() {
        // Loaded already: what is missing is a pass.
        return pass::pass(job, io);
    }
    let begin = Begin::find(job, from, io)?;
    let unknown = if begin.empty { Unknown::Own } else { Unknown::Adopt };
    let mut sides = if from.is_some() { Sides::of(job, io)? } else { Sides::anew(job, io)? };
    let work = Work::open(job, sides.open_known()?, io, unknown, LOAD_PASS, begin.resumed)?;
    // What is mapped while its file is copied is read again later.
    let mapped = Mapped::watch(job, io)?;
    let part_path = side_file(io.artifacts(), "part", job);
    let part = match &begin.mark {
        Some(mark) => PartWriter::resume(&part_path, mark.len, mark.checksum)?,
        None => PartWriter::create(&part_path)?,
    };
    if from.is_none() || begin.mark.is_none() {
        io.checkpoint(Mark::start(begin.empty).encode()?)?;
    }
    let result = Pool::run(&work, |pool| {
        let applier = Applier::new(&work, pool, part);
        Load {
            engine,
            work: &work,
            begin: &begin,
            mapped: &mapped,
            applier,
            digest: Digest::new(),
            done_us: clock::steady_us(),
            bytes: 0,
            records: 0,
        }
        .run()
    });
    result.map_err(|e| space::explain(&work, e))
}

struct Load<'a, 'w, 'p> {
    engine: &'a FilesEngine,
    work: &'w Work<'w>,
    begin: &'a Begin,
    mapped: &'a Mapped,
    applier: Applier<'w, 'p>,
    digest: Digest,
    /// When the last checkpoint was taken, and how many bytes had been written then.
    done_us: u64,
    bytes: u64,
    records: u64,
}

impl Load<'_, '_, '_> {
    fn run(mut self) -> Result<PassReport, StepError> {
        let started = clock::steady_us();
        let work = self.work;
        let mut scan = Scan::start(&work.from, work.chosen.clone(), work.threads)?;
        let walked = self.walk(&mut scan).and_then(|()| self.applier.finish());
        if let Err(error) = walked {
            work.stop.store(true, Ordering::Relaxed);
            // What is done stays done, unless even that cannot be written now.
            let _ = self.checkpoint();
            return Err(error);
        }
        let applied = clock::steady_us();
        close::sync(&work.to, &scan.aside.mounts)?;
        self.applier.out.sync()?;
        if self.begin.resumed {
            begin::remove_leftovers(work, self.applier.out.path())?;
        }
        work.prove()?;
        let ledger = Merge {
            io: work.io,
            to: &work.to,
            write: work.write(),
            pass: work.pass,
            old: None,
            part: self.applier.out.path(),
            relook: false,
            lacking: &self.applier.lacking,
        }
        .run()?;
        pass::tell(work, &scan.aside);
        self.mapped.look()?;
        let tally = std::mem::take(&mut self.applier.tally);
        // What an earlier run carried was scanned then, not now.
        let open = (tally.later > 0 || self.begin.mark.is_some()).then_some(work.pass);
        let times =
            PassTimes { scan_us: 0, apply_us: applied - started, sync_us: clock::steady_us() - applied };
        Ok(pass::report(work, ledger, self.digest.finish(open), scan.aside.entries, tally, times))
    }

    fn walk(&mut self, scan: &mut Scan) -> Result<(), StepError> {
        let low_water = self.begin.mark.as_ref().and_then(|mark| mark.last.clone());
        self.remember_groups()?;
        while let Some(entry) = scan.next()? {
            if self.work.stopping() {
                // A worker's failure comes out of the applier; without one it was asked for.
                if self.work.stop.load(Ordering::Relaxed) {
                    self.applier.finish()?;
                }
                return Err(StepError::cancelled());
            }
            self.digest.add(&entry);
            if let Some(mark) = &low_water
                && compare_paths(&entry.path, mark).is_le()
            {
                if entry.look.kind == crate::ledger::Kind::Dir
                    && (entry.path == *mark || is_below(mark, &entry.path))
                    && entry.trouble.is_none()
                {
                    self.applier.resume_dir(&entry)?;
                }
                continue;
            }
            self.applier.push(Change {
                path: entry.path.clone(),
                new: Some(entry),
                old: None,
                force: false,
            })?;
            if scan.aside.entries.is_multiple_of(256) {
                self.show();
            }
            self.checkpoint_if_due()?;
        }
        self.show();
        Ok(())
    }

    fn show(&self) {
        self.work.io.progress(Progress {
            records: self.applier.out.records(),
            records_total: None,
            bytes: self.work.bytes.load(Ordering::Relaxed),
            bytes_total: None,
        });
    }

    /// The first names below the mark, which later names beyond it are linked to.
    fn remember_groups(&mut self) -> Result<(), StepError> {
        let Some(mark) = &self.begin.mark else {
            return Ok(());
        };
        let mut part = PartReader::open(self.applier.out.path(), Some(mark.len))?;
        while let Some(record) = part.next_record()? {
            if record.linked && record.first.is_none() {
                self.applier.groups.insert(record.path.clone(), record);
            }
        }
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), StepError> {
        let records = self
            .engine
            .checkpoint_records
            .is_some_and(|every| self.applier.out.records() >= self.records + every);
        let bytes = self.work.bytes.load(Ordering::Relaxed);
        let due = records
            || bytes - self.bytes >= CHECKPOINT_BYTES
            || clock::steady_us() - self.done_us >= CHECKPOINT_US;
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// Everything recorded so far is made durable at the target, then here, and only then named (P11).
    fn checkpoint(&mut self) -> Result<(), StepError> {
        self.work.prove()?;
        close::sync(&self.work.to, &[])?;
        let mark = self.applier.out.sync()?;
        self.records = mark.records;
        self.done_us = clock::steady_us();
        self.bytes = self.work.bytes.load(Ordering::Relaxed);
        self.work.io.checkpoint(Mark::at(self.begin.empty, &mark).encode()?)
    }
}
