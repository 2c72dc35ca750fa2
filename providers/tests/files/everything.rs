//! Every type of entry, names that are no text, selections, findings.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use segue_contract::Engine;
use segue_providers::engines::files::FilesEngine;
use segue_providers::ledger;

use crate::world::{World, put, set_mtime};

/// `user::rw-,user:1000:r--,group::r--,mask::rw-,other::---` as the kernel keeps it.
fn acl() -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 0, u32::MAX)]
    {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

pub(crate) fn fill(root: &Path) {
    put(&root.join("a"), "one");
    put(&root.join("a.txt"), "two");
    put(&root.join("dir/x"), vec![7; 700_000]);
    put(&root.join("dir/empty"), "");
    put(&root.join("dir-sorts-between"), "x");
    fs::create_dir_all(root.join("hollow/deeper")).unwrap();
    symlink("dir/x", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dir/dangling")).unwrap();
    fs::hard_link(root.join("dir/x"), root.join("zz-x")).unwrap();
    fs::hard_link(root.join("dir/x"), root.join("hollow/x")).unwrap();
    put(&root.join(OsStr::from_bytes(b"\xff\xfe not text/\x80")), "bytes");
    let acl_file = root.join("acl");
    put(&acl_file, "acl");
    rustix::fs::setxattr(&acl_file, "system.posix_acl_access", &acl(), XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root.join("hollow"), "system.posix_acl_default", &acl(), XattrFlags::empty())
        .unwrap();
    rustix::fs::setxattr(&acl_file, "user.note", &[b'n'; 3000], XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root.join("dir"), "user.colour", b"red", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(root, "user.root", b"r", XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(root.join("link"), "trusted.link", b"l", XattrFlags::empty()).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), 0x103).unwrap();
    mknodat(CWD, root.join("loop"), FileType::BlockDevice, Mode::from_raw_mode(0o660), 0x700).unwrap();
    chown(root.join("a"), Some(1234), Some(4321)).unwrap();
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(root.join("hollow/deeper"), fs::Permissions::from_mode(0o500)).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 33 << 20).unwrap();
    for (path, s) in
        [("a", 1), ("link", 1_000_000), ("fifo", 2_000_000), ("hollow", 3_000_000), ("dir", 4_000_000)]
    {
        set_mtime(&root.join(path), s);
    }
}

#[test]
fn carries_every_type_of_entry_and_verifies_it() {
    let mut world = World::new();
    fill(&world.source);
    let _socket = std::os::unix::net::UnixListener::bind(world.source.join("socket")).unwrap();
    put(&world.source.join(".segue-marker"), "source's");
    put(&world.source.join(".segue-marker-of-users"), "a user's");
    put(&world.source.join("dir/.segue-tmp-abc"), "a user's");
    set_mtime(&world.source.join("dir"), 4_000_000);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.set_aside_total, 0, "{:?}", report.set_aside);
    assert!(world.target.join("a").exists());
    assert!(!world.target.join("socket").exists());
    assert!(!world.target.join(".segue-marker").exists());
    assert!(fs::metadata(world.target.join("sparse")).unwrap().blocks() < 1000);
    assert!(world.io.findings.lock().unwrap().iter().any(|f| f.code == "FILES_SOCKETS"));
    fs::remove_file(world.source.join("socket")).unwrap();
    world.assert_equal();
    world.set(report.ledger);
    let verified = engine
        .verify(&world.job, &segue_contract::VerifyCall { quiet: false, ..world.full() }, &world.io)
        .unwrap();
    assert_eq!(verified.mismatches, vec![]);
    // What was too fresh to be sure of is looked at again, and then no more.
    let second = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(second.ledger.clone());
    world.assert_equal();
    let position = engine.position(&world.job, &world.io).unwrap();
    assert_eq!(second.position, position);
    let about = ledger::summary(&world.io.artifacts, &second.ledger).unwrap();
    assert_eq!(about.records, second.records_seen);
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(verified.mismatches, vec![]);
    assert!(verified.records_read > 5);
}

