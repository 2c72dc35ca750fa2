//! Mappings and settings of an index as text that can be compared: sorted, without what only this one index has, so that
//! equal text means that clients see the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::carry::settings::is_of_the_instance;
use super::indices::Index;

/// The same value with the keys of every object in order.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, Value> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(ordered.into_iter().map(|(k, v)| (k.clone(), v)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        plain => plain.clone(),
    }
}

/// JSON in lines, keys in order.
pub(crate) fn text(value: &Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default()
}

/// Whether two values mean the same: numbers and booleans may be written as text, as settings are.
pub(crate) fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| alike(v, w)))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| alike(v, w)),
        // A list of one may be written without brackets.
        (Value::Array(list), plain) | (plain, Value::Array(list)) => {
            matches!(list.as_slice(), [one] if alike(one, plain))
        }
        (x, y) => x == y || plain(x).is_some_and(|x| plain(y).is_some_and(|y| x == y)),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts of an index by name, `books: mappings`.
pub(crate) fn of(index: &Index) -> [(String, String); 3] {
    let is_analysis = |name: &str| name.starts_with("index.analysis.");
    let part = |analysis: bool| -> Map<String, Value> {
        let kept = index
            .settings
            .iter()
            .filter(|(name, _)| !is_of_the_instance(name) && is_analysis(name) == analysis);
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    [
        (format!("{}: mappings", index.name), text(&index.mapping)),
        (format!("{}: analysis", index.name), text(&Value::Object(part(true)))),
        (format!("{}: settings", index.name), text(&Value::Object(part(false)))),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_meaning_is_equal_text_and_what_only_one_index_has_is_left_out() {
        let index = |uuid: &str, first: &str, second: &str| {
            let mut index = Index { name: "books".to_owned(), ..Index::default() };
            let mut set = |name: &str, value: &str| index.settings.insert(name.to_owned(), json!(value));
            set("index.uuid", uuid);
            set(first, "1");
            set(second, "1");
            set("index.analysis.analyzer.a.type", "standard");
            index.mapping = serde_json::from_str(r#"{"b": 1, "a": {"d": 1, "c": 2}}"#).expect("json");
            index
        };
        let one = of(&index("x", "index.number_of_shards", "index.codec"));
        let other = of(&index("y", "index.codec", "index.number_of_shards"));
        assert_eq!(one, other);
        assert_eq!(one[0].1, "{\n  \"a\": {\n    \"c\": 2,\n    \"d\": 1\n  },\n  \"b\": 1\n}");
        assert!(one[1].1.contains("analyzer.a.type") && !one[2].1.contains("analysis"));
        assert!(!one[2].1.contains("uuid") && one[2].1.contains("codec"));
    }

    #[test]
    fn numbers_may_be_written_as_text() {
        assert!(alike(&json!({"a": [1, true], "b": "x"}), &json!({"b": ["x"], "a": ["1", "true"]})));
        assert!(!alike(&json!({"a": 1}), &json!({"a": 1, "b": 2})) && !alike(&json!(null), &json!("null")));
    }
}
