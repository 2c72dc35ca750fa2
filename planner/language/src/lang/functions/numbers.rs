//! Functions of numbers. Whole numbers stay whole; what 64 bits cannot hold is an error, never a wrap.

use super::super::units::{parse_bytes, parse_duration_ms};
use super::super::value::{Data, Number, Value};
use super::arguments::{Args, Fault, Outcome, wrong_element};
use super::conversion::parse_number;

/// The longest list that `range` makes: Terraform's limit. Longer ones are mistakes in a bound.
const MAX_RANGE: usize = 1024;

/// The highest base of `parseint`: digits, lower case, upper case.
const MAX_BASE: i64 = 62;

fn overflow() -> Fault {
    Fault::new("the result does not fit in 64 bits")
}

fn from_f64(f: f64) -> Result<Number, Fault> {
    Number::from_f64(f).ok_or_else(overflow)
}

fn value(number: Number) -> Value {
    Value::open(Data::Number(number))
}

/// The sum, exact for whole numbers.
fn add(a: Number, b: Number) -> Result<Number, Fault> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.checked_add(b).map(Number::Int).ok_or_else(overflow),
        (a, b) => from_f64(a.as_f64() + b.as_f64()),
    }
}

fn times(a: Number, count: i64) -> Result<Number, Fault> {
    match a {
        Number::Int(a) => a.checked_mul(count).map(Number::Int).ok_or_else(overflow),
        Number::Float(a) => from_f64(a * Number::Int(count).as_f64()),
    }
}

pub(super) fn abs(args: &Args<'_>) -> Outcome {
    match args.number(0)? {
        Number::Int(i) => i.checked_abs().map(Value::int).ok_or_else(overflow),
        Number::Float(f) => from_f64(f.abs()).map(value),
    }
}

pub(super) fn ceil(args: &Args<'_>) -> Outcome {
    rounded(args, f64::ceil)
}

pub(super) fn floor(args: &Args<'_>) -> Outcome {
    rounded(args, f64::floor)
}

fn rounded(args: &Args<'_>, round: fn(f64) -> f64) -> Outcome {
    match args.number(0)? {
        Number::Int(i) => Ok(Value::int(i)),
        Number::Float(f) => from_f64(round(f)).map(value),
    }
}

pub(super) fn max(args: &Args<'_>) -> Outcome {
    picked(args, Number::max)
}

pub(super) fn min(args: &Args<'_>) -> Outcome {
    picked(args, Number::min)
}

fn picked(args: &Args<'_>, pick: fn(Number, Number) -> Number) -> Outcome {
    let mut best = args.number(0)?;
    for index in 1..args.values.len() {
        best = pick(best, args.number(index)?);
    }
    Ok(value(best))
}

/// `parseint(string, base)`; above base 36 upper case letters are digits of their own.
pub(super) fn parseint(args: &Args<'_>) -> Outcome {
    let Data::String(text) = &args.get(0).data else {
        return Err(super::arguments::wrong_type(0, "a string", args.get(0)));
    };
    let base = args.whole(1)?;
    if !(2..=MAX_BASE).contains(&base) {
        return Err(Fault::at(1, format!("the base must be between 2 and {MAX_BASE}")));
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let bad = |why: &str| {
        Fault::at(0, "not a whole number in this base").detail(format!("{text:?}, base {base}{why}"))
    };
    if digits.is_empty() {
        return Err(bad(""));
    }
    let mut total: i64 = 0;
    for c in digits.chars() {
        let digit = digit_value(c, base).ok_or_else(|| bad(""))?;
        // Towards the sign, so that the lowest number is reached without passing through its opposite.
        total = total
            .checked_mul(base)
            .and_then(|t| t.checked_add(sign * digit))
            .ok_or_else(|| bad(", does not fit in 64 bits"))?;
    }
    Ok(Value::int(total))
}

fn digit_value(c: char, base: i64) -> Option<i64> {
    let code = i64::from(u32::from(c));
    let digit = match c {
        '0'..='9' => code - i64::from(b'0'),
        'a'..='z' => code - i64::from(b'a') + 10,
        'A'..='Z' if base <= 36 => code - i64::from(b'A') + 10,
        'A'..='Z' => code - i64::from(b'A') + 36,
        _ => return None,
    };
    (digit < base).then_some(digit)
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`; without a step it counts down where the
/// end lies below the start.
pub(super) fn range(args: &Args<'_>) -> Outcome {
    let (start, end) = match args.values.len() {
        1 => (Number::Int(0), args.number(0)?),
        _ => (args.number(0)?, args.number(1)?),
    };
    let zero = Number::Int(0);
    let step = match args.values.len() {
        3 => args.number(2)?,
        _ if end < start => Number::Int(-1),
        _ => Number::Int(1),
    };
    if step == zero {
        return Err(Fault::at(2, "the step must not be zero"));
    }
    let down = step < zero;
    if down && end > start {
        return Err(Fault::at(2, "the end lies above the start, so the step must be positive"));
    }
    if !down && end < start {
        return Err(Fault::at(2, "the end lies below the start, so the step must be negative"));
    }
    let mut items = Vec::new();
    for count in 0.. {
        // Multiplied, not summed up, so that the error of a fraction does not grow. What overflows lies
        // beyond the end.
        let Ok(next) = times(step, count).and_then(|way| add(start, way)) else {
            break;
        };
        if if down { next <= end } else { next >= end } {
            break;
        }
        if items.len() == MAX_RANGE {
            return Err(Fault::new(format!(
                "more than {MAX_RANGE} numbers; bring start and end closer, or take a larger step"
            )));
        }
        items.push(value(next));
    }
    Ok(Value::list(items))
}

/// The sum of a list or set of numbers. An empty one has none, as in Terraform.
pub(super) fn sum(args: &Args<'_>) -> Outcome {
    let items = args.sequence(0)?;
    if items.is_empty() {
        return Err(Fault::at(0, "an empty list has no sum"));
    }
    let mut total = Number::Int(0);
    for (place, item) in items.iter().enumerate() {
        let number = match &item.data {
            Data::Number(number) => Some(*number),
            Data::String(text) => parse_number(text).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| wrong_element(0, place, "a number", item))?;
        total = add(total, number)?;
    }
    Ok(value(total))
}

/// `duration("1h30m")`: milliseconds.
pub(super) fn duration(args: &Args<'_>) -> Outcome {
    measure(args, "not a duration", parse_duration_ms)
}

/// `bytes("50MiB")`: bytes.
pub(super) fn bytes(args: &Args<'_>) -> Outcome {
    measure(args, "not a size", parse_bytes)
}

fn measure(args: &Args<'_>, what: &str, parse: fn(&str) -> Result<u64, String>) -> Outcome {
    let amount = parse(&args.text(0)?).map_err(|why| Fault::at(0, what).detail(why))?;
    i64::try_from(amount).map(Value::int).map_err(|_| overflow())
}
