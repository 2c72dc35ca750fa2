//! Elasticsearch and OpenSearch: clusters of search servers as sources and targets, with indices as units.
//!
//! Data flows from [`cluster`] (one thin client for both products: plain JSON, no product check) through [`about`] (which of
//! them it is, and what that version can) to [`observe`] and [`pair`] (facts and findings; they change nothing), and to
//! [`make`] (an index at the target from the source's, by what [`carry`] translates). [`notes`] is where Segue keeps markers
//! and what it will put back; [`write_block`], [`alias`] and [`probes`] are the quiesce, the route and what gates ask.

mod about;
mod alias;
mod by_hand;
mod carry;
mod cluster;
mod collection;
mod dry;
mod fill;
mod indices;
mod make;
mod marker;
mod names;
mod notes;
mod observe;
mod pair;
mod probes;
mod refusal;
mod surroundings;
mod tasks;
mod texts;
mod tune;
mod write_block;

use std::sync::Arc;

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Claim, Endpoint, EndpointFacts,
    Finding, Holder, InUse, Marker, MarkerError, Registry, Severity, StepError, StepIo, SystemPath, UnitName,
    server_address,
};
use serde_json::json;

use crate::engines::documents::{Documents, DocumentsEngine};
use crate::http;
use cluster::Cluster;

pub use collection::SearchDocuments;

/// The block type of Elasticsearch clusters.
const ELASTICSEARCH: &str = "elasticsearch";
/// The block type of OpenSearch clusters.
const OPENSEARCH: &str = "opensearch";
/// The attribute of a target that names data streams to be made.
const DATA_STREAMS: &str = "data_streams";
/// How long a request may take when the spec says nothing, in milliseconds: more than the 30 s that servers give a change
/// of the cluster's state.
const TIMEOUT_DEFAULT_MS: u64 = 40_000;

/// Adds both systems, their quiesce, their route and their probes.
pub(crate) fn register(registry: &mut Registry) {
    for provider in [ELASTICSEARCH, OPENSEARCH] {
        for kind in [BlockKind::Source, BlockKind::Target] {
            registry.schema(schema(kind, provider));
        }
        registry.add_endpoint(provider, Arc::new(Search));
    }
    let documents: Arc<dyn Documents> = Arc::new(SearchDocuments);
    for source in [ELASTICSEARCH, OPENSEARCH] {
        for target in [ELASTICSEARCH, OPENSEARCH] {
            let engine = DocumentsEngine::new(Arc::clone(&documents), Arc::clone(&documents));
            registry.add_engine(source, target, Arc::new(engine));
        }
    }
    registry
        .schema(write_block::schema())
        .add_quiesce("write_block", Arc::new(write_block::WriteBlock))
        .schema(alias::schema())
        .add_route("search_alias", Arc::new(alias::SearchAlias));
    probes::register(registry);
}

/// How a cluster is reached: its nodes, login, TLS, time-out.
fn connection() -> Vec<AttributeSchema> {
    let mut attributes = vec![
        AttributeSchema::optional(
            "url",
            AttributeType::String,
            "The cluster's address, https://host:9200; or `urls`.",
        ),
        AttributeSchema::optional(
            "urls",
            AttributeType::Words,
            "The addresses of several of its nodes: the next one is asked when one is down.",
        ),
    ];
    attributes.extend(http::attributes().into_iter().map(|attribute| {
        match attribute.name.as_str() {
            "timeout" => AttributeSchema::optional(
                "timeout",
                AttributeType::Duration,
                "How long one request may take as a whole. Default 40s.",
            )
            .default(json!(TIMEOUT_DEFAULT_MS)),
            _ => attribute,
        }
    }));
    attributes
}

fn schema(kind: BlockKind, provider: &str) -> BlockSchema {
    let (product, versions) = match provider {
        OPENSEARCH => ("OpenSearch", "1 and 2; 3 is untested"),
        _ => ("Elasticsearch", "6.8 to 8"),
    };
    let role = match kind {
        BlockKind::Source => {
            "whose indices are moved. Segue changes nothing in it but its notes, in .segue-markers"
        }
        _ => {
            "that receives indices. They are made from the source's where they are not there, with templates, pipelines and aliases"
        }
    };
    let mut attributes = connection();
    attributes.extend([
        AttributeSchema::optional(
            "indices",
            AttributeType::Words,
            "The indices that can be selected, names and patterns with *. A hidden or system index has to be named in full. \
             Default: all that are neither.",
        ),
        AttributeSchema::optional(
            observe::BARRIER,
            AttributeType::String,
            "What keeps clients from writing to it while the other side serves and Segue writes: a role that only Segue \
             has, or that clients do not know the indices' names. Segue cannot see either. Default: nothing does.",
        )
        .allowed(&["role", "name"]),
    ]);
    if kind == BlockKind::Target {
        attributes.push(AttributeSchema::optional(
            DATA_STREAMS,
            AttributeType::Words,
            "Data streams of the source that are made here, empty, with the templates that match them, when an index is \
             made: for events that are sent to both sides. They are no units.",
        ));
    }
    BlockSchema {
        kind,
        name: provider.to_owned(),
        doc: format!("A cluster of {product} ({versions}) {role}."),
        attributes,
    }
}

