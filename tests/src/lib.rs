//! What the scenario tests share: a scratch copy of the quickstart, the released binary, file systems of their own,
//! seeds, what every scenario asks at its end, and comparing trees.

mod mount;
mod outcome;
mod random;
mod running;
mod scratch;
mod tree;

pub use mount::{Bound, Mount, run};
pub use random::{Random, rounds, say};
pub use running::{Running, wait_until};
pub use scratch::{Ran, Scratch, segue_binary};
pub use tree::{Difference, compare_trees};
