//! The files engine on real trees: a directory a side, everything compared by a comparer of its own.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests make and damage files by hand, and fail by panicking, also outside test functions"
)]

mod audit;
mod churn;
mod corrupt;
mod everything;
mod holes;
mod killed;
mod mutate;
mod passes;
mod renames;
mod space;
mod stale;
mod world;
