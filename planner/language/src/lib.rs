//! The language of specs: HCL text to a checked, resolved [`Desired`].
//!
//! ```text
//! HCL text -syntax-> bodies with spans -lang, spec-> Desired (+ all diagnostics, as data)
//! ```

mod conflicts;
mod desired;
mod lang;
mod spec;
mod syntax;

pub use conflicts::{Conflict, Use, conflicts};
pub use desired::{
    AUDIT_SAMPLE, CutoverDecl, Day, Desired, FallbackDecl, GateCondition, GateDecl, MAX_AGE_DEFAULT_MS,
    MigrationDecl, Origin, QuiesceDecl, RehearseDecl, RehearseMode, RouteDecl, RunLimits, SET_ASIDE, Secrets,
    Term, VerifyDecl, WAIVABLE, WaiverDecl, WatchDecl, WeightsDecl, WindowDecl, assumed,
};
pub use lang::{
    BlockValue, Collection, Condition, Data, Judged, LooksAt, Number, Sealed, Sensitivity, TooLarge, Value,
    Verdict, parse_bytes, parse_duration_ms, parse_rate,
};
pub use spec::{
    AttributeShape, BlockShape, BodyShape, Loaded, SPEC_LIVE, ShapeType, SpecInput, Variables, core_blocks,
    load,
};
pub use syntax::{Diagnostic, Label, Severity, Source, Span, SpecPath, format, nearest};
