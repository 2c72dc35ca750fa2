//! The bytes of one record: the key as what it shares with the one before and the rest, numbers as varints.

use std::cmp::Ordering;

use super::{Mark, Marks, Record};
use crate::engines::documents::collection::Key;
use crate::ledger::varint::{Cursor, put, put_after, put_bytes};

const HAS_PLACE: u8 = 1;
const ASIDE: u8 = 2;
const HAS_HASH: u8 = 4;
const HAS_NUMBERS: u8 = 8;

/// Appends the bytes of a record; `before` is the name of the one before it, and becomes this one's.
pub(crate) fn encode(record: &Record, before: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_after(out, before, record.key.id.as_bytes());
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let numbers = [record.source.number, record.target.number];
    out.push(
        flag(record.key.place.is_some(), HAS_PLACE)
            | flag(record.aside, ASIDE)
            | flag(record.hash != 0, HAS_HASH)
            | flag(numbers != [0; 2], HAS_NUMBERS),
    );
    if let Some(place) = &record.key.place {
        put_bytes(out, place.as_bytes());
    }
    if record.hash != 0 {
        out.extend_from_slice(&record.hash.to_le_bytes());
    }
    put(out, record.source.version);
    put(out, record.target.version);
    put(out, record.pass);
    if numbers != [0; 2] {
        numbers.into_iter().for_each(|number| put(out, number));
    }
}

/// Reads one record's bytes; `None` when they make no sense.
pub(crate) fn decode(bytes: &[u8], before: &mut Vec<u8>) -> Option<Record> {
    let mut raw = Raw { id: std::mem::take(before), ..Raw::default() };
    raw.read(bytes)?;
    let record = raw.record();
    *before = raw.id;
    record
}

/// A record as it is read: one that nobody wants is passed over without taking memory for it.
#[derive(Default)]
pub(super) struct Raw {
    id: Vec<u8>,
    place: Vec<u8>,
    has_place: bool,
    hash: u128,
    pub(super) marks: Marks,
    pass: u64,
}

impl Raw {
    /// Takes the next record's bytes in; `None` when they make no sense.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let mut from = Cursor(bytes);
        from.after(&mut self.id)?;
        let flags = from.byte()?;
        self.has_place = flags & HAS_PLACE != 0;
        self.place.clear();
        if self.has_place {
            self.place.extend_from_slice(from.bytes()?);
        }
        self.hash = if flags & HAS_HASH != 0 { from.wide()? } else { 0 };
        let versions = [from.number()?, from.number()?];
        self.pass = from.number()?;
        let numbers = if flags & HAS_NUMBERS != 0 { [from.number()?, from.number()?] } else { [0; 2] };
        let [source, target] = [0, 1].map(|at| Mark { version: versions[at], number: numbers[at] });
        self.marks = Marks { source, target, aside: flags & ASIDE != 0 };
        from.0.is_empty().then_some(())
    }

    /// The whole record; `None` when its key is no text.
    pub(super) fn record(&self) -> Option<Record> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let place = if self.has_place { Some(text(&self.place)?) } else { None };
        let Marks { source, target, aside } = self.marks;
        let key = Key { id: text(&self.id)?, place };
        Some(Record { key, hash: self.hash, source, target, aside, pass: self.pass })
    }

    /// Its key against another, in the order of keys.
    pub(super) fn cmp_key(&self, key: &Key) -> Ordering {
        let place = self.has_place.then_some(self.place.as_slice());
        let other = key.place.as_deref().map(str::as_bytes);
        self.id.as_slice().cmp(key.id.as_bytes()).then_with(|| place.cmp(&other))
    }
}
