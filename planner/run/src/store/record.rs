//! How keys and values lie in the embedded store: values in chunks, each record with a checksum, and one
//! digest over all of them, because the store itself loses and changes things without a word (pages that
//! never reached the disk, flipped bits).
//!
//! ```text
//! "m"                            -> format u32 | has mark u8 | seq u64 | checksum u64 | count u64 | digest u64 | own checksum u64
//! "d" key                        -> checksum u64 | length u32 | first chunk
//! "c" key length u16 BE | key | chunk number u32 BE -> chunk
//! ```
//!
//! The checksum of a record covers key and whole value, so a lost or stale chunk shows. The digest is the
//! wrapping sum of the records' checksums: it can be kept up to date, and does not depend on order.

use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh3::xxh3_64;

use crate::journal::{Mark, Seq};

pub(super) const FORMAT_VERSION: u32 = 1;
/// A value in the embedded store, everything included. It keeps up to 17 of them in one page, and a page of
/// more than 128 KiB goes to a file that is never synced: with 8 KiB that happens in large batches.
pub(super) const STORED_BYTES_MAX: usize = 4 * 1024;
pub(super) const META_KEY: &[u8] = b"m";
const RECORD_HEADER_BYTES: usize = 12;
const FIRST_CHUNK_BYTES: usize = STORED_BYTES_MAX - RECORD_HEADER_BYTES;
const META_BYTES: usize = 45;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) at: Option<Mark>,
    /// How many records there are.
    pub(super) count: u64,
    /// The wrapping sum of their checksums.
    pub(super) digest: u64,
}

impl Meta {
    pub(super) fn add(&mut self, checksum: u64) {
        self.count = self.count.wrapping_add(1);
        self.digest = self.digest.wrapping_add(checksum);
    }

    pub(super) fn subtract(&mut self, checksum: u64) {
        self.count = self.count.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(checksum);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (has_mark, mark) = match self.at {
            Some(mark) => (1, mark),
            None => (0, Mark { seq: Seq(0), checksum: 0 }),
        };
        let mut bytes = Vec::with_capacity(META_BYTES);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.push(has_mark);
        for word in [mark.seq.0, mark.checksum, self.count, self.digest] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (body, own) = bytes.split_last_chunk::<8>().ok_or("its first record is too short")?;
        if xxh3_64(body) != u64::from_le_bytes(*own) {
            return Err("its first record has a bad checksum".to_owned());
        }
        let (version, body) = body.split_first_chunk::<4>().ok_or("its first record is too short")?;
        let version = u32::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Err(format!("it has format {version}, and this segue reads {FORMAT_VERSION}"));
        }
        let (has_mark, body) = body.split_first().ok_or("its first record is too short")?;
        let mut words = [0_u64; 4];
        let (chunks, rest) = body.as_chunks::<8>();
        if chunks.len() != words.len() || !rest.is_empty() {
            return Err("its first record has another length".to_owned());
        }
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        Ok(Self {
            at: (*has_mark == 1).then_some(Mark { seq: Seq(words[0]), checksum: words[1] }),
            count: words[2],
            digest: words[3],
        })
    }
}

pub(super) fn record_key(key: &[u8]) -> Vec<u8> {
    [b"d", key].concat()
}

pub(super) fn chunk_key(key: &[u8], number: u32) -> Vec<u8> {
    // Keys were checked to be short when they came in.
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    [b"c", length.to_be_bytes().as_slice(), key, &number.to_be_bytes()].concat()
}

/// The head record of a value, the further chunks, and the record's checksum.
pub(super) struct Encoded<'a> {
    pub(super) record: Vec<u8>,
    pub(super) chunks: std::slice::Chunks<'a, u8>,
    pub(super) checksum: u64,
}

pub(super) fn encode<'a>(key: &[u8], value: &'a [u8]) -> Encoded<'a> {
    let checksum = checksum(key, value);
    let (first, rest) = value.split_at(value.len().min(FIRST_CHUNK_BYTES));
    // Values were checked to be short when they came in.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + first.len());
    record.extend_from_slice(&checksum.to_le_bytes());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(first);
    debug_assert!(record.len() <= STORED_BYTES_MAX);
    Encoded { record, chunks: rest.chunks(STORED_BYTES_MAX), checksum }
}

/// What a head record says of its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    pub(super) checksum: u64,
    pub(super) length: usize,
    pub(super) first: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn decode(record: &'a [u8]) -> Option<Self> {
        let (checksum, rest) = record.split_first_chunk::<8>()?;
        let (length, first) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        (first.len() == length.min(FIRST_CHUNK_BYTES) && length <= super::MAX_VALUE_BYTES).then_some(Self {
            checksum: u64::from_le_bytes(*checksum),
            length,
            first,
        })
    }

    /// How many further chunks there are.
    pub(super) fn chunks(&self) -> u32 {
        u32::try_from((self.length - self.first.len()).div_ceil(STORED_BYTES_MAX)).unwrap_or(u32::MAX)
    }
}

pub(super) fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest()
}
