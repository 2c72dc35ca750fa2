//! A ledger and what became of documents since, as a new ledger.

use std::path::Path;

use segue_contract::{Side, StepError};

use super::collection::{Key, Stand};
use super::ledger::{Draft, Ledger, Record, Tally, Writer};
use super::runs::{Entry, Merged};
use super::sorted::{Join, Sorted};

/// The ledger of `old` with `entries` in place of what it says of their keys. `read`: the side that is read, which stands so.
pub(crate) fn merge(
    artifacts: &Path,
    mut old: Option<&mut Ledger>,
    mut entries: Merged,
    read: Side,
    stand: &Stand,
) -> Result<Draft, StepError> {
    let mut first = Vec::new();
    if let Some(old) = old.as_deref_mut()
        && let Some(room) = old.room(read, stand)
    {
        while first.len() <= room
            && let Some(entry) = entries.next()?
        {
            first.push(entry);
        }
        if first.len() <= room
            && let Some(draft) = Draft::beside(old, &first, room, with_old)?
        {
            return Ok(draft);
        }
    }
    let mut writer = Writer::create(artifacts, Tally::of(read, stand))?;
    let entries = Taken { first: first.into_iter(), rest: entries };
    let mut join = Join::of(old.map(Ledger::records).transpose()?, entries)?;
    while let Some(pair) = join.next()? {
        match pair {
            (Some(known), None) => writer.push(&known)?,
            (known, Some(new)) if !new.gone => writer.push(&with_old(known.as_ref(), &new))?,
            (_, _) => {}
        }
    }
    Ok(Draft::Whole(Box::new(writer)))
}

/// Entries of which some were taken out already.
struct Taken {
    first: std::vec::IntoIter<Entry>,
    rest: Merged,
}

impl Sorted for Taken {
    type Item = Entry;

    fn pull(&mut self) -> Result<Option<Entry>, StepError> {
        self.first.next().map_or_else(|| self.rest.next(), |entry| Ok(Some(entry)))
    }

    fn key(entry: &Entry) -> &Key {
        &entry.record.key
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
