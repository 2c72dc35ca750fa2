//! The journal against torn tails, damage, a full disk, kills and concurrent readers.

mod damage;
mod full_disk;
mod round_trip;
mod torn;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Journal, JournalOptions, Mark, NoTap, Opened, Reading, Seq, Tap, read};
use crate::clock::ManualClock;
use crate::directory::StateDirectory;
use crate::lock::WriterLock;

/// Segments of a few frames, so that a test sees many.
const SMALL: JournalOptions = JournalOptions {
    segment_bytes: 16 * 1024,
    reserve_bytes: 8 * 1024,
    growth_bytes: 4 * 1024,
    group_events: 64,
};

struct Scene {
    // Removed when dropped.
    _temporary: tempfile::TempDir,
    lock: Arc<WriterLock>,
}

impl Scene {
    /// On the disk.
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// In memory where that is possible: for thousands of openings, whose syncs would take minutes.
    fn quick() -> Self {
        Self::within(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn within(temporary: tempfile::TempDir) -> Self {
        let lock = lock(&temporary.path().join("state"));
        Self { _temporary: temporary, lock }
    }

    fn journal(&self) -> PathBuf {
        self.lock.directory().journal()
    }

    fn open(&self) -> (Journal, Opened) {
        Journal::open(&self.lock, SMALL, &[], NoTap).unwrap()
    }
}

fn lock(root: &Path) -> Arc<WriterLock> {
    let clock = ManualClock::new(0, "boot");
    let (directory, _) = StateDirectory::open_or_create(root, &clock).unwrap();
    Arc::new(WriterLock::acquire(&directory, "segue test", &clock).unwrap())
}

/// What event `seq` says; lengths from tens of bytes to a few KiB.
fn event(seq: u64) -> Vec<u8> {
    let filler = "x".repeat(usize::try_from(seq * 37 % 301).unwrap());
    let mut text = format!("{{\"event\":{seq},\"filler\":\"{filler}\"}}");
    if seq.is_multiple_of(50) {
        text.push_str(&"y".repeat(3000));
    }
    text.into_bytes()
}

fn append_all(journal: &Journal, events: std::ops::RangeInclusive<u64>) -> Mark {
    let tickets: Vec<_> = events.map(|seq| journal.append(event(seq))).collect();
    tickets.into_iter().map(|ticket| ticket.wait().unwrap()).last().unwrap()
}

/// Reads everything; every event that is shown must be the one that was written.
fn read_checked(journal: &Path, known: &[Mark]) -> (Reading, u64) {
    let mut shown = 0;
    let reading = read(journal, Seq::FIRST, known, &mut |frame| {
        shown += 1;
        assert_eq!(frame.mark.seq, Seq(shown), "events come in order, without gaps");
        assert_eq!(frame.payload, event(shown), "event {shown} is what was written");
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(reading.last.map_or(0, |mark| mark.seq.0), shown);
    (reading, shown)
}

/// Holds the writer before an event until it is told to go on, so that a test decides what is one group.
struct Gate {
    at: Seq,
    reached: Sender<()>,
    go_on: Receiver<()>,
}

impl Gate {
    fn at(seq: u64) -> (Self, Receiver<()>, Sender<()>) {
        let (reached, is_reached) = channel();
        let (send_on, go_on) = channel();
        let gate = Self { at: Seq(seq), reached, go_on };
        (gate, is_reached, send_on)
    }
}

impl Tap for Gate {
    fn before(&mut self, seq: Seq, _payload: &[u8]) {
        if seq == self.at {
            self.reached.send(()).unwrap();
            self.go_on.recv().unwrap();
        }
    }

    fn after(&mut self, _seq: Seq) {}
}

/// Events 1 to `before`, then `before + 1` alone, then a group of `group` events; returns the last marks
/// before and after that group.
fn with_last_group(scene: &Scene, before: u64, group: u64) -> (Mark, Mark) {
    let (journal, _) = scene.open();
    append_all(&journal, 1..=before);
    journal.close().unwrap();
    let (gate, reached, go_on) = Gate::at(before + 1);
    let (journal, _) = Journal::open(&scene.lock, SMALL, &[], gate).unwrap();
    let alone = journal.append(event(before + 1));
    reached.recv().unwrap();
    let grouped: Vec<_> = (before + 2..before + 2 + group).map(|seq| journal.append(event(seq))).collect();
    go_on.send(()).unwrap();
    let first = alone.wait().unwrap();
    let last = grouped.into_iter().map(|ticket| ticket.wait().unwrap()).last().unwrap();
    journal.close().unwrap();
    (first, last)
}

/// Makes `journal/head` as old as this event, as a power cut can.
fn set_head(journal: &Path, mark: Mark) {
    super::head::Head::open(journal).unwrap().write(mark).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
