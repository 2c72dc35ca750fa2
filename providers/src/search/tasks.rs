//! Writes on their way: the tasks of a cluster that carry one to a shard.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use segue_contract::StepError;
use serde_json::Value;

use super::cluster::{Ask, Cluster};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A write, or a call to close an index, that a node works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriteTask {
    /// `node:number`.
    pub(crate) id: String,
    /// `indices:data/write/bulk[s][p]`.
    pub(crate) action: String,
    /// What it says of itself: the index, how many documents.
    pub(crate) what: String,
}

/// The writes on their way to some indices, on every node.
///
/// # Errors
/// A node did not answer: nothing is known then.
pub(crate) fn writes(cluster: &Cluster, indices: &[String]) -> Result<BTreeSet<WriteTask>, StepError> {
    // Reindexing and writing by query are loops around bulks, and only those touch a shard.
    let actions = "indices%3Adata%2Fwrite%2Fbulk*,indices%3Adata%2Fwrite%2Findex*,\
        indices%3Adata%2Fwrite%2Fdelete*,indices%3Adata%2Fwrite%2Fupdate*";
    let list = running(cluster, actions)?;
    Ok(list.iter().filter_map(task).filter(|task| touches(task, indices)).collect())
}

/// The tasks of some actions (patterns with commas between them, escaped) on every node, as the cluster shows them.
///
/// # Errors
/// A node did not answer: nothing is known then.
pub(crate) fn running(cluster: &Cluster, actions: &str) -> Result<Vec<Value>, StepError> {
    let ask = Ask::get(format!("/_tasks?actions={actions}&detailed=true&group_by=none"));
    let mut answer = cluster.json(&ask)?;
    let failed = |name: &str| answer[name].as_array().is_some_and(|list| !list.is_empty());
    if failed("node_failures") || failed("task_failures") {
        return Err(StepError::transient(format!(
            "{}: not every node says which tasks it works on",
            cluster.address
        ))
        .remedy("see the cluster's nodes: one of them hangs or is gone"));
    }
    Ok(match answer.get_mut("tasks").map(Value::take) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    })
}

/// `node:number`, by which a cluster finds a task.
pub(crate) fn id_of(task: &Value) -> Option<String> {
    Some(format!("{}:{}", task["node"].as_str()?, task["id"].as_u64()?))
}

fn task(value: &Value) -> Option<WriteTask> {
    let action = value["action"].as_str()?.to_owned();
    if action.contains("byquery") {
        return None;
    }
    Some(WriteTask {
        id: id_of(value)?,
        action,
        what: value["description"].as_str().unwrap_or_default().to_owned(),
    })
}

/// Whether a task says that it is about one of the indices; one that names none may be about any.
fn touches(task: &WriteTask, indices: &[String]) -> bool {
    let Some(at) = task.what.find("ind") else {
        return true;
    };
    let named = task.what.get(at..).unwrap_or_default();
    indices.is_empty() || indices.iter().any(|index| named.contains(index.as_str()))
}

/// Returns when every write that is on its way now has ended; those that come later are not waited for.
///
/// # Errors
/// Not within `most`.
pub(crate) fn ended(
    cluster: &Cluster,
    indices: &[String],
    most: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), StepError> {
    wait(cluster, "writes", &|| writes(cluster, indices), most, cancelled)
}

/// Returns when every call to close an index to writes that is under way now has ended: one of a run that died would close
/// again what is opened meanwhile.
///
/// # Errors
/// Not within `most`.
pub(crate) fn closings_ended(
    cluster: &Cluster,
    most: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), StepError> {
    let list = || Ok(running(cluster, "indices%3Aadmin%2Fblock*")?.iter().filter_map(task).collect());
    wait(cluster, "calls to close an index to writes", &list, most, cancelled)
}

fn wait(
    cluster: &Cluster,
    what: &str,
    list: &dyn Fn() -> Result<BTreeSet<WriteTask>, StepError>,
    most: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), StepError> {
    let until = Instant::now() + most;
    let mut left = list()?;
    while !left.is_empty() {
        if cancelled() {
            return Err(StepError::cancelled());
        }
        if Instant::now() >= until {
            let first =
                left.first().map_or(String::new(), |t| format!("{} ({}: {})", t.id, t.action, t.what));
            return Err(StepError::transient(format!(
                "{}: {} {what} are still on their way after {} ms, {first} for one",
                cluster.address,
                left.len(),
                most.as_millis()
            ))
            .remedy("see the task (`GET /_tasks/ID`), and whether a node hangs"));
        }
        std::thread::sleep(LOOK);
        let now: BTreeSet<String> = list()?.into_iter().map(|task| task.id).collect();
        left.retain(|task| now.contains(&task.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::http::stub::{Answer, Stub};
    use crate::testing::{Io, block};

    fn cluster(answer: impl Fn(usize) -> Value + Send + 'static) -> Cluster {
        let count = AtomicUsize::new(0);
        let stub = Stub::new(move |_| Answer::ok(&answer(count.fetch_add(1, Ordering::Relaxed)).to_string()));
        let block = block("source.elasticsearch.old", "elasticsearch", &[("url", json!(stub.url))]);
        Cluster::of(&block, &Io::default()).expect("a cluster")
    }

    fn write(id: u64, what: &str) -> Value {
        json!({"node": "n", "id": id, "action": "indices:data/write/bulk[s]", "description": what})
    }

    #[test]
    fn the_writes_of_now_are_waited_for_and_those_that_come_later_are_not() {
        let cluster = cluster(|look| match look {
            0 => {
                json!({"tasks": [write(1, "requests[2], index[books]"), write(2, "requests[1], index[other]")]})
            }
            1 => {
                json!({"tasks": [write(1, "requests[2], index[books]"), write(3, "requests[2], index[books]")]})
            }
            _ => json!({"tasks": [write(3, "requests[2], index[books]")]}),
        });
        ended(&cluster, &["books".to_owned()], Duration::from_secs(10), &|| false).expect("ended");
    }

    #[test]
    fn a_write_that_does_not_end_and_a_node_that_does_not_answer_are_errors() {
        let stays = cluster(|_| json!({"tasks": [write(1, "")]}));
        let error = ended(&stays, &["books".to_owned()], Duration::ZERO, &|| false).expect_err("stays");
        assert!(error.to_string().contains("1 writes are still on their way after 0 ms, n:1"), "{error}");
        let gone = cluster(|_| json!({"node_failures": [{"type": "x"}], "tasks": []}));
        assert!(writes(&gone, &[]).is_err());
    }
}
