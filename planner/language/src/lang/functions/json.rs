//! JSON. Whole numbers are exact in 64 bits both ways; what does not fit is refused, not rounded.

use super::super::value::Value;
use super::arguments::{Args, Fault, Outcome, Text};

/// Compact, keys sorted. As Terraform does, what HTML or JavaScript would read differently is escaped.
pub(super) fn jsonencode(args: &Args<'_>) -> Outcome {
    let json = args.get(0).to_json().to_string();
    let mut result = Text::default();
    let mut rest = json.as_str();
    // These characters occur in JSON inside of strings only.
    while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        let (before, after) = rest.split_at(at);
        result.push(before)?;
        let mut chars = after.chars();
        if let Some(c) = chars.next() {
            result.push(&format!("\\u{:04x}", u32::from(c)))?;
        }
        rest = chars.as_str();
    }
    result.push(rest)?;
    Ok(result.into_value())
}

pub(super) fn jsondecode(args: &Args<'_>) -> Outcome {
    let text = args.text(0)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|why| Fault::at(0, "not valid JSON").detail(why.to_string()))?;
    if let Some(number) = oversized(&text) {
        return Err(Fault::at(
            0,
            "a whole number does not fit in 64 bits; write it as a JSON string",
        )
        .detail(number));
    }
    Ok(Value::from_json(&json))
}

/// The first whole number in valid JSON that is too large. The parser would make a fraction of it, and
/// nobody could tell that digits are gone.
fn oversized(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = rest.get(at..)?;
        if let Some(inside) = rest.strip_prefix('"') {
            rest = after_string(inside)?;
            continue;
        }
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if !number.contains(['.', 'e', 'E']) && number.parse::<i64>().is_err() {
            return Some(number);
        }
        rest = after;
    }
    None
}

/// What follows the closing quote.
fn after_string(inside: &str) -> Option<&str> {
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(chars.as_str()),
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
    None
}
