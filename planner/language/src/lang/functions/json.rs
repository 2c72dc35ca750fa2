//! JSON to values and back. Whole numbers stay exact; one that 64 bits cannot hold is an error.

use std::collections::BTreeMap;

use super::super::value::{Data, MAX_DEPTH, Number, Value};
use super::arguments::{Args, Fault, Outcome, Text, check_weight};

/// Reads JSON. Whole numbers are exact, and an error outside of 64 bits; others are floats. Of equal keys
/// the last wins.
pub(super) fn jsondecode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|why| Fault::at(0, "not valid JSON").detail(why.to_string()))?;
    if let Some(number) = oversized(&text) {
        return Err(Fault::at(
            0,
            "a whole number in the JSON does not fit in 64 bits, and would be rounded; write it as a string",
        )
        .detail(number));
    }
    from_json(json)
}

/// The first whole number of a valid JSON text that does not fit in 64 bits: serde_json rounds those.
fn oversized(text: &str) -> Option<&str> {
    let in_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let mut rest = text;
    loop {
        let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
        rest = rest.get(start..)?;
        if let Some(inside) = rest.strip_prefix('"') {
            rest = inside.get(string_end(inside)?..)?;
            continue;
        }
        let end = rest.find(|c| !in_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let whole = !number.contains(['.', 'e', 'E']);
        if whole && number.parse::<i64>().is_err() {
            return Some(number);
        }
        rest = after;
    }
}

/// Where the text after the closing quote starts.
fn string_end(inside: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn from_json(json: serde_json::Value) -> Outcome {
    Ok(match json {
        serde_json::Value::Null => Value::null(),
        serde_json::Value::Bool(b) => Value::bool(b),
        serde_json::Value::String(text) => Value::string(text),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::int(whole),
            None => {
                let float = number.as_f64().and_then(Number::from_f64);
                Value::open(Data::Number(float.ok_or_else(|| {
                    Fault::at(0, "a number in the JSON is too large").detail(number.to_string())
                })?))
            }
        },
        serde_json::Value::Array(items) => {
            Value::list(items.into_iter().map(from_json).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(entries) => Value::map(
            entries
                .into_iter()
                .map(|(key, item)| Ok((key, from_json(item)?)))
                .collect::<Result<_, Fault>>()?,
        ),
    })
}

/// Writes JSON in one line, keys sorted, with `<`, `>`, `&`, U+2028 and U+2029 escaped as Terraform does. A
/// block is the object of its attributes.
pub(super) fn jsonencode(args: &Args<'_>) -> Outcome {
    encode(args.get(0)).map(Value::string)
}

/// The value as JSON.
pub(super) fn encode(value: &Value) -> Result<String, Fault> {
    check_weight(value)?;
    let mut text = Text::default();
    write(value, 0, &mut text)?;
    Ok(text.into_string())
}

/// Blocks that refer to each other can make chains of any length: `depth` is what stands around.
fn write(value: &Value, depth: u32, into: &mut Text) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(format!(
            "the JSON would have more than {MAX_DEPTH} lists or objects inside of each other; name the attributes that are wanted"
        )));
    }
    match &value.data {
        Data::Null => into.push("null"),
        Data::Bool(b) => into.push(if *b { "true" } else { "false" }),
        Data::Number(Number::Int(whole)) => into.push(&whole.to_string()),
        // With an exponent where it is far beyond whole numbers, so that it is read back as it was.
        Data::Number(Number::Float(f)) if f.abs() >= 1e15 => into.push(&format!("{f:e}")),
        Data::Number(Number::Float(f)) => into.push(&f.to_string()),
        Data::String(text) => write_string(text, into),
        Data::List(items) | Data::Set(items) => {
            into.push("[")?;
            for (place, item) in items.iter().enumerate() {
                into.push(if place == 0 { "" } else { "," })?;
                write(item, depth + 1, into)?;
            }
            into.push("]")
        }
        Data::Map(entries) => write_entries(entries, depth, into),
        Data::Block(block) => write_entries(&block.attributes, depth, into),
        Data::Unknown => Err(Fault::new("a value that is not known before apply has no JSON yet")),
    }
}

fn write_entries(entries: &BTreeMap<String, Value>, depth: u32, into: &mut Text) -> Result<(), Fault> {
    into.push("{")?;
    for (place, (key, item)) in entries.iter().enumerate() {
        into.push(if place == 0 { "" } else { "," })?;
        write_string(key, into)?;
        into.push(":")?;
        write(item, depth + 1, into)?;
    }
    into.push("}")
}

fn write_string(text: &str, into: &mut Text) -> Result<(), Fault> {
    into.push("\"")?;
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                format!("\\u{:04x}", u32::from(c))
            }
            _ => continue,
        };
        into.push(text.get(plain..at).unwrap_or_default())?;
        into.push(&escape)?;
        plain = at + c.len_utf8();
    }
    into.push(text.get(plain..).unwrap_or_default())?;
    into.push("\"")
}
