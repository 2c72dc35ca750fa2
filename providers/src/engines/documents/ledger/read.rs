//! Reading a ledger of documents: the whole file is checked first, once in a process, and then streamed as often as is needed, or asked
//! for a few documents.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use segue_contract::{ArtifactName, Side, StepError};

use super::codec::Raw;
use super::index::Index;
use super::write::LAYOUT;
use super::{About, Marks, Record, decode};
use crate::engines::documents::collection::{Key, Stand};
use crate::engines::documents::runs::Entry;
use crate::ledger::sealed::{SealedReader, checksum_in, name_of};
use crate::ledger::{LedgerError, leans_on};

/// Of so many documents of a ledger one may have changed before the whole is written anew.
const CHANGES: u64 = 4;
/// Changes at most: they are in memory.
const CHANGES_MAX: u64 = 1 << 16;

/// A ledger that was checked, or that this process wrote: one that stands alone, and what changed since.
pub(crate) struct Ledger {
    base: Base,
    /// In the order of keys, each key once.
    changes: Vec<Entry>,
    about: About,
}

/// A ledger that stands alone.
pub(super) struct Base {
    file: SealedReader,
    records: u64,
    /// Where its records are, and the checksum in its name; `None`: only this process has it.
    named: Option<(Arc<Index>, u128)>,
}

impl Ledger {
    pub(crate) fn open(artifacts: &Path, name: &ArtifactName) -> Result<Self, StepError> {
        let mut file = SealedReader::open_again(artifacts, name, &LAYOUT)?;
        let (index, about) = read_end(&mut file)?;
        let Some(base) = leans_on(&file.header) else {
            let records = about.tally.records;
            let named = checksum_in(name).map(|checksum| (Arc::new(index), checksum));
            return Ok(Self { base: Base { file, records, named }, changes: Vec::new(), about });
        };
        let changes = read_changes(&mut file)?;
        let mut file = SealedReader::open_again(artifacts, &name_of(base), &LAYOUT)?;
        let (index, alone) = read_end(&mut file)?;
        let base = Base { file, records: alone.tally.records, named: Some((Arc::new(index), base)) };
        Ok(Self { base, changes, about })
    }

    /// One that this process wrote, and that stands alone.
    pub(super) fn written(file: SealedReader, about: About) -> Self {
        let base = Base { file, records: about.tally.records, named: None };
        Self { base, changes: Vec::new(), about }
    }

    /// One that differs from another by `changes`, all that there are since the one that both lean on.
    pub(super) fn leaning(&self, changes: Vec<Entry>, about: About) -> Result<Self, StepError> {
        let Base { file, records, named } = &self.base;
        let base = Base { file: file.again(&LAYOUT)?, records: *records, named: named.clone() };
        Ok(Self { base, changes, about })
    }

    /// What it says of the whole.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// What changed since the ledger that it leans on.
    pub(super) fn changes(&self) -> &[Entry] {
        &self.changes
    }

    /// The checksum in the name of the ledger that stands alone.
    pub(super) fn base(&self) -> Option<u128> {
        self.base.named.as_ref().map(|(_, checksum)| *checksum)
    }

    /// How many changes since the ledger that stands alone may be beside it, where `read`, which stands so, is read;
    /// `None`: the next one has to stand alone, too.
    pub(crate) fn room(&self, read: Side, stand: &Stand) -> Option<usize> {
        self.base.named.as_ref()?;
        self.about.tally.census(read, stand)?;
        usize::try_from((self.base.records / CHANGES).min(CHANGES_MAX)).ok()
    }

    /// All of it, from the first record on.
    pub(crate) fn records(&mut self) -> Result<Records<'_>, StepError> {
        self.base.file.rewind()?;
        Ok(Records {
            left: self.base.records,
            file: &mut self.base.file,
            raw: Raw::default(),
            is_read: false,
            changes: &self.changes,
        })
    }

    /// What it says of some documents, in the order of their keys.
    pub(crate) fn find<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k Key> + Clone,
    ) -> Result<Vec<Option<Record>>, StepError> {
        let changed = |key: &Key| self.changes.binary_search_by(|entry| entry.record.key.cmp(key)).ok();
        let untouched = keys.clone().filter(|key| changed(key).is_none());
        let mut of_base = self.base.find(untouched)?.into_iter();
        let change = |at: usize| self.changes.get(at).filter(|entry| !entry.gone);
        let one = |key| match changed(key) {
            Some(at) => change(at).map(|entry| entry.record.clone()),
            None => of_base.next().flatten(),
        };
        Ok(keys.map(one).collect())
    }

    /// The documents of which two ledgers say different things, each with what they say, in the order of keys; `None`: that
    /// is only known when both are read.
    pub(crate) fn differences(&mut self, since: &mut Self) -> Result<Option<Vec<Pair>>, StepError> {
        if self.base().is_none() || self.base() != since.base() {
            return Ok(None);
        }
        let keys = self.changes.iter().chain(&since.changes).map(|entry| entry.record.key.clone());
        let keys: std::collections::BTreeSet<Key> = keys.collect();
        let pairs = since.find(keys.iter())?.into_iter().zip(self.find(keys.iter())?);
        Ok(Some(pairs.filter(|(then, now)| then != now).collect()))
    }
}

