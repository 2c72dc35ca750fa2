//! Which path became which: the same inode, with the content's fingerprint unchanged.

use std::collections::HashMap;

use segue_contract::StepError;

use crate::engines::files::apply::Change;
use crate::engines::files::scan::Entry;
use crate::engines::files::work::Work;
use crate::ledger::{Kind, Record};

/// A path of the ledger, and the path that has its inode now.
pub(super) struct Edge<'a> {
    pub(super) record: &'a Record,
    pub(super) entry: &'a Entry,
}

/// All renames among changes. Each path is at most once at each end.
pub(super) fn find<'a>(work: &Work<'_>, held: &'a [Change]) -> Result<Vec<Edge<'a>>, StepError> {
    let root = work.from.look(b"").map_err(|e| work.from.failed("look at", b"", e))?;
    let Some(root) = root else { return Ok(Vec::new()) };
    // An inode that two records claim tells nothing.
    let mut departed: HashMap<u64, Option<&Record>> = HashMap::new();
    for record in held.iter().filter_map(|change| departure(work, change)) {
        let of = departed.entry(record.print(work.read).ino);
        of.and_modify(|other| *other = None).or_insert(Some(record));
    }
    let arrivals = held.iter().filter_map(|change| arrival(work, change));
    let edges = arrivals.filter_map(|entry| {
        let record = departed.get_mut(&entry.look.ino)?.take()?;
        let print = record.print(work.read);
        let look = &entry.look;
        let same = look.dev == root.dev
            && look.kind == record.kind
            && (look.kind == Kind::Dir || (look.size, look.mtime) == (print.size, print.mtime));
        same.then_some(Edge { record, entry })
    });
    Ok(edges.collect())
}

/// The record of a path that has another inode now, or none.
fn departure<'a>(work: &Work<'_>, change: &'a Change) -> Option<&'a Record> {
    let record = change.old.as_ref()?;
    let ino = record.print(work.read).ino;
    let stays = change.new.as_ref().is_some_and(|entry| entry.look.ino == ino);
    let alone = !record.linked && record.first.is_none();
    (!change.force && alone && ino != 0 && !stays && !record.path.is_empty()).then_some(record)
}

/// The entry of a path that had another inode in the ledger, or none.
fn arrival<'a>(work: &Work<'_>, change: &'a Change) -> Option<&'a Entry> {
    let entry = change.new.as_ref()?;
    let ino = change.old.as_ref().map(|record| record.print(work.read).ino);
    let alone = entry.first.is_none() && (entry.look.kind == Kind::Dir || entry.look.nlink < 2);
    (!change.force && alone && entry.trouble.is_none() && ino != Some(entry.look.ino)).then_some(entry)
}
