//! Finding what a pass has to carry: ledger and scans side by side, changes out in path order, each with
//! the directories above it (whose times a change below them moves).

use std::collections::HashSet;

use segue_contract::{ArtifactName, AuditReport, Finding, Progress, SetAside, StepError};

use super::compare::{differs_from_ledger, is_unchanged};
use crate::engines::files::apply::{Applier, Change};
use crate::engines::files::audit::{self, Audit};
use crate::engines::files::deletions::{self, Deleting};
use crate::engines::files::join::{Join, Seen};
use crate::engines::files::meta;
use crate::engines::files::position::Digest;
use crate::engines::files::put::is_displaced;
use crate::engines::files::renames::WINDOW;
use crate::engines::files::scan::{Aside, Entry};
use crate::engines::files::tree::{OpenDirs, name_of, printed, split};
use crate::engines::files::work::Work;
use crate::engines::files::xattr::Place;
use crate::ledger::{Kind, Record, is_below, summary};

/// Paths that are carried whatever the ledger says.
pub(crate) enum Forced {
    None,
    /// By their printed form.
    Keys(HashSet<String>),
    All,
}

impl Forced {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn has(&self, path: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Keys(keys) => keys.contains(&printed(path)),
            Self::All => true,
        }
    }
}

/// What walking gave.
pub(crate) struct Walked {
    pub(crate) digest: Digest,
    pub(crate) aside: Aside,
    /// Unfinished files on the written side: of dead runs, or of this one at the time.
    pub(crate) leftovers: Vec<Vec<u8>>,
    pub(crate) scan_us: u64,
    /// What was held back, when it was not too much.
    pub(crate) held: Option<Vec<Change>>,
    /// Paths.
    pub(crate) seen: u64,
    /// What would be deleted.
    pub(crate) deleting: Deleting,
    pub(crate) audit: AuditReport,
    /// What the audit found that no fingerprint showed.
    pub(crate) miss: Option<Finding>,
}

/// A walk; see the module.
pub(crate) struct Walk<'a> {
    work: &'a Work<'a>,
    forced: &'a Forced,
    join: Join,
    whole: bool,
    digest: Digest,
    from: OpenDirs<'a>,
    to: OpenDirs<'a>,
    /// Unchanged directories above the current path, and whether they were handed on.
    above: Vec<(Entry, Option<Record>, bool)>,
    /// A directory that cannot be read on one side: nothing below it counts as deleted.
    blocked: Option<Vec<u8>>,
    /// First names of files with more that were handed on: they may get another inode at the written side, and their
    /// later names go along.
    firsts: HashSet<Vec<u8>>,
    seen: u64,
    held: Option<Vec<Change>>,
    deleting: Deleting,
    /// From which it walks; `None` once what it would delete was counted ahead.
    uncounted: Option<ArtifactName>,
    audit: Audit<'a>,
}

impl<'a> Walk<'a> {
    pub(crate) fn start(
        work: &'a Work<'a>,
        ledger: &ArtifactName,
        forced: &'a Forced,
        whole: bool,
        hold: bool,
        terms: &'a audit::Terms,
    ) -> Result<Self, StepError> {
        let written = whole.then(|| work.to.clone());
        let files = summary(work.io.artifacts(), ledger)?.files;
        Ok(Self {
            work,
            forced,
            join: Join::start(work.io, ledger, Some(work.from.clone()), written, &work.chosen, work.threads)?,
            whole,
            digest: Digest::new(),
            from: OpenDirs::new(&work.from),
            to: OpenDirs::new(&work.to),
            above: Vec::new(),
            blocked: None,
            firsts: HashSet::new(),
            seen: 0,
            held: hold.then(Vec::new),
            deleting: Deleting::default(),
            uncounted: Some(ledger.clone()),
            audit: Audit::new(work, terms, files),
        })
    }

    pub(crate) fn run(mut self, applier: &mut Applier<'_, '_>) -> Result<Walked, StepError> {
        while let Some(seen) = self.join.next()? {
            if self.work.stopping() {
                // A worker's failure comes out of the applier; without one it was asked for.
                applier.finish()?;
                return Err(StepError::cancelled());
            }
            self.one(seen, applier)?;
            self.seen += 1;
            if self.seen.is_multiple_of(1024) {
                self.show();
            }
        }
        self.show();
        let written = self.join.written.as_mut().map(|scan| std::mem::take(&mut scan.aside));
        let aside = self.join.read.as_mut().map(|scan| std::mem::take(&mut scan.aside));
        let miss = self.audit.miss();
        let whole = applier.tally.set_aside.total == 0;
        Ok(Walked {
            audit: self.audit.finish(whole)?,
            miss,
            digest: self.digest,
            aside: aside.unwrap_or_default(),
            leftovers: written.unwrap_or_default().leftovers,
            scan_us: self.join.scan_us,
            held: self.held,
            seen: self.seen,
            deleting: self.deleting,
        })
    }

    fn show(&self) {
        self.work.io.progress(Progress {
            records: self.seen,
            records_total: None,
            bytes: self.work.bytes.load(std::sync::atomic::Ordering::Relaxed),
            bytes_total: None,
        });
    }