#[test]
fn an_empty_tree_is_carried() {
    let mut world = World::new();
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.records_seen, 1);
    world.set(report.ledger);
    assert_eq!(FilesEngine::new().verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
}

#[test]
fn selections_leave_out_what_they_name_and_never_delete_it_at_the_target() {
    let mut world = World::new();
    for path in ["keep/a", "keep/b.log", "cache/x/y", "top.log"] {
        put(&world.source.join(path), path);
    }
    world.job.select.exclude = vec!["*.log".into(), "/cache/".into()];
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    assert!(world.target.join("keep/a").exists());
    for path in ["keep/b.log", "cache", "top.log"] {
        assert!(!world.target.join(path).exists(), "{path}");
    }
    put(&world.target.join("cache/own"), "the target's own");
    let report = engine.pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    assert!(world.target.join("cache/own").exists());
    assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);
}

#[test]
fn included_patterns_take_the_directories_above_them_along() {
    let mut world = World::new();
    for path in ["a/b/wanted.txt", "a/c/other.bin", "whole/x/y", "z"] {
        put(&world.source.join(path), path);
    }
    world.job.select.include = vec!["*.txt".into(), "/whole/".into()];
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.records_seen, 7);
    assert!(world.target.join("a/b/wanted.txt").exists());
    assert!(world.target.join("whole/x/y").exists());
    assert!(!world.target.join("a/c").exists());
    assert!(!world.target.join("z").exists());
}

#[test]
fn every_byte_is_taken_from_the_rate_limit_once() {
    let world = World::new();
    for i in 0..50u64 {
        put(&world.source.join(format!("f{i}")), vec![1; i as usize * 20_000]);
    }
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    let total: u64 = (0..50).map(|i| i * 20_000).sum();
    assert_eq!(world.io.taken.load(std::sync::atomic::Ordering::SeqCst), total);
    assert_eq!(report.bytes_written, total);
}

#[test]
fn a_target_that_holds_equal_content_is_adopted_and_anything_else_is_refused_by_name() {
    let mut world = World::new();
    fill(&world.source);
    put(&world.target.join("a"), "one");
    put(&world.target.join("dir/x"), vec![7; 700_000]);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.assert_equal();
    world.set(report.ledger);
    assert_eq!(engine.verify(&world.job, &world.full(), &world.io).unwrap().mismatches, vec![]);

    for (path, content) in [("foreign", "theirs"), ("a", "six"), ("dir", "no directory")] {
        let world = World::new();
        fill(&world.source);
        put(&world.target.join(path), content);
        let error = engine.load(&world.job, None, &world.io).unwrap_err();
        assert_eq!(error.class, segue_contract::ErrorClass::Permanent);
        assert!(error.to_string().contains(world.target.join(path).to_str().unwrap()), "{error}");
        assert!(error.remedy.is_some());
        assert_eq!(fs::read_to_string(world.target.join(path)).unwrap(), content);
    }
}

#[test]
fn a_missing_source_is_an_error_that_names_it() {
    let world = World::new();
    fs::remove_dir(&world.source).unwrap();
    let error = FilesEngine::new().load(&world.job, None, &world.io).unwrap_err();
    assert!(error.to_string().contains(world.source.to_str().unwrap()), "{error}");
    assert!(error.remedy.is_some());
}

#[test]
fn a_damaged_ledger_is_refused_and_an_unused_one_collected() {
    let mut world = World::new();
    fill(&world.source);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    let path = world.io.artifacts.join(&report.ledger.0);
    let good = fs::read(&path).unwrap();
    world.set(report.ledger);
    for at in (0..good.len()).step_by(good.len() / 97) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let error = engine.pass(&world.job, None, &world.io).unwrap_err();
        assert!(error.to_string().contains("damaged") || error.to_string().contains("layout"), "{error}");
    }
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(engine.pass(&world.job, None, &world.io).is_err());
    world.assert_equal();
    fs::write(&path, good).unwrap();
    engine.pass(&world.job, None, &world.io).unwrap();
    assert_eq!(ledger::collect(&world.io.artifacts, &[]).unwrap(), 2);
}
