//! The engines: the hard part of moving a class of data, written once for every system that holds it.

mod beside;
pub mod documents;
pub mod files;
mod kept;
pub(crate) mod report;
