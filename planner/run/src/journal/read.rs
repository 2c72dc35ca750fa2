//! Reading: one pass over the segments, every checksum followed, memory bounded, no lock taken.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::frame::{
    FORMAT_VERSION, FRAME_HEADER_BYTES, HeaderError, RawFrame, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::tail::{Tail, examine};
use super::window::Window;
use super::{Damage, DamageReason, HeadState, JournalError, KnownBy, Mark, Seq, Verdict, head, segment};

/// An event as it stands in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its number, and the running checksum after it.
    pub mark: Mark,
    /// What was appended.
    pub payload: &'a [u8],
}

/// What one pass found.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How the journal ends.
    pub verdict: Verdict,
    /// The last good event. `None`: there is none.
    pub last: Option<Mark>,
    /// The last event that is known to be on the disk; later ones may be in the making (P8: sync before
    /// acting on them; the writer's open does).
    pub durable: Seq,
    /// What `journal/head` says.
    pub head: HeadState,
    /// Where the writer goes on. `None`: there is no segment.
    pub(super) end: Option<End>,
}

/// Where the good frames end.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) segment: PathBuf,
    pub(super) index: u64,
    pub(super) offset: u64,
    /// Where the last group begins: the only one that may not be on the disk.
    pub(super) group_start: u64,
    pub(super) chain: u64,
    pub(super) journal_id: [u8; 16],
}

/// Reads the journal in this directory and shows the events from `from` on to `visit`, which may stop it.
///
/// `known` are events that the caller knows to have been durable (the store's): a journal that lacks one, or
/// has another one in its place, is damaged. Segments that end before `from` are not read, only their
/// headers. A writer may be appending meanwhile: what is whole when it is looked at is seen.
///
/// The verdict comes last. When it is [`Verdict::Damaged`], the events shown before are those before the
/// damage: good for a message, not for a decision.
///
/// # Errors
/// Files that cannot be read, and segments of a newer format. Damage is a verdict, not an error.
pub fn read(
    journal: &Path,
    from: Seq,
    known: &[Mark],
    visit: &mut dyn FnMut(Frame<'_>) -> ControlFlow<()>,
) -> Result<Reading, JournalError> {
    // The head first: whatever it says was in the segments before they are looked at.
    let head = head::read(journal)?;
    let mut scan = Scan {
        expected: Seq::FIRST,
        chain: 0,
        last: None,
        durable: Seq(0),
        known: known
            .iter()
            .map(|mark| (*mark, KnownBy::Caller))
            .chain(head.mark().map(|mark| (mark, KnownBy::Head)))
            .collect(),
        end: None,
        from,
        visit,
    };
    let verdict = match scan.segments(journal)? {
        Ok(verdict) => scan.held_against_evidence(journal, verdict),
        Err(damage) => Verdict::Damaged(Box::new(damage)),
    };
    let durable = scan.durable.max(head.mark().map_or(Seq(0), |mark| mark.seq));
    Ok(Reading {
        verdict,
        last: scan.last,
        durable: durable.min(scan.last.map_or(Seq(0), |mark| mark.seq)),
        head,
        end: scan.end,
    })
}

struct Scan<'v> {
    expected: Seq,
    /// The running checksum before `expected`.
    chain: u64,
    last: Option<Mark>,
    durable: Seq,
    known: Vec<(Mark, KnownBy)>,
    end: Option<End>,
    from: Seq,
    visit: &'v mut dyn FnMut(Frame<'_>) -> ControlFlow<()>,
}

/// The outer failure is the disk's, the inner one is damage.
type Scanned<T> = Result<Result<T, Damage>, JournalError>;

