//! The indices of a cluster as they are: settings, mapping, size. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use segue_contract::{BlockRef, StepError};
use serde_json::{Map, Value};

use super::cluster::{Ask, Cluster, in_groups};
use super::names::{is_system, listed, matches};

/// One index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// Another one when the index was deleted and made again.
    pub(crate) uuid: String,
    pub(crate) is_open: bool,
    pub(crate) is_red: bool,
    /// Documents as a search counts them, where that is known.
    pub(crate) records: Option<u64>,
    /// Bytes of its primary shards.
    pub(crate) bytes: Option<u64>,
    /// By flat name, `index.number_of_shards`; strings, or lists of strings.
    pub(crate) settings: Map<String, Value>,
    /// The mapping without its type; empty until [`with_mappings`].
    pub(crate) mapping: Value,
    /// The mapping's types (Elasticsearch 6).
    pub(crate) types: Vec<String>,
    /// More types than one, which have no counterpart: their mappings are not in `mapping`.
    pub(crate) many_types: bool,
}

impl Index {
    /// A setting's text.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).and_then(Value::as_str)
    }

    /// Whether a setting is `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.setting(name) == Some("true")
    }

    /// Whether it is left out of lists unless it is named.
    pub(crate) fn is_hidden(&self) -> bool {
        self.is("index.hidden") || is_system(&self.name)
    }

    /// The type that documents are addressed by: `_doc`, or the one of Elasticsearch 6.
    pub(crate) fn document_type(&self) -> &str {
        self.types.first().map_or("_doc", String::as_str)
    }

    /// Whether a document can hold others, which are counted as documents by the statistics.
    pub(crate) fn has_nested(&self) -> bool {
        let mut found = false;
        fields(&self.mapping, &mut |_, field| found |= field["type"] == "nested");
        found
    }
}

/// Calls `with` for each field and sub-field of a mapping, with its path.
pub(crate) fn fields<'a>(mapping: &'a Value, with: &mut dyn FnMut(&str, &'a Value)) {
    fn walk<'a>(properties: &'a Value, prefix: &str, with: &mut dyn FnMut(&str, &'a Value)) {
        for (name, field) in properties.as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            with(&path, field);
            walk(&field["properties"], &path, with);
            walk(&field["fields"], &path, with);
        }
    }
    walk(&mapping["properties"], "", with);
}

/// All indices of a cluster, hidden and closed ones too, without mappings.
pub(crate) fn all(cluster: &Cluster) -> Result<BTreeMap<String, Index>, StepError> {
    let every = if cluster.about()?.has_hidden() { "&expand_wildcards=all" } else { "" };
    let rows = cluster.json(&Ask::get(format!(
        "/_cat/indices?format=json&bytes=b&h=index,uuid,status,health,docs.count,pri.store.size{every}"
    )))?;
    let settings = cluster.json(&Ask::get("/_all/_settings?flat_settings=true&expand_wildcards=all"))?;
    let mut found = BTreeMap::new();
    for row in rows.as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        if settings[text("index")].is_null() {
            // Deleted between the two questions: there is none without settings.
            continue;
        }
        let index = Index {
            name: text("index").to_owned(),
            uuid: text("uuid").to_owned(),
            is_open: text("status") == "open",
            is_red: text("health") == "red",
            records: text("docs.count").parse().ok(),
            bytes: text("pri.store.size").parse().ok(),
            settings: settings_in(&settings, text("index")),
            ..Index::default()
        };
        found.insert(index.name.clone(), index);
    }
    Ok(found)
}

/// All indices of a cluster by name, and whether they are hidden: nothing else of them is known.
pub(crate) fn known(cluster: &Cluster) -> Result<Vec<Index>, StepError> {
    let path = "/_all/_settings/index.uuid,index.hidden?flat_settings=true&expand_wildcards=all";
    let settings = cluster.json(&Ask::get(path))?;
    let names = settings.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    Ok(names
        .map(|name| Index { settings: settings_in(&settings, &name), name, ..Index::default() })
        .collect())
}

