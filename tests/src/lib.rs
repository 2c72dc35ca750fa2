//! What the tests share. For scenarios: a scratch copy of the quickstart, the released binary, file systems of
//! their own, real servers, seeds, what every scenario asks at its end, comparing trees. For laws: a world in a file that survives
//! SIGKILL, and the lab that runs the tool in it and kills it on request.

pub mod lab;
mod mapping;
pub mod memory;
mod mount;
pub mod oracle;
mod outcome;
mod pane;
mod prometheus;
mod random;
mod running;
mod scratch;
pub mod servers;
mod timing;
mod tree;
mod web;

pub use mapping::Mapping;
pub use mount::{Bound, Mount, run};
pub use pane::Pane;
pub use prometheus::Prometheus;
pub use random::{Random, rounds, say};
pub use running::{Running, wait_long, wait_until};
pub use scratch::{Ran, Scratch, program, segue_binary};
pub use tree::{Difference, compare_trees};
pub use web::{Answer, Asked, Web};
