//! What waits for a pass, and what somebody else did on the side that is written: told, and nothing changed.

use segue_contract::{DriftReport, StaleReport, StepError, UnitJob, VerifyCall, VerifyLevel, VerifyMismatch};

use super::again::again;
use super::foreign::{Finds, look};
use super::ledger::Ledger;
use super::notes::Notes;
use super::sides::Sides;
use super::verify::verify;

/// See [`segue_contract::Engine::drift`].
pub(crate) fn drift(sides: &Sides<'_>, level: VerifyLevel) -> Result<DriftReport, StepError> {
    let io = sides.io;
    let here = again(io, || sides.read.stand())?;
    let name = super::ledger_of(sides.job)?;
    let mut ledger = Ledger::open(io.artifacts(), name)?;
    let known = ledger.about();
    let before = known.stand(sides.from());
    sides.prove(&here, before)?;
    let settled = if before.is_of_one_unit_with(&here) { before.settled() } else { Vec::new() };
    // Several changes of one document are one record for a pass: this is the most that it can be.
    let waiting_records = here.changes_since(&settled);
    let each = known.bytes.checked_div(known.tally.records).unwrap_or(0);
    // As many as are fewer by now; what was added since hides some.
    let live = known.tally.live(sides.from());
    let there = again(io, || sides.read.count())?;
    let mut report = DriftReport {
        waiting_deletions: Some((live.saturating_sub(there), live)),
        waiting_records,
        waiting_bytes: waiting_records.saturating_mul(each),
        ..DriftReport::default()
    };
    let around = again(io, || sides.writes.surroundings(sides.job, io))?;
    let around: Vec<VerifyMismatch> =
        around.into_iter().map(|aside| VerifyMismatch { key: aside.key, what: aside.reason }).collect();
    report.drifted_total = around.len() as u64;
    report.drifted = around;
    if level == VerifyLevel::Full {
        let found =
            verify(sides, name, &VerifyCall { level, since: None, quiet: false, set_aside: Vec::new() })?;
        report.drifted_total += found.mismatches_total;
        report.drifted.extend(found.mismatches);
        return Ok(report);
    }
    if sides.adds() {
        return Ok(report);
    }
    let notes = Notes::looked_at(io.artifacts(), sides.job)?;
    let finds = look(sides, &mut ledger, &notes, Finds::Told)?.finds;
    report.drifted_total += finds.total;
    let drifted = finds.list.into_iter().map(|find| VerifyMismatch { key: find.key, what: find.what });
    report.drifted.extend(drifted);
    Ok(report)
}

/// What is to be said of a unit that is not there any more: somebody removed it, or a release that died.
pub(crate) fn gone(job: &UnitJob) -> DriftReport {
    let unit =
        VerifyMismatch { key: job.unit.clone(), what: format!("gone from {}", job.direction.from().other()) };
    DriftReport { drifted: vec![unit], drifted_total: 1, ..DriftReport::default() }
}

/// See [`segue_contract::Engine::stale`].
pub(crate) fn stale(sides: &Sides<'_>) -> Result<StaleReport, StepError> {
    let io = sides.io;
    if sides.adds() {
        return Ok(StaleReport::default());
    }
    let mut ledger = Ledger::open(io.artifacts(), super::ledger_of(sides.job)?)?;
    let notes = Notes::looked_at(io.artifacts(), sides.job)?;
    let found = look(sides, &mut ledger, &notes, Finds::Told)?;
    Ok(StaleReport { records_seen: found.seen, finds: found.finds.list, total: found.finds.total })
}
