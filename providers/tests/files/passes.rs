//! What a pass costs and carries: nothing for nothing, files that change while they are read, what
//! cannot be read, hard-link groups, type changes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use segue_contract::{Direction, Engine};
use segue_providers::engines::files::FilesEngine;

use crate::everything::fill;
use crate::world::{World, put, snapshot};

#[test]
fn a_pass_without_changes_writes_no_ledger_and_nothing_else() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    // Until nothing is too fresh to be sure of.
    for _ in 0..1000 {
        let taken = world.io.taken.load(std::sync::atomic::Ordering::SeqCst);
        let report = engine.pass(&world.job, None, &world.io).unwrap();
        assert_eq!((report.records_written, report.bytes_written, report.records_deleted), (0, 0, 0));
        assert_eq!(world.io.taken.load(std::sync::atomic::Ordering::SeqCst), taken);
        if world.job.ledger.as_ref() == Some(&report.ledger) {
            return;
        }
        world.set(report.ledger);
    }
    panic!("every pass wrote a ledger");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_taken_again() {
    let mut world = World::new();
    let path = world.source.join("busy");
    put(&path, vec![1; 3_000_000]);
    let mut once = Some(path);
    *world.io.on_take.lock().unwrap() = Some(Box::new(move |_| {
        if let Some(path) = once.take() {
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
        }
    }));
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.assert_equal();
    assert_ne!(report.position, engine.position(&world.job, &world.io).unwrap());
    world.set(report.ledger);
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(report.position, engine.position(&world.job, &world.io).unwrap());
}

#[test]
fn a_file_that_never_rests_is_left_for_the_next_pass_and_the_position_says_so() {
    let mut world = World::new();
    let path = world.source.join("busy");
    put(&path, vec![1; 600_000]);
    put(&world.source.join("calm"), "x");
    let growing = path;
    *world.io.on_take.lock().unwrap() = Some(Box::new(move |bytes| {
        if bytes > 1000 {
            fs::OpenOptions::new().append(true).open(&growing).unwrap().write_all(b"more").unwrap();
        }
    }));
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    assert!(!world.target.join("busy").exists());
    *world.io.on_take.lock().unwrap() = None;
    assert_ne!(report.position, engine.position(&world.job, &world.io).unwrap());
    world.set(report.ledger);
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.assert_equal();
    assert_eq!(report.position, engine.position(&world.job, &world.io).unwrap());
}

#[test]
fn readers_of_the_target_never_see_half_a_file() {
    let mut world = World::new();
    let path = world.source.join("big");
    put(&path, vec![1; 2_000_000]);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    put(&path, vec![2; 2_500_000]);
    let target = world.target.join("big");
    *world.io.on_take.lock().unwrap() = Some(Box::new(move |_| {
        assert_eq!(fs::read(&target).unwrap(), vec![1; 2_000_000]);
    }));
    engine.pass(&world.job, None, &world.io).unwrap();
    *world.io.on_take.lock().unwrap() = None;
    world.assert_equal();
}

#[test]
fn a_change_of_metadata_alone_writes_no_content() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    std::os::unix::fs::chown(world.source.join("dir/x"), Some(5), Some(6)).unwrap();
    rustix::fs::setxattr(world.source.join("dir/x"), "user.k", b"v", rustix::fs::XattrFlags::empty())
        .unwrap();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.assert_equal();
    assert_eq!(report.bytes_written, 0);
    // The file by three names.
    assert_eq!(report.records_written, 3);
}

#[test]
fn names_that_move_are_carried_with_everything_below_them() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    fs::rename(world.source.join("dir"), world.source.join("moved")).unwrap();
    fs::remove_file(world.source.join("a")).unwrap();
    put(&world.source.join("a/now/a/directory"), "x");
    fs::remove_dir_all(world.source.join("hollow")).unwrap();
    put(&world.source.join("hollow"), "now a file");
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.assert_equal();
    assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
}

#[test]
fn a_tree_as_deep_as_paths_go_is_carried() {
    let mut world = World::new();
    // Deeper than one system call can name.
    let name = "d".repeat(200);
    let mut dir =
        rustix::fs::open(&world.source, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..30 {
        rustix::fs::mkdirat(&dir, name.as_str(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        dir =
            rustix::fs::openat(&dir, name.as_str(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
                .unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&dir, "leaf", flags, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.records_seen, 32);
    world.set(report.ledger);
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!((verified.mismatches_total, verified.records_read), (0, 1));
}

#[test]
fn a_wide_directory_is_listed_in_pieces_and_in_order() {
    let mut world = World::new();
    for i in 0..5000 {
        put(&world.source.join(format!("wide/{i}")), "");
    }
    put(&world.source.join("wide/3/x").parent().unwrap().with_file_name("zz/inner"), "y");
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.records_seen, 5004);
    world.set(report.ledger);
    assert_eq!(snapshot(&world.source).len(), 5004);
    world.assert_equal();
    assert_eq!(engine.position(&world.job, &world.io).unwrap(), report.position);
}

#[test]
fn what_is_kept_of_a_file_with_other_names_does_not_change_with_them() {
    let mut world = World::new();
    put(&world.source.join("a"), "as it was");
    fs::hard_link(world.source.join("a"), world.source.join("b")).unwrap();
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    world.job.direction = Direction::Reverse;
    fs::remove_file(world.target.join("b")).unwrap();
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    let kept = report.kept_deleted.expect("something was deleted");
    assert_eq!((kept.records, kept.not_kept), (1, 0));
    assert_eq!(fs::metadata(world.source.join("a")).unwrap().nlink(), 1, "nothing else has its file");
    fs::OpenOptions::new().write(true).open(world.source.join("a")).unwrap().write_all(b"changed").unwrap();
    let at = world.io.artifacts.join(kept.place).join("b");
    assert_eq!(fs::read(at).unwrap(), b"as it was");
}
