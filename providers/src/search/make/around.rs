//! What is around an index: the pipelines that it runs, the templates that match it, its aliases, data streams. What is
//! there already is left as it is, and told when it is something else.

use segue_contract::{Finding, Severity, StepError};
use serde_json::{Map, Value, json};

use super::templates;
use crate::search::cluster::{Ask, Cluster, Effect};
use crate::search::names::encoded;
use crate::search::refusal::Refusal;
use crate::search::texts::{alike, sorted};

/// What is to be carried beside the indices.
pub(crate) struct Surroundings<'a> {
    pub(crate) from: &'a Cluster,
    pub(crate) to: &'a Cluster,
    /// The indices: the name at the source, the name at the target.
    pub(crate) indices: &'a [(String, String)],
    /// Data streams by name, the same at both ends.
    pub(crate) streams: &'a [String],
}

/// What became of it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Around {
    /// What was made: `pipeline clean`, `alias books -> books-1`.
    pub(crate) made: Vec<String>,
    /// What differs, or could not be made.
    pub(crate) findings: Vec<Finding>,
}

impl Around {
    pub(super) fn warn(&mut self, code: &str, summary: String, remedy: &str) {
        self.findings.push(Finding {
            severity: Severity::Warning,
            code: code.to_owned(),
            summary,
            remedy: remedy.to_owned(),
        });
    }

    /// Something that the target would not take.
    pub(super) fn refused(&mut self, what: &str, refusal: &Refusal) {
        self.warn(
            "SEARCH_NOT_MADE",
            format!("{what} could not be made at the target: {refusal}"),
            "Make it by hand in a form that the target takes, before the switch.",
        );
    }

    /// Something that is there already: well when it is the same.
    pub(super) fn there(&mut self, what: &str, wanted: &Value, there: &Value) {
        if !alike(&sorted(wanted), &sorted(there)) {
            self.warn(
                "SEARCH_DIFFERS",
                format!("{what} is at the target with another content, and is left as it is"),
                "Compare the two, and make it right by hand before the switch.",
            );
        }
    }

