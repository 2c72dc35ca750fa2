//! What the workers of one load, pass or repair share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use segue_contract::{Address, DeletionTerms, Side, StepError, StepIo, UnitJob};

use super::finds::Finds;
use super::identity::Sides;
use super::inflight::Inflight;
use super::select::Chosen;
use super::tree::Tree;
use crate::engines::beside::side_file;

/// Workers when the spec leaves the number open: at least, at most.
const WORKERS: (usize, usize) = (2, 16);

/// How what lies at the written side without being known is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The side was empty when the load began: it is this load's own, done again.
    Own,
    /// The side held something when the load began: equal content is adopted, anything else refused.
    Adopt,
    /// A pass: equal content is adopted, anything else is a stale writer's and kept aside.
    Stale,
}

/// The shared part.
pub(crate) struct Work<'a> {
    pub(crate) io: &'a dyn StepIo,
    pub(crate) from: Arc<Tree>,
    pub(crate) to: Arc<Tree>,
    pub(crate) chosen: Arc<Chosen>,
    /// The side that is read.
    pub(crate) read: Side,
    /// The number of this pass.
    pub(crate) pass: u64,
    pub(crate) unknown: Unknown,
    /// Whether an earlier run of this load may have left things at the written side.
    pub(crate) resumed: bool,
    pub(crate) inflight: Inflight,
    pub(crate) finds: Finds,
    pub(crate) migration: Address,
    /// What it may delete without asking.
    pub(crate) deletions: DeletionTerms,
    pub(crate) threads: usize,
    /// Set once both sides were proven again before something is deleted.
    proven: AtomicBool,
    /// Set when a worker failed for good.
    pub(crate) stop: AtomicBool,
    /// Whether sharing extents is worth a try.
    pub(crate) clones: AtomicBool,
    /// Whether the written side rounds times.
    pub(crate) coarse: AtomicBool,
    /// Files with flags that are not carried (immutable, append-only): how many, and the first.
    pub(crate) flagged: Mutex<(u64, Vec<u8>)>,
    /// Bytes of content written.
    pub(crate) bytes: AtomicU64,
}

impl<'a> Work<'a> {
    /// What a job on these trees needs: the one that is read, and the other.
    pub(crate) fn open(
        job: &UnitJob,
        (from, to): (Tree, Tree),
        io: &'a dyn StepIo,
        unknown: Unknown,
        pass: u64,
        resumed: bool,
    ) -> Result<Self, StepError> {
        Ok(Self {
            io,
            from: Arc::new(from),
            to: Arc::new(to),
            chosen: Arc::new(Chosen::new(&job.select)?),
            read: job.direction.from(),
            pass,
            unknown,
            resumed,
            inflight: Inflight::open(&side_file(io.artifacts(), "inflight", job), job.ledger.as_ref())?,
            finds: Finds::open(&side_file(io.artifacts(), "finds", job), job.ledger.as_ref())?,
            migration: job.migration.clone(),
            deletions: job.deletions,
            threads: threads(job),
            proven: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            clones: AtomicBool::new(true),
            coarse: AtomicBool::new(false),
            flagged: Mutex::default(),
            bytes: AtomicU64::new(0),
        })
    }

    /// The side that is written.
    pub(crate) fn write(&self) -> Side {
        self.read.other()
    }

    /// Proves both sides again.
    pub(crate) fn prove(&self) -> Result<(), StepError> {
        self.from.prove()?;
        self.to.prove()
    }

    /// The same before the first deletion (protocol P27).
    pub(crate) fn before_deleting(&self) -> Result<(), StepError> {
        if !self.proven.swap(true, Ordering::Relaxed) {
            self.prove()?;
        }
        Ok(())
    }

    /// Whether to stop at the next safe point.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.io.cancelled()
    }

    /// Where stale versions of this pass are kept, below the artifact directory.
    pub(crate) fn stale_dir(&self) -> PathBuf {
        let migration = self.migration.as_str().replace('/', "_");
        Path::new("stale").join(migration).join(self.pass.to_string())
    }
}

/// How many workers a job gets.
pub(crate) fn threads(job: &UnitJob) -> usize {
    if job.load.parallelism > 0 {
        return job.load.parallelism as usize;
    }
    let cores = std::thread::available_parallelism().map_or(WORKERS.0, usize::from);
    cores.clamp(WORKERS.0, WORKERS.1)
}

/// What a call needs that only looks.
pub(crate) struct Looking {
    pub(crate) from: Arc<Tree>,
    pub(crate) to: Arc<Tree>,
    pub(crate) chosen: Arc<Chosen>,
    /// The side that is read.
    pub(crate) read: Side,
    pub(crate) threads: usize,
}

impl Looking {
    /// Opens both trees, and proves them.
    pub(crate) fn open(job: &UnitJob, io: &dyn StepIo) -> Result<Self, StepError> {
        let (from, to) = Sides::to_look(job, io)?.open_both()?;
        Ok(Self {
            from: Arc::new(from),
            to: Arc::new(to),
            chosen: Arc::new(Chosen::new(&job.select)?),
            read: job.direction.from(),
            threads: threads(job),
        })
    }

    /// Proves both sides again.
    pub(crate) fn prove(&self) -> Result<(), StepError> {
        self.from.prove()?;
        self.to.prove()
    }
}
