//! Where servers lie and listen: directories that the user `nobody` can get at, and ports that nobody else takes meanwhile.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segue_contract::paths;
use tempfile::TempDir;

/// The ports that are given out. Below the range from which Linux takes the local ports of connections (32768 and up): a server
/// that is started ten seconds later, or again after it was killed, still finds its own free.
const FIRST: u64 = 20_000;
const COUNT: u64 = 12_000;

/// A port that no other server of any test has, as long as a clone of this lives.
#[derive(Clone, Debug)]
pub struct Port {
    number: u16,
    /// Holds the lock.
    _claim: Arc<File>,
}

impl Port {
    /// Takes one that is free on the loopback.
    #[expect(clippy::panic, reason = "a test cannot go on without its port")]
    pub fn take() -> Self {
        let begin = RandomState::new().hash_one("a port");
        let free = (0..COUNT).find_map(|step| {
            // COUNT is below 2^16.
            let number = u16::try_from(FIRST + (begin.wrapping_add(step)) % COUNT).ok()?;
            let claim = claim(number)?;
            is_free(number).then(|| Self { number, _claim: Arc::new(claim) })
        });
        free.unwrap_or_else(|| panic!("no port between {FIRST} and {} is free", FIRST + COUNT))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whether a server could listen there now.
    pub(super) fn is_free(&self) -> bool {
        is_free(self.number)
    }

    /// The same at one address: another server may have the port at another.
    pub(super) fn is_free_at(&self, address: &str) -> bool {
        TcpListener::bind((address, self.number)).is_ok()
    }
}

fn is_free(number: u16) -> bool {
    // All of 127/8: servers may listen at several of its addresses.
    ["127.0.0.1", "0.0.0.0"].iter().all(|address| TcpListener::bind((*address, number)).is_ok())
}

/// The lock file of a port, if nobody else holds it.
fn claim(number: u16) -> Option<File> {
    let dir = std::env::temp_dir().join(format!("segue-tests-ports-{}", rustix::process::getuid().as_raw()));
    paths::create_dir_all(&dir).ok()?;
    let file = OpenOptions::new().create(true).append(true).open(dir.join(number.to_string())).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// A new directory for a server, which its keeper removes.
#[expect(clippy::expect_used, reason = "a test cannot go on without the directory")]
pub(super) fn server_dir(name: &str) -> PathBuf {
    let prefix = format!("{name}-");
    tempfile::Builder::new().prefix(&prefix).tempdir_in(parent()).expect("a server's directory").keep()
}

/// Where everybody may pass: the directory for temporary files, unless it is somebody's own.
fn parent() -> PathBuf {
    let usual = std::env::temp_dir();
    let passable = usual.ancestors().all(|dir| {
        dir.as_os_str().is_empty() || dir.metadata().is_ok_and(|m| m.permissions().mode() & 0o001 != 0)
    });
    if passable { usual } else { PathBuf::from("/var/tmp") }
}

/// A directory that servers share, in which each user may write: a repository of snapshots. Removed when dropped.
pub struct SharedDir(TempDir);

impl SharedDir {
    /// Makes it.
    #[expect(clippy::expect_used, reason = "a test cannot go on without the directory")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("segue-shared-").tempdir_in(parent()).expect("a directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("its mode is set");
        Self(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Default for SharedDir {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_port_is_given_to_one_until_it_is_dropped() {
        let first = Port::take();
        assert!(super::claim(first.number()).is_none(), "a second one gets it too");
        let clone = first.clone();
        drop(first);
        assert!(super::claim(clone.number()).is_none(), "it is given back while a clone lives");
        let number = clone.number();
        drop(clone);
        assert!(super::claim(number).is_some(), "it is not given back");
    }
}
