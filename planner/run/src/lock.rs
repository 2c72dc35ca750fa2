//! The writer's lock: one process at a time changes a state directory, and the others are told who.
//!
//! `flock` on `.segue/lock`, so that the kernel lets go when the holder dies; the file says who holds it.
//! Readers take no lock at all.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use segue_contract::paths::{self, PathError};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, rfc3339};
use crate::directory::StateDirectory;
use crate::host::{self, Liveness, ProcessId};

/// How long a lock is tried for whose holder is not known to live.
const HOLDER_WAIT: Duration = Duration::from_secs(2);
const HOLDER_PAUSE: Duration = Duration::from_millis(2);

/// Who holds the lock, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Format of this record.
    pub version: u32,
    /// The process.
    #[serde(flatten)]
    pub process: ProcessId,
    /// Its machine's name.
    pub host: String,
    /// Its machine's id, where it has one.
    pub machine_id: Option<String>,
    /// Its user.
    pub user: String,
    /// What it does: the command line as the user would know it, without secrets.
    pub command: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The same in milliseconds since the boot.
    #[serde(default)]
    pub since_boot_ms: Option<u64>,
}

impl Holder {
    const VERSION: u32 = 1;

    fn current(command: &str, clock: &dyn Clock) -> Self {
        Self {
            version: Self::VERSION,
            process: ProcessId::current(),
            host: host::hostname(),
            machine_id: host::machine_id(),
            user: host::user(),
            command: command.to_owned(),
            since_ms: clock.wall_ms(),
            since_boot_ms: Some(clock.boot_ms()),
        }
    }

    /// Whether it is a process of this machine.
    pub fn is_here(&self) -> bool {
        self.host == host::hostname() && self.machine_id == host::machine_id()
    }