impl Scan<'_> {
    fn segments(&mut self, journal: &Path) -> Scanned<Verdict> {
        let (headers, defect) = headers(journal)?;
        let first_read = headers.partition_point(|(_, header)| header.first <= self.from).max(1) - 1;
        let mut verdict = Verdict::Clean;
        for (place, (path, header)) in headers.iter().enumerate().skip(first_read) {
            if place == first_read {
                self.begin(header);
            }
            if (header.first, header.previous) != (self.expected, self.chain) {
                let reason = DamageReason::Frame { expected: self.expected, known_by: KnownBy::LaterSegment };
                let (before, offset) = self.end_or(path);
                return Ok(Err(self.damage(before, offset, reason)));
            }
            let is_last = defect.is_none() && place + 1 == headers.len();
            verdict = match self.segment(path, header, is_last)? {
                Ok(Verdict::Clean) => Verdict::Clean,
                Ok(other) => return Ok(Ok(other)),
                Err(damage) => return Ok(Err(damage)),
            };
        }
        Ok(match defect {
            Some((path, reason)) => Err(self.damage(path, 0, reason)),
            None => Ok(verdict),
        })
    }

    /// Everything before a segment was synced before the segment was made.
    fn begin(&mut self, header: &SegmentHeader) {
        self.expected = header.first;
        self.chain = header.previous;
        self.durable = Seq(header.first.0.saturating_sub(1));
        self.last = (self.durable > Seq(0)).then_some(Mark { seq: self.durable, checksum: header.previous });
    }

    fn segment(&mut self, path: &Path, header: &SegmentHeader, is_last: bool) -> Scanned<Verdict> {
        let mut window = Window::open(path)?;
        let mut offset = SEGMENT_HEADER_BYTES as u64;
        let mut group_start = offset;
        if let Some(reason) = self.last.and_then(|mark| self.contradiction(mark)) {
            return Ok(Err(self.damage(path.to_owned(), offset, reason)));
        }
        let verdict = loop {
            let Ok(frame) = window.frame(offset)? else {
                match examine(&mut window, offset, self.expected, is_last)? {
                    Tail::Grown => continue,
                    Tail::End => break Verdict::Clean,
                    Tail::Torn { bytes } => {
                        break Verdict::TornTail { segment: path.to_owned(), cut_at: offset, bytes };
                    }
                    Tail::Damaged(reason) => {
                        return Ok(Err(self.damage(window.path().to_owned(), offset, reason)));
                    }
                }
            };
            if let Some(reason) = self.misplaced(&frame).or_else(|| self.contradiction(frame.mark())) {
                return Ok(Err(self.damage(path.to_owned(), offset, reason)));
            }
            if frame.durable > self.durable {
                group_start = offset;
            }
            offset += FRAME_HEADER_BYTES as u64 + frame.payload.len() as u64;
            if self.accept(&frame).is_break() {
                return Ok(Ok(Verdict::Stopped));
            }
        };
        self.end = Some(End {
            segment: path.to_owned(),
            index: header.index,
            offset,
            group_start,
            chain: self.chain,
            journal_id: header.journal_id,
        });
        Ok(Ok(verdict))
    }

    fn accept(&mut self, frame: &RawFrame<'_>) -> ControlFlow<()> {
        self.expected = frame.seq.next();
        self.chain = frame.checksum;
        self.durable = frame.durable;
        self.last = Some(frame.mark());
        if frame.seq < self.from {
            return ControlFlow::Continue(());
        }
        (self.visit)(Frame { mark: frame.mark(), payload: frame.payload })
    }

    fn misplaced(&self, frame: &RawFrame<'_>) -> Option<DamageReason> {
        let fits = frame.seq == self.expected
            && frame.previous == self.chain
            && frame.durable < frame.seq
            && frame.durable >= self.durable;
        (!fits).then_some(DamageReason::OutOfOrder { expected: self.expected, found: frame.seq })
    }

    fn contradiction(&self, here: Mark) -> Option<DamageReason> {
        let (mark, known_by) = self.known.iter().find(|(mark, _)| mark.seq == here.seq)?;
        (mark.checksum != here.checksum)
            .then_some(DamageReason::OtherHistory { seq: here.seq, known_by: *known_by })
    }

    /// A clean or torn end that lacks an event which somebody knows is damage.
    fn held_against_evidence(&self, journal: &Path, verdict: Verdict) -> Verdict {
        let missing =
            self.known.iter().filter(|(mark, _)| mark.seq >= self.expected).max_by_key(|(mark, _)| mark.seq);
        let Some(&(known, known_by)) = missing else {
            return verdict;
        };
        let (segment, offset, reason) = match verdict {
            Verdict::Clean => {
                let (segment, offset) = self.end_or(journal);
                (segment, offset, DamageReason::TooShort { known, known_by })
            }
            Verdict::TornTail { segment, cut_at, .. } => {
                let reason = DamageReason::Frame { expected: self.expected, known_by };
                (segment, cut_at, reason)
            }
            Verdict::Stopped | Verdict::Damaged(_) => return verdict,
        };
        Verdict::Damaged(Box::new(self.damage(segment, offset, reason)))
    }

    /// Where the good frames end, or the start of `otherwise` if no segment was read.
    fn end_or(&self, otherwise: &Path) -> (PathBuf, u64) {
        self.end.as_ref().map_or((otherwise.to_owned(), 0), |end| (end.segment.clone(), end.offset))
    }

    fn damage(&self, segment: PathBuf, offset: u64, reason: DamageReason) -> Damage {
        Damage { segment, offset, last_good: self.last, reason }
    }
}

type Headers = (Vec<(PathBuf, SegmentHeader)>, Option<(PathBuf, DamageReason)>);

/// The headers of all segments up to the first that is not the one that belongs there, and what is wrong
/// with that one.
fn headers(journal: &Path) -> Result<Headers, JournalError> {
    let mut headers: Vec<(PathBuf, SegmentHeader)> = Vec::new();
    for (place, (index, path)) in segment::list(journal)?.into_iter().enumerate() {
        let due = place as u64 + 1;
        if index != due {
            let reason = DamageReason::MissingSegment { index: due };
            return Ok((headers, Some((segment::path(journal, due), reason))));
        }
        let header = match SegmentHeader::decode(Window::open(&path)?.at(0, SEGMENT_HEADER_BYTES)?) {
            Ok(header) => header,
            Err(HeaderError::Bad) => return Ok((headers, Some((path, DamageReason::Header)))),
            Err(HeaderError::Version(found)) => {
                return Err(JournalError::Version { path, found, known: FORMAT_VERSION });
            }
        };
        let belongs = match headers.last() {
            Some((_, before)) => header.journal_id == before.journal_id && header.first > before.first,
            None => {
                header.first == Seq::FIRST
                    && header.previous == SegmentHeader::chain_start(&header.journal_id)
            }
        };
        if header.index != index || !belongs {
            return Ok((headers, Some((path, DamageReason::Header))));
        }
        headers.push((path, header));
    }
    Ok((headers, None))
}
