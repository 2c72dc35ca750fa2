//! Functions of lists and sets. Those that only move elements leave them as they are: unknown or
//! sensitive each by itself.

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, check_elements, check_weight, wrong_element};
use super::conversion::{scalar_text, unify};
use super::{guards, hides};

/// Strings without null and empty ones.
pub(super) fn compact(args: &Args<'_>) -> Outcome {
    let mut kept = Vec::new();
    for (place, item) in args.sequence(0)?.iter().enumerate() {
        if matches!(item.data, Data::Null) {
            continue;
        }
        let text = scalar_text(item).ok_or_else(|| wrong_element(0, place, "a string", item))?;
        if !text.is_empty() {
            kept.push(Value::string(text));
        }
    }
    Ok(Value::list(kept))
}

pub(super) fn concat(args: &Args<'_>) -> Outcome {
    let mut all = Vec::new();
    for index in 0..args.values.len() {
        let items = args.list(index)?;
        check_elements(all.len() + items.len())?;
        all.extend_from_slice(items);
    }
    Ok(Value::list(all))
}

/// The elements without repetitions, in the order of their first appearance.
pub(super) fn distinct(args: &Args<'_>) -> Outcome {
    let items = unify(args.sequence(0)?)
        .map_err(|why| Fault::at(0, format!("cannot compare the elements: {why}")))?;
    let mut numbered: Vec<(usize, Value)> = items.into_iter().enumerate().collect();
    numbered.sort_by(|(_, a), (_, b)| a.order(b));
    numbered.dedup_by(|(_, later), (_, first)| later.order(first).is_eq());
    numbered.sort_by_key(|(place, _)| *place);
    Ok(Value::list(numbered.into_iter().map(|(_, item)| item).collect()))
}

/// `element(list, index)`: the index wraps around, at both ends.
pub(super) fn element(args: &Args<'_>) -> Outcome {
    let (items, index) = (args.list(0)?, args.whole(1)?);
    let place = i64::try_from(items.len())
        .ok()
        .and_then(|length| index.checked_rem_euclid(length))
        .and_then(|place| usize::try_from(place).ok());
    match place.and_then(|place| items.get(place)) {
        Some(item) => Ok(item.clone().tainted_by(args.values)),
        None => Err(Fault::at(0, "an empty list has no elements")),
    }
}

/// The elements of lists and sets inside of lists and sets, however deep. Unknown where an element is, as
/// it may turn out to be a list; sensitive where a list inside is, as its length would show.
pub(super) fn flatten(args: &Args<'_>) -> Outcome {
    check_weight(args.get(0))?;
    let mut flat = Flat::default();
    flat.add(args.sequence(0)?)?;
    let mut result = if flat.unknown { Value::unknown() } else { Value::list(flat.items) };
    if flat.secret {
        result.sensitive = Sensitivity::Secret;
    }
    Ok(result)
}

#[derive(Default)]
struct Flat {
    items: Vec<Value>,
    unknown: bool,
    secret: bool,
}

impl Flat {
    fn add(&mut self, items: &[Value]) -> Result<(), Fault> {
        for item in items {
            match &item.data {
                Data::List(inner) | Data::Set(inner) => {
                    self.unknown |= hides(item);
                    self.secret |= guards(item);
                    self.add(inner)?;
                }
                Data::Unknown => {
                    self.unknown = true;
                    self.secret |= item.is_sensitive();
                }
                Data::Null
                | Data::Bool(_)
                | Data::Number(_)
                | Data::String(_)
                | Data::Map(_)
                | Data::Block(_) => {
                    check_elements(self.items.len() + 1)?;
                    self.items.push(item.clone());
                }
            }
        }
        Ok(())
    }
}

pub(super) fn reverse(args: &Args<'_>) -> Outcome {
    Ok(Value::list(args.sequence(0)?.iter().rev().cloned().collect()))
}

/// Every combination of one element of each argument, the last argument's changing fastest: a list of
/// lists, or a set of lists where an argument is a set.
pub(super) fn setproduct(args: &Args<'_>) -> Outcome {
    let mut sides = Vec::new();
    let mut count: usize = 1;
    for index in 0..args.values.len() {
        let side = args.sequence(index)?;
        count = count.saturating_mul(side.len());
        sides.push(side);
    }
    check_elements(count.saturating_mul(sides.len()))?;
    let mut rows: Vec<Vec<Value>> = if count == 0 { Vec::new() } else { vec![Vec::new()] };
    for side in sides {
        rows = rows
            .iter()
            .flat_map(|row| {
                side.iter().map(move |item| {
                    let mut longer = row.clone();
                    longer.push(item.clone());
                    longer
                })
            })
            .collect();
    }
    let rows: Vec<Value> = rows.into_iter().map(Value::list).collect();
    if !args.values.iter().any(|value| matches!(value.data, Data::Set(_))) {
        return Ok(Value::list(rows));
    }
    let secret = rows.iter().any(Value::is_sensitive_deep);
    let mut set = if rows.iter().any(Value::is_unknown_deep) { Value::unknown() } else { Value::set(rows) };
    if secret {
        set.sensitive = Sensitivity::Secret;
    }
    Ok(set)
}

/// `slice(list, start, end)`: from start up to, and without, end.
pub(super) fn slice(args: &Args<'_>) -> Outcome {
    let (items, start, end) = (args.list(0)?, args.whole(1)?, args.whole(2)?);
    if start < 0 {
        return Err(Fault::at(1, "the start must not be negative"));
    }
    if start > end {
        return Err(Fault::at(1, "the start must not lie after the end"));
    }
    let part = usize::try_from(start)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| items.get(start..end));
    match part {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => Err(Fault::at(2, "the end must not lie beyond the length of the list")
            .detail(format!("{end} is more than {}", items.len()))),
    }
}

/// Strings in the order of their code points.
pub(super) fn sort(args: &Args<'_>) -> Outcome {
    let mut texts = args.texts(0)?;
    texts.sort_unstable();
    Ok(Value::list(texts.into_iter().map(Value::string).collect()))
}
