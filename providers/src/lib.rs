//! Providers: the engines that move data, and the systems that they move it between.

mod directory;

pub use directory::{Directory, schemas};
