//! Abandoning: what Segue made at the declared target, and nobody has touched since, is removed.

use rustix::fs::AtFlags;
use rustix::io::Errno;
use segue_contract::{Finding, Severity, Side, StepError, StepIo, UnitJob};

use super::identity::{self, Sides};
use super::put::is_untouched;
use super::scan::Scan;
use super::select::Chosen;
use super::tree::{MARKER, OpenDirs, Tree, name_of, printed, split};
use super::work::threads;
use crate::engines::beside::side_file;
use crate::engines::report::Bounded;
use crate::ledger::{Kind, LedgerReader, PartReader, Record, compare_paths, is_below};

/// Paths that a finding names.
const NAMED: usize = 10;

/// Where the records come from: the ledger, or what a load that never ended had recorded.
enum Records {
    Ledger(Box<LedgerReader>),
    Part(Box<PartReader>),
    None,
}

impl Records {
    fn next(&mut self) -> Result<Option<Record>, StepError> {
        match self {
            Self::Ledger(ledger) => Ok(ledger.next_record()?),
            // What its end is worth nobody vouches for.
            Self::Part(part) => Ok(part.next_record().unwrap_or(None)),
            Self::None => Ok(None),
        }
    }
}

struct Release<'a> {
    tree: &'a Tree,
    dirs: OpenDirs<'a>,
    /// Where a load that never ended copied from: it recorded what it had done only now and then.
    copied_from: Option<&'a Tree>,
    /// Directories to remove once what is below them is gone.
    open: Vec<Vec<u8>>,
    left: Bounded<String>,
    /// Whether the tree was proven again before something was removed (protocol P27).
    proven: bool,
}

/// See [`segue_contract::Engine::release`].
pub(crate) fn release(job: &UnitJob, made_root: bool, io: &dyn StepIo) -> Result<(), StepError> {
    let root = job.target.path("path")?;
    if matches!(rustix::fs::lstat(root), Err(Errno::NOENT)) {
        return Ok(());
    }
    let sides = Sides::leaving(job, io)?;
    let tree = std::sync::Arc::new(sides.open(Side::Target)?);
    let chosen = std::sync::Arc::new(Chosen::new(&job.select)?);
    let part = side_file(io.artifacts(), "part", job);
    let mut records = match &job.ledger {
        Some(name) => Records::Ledger(Box::new(LedgerReader::open(io.artifacts(), name)?)),
        None => PartReader::open(&part, None).map_or(Records::None, |part| Records::Part(Box::new(part))),
    };
    let mut scan = Scan::start(&tree, chosen, threads(job))?;
    let source = match &job.ledger {
        Some(_) => None,
        None => sides.open(Side::Source).ok(),
    };
    let mut release = Release {
        tree: &tree,
        dirs: OpenDirs::new(&tree),
        copied_from: source.as_ref(),
        open: Vec::new(),
        left: Bounded::default(),
        proven: false,
    };
    let mut record = records.next()?;
    while let Some(entry) = scan.next()? {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        while record.as_ref().is_some_and(|record| compare_paths(&record.path, &entry.path).is_lt()) {
            record = records.next()?;
        }
        let known = record.as_ref().filter(|record| record.path == entry.path);
        release.one(&entry.path, &entry.look, known)?;
    }
    for path in &scan.aside.leftovers {
        release.unlink(path)?;
    }
    while let Some(dir) = release.open.pop() {
        release.remove_dir(&dir)?;
    }
    let left = release.left;
    tree.prove()?;
    tell(&tree, &left, io);
    identity::remove_name(&tree)?;
    if made_root && left.total == 0 {
        remove_root(&tree)?;
    }
    let _ = std::fs::remove_file(part);
    sides.forget()
}

/// See [`segue_contract::Engine::tidy`].
pub(crate) fn tidy(job: &UnitJob, io: &dyn StepIo) -> Result<u64, StepError> {
    let root = job.writes().path("path")?;
    if matches!(rustix::fs::lstat(root), Err(Errno::NOENT)) {
        return Ok(0);
    }
    let sides = Sides::leaving(job, io)?;
    let tree = std::sync::Arc::new(sides.open(job.direction.from().other())?);
    let chosen = std::sync::Arc::new(Chosen::new(&job.select)?);
    let mut scan = Scan::start(&tree, chosen, threads(job))?;
    while scan.next()?.is_some() {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
    }
    let mut release = Release {
        tree: &tree,
        dirs: OpenDirs::new(&tree),
        copied_from: None,
        open: Vec::new(),
        left: Bounded::default(),
        proven: false,
    };
    for path in &scan.aside.leftovers {
        release.unlink(path)?;
    }
    Ok(scan.aside.leftovers.len() as u64)
}

