//! What a ledger counts of its records, so that nobody has to read them for it.

use segue_contract::Side;
use serde::{Deserialize, Serialize};

use super::{Mark, Record};
use crate::engines::documents::collection::{CENSUS_PARTS_MAX, Stand};

/// Numbers in a part at least: so few documents are read as quickly as none.
const WIDTH_MIN: u64 = 32;

/// How many documents changed last in each part of all change numbers, over all slices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Census {
    /// Numbers in a part.
    pub(crate) width: u64,
    /// Those that come after the last one here are 0.
    pub(crate) parts: Vec<u64>,
    /// Documents of which no number is known, or one beyond all parts that there may be.
    pub(crate) elsewhere: u64,
}

impl Census {
    /// An empty one, for a unit that stands so.
    pub(crate) fn of(stand: &Stand) -> Self {
        let width = stand.bound().div_ceil(CENSUS_PARTS_MAX).max(WIDTH_MIN);
        Self { width, parts: Vec::new(), elsewhere: 0 }
    }

    /// How many parts a unit that stands so has changes in.
    pub(crate) fn parts_of(&self, stand: &Stand) -> u64 {
        stand.bound().div_ceil(self.width)
    }

    /// The part of a document's last change.
    pub(crate) fn part_of(&self, mark: Mark) -> Option<usize> {
        let part = mark.number.checked_sub(1)? / self.width;
        usize::try_from(part).ok().filter(|_| part < CENSUS_PARTS_MAX)
    }

    fn place(&mut self, mark: Mark) -> &mut u64 {
        let Some(part) = self.part_of(mark) else { return &mut self.elsewhere };
        if part >= self.parts.len() {
            self.parts.resize(part + 1, 0);
        }
        self.parts.get_mut(part).unwrap_or(&mut self.elsewhere)
    }

    /// How many documents.
    pub(crate) fn total(&self) -> u64 {
        self.parts.iter().sum::<u64>() + self.elsewhere
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many documents.
    pub(crate) records: u64,
    /// How many of them are set aside.
    pub(crate) aside: u64,
    /// How many of them the source has.
    source_live: u64,
    /// How many of them the target has.
    target_live: u64,
    /// Of one side, the one that was read, where their last changes are.
    census: Option<(Side, Census)>,
}

impl Tally {
    /// Of nothing yet; `read` stands so.
    pub(crate) fn of(read: Side, stand: &Stand) -> Self {
        Self { census: Some((read, Census::of(stand))), ..Self::default() }
    }

    /// How many documents a side has.
    pub(crate) fn live(&self, side: Side) -> u64 {
        match side {
            Side::Source => self.source_live,
            Side::Target => self.target_live,
        }
    }

    /// Where the last changes of a side's documents are, if that was counted, and in parts that are still wide enough.
    pub(crate) fn census(&self, side: Side, stand: &Stand) -> Option<&Census> {
        let (of, census) = self.census.as_ref()?;
        (*of == side && census.parts_of(stand) <= CENSUS_PARTS_MAX).then_some(census)
    }

    pub(crate) fn add(&mut self, record: &Record) {
        self.count(record, |sum| *sum += 1);
    }

    /// Takes out what was added.
    pub(crate) fn remove(&mut self, record: &Record) {
        self.count(record, |sum| *sum = sum.saturating_sub(1));
    }

    fn count(&mut self, record: &Record, change: impl Fn(&mut u64)) {
        change(&mut self.records);
        if record.aside {
            change(&mut self.aside);
        }
        if record.source.version > 0 {
            change(&mut self.source_live);
        }
        if record.target.version > 0 {
            change(&mut self.target_live);
        }
        if let Some((side, census)) = &mut self.census
            && record.mark(*side).version > 0
        {
            change(census.place(record.mark(*side)));
        }
    }
}
