//! Reading a ledger of files: the whole file is checked first, then streamed.

use std::path::Path;

use segue_contract::ArtifactName;

use super::sealed::SealedReader;
use super::write::LAYOUT;
use super::{Bucket, Buckets, LedgerError, Record, codec, compare_paths};

/// What a ledger says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSummary {
    /// The pass that wrote it.
    pub pass: u64,
    /// Records.
    pub records: u64,
    /// Records that are regular files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// For a quick comparison with another ledger.
    pub buckets: Buckets,
}

/// Checks a ledger and gives what it says of itself.
///
/// # Errors
/// [`LedgerError`] when it is missing, damaged or of a later layout.
pub fn summary(artifacts: &Path, name: &ArtifactName) -> Result<LedgerSummary, LedgerError> {
    Ok(LedgerReader::open(artifacts, name)?.summary)
}

/// A checked ledger, read record by record.
#[derive(Debug)]
pub struct LedgerReader {
    file: SealedReader,
    before: Vec<u8>,
    left: u64,
    summary: LedgerSummary,
}

impl LedgerReader {
    /// Opens and checks the ledger `name` in the directory `artifacts`.
    ///
    /// # Errors
    /// [`LedgerError`] when it is missing, damaged or of a later layout.
    pub fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, LedgerError> {
        let mut file = SealedReader::open(artifacts, name, &LAYOUT)?;
        let summary = parse_summary(&mut file)?;
        Ok(Self { file, before: Vec::new(), left: summary.records, summary })
    }

    /// What the ledger says of itself.
    pub fn about(&self) -> &LedgerSummary {
        &self.summary
    }

    /// The next record, in path order; `None` after the last.
    ///
    /// # Errors
    /// When the file cannot be read or, against its checksum, makes no sense.
    pub fn next_record(&mut self) -> Result<Option<Record>, LedgerError> {
        if self.left == 0 {
            return Ok(None);
        }
        let had = self.left < self.summary.records;
        let last = if had { Some(self.before.clone()) } else { None };
        let record = codec::decode(self.file.next_bytes()?, &mut self.before);
        self.left -= 1;
        match record {
            Some(record) if last.is_none_or(|last| compare_paths(&last, &record.path).is_lt()) => {
                Ok(Some(record))
            }
            _ => Err(self.file.damaged("a record makes no sense")),
        }
    }
}

fn parse_summary(file: &mut SealedReader) -> Result<LedgerSummary, LedgerError> {
    let end = file.end(LAYOUT.end, 0)?;
    let number = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        field.map(u64::from_le_bytes).ok_or_else(|| file.damaged("it ends early"))
    };
    let mut list = Vec::with_capacity(super::BUCKETS);
    for index in 0..super::BUCKETS {
        let at = 24 + index * 24;
        let low = number(&end, at + 8)?;
        let high = number(&end, at + 16)?;
        list.push(Bucket { count: number(&end, at)?, sum: u128::from(high) << 64 | u128::from(low) });
    }
    Ok(LedgerSummary {
        pass: number(&file.header, 0)?,
        records: number(&end, 0)?,
        files: number(&end, 8)?,
        bytes: number(&end, 16)?,
        buckets: Buckets::from_list(list),
    })
}
