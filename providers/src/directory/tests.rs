//! The directory endpoint on real file systems, mounts and processes. What needs mounts needs root, and is
//! passed over without it.

mod holding;
mod looking;
mod marking;

use std::path::{Path, PathBuf};
use std::process::Command;

use segue_contract::{Address, BlockRef, Claim, Marker, Side};

use crate::testing;

fn block(kind: &str, path: &Path) -> BlockRef {
    let address = format!("{kind}.directory.x");
    testing::block_in(Path::new("/"), &address, "directory", &[("path", path.to_str().unwrap().into())])
}

fn source(path: &Path) -> BlockRef {
    block("source", path)
}

fn target(path: &Path) -> BlockRef {
    block("target", path)
}

fn claim(state: &str, epoch: u64) -> Claim {
    Claim {
        marker: Marker {
            owner: Address::new("cutover.x"),
            epoch,
            live: Side::Source,
            raised: false,
            state_id: state.to_owned(),
            state_dir: "/var/lib/x".to_owned(),
            machine_id: "m".to_owned(),
            host: "h".to_owned(),
            user: "u".to_owned(),
        },
        adopt_from: None,
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A temporary directory by its resolved name.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    (dir, path)
}

fn mkdir(path: &Path) -> &Path {
    segue_contract::paths::create_dir_all(path).unwrap();
    path
}

fn touch(path: &Path) {
    segue_contract::paths::create_private(path).unwrap();
}

/// A mount until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(words: &[&str], at: &Path) -> Self {
        assert!(Command::new("mount").args(words).arg(at).status().unwrap().success());
        Self(at.to_owned())
    }

    fn tmpfs(at: &Path) -> Self {
        Self::new(&["-t", "tmpfs", "segue-test"], at)
    }

    fn bind(from: &Path, at: &Path) -> Self {
        Self::new(&["--bind", from.to_str().unwrap()], at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}
