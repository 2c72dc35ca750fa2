//! What is acknowledged is there, in order, for every kind of reader and after every kind of end.

use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use segue_contract::paths;

use super::super::write::prepare;
use super::super::{
    HeadState, Journal, JournalError, JournalOptions, MAX_EVENT_BYTES, NoTap, Seq, Tap, Verdict, read,
    segment,
};
use super::{SMALL, Scene, append_all, event, lock, read_checked};

#[test]
fn events_survive_many_segments_and_reopenings() {
    let scene = Scene::new();
    let mut next = 1;
    let mut last = None;
    for _ in 0..5 {
        let (journal, opened) = scene.open();
        assert_eq!(opened.last, last);
        assert_eq!((opened.cut, opened.reserve_short), (None, false));
        last = Some(append_all(&journal, next..=next + 99));
        assert_eq!(journal.durable(), last);
        next += 100;
        journal.close().unwrap();
    }
    assert!(segment::list(&scene.journal()).unwrap().len() > 5);
    let (reading, shown) = read_checked(&scene.journal(), &last.into_iter().collect::<Vec<_>>());
    assert_eq!((shown, &reading.verdict), (500, &Verdict::Clean));
    assert_eq!(reading.head, HeadState::Known(last.unwrap()));
    assert_eq!(reading.durable, Seq(500));
}

#[test]
fn a_reader_that_starts_in_the_middle_sees_exactly_the_rest() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    append_all(&journal, 1..=300);
    for from in [1, 2, 57, 150, 299, 300, 301, 9999] {
        let mut shown = Vec::new();
        let reading = read(&scene.journal(), Seq(from), &[], &mut |frame| {
            assert_eq!(frame.payload, event(frame.mark.seq.0));
            shown.push(frame.mark.seq.0);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(reading.verdict, Verdict::Clean);
        assert_eq!(shown, (from..=300).collect::<Vec<_>>());
    }
}

#[test]
fn a_visitor_can_stop() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    append_all(&journal, 1..=10);
    let reading = read(&scene.journal(), Seq(3), &[], &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((reading.verdict, reading.last.unwrap().seq), (Verdict::Stopped, Seq(3)));
}

#[test]
fn no_journal_reads_as_an_empty_one() {
    let scene = Scene::new();
    let (reading, shown) = read_checked(&scene.journal(), &[]);
    assert_eq!((reading.verdict, shown, reading.head), (Verdict::Clean, 0, HeadState::Missing));
}

#[test]
fn an_event_that_is_empty_or_too_long_is_refused_and_the_next_one_counts() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    for bytes in [0, MAX_EVENT_BYTES + 1] {
        let refused = journal.append(vec![b'x'; bytes]).wait().unwrap_err();
        assert!(matches!(refused, JournalError::EventSize { bytes: told } if told == bytes));
    }
    assert_eq!(journal.append(vec![b'x'; MAX_EVENT_BYTES]).wait().unwrap().seq, Seq(1));
}

#[test]
fn a_ticket_can_be_awaited() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mark = runtime.block_on(async { journal.append(event(1)).await }).unwrap();
    assert_eq!(mark.seq, Seq(1));
}

#[test]
fn waiting_events_share_one_group() {
    let scene = Scene::new();
    super::with_last_group(&scene, 3, 5);
    let mut groups = Vec::new();
    let window = &mut super::super::window::Window::open(&segment::path(&scene.journal(), 1)).unwrap();
    let mut offset = 64;
    while let Ok(frame) = window.frame(offset).unwrap() {
        groups.push(frame.durable.0);
        offset += 40 + frame.payload.len() as u64;
    }
    assert_eq!(groups[3..], [3, 4, 4, 4, 4, 4], "the frame says what was durable before its group");
}

