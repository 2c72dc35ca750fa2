//! The keys that a unit has in some windows, in their order, each with its version there.

use std::sync::{Mutex, PoisonError};

use segue_contract::{Side, StepError, StepIo};

use super::collection::{Collection, Found, Want};
use super::ledger::{Mark, Record};
use super::runs::{Entry, Merged, Runs};
use super::windows::Windows;

/// Scans windows of a unit, which is that of `side`.
pub(crate) fn keys(
    of: &dyn Collection,
    side: Side,
    windows: &Windows,
    workers: usize,
    io: &dyn StepIo,
) -> Result<Merged, StepError> {
    let runs = Mutex::new(Runs::new(io.artifacts()));
    let each = |found: Vec<Found>| {
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        found.into_iter().try_for_each(|found| {
            let mut record = Record::of(found.key);
            record.set_mark(side, Mark::new(found.version, found.number));
            runs.push(Entry { record, gone: false })
        })
    };
    windows.run(of, Want::Keys, workers, io, &each, &|| Ok(()))?;
    runs.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
}
