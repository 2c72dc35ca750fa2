//! The bytes of one record: the key as what it shares with the one before and the rest, numbers as varints.

use super::{Mark, Record};
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
    let mut from = Cursor(bytes);
    from.after(before)?;
    let id = String::from_utf8(before.clone()).ok()?;
    let flags = from.byte()?;
    let place = match flags & HAS_PLACE {
        0 => None,
        _ => Some(String::from_utf8(from.bytes()?.to_vec()).ok()?),
    };
    let hash = match flags & HAS_HASH {
        0 => 0,
        _ => from.wide()?,
    };
    let (source, target, pass) = (from.number()?, from.number()?, from.number()?);
    // Ledgers of earlier versions have none.
    let numbers = match flags & HAS_NUMBERS {
        0 => [0; 2],
        _ => [from.number()?, from.number()?],
    };
    let record = Record {
        key: Key { id, place },
        hash,
        source: Mark { version: source, number: numbers[0] },
        target: Mark { version: target, number: numbers[1] },
        aside: flags & ASIDE != 0,
        pass,
    };
    from.0.is_empty().then_some(record)
}
