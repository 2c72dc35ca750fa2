//! Functions with regular expressions. The syntax is Rust's `regex`, in practice RE2's, so matching takes
//! linear time whatever the pattern.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

use super::super::value::Value;
use super::arguments::{Args, Fault, Outcome, Text, check_elements};

fn compile(argument: usize, pattern: &str) -> Result<Regex, Fault> {
    Regex::new(pattern)
        .map_err(|why| Fault::at(argument, "not a valid regular expression").detail(why.to_string()))
}

/// A regular expression whose groups, if any, are all named or all unnamed.
fn compile_uniform(args: &Args<'_>) -> Result<Regex, Fault> {
    let regex = compile(0, &args.text(0)?)?;
    let groups = regex.captures_len() - 1;
    let named = regex.capture_names().flatten().count();
    if named != 0 && named != groups {
        return Err(Fault::at(
            0,
            "the pattern has both named and unnamed groups; name all of them, or write (?:...) for those that are not needed",
        ));
    }
    Ok(regex)
}

/// What `regex` gives for one match: the text, the list of groups, or the map of named groups. A group
/// that took no part is `null`.
fn found(regex: &Regex, captures: &Captures<'_>) -> Value {
    let text =
        |group: Option<regex::Match<'_>>| group.map_or_else(Value::null, |m| Value::string(m.as_str()));
    if regex.captures_len() == 1 {
        return text(captures.get(0));
    }
    let named: BTreeMap<String, Value> =
        regex.capture_names().flatten().map(|name| (name.to_owned(), text(captures.name(name)))).collect();
    if named.is_empty() {
        Value::list(captures.iter().skip(1).map(text).collect())
    } else {
        Value::map(named)
    }
}

pub(super) fn regex(args: &Args<'_>) -> Outcome {
    let regex = compile_uniform(args)?;
    let text = args.text(1)?;
    match regex.captures(&text) {
        Some(captures) => Ok(found(&regex, &captures)),
        None => Err(Fault::at(1, "the pattern matches no part of the string")
            .detail(format!("/{regex}/ in {text:?}"))),
    }
}

pub(super) fn regexall(args: &Args<'_>) -> Outcome {
    let regex = compile_uniform(args)?;
    let text = args.text(1)?;
    let mut matches = Vec::new();
    for captures in regex.captures_iter(&text) {
        check_elements(matches.len() + 1)?;
        matches.push(found(&regex, &captures));
    }
    Ok(Value::list(matches))
}

/// `replace(string, what, with)`; `what` between slashes is a regular expression, and `$1`, `$name`,
/// `${name}` in `with` are its groups.
pub(super) fn replace(args: &Args<'_>) -> Outcome {
    let (text, what, with) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let inner = what.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let mut result = Text::default();
    let mut end = 0;
    if let Some(pattern) = inner {
        for captures in compile(1, pattern)?.captures_iter(&text) {
            let Some(whole) = captures.get(0) else { continue };
            result.push(text.get(end..whole.start()).unwrap_or_default())?;
            let mut expanded = String::new();
            captures.expand(&with, &mut expanded);
            result.push(&expanded)?;
            end = whole.end();
        }
    } else {
        for (start, part) in text.match_indices(&*what) {
            result.push(text.get(end..start).unwrap_or_default())?;
            result.push(&with)?;
            end = start + part.len();
        }
    }
    result.push(text.get(end..).unwrap_or_default())?;
    Ok(result.into_value())
}
