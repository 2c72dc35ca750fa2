//! Bodies: JSON on one line, changed on the way where the spec asks for it. Numbers are never read: they are carried as
//! they are written, digit by digit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use segue_contract::{StepError, Transform};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

/// The same JSON without spaces between its parts, so that it fits on a line and equal bodies are equal bytes.
pub fn on_one_line(json: &[u8]) -> Cow<'_, [u8]> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    if !json.iter().any(is_space) {
        return Cow::Borrowed(json);
    }
    let mut out = Vec::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        if quoted {
            out.push(*byte);
            (quoted, escaped) = match (escaped, byte) {
                (true, _) => (true, false),
                (false, b'\\') => (true, true),
                (false, b'"') => (false, false),
                (false, _) => (true, false),
            };
        } else if !is_space(byte) {
            out.push(*byte);
            quoted = *byte == b'"';
        }
    }
    Cow::Owned(out)
}

/// The fields of an object in their order, their values as they are written.
type Fields = Vec<(String, Box<RawValue>)>;

struct Object(Fields);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push(entry);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn parse(json: &str) -> Result<Fields, StepError> {
    let object: Result<Object, _> = serde_json::from_str(json);
    object.map(|object| object.0).map_err(|e| StepError::permanent("a body is no JSON object").because(e))
}

fn raw(json: String) -> Result<Box<RawValue>, StepError> {
    RawValue::from_string(json).map_err(|e| StepError::permanent("a body is no JSON").because(e))
}

fn print(fields: &Fields) -> Result<String, StepError> {
    let mut out = String::from("{");
    for (name, value) in fields {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(name).map_err(|e| StepError::permanent(e.to_string()))?);
        out.push(':');
        out.push_str(value.get());
    }
    out.push('}');
    Ok(out)
}

/// Takes a field out; `None`: it is not there. A path through what is no object leads nowhere.
fn take(fields: &mut Fields, path: &str) -> Result<Option<Box<RawValue>>, StepError> {
    // A field may be called by its dotted name as a whole.
    if let Some(at) = fields.iter().position(|(name, _)| name == path) {
        return Ok(Some(fields.remove(at).1));
    }
    let Some((first, rest)) = path.split_once('.') else { return Ok(None) };
    let Some((_, inner)) = fields.iter_mut().find(|(name, _)| name == first) else { return Ok(None) };
    if !inner.get().starts_with('{') {
        return Ok(None);
    }
    let mut below = parse(inner.get())?;
    let taken = take(&mut below, rest)?;
    if taken.is_some() {
        *inner = raw(print(&below)?)?;
    }
    Ok(taken)
}

/// Puts a field in, through objects that are made where they are missing.
fn put(fields: &mut Fields, path: &str, value: Box<RawValue>) -> Result<(), StepError> {
    let Some((first, rest)) = path.split_once('.') else {
        match fields.iter_mut().find(|(name, _)| name == path) {
            Some((_, there)) => *there = value,
            None => fields.push((path.to_owned(), value)),
        }
        return Ok(());
    };
    let at = fields.iter().position(|(name, _)| name == first);
    let mut below = match at.and_then(|at| fields.get(at)) {
        Some((_, inner)) if inner.get().starts_with('{') => parse(inner.get())?,
        Some(_) => {
            return Err(StepError::permanent(format!("{first:?} is no object, and {path:?} is to be in it")));
        }
        None => Vec::new(),
    };
    put(&mut below, rest, value)?;
    let below = raw(print(&below)?)?;
    match at.and_then(|at| fields.get_mut(at)) {
        Some((_, inner)) => *inner = below,
        None => fields.push((first.to_owned(), below)),
    }
    Ok(())
}

/// The hash of a body as the declared target has it: XXH3-128, never 0. Where bodies are changed on their way, and on their
/// way back, the order of fields is nothing that could be kept.
pub(crate) fn hash(transform: &Transform, body: &[u8]) -> Result<u128, StepError> {
    if transform.is_nothing() {
        return Ok(xxh3_128(body).max(1));
    }
    let fields = parse(&text(body.to_vec())?)?;
    Ok(xxh3_128(print(&in_order(fields)?)?.as_bytes()).max(1))
}

/// The same object with its fields in order, and those of the objects in it.
fn in_order(mut fields: Fields) -> Result<Fields, StepError> {
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, value) in &mut fields {
        if value.get().starts_with('{') {
            *value = raw(print(&in_order(parse(value.get())?)?)?)?;
        }
    }
    Ok(fields)
}

