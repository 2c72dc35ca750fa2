//! Files that are mostly holes: what they do not hold costs no time, and a hole and written zeros are the same content.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use segue_contract::Engine;
use segue_providers::engines::files::FilesEngine;
use segue_providers::ledger::{LedgerReader, LedgerWriter};
use xxhash_rust::xxh3::xxh3_128;

use crate::world::{World, put};

/// Hashing so many zeros takes minutes.
const LEN: u64 = 4 << 40;

fn write_at(path: &Path, at: u64, content: &[u8]) {
    let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(content, at).unwrap();
}

fn sparse(path: &Path, len: u64) {
    write_at(path, 0, b"first");
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn read_at(path: &Path, at: u64) -> [u8; 4] {
    let mut found = [0; 4];
    File::options().read(true).open(path).unwrap().read_exact_at(&mut found, at).unwrap();
    found
}

fn pass(world: &mut World) -> segue_contract::PassReport {
    let report = FilesEngine::new().pass(&world.job, None, &world.io).unwrap();
    world.set(report.ledger.clone());
    report
}

#[test]
fn a_file_that_is_all_holes_is_carried_and_verified_for_what_it_holds() {
    let mut world = World::new();
    let (here, there) = (world.source.join("disk"), world.target.join("disk"));
    sparse(&here, LEN);
    let engine = FilesEngine::new();
    let report = engine.load(&world.job, None, &world.io).unwrap();
    world.set(report.ledger);
    write_at(&here, 3 << 40, &[7; 8192]);
    let report = pass(&mut world);
    assert_eq!(report.records_written, 1);
    assert!(report.bytes_written < 1 << 20, "{} bytes written", report.bytes_written);
    assert_eq!((read_at(&there, 3 << 40), read_at(&there, 0)), ([7; 4], *b"firs"));
    let meta = fs::metadata(&there).unwrap();
    assert_eq!(meta.len(), LEN);
    assert!(meta.blocks() < 1000, "{} blocks", meta.blocks());
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!((verified.mismatches, verified.residual, verified.records_read), (vec![], 0, 1));
    // What moves a byte is seen.
    write_at(&there, 2 << 40, &[9]);
    let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(verified.mismatches_total, 1);
}

#[test]
fn holes_and_written_zeros_are_equal() {
    let mut world = World::new();
    let len = 2_000_000;
    sparse(&world.source.join("file"), len);
    put(&world.target.join("file"), {
        let mut content = vec![0; len as usize];
        content[..5].copy_from_slice(b"first");
        content
    });
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let modified = time(&world.source.join("file"));
    File::options().write(true).open(world.target.join("file")).unwrap().set_modified(modified).unwrap();
    // A target that holds the same already is taken as it is.
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    assert_eq!(report.bytes_written, 0);
    world.set(report.ledger);
    let verified = FilesEngine::new().verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!(verified.mismatches, vec![]);
}

#[test]
fn what_an_older_version_hashed_is_compared_as_it_hashed() {
    let mut world = World::new();
    sparse(&world.source.join("file"), 2_000_000);
    let report = FilesEngine::new().load(&world.job, None, &world.io).unwrap();
    let content = fs::read(world.source.join("file")).unwrap();
    let mut ledger = LedgerReader::open(&world.io.artifacts, &report.ledger).unwrap();
    let mut older = LedgerWriter::create(&world.io.artifacts, ledger.about().pass).unwrap();
    while let Some(mut record) = ledger.next_record().unwrap() {
        if record.path == b"file" {
            assert_ne!(record.hash, xxh3_128(&content));
            (record.hash, record.plain) = (xxh3_128(&content), true);
            record.source.hot = false;
        }
        older.push(&record).unwrap();
    }
    world.set(older.finish().unwrap());
    let verified = FilesEngine::new().verify(&world.job, &world.full(), &world.io).unwrap();
    assert_eq!((verified.mismatches, verified.residual, verified.records_read), (vec![], 0, 1));
    let report = pass(&mut world);
    assert_eq!((report.audit.sampled, report.audit.missed, report.records_written), (1, 0, 0));
    write_at(&world.source.join("file"), 1_000_000, b"new");
    assert_eq!(pass(&mut world).records_written, 1);
    world.assert_equal();
}
