//! Extended attributes, POSIX ACLs among them (they are `system.posix_acl_*`).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use xxhash_rust::xxh3::Xxh3;

/// Names of one file that fit without asking for the size first.
const NAMES: usize = 1024;
/// Free bytes with which a disk is not full: more than any attribute takes.
const ROOM: u64 = 1024 * 1024;
/// Tries when the attributes change while they are read.
const TRIES: usize = 4;

/// All attributes of one path, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

/// Where attributes are: an open file or directory, or a name that cannot be opened (a link, a node).
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Open(&'a OwnedFd),
    At(&'a OwnedFd, &'a [u8]),
}

impl Place<'_> {
    /// The calls without a descriptor take paths only; this one leads through ours.
    fn path(dir: &OwnedFd, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }

    fn list(&self, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, into),
            Self::At(dir, name) => rustix::fs::llistxattr(Self::path(dir, name), into),
        }
    }

    fn get(&self, name: &[u8], into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, into),
            Self::At(dir, at) => rustix::fs::lgetxattr(Self::path(dir, at), name, into),
        }
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::At(dir, at) => rustix::fs::lsetxattr(Self::path(dir, at), name, value, XattrFlags::empty()),
        }
    }

    /// Whether the disk is not what is full.
    fn has_room(&self) -> bool {
        let (Self::Open(fd) | Self::At(fd, _)) = self;
        let room = rustix::fs::fstatvfs(fd);
        room.is_ok_and(|at| at.f_bavail.saturating_mul(at.f_frsize) >= ROOM && at.f_favail > 0)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::At(dir, at) => rustix::fs::lremovexattr(Self::path(dir, at), name),
        }
    }
}

/// Reads all attributes; a file system without any has none.
pub(crate) fn read(place: Place<'_>) -> Result<Xattrs, Errno> {
    let mut small = [0; NAMES];
    match place.list(&mut small) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Xattrs::default()),
        Ok(len) => {
            if let Some(all) = values(place, small.get(..len).unwrap_or_default())? {
                return Ok(all);
            }
        }
        Err(Errno::RANGE) => {}
        Err(e) => return Err(e),
    }
    // The kernel's limit for the names of one file.
    let mut large = vec![0; 64 * 1024];
    for _ in 0..TRIES {
        let len = place.list(&mut large)?;
        if let Some(all) = values(place, large.get(..len).unwrap_or_default())? {
            return Ok(all);
        }
    }
    Err(Errno::AGAIN)
}

/// The values of the listed names; `None` when one is gone by now.
fn values(place: Place<'_>, names: &[u8]) -> Result<Option<Xattrs>, Errno> {
    let mut all = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 256];
        let len = match place.get(name, &mut value) {
            Err(Errno::RANGE) => {
                value.resize(64 * 1024, 0);
                place.get(name, &mut value)
            }
            done => done,
        };
        match len {
            Ok(len) => value.truncate(len),
            Err(Errno::NODATA) => return Ok(None),
            Err(e) => return Err(e),
        }
        all.push((name.to_vec(), value));
    }
    all.sort_unstable();
    Ok(Some(Xattrs(all)))
}

impl Xattrs {
    /// XXH3-128 of names and values; 0 without any.
    pub(crate) fn digest(&self) -> u128 {
        if self.0.is_empty() {
            return 0;
        }
        let mut hash = Xxh3::new();
        for (name, value) in &self.0 {
            for part in [name, value] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        hash.digest128()
    }

    /// Makes `place`, which has `have`, have these. Gives the names that the file system refuses to keep.
    pub(crate) fn apply(&self, place: Place<'_>, have: &Self) -> Result<Vec<String>, Errno> {
        let mut refused = Vec::new();
        for (name, _) in &have.0 {
            if !self.0.iter().any(|(wanted, _)| wanted == name) {
                settle(place, place.remove(name), name, &mut refused)?;
            }
        }
        for (name, value) in &self.0 {
            if !have.0.iter().any(|(n, v)| n == name && v == value) {
                settle(place, place.set(name, value), name, &mut refused)?;
            }
        }
        Ok(refused)
    }
}

fn settle(
    place: Place<'_>,
    done: Result<(), Errno>,
    name: &[u8],
    refused: &mut Vec<String>,
) -> Result<(), Errno> {
    let too_large = match done {
        Ok(()) | Err(Errno::NODATA) => return Ok(()),
        Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => false,
        Err(Errno::TOOBIG | Errno::RANGE) => true,
        // ext4 says so of a value that does not fit into a block.
        Err(Errno::NOSPC) if place.has_room() => true,
        Err(e) => return Err(e),
    };
    let name = String::from_utf8_lossy(name);
    refused.push(if too_large { format!("{name} (too large for it)") } else { name.into_owned() });
    Ok(())
}
