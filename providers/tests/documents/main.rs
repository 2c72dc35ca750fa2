//! The documents engine against a system in memory: what a real server would do at its worst, at every instant.

mod carrying;
mod dying;
mod strangers;
mod world;
