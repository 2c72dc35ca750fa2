//! `gate "search_health"`, `watch "search_health"`: a cluster is as healthy as it has to be, with room on its disks and no
//! queue of changes.

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, ErrorClass, Finding, Probe, Reading,
    StepError, StepIo,
};
use serde_json::{Value, json};

use super::{CODE, critical};
use crate::http;
use crate::search::cluster::{self, Ask, Cluster, in_groups};
use crate::search::indices;
use crate::search::names::listed;
use crate::search::observe::disk::Disks;

/// How many changes of the cluster's state may wait when the spec says nothing.
const PENDING_DEFAULT: u64 = 20;

pub(super) fn schema(kind: BlockKind) -> BlockSchema {
    let when = if kind == BlockKind::Gate { "before the cutover goes on" } else { "after the switch" };
    let mut attributes = vec![
        AttributeSchema::optional(
            "status",
            AttributeType::String,
            "The worst status that is well: with yellow a replica may have no node. Default yellow.",
        )
        .allowed(&["green", "yellow"])
        .default(json!("yellow")),
        AttributeSchema::optional(
            "indices",
            AttributeType::Words,
            "The indices whose status counts, and that must not be closed for a full disk. Default: the cluster's status.",
        ),
        AttributeSchema::optional(
            "max_pending",
            AttributeType::Number,
            "How many changes of the cluster's state may wait for its manager. Default 20.",
        )
        .default(json!(PENDING_DEFAULT)),
    ];
    attributes.extend(crate::search::connection());
    BlockSchema {
        kind,
        name: "search_health".to_owned(),
        doc: format!(
            "Asks a search cluster {when} whether its status is well, no disk of it is over the high watermark, and its \
             manager keeps up."
        ),
        attributes,
    }
}

pub(super) struct HealthProbe;

impl Probe for HealthProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let mut findings = http::check(CODE, block);
        if let Err(error) = cluster::nodes(block) {
            findings
                .push(critical(error.to_string(), error.remedy.as_deref().unwrap_or("correct the block")));
        }
        findings
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let cluster = Cluster::of(block, io)?;
        match look(block, &cluster) {
            Ok(reading) => Ok(reading),
            // That a cluster does not answer, or not well, is what was asked.
            Err(error) if error.class != ErrorClass::Cancelled => {
                Ok(Reading { ok: false, said: error.to_string(), value: None })
            }
            Err(error) => Err(error),
        }
    }
}

/// The higher the worse.
fn rank(status: &str) -> u8 {
    match status {
        "green" => 0,
        "yellow" => 1,
        _ => 2,
    }
}

fn look(block: &BlockRef, cluster: &Cluster) -> Result<Reading, StepError> {
    let names = block.words("indices")?.unwrap_or_default();
    let mut health = cluster.json(&Ask::get("/_cluster/health"))?;
    let mut status = health["status"].as_str().unwrap_or("unknown").to_owned();
    if !names.is_empty() {
        status = status_of(cluster, &names)?;
    }
    let nodes = health["number_of_nodes"].as_u64().unwrap_or(0);
    let pending = health["number_of_pending_tasks"].take().as_u64().unwrap_or(0);
    let disks = Disks::ask(cluster)?;
    let fullest = disks.as_ref().and_then(Disks::fullest).map(|disk| disk.percent());
    let mut said = format!("{status}, {nodes} nodes, {pending} changes pending");
    if let Some(percent) = fullest {
        said.push_str(&format!(", the fullest disk {percent} %"));
    }
    let no = |why: String| Ok(Reading { ok: false, said: format!("{said}: {why}"), value: None });
    let wanted = block.text("status").unwrap_or("yellow");
    if rank(&status) > rank(wanted) {
        return no(format!("the status is to be {wanted}"));
    }
    let most = block.number("max_pending")?.unwrap_or(PENDING_DEFAULT);
    if pending > most {
        return no(format!("at most {most} may wait"));
    }
    if let Some(disk) = disks.as_ref().and_then(|d| d.over(d.high)) {
        return no(format!("node {} is over the high watermark", disk.node));
    }
    for (name, settings) in indices::settings_of(cluster, &names)? {
        if settings.get("index.blocks.read_only_allow_delete").is_some_and(|v| v == "true") {
            return no(format!("index {name} is closed to writes for a full disk"));
        }
    }
    Ok(Reading { ok: true, said, value: fullest.map(|percent| percent as f64) })
}

