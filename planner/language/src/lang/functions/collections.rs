//! Functions that take any collection, or any value at all. They decide for themselves what an unknown or
//! sensitive element means for the result, since often a part of it is enough to know.

use std::cmp::Ordering;

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, wrong_type};
use super::conversion::unify;
use super::strings::char_count;

/// Characters of a string, elements of a list or set, entries of a map.
pub(super) fn length(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    let count = match &value.data {
        Data::String(_) => char_count(value),
        Data::List(items) | Data::Set(items) => Some(items.len()),
        Data::Map(entries) => Some(entries.len()),
        Data::Block(block) => Some(block.attributes.len()),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Unknown => None,
    };
    count
        .and_then(|count| i64::try_from(count).ok())
        .map(Value::int)
        .ok_or_else(|| wrong_type(0, "a string, list, set or map", value))
}

/// The first argument that is neither null nor the empty string. It keeps what it is: the value of an
/// environment variable can still be read there again. What was passed over counts too, because the choice
/// tells that it is empty.
pub(super) fn coalesce(args: &Args<'_>) -> Outcome {
    let values = unify(args.values).map_err(Fault::new)?;
    let mut passed = Vec::new();
    for value in values {
        let empty = match &value.data {
            Data::Null => true,
            Data::String(text) => text.is_empty(),
            _ => false,
        };
        if !empty {
            return Ok(value.tainted_by(&passed));
        }
        passed.push(value);
    }
    Err(Fault::new(
        "every argument is null or the empty string; end it with a value that is always there",
    ))
}

/// What a search through a list came to.
enum Found {
    At(usize),
    Perhaps,
    Nowhere,
}

/// Where a value first is; values of different types are never equal, as with `==`. `firm` asks for the first
/// place, `!firm` for any.
fn find(items: &[Value], wanted: &Value, firm: bool) -> Found {
    if wanted.is_unknown_deep() {
        return if items.is_empty() {
            Found::Nowhere
        } else {
            Found::Perhaps
        };
    }
    let mut perhaps = false;
    for (place, item) in items.iter().enumerate() {
        if item.is_unknown_deep() {
            perhaps = true;
            if firm {
                break;
            }
        } else if item.order(wanted) == Ordering::Equal {
            return Found::At(place);
        }
    }
    if perhaps { Found::Perhaps } else { Found::Nowhere }
}

/// The outcome of a comparison with each element is as sensitive as any of them.
fn compared(args: &Args<'_>, mut result: Value) -> Value {
    if args.values.iter().any(Value::shows_secret) {
        result.sensitive = Sensitivity::Secret;
    }
    result
}

/// Whether a list or set has an element. A match is enough, whatever else is unknown.
pub(super) fn contains(args: &Args<'_>) -> Outcome {
    if args.get(0).is_unknown() {
        return Ok(compared(args, Value::unknown()));
    }
    let result = match find(args.sequence(0)?, args.get(1), false) {
        Found::At(_) => Value::bool(true),
        Found::Perhaps => Value::unknown(),
        Found::Nowhere => Value::bool(false),
    };
    Ok(compared(args, result))
}

/// The first place of an element in a list, from 0.
pub(super) fn index(args: &Args<'_>) -> Outcome {
    if args.get(0).is_unknown() {
        return Ok(compared(args, Value::unknown()));
    }
    let result = match find(args.list(0)?, args.get(1), true) {
        Found::At(place) => Value::int(i64::try_from(place).unwrap_or(i64::MAX)),
        Found::Perhaps => Value::unknown(),
        Found::Nowhere => {
            return Err(Fault::at(
                1,
                "the list has no such element; ask contains() first where it may be missing",
            ));
        }
    };
    Ok(compared(args, result))
}
