//! `quiesce "write_block"`: the indices of a migration refuse writes, by the server's own block.
//!
//! The block stops Segue as it stops everybody. Where there is an API for it, that waits for the writes on their way; where
//! there is none (Elasticsearch 6), every write task that was there when all nodes had the block is waited for. What was
//! there before the block is noted at the cluster before the first change, and put back by opening. A call of a run that died
//! may reach the server after that: the note stays until Segue leaves the index, and tells its block from others'.

mod before;
mod probe;

use std::time::Duration;

use segue_contract::{
    BarrierState, BlockKind, BlockSchema, Finding, Quiesce, QuiesceCall, QuiesceKind, Severity, StepError,
    StepIo,
};
use serde_json::{Value, json};

use super::carry::settings::FINAL_PIPELINE;
use super::cluster::{Ask, Cluster, in_groups};
use super::names::{encoded, listed, scope};
use super::notes::{Kind, Notes};
use super::{by_hand, indices, observe, tasks, tune};
use before::Before;
pub(super) use before::forget;

/// The block's setting.
pub(super) const BLOCK: &str = "index.blocks.write";
/// How long writes on their way are waited for. A lease is usually shorter.
const DRAIN_MAX: Duration = Duration::from_secs(60);

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "write_block".to_owned(),
        doc: "Closes the indices of a search cluster to writes by the server's own write block, and waits for the writes \
              on their way. Opening puts back what was there: an index that was closed to writes before stays so. The \
              block stops Segue, too: while the other side serves it is lifted for the reverse sync, and clients are kept \
              out by what the endpoint declares as its barrier, if it has one."
            .to_owned(),
        attributes: Vec::new(),
    }
}

pub(super) struct WriteBlock;

