//! Listing one directory: names by getdents, sorted, then a stat each, in pieces that workers share.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;

use super::{Entry, Node};
use crate::engines::files::select::Chosen;
use crate::engines::files::tree::{Look, Tree, is_own};
use crate::ledger::{Kind, Time};

/// Names of a large directory that one piece of work stats.
const PIECE: usize = 2048;
/// See lost+found(8) of e2fsprogs' mklost+found.
const LOST_FOUND: &[u8] = b"lost+found";
/// The buffer of one getdents call.
const DENTS: usize = 32 * 1024;

/// What a node stands for.
pub(super) enum Work {
    /// A directory by its path.
    Dir(Vec<u8>),
    /// Later names of a large directory.
    Rest(Arc<Names>, usize),
}

/// The sorted names of a directory that is too large for one piece.
pub(super) struct Names {
    path: Vec<u8>,
    dir: OwnedFd,
    /// Names, each with its zero.
    text: Vec<u8>,
    /// Where each starts and ends (the zero included), sorted by name.
    spans: Vec<(u32, u32)>,
}

/// What listing gave.
pub(super) struct Listed {
    pub(super) entries: Vec<(Entry, Option<Arc<Node>>)>,
    pub(super) next: Option<Arc<Node>>,
    pub(super) sockets: u64,
    pub(super) leftovers: Vec<Vec<u8>>,
}

/// Lists a node.
pub(super) fn list(tree: &Tree, chosen: &Chosen, work: &Work) -> Result<Listed, Errno> {
    match work {
        Work::Dir(path) => {
            let mut listed = Listed { entries: Vec::new(), next: None, sockets: 0, leftovers: Vec::new() };
            let names = read_names(tree, path, &mut listed)?;
            stat_piece(tree, chosen, &Arc::new(names), 0, listed)
        }
        Work::Rest(names, from) => {
            let listed = Listed { entries: Vec::new(), next: None, sockets: 0, leftovers: Vec::new() };
            stat_piece(tree, chosen, names, *from, listed)
        }
    }
}

fn read_names(tree: &Tree, path: &[u8], listed: &mut Listed) -> Result<Names, Errno> {
    let dir = tree.open_dir(path)?;
    let mut text = Vec::new();
    let mut spans = Vec::new();
    let mut buffer = Vec::with_capacity(DENTS);
    let mut dents = RawDir::new(&dir, buffer.spare_capacity_mut());
    while let Some(dent) = dents.next() {
        let dent = dent?;
        let name = dent.file_name().to_bytes_with_nul();
        let bare = dent.file_name().to_bytes();
        if bare == b"." || bare == b".." {
            continue;
        }
        if is_own(path, bare) {
            continue;
        }
        if dent.file_type() == FileType::Socket {
            listed.sockets += 1;
            continue;
        }
        let from = u32::try_from(text.len()).map_err(|_| Errno::OVERFLOW)?;
        text.extend_from_slice(name);
        spans.push((from, from + name.len() as u32));
    }
    // The zero at the end sorts below every byte of a name.
    spans.sort_unstable_by(|a, b| text.get(range(*a)).cmp(&text.get(range(*b))));
    Ok(Names { path: path.to_vec(), dir, text, spans })
}

fn range((from, to): (u32, u32)) -> std::ops::Range<usize> {
    from as usize..to as usize
}

pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    if !dir.is_empty() {
        path.extend_from_slice(dir);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn stat_piece(
    tree: &Tree,
    chosen: &Chosen,
    names: &Arc<Names>,
    from: usize,
    mut listed: Listed,
) -> Result<Listed, Errno> {
    let to = names.spans.len().min(from + PIECE);
    listed.entries.reserve(to - from);
    for span in names.spans.get(from..to).unwrap_or_default() {
        let name = names.text.get(range(*span)).unwrap_or_default();
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
        let path = join(&names.path, name.to_bytes());
        let entry = match rustix::fs::statat(&names.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match Look::of(&stat, tree.owners) {
                Some(look) if tree.is_temporary(&path, &look) => {
                    listed.leftovers.push(path);
                    continue;
                }
                Some(look) => Entry { path, look, first: None, trouble: None },
                None => {
                    listed.sockets += 1;
                    continue;
                }
            },
            Err(Errno::NOENT) => continue,
            Err(e) => {
                Entry { path, look: UNKNOWN, first: None, trouble: Some(format!("cannot look at it: {e}")) }
            }
        };
        let is_dir = entry.look.kind == Kind::Dir;
        if is_dir && is_empty_lost_found(tree, &entry.path) {
            continue;
        }
        if !chosen.is_all() && chosen.excludes(&entry.path, is_dir) {
            continue;
        }
        let node = is_dir.then(|| Arc::new(Node::new(Work::Dir(entry.path.clone()))));
        listed.entries.push((entry, node));
    }
    if to < names.spans.len() {
        listed.next = Some(Arc::new(Node::new(Work::Rest(Arc::clone(names), to))));
    }
    Ok(listed)
}

/// What mkfs makes at the root of a file system is data only when something was found.
fn is_empty_lost_found(tree: &Tree, path: &[u8]) -> bool {
    path == LOST_FOUND
        && tree.open_dir(path).is_ok_and(|dir| {
            let mut buffer = Vec::with_capacity(DENTS);
            let mut dents = RawDir::new(&dir, buffer.spare_capacity_mut());
            std::iter::from_fn(|| dents.next().map(|dent| dent.map(|d| d.file_name().to_bytes().to_vec())))
                .all(|name| name.is_ok_and(|name| name == b"." || name == b".."))
        })
}

/// Stands for what could not be looked at.
const UNKNOWN: Look = Look {
    kind: Kind::File,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: Time { s: 0, ns: 0 },
    atime: Time { s: 0, ns: 0 },
    ctime: Time { s: 0, ns: 0 },
    ino: 0,
    dev: 0,
    nlink: 1,
    rdev: 0,
    blocks: 0,
};