    fn one(&mut self, seen: Seen, applier: &mut Applier<'_, '_>) -> Result<(), StepError> {
        if let Some(entry) = &seen.read {
            self.digest.add(entry);
        }
        if self.blocked.as_ref().is_some_and(|dir| is_below(&seen.path, dir)) {
            return Ok(());
        }
        self.blocked = None;
        let trouble =
            [&seen.read, &seen.written].into_iter().flatten().find_map(|entry| entry.trouble.clone());
        if let Some(reason) = trouble {
            applier.tally.set_aside.push(SetAside { key: printed(&seen.path), reason });
            self.blocked = Some(seen.path);
            return Ok(());
        }
        if self.held.is_some() {
            self.deleting.see(&seen, self.work.read, &self.work.chosen);
        }
        while self.above.last().is_some_and(|(dir, ..)| !is_below(&seen.path, &dir.path)) {
            self.above.pop();
        }
        let force = self.forced.has(&seen.path) || self.is_stale(&seen);
        let carry = force || self.is_changed(&seen) || self.goes_along(&seen);
        let audited = match &seen.read {
            Some(entry) => self.audit.asks(&mut self.from, entry, seen.record.as_ref(), carry)?,
            None => false,
        };
        let carry = carry || audited;
        let is_dir = seen.read.as_ref().is_some_and(|entry| entry.look.kind == Kind::Dir);
        if carry {
            self.hand_on_above(applier)?;
        }
        if is_dir && let Some(entry) = &seen.read {
            self.above.push((entry.clone(), if carry { None } else { seen.record.clone() }, carry));
        }
        // The first name of a file, unchanged: a later name may need it.
        if let Some(record) = seen.record.as_ref().filter(|_| !carry)
            && record.linked
            && record.first.is_none()
        {
            applier.groups.insert(seen.path.clone(), record.clone());
        }
        if carry {
            if let Some(entry) = seen.read.as_ref().filter(|entry| !is_dir && entry.look.nlink > 1)
                && entry.first.is_none()
            {
                self.firsts.insert(entry.path.clone());
            }
            self.hand_on(applier, Change { new: seen.read, old: seen.record, path: seen.path, force })?;
        }
        Ok(())
    }

    fn hand_on_above(&mut self, applier: &mut Applier<'_, '_>) -> Result<(), StepError> {
        for at in 0..self.above.len() {
            let Some((entry, record, done)) = self.above.get_mut(at) else { break };
            if !std::mem::replace(done, true) {
                let (path, new, old) = (entry.path.clone(), Some(entry.clone()), record.take());
                self.hand_on(applier, Change { path, new, old, force: false })?;
            }
        }
        Ok(())
    }

    /// Hands a change on, or holds it back until the walk ends; more than the window holds is handed on.
    fn hand_on(&mut self, applier: &mut Applier<'_, '_>, change: Change) -> Result<(), StepError> {
        let Some(held) = &mut self.held else { return self.push(applier, change) };
        held.push(change);
        if held.len() > WINDOW {
            self.deleting = Deleting::default();
            for change in self.held.take().unwrap_or_default() {
                self.push(applier, change)?;
            }
        }
        Ok(())
    }

    /// Hands a change on before the walk is over: ahead of the first deletion all of them are counted.
    fn push(&mut self, applier: &mut Applier<'_, '_>, change: Change) -> Result<(), StepError> {
        if change.new.is_none()
            && change.old.is_some()
            && let Some(ledger) = self.uncounted.take()
        {
            deletions::look_ahead(self.work, &ledger)?;
        }
        applier.push(change)
    }

    /// Whether the side that is read, or its print, asks for a look.
    fn is_changed(&mut self, seen: &Seen) -> bool {
        match (&seen.read, &seen.record) {
            (Some(entry), Some(record)) => {
                !is_unchanged(&mut self.from, entry, record, self.work.read)
                    || (self.whole && record.print(self.work.write()).hot)
            }
            (None, None) => false,
            _ => true,
        }
    }

    /// Whether it is a later name of a file whose first one was handed on.
    fn goes_along(&self, seen: &Seen) -> bool {
        let first = seen.read.as_ref().and_then(|entry| entry.first.as_ref());
        first.is_some_and(|first| self.firsts.contains(first))
    }

    /// Whether the written side is not as Segue left it.
    fn is_stale(&mut self, seen: &Seen) -> bool {
        if !self.whole {
            return false;
        }
        match (&seen.written, &seen.record) {
            (Some(entry), Some(record)) => {
                differs_from_ledger(&mut self.to, &entry.look, record, self.work.write()).is_some()
            }
            // Also where neither the ledger nor the other side has it: it is kept aside and removed.
            (Some(_), None) => true,
            (None, Some(_)) => seen.read.is_some(),
            (None, None) => false,
        }
    }
}

/// Removes unfinished files that a run that died left on the written side, and puts back the times of
/// their directories.
pub(crate) fn remove_unfinished(work: &Work<'_>, leftovers: &[Vec<u8>]) -> Result<(), StepError> {
    let mut to = OpenDirs::new(&work.to);
    for path in leftovers {
        let Ok(dir) = to.parent(path) else { continue };
        // What is there now may be somebody else's.
        let look = work.to.look_at(&dir, name_of(path)).map_err(|e| work.to.failed("look at", path, e))?;
        if !look.is_some_and(|look| work.to.is_temporary(path, &look)) {
            continue;
        }
        work.before_deleting()?;
        let above = work.to.look(split(path).0);
        match rustix::fs::unlinkat(&dir, name_of(path), rustix::fs::AtFlags::empty()) {
            Ok(()) => {}
            Err(e) if is_displaced(e) => continue,
            Err(e) => return Err(work.to.failed("remove", path, e)),
        }
        if let Ok(Some(look)) = above {
            meta::set_times(Place::Open(&dir), &look).map_err(|e| work.to.failed("change", path, e))?;
        }
    }
    Ok(())
}
