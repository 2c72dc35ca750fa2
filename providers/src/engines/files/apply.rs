//! Applying changes in path order: directories are made on the way down and finished on the way up,
//! files go to the workers, and results are recorded in order behind them.

mod dirs;
mod links;
mod retire;

use std::collections::{HashMap, HashSet, VecDeque};

use segue_contract::{ErrorClass, SetAside, StaleFind, StepError};

use super::pool::Pool;
use super::put::{Hand, Job, Outcome};
use super::scan::Entry;
use super::work::Work;
use crate::engines::report::Bounded;
use crate::ledger::{Kind, PartWriter, Record, is_below};
use dirs::OpenDir;

/// Paths dispatched and not yet recorded.
const WINDOW: usize = 4096;
/// Paths, and bytes of content, that one worker takes at once.
const BATCH: (usize, u64) = (64, 2 * 1024 * 1024);

/// One path whose written side has to be looked at.
pub(crate) struct Change {
    /// How it is on the side that is read; `None`: not there.
    pub(crate) new: Option<Entry>,
    /// What the ledger says; `None`: nothing.
    pub(crate) old: Option<Record>,
    /// Its path.
    pub(crate) path: Vec<u8>,
    /// Carried whatever the ledger says.
    pub(crate) force: bool,
}

enum Slot {
    /// At a worker.
    Waiting(Change),
    /// Back from it.
    Done(Change, Outcome),
    /// A directory that was made or is to be finished.
    Dir(Box<OpenDir>),
    /// A later name of a file.
    Link(Change),
    /// To be removed.
    Remove(Change),
    /// Stays as the ledger has it, to be looked at again.
    Aside(Change, String),
}

/// What was done.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) written: u64,
    pub(crate) deleted: u64,
    pub(crate) set_aside: Bounded<SetAside>,
    pub(crate) stale: Bounded<StaleFind>,
    /// Paths left for the next pass because they kept changing.
    pub(crate) later: u64,
    /// Whether the written side was touched at all.
    pub(crate) touched: bool,
}

/// Applies changes; see the module.
pub(crate) struct Applier<'w, 'p> {
    hand: Hand<'w>,
    pool: &'p Pool,
    pub(crate) out: PartWriter,
    slots: VecDeque<Slot>,
    /// The sequence number of the first slot.
    base: u64,
    batch: Vec<Job>,
    batch_bytes: u64,
    /// Jobs sent to workers whose outcomes have not come back.
    out_there: usize,
    dirs: Vec<OpenDir>,
    /// The first names of files with more, by path: those that were carried, and those that did not change.
    pub(crate) groups: HashMap<Vec<u8>, Record>,
    /// A path that becomes something else than the directory it was, once that is empty.
    held: Option<Change>,
    /// Its path, as long as what was below it is removed: its own record stands for all of that.
    replaced: Option<Vec<u8>>,
    pub(crate) tally: Tally,
    /// Directories to be removed that were not empty when it was their turn.
    not_empty: Vec<Vec<u8>>,
    /// Directories whose attributes the written side does not keep; about 100 bytes each.
    pub(crate) lacking: HashSet<Vec<u8>>,
    /// The first failure of a worker.
    failure: Option<StepError>,
    /// Whether there was one: then nothing more is recorded, or a path would seem carried that was not.
    failed: bool,
}

impl<'w, 'p> Applier<'w, 'p> {
    pub(crate) fn new(work: &'w Work<'w>, pool: &'p Pool, out: PartWriter) -> Self {
        Self {
            hand: Hand::new(work),
            pool,
            out,
            slots: VecDeque::new(),
            base: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            out_there: 0,
            dirs: Vec::new(),
            groups: HashMap::new(),
            held: None,
            replaced: None,
            tally: Tally::default(),
            not_empty: Vec::new(),
            lacking: HashSet::new(),
            failure: None,
            failed: false,
        }
    }

    /// Takes the next change; changes come in path order, a directory before what is below it.
    pub(crate) fn push(&mut self, change: Change) -> Result<(), StepError> {
        if let Some(held) = self.held.take() {
            if is_below(&change.path, &held.path) {
                self.held = Some(held);
            } else {
                self.release(held)?;
            }
        }
        self.dispatch(change)?;
        while self.slots.len() >= WINDOW {
            self.collect(true)?;
        }
        self.collect(false)
    }

