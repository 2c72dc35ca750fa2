//! Opening the journal for writing, and the handle to its writer thread.

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use segue_contract::paths::{self, PathError};

use super::frame::SegmentHeader;
use super::head::Head;
use super::read::{End, read};
use super::segment::{self, WriteSegment, is_full};
use super::ticket::Reply;
use super::writer::{Request, Writer};
use super::{
    GROWTH_BYTES, HeadState, JournalError, MAX_EVENT_BYTES, Mark, QUEUE_EVENTS, RESERVE_BYTES, SEGMENT_BYTES,
    Seq, Tap, Ticket, Verdict,
};
use crate::directory::random_bytes;
use crate::lock::WriterLock;

/// Sizes, in bytes. The defaults are the constants of this room; tests take small ones.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// See [`SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// See [`RESERVE_BYTES`].
    pub reserve_bytes: u64,
    /// See [`GROWTH_BYTES`].
    pub growth_bytes: u64,
    /// The most events that share one sync; 1 makes every event its own group.
    pub group_events: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            reserve_bytes: RESERVE_BYTES,
            growth_bytes: GROWTH_BYTES,
            group_events: QUEUE_EVENTS,
        }
    }
}

/// What was found when the journal was opened for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The last event; it and all before it are on the disk now.
    pub last: Option<Mark>,
    /// A torn last group was cut off, so many bytes of this segment.
    pub cut: Option<(PathBuf, u64)>,
    /// What `journal/head` said; it is made anew. `Missing` or `Unreadable` beside events is worth a warning.
    pub head: HeadState,
    /// The reserve could not be allocated in full, because the disk is full.
    pub reserve_short: bool,
}

/// The one writer of a journal. Shared by reference; closed when dropped.
pub struct Journal {
    queue: Option<SyncSender<Request>>,
    durable: Arc<Mutex<Option<Mark>>>,
    thread: Option<JoinHandle<Result<(), JournalError>>>,
}

impl Journal {
    /// Opens the journal of the lock's state directory, made if there is none: reads and checks all of it,
    /// cuts off a torn last group, syncs, and starts the writer thread. `known` is what the caller knows to
    /// have been durable, the store's mark above all.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with nothing changed; a full disk for a new journal; file errors.
    pub fn open(
        lock: &Arc<WriterLock>,
        options: JournalOptions,
        known: &[Mark],
        tap: impl Tap,
    ) -> Result<(Self, Opened), JournalError> {
        let (writer, opened) = prepare(lock, options, known, tap)?;
        Ok((Self::start(writer)?, opened))
    }

    pub(super) fn start(writer: Writer) -> Result<Self, JournalError> {
        let durable = Arc::clone(&writer.told);
        let directory = writer.directory.clone();
        let (queue, requests) = sync_channel(QUEUE_EVENTS);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&requests))
            .map_err(|e| PathError::new("start a writer for", directory, e))?;
        Ok(Self { queue: Some(queue), durable, thread: Some(thread) })
    }

    /// Hands an event to the writer; it counts once the ticket says so. Events are numbered in the order in
    /// which they are handed over. Blocks while [`QUEUE_EVENTS`] are waiting.
    pub fn append(&self, payload: impl Into<Vec<u8>>) -> Ticket {
        self.submit(payload.into(), false)
    }

    /// Like [`Self::append`], for events that settle a cutover: on a full disk they may use the reserve.
    pub fn append_reserved(&self, payload: impl Into<Vec<u8>>) -> Ticket {
        self.submit(payload.into(), true)
    }

    /// The last event that is durable.
    pub fn durable(&self) -> Option<Mark> {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for everything that was handed over, and ends the writer.
    ///
    /// # Errors
    /// The failure after which the writer refused everything, if there was one.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.end()
    }

    fn submit(&self, payload: Vec<u8>, reserved: bool) -> Ticket {
        let (reply, ticket) = Reply::pair();
        if payload.is_empty() || payload.len() > MAX_EVENT_BYTES {
            reply.send(Err(JournalError::EventSize { bytes: payload.len() }));
            return ticket;
        }
        if let Some(queue) = &self.queue {
            // A request that cannot be sent is dropped, and its reply then says that the writer has ended.
            let _ = queue.send(Request { payload, reserved, reply });
        }
        ticket
    }

    fn end(&mut self) -> Result<(), JournalError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(JournalError::Closed),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; every event's own outcome is in its ticket.
        let _ = self.end();
    }
}

