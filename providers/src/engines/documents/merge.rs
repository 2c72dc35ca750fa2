//! A ledger and what became of documents since, as a new ledger.

use std::path::Path;

use segue_contract::{ArtifactName, Side, StepError};

use super::gone::Census;
use super::ledger::{About, Reader, Record, Writer};
use super::runs::{Entry, Merged};

/// A new ledger that is not finished yet, how many of its documents the side that is read has, and where they changed last.
pub(crate) struct Draft {
    writer: Writer,
    pub(crate) live: u64,
    pub(crate) census: Census,
}

impl Draft {
    /// `durable`: `false` for one that is only a step to another.
    pub(crate) fn finish(self, about: About, durable: bool) -> Result<ArtifactName, StepError> {
        self.writer.finish(about, durable)
    }
}

/// Writes the ledger of `old` with `entries` in place of what it says of their keys. `census`: an empty one, to be filled.
pub(crate) fn merge(
    artifacts: &Path,
    old: Option<&ArtifactName>,
    mut entries: Merged,
    read: Side,
    census: Census,
) -> Result<Draft, StepError> {
    let mut draft = Draft { writer: Writer::create(artifacts)?, live: 0, census };
    let mut reader = old.map(|name| Reader::open(artifacts, name)).transpose()?;
    let next_old = |reader: &mut Option<Reader>| reader.as_mut().map_or(Ok(None), Reader::next_record);
    let mut record = next_old(&mut reader)?;
    let mut entry = entries.next()?;
    loop {
        match (&record, &entry) {
            (None, None) => return Ok(draft),
            (Some(known), Some(new)) if known.key < new.record.key => {
                draft.push(known, read)?;
                record = next_old(&mut reader)?;
            }
            (Some(known), None) => {
                draft.push(known, read)?;
                record = next_old(&mut reader)?;
            }
            (known, Some(new)) => {
                let same = known.as_ref().filter(|known| known.key == new.record.key);
                if !new.gone {
                    draft.push(&with_old(same, new), read)?;
                }
                if same.is_some() {
                    record = next_old(&mut reader)?;
                }
                entry = entries.next()?;
            }
        }
    }
}

/// What a pass could not write keeps the mark that the written side had.
fn with_old(old: Option<&Record>, new: &Entry) -> Record {
    let mut record = new.record.clone();
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
