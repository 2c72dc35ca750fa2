//! Buckets: a few kilobytes that say whether, and roughly where, two ledgers differ. Sums do not depend
//! on order, so they can also be updated record by record.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Record;

/// How many buckets a ledger has; a record belongs to that of the first byte of its key's hash.
pub const BUCKETS: usize = 256;

/// One bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Records in it.
    pub count: u64,
    /// The wrapping sum of their mixed hashes.
    pub sum: u128,
}

/// All buckets of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Vec<Bucket>);

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![Bucket::default(); BUCKETS])
    }
}

impl Buckets {
    pub(super) fn from_list(list: Vec<Bucket>) -> Self {
        Self(list)
    }

    /// The buckets in order.
    pub fn list(&self) -> &[Bucket] {
        &self.0
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        let index = usize::from(xxh3_64(&record.path).to_be_bytes()[0]);
        if let Some(bucket) = self.0.get_mut(index) {
            bucket.count += 1;
            bucket.sum = bucket.sum.wrapping_add(mix(record));
        }
    }

    /// The numbers of the buckets that differ: none means equal data on equal paths.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let pairs = self.0.iter().zip(&other.0).enumerate();
        pairs.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect()
    }
}

/// The hash of what a record says about the data, never of how a side stores it.
fn mix(record: &Record) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(record.path.len() as u64).to_le_bytes());
    hash.update(&record.path);
    hash.update(&[super::codec::kind_byte(record.kind)]);
    for part in [record.mode, record.uid, record.gid] {
        hash.update(&part.to_le_bytes());
    }
    hash.update(&record.size.to_le_bytes());
    hash.update(&record.rdev.to_le_bytes());
    hash.update(&record.mtime.s.to_le_bytes());
    hash.update(&record.mtime.ns.to_le_bytes());
    hash.update(&record.xattrs.to_le_bytes());
    hash.update(&record.hash.to_le_bytes());
    hash.update(&record.symlink);
    hash.digest128()
}
