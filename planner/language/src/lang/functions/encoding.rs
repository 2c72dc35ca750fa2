//! Base64, SHA-256, CSV and YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_yaml_ng::Value as Yaml;
use sha2::{Digest as _, Sha256};

use super::super::value::{Data, Number, Value};
use super::arguments::{Args, Fault, Outcome, check_elements};

/// The standard alphabet with padding. Bits behind the last byte are passed over, as in Terraform.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

pub(super) fn base64encode(args: &Args<'_>) -> Outcome {
    Ok(Value::string(BASE64.encode(args.text(0)?.as_bytes())))
}

/// Line breaks are passed over; the result must be text.
pub(super) fn base64decode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?.replace(['\r', '\n'], "");
    let bytes = BASE64
        .decode(text)
        .map_err(|why| Fault::at(0, "not valid base64").detail(why.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Fault::at(
            0,
            "what it decodes to is not UTF-8 text, and there are no strings of bytes",
        )
    })?;
    Ok(Value::string(text))
}

/// In lower-case hexadecimal digits.
pub(super) fn sha256(args: &Args<'_>) -> Outcome {
    let mut hex = String::new();
    for byte in Sha256::digest(args.text(0)?.as_bytes()) {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(Value::string(hex))
}

/// A list of maps, one for each line after the header; all values are strings.
pub(super) fn csvdecode(args: &Args<'_>) -> Outcome {
    let bad = |why: String| Fault::at(0, "not valid CSV").detail(why);
    let text = args.text(0)?;
    check_quotes(&text).map_err(|line| {
        Fault::at(0, format!("not valid CSV: a stray or missing quote in line {line}; write \"\" for a quote inside of a quoted field"))
    })?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|why| bad(why.to_string()))?.clone();
    if header.is_empty() {
        return Err(Fault::at(
            0,
            "the first line must name the columns, and there is none",
        ));
    }
    let mut rows = Vec::new();
    let mut total = 0;
    for record in reader.records() {
        let record = record.map_err(|why| bad(why.to_string()))?;
        total += header.len();
        check_elements(total)?;
        let cells = header.iter().zip(&record);
        let row: BTreeMap<_, _> = cells
            .map(|(name, cell)| (name.to_owned(), Value::string(cell)))
            .collect();
        rows.push(Value::map(row));
    }
    let mut names: Vec<_> = header.iter().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            Err(Fault::at(0, "two columns have the same name")
                .detail(pair.first().copied().unwrap_or_default()))
        }
        None => Ok(Value::list(rows)),
    }
}

/// The reader takes stray and missing quotes as they come, so a file that was cut off would pass.
fn check_quotes(text: &str) -> Result<(), usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let (mut at, mut line, mut opened) = (At::Start, 1, 1);
    for c in text.chars() {
        at = match (at, c) {
            (At::Start, '"') => {
                opened = line;
                At::Quoted
            }
            (At::Closed, '"') => At::Quoted,
            (At::Quoted, '"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Plain, '"') => return Err(line),
            (_, ',' | '\n' | '\r') => At::Start,
            (At::Closed, _) => return Err(line),
            (At::Start | At::Plain, _) => At::Plain,
        };
        line += usize::from(c == '\n');
    }
    if at == At::Quoted { Err(opened) } else { Ok(()) }
}

/// One document; anchors and merge keys work, tags do not.
pub(super) fn yamldecode(args: &Args<'_>) -> Outcome {
    let bad = |why: serde_yaml_ng::Error| Fault::at(0, "not valid YAML").detail(why.to_string());
    let mut yaml: Yaml = serde_yaml_ng::from_str(&args.text(0)?).map_err(bad)?;
    yaml.apply_merge().map_err(bad)?;
    from_yaml(&yaml, &mut 0)
}

/// `count` grows with every value, so that aliases of aliases cannot fill the memory.
fn from_yaml(yaml: &Yaml, count: &mut usize) -> Outcome {
    *count += 1;
    check_elements(*count)?;
    match yaml {
        Yaml::Null => Ok(Value::null()),
        Yaml::Bool(b) => Ok(Value::bool(*b)),
        Yaml::Number(number) => from_yaml_number(number),
        Yaml::String(text) => Ok(Value::string(text.as_str())),
        Yaml::Sequence(items) => items
            .iter()
            .map(|item| from_yaml(item, count))
            .collect::<Result<_, _>>()
            .map(Value::list),
        Yaml::Mapping(entries) => {
            let mut map = BTreeMap::new();
            for (key, value) in entries {
                map.insert(yaml_key(key)?, from_yaml(value, count)?);
            }
            Ok(Value::map(map))
        }
        Yaml::Tagged(tagged) => {
            Err(Fault::at(0, "YAML tags are not supported").detail(tagged.tag.to_string()))
        }
    }
}

fn from_yaml_number(number: &serde_yaml_ng::Number) -> Outcome {
    if let Some(i) = number.as_i64() {
        return Ok(Value::int(i));
    }
    if number.is_u64() {
        return Err(Fault::at(
            0,
            "a whole number does not fit in 64 bits; write it as a quoted string",
        )
        .detail(number.to_string()));
    }
    number
        .as_f64()
        .and_then(Number::from_f64)
        .map(|number| Value::open(Data::Number(number)))
        .ok_or_else(|| {
            Fault::at(0, "infinity and not-a-number are not numbers here").detail(number.to_string())
        })
}

fn yaml_key(key: &Yaml) -> Result<String, Fault> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Bool(b) => Ok(b.to_string()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Null | Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_) => Err(Fault::at(
            0,
            "the keys of a YAML mapping must be strings, numbers or booleans",
        )),
    }
}
