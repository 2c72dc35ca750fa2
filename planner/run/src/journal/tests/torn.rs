//! The last group, cut at every byte: cut off in silence only where nobody can know that it counted.

use std::os::unix::fs::FileExt;
use std::path::Path;

use segue_contract::paths;

use super::super::window::Window;
use super::super::{
    Damage, DamageReason, Journal, JournalError, KnownBy, MAX_GROUP_BYTES, Mark, NoTap, Seq, Verdict, segment,
};
use super::{SMALL, Scene, append_all, copy_directory, read_checked, set_head, with_last_group};

/// Where the frames of the last segment begin and end.
fn boundaries(path: &Path) -> Vec<u64> {
    let mut window = Window::open(path).unwrap();
    let mut offsets = vec![64];
    while let Ok(frame) = window.frame(*offsets.last().unwrap()).unwrap() {
        offsets.push(offsets.last().unwrap() + 40 + frame.payload.len() as u64);
    }
    offsets
}

#[derive(Clone, Copy, Debug)]
enum Torn {
    /// The file ends there.
    Short,
    /// The pages from there on never reached the disk.
    Zeros,
    /// Only this byte differs: a page in the middle of the group did not make it.
    Hole,
}

fn tear(segment: &Path, at: u64, how: Torn) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(segment).unwrap();
    match how {
        Torn::Short => file.set_len(at).unwrap(),
        Torn::Zeros => {
            let length = file.metadata().unwrap().len();
            file.set_len(at).unwrap();
            file.set_len(length).unwrap();
        }
        Torn::Hole => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[!byte[0]], at).unwrap();
        }
    }
}

/// A scene whose last group is events 11 to 14, in one segment, kept to be copied back.
fn scene() -> (Scene, Mark, Mark, Vec<u64>) {
    let scene = Scene::quick();
    let (before, last) = with_last_group(&scene, 9, 4);
    let offsets = boundaries(&segment::path(&scene.journal(), 1));
    copy_directory(&scene.journal(), &scene.lock.directory().root().join("whole"));
    (scene, before, last, offsets)
}

fn restore(scene: &Scene) {
    std::fs::remove_dir_all(scene.journal()).unwrap();
    copy_directory(&scene.lock.directory().root().join("whole"), &scene.journal());
}

