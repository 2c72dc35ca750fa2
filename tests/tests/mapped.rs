//! Stores through shared mappings, which on tmpfs move no time of a file: what the released binary carries of them, and
//! what it says.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test cannot go on without its set-up")]

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use segue_tests::{Mapping, Ran, Scratch, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];
const LEN: usize = 8192;

const SPEC: &str = r#"
source "directory" "old" { path = "SOURCE" }
target "directory" "new" { path = "new" }
route "symlink" "site" {
  path   = "live"
  source = "SOURCE"
  target = "new"
}
migration "site" {
  source = source.directory.old
  target = target.directory.new
  verify {
    level = "full"
  }
}
cutover "site" {
  migrations = [migration.site]
  live       = "source"
  timeout    = "60s"
  quiesce "command" {
    stop  = ["./stop"]
    start = ["./start"]
    probe = ["./probe"]
  }
  switch { routes = [route.symlink.site] }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
"#;

/// No sample: what is found is found by the mapping, or by reading everything.
const NO_SAMPLE: (&str, &str) = (
    "  verify {",
    "  audit { sample = \"0%\" }\n  waive \"AUDIT_SAMPLE\" { reason = \"a test\" }\n  verify {",
);

fn map(path: &Path) -> Mapping {
    Mapping::new(path, LEN).unwrap()
}

/// A source on tmpfs, and an application that stores through a mapping.
struct World {
    scratch: Scratch,
    source: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let source = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
        let spec = SPEC.replace("SOURCE", &source.path().display().to_string());
        let scratch = Scratch::of_spec(&spec, &[]);
        std::os::unix::fs::symlink(source.path(), scratch.at("live")).expect("a link");
        // The application ends its mapping when it is stopped.
        scratch
            .executable("stop", "touch stopping; while [ ! -e stopped ]; do sleep 0.02; done; touch closed");
        scratch.executable("start", "rm -f closed stopping stopped");
        scratch.executable("probe", "test ! -e closed");
        scratch.run("sh", &["-c", &format!("head -c {LEN} /dev/zero >{}/db", source.path().display())]);
        Self { scratch, source }
    }

    /// For a user who may not look at the mappings of this test.
    fn give_to_nobody(&self) {
        let source = self.source.path().display();
        let all = format!(
            "chown -R 65534:65534 .; test $(stat -c %u {source}) = 65534 || chown -R 65534:65534 {source}"
        );
        self.scratch.run("sh", &["-c", &all]).expect_code(0);
    }

    fn db(&self) -> PathBuf {
        self.source.path().join("db")
    }

    /// The first byte at the target.
    fn at_target(&self) -> u8 {
        let read = segue_contract::paths::read(&self.scratch.at("new/db")).expect("it was carried");
        read.first().copied().expect("it holds something")
    }

    /// The times of the mapped file, which no store but the first moves.
    fn times(&self) -> (i64, i64, i64) {
        let meta = std::fs::metadata(self.db()).unwrap();
        (meta.ctime_nsec(), meta.mtime_nsec(), meta.ctime())
    }

    /// Applies with one program until no file is too fresh for its times to be believed.
    fn load(&self, mut apply: impl FnMut() -> Ran) {
        let fresh = || {
            let changed = std::fs::metadata(self.db()).unwrap().modified().unwrap();
            changed.elapsed().is_ok_and(|age| age.as_secs() < 3)
        };
        loop {
            let was_fresh = fresh();
            apply().expect_code(0);
            if !was_fresh {
                return;
            }
        }
    }
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

#[test]
fn what_a_mapped_file_takes_until_its_writer_is_stopped_is_carried_in_the_pause() {
    let world = World::new();
    let scratch = &world.scratch;
    scratch.edit_spec(NO_SAMPLE.0, NO_SAMPLE.1);
    let mapping = map(&world.db());
    mapping.store(b"A");
    world.load(|| scratch.segue(&APPLY));
    assert_eq!(world.at_target(), b'A');
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    says(&scratch.segue(&["plan"]), "a store through a shared mapping that lasts less than 5 s");
    says(
        &scratch.segue(&["plan"]),
        &format!("reads 1 records ({LEN} bytes) whatever their fingerprints say"),
    );
    let before = world.times();
    let switched = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the writers are stopped", || scratch.at("stopping").exists());
            mapping.store(b"C");
            drop(mapping);
            scratch.write("stopped", "");
        });
        scratch.segue(&APPLY).expect_code(0)
    });
    assert_eq!(world.times(), before, "the store moved a time: it would be seen without the mapping");
    assert_eq!(world.at_target(), b'C');
    says(&switched, "1 by content and 0 by metadata alone, all equal");
}

