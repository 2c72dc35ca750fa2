//! What the planner and the providers say to each other, and nothing else.
//!
//! This package is small and changes seldom: providers depend on it alone, so that an edit of the
//! language or of the planner rebuilds no engine. It knows no HCL, no journal, no tokio.
//!
//! The roles a provider can play are the traits [`Endpoint`], [`Engine`], [`Quiesce`], [`Route`] and [`Probe`];
//! what they are called with is plain data that the journal can hold (secrets only by reference), so
//! that a cutover in flight can be settled from the journal alone.

mod address;
mod audit;
mod block;
mod deletions;
mod engine;
mod error;
mod facts;
mod marker;
mod pasted;
pub mod paths;
mod probe;
mod quiesce;
mod registry;
mod route;
mod schema;
mod step;
mod system_path;
mod waits;

pub use address::{Address, Side};
pub use audit::{Audit, AuditReport};
pub use block::{BlockRef, Config, ConfigError, Secret, SecretRef, Setting};
pub use deletions::{DeletionTerms, Deletions, KeptDeleted, MaxDeletions, TooManyDeletions};
pub use engine::{
    ArtifactName, Direction, DriftReport, Engine, LoadMode, LoadModeSchema, LoadSettings, PassReport,
    PassTimes, Position, Select, SetAside, StaleFind, StaleReport, Transform, UnitJob, UnitName, VerifyCall,
    VerifyLevel, VerifyMismatch, VerifyReport,
};
pub use error::{ErrorClass, StepError};
pub use facts::{Barrier, EndpointFacts, Finding, Identity, Severity, UnitFacts};
pub use marker::{Claim, Marker, MarkerError};
pub use pasted::{CalledWith, SegueCommand, called_with, segue, shell_word};
pub use probe::{Probe, Reading};
pub use quiesce::{BarrierState, Fence, Holder, InUse, Quiesce, QuiesceCall, QuiesceKind, Reopeners};
pub use registry::{Endpoint, Registry};
pub use route::{Route, RouteAt};
pub use schema::{AttributeSchema, AttributeType, BlockKind, BlockSchema};
pub use step::{Checkpoint, Progress, StepIo};
pub use system_path::{SystemPath, server_address};
pub use waits::{Wait, Waiting, waiting, waits};
