//! Values to what their readers want: milliseconds, bytes, absolute paths, addresses, secrets by reference.

use std::path::{Path, PathBuf};

use segue_contract::{Address, AttributeType, MaxDeletions};
use serde_json::Value as Json;

use super::body::Held;
use super::shape::{AttributeShape, ShapeType};
use crate::lang::{Data, Sensitivity, Value, parse_bytes, parse_duration_ms, parse_rate};
use crate::syntax::nearest;

/// Why a value does not fit.
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) summary: String,
    pub(super) help: Option<String>,
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> Problem {
    let help = match (&value.data, wanted) {
        (Data::Number(_) | Data::Bool(_), "a string") => Some("write it in quotes"),
        (Data::Number(_), w) if w.contains("unit") => Some("write it in quotes, with its unit"),
        (Data::String(_), w) if w.starts_with("a list") => Some("write it in brackets: [\"...\"]"),
        (Data::String(_), "a whole number" | "true or false") => Some("write it without quotes"),
        (Data::Block(_), _) => Some("name one of its attributes"),
        _ => None,
    };
    Problem {
        code: "SPEC_WRONG_TYPE",
        summary: format!("`{name}` is {wanted}, not a {}", value.type_name()),
        help: help.map(str::to_owned),
    }
}

/// Decodes the value of an argument. It is known, not null, and sensitive only where the shape allows that.
pub(super) fn decode(value: &Value, shape: &AttributeShape, base_dir: &Path) -> Result<Held, Problem> {
    let ty = match &shape.ty {
        ShapeType::Any | ShapeType::Written | ShapeType::Condition => return Ok(Held::Any),
        ShapeType::Numbers => return numbers(value, &shape.name).map(Held::Plain),
        ShapeType::Deletions => return deletions(value, &shape.name).map(Held::Plain),
        ShapeType::Reference(kinds) => return reference(value, &shape.name, kinds).map(Held::Block),
        ShapeType::References(kinds) => return references(value, &shape.name, kinds).map(Held::Blocks),
        ShapeType::Of(ty) => ty,
    };
    let json = plain(value, ty, shape, base_dir)?;
    if let Some(word) =
        json.as_str().filter(|w| !shape.allowed.is_empty() && !shape.allowed.iter().any(|a| a == w))
    {
        let allowed: Vec<String> = shape.allowed.iter().map(|a| format!("{a:?}")).collect();
        let (summary, help) = if value.is_sensitive() || shape.sensitive {
            (format!("`{}` has a value that is not allowed", shape.name), None)
        } else {
            (format!("`{}` cannot be {word:?}", shape.name), nearest(word, &shape.allowed))
        };
        return Err(Problem {
            code: "SPEC_NOT_ALLOWED",
            summary,
            help: Some(match help {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it is one of {}", allowed.join(", ")),
            }),
        });
    }
    if !shape.sensitive {
        return Ok(Held::Plain(json));
    }
    Ok(match &value.sensitive {
        Sensitivity::Env(name) => Held::Env(name.to_string()),
        Sensitivity::Open | Sensitivity::Secret => {
            Held::Secret(json.as_str().map_or_else(|| json.to_string(), str::to_owned))
        }
    })
}

fn wanted(ty: &AttributeType) -> &'static str {
    match ty {
        AttributeType::String => "a string",
        AttributeType::Number => "a whole number",
        AttributeType::Decimal => "a number",
        AttributeType::Bool => "true or false",
        AttributeType::Duration => "a duration with its unit, \"30s\"",
        AttributeType::Size => "a size with its unit, \"50MiB\"",
        AttributeType::Rate => "a rate with its unit, \"50MiB/s\"",
        AttributeType::Path => "a path",
        AttributeType::Words => "a list of strings",
        AttributeType::OneOrMore => "a string or a list of strings",
        AttributeType::Pairs => "a map of strings",
    }
}

