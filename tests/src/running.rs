//! A segue that runs beside the test: waited for by condition, killed, interrupted, and read afterwards.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::scratch::{Ran, Scratch, segue_binary};

/// How long a test waits for anything at all, before it fails: far more than the slowest machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until a condition holds.
///
/// # Panics
/// When it does not in a minute.
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_long(what, PATIENCE, holds);
}

/// The same with another patience, for what is slow to start on a busy machine.
///
/// # Panics
/// When it does not hold in this time.
#[track_caller]
pub fn wait_long(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < end, "waited {} s for this in vain: {what}", patience.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A running segue. Killed when dropped.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts the released binary in a scratch directory, with its output in files.
    pub fn new(scratch: &Scratch, args: &[&str]) -> Self {
        Self::with(scratch, args, &[])
    }

    /// The same in another environment.
    pub fn with(scratch: &Scratch, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start(scratch, segue_binary(), args, environment)
    }

    /// Starts a program that becomes it.
    pub fn program(scratch: &Scratch, program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        Self::start(scratch, program, args, &[])
    }

    /// The same in another environment.
    pub fn program_with(
        scratch: &Scratch,
        program: impl AsRef<OsStr>,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start(scratch, program, args, environment)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its program")]
    fn start(
        scratch: &Scratch,
        program: impl AsRef<OsStr>,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let named = |stream: &str| {
            scratch.write(&format!("out/{number}.{stream}"), "");
            scratch.at(&format!("out/{number}.{stream}"))
        };
        let (stdout, stderr) = (named("stdout"), named("stderr"));
        let open = |path: &PathBuf| {
            let file = std::fs::OpenOptions::new().append(true).open(path);
            Stdio::from(file.expect("the output's file"))
        };
        let child = Command::new(program)
            .args(args)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .env("NO_COLOR", "1")
            .envs(scratch.environment().iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .spawn()
            .expect("segue starts");
        Self { child, stdout, stderr }
    }

    /// What it wrote so far, both streams.
    pub fn output(&self) -> String {
        let read = |path: &PathBuf| segue_contract::paths::read_to_string(path).unwrap_or_default();
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    /// Waits until it wrote this.
    ///
    /// # Panics
    /// It ended before, or a minute passed.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) {
        self.until_it_says_within(text, PATIENCE);
    }

    /// The same with another patience.
    ///
    /// # Panics
    /// It ended before, or that time passed.
    #[track_caller]
    pub fn until_it_says_within(&mut self, text: &str, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.output().contains(text) {
            let over = self.ended() || Instant::now() >= end;
            assert!(
                !over || self.output().contains(text),
                "it ended, or {} s passed, before it said {text:?}:\n{}",
                patience.as_secs(),
                self.output()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        if !self.ended()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may end between the look and the signal: its process id is not given away before `wait`.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL, and waits for its end. `false`: it had ended before.
    pub fn kill(mut self) -> bool {
        let alive = !self.ended();
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        alive
    }

    /// Waits for its end: three minutes at most.
    pub fn wait(self) -> Ran {
        self.wait_for(3 * PATIENCE)
    }

    /// The same with another patience.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its program")]
    pub fn wait_for(mut self, patience: Duration) -> Ran {
        let end = Instant::now() + patience;
        while !self.ended() {
            assert!(Instant::now() < end, "segue does not end:\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        }
        let read = |path: &PathBuf| segue_contract::paths::read_to_string(path).unwrap_or_default();
        Ran {
            code: self.child.wait().expect("waited").code(),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
