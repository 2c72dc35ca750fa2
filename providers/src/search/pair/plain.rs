//! What an index itself says against being moved, whatever the target.

use segue_contract::StepError;
use serde_json::{Value, json};

use crate::search::about::About;
use crate::search::carry::Said;
use crate::search::cluster::{Ask, Cluster};
use crate::search::indices::Index;
use crate::search::names::encoded;

/// How many documents are looked at for versions that the server did not count itself.
const SAMPLE: u32 = 200;

/// Everything that an index says.
pub(super) fn index(
    cluster: &Cluster,
    index: &Index,
    sample: bool,
    said: &mut Said,
) -> Result<(), StepError> {
    if !index.is_open {
        said.critical(
            "SEARCH_CLOSED",
            "it is closed, and cannot be read",
            "Open it (`POST /INDEX/_open`), or exclude it from the selection.",
        );
        return Ok(());
    }
    if index.is_red {
        said.critical(
            "SEARCH_RED",
            "a shard of it has no node, and cannot be read",
            "See `GET /_cluster/allocation/explain`, or exclude it from the selection.",
        );
        return Ok(());
    }
    source(index, said);
    state(index, cluster.about()?, said);
    if sample && versions_are_the_applications(cluster, index)? {
        said.warning(
            "SEARCH_EXTERNAL_VERSIONS",
            "its documents have versions that an application gave them (version_type external)",
            "Segue gives versions of its own at the target: after the switch the application's writes are refused as too old unless it uses the server's versions, or higher ones.",
        );
    }
    Ok(())
}

/// Whether what is indexed can be read back.
fn source(index: &Index, said: &mut Said) {
    let source = &index.mapping["_source"];
    let some = |name: &str| source[name].as_array().is_some_and(|list| !list.is_empty());
    if source["enabled"] == false || source["enabled"] == "false" {
        said.critical(
            "SEARCH_SOURCE",
            "it does not keep the source of its documents, so they cannot be copied",
            "Load it anew at the target from where the documents come from, or exclude it.",
        );
    } else if some("includes") || some("excludes") {
        said.critical(
            "SEARCH_SOURCE",
            "it keeps only some fields of its documents' source, and a copy would lose the others",
            "Load it anew at the target from where the documents come from, or exclude it.",
        );
    } else if source["mode"] == "synthetic" || index.setting("index.mapping.source.mode") == Some("synthetic")
    {
        said.warning(
            "SEARCH_SOURCE",
            "its source is synthetic: what is read is put together from fields",
            "Arrays can come back sorted and without doubles: see that the application can live with that.",
        );
    }
}

fn state(index: &Index, about: &About, said: &mut Said) {
    if index.is("index.frozen") || index.is("index.search.throttled") {
        said.critical(
            "SEARCH_FROZEN",
            "it is frozen, and searches leave it out",
            "Unfreeze it (`POST /INDEX/_unfreeze`), or exclude it.",
        );
    }
    if matches!(index.setting("index.store.type"), Some("snapshot" | "remote_snapshot")) {
        said.warning(
            "SEARCH_SNAPSHOT",
            "it is a searchable snapshot: reading it whole fetches it from the repository",
            "Restore it at the target from the repository instead, if that target can read it.",
        );
    }
    if index.setting("index.xpack.ccr.following_index").is_some()
        || index.is("index.xpack.ccr.following_index")
    {
        said.warning(
            "SEARCH_FOLLOWER",
            "it follows an index of another cluster, and takes no writes of its own",
            "Move the index that it follows, or unfollow it first.",
        );
    }
    if index.is("index.blocks.write") || index.is("index.blocks.read_only") {
        said.warning(
            "SEARCH_BLOCKED",
            "it is closed to writes already, before segue",
            "That block stays, whatever becomes of the cutover, unless a call of a run of segue's that died has set it; lift it if it is a mistake.",
        );
    }
    if index.is("index.blocks.read_only_allow_delete") {
        said.warning(
            "SEARCH_BLOCKED",
            "the server has closed it to writes for a full disk",
            "Make room on its nodes: the server opens it by itself, also in the pause.",
        );
    }
    let soft = index.setting("index.soft_deletes.enabled");
    if soft == Some("false") || (soft.is_none() && !about.soft_deletes_by_default()) {
        said.info(
            "SEARCH_SOFT_DELETES",
            "it keeps no deleted documents (soft deletes are off)",
            "Deletes are found by a scan of all keys, as everywhere; nothing is to be done.",
        );
    }
}

/// Whether documents have versions that cannot be counts of writes: a version that the server counts is never above the
/// number of operations on its shard, which the sequence number tells.
fn versions_are_the_applications(cluster: &Cluster, index: &Index) -> Result<bool, StepError> {
    let body = json!({
        "size": SAMPLE, "_source": false, "version": true, "seq_no_primary_term": true,
        "sort": [{"_seq_no": "desc"}],
    });
    let answer = cluster.answer(&Ask::look(format!("/{}/_search", encoded(&index.name)), &body))?;
    // An index that cannot be searched now says nothing; that is found when it is read.
    let Ok(answer) = answer else {
        return Ok(false);
    };
    let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
    let counted = |hit: &Value| match (hit["_version"].as_u64(), hit["_seq_no"].as_u64()) {
        (Some(version), Some(seq_no)) => version <= seq_no + 1,
        _ => true,
    };
    Ok(!hits.iter().all(counted))
}
