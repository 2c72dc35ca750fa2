//! A full disk: ordinary events are refused, and those that settle a cutover still count.

use std::ffi::CString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::{Journal, JournalError, JournalOptions, NoTap, Seq, Verdict, segment};
use super::{append_all, event, lock, read_checked};
use crate::lock::WriterLock;
use crate::store::{SledStore, StateStore, StoreError};

const OPTIONS: JournalOptions = JournalOptions {
    segment_bytes: 256 * 1024,
    reserve_bytes: 128 * 1024,
    growth_bytes: 64 * 1024,
    group_events: 64,
};

/// A file system of its own, unmounted when dropped. The test fails where it cannot be mounted (root is needed).
struct Disk {
    at: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Disk {
    fn new(size: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let at = temporary.path().to_owned();
        let data = CString::new(format!("size={size},mode=0700")).unwrap();
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), data.as_c_str())
            .expect("a tmpfs can be mounted (run as root)");
        Self { at, _temporary: temporary }
    }

    fn fill(&self) {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

fn open(root: &Path) -> (Arc<WriterLock>, Journal) {
    let lock = lock(root);
    let (journal, _) = Journal::open(&lock, OPTIONS, &[], NoTap).unwrap();
    (lock, journal)
}

/// Appends until an ordinary event is refused; returns how many counted.
fn append_until_full(journal: &Journal, mut next: u64) -> u64 {
    loop {
        match journal.append(event(next)).wait() {
            Ok(mark) => assert_eq!(mark.seq, Seq(next)),
            Err(JournalError::StorageFull { reserve_used: false, .. }) => return next - 1,
            Err(other) => panic!("{other}"),
        }
        next += 1;
    }
}

#[test]
fn on_a_full_disk_a_few_hundred_settling_events_still_count_and_the_rest_is_refused() {
    let disk = Disk::new("8m");
    let root = disk.at.join("state");
    let (lock, journal) = open(&root);
    append_all(&journal, 1..=100);
    disk.fill();
    let mut last = append_until_full(&journal, 101);
    for _ in 0..300 {
        last += 1;
        assert_eq!(journal.append_reserved(event(last)).wait().unwrap().seq, Seq(last));
        assert!(journal.append(event(last + 1)).wait().is_err());
    }
    journal.close().unwrap();
    drop(lock);
    // The next process finds the disk as full, and what is left of the reserve is still there.
    let (lock, journal) = open(&root);
    last += 1;
    journal.append_reserved(event(last)).wait().unwrap();
    let used_up = loop {
        match journal.append_reserved(event(last + 1)).wait() {
            Ok(mark) => last = mark.seq.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(used_up, JournalError::StorageFull { reserve_used: true, .. }));
    // Space is freed: everything goes on, across the next segment.
    std::fs::remove_file(disk.ballast()).unwrap();
    append_all(&journal, last + 1..=last + 2000);
    journal.close().unwrap();
    drop(lock);
    let (reading, shown) = read_checked(&root.join("journal"), &[]);
    assert_eq!((reading.verdict, shown), (Verdict::Clean, last + 2000));
}

#[test]
fn a_torn_tail_is_cut_on_a_full_disk_without_giving_its_room_away() {
    let disk = Disk::new("8m");
    let root = disk.at.join("state");
    let (lock, journal) = open(&root);
    append_all(&journal, 1..=100);
    journal.close().unwrap();
    let (_, path) = segment::list(&root.join("journal")).unwrap().pop().unwrap();
    let end = super::super::read(&root.join("journal"), Seq::FIRST, &[], &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap()
    .end
    .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 5000], end.offset).unwrap();
    disk.fill();
    let length = file.metadata().unwrap().len();
    let (journal, opened) = Journal::open(&lock, OPTIONS, &[], NoTap).unwrap();
    assert_eq!(opened.cut.unwrap().1, 5000);
    assert_eq!(file.metadata().unwrap().len(), length);
    journal.append_reserved(event(101)).wait().unwrap();
}

#[test]
fn a_full_disk_at_a_segments_end_is_survived() {
    let disk = Disk::new("8m");
    let root = disk.at.join("state");
    let (_lock, journal) = open(&root);
    let journal_directory = root.join("journal");
    let mut last = 0;
    // To where the next segment is due.
    while segment_bytes_used(&journal_directory) < OPTIONS.segment_bytes - 8 * 1024 {
        last += 10;
        append_all(&journal, last - 9..=last);
    }
    disk.fill();
    last = append_until_full(&journal, last + 1);
    assert_eq!(segment::list(&journal_directory).unwrap().len(), 1);
    append_reserved(&journal, last + 1..=last + 50);
    assert!(!journal_directory.join("00000002.seg.new").exists());
    std::fs::remove_file(disk.ballast()).unwrap();
    append_all(&journal, last + 51..=last + 60);
    assert_eq!(segment::list(&journal_directory).unwrap().len(), 2);
    assert_eq!(read_checked(&journal_directory, &[]).1, last + 60);
}

fn append_reserved(journal: &Journal, events: std::ops::RangeInclusive<u64>) {
    for seq in events {
        assert_eq!(journal.append_reserved(event(seq)).wait().unwrap().seq, Seq(seq));
    }
}

fn segment_bytes_used(journal: &Path) -> u64 {
    let reading = super::super::read(journal, Seq::FIRST, &[], &mut |_| std::ops::ControlFlow::Continue(()));
    reading.unwrap().end.unwrap().offset
}

#[test]
fn a_new_journal_on_a_full_disk_says_so_and_leaves_nothing() {
    let disk = Disk::new("1m");
    let root = disk.at.join("state");
    let lock = lock(&root);
    disk.fill();
    let refused = Journal::open(&lock, OPTIONS, &[], NoTap).map(|_| ()).unwrap_err();
    assert!(matches!(refused, JournalError::StorageFull { .. }), "{refused}");
    assert!(refused.remedy().unwrap().contains("free space"));
    std::fs::remove_file(disk.ballast()).unwrap();
    let (journal, _) = Journal::open(&lock, OPTIONS, &[], NoTap).unwrap();
    append_all(&journal, 1..=3);
}

#[test]
fn the_store_is_left_alone_on_a_full_disk() {
    let disk = Disk::new("16m");
    let root = disk.at.join("state");
    let lock = lock(&root);
    let mark = |seq| super::super::Mark { seq: Seq(seq), checksum: seq };
    let mut store = SledStore::open(&lock).unwrap().store;
    let mut batch = crate::store::Batch::default();
    batch.put("unit", "kept");
    store.put(&batch, mark(7)).unwrap();
    disk.fill();
    let mut at = 8;
    let failed = loop {
        let mut batch = crate::store::Batch::default();
        batch.put(format!("unit{at}"), vec![b'x'; 100_000]);
        match store.put(&batch, mark(at)) {
            Ok(()) => at += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed}");
    assert!(matches!(store.get(b"unit"), Err(StoreError::Unavailable { .. })));
    drop(store);
    match SledStore::open(&lock) {
        Ok(opened) => assert_eq!(opened.set_aside, None),
        Err(error) => assert!(matches!(error, StoreError::Unavailable { .. }), "{error}"),
    }
    std::fs::remove_file(disk.ballast()).unwrap();
    let opened = SledStore::open(&lock).unwrap();
    assert_eq!(opened.set_aside, None);
    assert_eq!(opened.store.stands_at(), Some(mark(at - 1)));
    assert_eq!(opened.store.get(b"unit").unwrap().as_deref(), Some(b"kept".as_slice()));
}
