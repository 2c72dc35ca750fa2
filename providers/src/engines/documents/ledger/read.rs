//! Reading a ledger of documents: the whole file is checked first, then streamed.

use std::path::Path;

use segue_contract::{ArtifactName, StepError};

use super::write::LAYOUT;
use super::{About, Record, decode};
use crate::ledger::LedgerError;
use crate::ledger::sealed::SealedReader;

/// What a ledger says of the whole.
pub(crate) fn about(artifacts: &Path, name: &ArtifactName) -> Result<About, StepError> {
    Ok(Reader::open(artifacts, name)?.about)
}

/// A checked ledger, read record by record.
pub(crate) struct Reader {
    file: SealedReader,
    before: Vec<u8>,
    left: u64,
    about: About,
}

impl Reader {
    pub(crate) fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, StepError> {
        let mut file = SealedReader::open(artifacts, name, &LAYOUT)?;
        let about = read_about(&mut file)?;
        Ok(Self { file, before: Vec::new(), left: about.records, about })
    }

    /// The next record, in the order of keys; `None` after the last.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, StepError> {
        if self.left == 0 {
            return Ok(None);
        }
        let record = decode(self.file.next_bytes()?, &mut self.before);
        self.left -= 1;
        record.map(Some).ok_or_else(|| self.file.damaged("a record makes no sense").into())
    }
}

fn read_about(file: &mut SealedReader) -> Result<About, LedgerError> {
    let size = file.end(4, 0)?.try_into().map_or(0, u32::from_le_bytes);
    let text = file.end(size as usize, 4)?;
    serde_json::from_slice(&text).map_err(|e| file.damaged(format!("its end makes no sense: {e}")))
}
