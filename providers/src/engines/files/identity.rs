//! Which directory a side is, and the proof of it (protocol P27).
//!
//! A path is no identity: once a file system is not mounted any more, its path leads to the empty directory below it.
//! Nor is a marker that lies beside a mount point. What the kernel says of the root is noted when a side is loaded: the
//! kind of its file system, its inode and when that was made. It is asked through the very descriptor that the engine reads
//! and writes by. Where that could be the same of another one (the root of every ext4 has inode 2; other file systems
//! number inodes anew each time), the root also gets a small file with a random name for itself, [`IDENTITY`]. Where Segue
//! may not write, and where somebody took that file away, what the kernel says has to do.
//!
//! Device numbers are not compared, for they change with the order in which disks are found. Nor is the id of a file system
//! whose kernel makes that of the device number (xfs, exfat, vfat, f2fs). ext, btrfs and zfs make it of what is on the
//! disk. Without the file it is needed: two file systems that were made in one second have roots of one age.
//!
//! A proof also looks whether the path still leads to that descriptor. A tree that was moved away, or unmounted
//! lazily, can still be read through it, but is not what clients see.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use segue_contract::paths::{self, PathError};
use segue_contract::{Side, StepError, StepIo, UnitJob};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::made::Temporaries;
use super::tree::{Tree, failed};
use crate::engines::beside;

/// The file at a root that names it.
pub(crate) const IDENTITY: &str = ".segue-marker.id";
/// The same before it is whole.
pub(crate) const UNFINISHED: &str = ".segue-marker.id.new";
/// The layout of [`Known`].
const VERSION: u32 = 1;
/// Hexadecimal digits of a name.
const DIGITS: usize = 32;
/// File systems whose inode numbers and birth times stay: ext, xfs, btrfs, f2fs, zfs, bcachefs, nfs, tmpfs.
const LASTING: [u64; 8] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0xCA45_1A4E, 0x6969, 0x0102_1994];

/// File systems whose id (statfs) is on the disk: ext, btrfs, zfs.
const LASTING_ID: [u64; 3] = [0xEF53, 0x9123_683E, 0x2FC1_2FC1];

/// What a root is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// What [`IDENTITY`] holds; `None`: it could not be written.
    name: Option<String>,
    /// The magic number of the file system's kind.
    file_system: u64,
    /// Its id.
    id: u64,
    /// The root's inode.
    inode: u64,
    /// When that was made, in seconds and nanoseconds.
    born: Option<(i64, u32)>,
    /// Whether a file system is mounted there; `None`: an old kernel does not say.
    mounted: Option<bool>,
}

/// Both sides as this state knows them, on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    version: u32,
    #[serde(default)]
    source: Option<Identity>,
    #[serde(default)]
    target: Option<Identity>,
}

impl Known {
    fn side(&self, side: Side) -> Option<&Identity> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Target => self.target.as_ref(),
        }
    }

    fn set(&mut self, side: Side, identity: Identity) {
        match side {
            Side::Source => self.source = Some(identity),
            Side::Target => self.target = Some(identity),
        }
    }
}

/// What a tree must be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The endpoint's address.
    address: String,
    identity: Option<Identity>,
    /// Where that is noted.
    noted: PathBuf,
    /// Whether the file may be missing: Segue takes it away before what it made.
    leaving: bool,
}

/// Both sides of a unit: opened, proven, and made known.
pub(crate) struct Sides<'a> {
    job: &'a UnitJob,
    io: &'a dyn StepIo,
    path: PathBuf,
    known: Known,
    leaving: bool,
}

impl<'a> Sides<'a> {
    /// Reads what is known.
    pub(crate) fn of(job: &'a UnitJob, io: &'a dyn StepIo) -> Result<Self, StepError> {
        let key = format!("{}\n{}", job.migration, job.unit);
        let path = io.artifacts().join(format!("identities-{:032x}", xxh3_128(key.as_bytes())));
        let known = match beside::read(&path)? {
            Some(bytes) => parse(&path, &bytes)?,
            None => Known::default(),
        };
        Ok(Self { job, io, path, known, leaving: false })
    }

    /// To look at them. Before the first load nothing is known; what there may be is of an earlier migration.
    pub(crate) fn to_look(job: &'a UnitJob, io: &'a dyn StepIo) -> Result<Self, StepError> {
        if job.ledger.is_some() { Self::of(job, io) } else { Self::anew(job, io) }
    }

    /// Both sides as they are before a first load: whatever was known is of an earlier one.
    pub(crate) fn anew(job: &'a UnitJob, io: &'a dyn StepIo) -> Result<Self, StepError> {
        Ok(Self { known: Known::default(), ..Self::of(job, io)? })
    }

    /// To take away what Segue made: the files that name the roots may be gone already.
    pub(crate) fn leaving(job: &'a UnitJob, io: &'a dyn StepIo) -> Result<Self, StepError> {
        Ok(Self { leaving: true, ..Self::of(job, io)? })
    }

