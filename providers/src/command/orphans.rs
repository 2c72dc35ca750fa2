//! Ending commands that a dead run left running: an effect whose sender died may still land (protocol
//! P15), and a stop that lands after the start would keep a side closed for ever.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use segue_contract::{StepError, paths};

/// The environment variable that names the segue process that started a command.
pub(super) const CHILD_OF: &str = "SEGUE_CHILD_OF";
/// Looks for the end of a killed command, and the time between two.
const TRIES: u32 = 200;
const WAIT: Duration = Duration::from_millis(5);

/// `PID:START`, with the start in clock ticks since boot, so that a re-used pid is told apart.
pub(super) fn own_name() -> String {
    let pid = getpid().as_raw_nonzero().get();
    let start = Stat::read(pid).map_or(0, |s| s.start);
    format!("{pid}:{start}")
}

/// The fields of `/proc/PID/stat` that matter here (proc_pid_stat(5)).
struct Stat {
    state: char,
    group: i32,
    session: i32,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = paths::read(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The command's name may hold anything: the fields begin after the last parenthesis.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Kills the commands for this endpoint whose segue process is dead, and returns when they are gone.
///
/// Only the command itself and its process group are meant, never what a command left running on purpose:
/// a group's leader that is no session's leader is one that Segue made and that has not ended.
pub(crate) fn end_orphans(endpoint: &str) -> Result<(), StepError> {
    let listed = std::fs::read_dir("/proc").map_err(|e| paths::PathError::new("list", "/proc", e))?;
    let wanted = format!("SEGUE_ENDPOINT={endpoint}");
    for entry in listed.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(environment) = paths::read(&entry.path().join("environ")) else {
            continue;
        };
        let find = |prefix: &str| {
            environment
                .split(|b| *b == 0)
                .find_map(|v| std::str::from_utf8(v).ok()?.strip_prefix(prefix).map(str::to_owned))
        };
        let Some(sender) = find(&format!("{CHILD_OF}=")) else {
            continue;
        };
        if !environment.split(|b| *b == 0).any(|v| v == wanted.as_bytes()) || sender_lives(&sender) {
            continue;
        }
        match Stat::read(pid) {
            Some(stat) if stat.group == pid && stat.session != pid && stat.runs() => end(pid, &stat)?,
            _ => {}
        }
    }
    Ok(())
}

fn sender_lives(sender: &str) -> bool {
    let Some((pid, start)) = sender.split_once(':') else {
        return false;
    };
    let (Ok(pid), Ok(start)) = (pid.parse::<i32>(), start.parse::<u64>()) else {
        return false;
    };
    Stat::read(pid).is_some_and(|stat| stat.start == start && stat.runs())
}

fn end(pid: i32, before: &Stat) -> Result<(), StepError> {
    if let Some(group) = Pid::from_raw(pid) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for _ in 0..TRIES {
        if Stat::read(pid).is_none_or(|now| now.start != before.start || !now.runs()) {
            return Ok(());
        }
        std::thread::sleep(WAIT);
    }
    Err(StepError::unknown(format!(
        "process {pid}, a command of a run that died, does not end although it was killed"
    ))
    .remedy(format!("see what it waits for (cat /proc/{pid}/stack), end it, and run the same command again")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper(endpoint: &str, sender: &str) -> std::process::Child {
        Command::new("sleep")
            .arg("60")
            .env(CHILD_OF, sender)
            .env("SEGUE_ENDPOINT", endpoint)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sleep starts")
    }

    #[test]
    fn only_commands_of_dead_senders_for_this_endpoint_are_ended() {
        let endpoint = format!("source.directory.orphans-{}", std::process::id());
        let mut orphan = sleeper(&endpoint, "1:1");
        let mut other = sleeper("source.directory.somebody-else", "1:1");
        let mut ours = sleeper(&endpoint, &own_name());
        end_orphans(&endpoint).expect("ends");
        assert!(!orphan.wait().expect("ended").success());
        for child in [&mut other, &mut ours] {
            assert!(child.try_wait().expect("looks").is_none(), "still running");
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }
}
