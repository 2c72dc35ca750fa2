//! The `memory` provider: two or more stores of records in one JSON file, with simulated writers that follow
//! a route, a log of effects, and a fault script. It plays every role of the contract, so that the laws of
//! the core can be tested without a real system, and it survives the death of the process.

mod documents;
mod endpoint;
mod engine;
mod fault;
mod probe;
mod quiesce;
mod route;
mod traced;
mod world;
mod writers;

use std::sync::Arc;

use segue_contract::{AttributeSchema, AttributeType, BlockKind, BlockSchema, Registry};

pub use fault::{Deed, Fault};
pub use world::{Answers, Author, Effect, Handle, Record, Store, World};
pub use writers::{Acknowledged, Write, expected, write_of};

use endpoint::MemoryEndpoint;
use engine::MemoryEngine;
use probe::MemoryProbe;
use quiesce::{Block, FromOutside, Writers};
use route::MemoryRoute;
use traced::TracedDocuments;

/// The name of the endpoints', the writers' quiesce's and the route's type.
pub const MEMORY: &str = "memory";
/// The name of the type of endpoints whose records the documents engine carries.
pub const MEMORY_DOCUMENTS: &str = "memory_documents";
/// The name of the quiesce that acts on the data.
pub const MEMORY_BLOCK: &str = "memory_block";
/// The one unit of a store.
pub const UNIT: &str = "all";

/// Adds the provider.
pub fn register(registry: &mut Registry) {
    for schema in schemas() {
        registry.schema(schema);
    }
    registry
        .add_endpoint(MEMORY, Arc::new(MemoryEndpoint))
        .add_engine(MEMORY, MEMORY, Arc::new(MemoryEngine))
        .add_endpoint(MEMORY_DOCUMENTS, Arc::new(MemoryEndpoint))
        .add_engine(MEMORY_DOCUMENTS, MEMORY_DOCUMENTS, Arc::new(TracedDocuments::new()))
        .add_quiesce(MEMORY, Arc::new(Writers))
        .add_quiesce(MEMORY_BLOCK, Arc::new(Block))
        .add_fence(MEMORY, Arc::new(FromOutside))
        .add_route(MEMORY, Arc::new(MemoryRoute))
        .add_gate(MEMORY, Arc::new(MemoryProbe { call: "gate.look" }))
        .add_watch(MEMORY, Arc::new(MemoryProbe { call: "watch.look" }));
}

fn schemas() -> Vec<BlockSchema> {
    let world = || AttributeSchema::required("world", AttributeType::Path, "The file that holds the world.");
    let of = |what: &str| {
        AttributeSchema::optional(
            "name",
            AttributeType::String,
            &format!("The name of the {what} in the world."),
        )
    };
    let barrier = AttributeSchema::optional(
        "barrier",
        AttributeType::String,
        "What a closed store does with Segue's own writes: `identity` takes them, `none` refuses them too.",
    )
    .allowed(&["identity", "none"])
    .default("identity".into());
    let endpoint = |kind, name: &str| BlockSchema {
        kind,
        name: name.to_owned(),
        doc: "A store of records in the world's file.".to_owned(),
        attributes: vec![world(), of("store"), barrier.clone()],
    };
    let quiesce = |name: &str, doc: &str| BlockSchema {
        kind: BlockKind::Quiesce,
        name: name.to_owned(),
        doc: doc.to_owned(),
        attributes: vec![world()],
    };
    let probe = |kind| BlockSchema {
        kind,
        name: MEMORY.to_owned(),
        doc: "Answers what the world's script says.".to_owned(),
        attributes: vec![world(), of("answers")],
    };
    let side = |side| AttributeSchema::required(side, AttributeType::String, "The store that this side is.");
    vec![
        endpoint(BlockKind::Source, MEMORY),
        endpoint(BlockKind::Target, MEMORY),
        endpoint(BlockKind::Source, MEMORY_DOCUMENTS),
        endpoint(BlockKind::Target, MEMORY_DOCUMENTS),
        probe(BlockKind::Gate),
        probe(BlockKind::Watch),
        quiesce(MEMORY, "Stops the world's writers."),
        quiesce(MEMORY_BLOCK, "Makes a store refuse its clients' writes."),
        BlockSchema {
            kind: BlockKind::Route,
            name: MEMORY.to_owned(),
            doc: "What the world's writers follow.".to_owned(),
            attributes: vec![world(), of("route"), side("source"), side("target")],
        },
    ]
}
