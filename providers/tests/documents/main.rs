//! The documents engine against a system in memory: what a real server would do at its worst, at every instant.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests read what was kept by hand, and fail by panicking, also outside test functions"
)]

mod carrying;
mod deletions;
mod dying;
mod filling;
mod step;
mod strangers;
mod world;