    fn release(&mut self, held: Change) -> Result<(), StepError> {
        self.drain()?;
        self.leave(&held.path)?;
        // What is made now has no history.
        self.dispatch(Change { old: None, ..held })?;
        self.drain()?;
        self.replaced = None;
        Ok(())
    }

    fn dispatch(&mut self, change: Change) -> Result<(), StepError> {
        let Some(entry) = &change.new else {
            self.slots.push_back(Slot::Remove(change));
            return Ok(());
        };
        if let Some(trouble) = entry.trouble.clone() {
            self.slots.push_back(Slot::Aside(change, trouble));
            return Ok(());
        }
        if entry.look.kind == Kind::Dir {
            return self.open_dir(change);
        }
        if change.old.as_ref().is_some_and(|old| old.kind == Kind::Dir) {
            self.drain()?;
            self.doom(&change.path);
            self.replaced = Some(change.path.clone());
            self.held = Some(change);
            return Ok(());
        }
        if entry.first.is_some() {
            self.slots.push_back(Slot::Link(change));
            return Ok(());
        }
        let seq = self.base + self.slots.len() as u64;
        self.batch_bytes += entry.look.size;
        self.batch.push(Job { seq, entry: entry.clone(), old: change.old.clone(), force: change.force });
        self.slots.push_back(Slot::Waiting(change));
        if self.batch.len() >= BATCH.0 || self.batch_bytes >= BATCH.1 {
            self.send();
        }
        Ok(())
    }

    fn send(&mut self) {
        if !self.batch.is_empty() {
            self.out_there += self.batch.len();
            self.pool.send(std::mem::take(&mut self.batch));
            self.batch_bytes = 0;
        }
    }

    /// Takes outcomes in and records what is complete.
    fn collect(&mut self, wait: bool) -> Result<(), StepError> {
        let front_waits = matches!(self.slots.front(), Some(Slot::Waiting(_)));
        if wait && front_waits {
            self.send();
        }
        self.receive(wait && front_waits && self.out_there > 0);
        while !self.failed && !matches!(self.slots.front(), None | Some(Slot::Waiting(_))) {
            let Some(slot) = self.slots.pop_front() else { break };
            self.base += 1;
            if let Err(error) = self.retire(slot) {
                self.failed = true;
                return Err(error);
            }
        }
        if !self.failed {
            return Ok(());
        }
        // Workers that stopped because one failed say so, too: the one that failed knows why.
        while self.out_there > 0 {
            self.receive(true);
        }
        Err(self.failure.take().unwrap_or_else(StepError::cancelled))
    }

    /// Takes in outcomes; with `wait`, at least one.
    fn receive(&mut self, wait: bool) {
        for (seq, mut outcome) in self.pool.take(wait) {
            self.out_there -= 1;
            if let Outcome::Failed(error) = &mut outcome
                && error.class != ErrorClass::Cancelled
                && self.failure.is_none()
            {
                self.failure = Some(std::mem::replace(error, StepError::cancelled()));
            }
            let index = (seq - self.base) as usize;
            if let Some(slot) = self.slots.get_mut(index)
                && let Slot::Waiting(change) = slot
            {
                let nothing = Change { new: None, old: None, path: Vec::new(), force: false };
                let change = std::mem::replace(change, nothing);
                *slot = Slot::Done(change, outcome);
            }
        }
    }

    /// Records everything that was dispatched.
    fn drain(&mut self) -> Result<(), StepError> {
        while !self.slots.is_empty() {
            self.collect(true)?;
        }
        Ok(())
    }

    /// Finishes: every directory is left, everything is recorded.
    pub(crate) fn finish(&mut self) -> Result<(), StepError> {
        if let Some(held) = self.held.take() {
            self.release(held)?;
        }
        self.drain()?;
        while !self.dirs.is_empty() {
            self.leave_last()?;
        }
        Ok(())
    }
}
