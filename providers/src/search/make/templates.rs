//! Templates that match an index or a stream: composable ones with their components, and legacy ones, translated as an
//! index is.

use segue_contract::{Severity, StepError};
use serde_json::{Map, Value, json};

use super::around::{Around, Surroundings};
use crate::search::about::{About, Product};
use crate::search::carry;
use crate::search::cluster::{Ask, Cluster};
use crate::search::indices::Index;
use crate::search::names::{encoded, matches};

/// Makes every template that matches.
pub(super) fn make(all: &Surroundings<'_>, around: &mut Around) -> Result<(), StepError> {
    let (from, to) = (all.from.about()?, all.to.about()?);
    if from.has_composable_templates() {
        composable(all, from, to, around)?;
    }
    legacy(all, from, to, around)
}

fn any_matches(patterns: &Value, all: &Surroundings<'_>) -> bool {
    let names = all.indices.iter().map(|(_, target)| target).chain(all.streams);
    let patterns: Vec<&str> = match patterns {
        Value::String(one) => vec![one.as_str()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    // One that matches everything is the cluster's, not this index's.
    names.into_iter().any(|name| patterns.iter().any(|p| *p != "*" && matches(p, name)))
}

fn composable(
    all: &Surroundings<'_>,
    from: &About,
    to: &About,
    around: &mut Around,
) -> Result<(), StepError> {
    let found = all.from.maybe(&Ask::get("/_index_template?flat_settings=true"))?.unwrap_or(Value::Null);
    let list = found["index_templates"].as_array().cloned().unwrap_or_default();
    for entry in list {
        let Some(name) = entry["name"].as_str().filter(|name| !name.starts_with('.')) else { continue };
        let template = &entry["index_template"];
        if template["_meta"]["managed"] == true || !any_matches(&template["index_patterns"], all) {
            continue;
        }
        if !to.has_composable_templates() {
            around.warn(
                "SEARCH_TEMPLATE",
                format!(
                    "index template {name} has no counterpart at {to}, which knows legacy templates alone"
                ),
                "Write it there by hand as a legacy template.",
            );
            continue;
        }
        for component in template["composed_of"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            part(all, component, from, to, around)?;
        }
        let mut wanted = template.clone();
        if let Some(template) = wanted.get_mut("template") {
            translate(template, name, from, to, around);
        }
        if let Some(stream) = wanted.get_mut("data_stream") {
            *stream = of_stream(stream, name, to, around);
        }
        let path = format!("/_index_template/{}", encoded(name));
        let there = |found: &Value| found["index_templates"][0]["index_template"].clone();
        one(all.to, &format!("index template {name}"), &path, &wanted, there, around)?;
    }
    Ok(())
}

/// A component template.
fn part(
    all: &Surroundings<'_>,
    name: &str,
    from: &About,
    to: &About,
    around: &mut Around,
) -> Result<(), StepError> {
    let path = format!("/_component_template/{}", encoded(name));
    let inner = |found: &Value| found["component_templates"][0]["component_template"].clone();
    let Some(found) = all.from.maybe(&Ask::get(format!("{path}?flat_settings=true")))? else {
        return Ok(());
    };
    let mut wanted = inner(&found);
    if let Some(template) = wanted.get_mut("template") {
        translate(template, name, from, to, around);
    }
    one(all.to, &format!("component template {name}"), &path, &wanted, inner, around)
}

fn legacy(all: &Surroundings<'_>, from: &About, to: &About, around: &mut Around) -> Result<(), StepError> {
    let found = all.from.maybe(&Ask::get("/_template?flat_settings=true"))?.unwrap_or(Value::Null);
    for (name, template) in found.as_object().into_iter().flatten() {
        if name.starts_with('.') || !any_matches(&template["index_patterns"], all) {
            continue;
        }
        let mut wanted = template.clone();
        translate(&mut wanted, name, from, to, around);
        if to.has_types() {
            wanted["mappings"] = json!({"_doc": wanted["mappings"]});
        }
        let path = format!("/_template/{}", encoded(name));
        one(all.to, &format!("legacy template {name}"), &path, &wanted, |found| found[name].clone(), around)?;
    }
    Ok(())
}

/// Translates the `settings` and `mappings` of a template.
fn translate(template: &mut Value, name: &str, from: &About, to: &About, around: &mut Around) {
    let Some(map) = template.as_object_mut() else {
        return;
    };
    let mapping = map.get("mappings").cloned().unwrap_or(Value::Null);
    let types: Vec<&Value> = match mapping.as_object() {
        Some(types) if from.has_types() => types.values().collect(),
        _ => Vec::new(),
    };
    let index = Index {
        name: format!("template {name}"),
        many_types: types.len() > 1,
        mapping: types
            .first()
            .copied()
            .cloned()
            .unwrap_or_else(|| if from.has_types() { json!({}) } else { mapping.clone() }),
        settings: map.get("settings").and_then(Value::as_object).map(flat).unwrap_or_default(),
        ..Index::default()
    };
    let done = carry::translated(&index, from, to);
    // A template is made without what the target does not know; the index itself has it or is refused.
    around.findings.extend(done.findings.into_iter().map(|mut finding| {
        if finding.severity == Severity::Critical && finding.code == "SEARCH_FIELD_TYPE" {
            finding.severity = Severity::Warning;
            finding.summary.push_str(", and is left out");
            finding.remedy = "Indices that the template makes at the target lack the field: change the template there by hand.".to_owned();
        }
        finding
    }));
    if map.contains_key("settings") {
        map.insert("settings".to_owned(), Value::Object(done.settings));
    }
    if map.contains_key("mappings") {
        map.insert("mappings".to_owned(), done.mapping);
    }
}

/// What a template says of the data streams that it makes, as the target takes it. Only OpenSearch lets one name the field
/// with the time, and only Elasticsearch knows the rest.
fn of_stream(stream: &Value, name: &str, to: &About, around: &mut Around) -> Value {
    let mut kept = Map::new();
    for (setting, value) in stream.as_object().into_iter().flatten().filter(|(s, v)| !is_usual(s, v)) {
        if (setting == "timestamp_field") == (to.product == Product::OpenSearch) {
            kept.insert(setting.clone(), value.clone());
        } else {
            around.warn(
                "SEARCH_TEMPLATE",
                format!("index template {name}: {setting} of its data streams is not known to {to}, and is left out"),
                "See whether the target needs something in its place.",
            );
        }
    }
    Value::Object(kept)
}

/// Whether a setting of a template's data streams says what holds without it: servers write it out, or do not.
fn is_usual(setting: &str, value: &Value) -> bool {
    match setting {
        "timestamp_field" => value["name"] == "@timestamp",
        "hidden" | "allow_custom_routing" => *value == Value::Bool(false),
        _ => false,
    }
}

/// A template's settings by flat name: they may be nested, and written without `index.` before them.
fn flat(settings: &Map<String, Value>) -> Map<String, Value> {
    fn walk(name: &str, value: &Value, found: &mut Map<String, Value>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(inner, value)| walk(&format!("{name}.{inner}"), value, found));
            }
            plain => drop(found.insert(name.to_owned(), plain.clone())),
        }
    }
    let mut found = Map::new();
    for (name, value) in settings {
        let full = if name == "index" || name.starts_with("index.") {
            name.clone()
        } else {
            format!("index.{name}")
        };
        walk(&full, value, &mut found);
    }
    found
}

