//! Changes that no fingerprint shows: stores through shared mappings, which on tmpfs move no time of a file.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags};
use segue_contract::{ArtifactName, Engine, PassReport, VerifyCall, VerifyLevel};
use segue_providers::engines::files::FilesEngine;
use segue_providers::ledger::{LedgerReader, LedgerWriter, Time};

use crate::world::{World, put, set_mtime};

/// A page.
const LEN: usize = 4096;

/// A file mapped shared and writable, until it is dropped.
struct Mapping(*mut std::ffi::c_void);

impl Mapping {
    #[expect(unsafe_code, reason = "a mapping of this test's own file")]
    fn new(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping at an address that the kernel chooses, of a file that is at least as long.
        let at =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), LEN, protection, MapFlags::SHARED, &file, 0) };
        Self(at.unwrap())
    }

    #[expect(unsafe_code, reason = "a mapping of this test's own file")]
    fn store(&self, byte: u8) {
        // SAFETY: the first byte of a mapping that is still there.
        unsafe { self.0.cast::<u8>().write_volatile(byte) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "a mapping of this test's own file")]
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody uses any more.
        unsafe { rustix::mm::munmap(self.0, LEN) }.unwrap();
    }
}

/// A world whose source lies on tmpfs.
fn world() -> World {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = dir.path().join("target");
    let world = World::with_target(dir, target);
    for n in 0..40 {
        put(&world.source.join(format!("dir/{n}")), vec![b'a'; LEN + n]);
    }
    world
}

fn loaded() -> World {
    let mut world = world();
    world.load();
    world
}

impl World {
    fn load(&mut self) {
        // The first ledger, and one in which nothing is too fresh to be believed.
        let report = FilesEngine::new().load(&self.job, None, &self.io).unwrap();
        self.set(report.ledger);
        self.settled("dir/0");
    }

    /// Passes until a file is not read again for being fresh.
    fn settled(&mut self, path: &str) {
        let path = self.source.join(path);
        let mut fresh = true;
        while fresh {
            fresh = is_fresh(&path);
            self.passed();
        }
    }

    /// Changes files at the source, and has the ledger know their fingerprints, but not what they hold now: what a store
    /// through a mapping leaves that was too short to be seen.
    fn change_unseen(&mut self, paths: &[&str]) {
        let name = self.job.ledger.clone().unwrap();
        let mut ledger = LedgerReader::open(&self.io.artifacts, &name).unwrap();
        let mut changed = LedgerWriter::create(&self.io.artifacts, ledger.about().pass).unwrap();
        while let Some(mut record) = ledger.next_record().unwrap() {
            let path = String::from_utf8(record.path.clone()).unwrap();
            if paths.contains(&path.as_str()) {
                let file = self.source.join(&path);
                put(&file, vec![b'D'; record.size as usize]);
                let meta = fs::metadata(&file).unwrap();
                let time = |s, ns| Time { s, ns: ns as u32 };
                record.source.mtime = time(meta.mtime(), meta.mtime_nsec());
                record.source.ctime = time(meta.ctime(), meta.ctime_nsec());
            }
            changed.push(&record).unwrap();
        }
        self.set(changed.finish().unwrap());
    }

    fn passed(&mut self) -> PassReport {
        let report = FilesEngine::new().pass(&self.job, None, &self.io).unwrap();
        self.set(report.ledger.clone());
        report
    }

    fn target_byte(&self, path: &str) -> u8 {
        fs::read(self.target.join(path)).unwrap()[0]
    }
}

fn is_fresh(path: &Path) -> bool {
    fs::metadata(path).unwrap().modified().unwrap().elapsed().is_ok_and(|age| age.as_secs() < 3)
}

#[test]
fn a_store_through_a_mapping_that_was_seen_once_is_carried_under_quiesce() {
    let mut world = world();
    world.job.audit.sample_ppm = 0;
    let file = world.source.join("dir/7");
    // The first store to a page moves the file's times, and later ones do not.
    let mapping = Mapping::new(&file);
    mapping.store(b'A');
    world.load();
    let report = world.passed();
    assert_eq!((report.audit.unproven, report.audit.unproven_bytes), (1, LEN as u64 + 7));
    let moved =
        || fs::metadata(&file).map(|meta| (meta.ctime(), meta.ctime_nsec(), meta.mtime_nsec())).unwrap();
    let before = moved();
    mapping.store(b'C');
    drop(mapping);
    assert_eq!(moved(), before, "the store moved a time: it would be seen without the mapping");
    world.job.quiet = true;
    let report = world.passed();
    assert_eq!((report.records_written, world.target_byte("dir/7")), (1, b'C'));
    assert_eq!(report.audit.unproven, 1, "it counts until it is removed");
    world.assert_equal();
    fs::remove_file(&file).unwrap();
    assert_eq!(world.passed().audit.unproven, 0);
    put(&file, "anew");
    assert_eq!(world.passed().audit.unproven, 0);
}