/// A search cluster, of either product.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search;

impl Endpoint for Search {
    fn observe(&self, block: &BlockRef, io: &dyn StepIo) -> Result<EndpointFacts, StepError> {
        observe::facts(block, io)
    }

    fn declared_places(&self, block: &BlockRef) -> Vec<SystemPath> {
        let nodes = cluster::nodes(block).unwrap_or_default();
        nodes.iter().map(|url| SystemPath::units_of(format!("cluster {}", server_address(url)))).collect()
    }

    /// What shows without looking: the rest is told by [`Endpoint::compare`].
    fn check_pair(&self, source: &BlockRef, target: &BlockRef) -> Vec<Finding> {
        [source, target]
            .into_iter()
            .flat_map(|block| {
                let mut found = http::check("SEARCH_SETTINGS", block);
                found.extend(cluster::nodes(block).err().map(|error| Finding {
                    severity: Severity::Critical,
                    code: "SEARCH_SETTINGS".to_owned(),
                    summary: error.to_string(),
                    remedy: error.remedy.unwrap_or_default(),
                }));
                found
            })
            .collect()
    }

    fn compare(
        &self,
        source: &BlockRef,
        target: &BlockRef,
        units: &[UnitName],
        io: &dyn StepIo,
    ) -> Vec<Finding> {
        pair::findings(source, target, units, io)
    }

    fn scratch(&self, target: &BlockRef, tag: &str) -> Result<(BlockRef, Vec<Finding>), StepError> {
        let scratch = names::scratch(target, tag);
        let beside = Finding {
            severity: Severity::Info,
            code: "REHEARSE_PLACE".to_owned(),
            summary: format!(
                "the copy lies in the cluster of {}, as indices {}*",
                target.address,
                names::prefix(&scratch)
            ),
            remedy: "See that no alias or client of yours takes every index.".to_owned(),
        };
        Ok((scratch, vec![beside]))
    }

    /// A cluster is not made; indices are, by whoever fills them.
    fn provision(&self, block: &BlockRef, io: &dyn StepIo) -> Result<bool, StepError> {
        Cluster::of(block, io)?.about()?;
        Ok(!names::prefix(block).is_empty())
    }

    fn in_use(&self, block: &BlockRef, io: &dyn StepIo) -> Result<InUse, StepError> {
        let cluster = Cluster::kept(block, io)?;
        let names = if block.scope.is_empty() { Vec::new() } else { names::scope(block)? };
        let holder = |task: tasks::WriteTask| Holder {
            pid: 0,
            command: format!("{} ({})", task.action, task.id),
            what: format!("a write on its way: {}", task.what),
        };
        Ok(match tasks::writes(&cluster, &names) {
            Ok(found) => InUse { holders: found.into_iter().map(holder).collect(), incomplete: None },
            Err(error) => InUse { holders: Vec::new(), incomplete: Some(error.to_string()) },
        })
    }

    fn marker(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Option<Marker>, MarkerError> {
        marker::read(&Cluster::kept(block, io)?, &names::scope(block)?)
    }

    fn write_marker(&self, block: &BlockRef, claim: &Claim, io: &dyn StepIo) -> Result<(), MarkerError> {
        marker::write(&Cluster::kept(block, io)?, &names::scope(block)?, claim)
    }

    fn remove_marker(&self, block: &BlockRef, state_id: &str, io: &dyn StepIo) -> Result<(), MarkerError> {
        let (cluster, names) = (Cluster::kept(block, io)?, names::scope(block)?);
        marker::remove(&cluster, &names, state_id)?;
        Ok(write_block::forget(&cluster, &names)?)
    }

    fn marker_by_hand(&self, block: &BlockRef) -> String {
        let names = match names::scope(block) {
            Ok(names) => names,
            Err(_) => return format!("{} at {}", names::NOTES, block.address),
        };
        let places = names.iter().map(|name| notes::Notes::place(notes::Kind::Marker, name));
        format!("{} at {}", places.collect::<Vec<_>>().join(", "), block.address)
    }
}
