//! The files engine on real trees: a directory a side, everything compared by a comparer of its own.

#![expect(clippy::disallowed_methods, reason = "tests make and damage files by hand")]

mod corrupt;
mod everything;
mod killed;
mod mutate;
mod passes;
mod space;
mod stale;
mod world;
