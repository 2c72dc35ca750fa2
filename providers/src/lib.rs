//! Providers: the engines that move data, and the systems that they move it between.

pub mod engines;
pub mod ledger;