impl Quiesce for WriteBlock {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Data
    }

    fn stops_segue(&self) -> bool {
        true
    }

    fn check(&self, call: &QuiesceCall) -> Vec<Finding> {
        let critical = |summary: String, remedy: &str| Finding {
            severity: Severity::Critical,
            code: "QUIESCE_WRITE_BLOCK".to_owned(),
            summary,
            remedy: remedy.to_owned(),
        };
        let endpoint = &call.endpoint;
        if ![super::ELASTICSEARCH, super::OPENSEARCH].contains(&endpoint.provider.as_str()) {
            return vec![critical(
                format!("{} is a {}, and has no write block", endpoint.address, endpoint.provider),
                "Use write_block for elasticsearch and opensearch alone; narrow it with migrations = [...].",
            )];
        }
        if endpoint.text(observe::BARRIER) == Ok("role") {
            return vec![critical(
                format!(
                    "{} declares barrier = \"role\", and a write block stops Segue's role, too",
                    endpoint.address
                ),
                "Take the clients' role away instead (quiesce \"command\" or \"http\"), or take the barrier out.",
            )];
        }
        Vec::new()
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let cluster = Cluster::kept(&call.endpoint, io)?;
        let names = scope(&call.endpoint)?;
        let settings = indices::settings_of(&cluster, &names)?;
        for (name, settings) in &settings {
            Before::of(settings).keep(&cluster, name, io)?;
        }
        let left = match cluster.about()?.has_block_api() {
            true => block(&cluster, &names)?,
            false => {
                for name in &names {
                    tune::put(&cluster, name, &json!({BLOCK: true}))?;
                }
                names
            }
        };
        drain(&cluster, &left, &|| io.cancelled())
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        let cluster = Cluster::kept(&call.endpoint, io)?;
        let mut failed = None;
        // One that cannot be opened keeps the others from nothing.
        for name in scope(&call.endpoint)? {
            let whole = tune::put_back(&cluster, &name, &[FINAL_PIPELINE]);
            if let Err(error) = whole.and_then(|()| before::put_back(&cluster, &name, io)) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        let cluster = Cluster::kept(&call.endpoint, io)?;
        probe::indices(&cluster, &scope(&call.endpoint)?)
    }

    fn openable(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        let cluster = Cluster::kept(&call.endpoint, io)?;
        let names = scope(&call.endpoint)?;
        for (name, settings) in &indices::settings_of(&cluster, &names)? {
            openable(&cluster, name, settings)?;
        }
        Ok(Some(match names.as_slice() {
            [one] => format!("index {one} is healthy, and its settings can be changed"),
            more => format!("{} indices are healthy, and their settings can be changed", more.len()),
        }))
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        let names = match scope(&call.endpoint) {
            Ok(names) => names,
            Err(error) => return format!("# {error}"),
        };
        let line = |name: &String| {
            let path = format!("/{}/_settings", encoded(name));
            by_hand::curl(&call.endpoint, "PUT", &path, Some(&json!({BLOCK: null})))
        };
        names.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Sets the block by its API, which waits until nothing is on its way to a shard. Returns the indices that had the block
/// already: of those the API says nothing, and waits for nothing.
fn block(cluster: &Cluster, names: &[String]) -> Result<Vec<String>, StepError> {
    let mut left = Vec::new();
    for group in in_groups(names) {
        let ask = Ask::change("PUT", format!("/{}/_block/write", listed(group)), None);
        let answer = cluster.acknowledged(&ask)?;
        let list = answer["indices"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        for name in group {
            match list.iter().find(|index| index["name"] == name.as_str()) {
                None => left.push(name.clone()),
                Some(index) if index["blocked"] == true && answer["shards_acknowledged"] == true => {}
                Some(_) => {
                    return Err(StepError::transient(format!(
                        "{}: not every shard of index {name:?} says that it takes no writes any more",
                        cluster.address
                    ))
                    .remedy(
                        "see the index's health: a shard that does not answer cannot be proven to be closed",
                    ));
                }
            }
        }
    }
    Ok(left)
}

/// Proves of indices that have the block that nothing is on its way: every node knows the block, and every write task that
/// was there then has ended.
fn drain(cluster: &Cluster, names: &[String], cancelled: &dyn Fn() -> bool) -> Result<(), StepError> {
    if names.is_empty() {
        return Ok(());
    }
    for (name, settings) in indices::settings_of(cluster, names)? {
        if settings.get(BLOCK).is_none_or(|value| value != "true") {
            return Err(StepError::transient(format!(
                "{}: index {name:?} did not take the block",
                cluster.address
            )));
        }
    }
    // A block that was there before may be news to a node: the state that says so came before this one.
    Notes::new(cluster, Kind::Before).every_node_knows()?;
    tasks::ended(cluster, names, DRAIN_MAX, cancelled)
}

/// Whether an index could be opened: nothing is written, and nobody is let in.
fn openable(
    cluster: &Cluster,
    name: &str,
    settings: &serde_json::Map<String, Value>,
) -> Result<(), StepError> {
    let cannot = |why: &str, remedy: &str| {
        let what = format!("{}: index {name:?} could not be opened for writes: {why}", cluster.address);
        Err(StepError::permanent(what).remedy(remedy))
    };
    let is = |name: &str| settings.get(name).is_some_and(|value| value == "true");
    if is("index.blocks.read_only_allow_delete") {
        return cannot(
            "the server closed it for a full disk",
            "make room: the server lifts its block by itself then",
        );
    }
    if is("index.blocks.read_only") || is("index.blocks.metadata") {
        return cannot(
            "another block than Segue's is on it",
            "lift index.blocks.read_only and index.blocks.metadata",
        );
    }
    let health =
        cluster.json(&Ask::get(format!("/_cluster/health/{}?level=indices&timeout=0s", encoded(name))));
    match health.as_ref().map(|h| h["indices"][name]["status"].as_str()) {
        Ok(Some("green" | "yellow")) => {}
        Ok(other) => {
            let why = format!("its health is {}", other.unwrap_or("unknown"));
            return cannot(&why, "see `GET /_cluster/allocation/explain`: a shard of it has no node");
        }
        Err(error) => return cannot(&error.to_string(), "see the cluster's health"),
    }
    // Values that are there already stay: it shows that settings can be changed, and changes none.
    let replicas = settings.get("index.number_of_replicas").cloned().unwrap_or_else(|| Value::from("1"));
    let ask = Ask::change(
        "PUT",
        format!("/{}/_settings?preserve_existing=true", encoded(name)),
        Some(&json!({"index.number_of_replicas": replicas})),
    );
    cluster.acknowledged(&ask).map(drop)
}

#[cfg(test)]
mod tests {
    use segue_contract::{SecretRef, Setting, Side};

    use super::*;
    use crate::testing::block;

    fn call(provider: &str, settings: &[(&str, Value)]) -> QuiesceCall {
        QuiesceCall {
            block: block("cutover.a.quiesce.write_block", "write_block", &[]),
            endpoint: block("source.elasticsearch.old", provider, settings)
                .narrowed(vec!["a b".into(), "c".into()]),
            side: Side::Source,
        }
    }

    #[test]
    fn it_is_for_search_clusters_without_a_role_of_their_own() {
        assert_eq!(WriteBlock.check(&call("elasticsearch", &[])), []);
        let said = |call: &QuiesceCall| WriteBlock.check(call).remove(0).summary;
        assert!(said(&call("directory", &[])).contains("has no write block"));
        assert!(said(&call("opensearch", &[("barrier", json!("role"))])).contains("stops Segue's role, too"));
    }

    #[test]
    fn by_hand_is_a_line_an_index_without_secrets() {
        let mut call = call("opensearch", &[("url", json!("https://h:9200/")), ("username", json!("segue"))]);
        call.endpoint.config.insert("password", Setting::Secret(SecretRef::Env("S".into())));
        let lines = WriteBlock.open_by_hand(&call);
        let wanted = "curl --fail-with-body -X PUT -u segue -H 'content-type: application/json' --data-binary \
                      '{\"index.blocks.write\":null}' https://h:9200/a%20b/_settings\n";
        assert!(lines.starts_with(wanted), "{lines}");
        assert_eq!(lines.lines().count(), 2);
    }
}
