//! What waits for a pass, and what somebody else did on the side that is written: told, and nothing changed.

use segue_contract::{DriftReport, StaleReport, StepError, UnitJob, VerifyCall, VerifyLevel, VerifyMismatch};

use super::again::again;
use super::foreign::{Finds, look};
use super::ledger::about;
use super::notes::Notes;
use super::sides::Sides;
use super::verify::verify;

/// See [`segue_contract::Engine::drift`].
pub(crate) fn drift(sides: &Sides<'_>, level: VerifyLevel) -> Result<DriftReport, StepError> {
    let io = sides.io;
    let here = again(io, || sides.read.stand())?;
    let ledger = super::ledger_of(sides.job)?;
    let known = about(io.artifacts(), ledger)?;
    let before = known.stand(sides.from());
    let same = before.incarnation == here.incarnation && before.slices.len() == here.slices.len();
    let settled = |at: usize| before.slices.get(at).map_or(0, |slice| if same { slice.settled } else { 0 });
    // Several changes of one document are one record for a pass: this is the most that it can be.
    let waiting_records: u64 =
        here.slices.iter().enumerate().map(|(at, slice)| slice.all.saturating_sub(settled(at))).sum();
    let each = known.bytes.checked_div(known.records).unwrap_or(0);
    let mut report = DriftReport {
        waiting_records,
        waiting_bytes: waiting_records.saturating_mul(each),
        ..DriftReport::default()
    };
    if level == VerifyLevel::Full {
        let found = verify(sides, ledger, &VerifyCall { level, since: None, quiet: false })?;
        (report.drifted, report.drifted_total) = (found.mismatches, found.mismatches_total);
        return Ok(report);
    }
    if sides.adds() {
        return Ok(report);
    }
    let notes = Notes::looked_at(io.artifacts(), sides.job)?;
    let finds = look(sides, ledger, &known, &notes, Finds::Told)?.finds;
    report.drifted_total = finds.total;
    let drifted = finds.list.into_iter().map(|find| VerifyMismatch { key: find.key, what: find.what });
    report.drifted = drifted.collect();
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
    let ledger = super::ledger_of(sides.job)?;
    let known = about(io.artifacts(), ledger)?;
    let notes = Notes::looked_at(io.artifacts(), sides.job)?;
    let found = look(sides, ledger, &known, &notes, Finds::Told)?;
    Ok(StaleReport { records_seen: found.seen, finds: found.finds.list, total: found.finds.total })
}
