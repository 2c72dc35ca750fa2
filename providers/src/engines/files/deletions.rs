//! Deletions: counted before the first of them is made (protocol P28), and kept aside where they are made on the way back.
//!
//! What vanished at one path and appeared at another with the same inode was renamed, and is no deletion; nor is what the
//! selection leaves out by now. Where a walk hands changes on before it is over, a look ahead counts first.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use segue_contract::paths;
use segue_contract::{
    ArtifactName, DeletionTerms, Deletions, Finding, KeptDeleted, MaxDeletions, Severity, Side, StepError,
};

use super::apply::Tally;
use super::join::{Join, Seen};
use super::keep::{Aside, Put};
use super::put::Hand;
use super::scan::Entry;
use super::select::Chosen;
use super::tree::{Look, failed, printed};
use super::work::Work;
use crate::engines::kept::{has_room, place_of};
use crate::ledger::{Kind, Record, Time, is_below};

/// New paths that are remembered, to tell a rename from a deletion: about 60 bytes each. Beyond it a pass rather asks.
const ARRIVALS_MAX: usize = 1 << 20;

/// What is gone at one path and may have come to another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    kind: Kind,
    /// Size and time of change; nothing for a directory, whose entries move them.
    content: Option<(u64, Time)>,
}

/// A path of the ledger that is not there any more.
struct Departed {
    path: Vec<u8>,
    ino: u64,
    shape: Shape,
}

/// What a walk would delete.
#[derive(Default)]
pub(crate) struct Deleting {
    departed: Vec<Departed>,
    arrivals: HashMap<u64, Shape>,
    /// Paths of the ledger below the root, and those that are no directories.
    known: (u64, u64),
    /// A directory that cannot be read: nothing below it counts as deleted.
    blocked: Option<Vec<u8>>,
}

impl Deleting {
    /// Takes a path in.
    pub(crate) fn see(&mut self, seen: &Seen, read: Side, chosen: &Chosen) {
        if seen.path.is_empty() || self.blocked.as_ref().is_some_and(|dir| is_below(&seen.path, dir)) {
            return;
        }
        let trouble = seen.read.as_ref().is_some_and(|entry| entry.trouble.is_some());
        self.blocked = trouble.then(|| seen.path.clone());
        if trouble {
            return;
        }
        if let Some(record) = seen.record.as_ref().filter(|r| is_chosen(chosen, &r.path, r.kind == Kind::Dir))
        {
            self.known.0 += 1;
            self.known.1 += u64::from(record.kind != Kind::Dir);
            if seen.read.is_none() {
                let ino = record.print(read).ino;
                self.departed.push(Departed {
                    path: record.path.clone(),
                    ino,
                    shape: shape_of(record, read),
                });
            }
        }
        let ino = seen.record.as_ref().map(|record| record.print(read).ino);
        if let Some(entry) = seen.read.as_ref().filter(|entry| ino != Some(entry.look.ino))
            && self.arrivals.len() < ARRIVALS_MAX
        {
            self.arrivals.insert(entry.look.ino, shape_there(entry));
        }
    }

    /// Those that are no renames: all of them, and those that are no directories.
    fn found(&self) -> (Deletions, Deletions) {
        let (mut all, mut leaves) = (Deletions::default(), Deletions::default());
        for gone in &self.departed {
            if gone.ino != 0 && self.arrivals.get(&gone.ino) == Some(&gone.shape) {
                continue;
            }
            all.add(|| printed(&gone.path));
            if gone.shape.kind != Kind::Dir {
                leaves.add(|| printed(&gone.path));
            }
        }
        (all, leaves)
    }

    /// How many would go, of how many.
    pub(crate) fn count(&self) -> (u64, u64) {
        (self.found().0.count, self.known.0)
    }

    /// Stops the pass where that is too much; directories that stay empty are no comfort.
    pub(crate) fn check(&self, terms: &DeletionTerms) -> Result<(), StepError> {
        let (all, leaves) = self.found();
        terms.check(&all, self.known.0)?;
        // Of what is no directory only the last one counts by itself.
        DeletionTerms { max: Some(MaxDeletions::Records(u64::MAX)), ..*terms }.check(&leaves, self.known.1)
    }
}

fn shape_of(record: &Record, read: Side) -> Shape {
    let print = record.print(read);
    Shape { kind: record.kind, content: (record.kind != Kind::Dir).then_some((print.size, print.mtime)) }
}

