//! Base64, SHA-256, CSV and YAML. JSON has a file of its own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::value::{Data, Number, Value};
use super::arguments::{Args, Fault, Outcome, check_elements};
use super::conversion::number_text;

/// Like Terraform: padding is required, left-over bits are not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

pub(super) fn base64encode(args: &Args<'_>) -> Outcome {
    Ok(Value::string(BASE64.encode(args.text(0)?.as_bytes())))
}

/// Decodes to a string, so what is encoded must be UTF-8. Line breaks are skipped.
pub(super) fn base64decode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?.replace(['\r', '\n'], "");
    let bytes =
        BASE64.decode(text).map_err(|why| Fault::at(0, "not valid base64").detail(why.to_string()))?;
    String::from_utf8(bytes)
        .map(Value::string)
        .map_err(|_| Fault::at(0, "what is encoded is not UTF-8 text, and strings hold nothing else"))
}

pub(super) fn sha256(args: &Args<'_>) -> Outcome {
    let digest = Sha256::digest(args.text(0)?.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Value::string(hex))
}

/// Reads CSV with a header line (RFC 4180) into a list of maps of strings.
pub(super) fn csvdecode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?;
    let bad = |why: csv::Error| Fault::at(0, "not valid CSV").detail(why.to_string());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(bad)?.clone();
    if headers.is_empty() {
        return Err(Fault::at(0, "the CSV has no header line"));
    }
    for (place, name) in headers.iter().enumerate() {
        if headers.iter().take(place).any(|other| other == name) {
            return Err(Fault::at(0, "two columns of the CSV have the same name").detail(format!("{name:?}")));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        check_elements(rows.len() + 1)?;
        let row: BTreeMap<String, Value> =
            headers.iter().map(str::to_owned).zip(record.iter().map(Value::string)).collect();
        rows.push(Value::map(row));
    }
    Ok(Value::list(rows))
}

/// Reads one YAML document. Scalars are those of YAML 1.2: `yes`, `on`, dates and `017` are strings, where
/// Terraform still reads booleans, timestamps and a number. Equal keys, tags and infinities are errors.
pub(super) fn yamldecode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?;
    let bad = |why: serde_yaml_ng::Error| Fault::at(0, "not valid YAML").detail(why.to_string());
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Err(Fault::at(0, "the YAML is empty; write null where that is meant"));
    }
    let mut documents = serde_yaml_ng::Deserializer::from_str(&text);
    let Some(first) = documents.next() else {
        return Err(Fault::at(0, "the YAML has no document"));
    };
    let mut yaml = serde_yaml_ng::Value::deserialize(first).map_err(bad)?;
    if documents.next().is_some() {
        return Err(Fault::at(0, "the YAML has more than one document; split it at ---"));
    }
    yaml.apply_merge().map_err(bad)?;
    from_yaml(yaml)
}

fn from_yaml(yaml: serde_yaml_ng::Value) -> Outcome {
    Ok(match yaml {
        serde_yaml_ng::Value::Null => Value::null(),
        serde_yaml_ng::Value::Bool(b) => Value::bool(b),
        serde_yaml_ng::Value::Number(number) => Value::open(Data::Number(yaml_number(&number)?)),
        serde_yaml_ng::Value::String(text) => Value::string(text),
        serde_yaml_ng::Value::Sequence(items) => {
            Value::list(items.into_iter().map(from_yaml).collect::<Result<_, _>>()?)
        }
        serde_yaml_ng::Value::Mapping(entries) => Value::map(
            entries
                .into_iter()
                .map(|(key, item)| Ok((yaml_key(key)?, from_yaml(item)?)))
                .collect::<Result<_, Fault>>()?,
        ),
        serde_yaml_ng::Value::Tagged(tagged) => {
            return Err(
                Fault::at(0, "the YAML has a tag, which has no meaning here").detail(tagged.tag.to_string())
            );
        }
    })
}

fn yaml_number(number: &serde_yaml_ng::Number) -> Result<Number, Fault> {
    if let Some(whole) = number.as_i64() {
        return Ok(Number::Int(whole));
    }
    let float = number.as_f64().filter(|_| number.is_f64()).and_then(Number::from_f64);
    float.ok_or_else(|| {
        Fault::at(0, "a number in the YAML is infinite, no number, or does not fit in 64 bits")
            .detail(number.to_string())
    })
}

fn yaml_key(key: serde_yaml_ng::Value) -> Result<String, Fault> {
    Ok(match key {
        serde_yaml_ng::Value::String(text) => text,
        serde_yaml_ng::Value::Bool(b) => b.to_string(),
        serde_yaml_ng::Value::Number(number) => number_text(yaml_number(&number)?),
        serde_yaml_ng::Value::Null
        | serde_yaml_ng::Value::Sequence(_)
        | serde_yaml_ng::Value::Mapping(_)
        | serde_yaml_ng::Value::Tagged(_) => {
            return Err(Fault::at(0, "a key of the YAML is no string, number or bool"));
        }
    })
}