/// The worst status of some indices.
fn status_of(cluster: &Cluster, names: &[String]) -> Result<String, StepError> {
    let mut worst = "green".to_owned();
    for group in in_groups(names) {
        let path = format!("/_cluster/health/{}?level=indices&timeout=0s", listed(group));
        // 408: not as healthy as was not even asked; the body says it all the same.
        let reply = cluster.send(&Ask::get(path))?;
        let found: Value = reply.json()?;
        for name in group {
            let status = found["indices"][name]["status"].as_str().unwrap_or("not there");
            if rank(status) > rank(&worst) {
                status.clone_into(&mut worst);
            }
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{Answer, Stub, nobody};
    use crate::testing::{Io, block};

    fn look(status: &'static str, pending: u64, used: &'static str, settings: &[(&str, Value)]) -> Reading {
        let stub = Stub::new(move |heard| {
            let path = heard.path.as_str();
            Answer::ok(&if path.starts_with("/_cluster/health/") {
                json!({"indices": {"a": {"status": "green"}, "b": {"status": status}}}).to_string()
            } else if path.starts_with("/_cluster/health") {
                json!({"status": status, "number_of_nodes": 3, "number_of_pending_tasks": pending})
                    .to_string()
            } else if path.starts_with("/_cluster/settings") {
                json!({"defaults": {"cluster.routing.allocation.disk.watermark.high": "90%",
                    "cluster.routing.allocation.disk.threshold_enabled": "true"}})
                .to_string()
            } else if path.starts_with("/_cat/allocation") {
                json!([{"node": "n1", "disk.used": used, "disk.total": "100"}]).to_string()
            } else {
                let flooded = json!({"index.blocks.read_only_allow_delete": "true"});
                json!({"a": {"settings": {}}, "b": {"settings": flooded}}).to_string()
            })
        });
        let mut all = vec![("url", json!(stub.url))];
        all.extend(settings.iter().cloned());
        HealthProbe.look(&block("g", "search_health", &all), &Io::default()).expect("looks")
    }

    #[test]
    fn status_queue_and_disks_decide() {
        let well = look("yellow", 2, "50", &[]);
        assert_eq!(
            (well.ok, well.said.as_str()),
            (true, "yellow, 3 nodes, 2 changes pending, the fullest disk 50 %")
        );
        assert!(look("red", 0, "50", &[]).said.ends_with("the status is to be yellow"));
        assert!(look("yellow", 0, "50", &[("status", json!("green"))]).said.ends_with("to be green"));
        assert!(look("green", 21, "50", &[]).said.ends_with("at most 20 may wait"));
        assert!(look("green", 0, "90", &[]).said.ends_with("node n1 is over the high watermark"));
        assert!(look("red", 0, "50", &[("indices", json!(["a"]))]).ok, "only the named ones count");
        assert!(look("green", 0, "50", &[("indices", json!(["b"]))]).said.ends_with("for a full disk"));
        assert!(!look("green", 0, "50", &[("indices", json!(["a", "gone"]))]).ok);
    }

    #[test]
    fn nobody_there_is_a_no_and_a_wrong_block_is_found() {
        let gone = block("g", "search_health", &[("url", json!(nobody()))]);
        let reading = HealthProbe.look(&gone, &Io::default()).expect("a reading");
        assert!(!reading.ok && reading.said.contains("nobody listens there"), "{reading:?}");
        assert_eq!(HealthProbe.check(&gone), []);
        assert_eq!(HealthProbe.check(&block("g", "search_health", &[])).len(), 1);
    }
}
