//! Bytes of a segment's header and of a frame. Both can be checked on their own, wherever they are found.
//!
//! ```text
//! header, 64 bytes:  magic [8] | version u32 | 0 u32 | index u64 | first seq u64 | previous u64 | journal id [16] | checksum u64
//! frame, 40 bytes:   checksum u64 | magic u32 | length u32 | seq u64 | durable u64 | previous u64 | payload
//! ```
//!
//! Integers are little endian. A checksum is XXH3-64 over the rest (of the header; of the frame including
//! `previous`, the checksum before it, which makes it a running one).

use xxhash_rust::xxh3::xxh3_64;

use super::{MAX_EVENT_BYTES, Mark, Seq};

pub(super) const FORMAT_VERSION: u32 = 1;
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
pub(super) const FRAME_HEADER_BYTES: usize = 40;
pub(super) const FRAME_MAGIC: [u8; 4] = *b"EvT\x01";
/// Where the magic stands in a frame.
pub(super) const FRAME_MAGIC_AT: usize = 8;
const SEGMENT_MAGIC: [u8; 8] = *b"SEGUEJ\r\n";

/// The longest frame.
pub(super) const MAX_FRAME_BYTES: usize = FRAME_HEADER_BYTES + MAX_EVENT_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) index: u64,
    pub(super) first: Seq,
    /// The running checksum before the first frame.
    pub(super) previous: u64,
    pub(super) journal_id: [u8; 16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Bad,
    Version(u32),
}

impl SegmentHeader {
    /// What the first frame of a journal is chained to.
    pub(super) fn chain_start(journal_id: &[u8; 16]) -> u64 {
        xxh3_64(journal_id)
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.index.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.journal_id);
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(HeaderError::Bad)?;
        if bytes[..8] != SEGMENT_MAGIC || u64_at(bytes, 56) != xxh3_64(&bytes[..56]) {
            return Err(HeaderError::Bad);
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        let mut journal_id = [0; 16];
        journal_id.copy_from_slice(&bytes[40..56]);
        Ok(Self {
            index: u64_at(bytes, 16),
            first: Seq(u64_at(bytes, 24)),
            previous: u64_at(bytes, 32),
            journal_id,
        })
    }
}

/// A frame that is valid by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawFrame<'a> {
    pub(super) seq: Seq,
    /// The last sequence that was on the disk before this frame's group was written.
    pub(super) durable: Seq,
    pub(super) previous: u64,
    pub(super) checksum: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> RawFrame<'a> {
    pub(super) fn mark(&self) -> Mark {
        Mark { seq: self.seq, checksum: self.checksum }
    }

    /// The frame at the start of these bytes, or why there is none.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some(header) = bytes.get(..FRAME_HEADER_BYTES) else {
            return Err(if bytes.iter().all(|b| *b == 0) { FrameError::Zero } else { FrameError::CutShort });
        };
        if header.iter().all(|b| *b == 0) {
            return Err(FrameError::Zero);
        }
        let length = u32_at(header, 12) as usize;
        if header[FRAME_MAGIC_AT..12] != FRAME_MAGIC || length == 0 || length > MAX_EVENT_BYTES {
            return Err(FrameError::NoFrame);
        }
        let Some(frame) = bytes.get(..FRAME_HEADER_BYTES + length) else {
            return Err(FrameError::CutShort);
        };
        let checksum = u64_at(frame, 0);
        if checksum != xxh3_64(&frame[8..]) {
            return Err(FrameError::Checksum);
        }
        Ok(Self {
            seq: Seq(u64_at(frame, 16)),
            durable: Seq(u64_at(frame, 24)),
            previous: u64_at(frame, 32),
            checksum,
            payload: &frame[FRAME_HEADER_BYTES..],
        })
    }
}

/// Why there is no frame here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// Nothing but zeros, or nothing at all: the end, if nothing follows.
    Zero,
    CutShort,
    NoFrame,
    Checksum,
}

/// Appends a frame to a group and returns the running checksum after it.
pub(super) fn encode(group: &mut Vec<u8>, seq: Seq, durable: Seq, previous: u64, payload: &[u8]) -> u64 {
    let start = group.len();
    // The sizes were checked when the event came in; a longer one cannot be here.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    group.extend_from_slice(&[0; 8]);
    group.extend_from_slice(&FRAME_MAGIC);
    group.extend_from_slice(&length.to_le_bytes());
    group.extend_from_slice(&seq.0.to_le_bytes());
    group.extend_from_slice(&durable.0.to_le_bytes());
    group.extend_from_slice(&previous.to_le_bytes());
    group.extend_from_slice(payload);
    let checksum = xxh3_64(&group[start + 8..]);
    group[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
