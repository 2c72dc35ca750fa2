//! Type constraints of variables: `string`, `list(number)`, `object({ a = string, b = optional(bool, true) })`.
//!
//! Here, and only here, values convert as Terraform's do: text that is exactly a number or boolean becomes
//! one, numbers and booleans become text, lists and sets turn into each other.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, ObjectKey};

use super::value::{Data, Number, Value};

/// A type constraint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    /// `any`
    Any,
    /// `string`
    String,
    /// `number`
    Number,
    /// `bool`
    Bool,
    /// `list(T)`
    List(Box<Type>),
    /// `set(T)`
    Set(Box<Type>),
    /// `map(T)`
    Map(Box<Type>),
    /// `object({ ... })`
    Object(BTreeMap<String, Field>),
}

/// A field of an object type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Its type.
    pub(crate) ty: Type,
    /// `Some` for `optional(T, default)`; the default is null where none is written.
    pub(crate) optional: Option<Value>,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::List(t) => write!(f, "list({t})"),
            Self::Set(t) => write!(f, "set({t})"),
            Self::Map(t) => write!(f, "map({t})"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

/// A value that does not fit a type: where inside the value, and what was wanted. Never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}wanted {wanted}, found {found}", if path.is_empty() { String::new() } else { format!("at {path}: ") })]
pub(crate) struct ConvertError {
    /// `[2].name`; empty: the value itself.
    pub(crate) path: String,
    /// `a number`
    pub(crate) wanted: String,
    /// `a string that is not a number`
    pub(crate) found: String,
}

impl ConvertError {
    fn new(wanted: &Type, found: impl Into<String>) -> Self {
        Self { path: String::new(), wanted: wanted.to_string(), found: found.into() }
    }

    fn below(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

/// A type constraint that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeError {
    /// What is wrong.
    pub(crate) message: String,
    /// The word at fault, for nearest names.
    pub(crate) word: Option<String>,
    /// Where, in the item's text.
    pub(crate) span: Option<Range<usize>>,
}

/// The words of the type language.
pub(crate) const TYPE_WORDS: [&str; 8] = ["string", "number", "bool", "any", "list", "set", "map", "object"];

/// Reads a type constraint. `literal` evaluates the default of an `optional`.
///
/// # Errors
///
/// Where and why it is none.
pub(crate) fn parse_type(
    expr: &Expression,
    literal: &mut dyn FnMut(&Expression) -> Option<Value>,
) -> Result<Type, TypeError> {
    let wrong = |message: &str, word: Option<&str>, at: &Expression| TypeError {
        message: message.to_owned(),
        word: word.map(str::to_owned),
        span: at.span(),
    };
    match expr {
        Expression::Parenthesis(inner) => parse_type(inner.inner(), literal),
        Expression::Variable(name) => match name.value().as_str() {
            "string" => Ok(Type::String),
            "number" => Ok(Type::Number),
            "bool" => Ok(Type::Bool),
            "any" => Ok(Type::Any),
            word @ ("list" | "set" | "map") => {
                Err(wrong(&format!("`{word}` needs the type of its elements: {word}(string)"), None, expr))
            }
            word => Err(wrong(&format!("there is no type `{word}`"), Some(word), expr)),
        },
        Expression::FuncCall(call) => {
            let word = call.name.name.value().as_str();
            let mut args = call.args.iter();
            let (Some(arg), None) = (args.next(), args.next()) else {
                return Err(wrong(&format!("`{word}` takes one type"), None, expr));
            };
            match word {
                "list" => Ok(Type::List(Box::new(parse_type(arg, literal)?))),
                "set" => Ok(Type::Set(Box::new(parse_type(arg, literal)?))),
                "map" => Ok(Type::Map(Box::new(parse_type(arg, literal)?))),
                "object" => match arg {
                    Expression::Object(object) => {
                        let mut fields = BTreeMap::new();
                        for (key, value) in object.iter() {
                            let name = match key {
                                ObjectKey::Ident(name) => name.value().as_str().to_owned(),
                                ObjectKey::Expression(Expression::Variable(name)) => {
                                    name.value().as_str().to_owned()
                                }
                                ObjectKey::Expression(Expression::String(name)) => name.value().clone(),
                                ObjectKey::Expression(other) => {
                                    return Err(wrong("a field is named by a word", None, other));
                                }
                            };
                            fields.insert(name, parse_field(value.expr(), literal)?);
                        }
                        Ok(Type::Object(fields))
                    }
                    other => Err(wrong("`object` takes its fields: object({ name = string })", None, other)),
                },
                word => Err(wrong(&format!("there is no type `{word}`"), Some(word), expr)),
            }
        }
        Expression::String(s) => {
            parse_type_word(s.value()).ok_or_else(|| wrong("a type is written without quotes", None, expr))
        }
        other => Err(wrong("this is no type", None, other)),
    }
}

/// Old Terraform wrote types in quotes; there is one meaning that they can have.
fn parse_type_word(word: &str) -> Option<Type> {
    match word {
        "string" => Some(Type::String),
        "number" => Some(Type::Number),
        "bool" => Some(Type::Bool),
        _ => None,
    }
}

fn parse_field(
    expr: &Expression,
    literal: &mut dyn FnMut(&Expression) -> Option<Value>,
) -> Result<Field, TypeError> {
    let Expression::FuncCall(call) = expr else {
        return Ok(Field { ty: parse_type(expr, literal)?, optional: None });
    };
    if call.name.name.value().as_str() != "optional" {
        return Ok(Field { ty: parse_type(expr, literal)?, optional: None });
    }
    let mut args = call.args.iter();
    let wrong = || TypeError {
        message: "`optional` takes a type and a default".to_owned(),
        word: None,
        span: expr.span(),
    };
    let ty = parse_type(args.next().ok_or_else(wrong)?, literal)?;
    let default = match args.next() {
        Some(default) => literal(default).ok_or_else(wrong)?,
        None => Value::null(),
    };
    Ok(Field { ty, optional: Some(default) })
}

impl Type {
    /// Converts a value; null and unknown fit every type.
    ///
    /// # Errors
    ///
    /// Where inside the value something does not fit.
    pub(crate) fn convert(&self, value: &Value) -> Result<Value, ConvertError> {
        let data = match (self, &value.data) {
            (Self::Any, _) | (_, Data::Null | Data::Unknown) => return Ok(value.clone()),
            (Self::String, Data::String(_))
            | (Self::Number, Data::Number(_))
            | (Self::Bool, Data::Bool(_)) => {
                return Ok(value.clone());
            }
            (Self::String, Data::Number(_) | Data::Bool(_)) => {
                Data::String(value.to_text().unwrap_or_default().into())
            }
            (Self::Number, Data::String(s)) => Data::Number(
                read_number(s).ok_or_else(|| ConvertError::new(self, "a string that is not a number"))?,
            ),
            (Self::Bool, Data::String(s)) => match &**s {
                "true" => Data::Bool(true),
                "false" => Data::Bool(false),
                _ => return Err(ConvertError::new(self, "a string that is not true or false")),
            },
            (Self::List(ty), Data::List(items) | Data::Set(items)) => Value::list(each(ty, items)?).data,
            (Self::Set(ty), Data::List(items) | Data::Set(items)) => {
                let items = each(ty, items)?;
                let hidden = items.iter().any(Value::is_sensitive);
                let mut set = Value::set(items);
                if hidden {
                    set.sensitive = super::value::Sensitivity::Secret;
                }
                return Ok(set.tainted_by([value]));
            }
            (Self::Map(ty), Data::Map(entries)) => {
                Value::map(
                    entries
                        .iter()
                        .map(|(k, v)| {
                            Ok((k.clone(), ty.convert(v).map_err(|e| e.below(&format!("[{k:?}]")))?))
                        })
                        .collect::<Result<_, ConvertError>>()?,
                )
                .data
            }
            (Self::Object(fields), Data::Map(entries)) => Value::map(object(self, fields, entries)?).data,
            _ => return Err(ConvertError::new(self, format!("a {}", value.type_name()))),
        };
        Ok(Value { data, sensitive: value.sensitive.clone() })
    }
}

/// Text as a number, exactly.
pub(crate) fn read_number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(i) = text.parse::<i64>() {
        return Some(Number::Int(i));
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !plain || whole {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn each(ty: &Type, items: &[Value]) -> Result<Vec<Value>, ConvertError> {
    items.iter().enumerate().map(|(i, v)| ty.convert(v).map_err(|e| e.below(&format!("[{i}]")))).collect()
}

/// Fields that the type does not name are dropped, as Terraform does.
fn object(
    ty: &Type,
    fields: &BTreeMap<String, Field>,
    entries: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, ConvertError> {
    let mut out = BTreeMap::new();
    for (name, field) in fields {
        let value = match (entries.get(name), &field.optional) {
            (Some(value), Some(default)) if matches!(value.data, Data::Null) => default,
            (Some(value), _) => value,
            (None, Some(default)) => default,
            (None, None) => return Err(ConvertError::new(ty, format!("no field `{name}`"))),
        };
        let value = field.ty.convert(value).map_err(|e| e.below(&format!(".{name}")))?;
        out.insert(name.clone(), value);
    }
    Ok(out)
}
