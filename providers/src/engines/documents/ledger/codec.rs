//! The bytes of one record: the key as what it shares with the one before and the rest, numbers as varints.

use super::{Mark, Record};
use crate::engines::documents::collection::Key;

const HAS_PLACE: u8 = 1;
const ASIDE: u8 = 2;
const HAS_HASH: u8 = 4;
const HAS_NUMBERS: u8 = 8;

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the bytes of a record; `before` is the name of the one before it, and becomes this one's.
pub(crate) fn encode(record: &Record, before: &mut Vec<u8>, out: &mut Vec<u8>) {
    let id = record.key.id.as_bytes();
    let shared = before.iter().zip(id).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put_bytes(out, id.get(shared..).unwrap_or_default());
    before.clear();
    before.extend_from_slice(id);
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

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }
}

/// Reads one record's bytes; `None` when they make no sense.
pub(crate) fn decode(bytes: &[u8], before: &mut Vec<u8>) -> Option<Record> {
    let mut from = Cursor(bytes);
    let shared = usize::try_from(from.number()?).ok()?;
    if shared > before.len() {
        return None;
    }
    before.truncate(shared);
    before.extend_from_slice(from.bytes()?);
    let id = String::from_utf8(before.clone()).ok()?;
    let flags = *from.take(1)?.first()?;
    let place = match flags & HAS_PLACE {
        0 => None,
        _ => Some(String::from_utf8(from.bytes()?.to_vec()).ok()?),
    };
    let hash = match flags & HAS_HASH {
        0 => 0,
        _ => u128::from_le_bytes(from.take(16)?.try_into().ok()?),
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
