//! What a reader concludes about the journal as a whole, in words for the user.

use segue_contract::segue;
use std::fmt;
use std::path::PathBuf;

use super::{MAX_GROUP_BYTES, Mark, Seq};

/// How the journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every frame is good, and nothing follows the last.
    Clean,
    /// The last group is half written and was never acknowledged, as far as anything knows. The writer
    /// cuts it off at its next open; beside a living writer it is merely a group in the making.
    TornTail {
        /// The last segment.
        segment: PathBuf,
        /// Where the good frames end, in bytes from its start.
        cut_at: u64,
        /// How many bytes are not good.
        bytes: u64,
    },
    /// The visitor asked to stop.
    Stopped,
    /// Something is lost or changed. Nothing may be written or concluded.
    Damaged(Box<Damage>),
}

/// Where the journal stops adding up, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment file (or the journal's directory, when files are missing).
    pub segment: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// The last event before it. `None`: not one.
    pub last_good: Option<Mark>,
    /// What is wrong there.
    pub reason: DamageReason,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageReason {
    /// A segment's header cannot be read, or is another segment's.
    Header,
    /// This segment file is not there, and later ones are.
    MissingSegment {
        /// Its number.
        index: u64,
    },
    /// A frame is bad that was durable.
    Frame {
        /// The event that should be there.
        expected: Seq,
        /// Who knows that it was durable.
        known_by: KnownBy,
    },
    /// The bytes after the last good frame are more than one group can have.
    TailTooLong {
        /// How many.
        bytes: u64,
    },
    /// A valid frame that is not the one that should be here.
    OutOfOrder {
        /// The event that should be there.
        expected: Seq,
        /// The event that is there.
        found: Seq,
    },
    /// Good to the end, but the end is missing.
    TooShort {
        /// The last event that is known to have been durable.
        known: Mark,
        /// Who knows it.
        known_by: KnownBy,
    },
    /// This event is another one than the one that was acknowledged: a journal that was restored from an
    /// older copy and has gone on since, or another migration's.
    OtherHistory {
        /// The event.
        seq: Seq,
        /// Who knows the other one.
        known_by: KnownBy,
    },
}

/// Who knows that an event was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// A later frame of the journal.
    LaterFrame,
    /// A later segment of the journal.
    LaterSegment,
    /// `journal/head`.
    Head,
    /// What the caller brought: the store's sequence.
    Caller,
}

impl Damage {
    /// What can be done.
    pub fn remedy(&self) -> String {
        let known = match self.reason {
            DamageReason::TooShort { known, .. } => format!(" and ends at event {} or later", known.seq),
            _ => String::new(),
        };
        format!(
            "nothing was changed; put back a copy of the journal that is whole{known}, or look at both sides by hand \
             (the files BY_HAND*.txt beside the journal have the commands) and restore a state that you pulled earlier with `{}`",
            segue(&["state", "push"])
        )
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, last_good, reason } = self;
        write!(f, "the journal is damaged at {} byte {offset}: {reason}; ", segment.display())?;
        match last_good {
            Some(mark) => write!(f, "the last good event is {}", mark.seq),
            None => write!(f, "there is no good event before it"),
        }
    }
}

impl fmt::Display for DamageReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "the segment's header is not the one that belongs here"),
            Self::MissingSegment { index } => write!(f, "segment {index} is missing"),
            Self::Frame { expected, known_by } => {
                write!(f, "event {expected} cannot be read, and {known_by} shows that it was written")
            }
            Self::TailTooLong { bytes } => write!(
                f,
                "{bytes} unreadable bytes, and an interrupted write leaves at most {MAX_GROUP_BYTES}"
            ),
            Self::OutOfOrder { expected, found } => {
                write!(f, "event {expected} should be here, and event {found} is")
            }
            Self::TooShort { known, known_by } => {
                write!(f, "the journal ends here, and {known_by} shows that event {} was written", known.seq)
            }
            Self::OtherHistory { seq, known_by } => {
                write!(
                    f,
                    "event {seq} is not the one that {known_by} knows: this is another or an older journal"
                )
            }
        }
    }
}

impl fmt::Display for KnownBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LaterFrame => "a later event",
            Self::LaterSegment => "a later segment",
            Self::Head => "journal/head",
            Self::Caller => "the stored state",
        })
    }
}
