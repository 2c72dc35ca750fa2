//! This machine and its processes, as far as a lock or a settler must know them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use segue_contract::paths;
use serde::{Deserialize, Serialize};

/// Where getent(1) may lie. Never a place that `PATH` names: root asks it.
const GETENT: [&str; 3] = ["/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"];
/// How long a directory service may take to name a user.
const GETENT_WITHIN: Duration = Duration::from_secs(5);

/// A process that cannot be taken for a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// The boot that it belongs to.
    pub boot_id: String,
    /// The pid namespace that the number belongs to, as `/proc/self/ns/pid` names it.
    pub namespace: Option<String>,
}

/// Whether a process still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It has ended (a zombie has, too: it holds nothing).
    Gone,
    /// It belongs to another pid namespace of this boot, which cannot be seen from here.
    Unknown,
}

impl ProcessId {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            start_ticks: process_start(pid).unwrap_or_default(),
            boot_id: boot_id().unwrap_or_default(),
            namespace: pid_namespace(),
        }
    }

    /// Whether it still runs, if it is a process of this machine: a process of an earlier boot is gone.
    /// (Of another machine's process the boot differs, too: compare host names and machine ids first.)
    pub fn liveness(&self) -> Liveness {
        if boot_id().as_deref() != Some(&self.boot_id) {
            return Liveness::Gone;
        }
        if self.namespace != pid_namespace() {
            return Liveness::Unknown;
        }
        if process_alive(self.pid, self.start_ticks) { Liveness::Alive } else { Liveness::Gone }
    }
}

impl ProcessId {
    /// Kills it, and returns when it has ended: by a descriptor of the process, so that another that got its
    /// number meanwhile is not meant. One that has ended is fine.
    ///
    /// # Errors
    /// It cannot be killed (another user's), or cannot be seen from here.
    pub fn kill(&self) -> std::io::Result<()> {
        let unseen = || std::io::Error::other(format!("process {} cannot be seen from here", self.pid));
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or_else(unseen)?;
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The descriptor is of the process that has the number now: is it the one that is meant?
        match self.liveness() {
            Liveness::Gone => return Ok(()),
            Liveness::Unknown => return Err(unseen()),
            Liveness::Alive => {}
        }
        match pidfd_send_signal(&descriptor, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ended = [PollFd::new(&descriptor, PollFlags::IN)];
        while poll(&mut ended, None).map_err(std::io::Error::from)? == 0 {}
        Ok(())
    }
}

/// Whether the process with this number that started then still runs; a zombie does not.
pub fn process_alive(pid: u32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks && !matches!(stat.state, 'Z' | 'X' | 'x'))
}

/// When a process started, in clock ticks since the boot. `None`: there is none.
pub fn process_start(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

struct Stat {
    state: char,
    start_ticks: u64,
}

/// proc(5): `pid (comm) state ppid ...`; comm may hold blanks and parentheses, so it is cut off at the last one.
fn stat(pid: u32) -> Option<Stat> {
    let text = paths::read(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, after) = text.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 3 was the state; the start is field 22.
    let start_ticks = fields.nth(22 - 4)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

/// Names this start of this machine.
pub fn boot_id() -> Option<String> {
    line("/proc/sys/kernel/random/boot_id")
}

/// machine-id(5): names this installation. A container may have none.
pub fn machine_id() -> Option<String> {
    line("/etc/machine-id").or_else(|| line("/var/lib/dbus/machine-id"))
}

/// The host's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user's name, or `uid N` where the system knows none.
pub fn user() -> String {
    user_of(rustix::process::geteuid().as_raw())
}

/// The name of a user by number, or `uid N`: from `/etc/passwd`, and for users of LDAP, SSSD and the like from the
/// system's name service, as getent(1) asks it.
pub fn user_of(uid: u32) -> String {
    let uid = uid.to_string();
    let listed = || {
        let passwd = paths::read(Path::new("/etc/passwd")).ok()?;
        name_of(&String::from_utf8_lossy(&passwd), &uid)
    };
    listed().or_else(|| served(&uid)).unwrap_or_else(|| format!("uid {uid}"))
}

/// What the name service says. `None`: it does not know the user, or does not answer in time.
fn served(uid: &str) -> Option<String> {
    let getent = GETENT.iter().find(|at| Path::new(at).is_file())?;
    let mut command = Command::new(getent);
    command.args(["passwd", uid]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).is_ok_and(|descriptor| {
        let within = GETENT_WITHIN.try_into().ok();
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], within.as_ref()).is_ok_and(|ready| ready > 0)
    });
    if !ended {
        // Whether it has ended just now or is killed: it is waited for below.
        let _ = child.kill();
    }
    let answer = child.wait_with_output().ok()?;
    name_of(&String::from_utf8_lossy(&answer.stdout), uid)
}

/// passwd(5): `name:password:uid:...`.
fn name_of(passwd: &str, uid: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

fn pid_namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn line(path: &str) -> Option<String> {
    let text = paths::read_to_string(Path::new(path)).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Liveness, ProcessId, name_of, process_alive, process_start};

    #[test]
    fn this_process_is_alive_and_one_with_another_start_is_not() {
        let me = ProcessId::current();
        assert_eq!(me.liveness(), Liveness::Alive);
        assert!(!process_alive(me.pid, me.start_ticks + 1));
        let other_boot = ProcessId { boot_id: "other".to_owned(), ..me };
        assert_eq!(other_boot.liveness(), Liveness::Gone);
    }

    #[test]
    fn a_process_of_another_namespace_cannot_be_judged() {
        let other = ProcessId { namespace: Some("pid:[1]".to_owned()), ..ProcessId::current() };
        assert_eq!(other.liveness(), Liveness::Unknown);
    }

    #[test]
    fn a_killed_process_is_gone_even_before_it_is_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let start = process_start(child.id()).unwrap();
        assert!(process_alive(child.id(), start));
        child.kill().unwrap();
        // A killed process is a zombie until it is waited for: wait for that without reaping it.
        let pid = rustix::process::Pid::from_child(&child);
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), ended).unwrap();
        assert!(!process_alive(child.id(), start));
        child.wait().unwrap();
        assert!(!process_alive(child.id(), start));
    }

    #[test]
    fn finds_a_user_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nsegue:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_of(passwd, "1000").as_deref(), Some("segue"));
        assert_eq!(name_of(passwd, "7"), None);
    }
}
