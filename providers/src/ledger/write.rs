//! Writing a ledger of files.

use std::path::Path;

use segue_contract::ArtifactName;

use super::sealed::{Layout, SealedWriter};
use super::{Buckets, LedgerError, Record, codec, compare_paths};

/// Behind magic and layout: the pass. The end: counts of records, files and bytes, the buckets.
pub(super) const LAYOUT: Layout =
    Layout { magic: b"SGLEDGER", version: 2, oldest: 1, header: 8, end: 3 * 8 + super::BUCKETS * 24 };

/// A ledger being written; dropped unfinished it removes what it wrote.
pub struct LedgerWriter {
    file: SealedWriter,
    scratch: Vec<u8>,
    before: Vec<u8>,
    records: u64,
    files: u64,
    bytes: u64,
    buckets: Buckets,
}

impl LedgerWriter {
    /// Starts the ledger of pass number `pass` in the directory `artifacts`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(artifacts: &Path, pass: u64) -> Result<Self, LedgerError> {
        Ok(Self {
            file: SealedWriter::create(artifacts, &LAYOUT, &pass.to_le_bytes())?,
            scratch: Vec::new(),
            before: Vec::new(),
            records: 0,
            files: 0,
            bytes: 0,
            buckets: Buckets::default(),
        })
    }

    /// Appends a record; records come in path order, each path once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, record: &Record) -> Result<(), LedgerError> {
        debug_assert!(
            self.records == 0 || compare_paths(&self.before, &record.path).is_lt(),
            "records out of order"
        );
        self.scratch.clear();
        codec::encode(record, &mut self.before, &mut self.scratch);
        self.records += 1;
        self.files += u64::from(record.kind == super::Kind::File);
        self.bytes += record.size;
        self.buckets.add(record);
        self.file.record(&self.scratch)
    }

    /// Writes the end, makes the file durable, and gives it its name.
    ///
    /// # Errors
    /// When the file cannot be written, synced or renamed.
    pub fn finish(self) -> Result<ArtifactName, LedgerError> {
        let mut end = Vec::with_capacity(LAYOUT.end);
        for count in [self.records, self.files, self.bytes] {
            end.extend_from_slice(&count.to_le_bytes());
        }
        for bucket in self.buckets.list() {
            end.extend_from_slice(&bucket.count.to_le_bytes());
            end.extend_from_slice(&bucket.sum.to_le_bytes());
        }
        self.file.finish(&end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Kind, LedgerReader};

    #[test]
    fn a_ledger_of_the_first_layout_is_read_with_hashes_of_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let first = Layout { version: 1, ..LAYOUT };
        let file = SealedWriter::create(dir.path(), &first, &1_u64.to_le_bytes()).unwrap();
        let mut writer = LedgerWriter { file, ..LedgerWriter::create(dir.path(), 1).unwrap() };
        let old = Record { plain: true, hash: 7, ..Record::bare(b"a".to_vec(), Kind::File) };
        writer.push(&old).unwrap();
        let name = writer.finish().unwrap();
        let mut reader = LedgerReader::open(dir.path(), &name).unwrap();
        assert_eq!(reader.next_record().unwrap(), Some(old));
    }
}
