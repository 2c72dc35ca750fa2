//! Files that somebody has, or had, mapped shared and writable: what their fingerprints say is no proof, so a
//! pass under quiesce reads them again. Looked at when a pass begins and ends, and every [`EVERY`] as long as
//! this process lives; what was seen once is noted beside the ledgers, survives a death, and counts until the
//! file is gone from the tree.
//!
//! Files are known by their inode numbers. One of another file system with the same number counts, too: that
//! costs one more file to read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use segue_contract::{StepError, StepIo, UnitJob};

use crate::engines::beside::{self, side_file};
use crate::mappings::Mappings;
use crate::mounts;

/// How far two looks are apart; a mapping that is shorter may be missed, which the audit's sample is for.
pub(crate) const EVERY: Duration = Duration::from_secs(5);
/// What the notes begin with.
const MAGIC: &[u8; 8] = b"SGMAPED1";

/// The sides that this process looks at between passes.
static WATCHED: Mutex<Watched> = Mutex::new(Watched { list: Vec::new(), running: false });

struct Watched {
    list: Vec<Arc<Mapped>>,
    running: bool,
}

/// The mapped files of one side.
#[derive(Debug)]
pub(crate) struct Mapped {
    root: PathBuf,
    notes: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Inode numbers of files that are or were mapped.
    ever: HashSet<u64>,
    /// Those of the last look.
    now: HashSet<u64>,
    /// Processes that could not be looked at.
    refused: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mapped {
    /// Reads the notes, looks, and has this process go on looking.
    pub(crate) fn watch(job: &UnitJob, io: &dyn StepIo) -> Result<Arc<Self>, StepError> {
        let (root, notes) = (job.reads().path("path")?, side_file(io.artifacts(), "mapped", job));
        let mut watched = lock(&WATCHED);
        let known = watched.list.iter().find(|m| m.notes == notes && m.root == root);
        let mapped = match known {
            Some(mapped) => Arc::clone(mapped),
            None => {
                let seen = Mutex::new(Seen { ever: read(&notes)?, ..Seen::default() });
                let mapped = Arc::new(Self { root: root.to_owned(), notes, seen });
                watched.list.push(Arc::clone(&mapped));
                mapped
            }
        };
        if !watched.running {
            // Where no thread can be had, passes look when they begin and end.
            let started = std::thread::Builder::new().name("mappings".into()).spawn(look_on);
            watched.running = started.is_ok();
        }
        drop(watched);
        mapped.look()?;
        Ok(mapped)
    }

    /// The inodes of files that are, or were, mapped: for calls that only look, and note nothing.
    pub(crate) fn known(job: &UnitJob, io: &dyn StepIo) -> Result<HashSet<u64>, StepError> {
        let mut known = read(&side_file(io.artifacts(), "mapped", job))?;
        known.extend(Self::now(job.reads().path("path")?));
        Ok(known)
    }

    /// The inodes of files in a tree that are mapped at this moment.
    pub(crate) fn now(root: &Path) -> HashSet<u64> {
        Mappings::read().map(|mappings| of_tree(root, &mappings)).unwrap_or_default()
    }

    /// Looks now.
    pub(crate) fn look(&self) -> Result<(), StepError> {
        self.take(&Mappings::read()?)
    }

    /// Adds what of `mappings` lies in the tree; what is new is durable before this returns.
    fn take(&self, mappings: &Mappings) -> Result<(), StepError> {
        let now = of_tree(&self.root, mappings);
        let mut seen = lock(&self.seen);
        let known = seen.ever.len();
        seen.ever.extend(&now);
        (seen.now, seen.refused) = (now, mappings.refused);
        if seen.ever.len() > known { write(&self.notes, &seen.ever) } else { Ok(()) }
    }

    /// The inode numbers of all that is or was mapped.
    pub(crate) fn inodes(&self) -> HashSet<u64> {
        lock(&self.seen).ever.clone()
    }

    /// Processes that the last look could not look at.
    pub(crate) fn refused(&self) -> u64 {
        lock(&self.seen).refused
    }

    /// Forgets what a whole scan did not come across: of what it was begun with, `there` is still in the tree.
    pub(crate) fn retain(&self, before: &HashSet<u64>, there: &HashSet<u64>) -> Result<(), StepError> {
        let mut seen = lock(&self.seen);
        let Seen { ever, now, .. } = &mut *seen;
        let known = ever.len();
        ever.retain(|ino| !before.contains(ino) || there.contains(ino) || now.contains(ino));
        if ever.len() < known { write(&self.notes, ever) } else { Ok(()) }
    }
}

/// The life of the thread that looks between passes: one look for all sides. It holds nothing open between two, so
/// nobody's `umount` is refused for it.
fn look_on() {
    loop {
        std::thread::sleep(EVERY);
        let mut watched = lock(&WATCHED);
        watched.list.retain(|m| m.root.exists() && m.notes.parent().is_some_and(Path::exists));
        if watched.list.is_empty() {
            watched.running = false;
            return;
        }
        let list = watched.list.clone();
        drop(watched);
        let Ok(mappings) = Mappings::read() else { continue };
        for mapped in list {
            // What could not be noted is kept here; the end of the pass looks again and fails where that cannot be noted.
            let _ = mapped.take(&mappings);
        }
    }
}

/// The inode numbers of mapped files that may lie in a tree, or on what is mounted below it. The kernel tells a device
/// that is not stat's on btrfs and overlays, so files that are named below the tree are looked at by that name, too.
fn of_tree(root: &Path, mappings: &Mappings) -> HashSet<u64> {
    let Ok(root) = root.canonicalize() else { return HashSet::new() };
    let own = mounts::own().unwrap_or_default();
    let below = own.iter().filter(|mount| mount.point.starts_with(&root));
    let mut devices: HashSet<(u32, u32)> = below.filter_map(|mount| numbers(&mount.device)).collect();
    if let Ok(stat) = rustix::fs::stat(&root) {
        devices.insert((rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)));
    }
    let location = mounts::location(&own, &root);
    let mut names: Vec<PathBuf> = location.iter().flat_map(|l| mounts::names_of(&own, l)).collect();
    names.push(root);
    let mut found = HashSet::new();
    for mapping in &mappings.list {
        let named = names.iter().any(|name| mapping.path.starts_with(name));
        if named || devices.contains(&mapping.device) {
            found.insert(mapping.ino);
        }
        if named && let Ok(stat) = rustix::fs::lstat(&mapping.path) {
            found.insert(stat.st_ino);
        }
    }
    found
}

/// `major:minor`, decimal.
fn numbers(device: &str) -> Option<(u32, u32)> {
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn read(notes: &Path) -> Result<HashSet<u64>, StepError> {
    let Some(bytes) = beside::read(notes)? else { return Ok(HashSet::new()) };
    let Some(list) = bytes.strip_prefix(MAGIC).filter(|list| list.len().is_multiple_of(8)) else {
        return Err(StepError::permanent(format!("{} is damaged", notes.display()))
            .remedy("remove it; then apply again, and verify with level \"full\""));
    };
    Ok(list.chunks_exact(8).filter_map(|ino| ino.try_into().ok()).map(u64::from_le_bytes).collect())
}

fn write(notes: &Path, inodes: &HashSet<u64>) -> Result<(), StepError> {
    let mut bytes = MAGIC.to_vec();
    let mut sorted: Vec<u64> = inodes.iter().copied().collect();
    sorted.sort_unstable();
    bytes.extend(sorted.into_iter().flat_map(u64::to_le_bytes));
    Ok(segue_contract::paths::replace(notes, &bytes)?)
}
