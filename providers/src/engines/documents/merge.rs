//! A ledger and what became of documents since, as a new ledger.

use std::path::Path;

use segue_contract::{ArtifactName, Side, StepError};

use super::gone::Census;
use super::ledger::{About, Ledger, Record, Writer};
use super::runs::{Entry, Merged};
use super::sorted::Join;

/// A new ledger that is not finished yet, how many of its documents the side that is read has, and where they changed last.
pub(crate) struct Draft {
    writer: Writer,
    pub(crate) live: u64,
    pub(crate) census: Census,
}

impl Draft {
    /// Ends it as the ledger that the next step begins from, durably.
    pub(crate) fn finish(self, about: About) -> Result<ArtifactName, StepError> {
        self.writer.finish(about, true)
    }

    /// Ends one that is only a step to another; and its census.
    pub(crate) fn into_ledger(self, about: About) -> Result<(Ledger, Census), StepError> {
        Ok((self.writer.into_ledger(about)?, self.census))
    }
}

/// Writes the ledger of `old` with `entries` in place of what it says of their keys. `census`: an empty one, to be filled.
pub(crate) fn merge(
    artifacts: &Path,
    old: Option<&mut Ledger>,
    entries: Merged,
    read: Side,
    census: Census,
) -> Result<Draft, StepError> {
    let mut draft = Draft { writer: Writer::create(artifacts)?, live: 0, census };
    let mut join = Join::of(old.map(Ledger::records).transpose()?, entries)?;
    while let Some(pair) = join.next()? {
        match pair {
            (Some(known), None) => draft.push(&known, read)?,
            (known, Some(new)) if !new.gone => draft.push(&with_old(known, new), read)?,
            (_, _) => {}
        }
    }
    Ok(draft)
}

/// What a pass could not write keeps the mark that the written side had.
fn with_old(old: Option<Record>, new: Entry) -> Record {
    let mut record = new.record;
    if let Some(old) = old.filter(|_| record.aside) {
        for side in [Side::Source, Side::Target] {
            if record.mark(side).version == 0 {
                record.set_mark(side, old.mark(side));
            }
        }
    }
    record
}

impl Draft {
    fn push(&mut self, record: &Record, read: Side) -> Result<(), StepError> {
        if record.mark(read).version > 0 {
            self.live += 1;
            self.census.add(record.mark(read));
        }
        self.writer.push(record)
    }
}
