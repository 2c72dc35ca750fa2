//! Writing a ledger of documents.

use std::path::Path;

use segue_contract::{ArtifactName, StepError};

use super::index::Index;
use super::tally::Tally;
use super::{About, Ledger, Record, encode};
use crate::engines::documents::runs::Entry;
use crate::ledger::sealed::{Layout, SealedWriter};

/// The header: the checksum in the name of the ledger that this one leans on; 0: it stands alone. The end: the index, what
/// the ledger says of the whole, as JSON, and how long each of the two is.
pub(super) const LAYOUT: Layout =
    Layout { magic: crate::ledger::LEANING, version: 2, oldest: 2, header: 16, end: 8 };

/// A ledger being written; dropped unfinished it removes what it wrote.
pub(crate) struct Writer {
    file: SealedWriter,
    scratch: Vec<u8>,
    before: Vec<u8>,
    tally: Tally,
    index: Index,
}

impl Writer {
    /// `tally`: of nothing yet.
    pub(crate) fn create(artifacts: &Path, tally: Tally) -> Result<Self, StepError> {
        Ok(Self {
            file: SealedWriter::create(artifacts, &LAYOUT, &0u128.to_le_bytes())?,
            scratch: Vec::new(),
            before: Vec::new(),
            tally,
            index: Index::new(),
        })
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Appends a record; records come in the order of their keys, each key once.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), StepError> {
        if self.index.wants(self.tally.records) {
            // It can be read without those before it.
            self.before.clear();
            self.index.push(&record.key, self.file.position());
        }
        self.scratch.clear();
        encode(record, &mut self.before, &mut self.scratch);
        self.tally.add(record);
        Ok(self.file.record(&self.scratch)?)
    }

    /// Ends one that is only a step to another: it has no name, and only this process reads it.
    pub(crate) fn into_ledger(self, about: About) -> Result<Ledger, StepError> {
        let about = About { tally: self.tally, ..about };
        Ok(Ledger::written(self.file.into_reader(&LAYOUT)?, about))
    }

    /// Writes the end and gives the file its name, durably. The counts of `about` are filled in here.
    pub(crate) fn finish(self, about: About) -> Result<ArtifactName, StepError> {
        seal(self.file, &self.index, &About { tally: self.tally, ..about })
    }
}

/// Writes a ledger that leans on another one: only what differs from that, in the order of keys.
pub(super) fn write_changes(
    artifacts: &Path,
    base: u128,
    changes: &[Entry],
    about: &About,
) -> Result<ArtifactName, StepError> {
    let mut file = SealedWriter::create(artifacts, &LAYOUT, &base.to_le_bytes())?;
    let (mut before, mut scratch) = (Vec::new(), Vec::new());
    for change in changes {
        scratch.clear();
        scratch.push(u8::from(change.gone));
        encode(&change.record, &mut before, &mut scratch);
        file.record(&scratch)?;
    }
    seal(file, &Index::new(), about)
}

fn seal(file: SealedWriter, index: &Index, about: &About) -> Result<ArtifactName, StepError> {
    let mut end = Vec::new();
    index.encode(&mut end);
    let index_len = end.len();
    let text = serde_json::to_vec(about).map_err(|e| StepError::permanent(e.to_string()))?;
    end.extend_from_slice(&text);
    for len in [index_len, text.len()] {
        end.extend_from_slice(&(len as u32).to_le_bytes());
    }
    Ok(file.finish(&end)?)
}
