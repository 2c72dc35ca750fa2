//! The first load where Segue does not carry everything itself: clients write to both sides (`parallel`), somebody else
//! fills the target (`reload`), or the target's own system does ([`Documents::fill_modes`]).
//!
//! However a unit is filled, the position of the source is taken before it begins, and afterwards stock is taken: a ledger of
//! what is really there. What is missing or other than the source's is carried as in every pass, and so is what changed
//! since that position, deletions too. So a fill may leave something out, be repeated, or bring a document in the state of
//! any moment since; that nothing of it comes late and wins is what versions are for.

mod memo;
mod reload;
mod stock;

use std::path::PathBuf;
use std::time::Instant;

use segue_contract::{
    Checkpoint, Direction, Finding, LoadMode, LoadModeSchema, PassReport, StepError, StepIo, UnitJob,
};

use super::again::again;
use super::collection::{Documents, Stand};
use super::load::{believe_head, not_empty};
use super::made::Made;
use super::sides::{Sides, counted};
use super::{micros, pass};
use crate::engines::beside::side_file;

pub use memo::Memo;
use stock::By;

/// `load { mode = "parallel" }`
const PARALLEL: &str = "parallel";
/// `load { mode = "reload" }`
const RELOAD: &str = "reload";
/// What lies beside the ledgers until the unit is loaded.
const FILES: [&str; 2] = ["fill-head", "fill"];

/// Who carries everything first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Segue.
    Copied,
    /// Clients write to both sides; Segue adds what is missing, and overwrites nothing.
    Added,
    /// The system that is written.
    System,
    /// Somebody else.
    Elsewhere,
}

impl Way {
    /// Towards the declared target as the spec says; on the way back Segue carries.
    pub(crate) fn of(job: &UnitJob) -> Self {
        match (job.direction, job.load.mode.name.as_str()) {
            (Direction::Reverse, _) | (_, LoadMode::COPY) => Self::Copied,
            (_, PARALLEL) => Self::Added,
            (_, RELOAD) => Self::Elsewhere,
            (_, _) => Self::System,
        }
    }

    /// Whether what the target holds that Segue did not write there may be somebody's.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Added | Self::Elsewhere)
    }
}

/// The modes that every system of documents has.
pub(crate) fn modes() -> Vec<LoadModeSchema> {
    let not_empty = vec!["SEARCH_NOT_EMPTY".to_owned()];
    vec![
        LoadModeSchema {
            name: PARALLEL.to_owned(),
            doc: "Clients write to both sides already: what is missing at the target is added, and nothing there is ever \
                  overwritten."
                .to_owned(),
            attributes: Vec::new(),
            by_others: true,
            voids: not_empty.clone(),
        },
        LoadModeSchema {
            name: RELOAD.to_owned(),
            doc: "The target is filled from elsewhere (files, a command, or by hand); Segue takes stock, verifies, and \
                  carries what changed since."
                .to_owned(),
            attributes: reload::attributes(),
            by_others: true,
            voids: not_empty,
        },
    ]
}

/// See [`segue_contract::Engine::check_load`].
pub(crate) fn check(target: &dyn Documents, job: &UnitJob, io: &dyn StepIo) -> Vec<Finding> {
    match Way::of(job) {
        Way::Copied | Way::Added => Vec::new(),
        Way::Elsewhere => reload::check(job),
        Way::System => target.check_fill(job, io),
    }
}

/// Where the side that is read stood before anything was filled.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Head {
    stand: Stand,
}

struct Files {
    head: Memo,
    memo: Memo,
}

impl Files {
    fn of(job: &UnitJob, io: &dyn StepIo) -> Self {
        let path = |what| -> PathBuf { side_file(io.artifacts(), what, job) };
        let [head, memo] = FILES;
        Self { head: Memo::new(&path(head)), memo: Memo::new(&path(memo)) }
    }

    fn remove(&self) {
        self.memo.remove();
        self.head.remove();
    }
}

/// The first load of a unit that the system itself or somebody else fills.
pub(crate) fn load(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    from: Option<&Checkpoint>,
    io: &dyn StepIo,
) -> Result<PassReport, StepError> {
    let (way, began) = (Way::of(job), Instant::now());
    let files = Files::of(job, io);
    if from.is_none() {
        // What an earlier load that nobody goes on with had begun.
        stop(target, job, io)?;
    }
    let head = begin(source, target, job, &files, io)?;
    believe_head(io)?;
    let later = match way {
        Way::Elsewhere => reload::fill(target, job, &files.memo, io).map(|()| None)?,
        _ => again(io, || target.fill(job, &files.memo, io))?,
    };
    // Numbers of one incarnation say nothing of another's.
    let since = later.filter(|stand| stand.is_of_one_unit_with(&head.stand)).unwrap_or(head.stand);
    let sides = Sides::open(source, target, job, io)?;
    again(io, || sides.write.nothing_on_its_way())?;
    let there = again(io, || sides.write.stand())?;
    Made::of(io.artifacts(), job).note_incarnation(&there.incarnation)?;
    again(io, || sides.writes.remember(job, io))?;
    again(io, || sides.writes.serve(job, io))?;
    let filled_us = micros(began.elapsed());
    let by = if way == Way::Elsewhere { By::Contents } else { By::Versions };
    let stock = stock::take(&sides, &since, by)?;
    let known = UnitJob { ledger: Some(stock.ledger.clone()), ..job.clone() };
    let mut report = pass::carry(source, target, &known, &[], io)?;
    report.records_written += stock.there;
    report.bytes_written += stock.bytes;
    report.times.apply_us += filled_us;
    Ok(report)
}

/// The position before anything is filled; a run that died has noted it.
fn begin(
    source: &dyn Documents,
    target: &dyn Documents,
    job: &UnitJob,
    files: &Files,
    io: &dyn StepIo,
) -> Result<Head, StepError> {
    let read = source.open(job.reads(), io)?;
    let here = again(io, || read.stand())?;
    let made = Made::of(io.artifacts(), job);
    let is_there = again(io, || target.exists(job.writes(), io))?;
    if !is_there && !reload::is_made_elsewhere(job) {
        made.note()?;
    }
    if let Some(head) = files.head.read::<Head>()? {
        if head.stand.is_of_one_unit_with(&here) {
            return Ok(head);
        }
        // Made anew under the same name since: all of it is a change.
        let head = Head { stand: here.unseen() };
        files.head.write(&head)?;
        return Ok(head);
    }
    if is_there {
        let there = target.open(job.writes(), io)?;
        let (count, incarnation) = (counted(&*there, io)?, again(io, || there.stand())?.incarnation);
        if count > 0 && !made.is(&incarnation)? && !Way::of(job).is_shared() {
            return Err(not_empty(job, count));
        }
    }
    let head = Head { stand: here };
    files.head.write(&head)?;
    Ok(head)
}

/// Ends what a load that nobody goes on with had begun, and forgets it.
pub(crate) fn stop(target: &dyn Documents, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
    let files = Files::of(job, io);
    if Way::of(job) == Way::System {
        again(io, || target.unfill(job, &files.memo, io))?;
    }
    files.remove();
    Ok(())
}

/// Forgets what a load noted for its successor.
pub(super) fn forget(job: &UnitJob, io: &dyn StepIo) {
    Files::of(job, io).remove();
}
