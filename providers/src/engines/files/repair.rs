//! Repair: what a verification found different is carried again; what was there is kept aside.

use std::collections::HashSet;

use segue_contract::{PassReport, StepError, StepIo, UnitJob, VerifyReport};

use super::pass::{Forced, carry};

/// See [`segue_contract::Engine::repair`].
pub(crate) fn repair(job: &UnitJob, report: &VerifyReport, io: &dyn StepIo) -> Result<PassReport, StepError> {
    let forced = if report.mismatches_total > report.mismatches.len() as u64 {
        // More than the report could list.
        Forced::All
    } else {
        Forced::Keys(report.mismatches.iter().map(|found| found.key.clone()).collect::<HashSet<_>>())
    };
    carry(job, &forced, io)
}
