//! What is to be said of a cluster as a whole: its product and version, its health, its disks, its shards.

use segue_contract::{Barrier, BlockRef, Finding, Severity, StepError};
use serde_json::{Map, Value};

use super::barrier;
use super::disk::Disks;
use crate::search::about::{About, Support};
use crate::search::cluster::{Ask, Cluster};

/// How long a new shard may take to get a node.
const RED_WAIT: &str = "5s";

fn finding(severity: Severity, code: &str, summary: String, remedy: &str) -> Finding {
    Finding { severity, code: code.to_owned(), summary, remedy: remedy.to_owned() }
}

/// Everything that is to be said.
pub(super) fn of(block: &BlockRef, cluster: &Cluster) -> Result<Vec<Finding>, StepError> {
    let about = cluster.about()?;
    let mut found = what_it_is(block, about);
    found.extend(health(block, cluster)?);
    found.extend(disks(block, cluster)?);
    found.extend(barrier_note(block));
    Ok(found)
}

fn what_it_is(block: &BlockRef, about: &About) -> Vec<Finding> {
    let mut found = Vec::new();
    if about.product.provider() != block.provider {
        found.push(finding(
            Severity::Critical,
            "SEARCH_PRODUCT",
            format!("{} is {about}, and the block says {}", block.address, block.provider),
            "Correct url, or the block's type if that is the cluster that is meant.",
        ));
    }
    match about.supported() {
        Support::Yes => {}
        Support::TooOld => found.push(finding(
            Severity::Critical,
            "SEARCH_VERSION",
            format!("{} is {about}: before 6.8 sequence numbers cannot be relied on", block.address),
            "Upgrade it to 6.8 first (a rolling upgrade from 6.x), then move it.",
        )),
        Support::Untested => found.push(finding(
            Severity::Warning,
            "SEARCH_VERSION",
            format!("{} is {about}, which this version of segue was not tried with", block.address),
            "Rehearse the cutover first.",
        )),
    }
    found
}

/// A cluster is red for a moment whenever somebody makes an index: only one that stays so is told.
fn health_by_now(cluster: &Cluster) -> Result<Value, StepError> {
    let health = cluster.json(&Ask::get("/_cluster/health"))?;
    if health["status"] != "red" {
        return Ok(health);
    }
    // One that is still red answers 408, with or without what it is.
    let waited =
        cluster.answer(&Ask::get(format!("/_cluster/health?wait_for_status=yellow&timeout={RED_WAIT}")))?;
    waited.or_else(|_| cluster.json(&Ask::get("/_cluster/health")))
}

fn health(block: &BlockRef, cluster: &Cluster) -> Result<Vec<Finding>, StepError> {
    let health = health_by_now(cluster)?;
    let number = |name: &str| health[name].as_u64().unwrap_or(0);
    let unassigned = number("unassigned_shards");
    let mut found = Vec::new();
    match health["status"].as_str() {
        Some("red") => found.push(finding(
            Severity::Critical,
            "SEARCH_RED",
            format!("{}: the cluster is red: {unassigned} shards have no node", block.address),
            "See `GET /_cluster/allocation/explain`: what these shards hold can neither be read nor written.",
        )),
        Some("yellow") => found.push(finding(
            Severity::Warning,
            "SEARCH_YELLOW",
            format!("{}: the cluster is yellow: {unassigned} replicas have no node", block.address),
            "The loss of one node can lose data; see `GET /_cluster/allocation/explain`.",
        )),
        _ => {}
    }
    if let Some(left) = shards_left(cluster, &health)?
        && left * 10 < number("active_shards").saturating_add(left)
    {
        found.push(finding(
            Severity::Warning,
            "SEARCH_SHARDS",
            format!(
                "{}: room for {left} more shards, then cluster.max_shards_per_node is reached",
                block.address
            ),
            "Raise it, add nodes, or delete indices that nobody needs.",
        ));
    }
    Ok(found)
}

/// How many more shards a cluster takes; `None`: as many as one likes, or it does not say.
pub(in crate::search) fn shards_left(cluster: &Cluster, health: &Value) -> Result<Option<u64>, StepError> {
    if !cluster.about()?.limits_shards() {
        return Ok(None);
    }
    let path = "/_cluster/settings?include_defaults=true&flat_settings=true&filter_path=*.cluster.max_shards_per_node";
    let Ok(settings) = cluster.answer(&Ask::get(path))? else {
        return Ok(None);
    };
    let most = merged(&settings)
        .get("cluster.max_shards_per_node")
        .and_then(Value::as_str)
        .and_then(|n| n.parse().ok());
    let most: u64 = most.unwrap_or(1000);
    let number = |name: &str| health[name].as_u64().unwrap_or(0);
    let all = most.saturating_mul(number("number_of_data_nodes"));
    Ok(Some(all.saturating_sub(
        number("active_shards") + number("unassigned_shards") + number("initializing_shards"),
    )))
}

/// A cluster's settings with the later ones over the earlier: defaults, persistent, transient.
pub(super) fn merged(answer: &Value) -> Map<String, Value> {
    let parts = ["defaults", "persistent", "transient"].iter().filter_map(|part| answer[part].as_object());
    parts.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn disks(block: &BlockRef, cluster: &Cluster) -> Result<Vec<Finding>, StepError> {
    let Some(disks) = Disks::ask(cluster)? else {
        return Ok(Vec::new());
    };
    let is_target = block.address.kind() != "source";
    if let Some(disk) = disks.over(disks.flood) {
        let severity = if is_target { Severity::Critical } else { Severity::Warning };
        return Ok(vec![finding(
            severity,
            "SEARCH_DISK",
            format!(
                "{}: node {} is {} % full, over the flood stage",
                block.address,
                disk.node,
                disk.percent()
            ),
            "Make room: indices there are closed to writes by the server, also to Segue's markers.",
        )]);
    }
    Ok(disks
        .over(disks.high)
        .map(|disk| {
            finding(
                Severity::Warning,
                "SEARCH_DISK",
                format!(
                    "{}: node {} is {} % full, over the high watermark",
                    block.address,
                    disk.node,
                    disk.percent()
                ),
                "Make room before the load: at the flood stage the server closes indices to writes.",
            )
        })
        .into_iter()
        .collect())
}

fn barrier_note(block: &BlockRef) -> Option<Finding> {
    let (what, remedy) = match barrier(block) {
        Barrier::None => return None,
        Barrier::Identity => (
            "barrier = \"role\" is declared: that clients have no right to write there while the other side serves, and Segue has",
            "See that no other user has a role that writes to these indices; Segue cannot.",
        ),
        Barrier::Name => (
            "barrier = \"name\" is declared: that no client knows the names of these indices",
            "See that clients use an alias alone; Segue cannot.",
        ),
    };
    let declared = block.config.plain(super::BARRIER).is_some();
    declared.then(|| finding(Severity::Info, "SEARCH_BARRIER", format!("{}: {what}", block.address), remedy))
}