    /// Whether it still runs, as far as that can be known from this machine.
    pub fn liveness(&self) -> Liveness {
        if self.is_here() { self.process.liveness() } else { Liveness::Unknown }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` of {} (process {} on {}, since {})",
            self.command,
            self.user,
            self.process.pid,
            self.host,
            rfc3339(self.since_ms)
        )
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it (exit code 6). No holder: it has not said yet who it is.
    #[error("the state in {} is in use by {}", directory.display(), holder.as_deref().map_or_else(|| "another process".to_owned(), ToString::to_string))]
    Locked {
        /// The state directory.
        directory: PathBuf,
        /// Who has it.
        holder: Option<Box<Holder>>,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Who holds the lock, found out without touching it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Nobody.
    Free,
    /// This process, which runs.
    Held(Holder),
    /// Nobody: this process died while it had it. A run is to be resumed or settled.
    Abandoned(Holder),
    /// This process, of another machine or container, which cannot be looked at from here.
    Unclear(Holder),
}

/// The right to write to a state directory; only its holder can have one. Given back when dropped.
#[derive(Debug)]
pub struct WriterLock {
    file: File,
    directory: StateDirectory,
    abandoned_by: Option<Holder>,
}

impl WriterLock {
    /// Takes the lock, or says at once who has it.
    ///
    /// # Errors
    /// [`LockError::Locked`] names who has it.
    pub fn acquire(directory: &StateDirectory, command: &str, clock: &dyn Clock) -> Result<Self, LockError> {
        let path = directory.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = paths::open_with(&path, &options)?;
        if let Try::Held(holder) = tried(&file, &path)? {
            return Err(LockError::Locked { directory: directory.root().to_owned(), holder });
        }
        let abandoned_by = read_holder(&path)?;
        let lock = Self { file, directory: directory.clone(), abandoned_by };
        lock.write(&Holder::current(command, clock))?;
        Ok(lock)
    }

    /// The directory that it is the lock of.
    pub fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// The process that died while it had the lock, if the last one did.
    pub fn abandoned_by(&self) -> Option<&Holder> {
        self.abandoned_by.as_ref()
    }

    fn write(&self, holder: &Holder) -> Result<(), PathError> {
        let path = self.directory.lock();
        let failed = |e: std::io::Error| PathError::new("write", &path, e);
        let mut text = serde_json::to_vec(holder).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        self.file.set_len(0).map_err(failed)?;
        match self.file.write_all_at(&text, 0) {
            // A full disk must not keep a cutover from being settled: the lock is held, only its name is missing.
            Err(e) if e.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            other => other.map_err(failed),
        }
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // What stays is taken for a holder that died; it says less than it could, and nothing wrong.
        let _ = self.file.set_len(0);
        // Explicitly: closing alone would leave it to a child that is between fork and exec.
        let _ = self.file.unlock();
    }
}

/// Who holds the lock of this directory. Takes no lock, not even for an instant.
///
/// # Errors
/// The lock file is there and cannot be read.
pub fn probe(directory: &StateDirectory) -> Result<LockState, PathError> {
    let Some(holder) = read_holder(&directory.lock())? else {
        return Ok(LockState::Free);
    };
    Ok(match holder.liveness() {
        Liveness::Alive => LockState::Held(holder),
        Liveness::Gone => LockState::Abandoned(holder),
        Liveness::Unknown => LockState::Unclear(holder),
    })
}

/// What became of trying to take the lock.
enum Try {
    Taken,
    /// By whom, as the record said when it was looked at whether he lives: a moment later it may be nobody's.
    Held(Option<Box<Holder>>),
}

/// Tries until somebody who lives has it. The record can be empty for an instant after the lock was taken,
/// and a child of a dead holder that is between fork and exec keeps the lock for as long.
fn tried(file: &File, path: &Path) -> Result<Try, PathError> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Try::Taken),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(PathError::new("lock", path, e)),
        }
        let holder = read_holder(path)?.map(Box::new);
        let lives = holder.as_ref().is_some_and(|holder| holder.liveness() != Liveness::Gone);
        if lives || started.elapsed() >= HOLDER_WAIT {
            return Ok(Try::Held(holder));
        }
        sleep(HOLDER_PAUSE);
    }
}

fn read_holder(path: &Path) -> Result<Option<Holder>, PathError> {
    match paths::read(path) {
        // Half a record is one that is being written, or that a power cut left.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Lines, Write};
    use std::path::Path;
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::thread::sleep;
    use std::time::Duration;

    use super::{LockError, LockState, WriterLock, probe};
    use crate::clock::ManualClock;
    use crate::directory::StateDirectory;

    fn directory(root: &Path) -> StateDirectory {
        StateDirectory::open_or_create(root, &ManualClock::new(0, "boot")).unwrap().0
    }

    fn take(directory: &StateDirectory, command: &str) -> Result<WriterLock, LockError> {
        WriterLock::acquire(directory, command, &ManualClock::new(1_769_851_800_000, "boot"))
    }

    /// A process that takes the lock, says so, and holds it until its stdin is closed.
    fn holder(root: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::tests::child_that_holds_the_lock", "--ignored", "--nocapture"])
            .env("SEGUE_TEST_ROOT", root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("the lock is held")));
        (child, lines)
    }

    #[test]
    #[ignore = "the child of the tests below"]
    fn child_that_holds_the_lock() {
        let root = std::env::var_os("SEGUE_TEST_ROOT").unwrap();
        let _lock = take(&directory(root.as_ref()), "segue apply").unwrap();
        println!("the lock is held");
        std::io::stdout().flush().unwrap();
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_lock_until_that_ends() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        let directory = directory(&root);
        assert_eq!(probe(&directory).unwrap(), LockState::Free);
        let (mut child, lines) = holder(&root);
        let Err(LockError::Locked { holder: Some(holder), .. }) = take(&directory, "segue plan") else {
            panic!("two processes have the lock");
        };
        assert_eq!((holder.process.pid, holder.command.as_str()), (child.id(), "segue apply"));
        assert_eq!(probe(&directory).unwrap(), LockState::Held((*holder).clone()));
        assert!(holder.to_string().ends_with("since 2026-01-31T09:30:00.000Z)"), "{holder}");
        drop(child.stdin.take());
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        assert_eq!(probe(&directory).unwrap(), LockState::Free);
        assert!(take(&directory, "segue apply").unwrap().abandoned_by().is_none());
    }

    #[test]
    fn a_killed_holder_leaves_its_name_and_not_its_lock() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().join("state");
        let directory = directory(&root);
        let (mut child, _lines) = holder(&root);
        child.kill().unwrap();
        child.wait().unwrap();
        let LockState::Abandoned(holder) = probe(&directory).unwrap() else {
            panic!("{:?}", probe(&directory).unwrap());
        };
        assert_eq!(holder.process.pid, child.id());
        let lock = take(&directory, "segue apply").unwrap();
        assert_eq!(lock.abandoned_by(), Some(&holder));
    }

    #[test]
    fn within_one_process_the_lock_is_taken_once() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = directory(&temporary.path().join("state"));
        let lock = take(&directory, "one").unwrap();
        assert!(matches!(take(&directory, "other"), Err(LockError::Locked { .. })));
        drop(lock);
        take(&directory, "other").unwrap();
    }

    #[test]
    fn whoever_is_refused_is_told_by_whom_even_when_that_one_is_just_leaving() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = directory(&temporary.path().join("state"));
        let take = || take(&directory, "one of two");
        let mut refused = 0;
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                for _ in 0..2_000 {
                    let lock = take();
                    // Long enough to be met.
                    sleep(Duration::from_micros(100));
                    drop(lock);
                }
            });
            while !holder.is_finished() {
                match take() {
                    Err(LockError::Locked { holder, .. }) => {
                        assert!(holder.is_some());
                        refused += 1;
                    }
                    other => drop(other.unwrap()),
                }
            }
        });
        assert!(refused > 0, "they never met");
    }

    #[test]
    fn half_a_record_is_nobody() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = directory(&temporary.path().join("state"));
        segue_contract::paths::replace(&directory.lock(), b"{\"version\":1,\"pi").unwrap();
        assert_eq!(probe(&directory).unwrap(), LockState::Free);
        take(&directory, "segue apply").unwrap();
    }
}