fn settings_in(answer: &Value, name: &str) -> Map<String, Value> {
    answer[name]["settings"].as_object().cloned().unwrap_or_default()
}

/// Some indices by name, with their mappings; one that is not there is left out.
pub(crate) fn named(cluster: &Cluster, names: &[String]) -> Result<BTreeMap<String, Index>, StepError> {
    let wanted: BTreeSet<&String> = names.iter().collect();
    let mut found: BTreeMap<String, Index> =
        all(cluster)?.into_iter().filter(|(name, _)| wanted.contains(name)).collect();
    with_mappings(cluster, &mut found)?;
    Ok(found)
}

/// One index as it is now, with its mapping, and its aliases; by one request. Nothing is counted.
///
/// # Errors
/// It is not there, or is an alias.
pub(crate) fn described(cluster: &Cluster, name: &str) -> Result<(Index, Map<String, Value>), StepError> {
    let path = format!("/{}?flat_settings=true", super::names::encoded(name));
    let answer = cluster.maybe(&Ask::get(path))?.unwrap_or(Value::Null);
    let found = &answer[name];
    if found.is_null() {
        return Err(absent(cluster, name));
    }
    let settings = settings_in(&answer, name);
    let uuid = settings.get("index.uuid").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut index = Index { name: name.to_owned(), uuid, settings, ..Index::default() };
    if cluster.about()?.has_types() {
        typeless(&mut index, &found["mappings"]);
    } else {
        index.mapping = found["mappings"].clone();
    }
    Ok((index, found["aliases"].as_object().cloned().unwrap_or_default()))
}

/// By how many shards documents are dealt out before those are joined to the shards that there are. It decides where a
/// document lies, and is no setting any more once an index is made.
pub(crate) fn routing_shards(cluster: &Cluster, name: &str) -> Result<Option<u64>, StepError> {
    const PART: &str = "metadata.indices.*.routing_num_shards";
    let name_in_path = super::names::encoded(name);
    let ask = Ask::get(format!("/_cluster/state/metadata/{name_in_path}?filter_path={PART}"));
    let found = cluster.maybe(&ask)?.unwrap_or(Value::Null);
    Ok(found["metadata"]["indices"][name]["routing_num_shards"].as_u64())
}

/// The settings of some indices by name.
///
/// # Errors
/// One of them is not there, or is an alias.
pub(crate) fn settings_of(
    cluster: &Cluster,
    names: &[String],
) -> Result<BTreeMap<String, Map<String, Value>>, StepError> {
    let mut found = BTreeMap::new();
    for group in in_groups(names) {
        let path = format!("/{}/_settings?flat_settings=true", listed(group));
        let answer = cluster.maybe(&Ask::get(path))?.unwrap_or(Value::Null);
        for name in group {
            if answer[name].is_null() {
                return Err(absent(cluster, name));
            }
            found.insert(name.clone(), settings_in(&answer, name));
        }
    }
    Ok(found)
}

/// The settings of one index; empty when it is not there.
pub(crate) fn settings_if_there(cluster: &Cluster, name: &str) -> Result<Map<String, Value>, StepError> {
    let path = format!("/{}/_settings?flat_settings=true", super::names::encoded(name));
    Ok(cluster.maybe(&Ask::get(path))?.map(|answer| settings_in(&answer, name)).unwrap_or_default())
}

/// That an index is not there.
pub(crate) fn absent(cluster: &Cluster, name: &str) -> StepError {
    StepError::permanent(format!("{}: there is no index {name:?}", cluster.address))
        .remedy("correct its name (an alias is no index), or make it again if it was deleted")
}

