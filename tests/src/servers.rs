//! Real servers of the tests' own, started from nothing: search servers, BIND, HAProxy, and what is needed around them. Each
//! lies in a directory of its own, listens on the loopback alone, and ends with the test binary, however that ends.
//!
//! A test that needs a server fails where it cannot be had; `tests/run` installs and fetches what is needed, and a test that is
//! run by hand lays its search server out by itself the first time.

mod bind;
mod certificates;
mod client;
mod cluster;
mod faulty;
mod haproxy;
mod kept;
mod place;
mod search;
mod signature;
mod signed;
mod version;
pub mod wordnet;
pub mod writer;

pub use bind::{Bind, look_up};
pub use certificates::Certificates;
pub use client::{Client, Document, Failure, Reply};
pub use cluster::Cluster;
pub use faulty::{Deed, Faulty, Passing};
pub use haproxy::{Backend, HaProxy};
pub use place::{Port, SharedDir};
pub use search::{Options, SearchServer};
pub use signature::{Keys, Signed, refusal};
pub use signed::SignedFront;
pub use version::Version;
