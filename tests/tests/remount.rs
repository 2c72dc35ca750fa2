//! The other kind of quiesce: the file system is made read-only as a whole, the target opens before the
//! route moves.

#![expect(clippy::expect_used, reason = "a test cannot go on without its disks")]

use std::path::Path;
use std::process::Command;

use segue_tests::segue_binary;

const SPEC: &str = r#"
source "directory" "a" {
  path = "a"
}
target "directory" "b" {
  path = "b"
}
route "symlink" "s" {
  path   = "live"
  source = "a"
  target = "b"
}
migration "m" {
  source = source.directory.a
  target = target.directory.b
}
cutover "m" {
  migrations = [migration.m]
  live       = "LIVE"
  finished   = FINISHED
  quiesce "remount" {}
  switch {
    routes = [route.symlink.s]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
"#;

/// Two small file systems; needs root, and fails without.
struct Disks(tempfile::TempDir);

impl Disks {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["a", "b"] {
            std::fs::create_dir(dir.path().join(name)).expect("a mount point");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=8m,nosuid", "none"]).arg(dir.path().join(name));
            assert!(mount.status().expect("mount starts").success(), "this test needs root to mount");
        }
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).open(self.path().join(name))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    }

    fn apply(&self, live: &str, finished: bool) -> String {
        let spec = SPEC.replace("LIVE", live).replace("FINISHED", &finished.to_string());
        self.write("m.segue.hcl", &spec).expect("the spec");
        let mut segue = Command::new(segue_binary());
        let output =
            segue.args(["apply", "--auto-approve"]).current_dir(self.path()).output().expect("segue starts");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    }

    fn read(&self, name: &str) -> String {
        segue_contract::paths::read_to_string(&self.path().join(name)).expect("readable")
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for name in ["a", "b"] {
            let _ = Command::new("umount").arg(self.path().join(name)).status();
        }
    }
}

#[test]
fn a_file_system_is_switched_back_and_forth_and_stays_closed_when_finished() {
    let disks = Disks::new();
    disks.write("a/first", "1").expect("writable");
    std::os::unix::fs::symlink("a", disks.path().join("live")).expect("the link");

    let said = disks.apply("target", false);
    let place = |phase: &str| said.find(phase).unwrap_or_else(|| panic!("{phase} is not in {said}"));
    assert!(place("TARGET_OPEN") < place("ROUTED"), "on the data the target opens first");
    disks.write("live/second", "2").expect("the new side takes writes");

    disks.apply("source", false);
    assert_eq!((disks.read("a/first"), disks.read("a/second")), ("1".into(), "2".into()));
    disks.write("live/third", "3").expect("the old side takes writes again");

    disks.apply("target", false);
    disks.apply("target", true);
    assert_eq!(disks.read("b/third"), "3");
    let refused = disks.write("a/late", "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "finishing keeps the barrier closed");
    disks.write("live/fourth", "4").expect("the new side serves");
}

#[test]
fn a_file_that_is_open_for_writing_aborts_the_switch_and_the_source_takes_writes_again() {
    let disks = Disks::new();
    disks.write("a/first", "1").expect("writable");
    std::os::unix::fs::symlink("a", disks.path().join("live")).expect("the link");
    let open = std::fs::OpenOptions::new().append(true).open(disks.path().join("a/first")).expect("open");
    let spec = SPEC.replace("LIVE", "target").replace("FINISHED", "false");
    disks.write("m.segue.hcl", &spec).expect("the spec");
    let mut segue = Command::new(segue_binary());
    let output =
        segue.args(["apply", "--auto-approve"]).current_dir(disks.path()).output().expect("segue starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("open for writing"), "{said}");
    disks.write("a/second", "2").expect("the source takes writes");
    assert_eq!(std::fs::read_link(disks.path().join("live")).expect("the link"), Path::new("a"));
    drop(open);
}
