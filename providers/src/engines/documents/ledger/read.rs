//! Reading a ledger of documents: the whole file is checked first, once, and then streamed as often as is needed.

use std::path::Path;

use segue_contract::{ArtifactName, StepError};

use super::write::LAYOUT;
use super::{About, Record, decode};
use crate::ledger::LedgerError;
use crate::ledger::sealed::SealedReader;

/// A ledger that was checked, or that this process wrote.
pub(crate) struct Ledger {
    file: SealedReader,
    about: About,
}

impl Ledger {
    pub(crate) fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, StepError> {
        let mut file = SealedReader::open(artifacts, name, &LAYOUT)?;
        let about = read_about(&mut file)?;
        Ok(Self { file, about })
    }

    /// One that this process wrote.
    pub(super) fn written(file: SealedReader, about: About) -> Self {
        Self { file, about }
    }

    /// What it says of the whole.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// All of it, from the first record on.
    pub(crate) fn records(&mut self) -> Result<Records<'_>, StepError> {
        self.file.rewind()?;
        Ok(Records { left: self.about.records, file: &mut self.file, before: Vec::new() })
    }
}

/// A ledger's records in the order of their keys, one by one.
pub(crate) struct Records<'a> {
    file: &'a mut SealedReader,
    before: Vec<u8>,
    left: u64,
}

impl Records<'_> {
    /// The next one; `None` after the last.
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

#[cfg(test)]
mod tests {
    use segue_contract::Side;

    use super::super::{Stood, Writer};
    use super::*;
    use crate::engines::documents::collection::{Key, Stand};
    use crate::engines::documents::versions::Versions;

    fn written(dir: &Path, count: u64) -> (Writer, About) {
        let mut writer = Writer::create(dir).expect("begun");
        for n in 0..count {
            let key = Key { id: format!("key{n:06}"), place: None };
            writer.push(&Record { aside: n % 10 == 0, ..Record::of(key) }).expect("written");
        }
        let stood = || Stood { stand: Stand { incarnation: "a".to_owned(), slices: vec![] }, highest: 7 };
        (writer, About::new(1, 2, Versions::none(), Side::Source, stood(), stood()))
    }

    fn ids(ledger: &mut Ledger, most: usize) -> Vec<String> {
        let mut records = ledger.records().expect("read");
        let next = || records.next_record().expect("read").map(|record| record.key.id);
        std::iter::from_fn(next).take(most).collect()
    }

    #[test]
    fn a_ledger_is_read_from_its_beginning_each_time_and_one_that_is_only_a_step_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        // More than what is buffered at once.
        let (writer, about) = written(dir.path(), 30_000);
        let mut step = writer.into_ledger(about).expect("ended");
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0, "it has no name");
        let (writer, about) = written(dir.path(), 30_000);
        let name = writer.finish(about, false).expect("ended");
        let mut named = Ledger::open(dir.path(), &name).expect("opened");
        assert_eq!((named.about().records, named.about().aside), (30_000, 3_000));
        assert_eq!(step.about(), named.about());
        assert_eq!(ids(&mut step, 3), ["key000000", "key000001", "key000002"]);
        let all = ids(&mut step, usize::MAX);
        assert_eq!((all.len(), all.last().map(String::as_str)), (30_000, Some("key029999")));
        assert_eq!(ids(&mut named, 20_000).len(), 20_000);
        assert_eq!(ids(&mut named, usize::MAX), all);
        assert_eq!(ids(&mut step, usize::MAX), all);
    }
}
