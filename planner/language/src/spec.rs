//! Blocks: what a spec's files declare, checked against shapes, resolved in order of dependency, decoded to
//! [`crate::Desired`]. Every problem is collected; nothing here looks at the systems.

mod apart;
mod body;
mod cutover;
mod declare;
mod decode;
mod graph;
mod load;
mod migration;
mod resolve;
mod semantic;
mod shape;
mod table;
mod variables;
mod version;
mod words;
mod world;

pub use cutover::SPEC_LIVE;
pub use load::{Loaded, SpecInput, Variables, load};
pub use shape::{AttributeShape, BlockShape, BodyShape, ShapeType};
pub use table::core_blocks;
