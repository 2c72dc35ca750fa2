//! What the planner and the providers say to each other, and nothing else.
//!
//! This package is small and changes seldom: providers depend on it alone, so that an edit of the
//! language or of the planner rebuilds no engine. It knows no HCL, no journal, no tokio.
//!
//! The roles a provider can play are the traits [`Endpoint`], [`Engine`], [`Quiesce`], [`Route`] and [`Probe`];
//! what they are called with is plain data that the journal can hold (secrets only by reference), so
//! that a cutover in flight can be settled from the journal alone.

mod address;
mod block;
mod engine;
mod error;
mod facts;
mod marker;
pub mod paths;
mod probe;
mod quiesce;
mod registry;
mod route;
mod schema;
mod step;

pub use address::{Address, Side};
pub use block::{BlockRef, Config, ConfigError, Secret, SecretRef, Setting};
pub use engine::{Audit, AuditReport, 
    ArtifactName, Direction, DriftReport, Engine, LoadMode, LoadModeSchema, LoadSettings, PassReport,
    PassTimes, Position, Select, SetAside, StaleFind, StaleReport, Transform, UnitJob, UnitName, VerifyCall,
    VerifyLevel, VerifyMismatch, VerifyReport,
};
pub use error::{ErrorClass, StepError};
pub use facts::{Barrier, EndpointFacts, Finding, Identity, Severity, UnitFacts};
pub use marker::{Claim, Marker, MarkerError};
pub use probe::{Probe, Reading};
pub use quiesce::{BarrierState, Fence, Holder, InUse, Quiesce, QuiesceCall, QuiesceKind, Reopeners};
pub use registry::{Endpoint, Registry};
pub use route::{Route, RouteAt};
pub use schema::{AttributeSchema, AttributeType, BlockKind, BlockSchema};
pub use step::{Checkpoint, Progress, StepIo};