/// Fills in mappings, and counts documents where the statistics would count nested ones. What was deleted meanwhile is
/// taken out.
pub(crate) fn with_mappings(
    cluster: &Cluster,
    indices: &mut BTreeMap<String, Index>,
) -> Result<(), StepError> {
    let has_types = cluster.about()?.has_types();
    let names: Vec<String> = indices.keys().cloned().collect();
    let mut answers = Map::new();
    for group in in_groups(&names) {
        // One that is gone would have the mappings of all refused.
        let ask = Ask::get(format!("/{}/_mapping?ignore_unavailable=true", listed(group)));
        if let Some(Value::Object(some)) = cluster.maybe(&ask)? {
            answers.extend(some);
        }
    }
    indices.retain(|name, _| answers.contains_key(name));
    for index in indices.values_mut() {
        let Some(mapping) = answers.get(&index.name).map(|answer| &answer["mappings"]) else { continue };
        if has_types {
            typeless(index, mapping);
        } else {
            index.mapping = mapping.clone();
        }
        if index.is_open && index.has_nested() {
            let ask = Ask::get(format!("/{}/_count", listed(std::slice::from_ref(&index.name))));
            index.records = cluster.maybe(&ask)?.and_then(|answer| answer["count"].as_u64());
        }
    }
    Ok(())
}

/// Takes the one type out of a mapping of Elasticsearch 6.
fn typeless(index: &mut Index, mapping: &Value) {
    let types = mapping.as_object().into_iter().flatten().filter(|(name, _)| *name != "_default_");
    let types: Vec<(&String, &Value)> = types.collect();
    index.types = types.iter().map(|(name, _)| (*name).clone()).collect();
    index.many_types = types.len() > 1;
    index.mapping = match types.as_slice() {
        [(_, inner)] => (*inner).clone(),
        _ => Value::Object(Map::new()),
    };
}

/// Which indices an endpoint offers as units: its `indices`, or all that are not hidden.
pub(crate) struct Offer(Option<Vec<String>>);

impl Offer {
    pub(crate) fn of(block: &BlockRef) -> Result<Self, StepError> {
        Ok(Self(block.words("indices")?.filter(|patterns| !patterns.is_empty())))
    }

    /// Whether an index is offered. A hidden one has to be named in full.
    pub(crate) fn takes(&self, index: &Index) -> bool {
        if index.name == super::names::NOTES {
            return false;
        }
        match &self.0 {
            None => !index.is_hidden(),
            Some(patterns) => patterns.iter().any(|p| {
                *p == index.name || (p.contains('*') && !index.is_hidden() && matches(p, &index.name))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::block;

    #[test]
    fn hidden_and_system_indices_are_offered_only_by_name() {
        let index = |name: &str, hidden: bool| {
            let mut index = Index { name: name.to_owned(), ..Index::default() };
            if hidden {
                index.settings.insert("index.hidden".to_owned(), json!("true"));
            }
            index
        };
        let all = [index("a-1", false), index("a-2", true), index(".kibana", false), index("b", false)];
        let offered = |settings: &[(&str, Value)]| {
            let offer =
                Offer::of(&block("source.elasticsearch.old", "elasticsearch", settings)).expect("valid");
            all.iter().filter(|i| offer.takes(i)).map(|i| i.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(offered(&[]), ["a-1", "b"]);
        assert_eq!(offered(&[("indices", json!(["a-*", ".kibana"]))]), ["a-1", ".kibana"]);
        assert_eq!(offered(&[("indices", json!(["a-2", "*"]))]), ["a-1", "a-2", "b"]);
    }

    #[test]
    fn the_one_type_is_taken_out_and_several_are_told() {
        let mut index = Index::default();
        typeless(&mut index, &json!({"_default_": {}, "book": {"properties": {"a": {"type": "nested"}}}}));
        assert_eq!((index.document_type(), index.has_nested(), index.many_types), ("book", true, false));
        typeless(&mut index, &json!({"a": {}, "b": {}}));
        assert!(index.many_types);
        typeless(&mut index, &json!({}));
        assert_eq!((index.document_type(), index.many_types), ("_doc", false));
    }

    #[test]
    fn every_field_is_walked_with_its_path() {
        let mapping = json!({"properties": {
            "a": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "b": {"properties": {"c": {"type": "long"}}}}});
        let mut seen = Vec::new();
        fields(&mapping, &mut |path, field| seen.push(format!("{path} {}", field["type"])));
        assert_eq!(seen, ["a \"text\"", "a.raw \"keyword\"", "b null", "b.c \"long\""]);
    }
}
