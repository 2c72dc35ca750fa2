//! The deletions of a pass: gathered, counted before the first is made (protocol P28), kept aside on the way back, and only
//! then made.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use segue_contract::paths::{self, PathError};
use segue_contract::{Deletions, Finding, KeptDeleted, Severity, Side, StepError};
use xxhash_rust::xxh3::xxh3_128;

use super::collection::{Found, Key, Want};
use super::ledger::{Ledger, Mark, Record};
use super::runs::{Entry, Merged, Runs};
use super::send::{Sender, Sink};
use super::sides::Sides;
use super::sorted::{Join, in_batches};
use crate::engines::kept::{has_room, place_of};

/// Bytes of documents that one pass keeps aside at most: what clients deleted on purpose is not to fill a disk.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// What a pass would delete.
pub(crate) struct Gathered {
    runs: Runs,
    /// Those that the side which is read had.
    found: Deletions,
    /// The highest pass that one of them was carried in.
    latest: u64,
    from: Side,
}

impl Gathered {
    pub(crate) fn new(sides: &Sides<'_>) -> Self {
        let found = Deletions::default();
        Self { runs: Runs::new(sides.io.artifacts()), found, latest: 0, from: sides.from() }
    }

    pub(crate) fn add(&mut self, record: Record) -> Result<(), StepError> {
        if record.mark(self.from).version > 0 {
            self.found.add(|| record.key.to_string());
            self.latest = self.latest.max(record.pass);
        }
        self.runs.push(Entry { record, gone: false })
    }

    /// One that a load which died had carried.
    pub(crate) fn add_dead(&mut self, record: Record) -> Result<(), StepError> {
        self.found.add(|| record.key.to_string());
        self.runs.push(Entry { record, gone: false })
    }

    /// Takes all of a list in.
    pub(crate) fn add_all(&mut self, mut list: Merged) -> Result<(), StepError> {
        while let Some(entry) = list.next()? {
            self.add(entry.record)?;
        }
        Ok(())
    }

    /// Stops the pass where too many of the documents of the ledger that it began from would go. Documents that came and
    /// went while it ran are no loss.
    pub(crate) fn check(self, sides: &Sides<'_>, before: &mut Ledger) -> Result<Checked, StepError> {
        let Self { runs, mut found, latest, from } = self;
        let (terms, about) = (&sides.job.deletions, before.about());
        let known = about.tally.live(from);
        let is_older = latest <= about.pass;
        let mut runs = runs.finish()?;
        if !is_older && !terms.allow(found.count, known) {
            found = Deletions::default();
            let mut both = Runs::new(sides.io.artifacts());
            let mut join = Join::of(before.records()?, runs)?;
            while let Some((known, gone)) = join.next()? {
                let Some(entry) = gone else { continue };
                if known.is_some_and(|known| known.mark(from).version > 0) {
                    found.add(|| entry.record.key.to_string());
                }
                both.push(entry)?;
            }
            drop(join);
            runs = both.finish()?;
        }
        terms.check(&found, known)?;
        Ok(Checked(runs))
    }

    /// The same where there is no ledger yet, but so many documents were carried: those that may be deleted, or all of
    /// those that are too many.
    pub(crate) fn allowed(
        self,
        sides: &Sides<'_>,
        known: u64,
    ) -> Result<Result<Checked, TooMany>, StepError> {
        let allowed = sides.job.deletions.allow(self.found.count, known);
        let runs = self.runs.finish()?;
        Ok(if allowed { Ok(Checked(runs)) } else { Err(TooMany(runs)) })
    }
}

/// Deletions that may not be made.
pub(crate) struct TooMany(Merged);

impl TooMany {
    /// Hands them on as documents that the side which is read still had.
    pub(crate) fn keep_as_carried(
        mut self,
        from: Side,
        mut push: impl FnMut(Entry) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        while let Some(Entry { mut record, .. }) = self.0.next()? {
            record.set_mark(from, Mark { version: 1, number: 0 });
            push(Entry { record, gone: false })?;
        }
        Ok(())
    }
}

/// Deletions that may be made.
pub(crate) struct Checked(Merged);