fn shape_there(entry: &Entry) -> Shape {
    let look = &entry.look;
    Shape { kind: look.kind, content: (look.kind != Kind::Dir).then_some((look.size, look.mtime)) }
}

/// Whether the selection of now takes a path.
fn is_chosen(chosen: &Chosen, path: &[u8], is_dir: bool) -> bool {
    if chosen.is_all() {
        return true;
    }
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut parent = false;
    for above in ends.filter_map(|end| path.get(..end)) {
        if chosen.excludes(above, true) {
            return false;
        }
        parent = chosen.includes(above, true, parent);
    }
    !chosen.excludes(path, is_dir) && chosen.includes(path, is_dir, parent)
}

/// Counts what a walk from `ledger` would delete, in a walk of its own, and stops the pass where that is too much.
pub(crate) fn look_ahead(work: &Work<'_>, ledger: &ArtifactName) -> Result<(), StepError> {
    let mut join = Join::start(work.io, ledger, Some(work.from.clone()), None, &work.chosen, work.threads)?;
    let mut deleting = Deleting::default();
    while let Some(seen) = join.next()? {
        if work.stopping() {
            return Err(StepError::cancelled());
        }
        deleting.see(&seen, work.read, &work.chosen);
    }
    deleting.check(&work.deletions)
}

/// Keeps a path that a reverse pass is about to delete, where there is room.
pub(crate) fn keep(
    hand: &mut Hand<'_>,
    tally: &mut Tally,
    dir: &OwnedFd,
    path: &[u8],
    look: &Look,
) -> Result<(), StepError> {
    let work = hand.work;
    if work.read != Side::Target {
        return Ok(());
    }
    let kept = match &mut tally.kept {
        Some(kept) => kept,
        none => {
            let all = place_of(&work.migration, work.io)?;
            let place = all.join(work.pass.to_string()).to_string_lossy().into_owned();
            none.insert(KeptDeleted { place, ..KeptDeleted::default() })
        }
    };
    let artifacts = work.io.artifacts();
    let aside = Aside { artifacts, below: PathBuf::from(&kept.place) };
    let fits = || has_room(artifacts, look.size);
    match aside.put(&mut hand.copier, &work.to, dir, path, look, Some(&fits)) {
        Ok(Put::Kept(_)) => kept.records += 1,
        Ok(Put::NoRoom) => kept.not_kept += 1,
        Ok(Put::Gone) => {}
        Err(stop) => stop.unless_later()?,
    }
    Ok(())
}

/// Makes what was kept durable, all of it at once, and tells what was not kept.
pub(crate) fn settle(work: &Work<'_>, kept: Option<&KeptDeleted>) -> Result<(), StepError> {
    let Some(kept) = kept else { return Ok(()) };
    if kept.records > 0 {
        let dir = paths::open_with(work.io.artifacts(), std::fs::OpenOptions::new().read(true))?;
        rustix::fs::syncfs(&dir).map_err(|e| failed("sync", work.io.artifacts(), e))?;
    }
    if kept.not_kept == 0 {
        return Ok(());
    }
    let artifacts = work.io.artifacts().display();
    work.io.find(Finding {
        severity: Severity::Warning,
        code: "FILES_NOT_KEPT".to_owned(),
        summary: format!(
            "{} paths that were deleted at {} were not kept aside: there is no room in {artifacts}",
            kept.not_kept,
            work.to.root().display()
        ),
        remedy: "Free room on that file system: what the next reverse passes delete is kept again."
            .to_owned(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use segue_contract::Select;

    use super::*;

    #[test]
    fn what_the_selection_leaves_out_by_now_is_no_deletion() {
        let select = |include: &[&str], exclude: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect();
            Chosen::new(&Select { include: words(include), exclude: words(exclude), ..Select::default() })
                .expect("patterns")
        };
        let all = select(&[], &[]);
        assert!(is_chosen(&all, b"cache/a", false));
        let some = select(&[], &["cache/", "*.tmp"]);
        for (path, chosen) in [("cache/a/b", false), ("x.tmp", false), ("d/x.tmp", false), ("d/x", true)] {
            assert_eq!(is_chosen(&some, path.as_bytes(), false), chosen, "{path}");
        }
        let included = select(&["keep/"], &[]);
        assert!(is_chosen(&included, b"keep/a", false) && !is_chosen(&included, b"else/a", false));
    }
}
