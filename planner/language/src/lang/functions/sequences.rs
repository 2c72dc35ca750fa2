//! Functions of lists and sets.

use std::cmp::Ordering;

use super::super::value::{Data, Sensitivity, Value};
use super::arguments::{Args, Fault, Outcome, check_elements};
use super::conversion::unify;
use super::{guards, hides};

/// The list without nulls and empty strings.
pub(super) fn compact(args: &Args<'_>) -> Outcome {
    let kept = args
        .sequence(0)?
        .iter()
        .enumerate()
        .filter(|(_, item)| !matches!(item.data, Data::Null));
    let mut texts = Vec::new();
    for (place, item) in kept {
        let text = super::conversion::scalar_text(item)
            .ok_or_else(|| super::arguments::wrong_element(0, place, "a string", item))?;
        if !text.is_empty() {
            texts.push(Value::string(text));
        }
    }
    Ok(Value::list(texts))
}

/// All lists after each other.
pub(super) fn concat(args: &Args<'_>) -> Outcome {
    let mut all = Vec::new();
    for index in 0..args.values.len() {
        let items = args.list(index)?;
        check_elements(all.len().saturating_add(items.len()))?;
        all.extend_from_slice(items);
    }
    Ok(Value::list(all))
}

/// The list with only the first of equal elements, which are brought to one type first.
pub(super) fn distinct(args: &Args<'_>) -> Outcome {
    let items = unify(args.sequence(0)?).map_err(|why| Fault::at(0, why))?;
    let mut places: Vec<usize> = (0..items.len()).collect();
    let order = |a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => a.order(b),
        _ => Ordering::Equal,
    };
    // Stable, so the first of equals stays the first.
    places.sort_by(|a, b| order(*a, *b));
    places.dedup_by(|later, first| order(*later, *first) == Ordering::Equal);
    places.sort_unstable();
    let kept = places.into_iter().filter_map(|place| items.get(place).cloned());
    Ok(Value::list(kept.collect()))
}

/// `element(list, index)`; an index beyond the end starts over, a negative one counts from the end.
pub(super) fn element(args: &Args<'_>) -> Outcome {
    let (items, index) = (args.list(0)?, args.whole(1)?);
    let item = i64::try_from(items.len())
        .ok()
        .and_then(|count| index.checked_rem_euclid(count))
        .and_then(|place| items.get(usize::try_from(place).ok()?));
    item.cloned()
        .ok_or_else(|| Fault::at(0, "an empty list has no elements"))
}

/// What `flatten` found on its way.
#[derive(Default)]
struct Flat {
    items: Vec<Value>,
    /// Something unknown, which may yet turn out to be a list.
    unknown: bool,
    /// A list that is sensitive as a whole: its length shows in the length of the result.
    secret: bool,
}

impl Flat {
    fn take(&mut self, items: &[Value]) -> Result<(), Fault> {
        for item in items {
            match &item.data {
                Data::List(inner) | Data::Set(inner) => {
                    self.unknown |= hides(item);
                    self.secret |= guards(item);
                    self.take(inner)?;
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

/// Lists in lists, however deep, as one list.
pub(super) fn flatten(args: &Args<'_>) -> Outcome {
    let mut flat = Flat::default();
    flat.take(args.sequence(0)?)?;
    let mut result = if flat.unknown {
        Value::unknown()
    } else {
        Value::list(flat.items)
    };
    if flat.secret {
        result.sensitive = Sensitivity::Secret;
    }
    Ok(result)
}

/// The list backwards; a set becomes a list.
pub(super) fn reverse(args: &Args<'_>) -> Outcome {
    Ok(Value::list(args.sequence(0)?.iter().rev().cloned().collect()))
}

/// Every combination of one element of each; a set where all arguments are sets.
pub(super) fn setproduct(args: &Args<'_>) -> Outcome {
    let count = args.values.len();
    let sides = (0..count)
        .map(|index| args.sequence(index))
        .collect::<Result<Vec<_>, Fault>>()?;
    let empty = sides.iter().any(|side| side.is_empty());
    let total = sides
        .iter()
        .fold(1_usize, |total, side| total.saturating_mul(side.len()));
    if !empty {
        // Each combination is a list of its own.
        check_elements(total.saturating_mul(count))?;
    }
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for side in if empty { vec![[].as_slice()] } else { sides } {
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
    let rows = rows.into_iter().map(Value::list).collect();
    let sets = args.values.iter().all(|value| matches!(value.data, Data::Set(_)));
    Ok(if sets { Value::set(rows) } else { Value::list(rows) })
}

/// `slice(list, start, end)`: without the end. Both must lie inside of the list.
pub(super) fn slice(args: &Args<'_>) -> Outcome {
    let (items, start, end) = (args.list(0)?, args.whole(1)?, args.whole(2)?);
    let place = |index: usize, at: i64, name: &str| {
        usize::try_from(at)
            .ok()
            .filter(|at| *at <= items.len())
            .ok_or_else(|| {
                Fault::at(
                    index,
                    format!("the {name} must lie between 0 and the length of the list"),
                )
                .detail(format!("got {at}, and the list has {} elements", items.len()))
            })
    };
    let (from, to) = (place(1, start, "start")?, place(2, end, "end")?);
    let part = items
        .get(from..to)
        .ok_or_else(|| Fault::at(1, "the start must not lie behind the end"))?;
    Ok(Value::list(part.to_vec()))
}

/// Strings in the order of their code points.
pub(super) fn sort(args: &Args<'_>) -> Outcome {
    let mut texts = args.texts(0)?;
    texts.sort_unstable();
    Ok(Value::list(texts.into_iter().map(Value::string).collect()))
}
