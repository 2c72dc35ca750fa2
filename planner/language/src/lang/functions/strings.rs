//! Functions of strings. Characters are Unicode scalar values; Terraform counts grapheme clusters, which
//! differs for combining sequences and joined emoji.

use super::super::value::{Data, Value};
use super::arguments::{Args, Fault, Outcome, Text, check_elements, wrong_element};
use super::conversion::scalar_text;

pub(super) fn chomp(args: &Args<'_>) -> Outcome {
    Ok(Value::string(args.text(0)?.trim_end_matches(['\r', '\n'])))
}

pub(super) fn indent(args: &Args<'_>) -> Outcome {
    let width = usize::try_from(args.whole(0)?)
        .map_err(|_| Fault::at(0, "the number of spaces must not be negative"))?;
    let text = args.text(1)?;
    let mut result = Text::default();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            result.push("\n")?;
            result.repeat(' ', width)?;
        }
        result.push(line)?;
    }
    Ok(result.into_value())
}

pub(super) fn join(args: &Args<'_>) -> Outcome {
    let separator = args.text(0)?;
    let mut result = Text::default();
    let mut first = true;
    for index in 1..args.values.len() {
        for (place, item) in args.sequence(index)?.iter().enumerate() {
            let text = scalar_text(item).ok_or_else(|| wrong_element(index, place, "a string", item))?;
            if !first {
                result.push(&separator)?;
            }
            first = false;
            result.push(&text)?;
        }
    }
    Ok(result.into_value())
}

/// Splits; an empty separator splits into characters.
pub(super) fn split(args: &Args<'_>) -> Outcome {
    let (separator, text) = (args.text(0)?, args.text(1)?);
    let parts: Vec<Value> = if separator.is_empty() {
        check_elements(text.len())?;
        text.chars().map(|c| Value::string(c.to_string())).collect()
    } else {
        check_elements(text.matches(&*separator).count())?;
        text.split(&*separator).map(Value::string).collect()
    };
    Ok(Value::list(parts))
}

pub(super) fn startswith(args: &Args<'_>) -> Outcome {
    Ok(Value::bool(args.text(0)?.starts_with(&*args.text(1)?)))
}

pub(super) fn endswith(args: &Args<'_>) -> Outcome {
    Ok(Value::bool(args.text(0)?.ends_with(&*args.text(1)?)))
}

/// Reverses by characters, so a combining mark ends up before its letter.
pub(super) fn strrev(args: &Args<'_>) -> Outcome {
    Ok(Value::string(args.text(0)?.chars().rev().collect::<String>()))
}

/// `substr(string, offset, length)`: a negative offset counts from the end, a negative length means all
/// that is left; what lies outside of the string is left out.
pub(super) fn substr(args: &Args<'_>) -> Outcome {
    let (text, offset, length) = (args.text(0)?, args.whole(1)?, args.whole(2)?);
    let start = if offset < 0 {
        let from_end = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
        text.chars().count().saturating_sub(from_end)
    } else {
        usize::try_from(offset).unwrap_or(usize::MAX)
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let part: String = text.chars().skip(start).take(length).collect();
    Ok(Value::string(part))
}

/// Upper-cases the first letter of each word. A word starts after anything but a letter, digit or `_`
/// (outside of ASCII: after white space).
pub(super) fn title(args: &Args<'_>) -> Outcome {
    let mut inside = false;
    let titled: String = args
        .text(0)?
        .chars()
        .map(|c| {
            let titled = if inside { c } else { upper_char(c) };
            inside = if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { !c.is_whitespace() };
            titled
        })
        .collect();
    Ok(Value::string(titled))
}

pub(super) fn upper(args: &Args<'_>) -> Outcome {
    Ok(Value::string(args.text(0)?.chars().map(upper_char).collect::<String>()))
}

pub(super) fn lower(args: &Args<'_>) -> Outcome {
    Ok(Value::string(args.text(0)?.chars().map(|c| single(c, c.to_lowercase())).collect::<String>()))
}

fn upper_char(c: char) -> char {
    single(c, c.to_uppercase())
}

/// Characters that would become several (`ß`) stay, as in Terraform.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

pub(super) fn trim(args: &Args<'_>) -> Outcome {
    let (text, set) = (args.text(0)?, args.text(1)?);
    Ok(Value::string(text.trim_matches(|c| set.contains(c))))
}

pub(super) fn trimprefix(args: &Args<'_>) -> Outcome {
    let (text, prefix) = (args.text(0)?, args.text(1)?);
    Ok(Value::string(text.strip_prefix(&*prefix).unwrap_or(&text)))
}

pub(super) fn trimsuffix(args: &Args<'_>) -> Outcome {
    let (text, suffix) = (args.text(0)?, args.text(1)?);
    Ok(Value::string(text.strip_suffix(&*suffix).unwrap_or(&text)))
}

pub(super) fn trimspace(args: &Args<'_>) -> Outcome {
    Ok(Value::string(args.text(0)?.trim()))
}

/// The number of characters, for `length`.
pub(super) fn char_count(value: &Value) -> Option<usize> {
    match &value.data {
        Data::String(text) => Some(text.chars().count()),
        _ => None,
    }
}
