//! The one file of an attempt that `hardened` and `expired` race for by link(2): whoever makes it decides.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::unlink;
use segue_contract::Address;
use segue_contract::paths::{self, PathError};

/// Calls of this process, so that each links a file of its own.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The closed side cannot open by itself any more: the attempt goes on to COMMITTED, or aborts by itself.
    Hardened,
    /// The lease lapsed: whoever settles re-opens the side that served.
    Expired,
}

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hardened => "hardened",
            Self::Expired => "expired",
        }
    }
}

/// The file of one attempt.
#[derive(Clone, Debug)]
pub struct LeaseFile {
    directory: PathBuf,
    name: String,
}

impl LeaseFile {
    /// Of an attempt of a cutover, in a state directory.
    pub fn of(state_dir: &Path, cutover: &Address, epoch: u64) -> Self {
        let name = cutover.file_name();
        Self { directory: state_dir.join("leases"), name: format!("{name}@{epoch}") }
    }

    /// What was decided; `None`: nothing yet.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(&self) -> Result<Option<Decision>, PathError> {
        match paths::read(&self.directory.join(&self.name)) {
            Ok(text) if text == Decision::Hardened.as_str().as_bytes() => Ok(Some(Decision::Hardened)),
            // Only these two words are ever linked there.
            Ok(_) => Ok(Some(Decision::Expired)),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Decides, unless somebody has. Returns what holds.
    ///
    /// # Errors
    /// Nothing could be written or linked: nothing was decided by this call.
    pub fn decide(&self, wanted: Decision) -> Result<Decision, PathError> {
        paths::create_dir_all(&self.directory)?;
        let path = self.directory.join(&self.name);
        // Of this call alone. Nothing here is synced: after the machine's death nobody races any more.
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let own = self.directory.join(format!("{}.{}.{call}", self.name, std::process::id()));
        let wrote = |e: std::io::Error| PathError::new("write", &own, e);
        paths::create_private(&own)?.write_all(wanted.as_str().as_bytes()).map_err(wrote)?;
        let linked = std::fs::hard_link(&own, &path);
        unlink(&own).map_err(|e| PathError::new("remove", &own, e))?;
        match linked {
            Ok(()) => Ok(wanted),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.read()?.ok_or_else(|| PathError::new("read", &path, error))
            }
            Err(error) => Err(PathError::new("link", &path, error)),
        }
    }

    /// Takes the file away, once the attempt is over. That it stays costs a few bytes: the next attempt has
    /// another epoch.
    pub fn remove(&self) {
        let _ = unlink(self.directory.join(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_decide_at_once_one_does_and_all_agree() {
        let dir = tempfile::tempdir().unwrap();
        for epoch in 0..50 {
            let lease = LeaseFile::of(dir.path(), &Address::new("cutover.site[\"a/b\"]"), epoch);
            assert_eq!(lease.read().unwrap(), None);
            let found: Vec<Decision> = std::thread::scope(|scope| {
                let decide = |wanted| {
                    let lease = &lease;
                    scope.spawn(move || lease.decide(wanted).unwrap())
                };
                let threads = [decide(Decision::Hardened), decide(Decision::Expired)];
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(found[0], found[1]);
            assert_eq!(lease.decide(Decision::Hardened).unwrap(), found[0]);
            assert_eq!(lease.decide(Decision::Expired).unwrap(), found[0]);
        }
    }

    #[test]
    fn each_attempt_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let of = |epoch| LeaseFile::of(dir.path(), &Address::new("cutover.site"), epoch);
        assert_eq!(of(1).decide(Decision::Expired).unwrap(), Decision::Expired);
        assert_eq!(of(2).decide(Decision::Hardened).unwrap(), Decision::Hardened);
        of(1).remove();
        assert_eq!(of(1).read().unwrap(), None);
    }
}
