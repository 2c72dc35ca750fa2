//! What a cluster is: product, version, name, and what that version can do.

use std::fmt;

use segue_contract::StepError;
use serde_json::Value;

use super::cluster::{Ask, Cluster};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Elasticsearch,
    OpenSearch,
}

impl Product {
    /// The block type that is meant for it.
    pub(crate) fn provider(self) -> &'static str {
        match self {
            Self::Elasticsearch => super::ELASTICSEARCH,
            Self::OpenSearch => super::OPENSEARCH,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }
}

/// A version of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// Reads `7.10.2`, `8.0.0-rc1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = text.split('-').next()?;
        let mut numbers = plain.split('.').map(|n| n.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A cluster's own account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) product: Product,
    pub(crate) version: Version,
    /// The cluster's name, for people.
    pub(crate) name: String,
    /// The cluster's id, which no other cluster has.
    pub(crate) uuid: String,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product.as_str(), self.version)
    }
}

impl About {
    /// Asks `GET /`. A server that has no such page (405) is asked for its nodes.
    pub(super) fn ask(cluster: &Cluster) -> Result<Self, StepError> {
        let root = Ask::get("/");
        let about = match cluster.answer(&root)? {
            Ok(value) => Self::of_root(cluster, &value)?,
            Err(refusal)
                if refusal.status == 404 && cluster.answer(&nodes())?.is_err_and(|e| e.status == 404) =>
            {
                return Err(StepError::permanent(format!(
                    "{}: nothing at its url is a search cluster (HTTP 404)",
                    cluster.address
                ))
                .remedy(
                    "a path in `url` is what a proxy puts before the cluster's own paths: correct it, or leave it out",
                ));
            }
            Err(refusal) if matches!(refusal.status, 400 | 404 | 405) => Self::of_nodes(cluster)?,
            Err(refusal) => return Err(refusal.step(super::cluster::Effect::Read)),
        };
        if about.uuid.is_empty() || about.uuid == "_na_" {
            return Err(StepError::transient(format!("{}: the cluster has not formed yet", cluster.address))
                .remedy("see whether its nodes find each other and elect a manager"));
        }
        Ok(about)
    }

    fn of_root(cluster: &Cluster, root: &Value) -> Result<Self, StepError> {
        let version = &root["version"];
        let product = match version["distribution"].as_str() {
            Some("opensearch") => Product::OpenSearch,
            _ => Product::Elasticsearch,
        };
        let number = version["number"].as_str().unwrap_or_default().to_owned();
        // OpenSearch may be told to say that it is 7.10.2; its nodes say what they are.
        let number = if product == Product::OpenSearch && number.starts_with("7.") {
            node_version(cluster)?.unwrap_or(number)
        } else {
            number
        };
        Ok(Self {
            product,
            version: parse(cluster, &number)?,
            name: root["cluster_name"].as_str().unwrap_or_default().to_owned(),
            uuid: root["cluster_uuid"].as_str().unwrap_or_default().to_owned(),
        })
    }

    fn of_nodes(cluster: &Cluster) -> Result<Self, StepError> {
        let number = node_version(cluster)?.unwrap_or_default();
        let state = cluster.json(&Ask::get("/_cluster/state/version"))?;
        Ok(Self {
            product: Product::Elasticsearch,
            version: parse(cluster, &number)?,
            name: state["cluster_name"].as_str().unwrap_or_default().to_owned(),
            uuid: state["cluster_uuid"].as_str().unwrap_or_default().to_owned(),
        })
    }

    fn is(&self, product: Product) -> bool {
        self.product == product
    }

    /// At least this version of Elasticsearch, or any OpenSearch (which began at 7.10.2).
    fn since_elasticsearch(&self, major: u32, minor: u32) -> bool {
        self.is(Product::OpenSearch) || self.version >= Version(major, minor, 0)
    }

    fn since(&self, product: Product, major: u32, minor: u32) -> bool {
        self.is(product) && self.version >= Version(major, minor, 0)
    }

    /// Whether mappings have types (Elasticsearch 6).
    pub(crate) fn has_types(&self) -> bool {
        !self.since_elasticsearch(7, 0)
    }