impl Release<'_> {
    fn one(
        &mut self,
        path: &[u8],
        look: &super::tree::Look,
        known: Option<&Record>,
    ) -> Result<(), StepError> {
        while self.open.last().is_some_and(|dir| !is_below(path, dir)) {
            if let Some(dir) = self.open.pop() {
                self.remove_dir(&dir)?;
            }
        }
        if path.is_empty() {
            return Ok(());
        }
        match known {
            Some(record) if look.kind == Kind::Dir && record.kind == Kind::Dir => {
                self.open.push(path.to_vec());
            }
            Some(record) if is_ours(look, record) => self.unlink(path)?,
            Some(_) => self.left.push(format!("{} (changed since)", printed(path))),
            None if self.is_copy(path, look) && look.kind == Kind::Dir => self.open.push(path.to_vec()),
            None if self.is_copy(path, look) => self.unlink(path)?,
            None => self.left.push(format!("{} (not Segue's)", printed(path))),
        }
        Ok(())
    }

    /// Whether a path is what a load that died had put there: the source still has the same. A directory that Segue did
    /// not make holds what it did not make, and stays with it.
    fn is_copy(&self, path: &[u8], look: &super::tree::Look) -> bool {
        let Some(source) = self.copied_from else { return false };
        let Ok(dir) = source.open_dir(split(path).0) else { return false };
        match source.look_at(&dir, name_of(path)) {
            Ok(Some(there)) if look.kind == Kind::Dir => there.kind == Kind::Dir,
            Ok(Some(there)) => (there.kind, there.size, there.mtime) == (look.kind, look.size, look.mtime),
            Ok(None) | Err(_) => false,
        }
    }

    /// Proves the tree again before the first removal.
    fn prove(&mut self) -> Result<(), StepError> {
        if !std::mem::replace(&mut self.proven, true) {
            self.tree.prove()?;
        }
        Ok(())
    }

    fn unlink(&mut self, path: &[u8]) -> Result<(), StepError> {
        self.prove()?;
        let gone = self
            .dirs
            .parent(path)
            .and_then(|dir| rustix::fs::unlinkat(&dir, name_of(path), AtFlags::empty()));
        match gone {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            // Somebody put a directory in its place.
            Err(Errno::ISDIR) => {
                self.left.push(format!("{} (changed since)", printed(path)));
                Ok(())
            }
            Err(e) => Err(self.tree.failed("remove", path, e)),
        }
    }

    fn remove_dir(&mut self, path: &[u8]) -> Result<(), StepError> {
        self.prove()?;
        self.dirs.forget();
        let gone = self
            .tree
            .open_dir(split(path).0)
            .and_then(|dir| rustix::fs::unlinkat(&dir, name_of(path), AtFlags::REMOVEDIR));
        match gone {
            // What keeps it is told itself, or was excluded; what is in its place is not Segue's.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::LOOP) => {
                Ok(())
            }
            Err(e) => Err(self.tree.failed("remove directory", path, e)),
        }
    }
}

/// Whether nobody touched a file since Segue wrote it. Removing its other names moved its change time.
fn is_ours(look: &super::tree::Look, record: &Record) -> bool {
    is_untouched(look, record, record.print(Side::Target))
}

fn tell(tree: &Tree, left: &Bounded<String>, io: &dyn StepIo) {
    if left.total == 0 {
        return;
    }
    let named: Vec<_> = left.list.iter().take(NAMED).map(String::as_str).collect();
    let more = if left.total > NAMED as u64 { ", ..." } else { "" };
    io.find(Finding {
        severity: Severity::Warning,
        code: "FILES_LEFT".to_owned(),
        summary: format!(
            "{} entries were left in {}: {}{more}",
            left.total,
            tree.root().display(),
            named.join(", ")
        ),
        remedy: "Look at them, and remove them by hand when nobody needs them.".to_owned(),
    });
}

/// Removes the root when it is empty; its marker is the endpoint's to remove, before or after.
fn remove_root(tree: &Tree) -> Result<(), StepError> {
    match rustix::fs::rmdir(tree.root()) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(()),
        Err(e) => Err(tree
            .failed("remove directory", b"", e)
            .remedy(format!("remove it by hand, with {MARKER} if it is there"))),
    }
}