/// Everything that opening does, short of starting the thread.
pub(super) fn prepare(
    lock: &Arc<WriterLock>,
    options: JournalOptions,
    known: &[Mark],
    tap: impl Tap,
) -> Result<(Writer, Opened), JournalError> {
    let directory = lock.directory().journal();
    paths::create_dir_all(&directory)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| PathError::new("set the mode of", &directory, e))?;
    let reading = read(&directory, Seq::FIRST, known, &mut |_| ControlFlow::Continue(()))?;
    if let Verdict::Damaged(damage) = reading.verdict {
        return Err(JournalError::Damaged(damage));
    }
    segment::remove_unfinished(&directory)?;
    let (mut segment, journal_id, chain, cut) = match reading.end {
        None => first_segment(&directory, options)?,
        Some(end) => last_segment(end, &reading.verdict)?,
    };
    let wanted = segment.position + options.reserve_bytes;
    let reserve_short = wanted > segment.allocated
        && match segment.grow(wanted + options.growth_bytes) {
            Ok(()) => false,
            Err(e) if is_full(&e) => true,
            Err(e) => return Err(e.into()),
        };
    let head = Head::open(&directory)?;
    let durable = Mark { seq: reading.last.map_or(Seq(0), |mark| mark.seq), checksum: chain };
    head.write(durable)?;
    head.sync()?;
    paths::sync_dir(&directory)?;
    paths::sync_dir(lock.directory().root())?;
    let opened = Opened { last: reading.last, cut, head: reading.head, reserve_short };
    let writer = Writer {
        directory,
        options,
        journal_id,
        segment,
        last: durable,
        head,
        tap: Box::new(tap),
        told: Arc::new(Mutex::new(reading.last)),
        failed: None,
        lock: Arc::clone(lock),
    };
    Ok((writer, opened))
}

type Found = (WriteSegment, [u8; 16], u64, Option<(PathBuf, u64)>);

fn first_segment(directory: &Path, options: JournalOptions) -> Result<Found, JournalError> {
    let journal_id = random_bytes()?;
    let header = SegmentHeader {
        index: 1,
        first: Seq::FIRST,
        previous: SegmentHeader::chain_start(&journal_id),
        journal_id,
    };
    let ahead = options.reserve_bytes + options.growth_bytes;
    let segment = WriteSegment::create(directory, &header, ahead).map_err(|e| {
        if is_full(&e) { JournalError::StorageFull { path: e.path, reserve_used: false } } else { e.into() }
    })?;
    Ok((segment, journal_id, header.previous, None))
}

fn last_segment(end: End, verdict: &Verdict) -> Result<Found, JournalError> {
    let segment = WriteSegment::reopen(&end.segment, end.index, end.offset)?;
    let cut = match verdict {
        Verdict::TornTail { bytes, .. } => {
            segment.blank(*bytes)?;
            Some((end.segment, *bytes))
        }
        Verdict::Clean | Verdict::Stopped | Verdict::Damaged(_) => None,
    };
    segment.confirm(end.group_start)?;
    Ok((segment, end.journal_id, end.chain, cut))
}

/// Moves a damaged journal out of the way, whole, as `journal.damaged-N`, so that a state that was pulled
/// earlier can be pushed into a new one. Returns where it is now.
///
/// # Errors
/// The directory cannot be renamed.
pub fn set_aside(lock: &WriterLock) -> Result<PathBuf, PathError> {
    lock.directory().set_aside(&lock.directory().journal())
}