    /// Whether `PUT /INDEX/_block/write` waits for the writes on their way.
    pub(crate) fn has_block_api(&self) -> bool {
        self.since_elasticsearch(7, 9)
    }

    /// Whether indices can be hidden, and lists of indices take hidden ones only when told.
    pub(crate) fn has_hidden(&self) -> bool {
        self.since_elasticsearch(7, 7)
    }

    /// Whether an index can run a last pipeline on every write.
    pub(crate) fn has_final_pipeline(&self) -> bool {
        self.since_elasticsearch(7, 5)
    }

    /// Whether there are composable index templates, and a template can be tried without making it.
    pub(crate) fn has_composable_templates(&self) -> bool {
        self.since_elasticsearch(7, 9)
    }

    /// Whether the number of shards a node may have is limited.
    pub(crate) fn limits_shards(&self) -> bool {
        self.since_elasticsearch(7, 0)
    }

    /// Whether deleted documents stay in the index for a while unless that is switched off.
    pub(crate) fn soft_deletes_by_default(&self) -> bool {
        self.since_elasticsearch(7, 0)
    }

    /// Whether this version is one that Segue is made for, or why not.
    pub(crate) fn supported(&self) -> Support {
        match (self.product, self.version) {
            (Product::Elasticsearch, v) if v < Version(6, 8, 0) => Support::TooOld,
            (Product::Elasticsearch, v) if v >= Version(9, 0, 0) => Support::Untested,
            (Product::OpenSearch, v) if v >= Version(3, 0, 0) => Support::Untested,
            (_, _) => Support::Yes,
        }
    }

    /// Whether a mapping's field type is known to this product and version; `None`: not a type that Segue knows.
    pub(crate) fn knows_type(&self, ty: &str) -> Option<bool> {
        let elastic = |major, minor| self.since(Product::Elasticsearch, major, minor);
        let open = |major, minor| self.since(Product::OpenSearch, major, minor);
        Some(match ty {
            "text" | "keyword" | "long" | "integer" | "short" | "byte" | "double" | "float"
            | "half_float" | "scaled_float" | "date" | "boolean" | "binary" | "integer_range"
            | "float_range" | "long_range" | "double_range" | "date_range" | "ip_range" | "ip" | "object"
            | "nested" | "geo_point" | "geo_shape" | "completion" | "token_count" | "percolator" | "join"
            | "alias" => true,
            "date_nanos" | "rank_feature" | "rank_features" => self.since_elasticsearch(7, 0),
            "search_as_you_type" => self.since_elasticsearch(7, 2),
            "dense_vector" => elastic(7, 0),
            "sparse_vector" => self.is(Product::Elasticsearch) && (elastic(8, 11) || self.version.0 == 7),
            "flattened" => elastic(7, 3),
            "shape" => elastic(7, 4),
            "histogram" => elastic(7, 6),
            "constant_keyword" => elastic(7, 7) || open(2, 14),
            "wildcard" => elastic(7, 9) || open(2, 15),
            "point" => elastic(7, 8),
            "version" => elastic(7, 10),
            "unsigned_long" => elastic(7, 10) || open(2, 8),
            "aggregate_metric_double" => elastic(7, 11),
            "match_only_text" => elastic(7, 14) || open(2, 12),
            "semantic_text" => elastic(8, 15),
            "counted_keyword" | "passthrough" => elastic(8, 14),
            "flat_object" => open(2, 7),
            "knn_vector" => self.is(Product::OpenSearch),
            "xy_point" | "xy_shape" => self.is(Product::OpenSearch),
            "derived" => open(2, 15),
            "star_tree" => open(2, 18),
            _ => return None,
        })
    }
}

/// Whether a version is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    Yes,
    /// It has no sequence numbers that can be relied on.
    TooOld,
    /// Newer than what was tried.
    Untested,
}

/// What tells the versions of all nodes.
fn nodes() -> Ask {
    Ask::get("/_nodes?filter_path=nodes.*.version")
}