impl Checked {
    /// Makes them.
    pub(crate) fn make<S: Sink>(mut self, sender: &Sender<'_, S>, number: u64) -> Result<(), StepError> {
        let sides = sender.sides;
        let mut keeper = (sides.to() == Side::Source).then(|| Keeper::new(sides, sender.pass()));
        let delete = |some: Vec<Record>| {
            sides.go_on()?;
            if let Some(keeper) = &mut keeper {
                keeper.keep(&some)?;
            }
            sender.delete(&some, number)
        };
        in_batches(|| self.0.next(), |entry| Some(entry.record), delete)?;
        if let Some(kept) = keeper.and_then(|keeper| keeper.kept) {
            tell(sides, &kept);
            sender.tally().kept = Some(kept);
        }
        Ok(())
    }
}

/// Keeps the bodies of documents of the side that is written, a line each.
struct Keeper<'a> {
    sides: &'a Sides<'a>,
    pass: u64,
    file: Option<(PathBuf, File)>,
    bytes: u64,
    kept: Option<KeptDeleted>,
}

impl<'a> Keeper<'a> {
    fn new(sides: &'a Sides<'a>, pass: u64) -> Self {
        Self { sides, pass, file: None, bytes: 0, kept: None }
    }

    /// Keeps documents as they are there now; durable before they are deleted.
    fn keep(&mut self, records: &[Record]) -> Result<(), StepError> {
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        let there = self.sides.look_up(self.sides.to(), &keys, Want::Bodies)?;
        let there: Vec<Found> = there.into_iter().flatten().collect();
        let mut lines = Vec::new();
        for found in &there {
            lines.extend(line(found)?);
        }
        self.begin()?;
        let room = lines.len() as u64;
        let fits = self.bytes + room <= KEPT_BYTES_MAX && has_room(self.sides.io.artifacts(), room);
        let (Some((path, file)), Some(kept)) = (&mut self.file, &mut self.kept) else { return Ok(()) };
        if !fits {
            kept.not_kept += there.len() as u64;
            return Ok(());
        }
        let wrong = |e| PathError::new("write", &*path, e);
        file.write_all(&lines).map_err(wrong)?;
        file.sync_data().map_err(wrong)?;
        self.bytes += room;
        kept.records += there.len() as u64;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StepError> {
        if self.file.is_some() {
            return Ok(());
        }
        let (io, job) = (self.sides.io, self.sides.job);
        let unit = xxh3_128(job.unit.as_bytes());
        let below = place_of(&job.migration, io)?.join(format!("documents-{unit:032x}-{}.ndjson", self.pass));
        let path = io.artifacts().join(&below);
        if let Some(dir) = path.parent() {
            paths::create_dir_all(dir)?;
        }
        let file = paths::open_with(&path, OpenOptions::new().append(true).create(true).mode(0o600))?;
        self.file = Some((path, file));
        let place = below.to_string_lossy().into_owned();
        self.kept = Some(KeptDeleted { place, ..KeptDeleted::default() });
        Ok(())
    }
}

/// `{"id": ..., "place": ..., "version": ..., "body": ...}`; bodies are on one line.
fn line(found: &Found) -> Result<Vec<u8>, StepError> {
    let Found { key: Key { id, place }, number: _, version, body } = found;
    let text = |value| serde_json::to_string(value).map_err(|e| StepError::permanent(e.to_string()));
    let (id, place) = (text(&Some(id))?, text(&place.as_ref())?);
    let mut line = format!("{{\"id\":{id},\"place\":{place},\"version\":{version},\"body\":").into_bytes();
    line.extend_from_slice(body);
    line.extend_from_slice(b"}\n");
    Ok(line)
}

fn tell(sides: &Sides<'_>, kept: &KeptDeleted) {
    if kept.not_kept == 0 {
        return;
    }
    sides.io.find(Finding {
        severity: Severity::Warning,
        code: "DOCUMENTS_NOT_KEPT".to_owned(),
        summary: format!(
            "{} documents that were deleted at {} were not kept aside: a pass keeps {} MiB, and only where there is room in {}",
            kept.not_kept,
            sides.job.writes().address,
            KEPT_BYTES_MAX >> 20,
            sides.io.artifacts().display()
        ),
        remedy: "Free room on that file system: what the next reverse passes delete is kept again.".to_owned(),
    });
}
