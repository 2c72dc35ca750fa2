//! Pipelines that the target could not run.

use std::collections::BTreeSet;

use segue_contract::{Finding, Severity, StepError};
use serde_json::Value;

use super::{Pair, shown};
use crate::search::cluster::{Ask, Cluster};

/// Pipelines whose processors the target lacks: a critical finding where an index runs documents through one.
pub(super) fn findings(pair: &Pair<'_>) -> Result<Vec<Finding>, StepError> {
    let Some(pipelines) = pair.from.maybe(&Ask::get("/_ingest/pipeline")).ok().flatten() else {
        return Ok(Vec::new());
    };
    let Some(known) = known(pair.to)? else {
        return Ok(Vec::new());
    };
    let settings = ["index.default_pipeline", "index.final_pipeline"];
    let used = |name: &str| {
        let indices = pair.units.iter().filter(|u| !u.begun).filter_map(|u| u.source.as_ref());
        indices.flat_map(|i| settings.iter().filter_map(|s| i.setting(s))).any(|pipeline| pipeline == name)
    };
    let mut found = Vec::new();
    for (name, pipeline) in pipelines.as_object().into_iter().flatten() {
        let is_the_servers = name.starts_with('.') || pipeline["_meta"]["managed"] == true;
        let lacking: Vec<String> = processors(pipeline).into_iter().filter(|p| !known.contains(p)).collect();
        if is_the_servers || lacking.is_empty() {
            continue;
        }
        let lacking = shown(&lacking.iter().map(String::as_str).collect::<Vec<_>>());
        let (severity, so) = if used(name) {
            (Severity::Critical, "an index that is moved runs every document through it")
        } else {
            (Severity::Info, "it is not carried")
        };
        found.push(Finding {
            severity,
            code: "SEARCH_PIPELINE".to_owned(),
            summary: format!("pipeline {name:?} needs processors that {} lacks ({lacking}); {so}", pair.to.address),
            remedy: "Install the plugin that has them at the target, or write the pipeline there by hand without them."
                .to_owned(),
        });
    }
    Ok(found)
}

/// The processors of a cluster; `None`: it does not say.
fn known(cluster: &Cluster) -> Result<Option<BTreeSet<String>>, StepError> {
    let path = "/_nodes/ingest?filter_path=nodes.*.ingest.processors.type";
    let Ok(answer) = cluster.answer(&Ask::get(path))? else {
        return Ok(None);
    };
    let nodes = answer["nodes"].as_object().into_iter().flatten();
    let types = nodes.flat_map(|(_, node)| node["ingest"]["processors"].as_array().into_iter().flatten());
    let known: BTreeSet<String> = types.filter_map(|p| p["type"].as_str().map(str::to_owned)).collect();
    Ok(Some(known))
}

/// The processors of a pipeline, those for failures and in loops too.
pub(crate) fn processors(pipeline: &Value) -> BTreeSet<String> {
    fn walk(list: &Value, found: &mut BTreeSet<String>) {
        for (name, settings) in list.as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
            found.insert(name.clone());
            walk(&settings["on_failure"], found);
            if settings["processor"].is_object() {
                walk(&Value::Array(vec![settings["processor"].clone()]), found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&pipeline["processors"], &mut found);
    walk(&pipeline["on_failure"], &mut found);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processors_are_found_in_loops_and_where_failures_go() {
        let pipeline = json!({
            "processors": [
                {"set": {"field": "a", "on_failure": [{"drop": {}}]}},
                {"foreach": {"field": "b", "processor": {"geoip": {"field": "_ingest._value"}}}}],
            "on_failure": [{"append": {}}]});
        let found: Vec<String> = processors(&pipeline).into_iter().collect();
        assert_eq!(found, ["append", "drop", "foreach", "geoip", "set"]);
        assert!(processors(&Value::Null).is_empty());
    }
}