fn plain(
    value: &Value,
    ty: &AttributeType,
    shape: &AttributeShape,
    base_dir: &Path,
) -> Result<Json, Problem> {
    let name = shape.name.as_str();
    let wanted = wanted(ty);
    let wrong = || wrong_type(name, wanted, value);
    let quantity = |result: Result<u64, String>| {
        result.map(Json::from).map_err(|why| Problem {
            code: "SPEC_BAD_VALUE",
            summary: if value.is_sensitive() || shape.sensitive {
                format!("`{name}` is not {wanted}")
            } else {
                format!("`{name}`: {why}")
            },
            help: None,
        })
    };
    match (ty, &value.data) {
        (AttributeType::String, Data::String(s)) => Ok(Json::from(&**s)),
        (AttributeType::Bool, Data::Bool(b)) => Ok(Json::from(*b)),
        (AttributeType::Number, Data::Number(n)) => {
            n.as_i64().and_then(|i| u64::try_from(i).ok()).map(Json::from).ok_or_else(|| Problem {
                code: "SPEC_BAD_VALUE",
                summary: format!("`{name}` is a whole number, zero or more"),
                help: None,
            })
        }
        (AttributeType::Decimal, Data::Number(n)) => Ok(Json::from(n.as_f64())),
        (AttributeType::Duration, Data::String(s)) => quantity(parse_duration_ms(s)),
        (AttributeType::Size, Data::String(s)) => quantity(parse_bytes(s)),
        (AttributeType::Rate, Data::String(s)) => quantity(parse_rate(s)),
        (AttributeType::Path, Data::String(s)) if s.is_empty() || s.contains('\0') => Err(Problem {
            code: "SPEC_BAD_VALUE",
            summary: format!("`{name}` is a path, and this is none"),
            help: Some("`.` is the directory of the spec".to_owned()),
        }),
        (AttributeType::Path, Data::String(s)) => {
            let path: PathBuf = base_dir.join(&**s).components().collect();
            Ok(Json::from(path.to_string_lossy()))
        }
        (AttributeType::OneOrMore, Data::String(s)) => Ok(Json::from(vec![&**s])),
        (AttributeType::Words | AttributeType::OneOrMore, Data::List(items) | Data::Set(items)) => {
            items.iter().map(|item| one_of_words(item, name)).collect()
        }
        (AttributeType::Pairs, Data::Map(entries)) => entries
            .iter()
            .map(|(key, item)| match &item.data {
                Data::String(s) => Ok((key.to_string(), Json::from(&**s))),
                _ => Err(wrong_type(name, "a map of strings, all of them strings", item)),
            })
            .collect::<Result<serde_json::Map<String, Json>, Problem>>()
            .map(Json::Object),
        _ => Err(wrong()),
    }
}

fn one_of_words(item: &Value, name: &str) -> Result<Json, Problem> {
    match &item.data {
        Data::String(s) => Ok(Json::from(&**s)),
        _ => Err(wrong_type(name, "a list of strings, all of them strings", item)),
    }
}

/// Held as the text that [`MaxDeletions::parse`] reads.
fn deletions(value: &Value, name: &str) -> Result<Json, Problem> {
    let text = match &value.data {
        Data::Number(n) => n.as_i64().map(|n| n.to_string()),
        Data::String(s) if s.trim().ends_with('%') => Some(s.to_string()),
        _ => None,
    };
    text.filter(|text| MaxDeletions::parse(text).is_some()).map(Json::from).ok_or_else(|| Problem {
        code: "SPEC_BAD_VALUE",
        summary: format!("`{name}` is a number of records, or a share of them"),
        help: Some("write 500, or \"20%\" (from \"0%\" to \"100%\")".to_owned()),
    })
}

fn numbers(value: &Value, name: &str) -> Result<Json, Problem> {
    let (Data::List(items) | Data::Set(items)) = &value.data else {
        return Err(wrong_type(name, "a list of whole numbers", value));
    };
    let number = |item: &Value| match &item.data {
        Data::Number(n) => n.as_i64().and_then(|i| u64::try_from(i).ok()).map(Json::from),
        _ => None,
    };
    items
        .iter()
        .map(|item| {
            number(item).ok_or_else(|| wrong_type(name, "a list of whole numbers, zero or more", item))
        })
        .collect()
}

fn kinds_text(kinds: &[&str]) -> String {
    format!("a {}", kinds.join(" or "))
}

fn reference(value: &Value, name: &str, kinds: &[&str]) -> Result<Address, Problem> {
    match &value.data {
        Data::Block(block) if kinds.contains(&block.address.kind()) => Ok(block.address.clone()),
        Data::Block(block) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` names {}, and {} is none", kinds_text(kinds), block.address),
            help: None,
        }),
        Data::Map(entries) if entries.values().any(|v| matches!(v.data, Data::Block(_))) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!(
                "`{name}` names {}, and this is all instances of one with for_each",
                kinds_text(kinds)
            ),
            help: Some(
                "name one, [each.key] or [\"...\"], or take all where a list is wanted: values(...)"
                    .to_owned(),
            ),
        }),
        _ => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` names {}, and this is a {}", kinds_text(kinds), value.type_name()),
            help: Some(format!("write a reference without quotes: {}", example(kinds))),
        }),
    }
}

fn example(kinds: &[&str]) -> String {
    let kind = kinds.first().copied().unwrap_or("migration");
    match kind {
        "migration" | "cutover" => format!("{kind}.NAME"),
        _ => format!("{kind}.TYPE.NAME"),
    }
}

fn references(value: &Value, name: &str, kinds: &[&str]) -> Result<Vec<Address>, Problem> {
    match &value.data {
        Data::List(items) | Data::Set(items) => {
            items.iter().map(|item| reference(item, name, kinds)).collect()
        }
        Data::Block(_) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` is a list"),
            help: Some("write it in brackets: [...]".to_owned()),
        }),
        _ => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` is a list of references, not a {}", value.type_name()),
            help: Some(format!("write [{}]", example(kinds))),
        }),
    }
}
