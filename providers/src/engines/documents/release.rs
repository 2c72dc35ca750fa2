//! Abandoning: what Segue made at the declared target is removed; of a unit that was there before, what Segue put there.

use std::path::{Path, PathBuf};

use segue_contract::{Direction, Finding, Severity, Side, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Documents, Key, Want, Write, Written};
use super::ledger::Reader;
use crate::engines::beside::side_file;

/// Documents that are looked at at once.
const AT_ONCE: usize = 500;

/// The note that Segue makes the unit of a job's target, or made it.
pub(crate) fn made_note(artifacts: &Path, job: &UnitJob) -> PathBuf {
    let forward = UnitJob { direction: Direction::Forward, ..job.clone() };
    side_file(artifacts, "made", &forward)
}

/// See [`segue_contract::Engine::release`].
pub(crate) fn release(
    target: &dyn Documents,
    job: &UnitJob,
    made: bool,
    io: &dyn StepIo,
) -> Result<(), StepError> {
    super::fill::stop(target, job, io)?;
    let note = made_note(io.artifacts(), job);
    if made || note.exists() {
        again(io, || target.remove(job, io))?;
    } else if again(io, || target.exists(&job.target, io))? {
        // What somebody else put there cannot be told from what segue added.
        match super::fill::Way::of(&UnitJob { direction: Direction::Forward, ..job.clone() }).is_shared() {
            true => left(job, "what is there is somebody's, too, and was left as it is", io),
            false => take_out(target, job, io)?,
        }
        again(io, || target.forget(job, io))?;
    }
    for what in ["load", "load-head"] {
        let _ = std::fs::remove_file(side_file(io.artifacts(), what, job));
    }
    let _ = std::fs::remove_file(note);
    Ok(())
}

/// Deletes what has the version that Segue gave it; everything else is somebody's.
fn take_out(target: &dyn Documents, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
    let Some(ledger) = &job.ledger else { return Ok(()) };
    let there = target.open(&job.target, io)?;
    let mut reader = Reader::open(io.artifacts(), ledger)?;
    let (mut batch, mut remaining) = (Vec::new(), 0u64);
    loop {
        let record = reader.next_record()?;
        let last = record.is_none();
        batch.extend(record.filter(|record| record.mark(Side::Target).version > 0));
        if batch.len() >= AT_ONCE || (last && !batch.is_empty()) {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let keys: Vec<Key> = batch.iter().map(|record| record.key.clone()).collect();
            let now = again(io, || there.read(&keys, Want::Keys))?;
            let mut writes = Vec::new();
            for (record, now) in batch.drain(..).zip(now) {
                match now {
                    Some(now) if now.version == record.mark(Side::Target).version => {
                        writes.push(Write { key: record.key, version: now.version + 1, body: None });
                    }
                    Some(_) => remaining += 1,
                    None => {}
                }
            }
            let written = again(io, || there.write(&writes))?;
            remaining += written.iter().filter(|w| !matches!(w, Written::Done { .. })).count() as u64;
        }
        if last {
            break;
        }
    }
    if remaining > 0 {
        left(job, &format!("{remaining} documents were changed since segue wrote them, and were left"), io);
    }
    Ok(())
}

fn left(job: &UnitJob, what: &str, io: &dyn StepIo) {
    io.find(Finding {
        severity: Severity::Warning,
        code: "DOCUMENTS_LEFT".to_owned(),
        summary: format!("{}: {what}", job.unit),
        remedy: "look at them, and remove them by hand when nobody needs them".to_owned(),
    });
}
