//! What a mapping and settings have that others lack, or have otherwise: what is put, and what is told. Nothing here asks a
//! server.

use serde_json::{Map, Value, json};

use super::settings::is_seen_by_clients;
use crate::search::texts::{alike, sorted};

/// What says how a field is found, sorted or counted. Servers write it out alike, whatever their version.
const OF_FIELDS: [&str; 17] = [
    "analyzer",
    "coerce",
    "copy_to",
    "doc_values",
    "dynamic",
    "enabled",
    "format",
    "ignore_above",
    "ignore_malformed",
    "index",
    "normalizer",
    "null_value",
    "path",
    "relations",
    "scaling_factor",
    "search_analyzer",
    "similarity",
];

/// Parts of a mapping's root that decide what becomes of new fields, and what holds where one is not there.
fn of_the_root() -> [(&'static str, Value); 4] {
    [
        ("dynamic", json!("true")),
        ("date_detection", json!(true)),
        ("numeric_detection", json!(false)),
        ("dynamic_templates", json!([])),
    ]
}

/// Something that is otherwise on the two sides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// `field "a.b"`, `setting "index.max_result_window"`
    pub(crate) what: String,
    /// `ip, and text`: how it is to be, and how it is.
    pub(crate) how: String,
    /// What would make it right, where that can be tried: a part of a mapping, or a setting.
    pub(crate) put: Value,
}

/// What a mapping lacks of another, and has otherwise.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Growth {
    /// The fields that are lacking, as `properties` to be put. Fields above them are as they are there.
    pub(crate) additions: Map<String, Value>,
    /// The paths of those, each the highest that is lacking.
    pub(crate) missing: Vec<String>,
    pub(crate) differing: Vec<Difference>,
}

/// Compares mappings without types. Paths that `leave` names are not looked at.
pub(crate) fn of_mappings(wanted: &Value, there: &Value, leave: &dyn Fn(&str) -> bool) -> Growth {
    let mut walk = Walk { leave, growth: Growth::default() };
    let additions = walk.fields(&wanted["properties"], &there["properties"], "", &|fields| fields);
    let mut growth = walk.growth;
    growth.additions = additions;
    for (name, default) in of_the_root() {
        let of = |mapping: &Value| mapping.get(name).cloned().unwrap_or_else(|| default.clone());
        let (wanted, there) = (of(wanted), of(there));
        if !alike(&sorted(&wanted), &sorted(&there)) {
            growth.differing.push(Difference {
                what: format!("{name:?} of the mapping"),
                how: format!("{wanted}, and {there}"),
                put: json!({ name: wanted }),
            });
        }
    }
    growth
}

/// Compares the settings that clients see the effect of, by flat name.
pub(crate) fn of_settings(wanted: &Map<String, Value>, there: &Map<String, Value>) -> Vec<Difference> {
    let mut names: Vec<&String> = wanted.keys().chain(there.keys()).collect();
    names.sort();
    names.dedup();
    let of = |settings: &Map<String, Value>, name: &str| {
        let value = settings.get(name).filter(|value| *value != "_none");
        value.cloned().unwrap_or(Value::Null)
    };
    let differing = names.into_iter().filter(|name| is_seen_by_clients(name)).filter_map(|name| {
        let (wanted, there) = (of(wanted, name), of(there, name));
        let same = (wanted.is_null() && there.is_null()) || alike(&wanted, &there);
        (!same).then(|| Difference {
            what: format!("setting {name:?}"),
            how: format!("{wanted}, and {there}"),
            put: json!({ name: wanted }),
        })
    });
    differing.collect()
}

struct Walk<'a> {
    leave: &'a dyn Fn(&str) -> bool,
    growth: Growth,
}

