//! A server's process, which cannot outlive the test binary.
//!
//! Statics are not dropped, a panic in a panic aborts, and tests are killed: `Drop` alone leaves Java virtual machines behind.
//! (A parent-death signal does not do either: the kernel sends it when the thread that started the child ends, and libtest
//! gives each test a thread.) So each server has a keeper, a small shell that waits for the end of a pipe whose other end only
//! this process holds; see `tests/components/keeper`.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use segue_contract::paths;

/// How long a server may take to end when it is asked to, before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How much of a log is shown.
const SHOWN_LINES: usize = 40;

/// A server in a directory, both gone when this is.
pub(super) struct Kept {
    dir: PathBuf,
    keeper: Child,
    server: Option<Child>,
}

/// A file of `tests/components`.
pub(super) fn component(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("components").join(name)
}

impl Kept {
    /// Keeps a directory. Nothing runs in it yet.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub(super) fn new(dir: PathBuf) -> Self {
        let keeper = Command::new(component("keeper"))
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Its own group: what is sent to the tests' group does not reach it.
            .process_group(0)
            .spawn()
            .expect("the keeper starts");
        Self { dir, keeper, server: None }
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a program as a process group of its own; what it prints goes to the log.
    ///
    /// # Panics
    /// One runs already, or it does not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub(super) fn start(&mut self, program: &Path, args: &[String], environment: &[(&str, &str)]) {
        assert!(self.server.is_none(), "it runs already: stop or kill it first");
        let log = || {
            let file = OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
            Stdio::from(file.expect("the server's log"))
        };
        let child = Command::new(component("kept"))
            .arg(&self.dir)
            .arg(program)
            .args(args)
            .envs(environment.iter().copied())
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .process_group(0)
            .spawn()
            .expect("the server starts");
        self.server = Some(child);
    }

    /// Whether it does not run (any more).
    pub(super) fn ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// The end of its log, for messages.
    pub(super) fn log(&self) -> String {
        let text = paths::read(&self.dir.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// SIGKILL to all of its processes. Nothing happens if it does not run.
    pub(super) fn kill(&mut self) {
        let Some(mut child) = self.server.take() else { return };
        if let Some(group) = pid_of(&child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
        // Its number may be given to another process now.
        let _ = std::fs::remove_file(self.dir.join("pid"));
    }

    /// SIGTERM, and waits until it has ended; kills it when it does not in a minute.
    pub(super) fn stop(&mut self) {
        if let Some(pid) = self.server.as_ref().and_then(pid_of)
            && !self.ended()
        {
            let _ = kill_process(pid, Signal::TERM);
            let end = Instant::now() + PATIENCE;
            while !self.ended() && Instant::now() < end {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        self.kill();
    }

    /// Sends a signal to the first of its processes (`first`) or to all of them.
    pub(super) fn signal(&mut self, signal: Signal, first: bool) {
        let Some(pid) = self.server.as_ref().and_then(pid_of) else { return };
        if self.ended() {
            return;
        }
        let _ = if first { kill_process(pid, signal) } else { kill_process_group(pid, signal) };
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
        // The keeper sees the pipe's end, removes the directory, and ends.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use segue_contract::paths;

    use super::{Kept, component};
    use crate::running::wait_until;
    use crate::servers::place::server_dir;

    fn runs(pid: &str) -> bool {
        // A zombie whose parent has not asked yet does not run.
        paths::read_to_string(&Path::new("/proc").join(pid.trim()).join("stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_server_and_its_directory_end_with_it() {
        let mut kept = Kept::new(server_dir("segue-kept"));
        let dir = kept.dir().to_owned();
        kept.start(Path::new("sleep"), &["600".to_owned()], &[]);
        wait_until("it has left its number", || dir.join("pid").exists());
        let pid = paths::read_to_string(&dir.join("pid")).expect("a number");
        assert!(runs(&pid));
        kept.kill();
        assert!(!runs(&pid) && !dir.join("pid").exists());
        kept.start(Path::new("sleep"), &["600".to_owned()], &[]);
        wait_until("it has left its number", || dir.join("pid").exists());
        let pid = paths::read_to_string(&dir.join("pid")).expect("a number");
        drop(kept);
        assert!(!runs(&pid) && !dir.exists());
    }

    #[test]
    fn a_server_does_not_outlive_a_killed_owner() {
        let dir = server_dir("segue-kept");
        // An owner that dies without a word: a shell that starts a keeper and a server, and is killed.
        let script = format!(
            "mkfifo {0}/pipe; {1} {0} <{0}/pipe & exec 9>{0}/pipe; setsid {2} {0} sh -c 'sleep 600 & sleep 600' 9>&- & kill -STOP $$",
            dir.display(),
            component("keeper").display(),
            component("kept").display()
        );
        let mut owner =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).spawn().expect("a shell");
        wait_until("the server runs", || dir.join("pid").exists());
        let pid = paths::read_to_string(&dir.join("pid")).expect("a number");
        assert!(runs(&pid));
        owner.kill().expect("killed");
        owner.wait().expect("waited");
        wait_until("the keeper has ended it", || !runs(&pid) && !dir.exists());
    }
}
