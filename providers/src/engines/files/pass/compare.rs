//! Comparing what is seen with what the ledger says.

use segue_contract::Side;

use crate::engines::files::meta;
use crate::engines::files::scan::Entry;
use crate::engines::files::tree::{Look, OpenDirs, name_of};
use crate::ledger::{Kind, Print, Record};

/// Whether the side that is read shows a path as the ledger has it, so that its content need not be read.
pub(crate) fn is_unchanged(dirs: &mut OpenDirs<'_>, entry: &Entry, record: &Record, side: Side) -> bool {
    let look = &entry.look;
    if look.kind != record.kind || (look.mode, look.uid, look.gid) != (record.mode, record.uid, record.gid) {
        return false;
    }
    let print = record.print(side);
    if entry.path.is_empty() {
        // The root's times move with the marker; its attributes are looked at when they did.
        return look.ctime == print.ctime || same_xattrs(dirs, &entry.path, record);
    }
    if look.kind == Kind::Dir {
        return same_dir(look, print) && !print.hot;
    }
    look.same_as(print) && !print.hot && entry.first == record.first && (look.nlink > 1) == record.linked
}

fn same_dir(look: &Look, print: &Print) -> bool {
    (look.ino, look.mtime, look.ctime) == (print.ino, print.mtime, print.ctime)
}

fn same_xattrs(dirs: &mut OpenDirs<'_>, path: &[u8], record: &Record) -> bool {
    let xattrs = dirs.parent(path).and_then(|dir| meta::xattrs_at(&dir, name_of(path)));
    xattrs.is_ok_and(|xattrs| xattrs.digest() == record.xattrs)
}

/// How the other side differs from what Segue last saw or wrote there, in a word; `None`: it does not.
/// `Some("times")` is a directory whose entries somebody moved: told by those entries already.
pub(crate) fn differs_from_ledger(
    dirs: &mut OpenDirs<'_>,
    look: &Look,
    record: &Record,
    side: Side,
) -> Option<&'static str> {
    if look.kind != record.kind {
        return Some("type");
    }
    if look.mode != record.mode {
        return Some("mode");
    }
    if (look.uid, look.gid) != (record.uid, record.gid) {
        return Some("owner");
    }
    let print = record.print(side);
    if look.kind == Kind::Dir {
        if look.ctime == print.ctime {
            return None;
        }
        if !same_xattrs(dirs, &record.path, record) {
            return Some("attributes");
        }
        return (look.mtime != record.mtime && !record.path.is_empty()).then_some("times");
    }
    if look.same_as(print) {
        return None;
    }
    Some(match () {
        () if look.size != record.size => "size",
        () if look.mtime != record.mtime => "mtime",
        () if look.ino != print.ino => "replaced",
        () if !same_xattrs(dirs, &record.path, record) => "attributes",
        () => "touched",
    })
}
