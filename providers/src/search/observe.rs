//! What planning needs to know of a cluster: what it is, which indices it offers, how it fares.

mod cluster_findings;
pub(super) use cluster_findings::shards_left;
pub(crate) mod disk;

use std::collections::BTreeMap;

use segue_contract::{
    Barrier, BlockRef, EndpointFacts, ErrorClass, Finding, Identity, Marker, Severity, StepError, StepIo,
    SystemPath, UnitFacts,
};

use super::cluster::Cluster;
use super::indices::{self, Index, Offer};
use super::make::MadeNote;
use super::names;
use super::notes::{Kind, Notes};
use super::texts;

/// The attribute that says how clients are kept out of a side to which Segue writes.
pub(crate) const BARRIER: &str = "barrier";
/// Mappings and settings of more indices than this are not read for a plan: name those that matter in `indices`.
const DESCRIBED_MAX: usize = 500;

/// Everything that planning needs to know of a cluster.
pub(super) fn facts(block: &BlockRef, io: &dyn StepIo) -> Result<EndpointFacts, StepError> {
    let cluster = Cluster::of(block, io)?;
    let prefix = names::prefix(block);
    let mut findings = cluster_findings::of(block, &cluster)?;
    let mut offered = offered(block, &cluster)?;
    let names: Vec<String> = offered.keys().cloned().collect();
    let is_red = findings.iter().any(|finding| finding.code == "SEARCH_RED");
    let (made, mut markers) = match noted(&cluster, &names) {
        Ok(noted) => noted,
        // The notes may lie on the very shard that has no node: that it is red is what is to be told.
        Err(error) if is_red && error.class == ErrorClass::Transient => Default::default(),
        Err(error) => return Err(error),
    };
    let mut settings = BTreeMap::new();
    if names.len() <= DESCRIBED_MAX {
        indices::with_mappings(&cluster, &mut offered)?;
        // What Segue made itself is no ground of a plan: it is made in the middle of one.
        let theirs = offered.values().filter(|index| !made.contains_key(&index.name));
        settings.extend(theirs.flat_map(texts::of));
    } else {
        findings.push(too_many(block, names.len()));
    }
    let unit = |index: &Index| UnitFacts {
        name: index.name.strip_prefix(prefix).unwrap_or(&index.name).to_owned(),
        records: index.records,
        bytes: index.bytes,
        marker: markers.remove(&index.name),
    };
    let units: Vec<UnitFacts> = offered.values().map(unit).collect();
    Ok(EndpointFacts {
        identity: identity(block, &cluster)?,
        // A cluster is there; a rehearsal's place in it is when it holds something.
        exists: prefix.is_empty() || !units.is_empty(),
        barrier: barrier(block),
        units,
        // What its nodes have room for is in the findings of the pair.
        free_bytes: None,
        settings,
        findings,
        foreign: None,
        marker: None,
        places: vec![SystemPath::units_of(format!("cluster {}", cluster.about()?.uuid))],
    })
}

/// The cluster's id, with its name for people.
pub(super) fn identity(block: &BlockRef, cluster: &Cluster) -> Result<Identity, StepError> {
    let about = cluster.about()?;
    let place = match names::prefix(block) {
        "" => String::new(),
        prefix => format!(" {prefix}*"),
    };
    Ok(Identity(format!("cluster {} ({}){place}", about.uuid, about.name)))
}

/// A write block stops Segue as it stops everybody, so by itself a cluster has no barrier. With a role that only Segue
/// has, or under a name that clients do not know, it has one: the spec says so.
pub(crate) fn barrier(block: &BlockRef) -> Barrier {
    match block.text(BARRIER) {
        Ok("role") => Barrier::Identity,
        Ok("name") => Barrier::Name,
        _ if !names::prefix(block).is_empty() => Barrier::Name,
        _ => Barrier::None,
    }
}

/// The indices that are units of a block: those that it is narrowed to, or all that it offers.
fn offered(block: &BlockRef, cluster: &Cluster) -> Result<BTreeMap<String, Index>, StepError> {
    let all = indices::all(cluster)?;
    let prefix = names::prefix(block);
    if !block.scope.is_empty() {
        let scope = names::scope(block)?;
        return Ok(all.into_iter().filter(|(name, _)| scope.contains(name)).collect());
    }
    if !prefix.is_empty() {
        return Ok(all.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect());
    }
    let offer = Offer::of(block)?;
    Ok(all.into_iter().filter(|(_, index)| offer.takes(index)).collect())
}

/// What Segue made, and its markers, by name.
type Noted = (BTreeMap<String, MadeNote>, BTreeMap<String, Marker>);

fn noted(cluster: &Cluster, names: &[String]) -> Result<Noted, StepError> {
    let markers = Notes::new(cluster, Kind::Marker).read_all(names)?;
    Ok((made(cluster, names)?, markers.into_iter().collect()))
}

/// What Segue made, by name.
pub(super) fn made(cluster: &Cluster, names: &[String]) -> Result<BTreeMap<String, MadeNote>, StepError> {
    Ok(Notes::new(cluster, Kind::Made).read_all(names)?.into_iter().collect())
}

fn too_many(block: &BlockRef, count: usize) -> Finding {
    Finding {
        severity: Severity::Info,
        code: "SEARCH_MANY_INDICES".to_owned(),
        summary: format!(
            "{} offers {count} indices: mappings and settings of more than {DESCRIBED_MAX} are not read for a plan",
            block.address
        ),
        remedy: "Name those that matter in indices to have them compared.".to_owned(),
    }
}
