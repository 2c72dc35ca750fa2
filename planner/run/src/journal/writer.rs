//! The writer thread: takes what is waiting, writes it as one group, syncs once, and only then tells.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::paths::PathError;

use super::frame::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, encode};
use super::head::Head;
use super::segment::{WriteSegment, is_full};
use super::ticket::Reply;
use super::{JournalError, JournalOptions, MAX_GROUP_BYTES, Mark, Seq, Tap};
use crate::lock::WriterLock;

pub(super) struct Request {
    pub(super) payload: Vec<u8>,
    /// May use the reserve.
    pub(super) reserved: bool,
    pub(super) reply: Reply,
}

impl Request {
    fn bytes(&self) -> u64 {
        (FRAME_HEADER_BYTES + self.payload.len()) as u64
    }
}

pub(super) struct Writer {
    pub(super) directory: PathBuf,
    pub(super) options: JournalOptions,
    pub(super) journal_id: [u8; 16],
    pub(super) segment: WriteSegment,
    /// The last durable event (sequence 0 before the first), and what the next one is chained to.
    pub(super) last: Mark,
    pub(super) head: Head,
    pub(super) tap: Box<dyn Tap>,
    pub(super) told: Arc<Mutex<Option<Mark>>>,
    /// A write failed: what is in the file beyond `last` is unknown, so nothing may follow.
    pub(super) failed: Option<JournalError>,
    /// Held until the thread ends: nobody else writes before.
    pub(super) lock: Arc<WriterLock>,
}

impl Writer {
    pub(super) fn run(mut self, requests: &Receiver<Request>) -> Result<(), JournalError> {
        let mut carried = None;
        while let Some(first) = carried.take().or_else(|| requests.recv().ok()) {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < self.options.group_events {
                let Ok(request) = requests.try_recv() else {
                    break;
                };
                bytes += request.bytes();
                if bytes > MAX_GROUP_BYTES {
                    carried = Some(request);
                    break;
                }
                group.push(request);
            }
            self.commit(group);
        }
        if self.failed.is_none() {
            // The head is a help for the next open; the events themselves are durable.
            let _ = self.head.sync();
        }
        drop(self.lock);
        self.failed.map_or(Ok(()), Err)
    }

    fn commit(&mut self, group: Vec<Request>) {
        if let Some(failed) = &self.failed {
            let refused = JournalError::Poisoned(Box::new(failed.clone()));
            for request in group {
                request.reply.send(Err(refused.clone()));
            }
            return;
        }
        let group = match self.make_room(&group) {
            Ok(Room::Ample) => group,
            Ok(Room::ReserveOnly) => self.admit_reserved(group),
            Err(cause) => {
                self.fail(group, cause);
                return;
            }
        };
        if group.is_empty() {
            return;
        }
        match self.write(&group) {
            Ok(marks) => self.tell(group, &marks),
            Err(cause) => self.fail(group, cause),
        }
    }

    /// Room for the whole group with the reserve beyond it, if the disk has it.
    fn make_room(&mut self, group: &[Request]) -> Result<Room, PathError> {
        let bytes: u64 = group.iter().map(Request::bytes).sum();
        let has_frames = self.segment.position > SEGMENT_HEADER_BYTES as u64;
        if has_frames && self.segment.position + bytes > self.options.segment_bytes {
            match self.next_segment(bytes) {
                Ok(()) => return Ok(Room::Ample),
                Err(e) if is_full(&e) => return Ok(Room::ReserveOnly),
                Err(e) => return Err(e),
            }
        }
        let wanted = self.segment.position + bytes + self.options.reserve_bytes;
        if wanted <= self.segment.allocated {
            return Ok(Room::Ample);
        }
        match self.segment.grow(wanted + self.options.growth_bytes) {
            Ok(()) => Ok(Room::Ample),
            Err(e) if is_full(&e) => Ok(Room::ReserveOnly),
            Err(e) => Err(e),
        }
    }

    fn next_segment(&mut self, bytes: u64) -> Result<(), PathError> {
        let header = SegmentHeader {
            index: self.segment.index + 1,
            first: self.last.seq.next(),
            previous: self.last.checksum,
            journal_id: self.journal_id,
        };
        let ahead = bytes + self.options.reserve_bytes + self.options.growth_bytes;
        let next = WriteSegment::create(&self.directory, &header, ahead)?;
        let before = std::mem::replace(&mut self.segment, next);
        // Only room is lost if this fails: readers take zeros before a following segment for its end.
        let _ = before.trim();
        Ok(())
    }

    /// On a full disk: what settles a cutover goes into the reserve, the rest is refused.
    fn admit_reserved(&self, group: Vec<Request>) -> Vec<Request> {
        let mut end = self.segment.position;
        let mut admitted = Vec::new();
        for request in group {
            if request.reserved && end + request.bytes() <= self.segment.allocated {
                end += request.bytes();
                admitted.push(request);
            } else {
                let full = JournalError::StorageFull {
                    path: self.segment.path.clone(),
                    reserve_used: request.reserved,
                };
                request.reply.send(Err(full));
            }
        }
        admitted
    }

    /// Writes and syncs; what it returns is durable.
    fn write(&mut self, group: &[Request]) -> Result<Vec<Mark>, PathError> {
        let durable = self.last.seq;
        let mut bytes =
            Vec::with_capacity(group.iter().map(|request| request.payload.len() + FRAME_HEADER_BYTES).sum());
        let mut marks = Vec::with_capacity(group.len());
        let mut last = self.last;
        for request in group {
            let seq = last.seq.next();
            self.tap.before(seq, &request.payload);
            let checksum = encode(&mut bytes, seq, durable, last.checksum, &request.payload);
            last = Mark { seq, checksum };
            marks.push(last);
        }
        self.segment
            .file
            .write_all_at(&bytes, self.segment.position)
            .map_err(|e| PathError::new("write", &self.segment.path, e))?;
        self.segment.file.sync_data().map_err(|e| PathError::new("sync", &self.segment.path, e))?;
        self.segment.position += bytes.len() as u64;
        self.last = last;
        Ok(marks)
    }

    fn tell(&mut self, group: Vec<Request>, marks: &[Mark]) {
        // An old head is a weaker witness, not a wrong one.
        let _ = self.head.write(self.last);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.last);
        for mark in marks {
            self.tap.after(mark.seq);
        }
        for (request, mark) in group.into_iter().zip(marks) {
            request.reply.send(Ok(*mark));
        }
    }

    /// Whatever the disk has of this group does not count, and nothing may follow it.
    fn fail(&mut self, group: Vec<Request>, cause: PathError) {
        let failed = JournalError::WriteFailed {
            first: self.last.seq.next(),
            last: Seq(self.last.seq.0 + group.len() as u64),
            cause: Arc::new(cause),
        };
        for request in group {
            request.reply.send(Err(failed.clone()));
        }
        self.failed = Some(failed);
    }
}

enum Room {
    /// The group fits, and the reserve beyond it.
    Ample,
    /// The disk is full: only what is allocated already.
    ReserveOnly,
}