#[test]
fn a_reader_beside_a_writer_sees_a_growing_prefix_and_never_damage() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for first in (1..=3000).step_by(10) {
                append_all(&journal, first..=first + 9);
            }
            ended.store(true, Ordering::SeqCst);
        });
        let (mut before, mut readings) = (0, 0);
        loop {
            let last_look = ended.load(Ordering::SeqCst);
            let known: Vec<_> = journal.durable().into_iter().collect();
            let (reading, shown) = read_checked(&scene.journal(), &known);
            assert!(!matches!(reading.verdict, Verdict::Damaged(_)), "{:?}", reading.verdict);
            assert!(shown >= before, "what was seen stays");
            (before, readings) = (shown, readings + 1);
            if last_look {
                break;
            }
        }
        assert_eq!(before, 3000);
        assert!(readings > 1);
    });
}

#[test]
fn after_a_failed_write_nothing_counts_until_the_journal_is_opened_again() {
    let scene = Scene::new();
    let (journal, _) = scene.open();
    append_all(&journal, 1..=5);
    journal.close().unwrap();
    let (mut writer, _) = prepare(&scene.lock, SMALL, &[], NoTap).unwrap();
    let writable = std::mem::replace(
        &mut writer.segment.file,
        paths::open(&segment::path(&scene.journal(), 1)).unwrap(),
    );
    drop(writable);
    let journal = Journal::start(writer).unwrap();
    let failed = journal.append(event(6)).wait().unwrap_err();
    assert!(matches!(failed, JournalError::WriteFailed { first: Seq(6), last: Seq(6), .. }));
    assert!(failed.to_string().contains("no event after 5 counts"), "{failed}");
    let refused = journal.append_reserved(event(6)).wait().unwrap_err();
    assert!(matches!(refused, JournalError::Poisoned(_)));
    assert_eq!(journal.durable().unwrap().seq, Seq(5));
    assert!(journal.close().is_err());
    let (journal, opened) = scene.open();
    assert_eq!(opened.last.unwrap().seq, Seq(5));
    append_all(&journal, 6..=9);
    assert_eq!(read_checked(&scene.journal(), &[]).1, 9);
}

/// Kills its own process, as the lab does.
struct Kill {
    at: Seq,
    after: bool,
}

impl Kill {
    fn now() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

impl Tap for Kill {
    fn before(&mut self, seq: Seq, _payload: &[u8]) {
        if seq == self.at && !self.after {
            Self::now();
        }
    }

    fn after(&mut self, seq: Seq) {
        if seq == self.at && self.after {
            Self::now();
        }
    }
}

const KILL_AT: u64 = 120;

#[test]
fn a_tap_kills_before_or_after_exactly_one_durable_write() {
    for after in [false, true] {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "journal::tests::round_trip::child_that_is_killed", "--ignored"])
            .env("SEGUE_TEST_ROOT", &root)
            .env("SEGUE_TEST_AFTER", if after { "after" } else { "before" })
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(!child.status().unwrap().success());
        let expected = if after { KILL_AT } else { KILL_AT - 1 };
        let (reading, shown) = read_checked(&root.join("journal"), &[]);
        assert_eq!((shown, reading.verdict), (expected, Verdict::Clean));
        let lock = lock(&root);
        assert_eq!(lock.abandoned_by().unwrap().command, "segue test");
        let (journal, opened) = Journal::open(&lock, SMALL, &[], NoTap).unwrap();
        assert_eq!(opened.last.unwrap().seq, Seq(expected));
        append_all(&journal, expected + 1..=expected + 5);
    }
}

#[test]
#[ignore = "the child of a_tap_kills_before_or_after_exactly_one_durable_write"]
fn child_that_is_killed() {
    let root = std::env::var_os("SEGUE_TEST_ROOT").unwrap();
    let kill = Kill { at: Seq(KILL_AT), after: std::env::var("SEGUE_TEST_AFTER").unwrap() == "after" };
    let one_by_one = JournalOptions { group_events: 1, ..SMALL };
    let (journal, _) = Journal::open(&lock(root.as_ref()), one_by_one, &[], kill).unwrap();
    append_all(&journal, 1..=KILL_AT + 10);
}
