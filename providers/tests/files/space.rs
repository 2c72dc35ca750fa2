//! A target whose disk is full: nothing is lost, the error says what to free, a later run goes on.

use std::fs;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use segue_contract::{Engine, ErrorClass};
use segue_providers::engines::files::FilesEngine;

use crate::world::{World, put};

struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_told_with_what_to_free_and_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    // Only root can mount; everybody else has tested this elsewhere.
    let options = c"size=4m";
    if mount("tmpfs", &target, "tmpfs", MountFlags::empty(), options).is_err() {
        return;
    }
    let _small = Small(target.clone());
    let mut world = World::with_target(dir, target.clone());
    for i in 0..20 {
        put(&world.source.join(format!("f{i:02}")), vec![i; 400_000]);
    }
    let engine = FilesEngine::new();
    let error = engine.load(&world.job, None, &world.io).unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.to_string().contains(target.join("f").to_str().unwrap()), "{error}");
    let remedy = error.remedy.unwrap();
    assert!(remedy.contains("free at least") && remedy.contains(target.to_str().unwrap()), "{remedy}");
    for i in 0..20 {
        assert_eq!(fs::read(world.source.join(format!("f{i:02}"))).unwrap(), vec![i; 400_000]);
    }
    rustix::mount::mount_remount(&target, MountFlags::empty(), c"size=40m").unwrap();
    let before = world.io.taken.load(std::sync::atomic::Ordering::SeqCst);
    let from = world.io.checkpoints.lock().unwrap().last().cloned();
    let report = engine.load(&world.job, from.as_ref(), &world.io).unwrap();
    let after = world.io.taken.load(std::sync::atomic::Ordering::SeqCst);
    assert!(after - before < 20 * 400_000, "it started over");
    world.set(report.ledger);
    world.assert_equal();
}
