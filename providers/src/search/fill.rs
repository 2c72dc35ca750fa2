//! Filling an index by the target cluster's own means, in place of copying it through Segue: its reindex from the source, or
//! a snapshot in a repository that both clusters see. The engine takes stock afterwards, and carries what is left.

mod reindex;
mod repository;
mod snapshot;

use std::time::Duration;

use segue_contract::{Finding, LoadModeSchema, Severity, StepError, StepIo, UnitJob};
use serde_json::Value;

use super::cluster::{Ask, Cluster};
use crate::engines::documents::{Memo, Stand, pause};

/// `load { mode = "reindex" }`
const REINDEX: &str = "reindex";
/// `load { mode = "snapshot" }`
const SNAPSHOT: &str = "snapshot";
/// Between two looks at a task of the cluster.
const LOOK: Duration = Duration::from_millis(500);

/// The modes of search clusters.
pub(super) fn modes() -> Vec<LoadModeSchema> {
    vec![reindex::mode(), snapshot::mode()]
}

/// See [`crate::engines::documents::Documents::check_fill`].
pub(super) fn check(job: &UnitJob, io: &dyn StepIo) -> Vec<Finding> {
    let mut found = Vec::new();
    if !job.transform.is_nothing() {
        found.push(critical(
            "LOAD_TRANSFORM",
            format!(
                "{}: with load mode {:?} the servers carry documents as they are, and the migration transforms them",
                job.migration, job.load.mode.name
            ),
            "take out transform, or load in mode \"copy\"",
        ));
    }
    let looked = Cluster::of(&job.source, io).and_then(|from| {
        let to = Cluster::of(&job.target, io)?;
        match job.load.mode.name.as_str() {
            SNAPSHOT => snapshot::check(job, &from, &to),
            _ => reindex::check(job, &from, &to),
        }
    });
    match looked {
        Ok(more) => found.extend(more),
        // A side that does not answer is told where it is observed.
        Err(error) => found.push(Finding {
            severity: Severity::Warning,
            code: "LOAD_NOT_CHECKED".to_owned(),
            summary: format!(
                "{}: whether mode {:?} can be had could not be looked at: {error}",
                job.migration, job.load.mode.name
            ),
            remedy: error.remedy.unwrap_or_else(|| "plan again when both answer".to_owned()),
        }),
    }
    found
}

/// See [`crate::engines::documents::Documents::fill`].
pub(super) fn fill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<Option<Stand>, StepError> {
    match job.load.mode.name.as_str() {
        REINDEX => reindex::fill(job, memo, io).map(|()| None),
        SNAPSHOT => snapshot::fill(job, memo, io).map(Some),
        other => Err(StepError::permanent(format!("{}: there is no load mode {other:?}", job.migration))
            .remedy("run the version of segue that wrote this state, or one after it")),
    }
}

/// See [`crate::engines::documents::Documents::unfill`].
pub(super) fn unfill(job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<(), StepError> {
    match job.load.mode.name.as_str() {
        SNAPSHOT => snapshot::unfill(job, memo, io),
        _ => reindex::unfill(job, memo, io),
    }
}

fn critical(code: &str, summary: String, remedy: &str) -> Finding {
    Finding { severity: Severity::Critical, code: code.to_owned(), summary, remedy: remedy.to_owned() }
}

/// Whether both are one cluster.
fn is_one(from: &Cluster, to: &Cluster) -> Result<bool, StepError> {
    Ok(from.about()?.uuid == to.about()?.uuid)
}

/// Waits between two looks, unless the step is asked to stop: what runs at the cluster goes on, and is found again.
fn wait(io: &dyn StepIo) -> Result<(), StepError> {
    pause(io, LOOK)
}

/// A node: its name, and those of its settings that were asked for, by flat name.
struct Node {
    name: String,
    settings: Value,
}

/// Every node with its settings that match a pattern; `None`: the cluster does not show them.
fn nodes_with(cluster: &Cluster, settings: &str) -> Result<Option<Vec<Node>>, StepError> {
    let ask = Ask::get(format!(
        "/_nodes/settings?flat_settings=true&filter_path=nodes.*.settings.{settings},nodes.*.name"
    ));
    let Some(answer) = cluster.maybe(&ask)? else { return Ok(None) };
    let node = |shown: &Value| Node {
        name: shown["name"].as_str().unwrap_or("?").to_owned(),
        settings: shown["settings"].clone(),
    };
    Ok(Some(answer["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()).map(node).collect()))
}

/// A setting that is a list, or a text with commas.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        Value::String(text) => {
            text.split(',').map(|w| w.trim().trim_matches(['[', ']', '"']).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}
