//! A ledger that is not finished yet: one that stands alone and is being written, or what changed since one that does.

use std::path::Path;

use segue_contract::{ArtifactName, Side, StepError};

use super::write::write_changes;
use super::{About, Ledger, Record, Tally, Writer};
use crate::engines::documents::runs::Entry;

/// See the module.
pub(crate) enum Draft {
    /// Every record of it.
    Whole(Box<Writer>),
    /// What changed.
    Beside(Box<Beside>),
}

/// What changed since a ledger that stands alone.
pub(crate) struct Beside {
    /// Another one that leans on the same, or that one itself.
    old: Ledger,
    base: u128,
    changes: Vec<Entry>,
    tally: Tally,
}

impl Draft {
    /// What `old` says with `entries` in place of what it says of their keys; `None`: there are more of them than it has room
    /// for. `record`: what is to be said of a document, by what was and what is new.
    pub(crate) fn beside(
        old: &mut Ledger,
        entries: &[Entry],
        room: usize,
        record: impl Fn(Option<&Record>, &Entry) -> Record,
    ) -> Result<Option<Self>, StepError> {
        let Some(base) = old.base() else { return Ok(None) };
        let known = old.find(entries.iter().map(|entry| &entry.record.key))?;
        let mut tally = old.about().tally.clone();
        let mut changes = Vec::with_capacity(old.changes().len() + entries.len());
        let mut before = old.changes().iter().peekable();
        for (entry, known) in entries.iter().zip(known) {
            let key = &entry.record.key;
            while let Some(earlier) = before.next_if(|earlier| earlier.record.key < *key) {
                changes.push(earlier.clone());
            }
            before.next_if(|earlier| earlier.record.key == *key);
            if let Some(known) = &known {
                tally.remove(known);
            }
            if entry.gone {
                changes.push(Entry { record: Record::of(key.clone()), gone: true });
                continue;
            }
            let record = record(known.as_ref(), entry);
            tally.add(&record);
            changes.push(Entry { record, gone: false });
        }
        changes.extend(before.cloned());
        if changes.len() > room {
            return Ok(None);
        }
        let old = old.leaning(Vec::new(), old.about().clone())?;
        Ok(Some(Self::Beside(Box::new(Beside { old, base, changes, tally }))))
    }

    /// How many of its documents a side has.
    pub(crate) fn live(&self, side: Side) -> u64 {
        match self {
            Self::Whole(writer) => writer.tally().live(side),
            Self::Beside(beside) => beside.tally.live(side),
        }
    }

    /// Ends it as the ledger that the next step begins from, durably.
    pub(crate) fn finish(self, artifacts: &Path, about: About) -> Result<ArtifactName, StepError> {
        match self {
            Self::Whole(writer) => writer.finish(about),
            Self::Beside(beside) => {
                let Beside { base, changes, tally, .. } = *beside;
                write_changes(artifacts, base, &changes, &About { tally, ..about })
            }
        }
    }

    /// Ends one that is only a step to another; the counts of `about` are filled in here.
    pub(crate) fn into_ledger(self, about: About) -> Result<Ledger, StepError> {
        match self {
            Self::Whole(writer) => writer.into_ledger(about),
            Self::Beside(beside) => {
                let Beside { old, changes, tally, .. } = *beside;
                old.leaning(changes, About { tally, ..about })
            }
        }
    }
}
