//! Drift and stale writes, from metadata alone: what waits for a pass on the live side, and what changed
//! behind Segue's back on the other.

use std::sync::Arc;

use segue_contract::{
    DriftReport, StaleFind, StaleReport, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel, VerifyMismatch,
};

use super::deletions::Deleting;
use super::identity::Sides;
use super::inflight::Inflight;
use super::join::{Join, Seen};
use super::keep::holder;
use super::pass::{differs_from_ledger, forget, is_unchanged, ledger_of};
use super::put::{Hand, There};
use super::renames::MoveLog;
use super::scan::Scan;
use super::select::Chosen;
use super::tree::{OpenDirs, printed};
use super::verify::verify;
use super::work::{Looking, Unknown, Work, threads};
use crate::engines::beside::side_file;
use crate::engines::report::Bounded;

/// Finds for which the process is looked up: each costs a walk through /proc.
const LOOKED_UP: u64 = 20;

/// Before the first load everything waits, and the other side may not be there yet.
fn everything(job: &UnitJob, io: &dyn StepIo) -> Result<DriftReport, StepError> {
    let from = Arc::new(Sides::to_look(job, io)?.open(job.direction.from())?);
    let mut scan = Scan::start(&from, Arc::new(Chosen::new(&job.select)?), threads(job))?;
    let mut report = DriftReport::default();
    while let Some(entry) = scan.next()? {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        report.waiting_records += 1;
        report.waiting_bytes += entry.look.size;
    }
    report.needs_bytes = Some(scan.aside.disk_bytes);
    Ok(report)
}

/// See [`segue_contract::Engine::drift`].
pub(crate) fn drift(job: &UnitJob, level: VerifyLevel, io: &dyn StepIo) -> Result<DriftReport, StepError> {
    if job.ledger.is_none() {
        return everything(job, io);
    }
    let looking = Looking::open(job, io)?;
    let (from, to) = (Some(looking.from.clone()), Some(looking.to.clone()));
    let mut join = Join::start(io, ledger_of(job)?, from, to, &looking.chosen, looking.threads)?;
    let mut from = OpenDirs::new(&looking.from);
    let mut to = OpenDirs::new(&looking.to);
    // What a pass that died was doing is its own, and the next one's to finish: nobody else's.
    let (dead, _) = Inflight::looked_at(&side_file(io.artifacts(), "inflight", job), job.ledger.as_ref())?;
    let mut report = DriftReport::default();
    let mut deleting = Deleting::default();
    let mut drifted = Bounded::default();
    while let Some(seen) = join.next()? {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        deleting.see(&seen, looking.read, &looking.chosen);
        let waits = match (&seen.read, &seen.record) {
            (Some(entry), Some(record)) => {
                // What is only too fresh to be sure of waits for nothing.
                let mut record = record.clone();
                let mut print = *record.print(looking.read);
                print.hot = false;
                record.set_print(looking.read, print);
                !is_unchanged(&mut from, entry, &record, looking.read)
            }
            (None, None) => false,
            _ => true,
        };
        if waits {
            report.waiting_records += 1;
            report.waiting_bytes += seen.read.as_ref().map_or(0, |entry| entry.look.size);
        }
        if level != VerifyLevel::Full
            && let Some(what) = written_differs(&mut to, &seen, looking.read.other())
            && !is_of_the_dead(&dead, &seen, &what)
        {
            drifted.push(VerifyMismatch { key: printed(&seen.path), what });
        }
    }
    looking.prove()?;
    report.waiting_deletions = Some(deleting.count());
    (report.drifted, report.drifted_total) = (drifted.list, drifted.total);
    if level == VerifyLevel::Full {
        let found = verify(job, &VerifyCall { level, since: None, quiet: false, set_aside: Vec::new() }, io)?;
        (report.drifted, report.drifted_total) = (found.mismatches, found.mismatches_total);
    }
    Ok(report)
}

/// Whether a pass that died explains what differs: it noted the path; or it moved the times of the directory above, or
/// the change time of a file by taking another of its names away.
fn is_of_the_dead(dead: &Inflight, seen: &Seen, what: &str) -> bool {
    let look = seen.written.as_ref().map(|entry| &entry.look);
    dead.is_resumed() && (matches!(what, "times" | "touched") || dead.knows(&seen.path, look))
}

fn written_differs(to: &mut OpenDirs<'_>, seen: &Seen, side: segue_contract::Side) -> Option<String> {
    match (&seen.written, &seen.record) {
        (Some(entry), Some(record)) => differs_from_ledger(to, &entry.look, record, side).map(str::to_owned),
        (Some(_), None) => Some(format!("extra at {side}")),
        (None, Some(_)) => Some(format!("missing at {side}")),
        (None, None) => None,
    }
}

/// See [`segue_contract::Engine::stale`].
pub(crate) fn stale(job: &UnitJob, io: &dyn StepIo) -> Result<StaleReport, StepError> {
    let work = Work::open(job, Sides::to_look(job, io)?.open_both()?, io, Unknown::Stale, 0, false)?;
    let name = ledger_of(job)?;
    // What a pass that died renamed is no stale writer's.
    let base = MoveLog::open(job, &work)?.apply(&work, name)?;
    let from = base.as_ref().unwrap_or(name);
    let mut join = Join::start(io, from, None, Some(work.to.clone()), &work.chosen, work.threads)?;
    let mut hand = Hand::new(&work);
    let mut to = OpenDirs::new(&work.to);
    let mut finds = Bounded::default();
    let mut seen_total = 0;
    while let Some(seen) = join.next()? {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        seen_total += 1;
        let what = match (&seen.written, &seen.record) {
            (Some(_), None) => "created",
            (None, Some(_)) => "deleted",
            (None, None) => continue,
            (Some(entry), Some(record)) => {
                match differs_from_ledger(&mut to, &entry.look, record, work.write()) {
                    // Directories' times tell of entries, which are told themselves.
                    Some("times") => continue,
                    Some(_) => "changed",
                    None if record.print(work.write()).hot => {
                        let dir = hand
                            .to
                            .parent(&seen.path)
                            .map_err(|e| work.to.failed("look at", &seen.path, e))?;
                        match hand.there(&dir, &seen.path, Some(record))? {
                            There::Other(..) => "changed",
                            There::Ours(_) | There::Nothing | There::Alias(_) => continue,
                        }
                    }
                    None => continue,
                }
            }
        };
        // A pass that died was on its way here.
        if work.inflight.knows(&seen.path, seen.written.as_ref().map(|entry| &entry.look)) {
            continue;
        }
        let process = (finds.total < LOOKED_UP).then(|| holder(&work.to.full(&seen.path))).flatten();
        finds.push(StaleFind { key: printed(&seen.path), what: what.to_owned(), kept: None, process });
    }
    forget(io, base);
    work.prove()?;
    Ok(StaleReport { records_seen: seen_total, finds: finds.list, total: finds.total })
}
