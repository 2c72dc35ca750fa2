//! Functions of maps. Keys are never sensitive or unknown by themselves; a map is as a whole, or its values.

use std::collections::BTreeMap;

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, wrong_element};
use super::conversion::scalar_text;

/// The keys, sorted.
pub(super) fn keys(args: &Args<'_>) -> Outcome {
    let keys = args.entries(0)?.keys();
    Ok(Value::list(keys.map(|key| Value::string(key.as_str())).collect()))
}

/// The values, in the order of their keys.
pub(super) fn values(args: &Args<'_>) -> Outcome {
    Ok(Value::list(args.entries(0)?.values().cloned().collect()))
}

/// `lookup(map, key, default)`; without a default the key must be there.
pub(super) fn lookup(args: &Args<'_>) -> Outcome {
    let (map, key) = (args.get(0), args.get(1));
    if map.is_unknown() || key.is_unknown() {
        return Ok(Value::unknown().tainted_by([map, key]));
    }
    let entries = args.entries(0)?;
    let name = args.text(1)?;
    let value = match (entries.get(&*name), args.values.get(2)) {
        (Some(value), _) => value,
        (None, Some(default)) => default,
        (None, None) => {
            return Err(Fault::at(
                1,
                "the map has no such key, and there is no third argument to use instead",
            )
            .detail(format!("{name:?}")));
        }
    };
    Ok(value.clone().tainted_by([map, key]))
}

/// One map of all; where several have a key the last one counts. Nulls are passed over.
pub(super) fn merge(args: &Args<'_>) -> Outcome {
    let mut merged = BTreeMap::new();
    for (index, value) in args.values.iter().enumerate() {
        if matches!(value.data, Data::Null) {
            continue;
        }
        let entries = args.entries(index)?;
        merged.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(Value::map(merged))
}

/// `zipmap(keys, values)`; where a key occurs again the last value counts.
pub(super) fn zipmap(args: &Args<'_>) -> Outcome {
    let (keys, values) = (args.sequence(0)?, args.list(1)?);
    let secret = keys.iter().any(Value::is_sensitive);
    let mark = |mut value: Value| {
        if secret {
            value.sensitive = Sensitivity::Secret;
        }
        value
    };
    if keys.len() != values.len() {
        return Err(
            Fault::at(1, "there must be as many values as keys").detail(format!(
                "{} keys and {} values",
                keys.len(),
                values.len()
            )),
        );
    }
    if keys.iter().any(Value::is_unknown) {
        return Ok(mark(Value::unknown()));
    }
    let mut map = BTreeMap::new();
    for (place, (key, value)) in keys.iter().zip(values).enumerate() {
        let name = scalar_text(key).ok_or_else(|| wrong_element(0, place, "a string", key))?;
        map.insert(name.to_string(), value.clone());
    }
    Ok(mark(Value::map(map)))
}
