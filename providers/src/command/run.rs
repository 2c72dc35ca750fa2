//! One command, from start to end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use segue_contract::{BlockRef, StepError, StepIo, waiting};

use super::TIMEOUT_DEFAULT_MS;
use super::orphans::{CHILD_OF, own_name};

/// How much of what a command printed is shown, in bytes from its end.
const TAIL_BYTES: u64 = 2048;
/// How much of what a command printed is read where all of it matters, in bytes from its end.
const WHOLE_BYTES: u64 = 4 << 20;
/// How often a cancel is looked for while a command runs.
const SLICE: Duration = Duration::from_millis(50);

/// What to run.
pub(crate) struct Call<'a> {
    /// The block that says so.
    pub(crate) block: &'a BlockRef,
    /// Program and arguments.
    pub(crate) argv: &'a [String],
    /// `stop`, `start`, `probe`, `set`, `observe`: told to the command in `SEGUE_ACTION`.
    pub(crate) action: &'a str,
    /// More for its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// The end of what it printed, both streams.
    pub(crate) printed: String,
    output: File,
}

impl Ended {
    /// All that it printed, up to [`WHOLE_BYTES`].
    pub(crate) fn whole(&self) -> String {
        tail(&self.output, WHOLE_BYTES)
    }

    /// `exit 3`, `signal 9`
    pub(crate) fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => self.status.to_string(),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// Permanent: it cannot be started. Unknown: it was killed at its time limit or on a cancel; what it did
/// until then is not known.
pub(crate) fn run(call: &Call<'_>, io: &dyn StepIo) -> Result<Ended, StepError> {
    run_unless(call, &|| io.cancelled())
}

/// The same where there is no step: while a plan is made.
pub(crate) fn run_unless(call: &Call<'_>, cancelled: &dyn Fn() -> bool) -> Result<Ended, StepError> {
    let timeout = Duration::from_millis(call.block.number("timeout")?.unwrap_or(TIMEOUT_DEFAULT_MS));
    let shown = quoted(call.argv);
    let cannot =
        |what: &str, e: std::io::Error| StepError::permanent(format!("cannot {what} {shown}")).because(e);
    // A file takes what the command prints: a pipe would be held open by whatever it leaves running.
    let output = memfd_create("output", MemfdFlags::CLOEXEC).map_err(|e| cannot("run", e.into()))?;
    let output = File::from(output);
    let stdout = output.try_clone().map_err(|e| cannot("run", e))?;
    let stderr = output.try_clone().map_err(|e| cannot("run", e))?;
    let Some((program, arguments)) = call.argv.split_first() else {
        return Err(StepError::permanent(format!(
            "{}: {} names no program",
            call.block.address, call.action
        )));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&call.block.base_dir)
        .env("SEGUE_ACTION", call.action)
        .env(CHILD_OF, own_name())
        .envs(call.environment.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    let child = command.spawn().map_err(|e| {
        cannot("start", e).remedy(format!(
            "it is started in {}: is it there and executable?",
            call.block.base_dir.display()
        ))
    })?;
    let waits = waiting(format!("{shown} ({}) to end", call.action), timeout);
    let status = wait(child, timeout, cancelled).map_err(|e| match e {
        Late::Timeout => StepError::unknown(format!(
            "{shown} did not end within {} ms and was killed",
            timeout.as_millis()
        ))
        .remedy("raise timeout, or make the command quicker"),
        Late::Cancelled => StepError::cancelled(),
        Late::Failed(e) => StepError::unknown(format!("cannot wait for {shown}")).because(e),
    })?;
    drop(waits);
    Ok(Ended { status, printed: tail(&output, TAIL_BYTES), output })
}

enum Late {
    Timeout,
    Cancelled,
    Failed(std::io::Error),
}

fn wait(mut child: Child, timeout: Duration, cancelled: &dyn Fn() -> bool) -> Result<ExitStatus, Late> {
    let pid = Pid::from_child(&child);
    let end = Instant::now() + timeout;
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| Late::Failed(e.into()))?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let late = if left.is_zero() {
            Some(Late::Timeout)
        } else if cancelled() {
            Some(Late::Cancelled)
        } else {
            None
        };
        if let Some(late) = late {
            // The group: whatever the command started and waits for goes with it.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
            return Err(late);
        }
        let slice = left.min(SLICE);
        let slice = Timespec { tv_sec: 0, tv_nsec: i64::from(slice.subsec_nanos()) };
        let mut waits = [PollFd::new(&descriptor, PollFlags::IN)];
        match poll(&mut waits, Some(&slice)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return child.wait().map_err(Late::Failed),
            Err(e) => return Err(Late::Failed(e.into())),
        }
    }
}

fn tail(output: &File, bytes: u64) -> String {
    let length = output.metadata().map(|m| m.len()).unwrap_or(0);
    let start = length.saturating_sub(bytes);
    let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(0)];
    let read = output.read_at(&mut bytes, start).unwrap_or(0);
    bytes.truncate(read);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// A command as a person types it.
pub(crate) fn quoted(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Io, block};

    fn call(argv: &[&str], timeout_ms: u64) -> Result<Ended, StepError> {
        let argv: Vec<String> = argv.iter().map(|&s| s.to_owned()).collect();
        let block = block("quiesce.command.x", "command", &[("timeout", serde_json::json!(timeout_ms))]);
        run(
            &Call {
                block: &block,
                argv: &argv,
                action: "stop",
                environment: vec![("SEGUE_SIDE", "source".into())],
            },
            &Io::default(),
        )
    }

    #[test]
    fn tells_how_a_command_ended_and_what_it_printed() {
        let ended = call(&["sh", "-c", "echo out; echo \"$SEGUE_SIDE $SEGUE_ACTION\" >&2; exit 3"], 5000)
            .expect("runs");
        assert_eq!(ended.how(), "exit 3");
        assert_eq!(ended.printed, "out\nsource stop");
    }

    #[test]
    fn a_command_that_leaves_something_running_is_not_waited_for() {
        let ended = call(&["sh", "-c", "sleep 30 & echo started"], 20_000).expect("runs");
        assert_eq!(ended.printed, "started");
    }

    #[test]
    fn a_command_is_killed_at_its_time_limit_with_its_children() {
        let error = call(&["sh", "-c", "sleep 60; true"], 50).unwrap_err();
        assert_eq!(error.class, segue_contract::ErrorClass::Unknown);
        assert!(error.what.contains("did not end within 50 ms"), "{error}");
    }

    #[test]
    fn a_command_that_is_not_there_says_where_it_was_looked_for() {
        let error = call(&["./no-such-command"], 5000).unwrap_err();
        assert!(error.to_string().contains("cannot start ./no-such-command"), "{error}");
        assert!(error.remedy.is_some());
    }

    #[test]
    fn commands_are_quoted_as_a_shell_reads_them() {
        let argv = ["./app".to_owned(), "it's".to_owned(), String::new(), "a b".to_owned()];
        assert_eq!(quoted(&argv), r"./app 'it'\''s' '' 'a b'");
    }
}