    /// Whether it is known what a side is.
    pub(crate) fn knows(&self, side: Side) -> bool {
        self.known.side(side).is_some()
    }

    /// Opens a side, to look at it, and proves it.
    pub(crate) fn open(&self, side: Side) -> Result<Tree, StepError> {
        let block = self.block(side);
        let expected = Expected {
            address: block.address.to_string(),
            identity: self.known.side(side).cloned(),
            noted: self.path.clone(),
            leaving: self.leaving,
        };
        let root = block.path("path")?;
        let tree = match Tree::open(root) {
            Err(error) if self.knows(side) && is_absent(root) => {
                return Err(error.remedy(mend(root, &self.path)));
            }
            opened => opened?.expecting(expected, Temporaries::of(self.io.artifacts(), self.job, side)?),
        };
        tree.prove()?;
        Ok(tree)
    }

    /// Opens both sides, to look at them: the one that is read, and the other.
    pub(crate) fn open_both(&self) -> Result<(Tree, Tree), StepError> {
        let from = self.job.direction.from();
        Ok((self.open(from)?, self.open(from.other())?))
    }

    /// The same to carry: what was not known of them is, from here on.
    pub(crate) fn open_known(&mut self) -> Result<(Tree, Tree), StepError> {
        let from = self.job.direction.from();
        let (mut reads, mut writes) = self.open_both()?;
        let before = serde_json::to_vec(&self.known).unwrap_or_default();
        for (side, tree) in [(from, &mut reads), (from.other(), &mut writes)] {
            let other = self.known.side(side.other()).and_then(|other| other.name.clone());
            let known = self.known.side(side).cloned();
            if known.as_ref().is_some_and(|known| known.name.is_some() && known.name == named(tree.fd())) {
                continue;
            }
            let look = |name| Identity::of(tree.fd(), name).map_err(|e| tree.failed("look at", b"", e));
            let mut identity = look(known.and_then(|known| known.name))?;
            if identity.name.is_some() || identity.needs_name() {
                let name = name_root(tree.fd(), identity.name.clone(), other.as_deref());
                // On some file systems the file's making makes the root another inode.
                identity = look(name.or(identity.name))?;
            }
            tree.expect(identity.clone());
            self.known.set(side, identity);
        }
        self.known.version = VERSION;
        let now = serde_json::to_vec(&self.known)
            .map_err(|e| StepError::permanent("cannot encode what the sides are").because(e))?;
        if now != before || beside::read(&self.path)?.is_none() {
            paths::replace(&self.path, &now)?;
        }
        Ok((reads, writes))
    }

