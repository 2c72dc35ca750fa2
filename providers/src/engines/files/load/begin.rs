//! How a load begins: fresh on an empty target, adopting what is there, or where an earlier run stopped;
//! and what a resumed one cleans up at its end.

use std::collections::HashMap;
use std::path::Path;

use rustix::io::Errno;
use segue_contract::paths::create_dir_all;
use segue_contract::{Checkpoint, Side, StepError, StepIo, UnitJob};

use super::mark::Mark;
use crate::engines::beside::side_file;
use crate::engines::files::identity::Sides;
use crate::engines::files::meta;
use crate::engines::files::put::{Hand, Stop, is_displaced, refuse};
use crate::engines::files::scan::Scan;
use crate::engines::files::select::Chosen;
use crate::engines::files::tree::{Look, name_of, split};
use crate::engines::files::work::{Unknown, Work, threads};
use crate::engines::files::xattr::Place;
use crate::ledger::{Kind, PartMark, PartReader, PartWriter, compare_paths};

/// Paths that an error names.
const NAMED: usize = 5;

/// See the module.
pub(crate) struct Begin {
    /// Whether the target was empty when the load began.
    pub(crate) empty: bool,
    /// Whether an earlier run may have left things.
    pub(crate) resumed: bool,
    /// How far the earlier run's partial ledger goes.
    pub(crate) mark: Option<PartMark>,
}

impl Begin {
    pub(crate) fn find(job: &UnitJob, from: Option<&Checkpoint>, io: &dyn StepIo) -> Result<Self, StepError> {
        let root = job.writes().path("path")?;
        if let Some(checkpoint) = from {
            let mark = Mark::decode(checkpoint)?;
            if !Sides::of(job, io)?.knows(Side::Target) {
                create_dir_all(root)?;
            }
            return Ok(Self { empty: mark.empty, resumed: true, mark: trusted(job, io, &mark) });
        }
        if matches!(rustix::fs::lstat(root), Err(Errno::NOENT)) {
            create_dir_all(root)?;
        }
        let to = std::sync::Arc::new(Sides::anew(job, io)?.open(Side::Target)?);
        let chosen = std::sync::Arc::new(Chosen::new(&job.select)?);
        let mut scan = Scan::start(&to, chosen, 1)?;
        scan.next()?;
        let empty = scan.next()?.is_none() && scan.aside.leftovers.is_empty();
        if !empty {
            refuse_extras(job, io)?;
        }
        Ok(Self { empty, resumed: false, mark: None })
    }
}

/// The earlier run's partial ledger, as far as the checkpoint vouches for it. Without it the load does
/// its work again, on the same terms.
fn trusted(job: &UnitJob, io: &dyn StepIo, mark: &Mark) -> Option<PartMark> {
    let checksum = u128::from_str_radix(&mark.checksum, 16).ok()?;
    let path = side_file(io.artifacts(), "part", job);
    let mut part = PartWriter::resume(&path, mark.len, checksum).ok()?;
    part.sync().ok().filter(|mark| mark.records > 0)
}

/// Refuses a target that holds what the source does not: it is nobody's to overwrite.
fn refuse_extras(job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
    let work = Work::open(job, Sides::anew(job, io)?.open_both()?, io, Unknown::Adopt, 0, false)?;
    let mut theirs = Scan::start(&work.to, work.chosen.clone(), threads(job))?;
    let mut ours = Scan::start(&work.from, work.chosen.clone(), threads(job))?;
    let mut our = ours.next()?;
    let mut extra = Vec::new();
    while let Some(there) = theirs.next()? {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        while our.as_ref().is_some_and(|our| compare_paths(&our.path, &there.path).is_lt()) {
            our = ours.next()?;
        }
        let same = our.as_ref().filter(|our| our.path == there.path);
        match same {
            Some(our) if our.look.kind == there.look.kind && our.look.size == there.look.size => {}
            Some(_) => extra.push(format!("{} (differs)", work.to.full(&there.path).display())),
            None => extra.push(format!("{} (not at the source)", work.to.full(&there.path).display())),
        }
        if extra.len() >= NAMED {
            break;
        }
    }
    if extra.is_empty() {
        return Ok(());
    }
    let more = if extra.len() >= NAMED { ", ..." } else { "" };
    let mut error = refuse(&work, b"", "holds entries that Segue did not write");
    error.what = format!("{}: {}{more}", error.what, extra.join(", "));
    Err(error)
}

