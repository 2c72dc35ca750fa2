//! The pure half of Segue: from a checked spec, the recorded state and what was observed, to a plan; and
//! from the journal's events to the state. No clock, no randomness, no I/O, no tokio, no sled.
//!
//! ```text
//! HCL text -syntax-> bodies with spans -lang, spec-> Desired        (segue-language)
//!     providers -observe-> Observed --+   (finished before planning starts)
//!                          Desired ---+-diff-> Changes -plan-> Plan + notes
//! Plan -approve-> ApprovedPlan -execute-> Events -journal-> durable -fold-> State -render-> text / JSON
//! ```

pub mod cutover;
pub mod diff;
pub mod event;
pub mod graph;
pub mod observe;
pub mod plan;
pub mod state;