impl Walk<'_> {
    /// The fields of one level. `around` puts fields of this level where they belong, from the root on.
    fn fields(
        &mut self,
        wanted: &Value,
        there: &Value,
        prefix: &str,
        around: &dyn Fn(Map<String, Value>) -> Map<String, Value>,
    ) -> Map<String, Value> {
        let mut additions = Map::new();
        for (name, field) in wanted.as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if (self.leave)(&path) {
                continue;
            }
            let Some(found) = there.get(name) else {
                self.growth.missing.push(path);
                additions.insert(name.clone(), field.clone());
                continue;
            };
            let own = self.compare(&path, field, found, &|field| around(one(name, field)));
            if type_of(field) != type_of(found) {
                continue;
            }
            for below in ["properties", "fields"] {
                let within = |fields: Map<String, Value>| around(one(name, with(&own, below, fields)));
                let more = self.fields(&field[below], &found[below], &path, &within);
                if !more.is_empty() {
                    let entry = additions.entry(name.clone()).or_insert_with(|| own.clone());
                    entry[below] = Value::Object(more);
                }
            }
        }
        additions
    }

    /// Compares what a field is by itself. Gives how it is there, without the fields below it.
    fn compare(
        &mut self,
        path: &str,
        field: &Value,
        found: &Value,
        around: &dyn Fn(Value) -> Map<String, Value>,
    ) -> Value {
        let put = |field: &Value| json!({ "properties": around(bare(field)) });
        if type_of(field) == type_of(found) {
            for name in OF_FIELDS.iter().filter(|name| !same(field.get(**name), found.get(**name))) {
                let shown = |field: &Value| field.get(*name).map_or("none".to_owned(), Value::to_string);
                self.growth.differing.push(Difference {
                    what: format!("{name:?} of field {path:?}"),
                    how: format!("{}, and {}", shown(field), shown(found)),
                    put: put(field),
                });
            }
        } else {
            self.growth.differing.push(Difference {
                what: format!("field {path:?}"),
                how: format!("{}, and {}", type_of(field), type_of(found)),
                put: Value::Null,
            });
        }
        bare(found)
    }
}

fn one(name: &str, field: Value) -> Map<String, Value> {
    [(name.to_owned(), field)].into_iter().collect()
}

fn with(field: &Value, below: &str, fields: Map<String, Value>) -> Value {
    let mut field = field.clone();
    field[below] = Value::Object(fields);
    field
}

/// A field without those below it.
fn bare(field: &Value) -> Value {
    let mut bare = field.clone();
    if let Some(map) = bare.as_object_mut() {
        map.remove("properties");
        map.remove("fields");
    }
    bare
}

fn type_of(field: &Value) -> &str {
    field["type"].as_str().unwrap_or("object")
}

fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => alike(&sorted(one), &sorted(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> bool {
        false
    }

    #[test]
    fn what_is_lacking_is_put_with_the_fields_above_it_as_they_are_there() {
        let wanted = json!({"properties": {
            "ip": {"type": "ip"},
            "in": {"type": "nested", "properties": {"a": {"type": "long"}, "b": {"type": "geo_point"}}},
            "t": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "same": {"type": "long"}}});
        let there = json!({"properties": {
            "in": {"type": "nested", "properties": {"a": {"type": "long"}}},
            "t": {"type": "text"}, "same": {"type": "long"}, "more": {"type": "long"}}});
        let growth = of_mappings(&wanted, &there, &nothing);
        assert_eq!(growth.missing, ["in.b", "ip", "t.raw"]);
        assert_eq!(growth.differing, []);
        let put = json!({
            "ip": {"type": "ip"},
            "in": {"type": "nested", "properties": {"b": {"type": "geo_point"}}},
            "t": {"type": "text", "fields": {"raw": {"type": "keyword"}}}});
        assert_eq!(Value::Object(growth.additions), put);
        assert_eq!(of_mappings(&wanted, &wanted, &nothing), Growth::default());
        let leave = |path: &str| path == "ip" || path == "in";
        assert_eq!(of_mappings(&wanted, &there, &leave).missing, ["t.raw"]);
    }

    #[test]
    fn other_types_and_parameters_are_differences_and_only_parameters_can_be_put() {
        let wanted = json!({"dynamic": "strict", "properties": {
            "k": {"type": "keyword", "ignore_above": 10}, "o": {"properties": {"n": {"type": "ip"}}}}});
        let there = json!({"properties": {
            "k": {"type": "keyword"}, "o": {"properties": {"n": {"type": "text"}}}}});
        let growth = of_mappings(&wanted, &there, &nothing);
        let told: Vec<String> = growth.differing.iter().map(|d| format!("{}: {}", d.what, d.how)).collect();
        assert_eq!(
            told,
            [
                r#""ignore_above" of field "k": 10, and none"#,
                r#"field "o.n": ip, and text"#,
                r#""dynamic" of the mapping: "strict", and "true""#
            ]
        );
        let put = json!({"properties": {"k": {"type": "keyword", "ignore_above": 10}}});
        assert_eq!([&growth.differing[0].put, &growth.differing[1].put], [&put, &Value::Null]);
        assert!(growth.missing.is_empty() && growth.additions.is_empty());
    }

    #[test]
    fn settings_that_clients_see_are_compared_and_others_are_not() {
        let of = |value: Value| value.as_object().cloned().unwrap_or_default();
        let wanted = of(json!({
            "index.mapping.total_fields.limit": "2000", "index.number_of_replicas": "1",
            "index.default_pipeline": "_none", "index.max_result_window": "5"}));
        let there = of(json!({"index.number_of_replicas": "0", "index.max_result_window": 5}));
        let found = of_settings(&wanted, &there);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].put, json!({"index.mapping.total_fields.limit": "2000"}));
    }
}