/// Removes from a target that was empty at the start what an earlier run of this load wrote and the
/// source no longer has, with unfinished files.
pub(super) fn remove_leftovers(work: &Work<'_>, part: &Path) -> Result<(), StepError> {
    let mut hand = Hand::new(work);
    let mut scan = Scan::start(&work.to, work.chosen.clone(), work.threads)?;
    let mut records = PartReader::open(part, None)?;
    let mut record = records.next_record()?;
    let mut dirs = Vec::new();
    let mut missing = Vec::new();
    let mut touched = HashMap::new();
    while let Some(entry) = scan.next()? {
        while let Some(known) = record.take_if(|record| compare_paths(&record.path, &entry.path).is_lt()) {
            missing.push(known.path);
            record = records.next_record()?;
        }
        if record.as_ref().is_some_and(|record| record.path == entry.path) {
            record = records.next_record()?;
            continue;
        }
        if work.unknown != Unknown::Own {
            continue;
        }
        if entry.look.kind == Kind::Dir {
            dirs.push(entry.path);
            continue;
        }
        let above = split(&entry.path).0;
        if let Ok(Some(look)) = work.to.look(above) {
            touched.entry(above.to_vec()).or_insert(look);
        }
        remove(work, &mut hand, &entry.path)?;
    }
    missing.extend(record.map(|record| record.path));
    if let Some(path) = missing.first() {
        return Err(StepError::permanent(format!(
            "{} was carried and is not there now",
            work.to.full(path).display()
        ))
        .remedy("find out who removes things from the target, or whether it tells apart names that differ by case, then redo the load"));
    }
    clear(work, &mut hand, &scan, dirs, touched)
}

/// Removes what is no directory; what is gone, or another thing by now, is for the first pass.
fn remove(work: &Work<'_>, hand: &mut Hand<'_>, path: &[u8]) -> Result<(), StepError> {
    let dir = match hand.to.parent(path) {
        Ok(dir) => dir,
        Err(e) if is_displaced(e) => return Ok(()),
        Err(e) => return Err(work.to.failed("remove", path, e)),
    };
    hand.unlink(&dir, name_of(path), path).or_else(Stop::unless_later)
}

fn clear(
    work: &Work<'_>,
    hand: &mut Hand<'_>,
    scan: &Scan,
    mut dirs: Vec<Vec<u8>>,
    mut touched: HashMap<Vec<u8>, Look>,
) -> Result<(), StepError> {
    for path in scan.aside.leftovers.iter().chain(&dirs) {
        let above = split(path).0;
        if let Ok(Some(look)) = work.to.look(above) {
            touched.entry(above.to_vec()).or_insert(look);
        }
    }
    for path in &scan.aside.leftovers {
        remove(work, hand, path)?;
    }
    while let Some(path) = dirs.pop() {
        hand.to.forget();
        work.before_deleting()?;
        let gone = hand
            .to
            .parent(&path)
            .and_then(|dir| rustix::fs::unlinkat(&dir, name_of(&path), rustix::fs::AtFlags::REMOVEDIR));
        match gone {
            Ok(()) => {}
            // Whatever is there by now is for the first pass.
            Err(e) if is_displaced(e) => {}
            Err(e) => return Err(work.to.failed("remove directory", &path, e)),
        }
    }
    // The directories were finished before: removing names moved their times.
    for (path, look) in touched {
        let Ok(dir) = work.to.open_dir(&path) else {
            continue;
        };
        meta::set_times(Place::Open(&dir), &look).map_err(|e| work.to.failed("change", &path, e))?;
    }
    Ok(())
}