/// A value as it is printed in a spec: a string without its quotes, anything else as it is.
fn printed(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// Changes a body on its way from the declared source to the declared target.
pub(crate) fn forward(transform: &Transform, body: Vec<u8>) -> Result<Vec<u8>, StepError> {
    if transform.is_nothing() {
        return Ok(body);
    }
    let mut fields = parse(&text(body)?)?;
    for (field, values) in &transform.map {
        replace(&mut fields, field, values)?;
    }
    for field in &transform.drop {
        take(&mut fields, field)?;
    }
    rename(&mut fields, transform.rename.iter().map(|(from, to)| (from.as_str(), to.as_str())))?;
    Ok(print(&fields)?.into_bytes())
}

/// Changes a body on its way back: renames and maps turned round. What was dropped is taken from what is there.
pub(crate) fn back(transform: &Transform, body: Vec<u8>, there: Option<&[u8]>) -> Result<Vec<u8>, StepError> {
    if transform.is_nothing() {
        return Ok(body);
    }
    let mut fields = parse(&text(body)?)?;
    rename(&mut fields, transform.rename.iter().map(|(from, to)| (to.as_str(), from.as_str())))?;
    if let Some(there) = there {
        let mut old = parse(&text(there.to_vec())?)?;
        for field in &transform.drop {
            if let Some(value) = take(&mut old, field)? {
                put(&mut fields, field, value)?;
            }
        }
    }
    for (field, values) in &transform.map {
        let turned: BTreeMap<String, String> = values.iter().map(|(k, v)| (v.clone(), k.clone())).collect();
        replace(&mut fields, field, &turned)?;
    }
    Ok(print(&fields)?.into_bytes())
}

fn text(body: Vec<u8>) -> Result<String, StepError> {
    String::from_utf8(body).map_err(|e| StepError::permanent("a body is no text").because(e))
}

/// All are taken out first: two fields may change places.
fn rename<'a>(fields: &mut Fields, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), StepError> {
    let mut taken = Vec::new();
    for (from, to) in pairs {
        if let Some(value) = take(fields, from)? {
            taken.push((to, value));
        }
    }
    taken.into_iter().try_for_each(|(to, value)| put(fields, to, value))
}

fn replace(fields: &mut Fields, field: &str, values: &BTreeMap<String, String>) -> Result<(), StepError> {
    let Some(value) = take(fields, field)? else { return Ok(()) };
    let new = match values.get(&printed(&value)) {
        // A value that is no string stays none where the new one is none either.
        Some(new)
            if !value.get().starts_with('"') && serde_json::from_str::<serde_json::Value>(new).is_ok() =>
        {
            raw(new.clone())?
        }
        Some(new) => raw(serde_json::to_string(new).map_err(|e| StepError::permanent(e.to_string()))?)?,
        None => value,
    };
    put(fields, field, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn only_what_lies_between_parts_is_taken_out() {
        let json = b"{ \"a b\" : [ 1.00 , \"x \\\" y\" ] ,\n\t\"c\": {} }";
        assert_eq!(&*on_one_line(json), br#"{"a b":[1.00,"x \" y"],"c":{}}"#);
        assert_eq!(&*on_one_line(b"{\"a\":1}"), b"{\"a\":1}");
    }

    #[test]
    fn fields_are_renamed_dropped_and_mapped_and_numbers_stay_as_they_were_written() {
        let transform = Transform {
            rename: pairs(&[("a.b", "x.y"), ("n", "m"), ("m", "n")]),
            drop: vec!["secret".to_owned()],
            map: [("state".to_owned(), pairs(&[("1", "2"), ("on", "active")]))].into(),
        };
        let body =
            br#"{"a":{"b":1.10,"c":2},"n":123456789012345678901234567890,"m":0,"secret":"s","state":1}"#;
        let there = forward(&transform, body.to_vec()).expect("changed");
        assert_eq!(
            String::from_utf8_lossy(&there),
            r#"{"a":{"c":2},"state":2,"x":{"y":1.10},"n":0,"m":123456789012345678901234567890}"#
        );
        let again = back(&transform, there, Some(body)).expect("changed back");
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        let mut again = json(&again);
        // Objects that a rename made stay behind, empty.
        again.as_object_mut().expect("an object").remove("x");
        assert_eq!(again, json(body));
    }

    #[test]
    fn a_string_is_mapped_to_a_string() {
        let transform =
            Transform { map: [("state".to_owned(), pairs(&[("1", "2")]))].into(), ..Transform::default() };
        let mapped = forward(&transform, br#"{"state":"1"}"#.to_vec()).expect("changed");
        assert_eq!(mapped, br#"{"state":"2"}"#);
    }
}
