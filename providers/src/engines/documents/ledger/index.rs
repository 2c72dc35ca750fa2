//! Where in a ledger some of its records begin, so that a few documents are found without reading the others.

use crate::engines::documents::collection::Key;
use crate::ledger::varint::{Cursor, put, put_bytes};

/// Records from one place to the next, at first.
const EVERY: u64 = 64;
/// Places at most: whatever the ledger's size, the index fits into memory.
const PLACES_MAX: usize = 4096;

/// The places in order: a record's key, and where in the file it begins.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<(Key, u64)>,
    every: u64,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), every: EVERY }
    }

    /// Whether the record after so many others is to have a place.
    pub(super) fn wants(&self, nth: u64) -> bool {
        nth.is_multiple_of(self.every)
    }

    /// Takes the place of a record that it wants.
    pub(super) fn push(&mut self, key: &Key, at: u64) {
        self.places.push((key.clone(), at));
        if self.places.len() > PLACES_MAX {
            let mut nth = 0;
            self.places.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// The last place that is not behind a key, by its number, and where it is. `None`: the key is before all.
    pub(super) fn before(&self, key: &Key) -> Option<(usize, u64)> {
        let nth = self.places.partition_point(|(first, _)| first <= key).checked_sub(1)?;
        self.places.get(nth).map(|(_, at)| (nth, *at))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.places.len() as u64);
        for (key, at) in &self.places {
            put_bytes(out, key.id.as_bytes());
            out.push(u8::from(key.place.is_some()));
            put_bytes(out, key.place.as_deref().unwrap_or_default().as_bytes());
            put(out, *at);
        }
    }

    /// `None` when the bytes make no sense.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Cursor(bytes);
        let mut index = Self::new();
        for _ in 0..from.number()? {
            let id = String::from_utf8(from.bytes()?.to_vec()).ok()?;
            let has_place = from.byte()? != 0;
            let place = String::from_utf8(from.bytes()?.to_vec()).ok()?;
            let key = Key { id, place: has_place.then_some(place) };
            index.places.push((key, from.number()?));
        }
        from.0.is_empty().then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_records_there_are_the_places_are_few_and_none_is_behind_its_key() {
        let (mut index, records) = (Index::new(), 600_000u64);
        let key =
            |n: u64| Key { id: format!("key{n:08}"), place: n.is_multiple_of(2).then(|| "a".to_owned()) };
        for n in (0..records).filter(|n| n % EVERY == 0) {
            if index.wants(n) {
                index.push(&key(n), n);
            }
        }
        assert!(index.places.len() <= PLACES_MAX && index.places.len() > PLACES_MAX / 4);
        let mut bytes = Vec::new();
        index.encode(&mut bytes);
        let read = Index::decode(&bytes).expect("read");
        assert_eq!(read.places, index.places);
        for n in [0, 1, 63, 64, 65, 1_000, 599_999] {
            let (nth, at) = read.before(&key(n)).expect("a place");
            assert!(at <= n && n - at < index.every, "{at} for {n}");
            assert_eq!(read.places.get(nth), Some(&(key(at), at)));
        }
        assert_eq!(read.before(&Key { id: "a".to_owned(), place: None }), None);
        assert!(Index::decode(&bytes[1..]).is_none() && Index::decode(&bytes[..bytes.len() - 1]).is_none());
    }
}
