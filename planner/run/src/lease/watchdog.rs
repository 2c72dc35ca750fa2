//! The watchdog as the run that pauses sees it: started before the first effect, told of every lease, asked
//! whether it still answers before a side is hardened.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use segue_contract::Address;
use segue_contract::paths::{self, PathError};
use segue_plan::event::Watcher;

use super::watching::{Answer, Message, Orders};

/// How long the watchdog may take to start: the time that a loaded machine needs to start a process.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to answer: it does nothing else. One that was stopped is killed then, for it would act on an
/// old order when it goes on.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Its log, beside the state: whoever starts Segue may be gone when it acts.
const LOG: &str = "watchdog.log";
/// Answers that wait to be read; it sends one for each message.
const ANSWERS_MAX: usize = 16;

/// The program that is a watchdog.
#[derive(Clone, Debug)]
pub struct Program {
    /// What to run.
    pub program: OsString,
    /// With these arguments.
    pub arguments: Vec<OsString>,
}

/// The watchdog cannot be relied on: no pause begins, or one is aborted.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// It did not start.
    #[error("the watchdog cannot be started: {0}")]
    Start(std::io::Error),
    /// Its log cannot be written.
    #[error(transparent)]
    Log(#[from] PathError),
    /// It ended, or was killed.
    #[error("the watchdog ended ({0}); its log is watchdog.log in the state directory")]
    Ended(String),
    /// It does not answer.
    #[error("the watchdog did not answer within {} s, and was killed", .0.as_secs())]
    Silent(Duration),
    /// It said something else.
    #[error("the watchdog answered {0:?}")]
    Strange(String),
}

/// A running watchdog.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    watcher: Watcher,
}

impl Watchdog {
    /// Starts one, and returns when it has left this session and watches.
    ///
    /// # Errors
    /// See [`WatchdogError`].
    pub fn start(program: &Program, state_dir: &Path, orders: &Orders) -> Result<Self, WatchdogError> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let log = paths::open_with(&state_dir.join(LOG), &options)?;
        let mut child = Command::new(&program.program)
            .arg0("segue")
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(WatchdogError::Start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(WatchdogError::Start(std::io::Error::other("it has no pipes")));
        };
        let (send, answers) = sync_channel(ANSWERS_MAX);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            })
            .map_err(WatchdogError::Start)?;
        let mut watchdog = Self { child, input, answers, watcher: Watcher { pid: 0, start_time: 0 } };
        watchdog.send(&Message::Begin(Box::new(orders.clone())))?;
        match watchdog.answer(STARTS_WITHIN)? {
            Answer::Ready { pid, start_ticks } => watchdog.watcher = Watcher { pid, start_time: start_ticks },
            other => return Err(WatchdogError::Strange(format!("{other:?}"))),
        }
        Ok(watchdog)
    }

    /// Who it is.
    pub fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// Tells it of a lease: the attempt may be aborted by this process until `deadline_ms` on the boot clock, and one
    /// that was hardened until then may be completed by it for `forward_ms` more.
    ///
    /// # Errors
    /// See [`WatchdogError`].
    pub fn lease(
        &mut self,
        cutover: &Address,
        epoch: u64,
        deadline_ms: u64,
        forward_ms: u64,
    ) -> Result<(), WatchdogError> {
        self.exchange(&Message::Lease { cutover: cutover.clone(), epoch, deadline_ms, forward_ms })
    }

    /// The attempt is committed: this process completes it until `deadline_ms` on the boot clock, or is killed.
    ///
    /// # Errors
    /// See [`WatchdogError`].
    pub fn forward(&mut self, cutover: &Address, deadline_ms: u64) -> Result<(), WatchdogError> {
        self.exchange(&Message::Forward { cutover: cutover.clone(), deadline_ms })
    }

    /// Returns when it has answered.
    ///
    /// # Errors
    /// See [`WatchdogError`].
    pub fn answers(&mut self) -> Result<(), WatchdogError> {
        self.exchange(&Message::There)
    }

    /// The attempt is over: nothing is to be settled any more.
    ///
    /// # Errors
    /// See [`WatchdogError`]: it will look for itself, then.
    pub fn over(&mut self, cutover: &Address) -> Result<(), WatchdogError> {
        self.exchange(&Message::Over { cutover: cutover.clone() })
    }

    /// Lets it go: its process ends by itself, or is killed when it does not.
    pub fn dismiss(mut self) {
        // It answers nothing: the end of its output is its end.
        if self.send(&Message::Dismissed).is_ok() && self.answer(ANSWERS_WITHIN).is_err() {
            let _ = self.child.wait();
        }
    }

    fn exchange(&mut self, message: &Message) -> Result<(), WatchdogError> {
        self.send(message)?;
        match self.answer(ANSWERS_WITHIN)? {
            Answer::Here => Ok(()),
            other => Err(WatchdogError::Strange(format!("{other:?}"))),
        }
    }

    fn send(&mut self, message: &Message) -> Result<(), WatchdogError> {
        let mut line = serde_json::to_vec(message).map_err(|e| WatchdogError::Strange(e.to_string()))?;
        line.push(b'\n');
        self.input.write_all(&line).map_err(|e| self.ended(&e.to_string()))
    }

    fn answer(&mut self, within: Duration) -> Result<Answer, WatchdogError> {
        match self.answers.recv_timeout(within) {
            Ok(line) => serde_json::from_str(&line).map_err(|_| WatchdogError::Strange(line)),
            Err(RecvTimeoutError::Timeout) => {
                // It may have ended just now.
                let _ = self.child.kill();
                Err(WatchdogError::Silent(within))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.ended("it closed its end")),
        }
    }

    fn ended(&mut self, why: &str) -> WatchdogError {
        match self.child.try_wait() {
            Ok(Some(status)) => WatchdogError::Ended(status.to_string()),
            Ok(None) | Err(_) => WatchdogError::Ended(why.to_owned()),
        }
    }
}