#[test]
fn a_store_by_a_process_that_cannot_be_looked_at_is_found_by_the_sample_and_said() {
    let world = World::new();
    let scratch = &world.scratch;
    let spec = scratch.read("site.segue.hcl");
    let (alone, _) = spec.split_once("cutover").unwrap();
    scratch.write("site.segue.hcl", alone);
    world.give_to_nobody();
    let mapping = map(&world.db());
    mapping.store(b"A");
    let mut passes = 0;
    // Each makes a pass, since there is something new.
    let mut apply = || {
        passes += 1;
        File::options()
            .create(true)
            .append(true)
            .open(world.source.path().join(format!("new-{passes}")))
            .unwrap();
        scratch.segue_as_nobody(&APPLY)
    };
    world.load(&mut apply);
    let before = world.times();
    mapping.store(b"C");
    assert_eq!((world.times(), world.at_target()), (before, b'A'));
    let pass = apply().expect_code(0);
    assert_eq!(world.at_target(), b'C');
    says(&pass, "files that looked unchanged had changed, the first: db in ");
    says(&pass, "this pass begins anew and compares all content");
    says(&pass, "the mappings of");
}

#[test]
fn what_neither_mapping_nor_sample_show_is_found_by_a_whole_verification_in_the_pause() {
    let world = World::new();
    let scratch = &world.scratch;
    scratch.edit_spec(NO_SAMPLE.0, NO_SAMPLE.1);
    scratch.edit_spec("level = \"full\"", "level = \"full\"\n    in_pause = true");
    world.give_to_nobody();
    let mapping = map(&world.db());
    mapping.store(b"A");
    world.load(|| scratch.segue_as_nobody(&APPLY));
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    world.give_to_nobody();
    let plan = scratch.segue_as_nobody(&["plan"]);
    says(&plan, "verify everything (`in_pause = true`), both sides quiet");
    assert!(!plan.all().contains("lasts less than 5 s"), "nothing is left unseen: {}", plan.all());
    let aborted = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the writers are stopped", || scratch.at("stopping").exists());
            mapping.store(b"C");
            drop(mapping);
            scratch.write("stopped", "");
        });
        scratch.segue_as_nobody(&APPLY)
    });
    assert_ne!(aborted.code, Some(0), "{}", aborted.all());
    says(&aborted, "db (content at source)");
    assert_eq!(world.at_target(), b'A');
    assert!(!scratch.at("closed").exists(), "the source takes writes again");
}

#[test]
fn content_changed_with_size_and_mtime_kept_is_carried() {
    let world = World::new();
    let scratch = &world.scratch;
    scratch.edit_spec(NO_SAMPLE.0, NO_SAMPLE.1);
    world.load(|| scratch.segue(&APPLY));
    let db = world.db().display().to_string();
    let changed = format!(
        "cp -p {db} kept; printf X | dd of={db} conv=notrunc status=none; touch -r kept {db}; \
         test $(stat -c %Y {db}) = $(stat -c %Y kept)"
    );
    scratch.run("sh", &["-c", &changed]).expect_code(0);
    scratch.edit_spec("live       = \"source\"", "live       = \"target\"");
    scratch.write("stopped", "");
    scratch.segue(&APPLY).expect_code(0);
    assert_eq!(world.at_target(), b'X');
}
