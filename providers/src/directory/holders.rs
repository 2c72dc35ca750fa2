//! Who still holds something below a directory open: the drain barrier of stopped writers (protocol P3).
//!
//! Every process but this one is looked at in /proc: descriptors, mappings, working directories of all
//! threads, root. Paths there are the namespace's own, so the tree's names in that namespace are worked out
//! from its mounts ([`mounts::names_of`]). Not seen: descriptors on their way through a socket or
//! held by io_uring, descriptor tables that a thread keeps apart from its process, users inside the kernel
//! (loop devices, an NFS server), other machines.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{Holder, InUse, StepError, StepIo};

use super::place::Place;
use crate::mounts::{self, Location};

/// More are not listed: the answer is the same.
const HOLDERS_MAX: usize = 1000;
/// So many processes that could not be looked at are named.
const REFUSED_SHOWN: usize = 3;
/// A process may start between listing and looking; listed again until none is new, at most so often.
const ROUNDS_MAX: usize = 8;
/// A command line is shortened to this many characters.
const COMMAND_MAX: usize = 80;
/// `PF_KTHREAD` of linux/sched.h: a kernel thread has no descriptors.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The initial process-id namespace (`PROC_PID_INIT_INO` of linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
/// Open flags as in `/proc/PID/fdinfo/N`: the access mode, and `O_PATH`.
const ACCESS_MODE: u32 = 0o3;
const PATH_ONLY: u32 = 0o10_000_000;

/// Looks at every process.
///
/// # Errors
/// /proc cannot be read, or the step was cancelled.
pub(super) fn in_use(place: &Place, io: &dyn StepIo) -> Result<InUse, StepError> {
    if place.found.is_none() {
        return Ok(InUse::default());
    }
    let own = mounts::own()?;
    let location = mounts::location(&own, &place.root);
    let mut names = vec![place.root.clone()];
    names.extend(location.iter().flat_map(|l| mounts::names_of(&own, l)));
    let mut scan = Scan {
        location,
        namespace: link(Path::new("/proc/self/ns/mnt")).unwrap_or_default(),
        own: names,
        foreign: BTreeMap::new(),
        found: Vec::new(),
        refused: Vec::new(),
    };
    let mut seen: BTreeSet<(u32, u64)> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let mut fresh = false;
        for pid in pids()? {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let Some(stat) = Stat::read(pid) else { continue };
            if pid == std::process::id() || stat.flags & KERNEL_THREAD != 0 || !seen.insert((pid, stat.start))
            {
                continue;
            }
            fresh = true;
            scan.process(pid, &stat);
        }
        if !fresh || scan.found.len() >= HOLDERS_MAX {
            break;
        }
    }
    let hidden = mounts::mount_of(&own, Path::new("/proc")).is_some_and(|m| hides(&m.options));
    Ok(InUse { holders: scan.found, incomplete: incomplete(&scan.refused, hidden) })
}

/// Whether the options of /proc keep other users' processes out of sight (hidepid).
fn hides(options: &str) -> bool {
    let mut values = options.split(',').filter_map(|o| o.strip_prefix("hidepid="));
    values.any(|v| v != "0" && v != "off")
}

