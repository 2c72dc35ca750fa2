//! Walking the ledger and both sides at once, path by path.

use std::sync::Arc;

use segue_contract::{ArtifactName, StepError, StepIo};

use super::clock;
use super::scan::{Entry, Scan};
use super::select::Chosen;
use super::tree::Tree;
use crate::ledger::{LedgerReader, Record, compare_paths};

/// One path, wherever it is.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) path: Vec<u8>,
    pub(crate) record: Option<Record>,
    /// On the side that is read.
    pub(crate) read: Option<Entry>,
    /// On the side that is written, when that is scanned.
    pub(crate) written: Option<Entry>,
}

/// The walk.
pub(crate) struct Join {
    ledger: LedgerReader,
    record: Option<Record>,
    pub(crate) read: Option<Scan>,
    read_next: Option<Entry>,
    pub(crate) written: Option<Scan>,
    written_next: Option<Entry>,
    /// Time spent on scans, in microseconds.
    pub(crate) scan_us: u64,
}

impl Join {
    /// Starts; a side that is `None` is not scanned.
    pub(crate) fn start(
        io: &dyn StepIo,
        ledger: &ArtifactName,
        read: Option<Arc<Tree>>,
        written: Option<Arc<Tree>>,
        chosen: &Arc<Chosen>,
        threads: usize,
    ) -> Result<Self, StepError> {
        let scan = |tree: Option<Arc<Tree>>| {
            tree.map(|tree| Scan::start(&tree, Arc::clone(chosen), threads)).transpose()
        };
        let mut join = Self {
            ledger: LedgerReader::open(io.artifacts(), ledger)?,
            record: None,
            read: scan(read)?,
            read_next: None,
            written: scan(written)?,
            written_next: None,
            scan_us: 0,
        };
        join.record = join.ledger.next_record()?;
        join.advance_read()?;
        join.advance_written()?;
        Ok(join)
    }

    fn advance_read(&mut self) -> Result<(), StepError> {
        let from = clock::steady_us();
        self.read_next = self.read.as_mut().map_or(Ok(None), Scan::next)?;
        self.scan_us += clock::steady_us() - from;
        Ok(())
    }

    fn advance_written(&mut self) -> Result<(), StepError> {
        let from = clock::steady_us();
        self.written_next = self.written.as_mut().map_or(Ok(None), Scan::next)?;
        self.scan_us += clock::steady_us() - from;
        Ok(())
    }

    /// The next path in order.
    pub(crate) fn next(&mut self) -> Result<Option<Seen>, StepError> {
        let heads = [
            self.record.as_ref().map(|record| &record.path),
            self.read_next.as_ref().map(|entry| &entry.path),
            self.written_next.as_ref().map(|entry| &entry.path),
        ];
        let Some(path) = heads.into_iter().flatten().min_by(|a, b| compare_paths(a, b)) else {
            return Ok(None);
        };
        let path = path.clone();
        let mut seen = Seen::default();
        if let Some(record) = self.record.take_if(|record| record.path == path) {
            seen.record = Some(record);
            self.record = self.ledger.next_record()?;
        }
        if let Some(entry) = self.read_next.take_if(|entry| entry.path == path) {
            seen.read = Some(entry);
            self.advance_read()?;
        }
        if let Some(entry) = self.written_next.take_if(|entry| entry.path == path) {
            seen.written = Some(entry);
            self.advance_written()?;
        }
        seen.path = path;
        Ok(Some(seen))
    }
}
