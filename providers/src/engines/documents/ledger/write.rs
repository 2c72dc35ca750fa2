//! Writing a ledger of documents.

use std::path::Path;

use segue_contract::{ArtifactName, StepError};

use super::{About, Ledger, Record, encode};
use crate::ledger::sealed::{Layout, SealedWriter};

/// The end: what the ledger says of the whole, as JSON, and how long that is.
pub(super) const LAYOUT: Layout = Layout { magic: b"SGDOCUME", version: 1, header: 0, end: 4 };

/// A ledger being written; dropped unfinished it removes what it wrote.
pub(crate) struct Writer {
    file: SealedWriter,
    scratch: Vec<u8>,
    before: Vec<u8>,
    records: u64,
    aside: u64,
}

impl Writer {
    pub(crate) fn create(artifacts: &Path) -> Result<Self, StepError> {
        Ok(Self {
            file: SealedWriter::create(artifacts, &LAYOUT, &[])?,
            scratch: Vec::new(),
            before: Vec::new(),
            records: 0,
            aside: 0,
        })
    }

    /// Appends a record; records come in the order of their keys, each key once.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), StepError> {
        self.scratch.clear();
        encode(record, &mut self.before, &mut self.scratch);
        self.records += 1;
        self.aside += u64::from(record.aside);
        Ok(self.file.record(&self.scratch)?)
    }

    /// Ends one that is only a step to another: it has no name, and only this process reads it.
    pub(crate) fn into_ledger(self, about: About) -> Result<Ledger, StepError> {
        let about = self.counted(about);
        Ok(Ledger::written(self.file.into_reader(&LAYOUT)?, about))
    }

    fn counted(&self, about: About) -> About {
        About { records: self.records, aside: self.aside, ..about }
    }

    /// Writes the end and gives the file its name; `durable`: see [`SealedWriter::finish`]. The counts of `about` are
    /// filled in here.
    pub(crate) fn finish(self, about: About, durable: bool) -> Result<ArtifactName, StepError> {
        let mut end =
            serde_json::to_vec(&self.counted(about)).map_err(|e| StepError::permanent(e.to_string()))?;
        let len = end.len() as u32;
        end.extend_from_slice(&len.to_le_bytes());
        Ok(self.file.finish(&end, durable)?)
    }
}
