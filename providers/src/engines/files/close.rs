//! Closing a load or pass: the written side is made durable, and the ledger with it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use segue_contract::{ArtifactName, Side, StepError, StepIo};

use super::clock;
use super::put::is_displaced;
use super::tree::{OpenDirs, Tree, name_of};
use crate::ledger::{Kind, LedgerReader, LedgerWriter, PartReader, Print, Record, is_below};

/// What the new ledger is made of.
pub(crate) struct Merge<'a> {
    pub(crate) io: &'a dyn StepIo,
    pub(crate) to: &'a Arc<Tree>,
    pub(crate) write: Side,
    pub(crate) pass: u64,
    pub(crate) old: Option<&'a ArtifactName>,
    pub(crate) part: &'a Path,
    /// Look again at every file with several names, not only at those that were carried.
    pub(crate) relook: bool,
    /// Directories whose attributes the written side does not keep: every pass looks at them again.
    pub(crate) lacking: &'a HashSet<Vec<u8>>,
}

/// Makes everything written so far on the written side durable.
pub(crate) fn sync(to: &Tree, mounts: &[Vec<u8>]) -> Result<(), StepError> {
    rustix::fs::syncfs(to.fd()).map_err(|e| to.failed("sync", b"", e))?;
    for path in mounts {
        let Ok(dir) = to.open_dir(path) else { continue };
        rustix::fs::syncfs(&dir).map_err(|e| to.failed("sync", path, e))?;
    }
    Ok(())
}

impl Merge<'_> {
    /// Writes the ledger: the old one with what the partial one changes. Directories, and files with
    /// several names, are looked at once more: other paths' changes moved their times.
    pub(crate) fn run(&self) -> Result<ArtifactName, StepError> {
        let mut old = match self.old {
            Some(name) => Some(LedgerReader::open(self.io.artifacts(), name)?),
            None => None,
        };
        let mut part = PartReader::open(self.part, None)?;
        let mut writer = LedgerWriter::create(self.io.artifacts(), self.pass)?;
        let mut dirs = OpenDirs::new(self.to);
        let mut ours = next(&mut old)?;
        let mut new = part.next_record()?;
        loop {
            let order = match (&ours, &new) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => crate::ledger::compare_paths(&a.path, &b.path),
            };
            if order.is_lt() {
                if let Some(mut record) = ours.take() {
                    if self.relook && record.linked {
                        self.look_again(&mut dirs, &mut record)?;
                    }
                    writer.push(&record)?;
                }
                ours = next(&mut old)?;
                continue;
            }
            let replaced = if order.is_eq() { ours.take() } else { None };
            let was_linked = replaced.as_ref().is_some_and(|old| old.linked);
            if let Some(was) = &replaced {
                ours = next(&mut old)?;
                // What was below a directory went with it.
                let is_dir = new.as_ref().is_some_and(|new| new.kind == Kind::Dir);
                while was.kind == Kind::Dir
                    && !is_dir
                    && ours.as_ref().is_some_and(|o| is_below(&o.path, &was.path))
                {
                    ours = next(&mut old)?;
                }
            }
            if let Some(mut record) = new.take()
                && record.kind != Kind::Gone
            {
                if record.kind == Kind::Dir || record.linked || was_linked {
                    self.look_again(&mut dirs, &mut record)?;
                }
                if self.lacking.contains(&record.path) {
                    record.set_print(self.write.other(), Print::default());
                }
                writer.push(&record)?;
            }
            new = part.next_record()?;
        }
        Ok(writer.finish()?)
    }

    fn look_again(&self, dirs: &mut OpenDirs<'_>, record: &mut Record) -> Result<(), StepError> {
        let path = &record.path;
        let look = dirs.parent(path).and_then(|dir| self.to.look_at(&dir, name_of(path)));
        match look {
            Ok(Some(look)) => {
                let was = *record.print(self.write);
                // A file that somebody changed since it was written keeps the print of what was written.
                if record.kind == Kind::Dir
                    || (was.ino, was.size, was.mtime) == (look.ino, look.size, look.mtime)
                {
                    record.set_print(self.write, look.print_written(clock::now()));
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(e) if is_displaced(e) => Ok(()),
            Err(e) => Err(self.to.failed("look at", path, e)),
        }
    }
}

fn next(old: &mut Option<LedgerReader>) -> Result<Option<Record>, StepError> {
    match old {
        Some(old) => Ok(old.next_record()?),
        None => Ok(None),
    }
}
