//! The providers `elasticsearch` and `opensearch` against real servers.

#![expect(clippy::expect_used, clippy::panic, reason = "a test cannot go on without its server")]

mod aliases;
mod blocks;
mod collections;
mod facts;
mod making;
mod markers;
mod modes;
mod probes;
mod servers;
mod versions;
mod world;
