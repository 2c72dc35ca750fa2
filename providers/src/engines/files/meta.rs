//! Owner, mode, attributes and times: set in the order in which one does not undo another (a change of
//! owner clears set-id bits and capabilities, an ACL shows in the mode, everything moves the times).

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use segue_contract::StepError;

use super::put::{Stop, is_displaced};
use super::tree::{Look, Tree};
use super::xattr::{self, Place, Xattrs};
use crate::ledger::{Kind, Time};

/// What of a path could not be settled, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsettled {
    doing: &'static str,
    errno: Errno,
}

impl From<Errno> for Unsettled {
    fn from(errno: Errno) -> Self {
        Self { doing: "change", errno }
    }
}

impl Unsettled {
    /// The same; what is gone by now is for the next look.
    pub(crate) fn stop(self, tree: &Tree, path: &[u8]) -> Stop {
        if is_displaced(self.errno) { Stop::Later } else { Stop::Failed(self.at(tree, path)) }
    }

    /// The error for a path. Root is refused only by file systems that do not keep what was to be set.
    pub(crate) fn at(self, tree: &Tree, path: &[u8]) -> StepError {
        let error = tree.failed(self.doing, path, self.errno);
        if tree.owners && matches!(self.errno, Errno::PERM | Errno::NOSYS | Errno::NOTSUP) {
            return error.remedy(format!(
                "the file system of {} keeps no owners and modes: move to one that does (ext4, xfs, btrfs)",
                tree.root().display()
            ));
        }
        error
    }
}

/// Makes `place` look as `want` with `xattrs`, changing only what differs, and looks at the result.
/// Gives also the attributes that the file system refuses.
pub(crate) fn settle(
    tree: &Tree,
    place: Place<'_>,
    want: &Look,
    xattrs: &Xattrs,
    bare: bool,
) -> Result<(Look, Vec<String>), Unsettled> {
    let before = look(tree, place)?;
    let mut changed = false;
    if tree.owners && (before.uid, before.gid) != (want.uid, want.gid) {
        chown(place, want).map_err(|errno| Unsettled { doing: "change the owner of", errno })?;
        changed = true;
    }
    if want.kind != Kind::Symlink && (before.mode != want.mode || changed) {
        chmod(place, want.mode).map_err(|errno| Unsettled { doing: "change the mode of", errno })?;
        changed = true;
    }
    // What was just made outside of any default ACL has none yet.
    let have = if bare { Xattrs::default() } else { xattr::read(place)? };
    let mut refused = Vec::new();
    if have != *xattrs {
        refused = xattrs.apply(place, &have)?;
        changed = true;
    }
    if before.mtime != want.mtime {
        set_times(place, want)?;
        changed = true;
    }
    let after = if changed { look(tree, place)? } else { before };
    // Some file systems take what they do not keep.
    if tree.owners && want.kind != Kind::Symlink && after.mode != want.mode {
        return Err(Unsettled { doing: "change the mode of", errno: Errno::NOTSUP });
    }
    if tree.owners && (after.uid, after.gid) != (want.uid, want.gid) {
        return Err(Unsettled { doing: "change the owner of", errno: Errno::NOTSUP });
    }
    Ok((after, refused))
}

/// What is at a place.
pub(crate) fn look(tree: &Tree, place: Place<'_>) -> Result<Look, Errno> {
    let stat = match place {
        Place::Open(fd) => rustix::fs::fstat(fd)?,
        Place::At(dir, name) => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?,
    };
    Look::of(&stat, tree.owners).ok_or(Errno::INVAL)
}

fn chown(place: Place<'_>, want: &Look) -> Result<(), Errno> {
    let (owner, group) = (Some(Uid::from_raw(want.uid)), Some(Gid::from_raw(want.gid)));
    match place {
        Place::Open(fd) => rustix::fs::fchown(fd, owner, group),
        Place::At(dir, name) => rustix::fs::chownat(dir, name, owner, group, AtFlags::SYMLINK_NOFOLLOW),
    }
}

fn chmod(place: Place<'_>, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match place {
        Place::Open(fd) => rustix::fs::fchmod(fd, mode),
        Place::At(dir, name) => rustix::fs::chmodat(dir, name, mode, AtFlags::empty()),
    }
}

/// Sets the times.
pub(crate) fn set_times(place: Place<'_>, want: &Look) -> Result<(), Errno> {
    let spec = |time: Time| Timespec { tv_sec: time.s, tv_nsec: i64::from(time.ns) };
    let times = Timestamps { last_access: spec(want.atime), last_modification: spec(want.mtime) };
    match place {
        Place::Open(fd) => rustix::fs::futimens(fd, &times),
        Place::At(dir, name) => rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW),
    }
}

/// The attributes of a name in an open directory, opened for it where that is possible.
pub(crate) fn xattrs_at(dir: &OwnedFd, name: &[u8]) -> Result<Xattrs, Errno> {
    xattr::read(Place::At(dir, name))
}
