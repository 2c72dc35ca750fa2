//! What the workers of one load, pass or repair share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use segue_contract::{Address, Side, StepError, StepIo, UnitJob};

use super::audit;
use super::finds::Finds;
use super::inflight::Inflight;
use super::mapped::Mapped;
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
    pub(crate) mapped: Arc<Mapped>,
    /// Whether nobody writes to the side that is read.
    pub(crate) quiet: bool,
    /// How many of a million unchanged files are read, and which turn of them.
    pub(crate) sample: (u32, u64),
    pub(crate) migration: Address,
    pub(crate) threads: usize,
    /// Set when a worker failed for good.
    pub(crate) stop: AtomicBool,
    /// Whether sharing extents is worth a try.
    pub(crate) clones: AtomicBool,
    /// Whether the written side rounds times.
    pub(crate) coarse: AtomicBool,
    /// Bytes of content written.
    pub(crate) bytes: AtomicU64,
}

impl<'a> Work<'a> {
    /// Opens both trees.
    pub(crate) fn open(
        job: &UnitJob,
        io: &'a dyn StepIo,
        unknown: Unknown,
        pass: u64,
        resumed: bool,
    ) -> Result<Self, StepError> {
        let from = Arc::new(Tree::open(job.reads().path("path")?)?);
        Ok(Self {
            io,
            mapped: Mapped::watch(&from, side_file(io.artifacts(), "mapped", job))?,
            quiet: job.quiet,
            sample: (job.audit.sample_ppm, audit::turn(job, io.artifacts())?),
            from,
            to: Arc::new(Tree::open(job.writes().path("path")?)?),
            chosen: Arc::new(Chosen::new(&job.select)?),
            read: job.direction.from(),
            pass,
            unknown,
            resumed,
            inflight: Inflight::open(&side_file(io.artifacts(), "inflight", job), job.ledger.as_ref())?,
            finds: Finds::open(&side_file(io.artifacts(), "finds", job), job.ledger.as_ref())?,
            migration: job.migration.clone(),
            threads: threads(job),
            stop: AtomicBool::new(false),
            clones: AtomicBool::new(true),
            coarse: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        })
    }

    /// The side that is written.
    pub(crate) fn write(&self) -> Side {
        self.read.other()
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
    /// Opens both trees.
    pub(crate) fn open(job: &UnitJob) -> Result<Self, StepError> {
        Ok(Self {
            from: Arc::new(Tree::open(job.reads().path("path")?)?),
            to: Arc::new(Tree::open(job.writes().path("path")?)?),
            chosen: Arc::new(Chosen::new(&job.select)?),
            read: job.direction.from(),
            threads: threads(job),
        })
    }
}