#[test]
fn a_torn_last_group_is_cut_off_at_every_byte_and_the_journal_goes_on() {
    let (scene, before, _, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    for how in [Torn::Short, Torn::Zeros, Torn::Hole] {
        for at in offsets[10]..*offsets.last().unwrap() {
            restore(&scene);
            set_head(&scene.journal(), before);
            tear(&path, at, how);
            // The good frames are those that end at or before the tear.
            let good = offsets.iter().filter(|end| **end <= at).count() as u64 - 1;
            let (reading, shown) = read_checked(&scene.journal(), &[before]);
            assert_eq!(shown, good, "{how:?} at {at}");
            let clean = offsets.contains(&at) && !matches!(how, Torn::Hole);
            match &reading.verdict {
                Verdict::Clean => assert!(clean || at_zeros(&path, offsets[usize::try_from(good).unwrap()])),
                Verdict::TornTail { cut_at, .. } => {
                    assert_eq!(*cut_at, offsets[usize::try_from(good).unwrap()]);
                }
                other => panic!("{how:?} at {at}: {other:?}"),
            }
            assert_eq!(reading.durable, Seq(10));
            let (journal, opened) = scene.open();
            assert_eq!(opened.cut.is_some(), matches!(reading.verdict, Verdict::TornTail { .. }));
            append_all(&journal, good + 1..=good + 3);
            journal.close().unwrap();
            let (reading, shown) = read_checked(&scene.journal(), &[before]);
            assert_eq!((reading.verdict, shown), (Verdict::Clean, good + 3));
        }
    }
}

/// A tear can leave nothing but zeros where the frame's first bytes are zero anyway.
fn at_zeros(path: &Path, offset: u64) -> bool {
    let mut window = Window::open(path).unwrap();
    window.at(offset, 100_000).unwrap().iter().all(|b| *b == 0)
}

#[test]
fn a_last_group_that_was_acknowledged_is_never_cut_off_where_the_head_knows_it() {
    let (scene, _, last, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    for how in [Torn::Short, Torn::Zeros, Torn::Hole] {
        for at in offsets[10]..*offsets.last().unwrap() {
            restore(&scene);
            tear(&path, at, how);
            let good = offsets.iter().filter(|end| **end <= at).count() as u64 - 1;
            let (reading, _) = read_checked(&scene.journal(), &[]);
            let Verdict::Damaged(damage) = reading.verdict else {
                panic!("{how:?} at {at}: {:?}", reading.verdict);
            };
            assert_eq!(damage.last_good.unwrap().seq, Seq(good));
            let before = paths::read(&path).unwrap();
            let refused = Journal::open(&scene.lock, SMALL, &[last], NoTap).map(|_| ()).unwrap_err();
            assert!(matches!(refused, JournalError::Damaged(_)));
            assert_eq!(before, paths::read(&path).unwrap(), "nothing is changed");
        }
    }
}

fn damage(scene: &Scene, known: &[Mark]) -> Damage {
    match read_checked(&scene.journal(), known).0.verdict {
        Verdict::Damaged(damage) => *damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_stores_mark_alone_is_evidence_enough() {
    let (scene, before, last, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    tear(&path, offsets[12], Torn::Zeros);
    set_head(&scene.journal(), before);
    assert_eq!(
        damage(&scene, &[last]).reason,
        DamageReason::TooShort { known: last, known_by: KnownBy::Caller }
    );
    restore(&scene);
    tear(&path, offsets[12] + 3, Torn::Hole);
    std::fs::remove_file(scene.journal().join("head")).unwrap();
    assert_eq!(
        damage(&scene, &[last]).reason,
        DamageReason::Frame { expected: Seq(13), known_by: KnownBy::Caller }
    );
}

#[test]
fn an_older_copy_that_went_on_by_itself_is_another_history() {
    let (scene, _, last, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    tear(&path, offsets[12], Torn::Zeros);
    std::fs::remove_file(scene.journal().join("head")).unwrap();
    let (journal, _) = scene.open();
    for _ in 0..5 {
        journal.append("{\"other\":true}").wait().unwrap();
    }
    journal.close().unwrap();
    let reading = super::super::read(&scene.journal(), Seq::FIRST, &[last], &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let Verdict::Damaged(damage) = reading.verdict else {
        panic!("{:?}", reading.verdict);
    };
    assert_eq!(damage.reason, DamageReason::OtherHistory { seq: last.seq, known_by: KnownBy::Caller });
}

#[test]
fn more_garbage_than_a_group_can_have_is_damage() {
    let (scene, _, _, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let garbage = vec![0xA5; usize::try_from(MAX_GROUP_BYTES).unwrap() + 1];
    file.write_all_at(&garbage, *offsets.last().unwrap()).unwrap();
    assert!(matches!(damage(&scene, &[]).reason, DamageReason::TailTooLong { .. }));
}

#[test]
fn damage_is_told_with_the_last_good_event_and_what_to_do() {
    let (scene, _, _, offsets) = scene();
    let path = segment::path(&scene.journal(), 1);
    tear(&path, offsets[4] + 50, Torn::Hole);
    let damage = damage(&scene, &[]);
    assert_eq!(
        damage.to_string(),
        format!(
            "the journal is damaged at {} byte {}: event 5 cannot be read, and a later event shows that it was \
             written; the last good event is 4",
            path.display(),
            offsets[4]
        )
    );
    assert!(damage.remedy().contains("segue state push"));
}

#[test]
fn a_damaged_journal_can_be_set_aside_and_a_new_one_begun() {
    let (scene, _, _, offsets) = scene();
    tear(&segment::path(&scene.journal(), 1), offsets[4] + 50, Torn::Hole);
    let aside = super::super::set_aside(&scene.lock).unwrap();
    assert!(aside.ends_with("journal.damaged-1"));
    let (journal, opened) = scene.open();
    assert_eq!(opened.last, None);
    append_all(&journal, 1..=3);
}
