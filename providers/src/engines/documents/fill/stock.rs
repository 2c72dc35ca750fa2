//! Taking stock of a unit that somebody else filled: both sides are read, and a ledger is made of what is really there.
//!
//! Where documents were brought with the source's versions, equal versions are equal documents, and the source is asked for
//! keys alone; otherwise contents are compared. What is to be carried is noted as set aside, which the pass after it carries.

use std::sync::{Mutex, PoisonError};

use segue_contract::{ArtifactName, Progress, Side, StepError};

use super::super::again::again;
use super::super::collection::{Found, Stand, Want};
use super::super::ledger::{About, Mark, Record, Stood, Tally, Writer};
use super::super::load::LOAD_PASS;
use super::super::runs::{Entry, Merged, Runs};
use super::super::sides::{Sides, shown};
use super::super::sorted::Join;
use super::super::versions::Versions;
use super::super::windows::Windows;

/// How documents of both sides are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Their versions are the source's: what differs is carried by the next pass.
    Versions,
    /// What is there came from elsewhere: the ledger says what the source has, and verification what differs from it.
    Contents,
}

/// What was found.
pub(super) struct Stock {
    pub(super) ledger: ArtifactName,
    /// Documents at the side that is written.
    pub(super) there: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// Reads both sides; of the side that is read, what changed last before `since`.
pub(super) fn take(sides: &Sides<'_>, since: &Stand, by: By) -> Result<Stock, StepError> {
    let io = sides.io;
    let there = shown(&*sides.write, io)?;
    let (theirs, amount) = scan(sides, sides.to(), &there, Want::Bodies)?;
    let want = if by == By::Versions { Want::Keys } else { Want::Bodies };
    // What was deleted until now is seen no more.
    again(io, || sides.read.show())?;
    let (ours, _) = scan(sides, sides.from(), since, want)?;
    let mut writer = Writer::create(io.artifacts(), Tally::of(sides.from(), since))?;
    let mut join = Join::of(ours, theirs)?;
    let (from, mut highest) = (sides.from(), (0, 0));
    while let Some((mine, other)) = join.next()? {
        let version = |entry: &Option<Entry>, side| entry.as_ref().map_or(0, |e| e.record.mark(side).version);
        highest = (version(&mine, from).max(highest.0), version(&other, from.other()).max(highest.1));
        if let Some(record) = joined(from, by, mine, other) {
            writer.push(&record)?;
        }
    }
    let versions = Versions::none().next(sides.job.direction, since, highest.1);
    let read = Stood { stand: since.carried(), highest: highest.0 };
    let written = Stood { stand: there, highest: highest.1 };
    let about = About::new(LOAD_PASS, amount.bytes, versions, from, read, written);
    let ledger = writer.finish(about)?;
    Ok(Stock { ledger, there: amount.documents, bytes: amount.bytes })
}

/// What the ledger says of a key; `None`: nothing.
fn joined(from: Side, by: By, here: Option<Entry>, there: Option<Entry>) -> Option<Record> {
    let to = from.other();
    match (here, there, by) {
        (None, None, _) => None,
        (Some(here), None, by) => Some(Record { aside: by == By::Versions, ..here.record }),
        // Changed or deleted at the source since the fill began; or nobody's, which verification tells.
        (None, Some(_), By::Contents) => None,
        (None, Some(there), By::Versions) => {
            let mut record = there.record;
            // Where it was at the source is not known.
            record.set_mark(from, Mark { version: record.mark(to).version, number: 0 });
            Some(record)
        }
        (Some(here), Some(there), By::Versions) => {
            let (mut record, read) = (there.record, here.record.mark(from));
            record.aside = record.mark(to).version != read.version;
            record.set_mark(from, read);
            Some(record)
        }
        (Some(here), Some(there), By::Contents) => {
            let mut record = here.record;
            record.set_mark(to, there.record.mark(to));
            Some(record)
        }
    }
}

/// How much was read.
#[derive(Default)]
struct Amount {
    documents: u64,
    bytes: u64,
}

/// One side in the order of keys, with hashes where bodies are read.
fn scan(sides: &Sides<'_>, side: Side, stand: &Stand, want: Want) -> Result<(Merged, Amount), StepError> {
    let io = sides.io;
    let out = Mutex::new((Runs::new(io.artifacts()), Amount::default()));
    let each = |found: Vec<Found>| {
        let mut entries = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for document in found {
            bytes += document.body.len() as u64;
            let hash = if want == Want::Bodies { sides.hash(side, &document.body)? } else { 0 };
            let mut record = Record { hash, pass: LOAD_PASS, ..Record::of(document.key) };
            record.set_mark(side, Mark::new(document.version, document.number));
            entries.push(Entry { record, gone: false });
        }
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        out.1.documents += entries.len() as u64;
        out.1.bytes += bytes;
        io.progress(Progress { records: out.1.documents, bytes: out.1.bytes, ..Progress::default() });
        entries.into_iter().try_for_each(|entry| out.0.push(entry))
    };
    sides.scan(side, &Windows::all(stand), want, &each)?;
    let (runs, amount) = out.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((runs.finish()?, amount))
}