    /// Makes one thing by a `PUT`.
    pub(super) fn put(
        &mut self,
        to: &Cluster,
        what: &str,
        path: &str,
        body: &Value,
    ) -> Result<(), StepError> {
        let ask = Ask::change("PUT", path, Some(body));
        match to.answer(&ask)? {
            Ok(answer) => {
                to.is_acknowledged(&ask, &answer)?;
                self.made.push(what.to_owned());
                Ok(())
            }
            Err(refusal) if matches!(refusal.status, 400 | 403..=405) => {
                self.refused(what, &refusal);
                Ok(())
            }
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }
}

/// Makes everything around the indices: before they are made, but for the aliases, which need them.
pub(crate) fn make_around(all: &Surroundings<'_>) -> Result<Around, StepError> {
    let mut around = Around::default();
    pipelines(all, &mut around)?;
    templates::make(all, &mut around)?;
    streams(all, &mut around)?;
    Ok(around)
}

/// The pipelines that the indices run, and those that these call.
fn pipelines(all: &Surroundings<'_>, around: &mut Around) -> Result<(), StepError> {
    let mut wanted: Vec<String> = Vec::new();
    for (name, _) in all.indices {
        let settings = crate::search::indices::settings_if_there(all.from, name)?;
        let named = ["index.default_pipeline", "index.final_pipeline"].into_iter();
        wanted.extend(named.filter_map(|s| settings.get(s)?.as_str().map(str::to_owned)));
    }
    let mut at = 0;
    while let Some(name) = wanted.get(at).cloned() {
        at += 1;
        if name == "_none" || wanted.iter().take(at - 1).any(|n| *n == name) {
            continue;
        }
        let path = format!("/_ingest/pipeline/{}", encoded(&name));
        let what = format!("pipeline {name}");
        let Some(found) = all.from.maybe(&Ask::get(&path))? else {
            around.warn(
                "SEARCH_PIPELINE",
                format!("{what} is set for an index at the source and does not exist there"),
                "Make it, or take it out of the index's settings.",
            );
            continue;
        };
        let body = &found[&name];
        wanted.extend(called(body));
        match all.to.maybe(&Ask::get(&path))? {
            Some(there) => around.there(&what, body, &there[&name]),
            None => around.put(all.to, &what, &path, body)?,
        }
    }
    Ok(())
}

/// The pipelines that a pipeline calls.
fn called(pipeline: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![pipeline];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(map) => {
                found.extend(map.get("pipeline").and_then(|p| p["name"].as_str()).map(str::to_owned));
                left.extend(map.values());
            }
            Value::Array(list) => left.extend(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

/// Data streams; their templates are there by now.
fn streams(all: &Surroundings<'_>, around: &mut Around) -> Result<(), StepError> {
    for name in all.streams {
        let path = format!("/_data_stream/{}", encoded(name));
        if all.from.maybe(&Ask::get(&path))?.is_none() {
            around.warn(
                "SEARCH_DATA_STREAMS",
                format!("there is no data stream {name} at the source"),
                "Correct its name.",
            );
            continue;
        }
        if all.to.maybe(&Ask::get(&path))?.is_none() {
            let ask = Ask::change("PUT", &path, None);
            let what = format!("data stream {name}");
            match all.to.answer(&ask)? {
                Ok(answer) => {
                    all.to.is_acknowledged(&ask, &answer)?;
                    around.made.push(what);
                }
                Err(refusal) if refusal.is("resource_already_exists_exception") => {}
                Err(refusal) if matches!(refusal.status, 400 | 403..=405) => around.refused(&what, &refusal),
                Err(refusal) => return Err(refusal.step(Effect::Write)),
            }
        }
    }
    Ok(())
}

/// The aliases of the indices. In one cluster there are none to be made: an alias would find every document twice, and to
/// move it is what a route is for. One that leads to something else at the target stays as it is, for the same reason.
pub(crate) fn make_aliases(all: &Surroundings<'_>, around: &mut Around) -> Result<(), StepError> {
    if all.from.about()?.uuid == all.to.about()?.uuid {
        return Ok(());
    }
    for (source, target) in all.indices {
        let of = |cluster: &Cluster, name: &str| -> Result<Map<String, Value>, StepError> {
            let found = cluster.maybe(&Ask::get(format!("/{}/_alias", encoded(name))))?;
            Ok(found.and_then(|f| f[name]["aliases"].as_object().cloned()).unwrap_or_default())
        };
        let there = of(all.to, target)?;
        for (alias, wanted) in of(all.from, source)? {
            let what = format!("alias {alias} -> {target}");
            match there.get(&alias) {
                Some(found) => around.there(&what, &wanted, found),
                None => match elsewhere(all, &alias)? {
                    Some(other) => around.findings.push(taken(&alias, target, &other)),
                    None => alias_of(all.to, &what, target, &alias, &wanted, around)?,
                },
            }
        }
    }
    Ok(())
}

/// An index at the target that an alias leads to, and that is none of those that are carried.
fn elsewhere(all: &Surroundings<'_>, alias: &str) -> Result<Option<String>, StepError> {
    let found = all.to.maybe(&Ask::get(format!("/_alias/{}", encoded(alias))))?.unwrap_or(Value::Null);
    // An alias of that name may be told by a pattern's answer, too.
    let leads =
        found.as_object().into_iter().flatten().filter(|(_, index)| index["aliases"][alias].is_object());
    let ours = |name: &String| all.indices.iter().any(|(_, target)| target == name);
    Ok(leads.map(|(name, _)| name.clone()).find(|name| !ours(name)))
}

fn taken(alias: &str, index: &str, other: &str) -> Finding {
    Finding {
        severity: Severity::Info,
        code: "SEARCH_ALIAS".to_owned(),
        summary: format!(
            "alias {alias} leads to {other} at the target, and is not added to {index}: clients would find both"
        ),
        remedy: "Move it with the switch: route \"search_alias\".".to_owned(),
    }
}

fn alias_of(
    to: &Cluster,
    what: &str,
    index: &str,
    alias: &str,
    wanted: &Value,
    around: &mut Around,
) -> Result<(), StepError> {
    let mut add = wanted.as_object().cloned().unwrap_or_default();
    add.insert("index".to_owned(), index.into());
    add.insert("alias".to_owned(), alias.into());
    let ask = Ask::change("POST", "/_aliases", Some(&json!({"actions": [{"add": add}]})));
    match to.answer(&ask)? {
        Ok(answer) => {
            to.is_acknowledged(&ask, &answer)?;
            around.made.push(what.to_owned());
            Ok(())
        }
        Err(refusal) if matches!(refusal.status, 400 | 403..=405 | 500) => {
            around.refused(what, &refusal);
            Ok(())
        }
        Err(refusal) => Err(refusal.step(Effect::Write)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_that_a_pipeline_calls_are_found() {
        let pipeline = json!({"processors": [
            {"pipeline": {"name": "a"}},
            {"foreach": {"processor": {"pipeline": {"name": "b"}}}},
            {"set": {"field": "pipeline", "value": "c"}}]});
        let mut found = called(&pipeline);
        found.sort();
        assert_eq!(found, ["a", "b"]);
    }
}