/// A template with flat settings, wherever they lie in it, and without what servers write out by themselves.
fn normal(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(stream) = template.get_mut("data_stream").and_then(Value::as_object_mut) {
        stream.retain(|setting, value| !is_usual(setting, value));
    }
    let inner = if template["template"].is_object() { &mut template["template"] } else { &mut template };
    if let Some(settings) = inner.get_mut("settings")
        && let Some(map) = settings.as_object()
    {
        *settings = Value::Object(flat(map));
    }
    template
}

/// Makes one template where it is not there.
fn one(
    to: &Cluster,
    what: &str,
    path: &str,
    wanted: &Value,
    inner: impl Fn(&Value) -> Value,
    around: &mut Around,
) -> Result<(), StepError> {
    match to.maybe(&Ask::get(format!("{path}?flat_settings=true")))? {
        Some(found) => {
            around.there(what, &normal(wanted), &normal(&inner(&found)));
            Ok(())
        }
        None => around.put(to, what, path, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::about::Version;

    #[test]
    fn settings_of_templates_mean_the_same_however_they_are_written() {
        let written = [
            json!({"template": {"settings": {"index": {"refresh_interval": "9s", "analysis": {"x": {"y": "z"}}}}}}),
            json!({"template": {"settings": {"refresh_interval": "9s", "analysis": {"x.y": "z"}}}}),
            json!({"template": {"settings": {"index.refresh_interval": "9s", "index.analysis.x.y": "z"}}}),
        ];
        assert!(written.iter().all(|w| normal(w) == written[2]), "{:?}", written.map(|w| normal(&w)));
        assert_eq!(normal(&json!({"settings": {"a": 1}})), json!({"settings": {"index.a": 1}}));
        assert_eq!(normal(&json!({"index_patterns": ["x"]})), json!({"index_patterns": ["x"]}));
    }

    #[test]
    fn data_streams_mean_the_same_whether_the_usual_is_written_out_or_not() {
        let written = [
            json!({}),
            json!({"timestamp_field": {"name": "@timestamp"}}),
            json!({"hidden": false, "allow_custom_routing": false}),
        ];
        let of = |stream: &Value| normal(&json!({"data_stream": stream}));
        assert!(written.iter().all(|w| of(w) == of(&written[0])), "{:?}", written.map(|w| of(&w)));
        for other in [json!({"timestamp_field": {"name": "at"}}), json!({"hidden": true})] {
            assert_ne!(of(&other), of(&written[0]));
        }
    }

    #[test]
    fn a_template_is_made_without_a_field_that_the_target_does_not_know() {
        let about = |product, version| About { product, version, name: String::new(), uuid: String::new() };
        let from = about(Product::Elasticsearch, Version(7, 10, 2));
        let to = about(Product::OpenSearch, Version(2, 19, 4));
        let mut template = json!({"mappings": {"properties":
            {"h": {"type": "histogram"}, "o": {"properties": {"v": {"type": "version"}, "k": {"type": "keyword"}}}}}});
        let mut around = Around::default();
        translate(&mut template, "t", &from, &to, &mut around);
        let wanted = json!({"mappings": {"properties": {"o": {"properties": {"k": {"type": "keyword"}}}}}});
        assert_eq!(template, wanted);
        let told: Vec<(Severity, bool)> =
            around.findings.iter().map(|f| (f.severity, f.summary.ends_with("and is left out"))).collect();
        assert_eq!(told, [(Severity::Warning, true), (Severity::Warning, true)]);
    }

    #[test]
    fn what_the_other_product_does_not_know_of_data_streams_is_left_out_and_told_where_it_matters() {
        let to = About {
            product: Product::OpenSearch,
            version: Version(2, 19, 4),
            name: String::new(),
            uuid: String::new(),
        };
        let mut around = Around::default();
        let usual = json!({"hidden": false, "allow_custom_routing": false});
        assert_eq!(of_stream(&usual, "t", &to, &mut around), json!({}));
        assert_eq!(around, Around::default());
        let odd = json!({"hidden": true, "timestamp_field": {"name": "at"}});
        assert_eq!(of_stream(&odd, "t", &to, &mut around), json!({"timestamp_field": {"name": "at"}}));
        assert!(around.findings.iter().all(|f| f.summary.contains("hidden")) && around.findings.len() == 1);
    }
}
