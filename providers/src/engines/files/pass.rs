//! A pass: what changed since the ledger, carried; with a whole look at the written side where others
//! may write there (protocol P21).

mod compare;
mod walk;

use std::sync::PoisonError;

use segue_contract::{
    ArtifactName, AuditReport, Direction, Finding, PassReport, PassTimes, Position, Severity, StepError,
    StepIo, UnitJob, segue,
};

use super::apply::{Applier, Tally};
use super::close::{self, Merge};
use super::deletions;
use super::identity::Sides;
use super::pool::Pool;
use super::renames::{self, MoveLog};
use super::scan::{self, Aside};
use super::work::{Unknown, Work};
use super::{audit, clock, space};
use crate::engines::beside::side_file;
use crate::ledger::{self, PartWriter};
pub(crate) use compare::{differs_from_ledger, is_unchanged};
pub(crate) use walk::Forced;
use walk::{Walk, Walked};

/// What every call but a load needs.
pub(crate) fn ledger_of(job: &UnitJob) -> Result<&ArtifactName, StepError> {
    job.ledger.as_ref().ok_or_else(|| {
        StepError::permanent(format!("{} {} has no ledger yet", job.migration, job.unit))
            .remedy(format!("load it first: `{}`", segue(&["apply"])))
    })
}

/// One pass.
pub(crate) fn pass(job: &UnitJob, io: &dyn StepIo) -> Result<PassReport, StepError> {
    carry(job, &Forced::None, io)
}

/// One pass that also carries what is forced. When its audit finds a change that no fingerprint showed, it ends like one
/// that died, and another, which compares all content, goes on.
pub(crate) fn carry(job: &UnitJob, forced: &Forced, io: &dyn StepIo) -> Result<PassReport, StepError> {
    let mut terms = audit::Terms::begin(job, io)?;
    let mut audit = AuditReport::default();
    let mut tried = try_carry(job, forced, &terms, io)?;
    if let Tried::Missed(found) = tried {
        audit = found;
        terms.all = true;
        tried = try_carry(job, forced, &terms, io)?;
    }
    audit::tell_refused(&terms, io);
    match tried {
        Tried::Done(report) if terms.all => {
            let AuditReport { sampled, missed, .. } = audit;
            Ok(PassReport { audit: AuditReport { sampled, missed, ..report.audit }, ..*report })
        }
        Tried::Done(report) => Ok(*report),
        // A walk that compares everything takes no sample.
        Tried::Missed(_) => Err(StepError::permanent("a pass that compared all content missed some of it")),
    }
}

/// How a try of a pass ended.
enum Tried {
    Done(Box<PassReport>),
    /// Files that looked unchanged had changed: nothing that looks unchanged is believed any more.
    Missed(AuditReport),
}

impl Tried {
    fn ledger(&self) -> Option<&ArtifactName> {
        match self {
            Self::Done(report) => Some(&report.ledger),
            Self::Missed(_) => None,
        }
    }
}

