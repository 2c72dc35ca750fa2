//! What the scenario tests share: a scratch copy of the quickstart, the released binary, and comparing trees.

mod scratch;
mod tree;

pub use scratch::{Ran, Scratch, segue_binary};
pub use tree::{Difference, compare_trees};
