//! The bytes of one record: the path as what it shares with the one before and the rest, numbers as
//! varints. A layout of its own: a million records are written and read within a second.

use super::varint::{Cursor, put, put_after, put_bytes};
use super::{Kind, Print, Record, Time};

const LINKED: u8 = 1;
const HAS_FIRST: u8 = 2;
const SOURCE_HOT: u8 = 4;
const TARGET_HOT: u8 = 8;
const HAS_XATTRS: u8 = 16;
/// Blocks of zeros are left out of the hash; not in layout 1.
const BY_BLOCKS: u8 = 32;

pub(super) fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Dir => 1,
        Kind::File => 2,
        Kind::Symlink => 3,
        Kind::Fifo => 4,
        Kind::Char => 5,
        Kind::Block => 6,
        Kind::Gone => 7,
    }
}

fn kind_of(byte: u8) -> Option<Kind> {
    Some(match byte {
        1 => Kind::Dir,
        2 => Kind::File,
        3 => Kind::Symlink,
        4 => Kind::Fifo,
        5 => Kind::Char,
        6 => Kind::Block,
        7 => Kind::Gone,
        _ => return None,
    })
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    put(out, ((time.s << 1) ^ (time.s >> 63)) as u64);
    out.extend_from_slice(&time.ns.to_le_bytes());
}

fn put_print(out: &mut Vec<u8>, print: &Print) {
    put(out, print.ino);
    if print.ino != 0 {
        put(out, print.size);
        put_time(out, print.mtime);
        put_time(out, print.ctime);
    }
}

/// Appends the bytes of `record` to `out`; `before` is the path of the record before it, and becomes this one's.
pub(super) fn encode(record: &Record, before: &mut Vec<u8>, out: &mut Vec<u8>) {
    put_after(out, before, &record.path);
    out.push(kind_byte(record.kind));
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(
        flag(record.linked, LINKED)
            | flag(record.first.is_some(), HAS_FIRST)
            | flag(record.source.hot, SOURCE_HOT)
            | flag(record.target.hot, TARGET_HOT)
            | flag(record.xattrs != 0, HAS_XATTRS)
            | flag(record.kind == Kind::File && !record.plain, BY_BLOCKS),
    );
    put(out, u64::from(record.mode));
    put(out, u64::from(record.uid));
    put(out, u64::from(record.gid));
    put(out, record.size);
    put_time(out, record.mtime);
    put(out, record.rdev);
    if let Some(first) = &record.first {
        put_bytes(out, first);
    }
    if record.kind == Kind::Symlink {
        put_bytes(out, &record.symlink);
    }
    if record.xattrs != 0 {
        out.extend_from_slice(&record.xattrs.to_le_bytes());
    }
    if record.kind == Kind::File {
        out.extend_from_slice(&record.hash.to_le_bytes());
    }
    put(out, record.changed_in);
    put_print(out, &record.source);
    put_print(out, &record.target);
}

impl Cursor<'_> {
    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn time(&mut self) -> Option<Time> {
        let zigzag = self.number()?;
        Some(Time {
            s: (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64),
            ns: u32::from_le_bytes(self.take(4)?.try_into().ok()?),
        })
    }

    fn print(&mut self, hot: bool) -> Option<Print> {
        let ino = self.number()?;
        if ino == 0 {
            return Some(Print::default());
        }
        Some(Print { ino, size: self.number()?, mtime: self.time()?, ctime: self.time()?, hot })
    }
}

/// Reads one record's bytes; `None` when they make no sense.
pub(super) fn decode(bytes: &[u8], before: &mut Vec<u8>) -> Option<Record> {
    let mut from = Cursor(bytes);
    from.after(before)?;
    let kind = kind_of(from.byte()?)?;
    let flags = from.byte()?;
    let has = |bit: u8| flags & bit != 0;
    let record = Record {
        path: before.clone(),
        kind,
        mode: from.small()?,
        uid: from.small()?,
        gid: from.small()?,
        size: from.number()?,
        mtime: from.time()?,
        rdev: from.number()?,
        linked: has(LINKED),
        first: if has(HAS_FIRST) { Some(from.bytes()?.to_vec()) } else { None },
        symlink: if kind == Kind::Symlink { from.bytes()?.to_vec() } else { Vec::new() },
        xattrs: if has(HAS_XATTRS) { from.wide()? } else { 0 },
        hash: if kind == Kind::File { from.wide()? } else { 0 },
        plain: kind == Kind::File && !has(BY_BLOCKS),
        changed_in: from.number()?,
        source: from.print(has(SOURCE_HOT))?,
        target: from.print(has(TARGET_HOT))?,
    };
    from.0.is_empty().then_some(record)
}