#[test]
fn what_was_mapped_is_noted_durably_for_the_runs_after_a_death() {
    let mut world = loaded();
    let mapping = Mapping::new(&world.source.join("dir/3"));
    world.passed();
    drop(mapping);
    let notes: Vec<_> = fs::read_dir(&world.io.artifacts)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("mapped-"))
        .map(|entry| fs::read(entry.path()).unwrap())
        .collect();
    let ino = fs::metadata(world.source.join("dir/3")).unwrap().ino();
    assert!(notes.iter().any(|bytes| bytes[8..].chunks(8).any(|n| n == ino.to_le_bytes())), "{notes:?}");
}

#[test]
fn the_sample_finds_a_change_that_no_time_shows_and_the_pass_compares_all_content() {
    let mut world = loaded();
    world.change_unseen(&["dir/5", "dir/9"]);
    let report = world.passed();
    assert_eq!((world.target_byte("dir/5"), world.target_byte("dir/9")), (b'D', b'D'));
    assert!(report.audit.missed >= 1 && report.audit.sampled >= report.audit.missed, "{:?}", report.audit);
    assert_eq!((report.records_written, report.stale_total), (2, 0));
    let findings = std::mem::take(&mut *world.io.findings.lock().unwrap());
    let said = findings.iter().find(|f| f.code == "FILES_AUDIT").map(|f| f.summary.clone()).unwrap();
    assert!(said.contains("files that looked unchanged had changed"), "{said}");
    assert!(said.contains("compares all content"), "{said}");
    world.assert_equal();
    assert_eq!(world.passed().audit.missed, 0);
}

#[test]
fn a_pass_in_the_pause_takes_a_sample_too() {
    let mut world = loaded();
    world.change_unseen(&["dir/5"]);
    world.job.quiet = true;
    let report = world.passed();
    assert_eq!((report.audit.missed, world.target_byte("dir/5")), (1, b'D'));
    world.assert_equal();
}

#[test]
fn a_look_for_stale_writes_takes_no_turn_of_the_sample() {
    let mut world = loaded();
    let counts = || {
        let listed = fs::read_dir(&world.io.artifacts).unwrap().map(|entry| entry.unwrap().path());
        let counts = listed.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("audit-"));
        counts.map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let before = counts();
    assert_eq!(before.len(), 1);
    FilesEngine::new().stale(&world.job, &world.io).unwrap();
    assert_eq!(counts(), before);
    world.passed();
}

#[test]
fn a_verification_takes_what_is_mapped_for_not_carried_yet_and_in_the_pause_reads_it() {
    let mut world = world();
    world.job.audit.sample_ppm = 0;
    let file = world.source.join("dir/7");
    let mapping = Mapping::new(&file);
    mapping.store(b'A');
    world.load();
    let verify = |world: &World, since: Option<&ArtifactName>, quiet: bool| {
        let call =
            VerifyCall { level: VerifyLevel::Full, since: since.cloned(), quiet, set_aside: Vec::new() };
        FilesEngine::new().verify(&world.job, &call, &world.io).unwrap()
    };
    let verified = verify(&world, None, false);
    assert_eq!((verified.residual, verified.mismatches_total), (0, 0));
    mapping.store(b'C');
    let report = verify(&world, None, false);
    assert_eq!((report.residual, report.mismatches_total), (1, 0), "{:?}", report.mismatches);
    drop(mapping);
    // Nothing changed in the ledger, and yet it is read, since it was mapped; in the pause it has to be equal.
    let report = verify(&world, Some(&verified.ledger), true);
    assert_eq!((report.records_read, report.mismatches_total), (1, 1), "{:?}", report.mismatches);
    world.job.quiet = true;
    world.passed();
    let report = verify(&world, Some(&verified.ledger), true);
    assert_eq!((report.records_read, report.mismatches_total), (1, 0), "{:?}", report.mismatches);
}

#[test]
fn in_so_many_passes_as_there_are_samples_every_file_is_read() {
    let mut world = loaded();
    for n in 0..600 {
        put(&world.source.join(format!("many/{n}")), "x");
    }
    world.settled("many/599");
    // 640 files in samples of 150 wanted: four turns.
    let sampled: Vec<u64> = (0..4).map(|_| world.passed().audit.sampled).collect();
    assert_eq!(sampled.iter().sum::<u64>(), 640, "{sampled:?}");
    assert!(sampled.iter().all(|n| *n >= 100), "{sampled:?}");
}

#[test]
fn content_changed_with_size_and_mtime_kept_is_carried() {
    let mut world = loaded();
    let file = world.source.join("dir/2");
    set_mtime(&file, 1_600_000_000);
    world.passed();
    put(&file, vec![b'b'; LEN + 2]);
    set_mtime(&file, 1_600_000_000);
    world.job.audit.sample_ppm = 0;
    assert_eq!(world.passed().records_written, 1);
    world.assert_equal();
}
