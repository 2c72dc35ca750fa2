//! An index's settings on their way: what only this one index has, what only one product has, what goes along.

use serde_json::{Map, Value};

use super::Said;
use crate::search::about::{About, Product, Version};

/// The settings that a load changes and puts back after.
pub(crate) const REPLICAS: &str = "index.number_of_replicas";
/// See [`REPLICAS`].
pub(crate) const REFRESH: &str = "index.refresh_interval";
/// By what documents are dealt out to shards: the same number, or they lie elsewhere.
pub(crate) const ROUTING_SHARDS: &str = "index.number_of_routing_shards";
/// To how many shards the documents of one routing go.
pub(crate) const PARTITION_SIZE: &str = "index.routing_partition_size";
/// A pipeline that every write runs through, also Segue's.
pub(crate) const FINAL_PIPELINE: &str = "index.final_pipeline";

/// What the server gives an index, or what is Segue's to set: it means nothing elsewhere. Names, or beginnings that end
/// with a dot.
const OF_THE_INSTANCE: [&str; 17] = [
    "index.uuid",
    "index.creation_date",
    "index.creation_date_string",
    "index.provided_name",
    "index.version.",
    "index.blocks.",
    "index.resize.",
    "index.shrink.",
    "index.history.",
    "index.verified_before_close",
    "index.history_uuid",
    "index.routing.allocation.initial_recovery.",
    "index.allocation.existing_shards_allocator",
    "index.mapping.single_type",
    "index.frozen",
    "index.search.throttled",
    "index.transport_version",
];

/// What only Elasticsearch has, and what takes its place.
const ELASTICSEARCH_ONLY: [(&str, &str); 9] = [
    ("index.lifecycle.", "Define an ISM policy at the target for what the lifecycle policy did."),
    ("index.xpack.", "See whether the target needs anything in its place."),
    ("index.routing.allocation.include._tier_preference", "The target has no data tiers."),
    ("index.routing.allocation.include._tier", "The target has no data tiers."),
    ("index.mode", "Time series and logs modes do not exist at the target; the index takes more room there."),
    ("index.time_series.", "Time series modes do not exist at the target."),
    ("index.routing_path", "Time series modes do not exist at the target."),
    ("index.mapping.source.mode", "The source is stored at the target; the index takes more room there."),
    ("index.dimensions", "Time series modes do not exist at the target."),
];

/// What only OpenSearch has.
const OPENSEARCH_ONLY: [(&str, &str); 8] = [
    ("index.plugins.", "Define an ILM policy at the target for what the ISM policy did."),
    ("index.opendistro.", "Define an ILM policy at the target for what the ISM policy did."),
    ("index.knn", "Vectors are a part of the server at the target, and need no setting."),
    ("index.replication.", "The target has document replication alone."),
    ("index.remote_store.", "The target has no remote store."),
    ("index.search.concurrent", "The target decides that by itself."),
    ("index.composite_index", "The target has no composite indices."),
    ("index.derived_source.", "The source is stored at the target."),
];

/// Where shards lie: names of nodes that the other cluster does not have.
const PLACES: [&str; 3] = [
    "index.routing.allocation.include.",
    "index.routing.allocation.exclude.",
    "index.routing.allocation.require.",
];

/// What clients see the effect of, and every version knows: names, or beginnings that end with a dot. Copies, refreshes and
/// where shards lie are each cluster's own.
const SEEN_BY_CLIENTS: [&str; 15] = [
    "index.analysis.",
    "index.similarity.",
    "index.mapping.total_fields.limit",
    "index.mapping.depth.limit",
    "index.mapping.nested_fields.limit",
    "index.mapping.coerce",
    "index.mapping.ignore_malformed",
    "index.max_result_window",
    "index.max_inner_result_window",
    "index.max_rescore_window",
    "index.max_ngram_diff",
    "index.max_shingle_diff",
    "index.max_terms_count",
    "index.query.default_field",
    "index.default_pipeline",
];

/// Whether clients see the effect of a setting.
pub(crate) fn is_seen_by_clients(name: &str) -> bool {
    SEEN_BY_CLIENTS.iter().any(|table| begins(name, table))
}

fn begins(name: &str, table: &str) -> bool {
    if table.ends_with('.') {
        name.starts_with(table)
    } else {
        name == table || name.starts_with(&format!("{table}."))
    }
}

/// Whether a setting belongs to one index and not to what it is.
pub(crate) fn is_of_the_instance(name: &str) -> bool {
    OF_THE_INSTANCE.iter().any(|table| begins(name, table))
}

/// Translates settings by flat name.
pub(super) fn translated(
    settings: &Map<String, Value>,
    from: &About,
    to: &About,
    said: &mut Said,
) -> Map<String, Value> {
    let other: &[(&str, &str)] = match (from.product, to.product) {
        (Product::Elasticsearch, Product::OpenSearch) => &ELASTICSEARCH_ONLY,
        (Product::OpenSearch, Product::Elasticsearch) => &OPENSEARCH_ONLY,
        _ => &[],
    };
    let mut kept = Map::new();
    let mut left: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places = Vec::new();
    for (name, value) in settings {
        // Elasticsearch puts every index there by itself.
        let is_usual_tier = name.ends_with("._tier_preference") && value == "data_content";
        if is_of_the_instance(name) || is_usual_tier || is_gone(name, value, to) {
            continue;
        }
        if let Some((_, remedy)) = other.iter().find(|(table, _)| begins(name, table)) {
            match left.iter_mut().find(|(known, _)| known == remedy) {
                Some((_, names)) => names.push(name),
                None => left.push((remedy, vec![name])),
            }
        } else if PLACES.iter().any(|table| name.starts_with(table)) {
            places.push(name.as_str());
        } else if name == FINAL_PIPELINE && value != "_none" {
            final_pipeline(value, said);
        } else {
            kept.insert(name.clone(), value.clone());
        }
    }
    for (remedy, names) in left {
        let what = format!("{} is {}'s alone, and is left out", names.join(", "), from.product.as_str());
        said.warning("SEARCH_SETTING", what, remedy);
    }
    if !places.is_empty() {
        said.info(
            "SEARCH_ALLOCATION",
            format!("{} names nodes of the source's cluster, and is left out", places.join(", ")),
            "Set it at the target when shards are to lie on certain nodes there.",
        );
    }
    if to.product == Product::OpenSearch && !kept.contains_key("index.knn") && said.vectors {
        kept.insert("index.knn".to_owned(), Value::from("true"));
    }
    kept
}

fn final_pipeline(value: &Value, said: &mut Said) {
    said.warning(
        "SEARCH_FINAL_PIPELINE",
        format!(
            "{FINAL_PIPELINE} ({}) would run on what Segue carries, too, and is left out",
            value.as_str().unwrap_or("?")
        ),
        "Set it at the target after the switch is finished. At the source it is lifted while what the target took is carried back.",
    );
}

/// What a later version does not take any more.
fn is_gone(name: &str, value: &Value, to: &About) -> bool {
    let seven = !to.has_types();
    let eight = to.product == Product::Elasticsearch && to.version >= Version(8, 0, 0);
    match name {
        "index.mapper.dynamic" => seven,
        // Always on where there is no choice.
        "index.soft_deletes.enabled" => seven && value != "true" || eight,
        "index.translog.retention.size" | "index.translog.retention.age" => true,
        "index.merge.policy.max_merge_at_once_explicit" => seven,
        "index.max_adjacency_matrix_filters" => eight,
        "index.force_memory_term_dictionary" => true,
        "index.hidden" => !to.has_hidden(),
        _ => false,
    }
}