/// What an earlier ledger says of a document, and what a later one does.
type Pair = (Option<Record>, Option<Record>);

impl Base {
    /// What it says of some documents, in the order of their keys.
    fn find<'k>(&mut self, keys: impl Iterator<Item = &'k Key>) -> Result<Vec<Option<Record>>, StepError> {
        let Some((index, _)) = &self.named else {
            return Err(StepError::permanent("a ledger without a name has no index"));
        };
        let (mut found, mut place, mut raw, mut is_read) = (Vec::new(), None, Raw::default(), false);
        for key in keys {
            let Some((nth, at)) = index.before(key) else {
                found.push(None);
                continue;
            };
            if place != Some(nth) {
                self.file.seek_to(at)?;
                (place, is_read) = (Some(nth), false);
            }
            found.push(loop {
                if !is_read {
                    is_read = true;
                    let bytes = self.file.next_bytes()?;
                    if bytes.is_empty() {
                        // Nothing comes behind the last record: the next key looks again from its place on.
                        place = None;
                        break None;
                    }
                    let read = raw.read(bytes);
                    read.ok_or_else(|| senseless(&self.file))?;
                }
                match raw.cmp_key(key) {
                    Ordering::Less => is_read = false,
                    Ordering::Equal => break Some(raw.record().ok_or_else(|| senseless(&self.file))?),
                    Ordering::Greater => break None,
                }
            });
        }
        Ok(found)
    }
}

/// A ledger's records in the order of their keys, one by one.
pub(crate) struct Records<'a> {
    file: &'a mut SealedReader,
    /// What comes next in the file, if it was read.
    raw: Raw,
    is_read: bool,
    left: u64,
    changes: &'a [Entry],
}

impl Records<'_> {
    /// The next one; `None` after the last.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, StepError> {
        self.next_where(|_| true)
    }

    /// The next one that is wanted; `None` after the last.
    pub(crate) fn next_where(
        &mut self,
        mut wanted: impl FnMut(&Marks) -> bool,
    ) -> Result<Option<Record>, StepError> {
        loop {
            if !self.is_read && self.left > 0 {
                let read = self.raw.read(self.file.next_bytes()?);
                read.ok_or_else(|| senseless(self.file))?;
                (self.is_read, self.left) = (true, self.left - 1);
            }
            let order = match (self.is_read, self.changes.first()) {
                (false, None) => return Ok(None),
                (true, None) => Ordering::Less,
                (false, Some(_)) => Ordering::Greater,
                (true, Some(change)) => self.raw.cmp_key(&change.record.key),
            };
            self.is_read &= order.is_gt();
            if order.is_lt() {
                if wanted(&self.raw.marks) {
                    return self.raw.record().map(Some).ok_or_else(|| senseless(self.file));
                }
                continue;
            }
            if let Some((change, rest)) = self.changes.split_first() {
                self.changes = rest;
                if !change.gone && wanted(&change.record.marks()) {
                    return Ok(Some(change.record.clone()));
                }
            }
        }
    }
}

fn senseless(file: &SealedReader) -> StepError {
    file.damaged("a record makes no sense").into()
}

fn read_changes(file: &mut SealedReader) -> Result<Vec<Entry>, StepError> {
    let (mut changes, mut before) = (Vec::new(), Vec::new());
    loop {
        let Some((gone, rest)) = file.next_bytes()?.split_first() else { return Ok(changes) };
        let (gone, record) = (*gone != 0, decode(rest, &mut before));
        changes.push(Entry { record: record.ok_or_else(|| senseless(file))?, gone });
    }
}

fn read_end(file: &mut SealedReader) -> Result<(Index, About), LedgerError> {
    let lengths = file.end(8, 0)?;
    let (index, about) = lengths.split_at_checked(4).unwrap_or_default();
    let len = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes) as usize;
    let (index, about) = (len(index), len(about));
    let text = file.end(about, 8)?;
    let about_read =
        serde_json::from_slice(&text).map_err(|e| file.damaged(format!("its end makes no sense: {e}")))?;
    let bytes = file.end(index, 8 + about)?;
    let index = Index::decode(&bytes).ok_or_else(|| file.damaged("its index makes no sense"))?;
    Ok((index, about_read))
}
