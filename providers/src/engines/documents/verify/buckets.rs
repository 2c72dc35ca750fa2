//! A few kilobytes that say whether two sets of documents are the same, and roughly where they are not.

use xxhash_rust::xxh3::Xxh3;

use crate::engines::documents::collection::Key;
use crate::engines::documents::ledger::key_hash;

/// How many there are: so few keys of a million are in one that all of them are quickly looked at.
const BUCKETS: usize = 1024;

/// The bucket of a key.
pub(super) fn bucket_of(key: &Key) -> usize {
    (key_hash(key) >> 64) as usize % BUCKETS
}

/// How many documents each bucket has, and the sum of their hashes, which does not depend on their order.
#[derive(Clone)]
pub(super) struct Buckets(Vec<(u64, u128)>);

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![(0, 0); BUCKETS])
    }
}

impl Buckets {
    /// Adds a document by its key and the hash of its body.
    pub(super) fn add(&mut self, key: &Key, hash: u128) {
        let mut mixed = Xxh3::new();
        mixed.update(&key_hash(key).to_le_bytes());
        mixed.update(&hash.to_le_bytes());
        if let Some((count, sum)) = self.0.get_mut(bucket_of(key)) {
            *count += 1;
            *sum = sum.wrapping_add(mixed.digest128());
        }
    }

    /// The numbers of the buckets in which any of the others differs, in order.
    pub(super) fn differing(&self, others: &[&Self]) -> Vec<usize> {
        let differs = |at: usize| others.iter().any(|other| other.0.get(at) != self.0.get(at));
        (0..BUCKETS).filter(|at| differs(*at)).collect()
    }
}
