//! What the tests share. For scenarios: a scratch copy of the quickstart, the released binary, comparing
//! trees. For laws: a world in a file that survives SIGKILL, and the lab that runs the tool in it and kills
//! it on request.

pub mod lab;
pub mod memory;
mod scratch;
mod tree;

pub use scratch::{Ran, Scratch, segue_binary};
pub use tree::{Difference, compare_trees};
