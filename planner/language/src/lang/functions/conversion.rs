//! Conversions between types, and the common type of several values, as Terraform finds it.

use std::sync::Arc;

use super::super::value::{Data, Number, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, wrong_type};
use super::{guards, hides};

/// A string, number or boolean as text; `None` for all else.
pub(super) fn scalar_text(value: &Value) -> Option<Arc<str>> {
    match &value.data {
        Data::String(text) => Some(Arc::clone(text)),
        Data::Number(number) => Some(number_text(*number).into()),
        Data::Bool(b) => Some(b.to_string().into()),
        Data::Null | Data::List(_) | Data::Set(_) | Data::Map(_) | Data::Block(_) | Data::Unknown => None,
    }
}

/// A number in decimal, never with an exponent.
pub(super) fn number_text(number: Number) -> String {
    match number {
        Number::Int(i) => i.to_string(),
        Number::Float(f) => f.to_string(),
    }
}

/// Reads a decimal number: sign, digits, fraction, exponent. A whole number that 64 bits cannot hold is
/// refused, not rounded.
pub(super) fn parse_number(text: &str) -> Result<Number, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let decimal = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let none = || format!("{text:?} is not a decimal number");
    if !decimal {
        return Err(none());
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Number::Int).map_err(|_| format!("{text} does not fit in 64 bits"));
    }
    let float: f64 = text.parse().map_err(|_| none())?;
    Number::from_f64(float).ok_or_else(|| format!("{text} is too large"))
}

/// Brings values to one type: a mix of strings, numbers and booleans becomes strings. Where an unknown
/// among numbers or booleans may yet turn out to be a string, those become unknown too, so that apply
/// never sees another value than plan.
///
/// # Errors
/// Says which types have nothing in common.
pub(super) fn unify(values: &[Value]) -> Result<Vec<Value>, String> {
    let has = |test: fn(&Data) -> bool| values.iter().any(|value| test(&value.data));
    let unknown = has(|data| matches!(data, Data::Unknown));
    let string = has(|data| matches!(data, Data::String(_)));
    let number = has(|data| matches!(data, Data::Number(_)));
    let boolean = has(|data| matches!(data, Data::Bool(_)));
    let sequence = has(|data| matches!(data, Data::List(_) | Data::Set(_)));
    let map = has(|data| matches!(data, Data::Map(_) | Data::Block(_)));
    let scalar = string || number || boolean;
    let clash = usize::from(scalar) + usize::from(sequence) + usize::from(map) > 1
        || number && boolean && !string && !unknown;
    if clash {
        return Err(format!("{} have no type in common", kinds(values)));
    }
    let convert = |value: &Value| match &value.data {
        Data::Number(_) | Data::Bool(_) if string => changed(value, scalar_text(value).map(Data::String)),
        Data::Number(_) | Data::Bool(_) if unknown => changed(value, Some(Data::Unknown)),
        _ => value.clone(),
    };
    Ok(values.iter().map(convert).collect())
}

fn changed(value: &Value, data: Option<Data>) -> Value {
    Value::open(data.unwrap_or(Data::Null)).tainted_by([value])
}

fn kinds(values: &[Value]) -> String {
    let mut names: Vec<_> = values
        .iter()
        .filter(|value| !matches!(value.data, Data::Null | Data::Unknown))
        .map(Value::type_name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(" and ")
}

pub(super) fn tostring(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    match &value.data {
        // Untouched, so that what comes from an environment variable can still be read there again.
        Data::Null | Data::Unknown | Data::String(_) => Ok(value.clone()),
        _ => {
            let text = scalar_text(value).ok_or_else(|| wrong_type(0, "a string, number or bool", value))?;
            Ok(Value::string(text).tainted_by([value]))
        }
    }
}

pub(super) fn tonumber(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    match &value.data {
        Data::Null | Data::Unknown | Data::Number(_) => Ok(value.clone()),
        _ => Ok(Value::open(Data::Number(args.number(0)?)).tainted_by([value])),
    }
}

pub(super) fn tobool(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    match &value.data {
        Data::Null | Data::Unknown | Data::Bool(_) => Ok(value.clone()),
        Data::String(text) => match &**text {
            "true" | "1" => Ok(Value::bool(true).tainted_by([value])),
            "false" | "0" => Ok(Value::bool(false).tainted_by([value])),
            other => Err(Fault::at(0, "only the strings \"true\" and \"false\" can become a bool")
                .detail(format!("got {other:?}"))),
        },
        _ => Err(wrong_type(0, "a bool or a string", value)),
    }
}

pub(super) fn tolist(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    if hides(value) || matches!(value.data, Data::Null) {
        return Ok(unknown_or_null(value));
    }
    let items = unify(args.sequence(0)?).map_err(|why| Fault::at(0, format!("cannot make a list: {why}")))?;
    let mut list = Value::list(items);
    if guards(value) {
        list.sensitive = Sensitivity::Secret;
    }
    Ok(list)
}

pub(super) fn tomap(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    if hides(value) || matches!(value.data, Data::Null) {
        return Ok(unknown_or_null(value));
    }
    let entries = args.entries(0)?;
    let items: Vec<_> = entries.values().cloned().collect();
    let items = unify(&items).map_err(|why| Fault::at(0, format!("cannot make a map: {why}")))?;
    let map = entries.keys().cloned().zip(items).collect();
    Ok(Value::map(map).tainted_by([value]))
}

fn unknown_or_null(value: &Value) -> Value {
    let data = if hides(value) { Data::Unknown } else { Data::Null };
    let mut result = Value::open(data);
    if guards(value) {
        result.sensitive = Sensitivity::Secret;
    }
    result
}

pub(super) fn toset(args: &Args<'_>) -> Outcome {
    if matches!(args.get(0).data, Data::Null) {
        return Ok(Value::null());
    }
    let items = unify(args.sequence(0)?).map_err(|why| Fault::at(0, format!("cannot make a set: {why}")))?;
    Ok(Value::set(items))
}
