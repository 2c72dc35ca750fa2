//! A mapping's root on its way to another product or version.

use serde_json::{Map, Value};

use super::Said;
use super::fields;
use crate::search::about::{About, Product, Version};

/// Parts of a mapping's root that are gone: from which version of Elasticsearch on (every OpenSearch lacks those of 7 and
/// before), what that means.
const GONE: [(&str, u32, &str); 5] = [
    ("_all", 6, "clients that search _all have to name fields, or the fields get copy_to"),
    ("_timestamp", 5, "its value is not carried: the application keeps a date field"),
    ("_ttl", 5, "documents do not expire by themselves there"),
    ("_parent", 6, "parents and children need a join field: change the application first"),
    ("_field_names", 8, "it only saved space; queries are the same"),
];

/// Translates a mapping without its type.
pub(super) fn translated(mapping: &Value, from: &About, to: &About, said: &mut Said) -> Value {
    let Some(root) = mapping.as_object() else {
        return Value::Object(Map::new());
    };
    let mut kept = Map::new();
    for (name, value) in root {
        match name.as_str() {
            "properties" => {
                let properties = fields::translated(value, from, to, said);
                kept.insert(name.clone(), properties);
            }
            "runtime" => runtime(value, to, &mut kept, said),
            "derived" => derived(value, to, &mut kept, said),
            "_source" => source(value, to, &mut kept, said),
            "dynamic" => dynamic(value, to, &mut kept, said),
            "_data_stream_timestamp" if to.product == Product::OpenSearch => {}
            gone if is_gone(gone, to) => {
                let means = GONE.iter().find(|(n, ..)| n == &gone).map_or("", |(.., means)| means);
                // That it was switched off is no loss.
                if value["enabled"] != false && gone != "_field_names" {
                    said.warning(
                        "SEARCH_FIELD_GONE",
                        format!("its mapping's {gone} does not exist at the target"),
                        &capital(means),
                    );
                }
            }
            _ => {
                kept.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(kept)
}

fn is_gone(name: &str, to: &About) -> bool {
    GONE.iter().any(|(gone, major, _)| {
        *gone == name
            && match to.product {
                Product::Elasticsearch => to.version >= Version(*major, 0, 0),
                Product::OpenSearch => *major < 8,
            }
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

fn names(value: &Value) -> String {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn runtime(value: &Value, to: &About, kept: &mut Map<String, Value>, said: &mut Said) {
    if to.product == Product::Elasticsearch && to.version >= Version(7, 11, 0) {
        kept.insert("runtime".to_owned(), value.clone());
    } else if value.as_object().is_some_and(|fields| !fields.is_empty()) {
        said.warning(
            "SEARCH_RUNTIME_FIELDS",
            format!("runtime fields ({}) do not exist at the target", names(value)),
            "Queries that use them fail there: write the values into documents, or (OpenSearch 2.15 and later) define derived fields by hand.",
        );
    }
}

fn derived(value: &Value, to: &About, kept: &mut Map<String, Value>, said: &mut Said) {
    if to.knows_type("derived") == Some(true) {
        kept.insert("derived".to_owned(), value.clone());
    } else if value.as_object().is_some_and(|fields| !fields.is_empty()) {
        said.warning(
            "SEARCH_RUNTIME_FIELDS",
            format!("derived fields ({}) do not exist at the target", names(value)),
            "Queries that use them fail there: write the values into documents, or (Elasticsearch 7.11 and later) define runtime fields by hand.",
        );
    }
}

fn source(value: &Value, to: &About, kept: &mut Map<String, Value>, said: &mut Said) {
    let mut rest = value.clone();
    if let Some(map) = rest.as_object_mut()
        && to.product == Product::OpenSearch
        && map.remove("mode").is_some()
    {
        said.info(
            "SEARCH_SOURCE_MODE",
            "its synthetic source becomes a stored one at the target",
            "The index takes more room there.",
        );
    }
    if rest.as_object().is_some_and(|map| !map.is_empty()) {
        kept.insert("_source".to_owned(), rest);
    }
}

fn dynamic(value: &Value, to: &About, kept: &mut Map<String, Value>, said: &mut Said) {
    let text = value.as_str().unwrap_or_default();
    let becomes = match (text, to.product) {
        ("runtime", Product::OpenSearch) => Some("true"),
        ("strict_allow_templates" | "false_allow_templates", Product::Elasticsearch) => Some("strict"),
        _ => None,
    };
    let Some(becomes) = becomes else {
        kept.insert("dynamic".to_owned(), value.clone());
        return;
    };
    said.warning(
        "SEARCH_DYNAMIC",
        format!("dynamic = {text:?} does not exist at the target and becomes {becomes:?}"),
        "See that new fields of documents are then taken as the application needs it.",
    );
    kept.insert("dynamic".to_owned(), becomes.into());
}