fn node_version(cluster: &Cluster) -> Result<Option<String>, StepError> {
    let nodes = cluster.json(&nodes())?;
    let versions = nodes["nodes"].as_object().into_iter().flat_map(|map| map.values());
    // In a cluster that is being upgraded the oldest node says what can be relied on.
    Ok(versions
        .filter_map(|node| node["version"].as_str())
        .min_by_key(|text| Version::parse(text))
        .map(str::to_owned))
}

fn parse(cluster: &Cluster, number: &str) -> Result<Version, StepError> {
    Version::parse(number).ok_or_else(|| {
        StepError::permanent(format!(
            "{}: what answers there is no search server: it names no version",
            cluster.address
        ))
        .remedy("correct url: it leads to something else")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::stub::{Answer, Stub};
    use crate::testing::{Io, block};

    fn about(root: (u16, Value), nodes: &Value) -> Result<About, StepError> {
        let nodes = nodes.to_string();
        let stub = Stub::new(move |heard| match heard.path.as_str() {
            "/" => Answer(root.0, "", root.1.to_string()),
            "/_cluster/state/version" => Answer::ok("{\"cluster_name\": \"c\", \"cluster_uuid\": \"u\"}"),
            _ => Answer::ok(&nodes),
        });
        let block = block("source.elasticsearch.old", "elasticsearch", &[("url", json!(stub.url))]);
        About::ask(&Cluster::of(&block, &Io::default())?)
    }

    fn root(version: &Value) -> (u16, Value) {
        (200, json!({"cluster_name": "c", "cluster_uuid": "u", "version": version}))
    }

    #[test]
    fn the_distribution_tells_the_product_and_the_nodes_the_version_where_the_page_does_not() {
        let nodes = json!({"nodes": {"a": {"version": "2.19.4"}, "b": {"version": "2.9.0"}}});
        let said = |root| about(root, &nodes).expect("known").to_string();
        assert_eq!(said(root(&json!({"number": "7.10.2", "build_flavor": "oss"}))), "Elasticsearch 7.10.2");
        assert_eq!(
            said(root(&json!({"number": "1.3.14", "distribution": "opensearch"}))),
            "OpenSearch 1.3.14"
        );
        assert_eq!(
            said(root(&json!({"number": "7.10.2", "distribution": "opensearch"}))),
            "OpenSearch 2.9.0"
        );
        assert_eq!(said((405, Value::Null)), "Elasticsearch 2.9.0", "what GET / does not tell, _nodes does");
    }

    #[test]
    fn what_is_no_search_server_and_what_has_not_formed_yet_is_said() {
        let error = about(root(&json!({})), &Value::Null).expect_err("no version");
        assert!(error.to_string().contains("no search server"), "{error}");
        let unformed = json!({"cluster_name": "c", "cluster_uuid": "_na_", "version": {"number": "7.10.2"}});
        let error = about((200, unformed), &Value::Null).expect_err("not formed");
        assert_eq!(error.class, segue_contract::ErrorClass::Transient);
    }

    #[test]
    fn versions_say_what_a_server_can() {
        let of = |product, text| About {
            product,
            version: Version::parse(text).expect("valid"),
            name: String::new(),
            uuid: String::new(),
        };
        let (six, seven) = (of(Product::Elasticsearch, "6.8.23"), of(Product::Elasticsearch, "7.10.2"));
        let open = of(Product::OpenSearch, "2.19.4");
        assert!(six.has_types() && !six.has_block_api() && !seven.has_types() && seven.has_block_api());
        assert!(open.has_block_api() && open.has_hidden());
        assert_eq!([six.supported(), open.supported()], [Support::Yes, Support::Yes]);
        assert_eq!(of(Product::Elasticsearch, "6.7.9").supported(), Support::TooOld);
        assert_eq!(of(Product::OpenSearch, "3.0.0-beta1").supported(), Support::Untested);
        assert_eq!([seven.knows_type("flattened"), open.knows_type("flattened")], [Some(true), Some(false)]);
        assert_eq!(open.knows_type("icu_collation_keyword"), None);
        assert_eq!(Version::parse("7"), None);
    }
}
