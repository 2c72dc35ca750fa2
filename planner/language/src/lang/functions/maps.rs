//! Functions of maps. A block counts as the map of its attributes.

use std::collections::BTreeMap;

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, wrong_element};
use super::conversion::scalar_text;

/// How many keys a message lists.
const KEYS_SHOWN: usize = 8;

pub(super) fn keys(args: &Args<'_>) -> Outcome {
    let keys = args.entries(0)?.keys();
    Ok(Value::list(keys.map(|key| Value::string(key.as_str())).collect()))
}

/// The values in the order of their keys.
pub(super) fn values(args: &Args<'_>) -> Outcome {
    Ok(Value::list(args.entries(0)?.values().cloned().collect()))
}

/// `lookup(map, key, default)`: the element as it is, so that one that is exactly an environment variable's
/// value stays that.
pub(super) fn lookup(args: &Args<'_>) -> Outcome {
    let (map, key) = (args.get(0), args.get(1));
    if map.is_unknown() || key.is_unknown() {
        return Ok(Value::unknown().tainted_by([map, key]));
    }
    let entries = args.entries(0)?;
    let wanted = args.text(1)?;
    if let Some(found) = entries.get(&*wanted).or_else(|| args.values.get(2)) {
        return Ok(found.clone().tainted_by([map, key]));
    }
    let shown: Vec<_> = entries.keys().take(KEYS_SHOWN).map(|key| format!("{key:?}")).collect();
    let more = if entries.len() > KEYS_SHOWN { ", ..." } else { "" };
    Err(Fault::at(1, "the map has no such key, and there is no default (a third argument)")
        .detail(format!("{wanted:?} is none of [{}{more}]", shown.join(", "))))
}

/// All entries; of equal keys the last wins. `null` counts as an empty map.
pub(super) fn merge(args: &Args<'_>) -> Outcome {
    let mut merged = BTreeMap::new();
    for (index, value) in args.values.iter().enumerate() {
        if !matches!(value.data, Data::Null) {
            let entries = args.entries(index)?;
            merged.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    Ok(Value::map(merged))
}

/// A map of a list of keys and a list of values. Of equal keys the last wins.
pub(super) fn zipmap(args: &Args<'_>) -> Outcome {
    let (keys, values) = (args.list(0)?, args.list(1)?);
    if keys.len() != values.len() {
        return Err(Fault::new("the keys and the values are not equally many").detail(format!(
            "{} keys, {} values",
            keys.len(),
            values.len()
        )));
    }
    let secret = keys.iter().any(Value::is_sensitive);
    let mut result = if keys.iter().any(Value::is_unknown) {
        Value::unknown()
    } else {
        let mut entries = BTreeMap::new();
        for (place, (key, value)) in keys.iter().zip(values).enumerate() {
            let text = scalar_text(key).ok_or_else(|| wrong_element(0, place, "a string", key))?;
            entries.insert(text.as_ref().to_owned(), value.clone());
        }
        Value::map(entries)
    };
    if secret {
        result.sensitive = Sensitivity::Secret;
    }
    Ok(result)
}
