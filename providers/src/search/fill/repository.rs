//! Whether a snapshot of one cluster can be read by another: versions of servers and of the index, and where nodes may have
//! repositories. Nothing here changes anything.

use std::path::Path;

use segue_contract::StepError;

use super::{Node, nodes_with, words};
use crate::search::about::{About, Product, Version};
use crate::search::cluster::Cluster;
use crate::search::indices::Index;

/// What OpenSearch adds to the numbers of its versions.
const OPENSEARCH_BIT: u64 = 0x0800_0000;

/// The product and major version that made an index, from `index.version.created`.
fn made_by(index: &Index) -> Option<(Product, u32)> {
    let id: u64 = index.setting("index.version.created")?.parse().ok()?;
    let (product, plain) = match id & OPENSEARCH_BIT {
        0 => (Product::Elasticsearch, id),
        _ => (Product::OpenSearch, id ^ OPENSEARCH_BIT),
    };
    Some((product, u32::try_from(plain / 1_000_000).ok()?))
}

/// Why a snapshot of this index cannot be restored there; `None`: it can.
///
/// A server reads snapshots of its own version and older ones, and indices that its own or the last major version made.
/// OpenSearch 1 counts as Elasticsearch 7.10.2, of which it is a fork; Elasticsearch reads none of OpenSearch's.
pub(super) fn cannot(from: &About, to: &About, index: &Index) -> Option<String> {
    let fork = Version(7, 10, 2);
    match (from.product, to.product) {
        (Product::OpenSearch, Product::Elasticsearch) => {
            return Some(format!("{to} takes a snapshot of {from} for one of a version to come"));
        }
        (Product::Elasticsearch, Product::OpenSearch) if from.version > fork => {
            return Some(format!("{to} reads snapshots of Elasticsearch up to {fork}, and this is {from}"));
        }
        (Product::Elasticsearch, Product::OpenSearch) => {}
        (_, _) if from.version > to.version => {
            return Some(format!("{to} is older than {from}, and reads no snapshot of it"));
        }
        (_, _) => {}
    }
    // As Elasticsearch counts: OpenSearch 1 is 7, OpenSearch 2 is 8.
    let counted = |product, major: u32| if product == Product::OpenSearch { major + 6 } else { major };
    let (product, major) = made_by(index)?;
    if counted(product, major) + 1 < counted(to.product, to.version.0) {
        return Some(format!("it was made by {} {major}, which {to} cannot read", product.as_str()));
    }
    None
}

/// Whether every node may have a repository there; `None`: it does not say.
pub(super) fn may_be_at(cluster: &Cluster, location: &str) -> Result<Option<bool>, StepError> {
    let nodes = nodes_with(cluster, "path*")?.unwrap_or_default();
    if !location.starts_with('/') || nodes.is_empty() {
        return Ok(None);
    }
    let may =
        |node: &Node| words(&node.settings["path.repo"]).iter().any(|at| Path::new(location).starts_with(at));
    Ok(Some(nodes.iter().all(may)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn about(product: Product, version: &str) -> About {
        let version = Version::parse(version).expect("valid");
        About { product, version, name: String::new(), uuid: String::new() }
    }

    fn index(id: u64) -> Index {
        let mut index = Index::default();
        index.settings.insert("index.version.created".to_owned(), json!(id.to_string()));
        index
    }

    #[test]
    fn what_servers_can_read_of_each_other() {
        use Product::{Elasticsearch, OpenSearch};
        let seven = index(7_100_299);
        let ok = |from: (Product, &str), to: (Product, &str), index: &Index| {
            cannot(&about(from.0, from.1), &about(to.0, to.1), index).is_none()
        };
        assert!(ok((Elasticsearch, "7.10.2"), (OpenSearch, "2.19.4"), &seven));
        assert!(ok((Elasticsearch, "7.10.2"), (OpenSearch, "1.3.14"), &seven));
        assert!(ok((Elasticsearch, "6.8.23"), (OpenSearch, "1.3.14"), &index(6_082_399)));
        assert!(!ok((Elasticsearch, "6.8.23"), (OpenSearch, "2.19.4"), &index(6_082_399)));
        assert!(!ok((Elasticsearch, "7.10.2"), (OpenSearch, "2.19.4"), &index(6_082_399)), "carried from 6");
        assert!(!ok((Elasticsearch, "7.17.29"), (OpenSearch, "2.19.4"), &seven));
        let two = index(136_408_227);
        assert!(!ok((OpenSearch, "2.19.4"), (Elasticsearch, "7.10.2"), &two));
        assert!(!ok((OpenSearch, "2.19.4"), (Elasticsearch, "8.17.0"), &two));
        assert!(ok((OpenSearch, "1.3.14"), (OpenSearch, "2.19.4"), &seven));
        assert!(!ok((OpenSearch, "2.19.4"), (OpenSearch, "1.3.14"), &seven));
        assert!(ok((Elasticsearch, "7.17.29"), (Elasticsearch, "8.17.0"), &seven));
    }
}
