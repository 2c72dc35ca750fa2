//! What follows the last good frame: nothing, a torn group, damage, or (beside a writer) more frames.

use segue_contract::paths::PathError;

use super::frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_MAGIC_AT, MAX_FRAME_BYTES, RawFrame};
use super::window::{WINDOW_BYTES, Window};
use super::{DamageReason, KnownBy, MAX_GROUP_BYTES, Seq};

/// What a window of the reserve looks like.
static ZEROS: [u8; WINDOW_BYTES] = [0; WINDOW_BYTES];

pub(super) enum Tail {
    /// Zeros or nothing: the journal's end.
    End,
    /// A writer has written it by now: go on reading.
    Grown,
    /// Not good, and nothing in the file shows that it was ever acknowledged.
    Torn {
        bytes: u64,
    },
    Damaged(DamageReason),
}

/// Examines the bytes from `offset` on, where `expected` should stand and cannot be read.
pub(super) fn examine(
    window: &mut Window,
    offset: u64,
    expected: Seq,
    is_last: bool,
) -> Result<Tail, PathError> {
    window.refresh();
    let written_end = written_end(window, offset)?;
    let proof = match written_end {
        Some(end) if is_last => proof(window, offset, end, expected)?,
        Some(_) => Some(DamageReason::Frame { expected, known_by: KnownBy::LaterSegment }),
        None => None,
    };
    // Only now, after the evidence: if a living writer wrote what was found, this frame is whole by now.
    window.refresh();
    if window.frame(offset)?.is_ok() {
        return Ok(Tail::Grown);
    }
    let bytes = written_end.map_or(0, |end| end - offset);
    Ok(match proof {
        Some(reason) => Tail::Damaged(reason),
        None if bytes == 0 => Tail::End,
        None if bytes > MAX_GROUP_BYTES => Tail::Damaged(DamageReason::TailTooLong { bytes }),
        None => Tail::Torn { bytes },
    })
}

/// Where the last byte that is not zero ends.
fn written_end(window: &mut Window, offset: u64) -> Result<Option<u64>, PathError> {
    let mut end = None;
    let mut at = offset;
    loop {
        let bytes = window.at(at, WINDOW_BYTES)?;
        if bytes.is_empty() {
            return Ok(end);
        }
        // The reserve is megabytes of zeros: told apart from a written end in one comparison a window.
        if *bytes != ZEROS[..bytes.len()]
            && let Some(last) = bytes.iter().rposition(|b| *b != 0)
        {
            end = Some(at + last as u64 + 1);
        }
        at += bytes.len() as u64;
    }
}

/// A valid frame further on that shows that `expected` was durable, or that cannot be here at all.
fn proof(
    window: &mut Window,
    offset: u64,
    end: u64,
    expected: Seq,
) -> Result<Option<DamageReason>, PathError> {
    // The bad frame itself is at `offset`; a good one can only begin after it.
    let mut at = offset + 1;
    while at < end {
        let bytes = window.at(at, WINDOW_BYTES + MAX_FRAME_BYTES)?;
        let written = usize::try_from(end - at).map_or(bytes.len(), |written| written.min(bytes.len()));
        if let Some(reason) = bytes[..written]
            .windows(FRAME_MAGIC.len())
            .enumerate()
            .skip(FRAME_MAGIC_AT)
            .filter(|(_, word)| *word == FRAME_MAGIC)
            .filter_map(|(magic_at, _)| RawFrame::decode(&bytes[magic_at - FRAME_MAGIC_AT..]).ok())
            .find_map(|frame| proven_by(&frame, expected))
        {
            return Ok(Some(reason));
        }
        if bytes.len() < WINDOW_BYTES + MAX_FRAME_BYTES {
            break;
        }
        // Frames that begin near the end of these bytes are looked at again with all of theirs.
        at += (WINDOW_BYTES - FRAME_HEADER_BYTES) as u64;
    }
    Ok(None)
}

fn proven_by(frame: &RawFrame<'_>, expected: Seq) -> Option<DamageReason> {
    if frame.seq <= expected {
        return Some(DamageReason::OutOfOrder { expected, found: frame.seq });
    }
    (frame.durable >= expected).then_some(DamageReason::Frame { expected, known_by: KnownBy::LaterFrame })
}