    /// Forgets what they are.
    pub(crate) fn forget(&self) -> Result<(), StepError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(PathError::new("remove", &self.path, e).into())
            }
            _ => Ok(()),
        }
    }

    fn block(&self, side: Side) -> &'a segue_contract::BlockRef {
        match side {
            Side::Source => &self.job.source,
            Side::Target => &self.job.target,
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Known, StepError> {
    let known: Known = serde_json::from_slice(bytes).map_err(|e| {
        StepError::permanent(format!("{} is damaged: it says what the sides are", path.display()))
            .because(e)
            .remedy("look that both sides are mounted, remove that file, and run the same command again")
    })?;
    if known.version > VERSION {
        return Err(StepError::permanent(format!(
            "{} has layout {}, and this version reads {VERSION}",
            path.display(),
            known.version
        ))
        .remedy("run the version of segue that wrote it, or a later one"));
    }
    Ok(known)
}

fn is_absent(root: &Path) -> bool {
    matches!(rustix::fs::stat(root), Err(Errno::NOENT | Errno::NOTDIR))
}

fn mend(root: &Path, noted: &Path) -> String {
    format!(
        "nothing is read from what is there, and nothing deleted: mount its file system again, or bring the directory back \
         (`findmnt -T {}` shows what is mounted there), then run the same command again. If a copy of it was put there on \
         purpose, remove {} first",
        root.display(),
        noted.display()
    )
}

impl Expected {
    /// What a tree must be from here on.
    pub(crate) fn set(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Proves that `fd`, which `root` is to lead to, is what was expected.
    pub(crate) fn prove(&self, root: &Path, fd: &OwnedFd) -> Result<(), StepError> {
        let held = rustix::fs::fstat(fd).map_err(|e| failed("look at", root, e))?;
        match rustix::fs::stat(root) {
            Ok(there) if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino) => {}
            Ok(_) => return Err(self.mismatch(root, "another directory is in its place by now")),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(self.mismatch(root, "its path leads nowhere by now"));
            }
            Err(e) => return Err(failed("look at", root, e)),
        }
        let found = Identity::of(fd, named(fd)).map_err(|e| failed("look at", root, e))?;
        match &self.identity {
            Some(known) if !known.is(&found, self.leaving) => {
                Err(self.mismatch(root, &format!("this state knows it as {known}, and there is {found} now")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn mismatch(&self, root: &Path, why: &str) -> StepError {
        let what = format!("{} is not what it was: {}: {why}", self.address, root.display());
        StepError::permanent(what).remedy(mend(root, &self.noted))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, file_system, id: _, inode, born: _, mounted } = self;
        write!(f, "inode {inode} of a file system of kind {file_system:#x}")?;
        if *mounted == Some(true) {
            f.write_str(", mounted there")?;
        }
        match name {
            Some(name) => write!(f, ", with {IDENTITY} {}", name.get(..8).unwrap_or(name)),
            None => write!(f, ", without {IDENTITY}"),
        }
    }
}

impl Identity {
    fn of(fd: &OwnedFd, name: Option<String>) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(fd)?;
        let file_system = rustix::fs::fstatfs(fd)?.f_type as u64;
        let more = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
        let born = more.filter(|more| more.stx_mask & StatxFlags::BTIME.bits() != 0);
        let born = born.map(|more| (more.stx_btime.tv_sec, more.stx_btime.tv_nsec));
        let mounted = more
            .filter(|more| more.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT))
            .map(|more| more.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        let id = rustix::fs::fstatvfs(fd)?.f_fsid;
        Ok(Self { name, file_system, id, inode: stat.st_ino, born, mounted })
    }

    /// Whether what the kernel says could be the same of another root.
    fn needs_name(&self) -> bool {
        self.mounted != Some(false) || !self.is_lasting()
    }

    fn is_lasting(&self) -> bool {
        LASTING.contains(&self.file_system)
    }

    /// Whether `found` is what is known here.
    fn is(&self, found: &Self, leaving: bool) -> bool {
        match (&self.name, &found.name) {
            (Some(known), Some(found)) => known == found,
            // Somebody removed the file, and nothing else.
            (Some(_), None) if !leaving => {
                self.id == found.id
                    && self.born.is_some()
                    && self.born == found.born
                    && self.is_same_inode(found)
            }
            (Some(_) | None, _) if self.is_lasting() => self.is_same_inode(found),
            // Inode numbers of other file systems are of one mount only.
            (Some(_) | None, _) => self.file_system == found.file_system && self.mounted == found.mounted,
        }
    }

    fn is_same_inode(&self, found: &Self) -> bool {
        let born = self.born.is_none() || found.born.is_none() || self.born == found.born;
        let id = !LASTING_ID.contains(&self.file_system) || self.id == found.id;
        (self.file_system, self.inode) == (found.file_system, found.inode) && born && id
    }
}

/// What the file at a root says; `None`: there is none, or it is none of Segue's.
fn named(root: &OwnedFd) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(root, IDENTITY, flags, Mode::empty()).ok()?;
    let mut bytes = [0; DIGITS];
    let read = rustix::io::pread(&file, &mut bytes, 0).ok()?;
    let name = std::str::from_utf8(bytes.get(..read)?).ok()?;
    (name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| name.to_owned())
}

/// Takes away the file that names a root.
pub(crate) fn remove_name(tree: &Tree) -> Result<(), StepError> {
    match rustix::fs::unlinkat(tree.fd(), IDENTITY, AtFlags::empty()) {
        // Its file system may be read-only for good: the file means nothing to anybody else.
        Ok(()) | Err(Errno::NOENT | Errno::ROFS) => Ok(()),
        Err(e) => Err(tree.failed("remove", IDENTITY.as_bytes(), e)),
    }
}

/// Names a root by what is `known` of it, by what it is named already, or anew; `other`: what the other side is named,
/// for one that was copied with its name is not that one. `None`: it cannot be written to.
fn name_root(root: &OwnedFd, known: Option<String>, other: Option<&str>) -> Option<String> {
    // Two migrations may have one source.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |name: &String| Some(name.as_str()) != other;
    if let Some(there) = named(root).filter(is_free) {
        return Some(there);
    }
    let name = match known.filter(is_free) {
        Some(known) => known,
        None => {
            let mut random = [0_u8; DIGITS / 2];
            rustix::io::retry_on_intr(|| getrandom(&mut random, GetRandomFlags::empty())).ok()?;
            random.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };
    write_name(root, &name).ok()?;
    Some(name)
}

fn write_name(root: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(root, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, UNFINISHED, flags, Mode::from_raw_mode(0o644))?;
    let written = rustix::io::write(&file, name.as_bytes())
        .and_then(|len| if len == name.len() { Ok(()) } else { Err(Errno::NOSPC) })
        .and_then(|()| rustix::fs::fsync(&file))
        .and_then(|()| rustix::fs::renameat_with(root, UNFINISHED, root, IDENTITY, RenameFlags::empty()))
        .and_then(|()| rustix::fs::fsync(root));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(root, UNFINISHED, AtFlags::empty());
    }
    written
}
