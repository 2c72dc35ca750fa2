//! Functions of any collection: what is in it, and how much.

use std::cmp::Ordering;

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, wrong_type};
use super::conversion::unify;
use super::strings::char_count;

/// The first argument that is neither null nor an empty string, converted to the type that all have in
/// common. Sensitive where it, or one that was passed over, is.
pub(super) fn coalesce(args: &Args<'_>) -> Outcome {
    let values =
        unify(args.values).map_err(|why| Fault::new(format!("cannot choose among the arguments: {why}")))?;
    for (place, value) in values.iter().enumerate() {
        let empty = match &value.data {
            Data::Null => true,
            Data::String(text) => text.is_empty(),
            _ => false,
        };
        if !empty {
            return Ok(value.clone().tainted_by(args.values.iter().take(place)));
        }
    }
    Err(Fault::new("all arguments are null or empty strings; give a last one that is not"))
}

/// Whether two values are equal; `None` where that is not known before apply.
fn equal(a: &Value, b: &Value) -> Option<bool> {
    (!a.is_unknown_deep() && !b.is_unknown_deep()).then(|| a.order(b) == Ordering::Equal)
}

fn searched(args: &Args<'_>, result: Outcome) -> Outcome {
    let mut value = result?;
    if args.values.iter().any(Value::is_sensitive_deep) {
        value.sensitive = Sensitivity::Secret;
    }
    Ok(value)
}

fn check_wanted(args: &Args<'_>) -> Result<(), Fault> {
    match args.get(1).data {
        Data::Null => Err(Fault::at(1, "argument 2 must not be null")),
        _ => Ok(()),
    }
}

/// Whether a list or set has an element equal to a value of the same type: `1` is not `"1"`. True before
/// apply where it is already sure.
pub(super) fn contains(args: &Args<'_>) -> Outcome {
    check_wanted(args)?;
    let (list, wanted) = (args.get(0), args.get(1));
    if list.is_unknown() {
        return searched(args, Ok(Value::unknown()));
    }
    let mut sure = true;
    let mut found = false;
    for item in args.sequence(0)? {
        match equal(item, wanted) {
            Some(true) => found = true,
            Some(false) => {}
            None => sure = false,
        }
    }
    let result = if found || sure { Value::bool(found) } else { Value::unknown() };
    searched(args, Ok(result))
}

/// The index of the first element equal to a value.
pub(super) fn index(args: &Args<'_>) -> Outcome {
    check_wanted(args)?;
    let (list, wanted) = (args.get(0), args.get(1));
    if list.is_unknown() {
        return searched(args, Ok(Value::unknown()));
    }
    for (place, item) in args.list(0)?.iter().enumerate() {
        match equal(item, wanted) {
            Some(true) => return searched(args, count(place)),
            Some(false) => {}
            None => return searched(args, Ok(Value::unknown())),
        }
    }
    Err(Fault::at(1, "the list has no such element; test it with contains() first"))
}

fn count(n: usize) -> Outcome {
    i64::try_from(n).map(Value::int).map_err(|_| Fault::new("the result does not fit in 64 bits"))
}

/// The number of elements, entries, attributes or characters. Known also where elements are not.
pub(super) fn length(args: &Args<'_>) -> Outcome {
    let value = args.get(0);
    let n = match &value.data {
        Data::List(items) | Data::Set(items) => Some(items.len()),
        Data::Map(entries) => Some(entries.len()),
        Data::Block(block) => Some(block.attributes.len()),
        Data::String(_) => char_count(value),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Unknown => None,
    };
    count(n.ok_or_else(|| wrong_type(0, "a string, list, set or map", value))?)
}