fn try_carry(
    job: &UnitJob,
    forced: &Forced,
    terms: &audit::Terms,
    io: &dyn StepIo,
) -> Result<Tried, StepError> {
    let name = ledger_of(job)?;
    let number = ledger::summary(io.artifacts(), name)?.pass + 1;
    let trees = Sides::of(job, io)?.open_known()?;
    let work = Work::open(job, trees, io, Unknown::Stale, number, false)?;
    let part_path = side_file(io.artifacts(), "pass", job);
    let whole =
        job.direction == Direction::Reverse || work.inflight.is_resumed() || !forced.is_none() || terms.all;
    let started = clock::steady_us();
    let mut log = MoveLog::open(job, &work)?;
    let mut base = log.apply(&work, name)?;
    let mut rounds = if forced.is_none() && !terms.all { renames::ROUNDS } else { 0 };
    let result = loop {
        let from = base.as_ref().unwrap_or(name);
        let result = Pool::run(&work, |pool| {
            let mut applier = Applier::new(&work, pool, PartWriter::create(&part_path)?);
            let walk = Walk::start(&work, from, forced, whole, rounds > 0, terms)?;
            let walked =
                walk.run(&mut applier).and_then(|walked| settle(&work, &mut log, &mut applier, walked));
            if walked.is_err() {
                work.stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            let Some(mut walked) = walked? else { return Ok(None) };
            if let Some(miss) = walked.miss.take() {
                applier.finish()?;
                work.io.find(miss);
                return Ok(Some(Tried::Missed(walked.audit)));
            }
            let report = finish(&work, (name, from), forced, applier, walked, started)?;
            Ok(Some(Tried::Done(Box::new(report))))
        });
        match result {
            Ok(None) => {
                // The written side moved: the ledger of now is found anew, and so is what is left to carry.
                rounds -= 1;
                forget(io, base.take());
                base = log.apply(&work, name)?;
            }
            Ok(Some(tried)) => break Ok(tried),
            Err(error) => break Err(error),
        }
    };
    let done = result.map_err(|e| space::explain(&work, e));
    let ledger = done.as_ref().ok().and_then(Tried::ledger);
    forget(io, base.filter(|base| ledger != Some(base)));
    // Only a record of this run; what it says is in the ledger or will be found again.
    let _ = std::fs::remove_file(&part_path);
    done
}

/// What a walk held back: renamed where it was renamed (then there is nothing to go on with but another walk), and
/// handed on where not.
fn settle(
    work: &Work<'_>,
    log: &mut MoveLog,
    applier: &mut Applier<'_, '_>,
    mut walked: Walked,
) -> Result<Option<Walked>, StepError> {
    let Some(held) = walked.held.take() else { return Ok(Some(walked)) };
    if renames::carry(work, log, &held, walked.seen)? {
        return Ok(None);
    }
    walked.deleting.check(&work.deletions)?;
    for change in held {
        if work.stopping() {
            applier.finish()?;
            return Err(StepError::cancelled());
        }
        applier.push(change)?;
    }
    Ok(Some(walked))
}

/// Removes a ledger that was only a step between two.
pub(crate) fn forget(io: &dyn StepIo, base: Option<ArtifactName>) {
    if let Some(base) = base {
        // Best effort: ledgers that nobody names are collected.
        let _ = std::fs::remove_file(io.artifacts().join(&base.0));
    }
}

/// Ends a pass; of the two ledgers, the first is the one it began from, the second that with what was renamed.
fn finish(
    work: &Work<'_>,
    (name, base): (&ArtifactName, &ArtifactName),
    forced: &Forced,
    mut applier: Applier<'_, '_>,
    walked: Walked,
    started: u64,
) -> Result<PassReport, StepError> {
    applier.finish()?;
    walk::remove_unfinished(work, &walked.leftovers)?;
    applier.remove_emptied()?;
    let applied = clock::steady_us();
    applier.out.flush()?;
    // What was read and written counts only if both were themselves to the end.
    work.prove()?;
    let mut ledger = base.clone();
    if applier.tally.touched || applier.out.records() > 0 || base != name {
        close::sync(&work.to, &walked.aside.mounts)?;
        ledger = Merge {
            io: work.io,
            to: &work.to,
            write: work.write(),
            pass: work.pass,
            old: Some(base),
            part: applier.out.path(),
            relook: !forced.is_none(),
            lacking: &applier.lacking,
        }
        .run()?;
    }
    if ledger == *name {
        work.inflight.clear()?;
    }
    tell(work, &walked.aside);
    deletions::settle(work, applier.tally.kept.as_ref())?;
    let mut tally = std::mem::take(&mut applier.tally);
    work.finds.add_earlier(&mut tally.stale);
    let open = (tally.later > 0).then_some(work.pass);
    let times = PassTimes {
        scan_us: walked.scan_us,
        apply_us: (applied - started).saturating_sub(walked.scan_us),
        sync_us: clock::steady_us() - applied,
    };
    let report = report(work, ledger, walked.digest.finish(open), walked.aside.entries, tally, times);
    Ok(PassReport { audit: walked.audit, ..report })
}

/// Tells what a scan came across.
pub(crate) fn tell(work: &Work<'_>, aside: &Aside) {
    for path in &aside.mounts {
        work.io.find(Finding {
            severity: Severity::Warning,
            code: "FILES_MOUNT".to_owned(),
            summary: format!("another file system is mounted on {}", scan::place(&work.from, path)),
            remedy: "Its content is carried into the same tree; exclude the directory if that is not meant."
                .to_owned(),
        });
    }
    if work.coarse.load(std::sync::atomic::Ordering::Relaxed) {
        work.io.find(Finding {
            severity: Severity::Warning,
            code: "FILES_TIMES".to_owned(),
            summary: format!("the file system of {} rounds the times of files", work.to.root().display()),
            remedy: "Tools that compare times to the nanosecond will see a difference; Segue allows for it."
                .to_owned(),
        });
    }
    let (flagged, first) = work.flagged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if flagged > 0 {
        work.io.find(Finding {
            severity: Severity::Warning,
            code: "FILES_FLAGS".to_owned(),
            summary: format!(
                "{flagged} files that were carried are immutable or append-only, the first: {}: these flags are not \
                 carried",
                scan::place(&work.from, &first)
            ),
            remedy: "Set them at the target with `chattr` once it serves; `lsattr -R` lists them. On the way back Segue \
                     cannot write to such a file."
                .to_owned(),
        });
    }
    if aside.sockets > 0 {
        work.io.find(Finding {
            severity: Severity::Info,
            code: "FILES_SOCKETS".to_owned(),
            summary: format!("{} sockets in {} were left out", aside.sockets, work.from.root().display()),
            remedy: "Nothing: whoever listens makes its socket anew.".to_owned(),
        });
    }
}

/// Puts a report together.
pub(crate) fn report(
    work: &Work<'_>,
    ledger: ArtifactName,
    position: Position,
    records_seen: u64,
    tally: Tally,
    times: PassTimes,
) -> PassReport {
    PassReport {
        ledger,
        position,
        records_seen,
        records_written: tally.written,
        records_deleted: tally.deleted,
        bytes_written: work.bytes.load(std::sync::atomic::Ordering::Relaxed),
        set_aside: tally.set_aside.list,
        set_aside_total: tally.set_aside.total,
        stale: tally.stale.list,
        stale_total: tally.stale.total,
        times,
        kept_deleted: tally.kept,
        audit: AuditReport::default(),
    }
}