fn incomplete(refused: &[String], hidden: bool) -> Option<String> {
    let is_root = rustix::process::geteuid().is_root();
    let mut why = Vec::new();
    if !refused.is_empty() {
        let shown = refused.get(..REFUSED_SHOWN).unwrap_or(refused).join(", ");
        let more = refused.len().saturating_sub(REFUSED_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        // Root is refused where the process has a capability that it lacks itself.
        let remedy = if is_root { "" } else { "; run as root to see them" };
        why.push(format!("not allowed to look at process {shown}{more}{remedy}"));
    }
    if hidden && !is_root {
        why.push(
            "processes of other users are hidden (/proc is mounted with hidepid); run as root".to_owned(),
        );
    }
    if link(Path::new("/proc/self/ns/pid")).is_some_and(|ns| ns.as_os_str() != FIRST_PID_NAMESPACE) {
        why.push("only processes of this container (process-id namespace) are visible".to_owned());
    }
    (!why.is_empty()).then(|| why.join("; "))
}

fn pids() -> Result<Vec<u32>, StepError> {
    let proc = Path::new("/proc");
    let failed = |e| PathError::new("list", proc, e);
    let mut pids = Vec::new();
    for entry in fs::read_dir(proc).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        pids.extend(name.to_str().and_then(|n| n.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

fn link(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

/// What `/proc/PID/stat` tells.
struct Stat {
    name: String,
    zombie: bool,
    flags: u64,
    start: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let bytes = paths::read(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        // The name is in parentheses and may hold any character.
        let (head, rest) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // Field 3, the state, is the first here: 9 is flags, 22 the start time.
        Some(Self {
            name: name.to_owned(),
            zombie: fields.first() == Some(&"Z"),
            flags: number(6)?,
            start: number(19)?,
        })
    }
}

struct Scan {
    location: Option<Location>,
    /// This process's mount namespace, and the tree's names there.
    namespace: PathBuf,
    own: Vec<PathBuf>,
    /// The tree's names in other mount namespaces.
    foreign: BTreeMap<PathBuf, Vec<PathBuf>>,
    found: Vec<Holder>,
    /// Processes that could not be looked at.
    refused: Vec<String>,
}

impl Scan {
    fn process(&mut self, pid: u32, stat: &Stat) {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let names = self.names(&dir);
        let mut look = Look { names: &names, what: Vec::new(), refused: false };
        let tasks = look.list(&dir.join("task"));
        for task in &tasks {
            look.link(&task.join("cwd"), "working directory");
        }
        look.link(&dir.join("root"), "root directory");
        if stat.zombie {
            // The first thread ended; the others still share what it had.
            for task in tasks.iter().filter(|t| t.file_name() != dir.file_name()) {
                look.descriptors(task);
            }
        } else {
            look.descriptors(&dir);
        }
        let maps = tasks.iter().find(|t| !stat.zombie || t.file_name() != dir.file_name());
        if let Some(task) = maps {
            look.mappings(task);
        }
        let Look { what, refused, .. } = look;
        if refused {
            self.refused.push(format!("{pid} ({})", stat.name));
        }
        if what.is_empty() {
            return;
        }
        let command = command(&dir, stat);
        for what in what {
            if self.found.len() < HOLDERS_MAX {
                self.found.push(Holder { pid, command: command.clone(), what });
            }
        }
    }

    /// The tree's names in the process's mount namespace.
    fn names(&mut self, dir: &Path) -> Vec<PathBuf> {
        let Some(namespace) = link(&dir.join("ns/mnt")).filter(|ns| *ns != self.namespace) else {
            return self.own.clone();
        };
        let (location, own) = (&self.location, &self.own);
        let names = self.foreign.entry(namespace).or_insert_with(|| {
            // A path that leads here from another namespace is told as that namespace's name or, for a
            // descriptor that was handed over, as ours.
            let mut names = own.clone();
            if let (Some(location), Ok(mounts)) = (location, mounts::read(&dir.join("mountinfo"))) {
                names.extend(mounts::names_of(&mounts, location));
            }
            names
        });
        names.clone()
    }
}

fn command(dir: &Path, stat: &Stat) -> String {
    let bytes = paths::read(&dir.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text = text.trim();
    if text.is_empty() {
        return stat.name.clone();
    }
    if text.chars().count() <= COMMAND_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(COMMAND_MAX).collect();
    format!("{head}…")
}

/// One process being looked at.
struct Look<'s> {
    names: &'s [PathBuf],
    what: Vec<String>,
    refused: bool,
}

impl Look<'_> {
    fn holds(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        let there = Path::new(OsStr::from_bytes(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes)));
        self.names.iter().any(|name| path.starts_with(name) || there.starts_with(name))
    }

    /// A process that ended meanwhile holds nothing; one that may not be looked at is counted.
    fn note<T>(&mut self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(e) => {
                self.refused |= e.kind() == io::ErrorKind::PermissionDenied;
                None
            }
        }
    }

    fn list(&mut self, dir: &Path) -> Vec<PathBuf> {
        let Some(entries) = self.note(fs::read_dir(dir)) else {
            return Vec::new();
        };
        entries.flatten().map(|entry| entry.path()).collect()
    }

    fn link(&mut self, path: &Path, what: &str) {
        if let Some(to) = self.note(fs::read_link(path))
            && self.holds(&to)
        {
            self.tell(format!("{what} {}", to.display()));
        }
    }

    fn tell(&mut self, what: String) {
        if !self.what.contains(&what) {
            self.what.push(what);
        }
    }

    fn descriptors(&mut self, dir: &Path) {
        for fd in self.list(&dir.join("fd")) {
            let Some(to) = self.note(fs::read_link(&fd)) else {
                continue;
            };
            if !self.holds(&to) {
                continue;
            }
            let number = fd.file_name().unwrap_or_default();
            let how = access(&dir.join("fdinfo").join(number));
            self.tell(format!("descriptor {} ({how}) {}", number.display(), to.display()));
        }
    }

    fn mappings(&mut self, dir: &Path) {
        let path = dir.join("maps");
        let read = paths::read(&path).map_err(|e| e.source);
        let Some(maps) = self.note(read) else {
            return;
        };
        // address perms offset device inode path
        for line in maps.split(|&b| b == b'\n') {
            let Some(at) = line.iter().position(|&b| b == b'/') else {
                continue;
            };
            let path = Path::new(OsStr::from_bytes(&line[at..]));
            if self.holds(path) {
                let perms = line.split(|&b| b == b' ').nth(1).unwrap_or_default();
                let writes = perms.get(1) == Some(&b'w') && perms.get(3) == Some(&b's');
                let writes = if writes { " (writable)" } else { "" };
                self.tell(format!("mapping{writes} {}", path.display()));
            }
        }
    }
}

fn access(fdinfo: &Path) -> &'static str {
    let text = paths::read_to_string(fdinfo).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    match flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()) {
        None => "unknown",
        Some(flags) if flags & PATH_ONLY != 0 => "path only",
        Some(flags) if flags & ACCESS_MODE == 0 => "read-only",
        Some(_) => "writable",
    }
}
