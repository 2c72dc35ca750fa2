//! `format` and `formatlist`: Terraform's verbs, which are Go's with a few differences.
//!
//! A verb is `%`, flags (`+`, `-`, `#`, `0`, space), a width, `.` and a precision, `[n]` for the n-th
//! argument, and a letter of `v d b o x X e E f g G s q t`. Widths count characters.

use super::super::value::{Data, MAX_WEIGHT, Number, Sensitivity, TooLarge, Value};
use super::arguments::{Args, Fault, Outcome, Text};
use super::conversion::{parse_number, scalar_text};
use super::json;

/// The highest precision: beyond it a 64-bit number has no more digits, not even below zero.
const MAX_PRECISION: usize = 1_100;

pub(super) fn format(args: &Args<'_>) -> Outcome {
    let template = args.text(0)?;
    let values: Vec<&Value> = args.values.iter().skip(1).collect();
    Ok(Value::string(render(&template, &values)?))
}

/// `format` for each place of the lists; what is no list is the same at each. An element that is unknown or
/// sensitive makes only its own result so.
pub(super) fn formatlist(args: &Args<'_>) -> Outcome {
    let template = args.text(0)?;
    let mut length: Option<(usize, usize)> = None;
    for (index, value) in args.values.iter().enumerate().skip(1) {
        let (Data::List(items) | Data::Set(items)) = &value.data else {
            continue;
        };
        match length {
            Some((first, expected)) if expected != items.len() => {
                return Err(Fault::at(index, "lists of different lengths").detail(format!(
                    "argument {} has length {}, but argument {} has length {expected}",
                    index + 1,
                    items.len(),
                    first + 1
                )));
            }
            Some(_) => {}
            None => length = Some((index, items.len())),
        }
    }
    let mut weight = 0_u64;
    let rows = (0..length.map_or(1, |(_, length)| length)).map(|row| {
        let values: Vec<&Value> = args
            .values
            .iter()
            .skip(1)
            .map(|value| match &value.data {
                Data::List(items) | Data::Set(items) => items.get(row).unwrap_or(value),
                _ => value,
            })
            .collect();
        let mut result = if values.iter().any(|value| value.is_unknown_deep()) {
            Value::unknown()
        } else {
            Value::string(render(&template, &values)?)
        };
        if values.iter().any(|value| value.is_sensitive_deep()) {
            result.sensitive = Sensitivity::Secret;
        }
        weight = weight.saturating_add(result.weight());
        if weight > MAX_WEIGHT {
            return Err(Fault::new(format!("{TooLarge}; format what is needed where it is needed")));
        }
        Ok(result)
    });
    rows.collect::<Result<_, Fault>>().map(Value::list)
}

/// One verb of a template.
struct Verb<'t> {
    plus: bool,
    minus: bool,
    sharp: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
    /// Counted from 1, where written.
    position: Option<usize>,
    letter: char,
    /// As written, for messages.
    text: &'t str,
}

fn render(template: &str, values: &[&Value]) -> Result<String, Fault> {
    let mut result = Text::default();
    let mut rest = template;
    let (mut next, mut used) = (1, 0);
    while let Some(start) = rest.find('%') {
        let (before, from_verb) = rest.split_at(start);
        result.push(before)?;
        let (verb, after) = Verb::parse(from_verb)?;
        rest = after;
        if verb.letter == '%' {
            result.push("%")?;
            continue;
        }
        let position = verb.position.unwrap_or(next);
        let value = position.checked_sub(1).and_then(|index| values.get(index));
        let Some(value) = value else {
            return Err(Fault::at(0, "not enough arguments for the format").detail(format!(
                "{} needs number {position} of those after the format, of {}",
                verb.text,
                values.len()
            )));
        };
        next = position + 1;
        used = used.max(position);
        verb.print(value, position, &mut result)?;
    }
    result.push(rest)?;
    if used < values.len() {
        return Err(Fault::at(used + 1, "too many arguments for the format")
            .detail(format!("it uses {used} of {}", values.len())));
    }
    Ok(result.into_string())
}

impl<'t> Verb<'t> {
    /// Reads a verb at the start of a text that starts with `%`; also gives what follows.
    fn parse(text: &'t str) -> Result<(Self, &'t str), Fault> {
        let mut verb = Self {
            plus: false,
            minus: false,
            sharp: false,
            zero: false,
            space: false,
            width: 0,
            precision: None,
            position: None,
            letter: '%',
            text,
        };
        let mut rest = text.get(1..).unwrap_or_default();
        while let Some(c) = rest.chars().next() {
            match c {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '#' => verb.sharp = true,
                '0' => verb.zero = true,
                ' ' => verb.space = true,
                _ => break,
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        if let Some((width, after)) = digits(rest)? {
            verb.width = width;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = digits(after)?.unwrap_or((0, after));
            if precision > MAX_PRECISION {
                return Err(Fault::at(0, format!("a precision above {MAX_PRECISION} in the format")));
            }
            verb.precision = Some(precision);
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('[') {
            let position = digits(after)?.and_then(|(n, after)| Some((n, after.strip_prefix(']')?)));
            let Some((position, after)) = position else {
                return Err(bad_verb(text, "[ must be followed by a number and ]"));
            };
            verb.position = Some(position);
            rest = after;
        }
        let Some(letter) = rest.chars().next() else {
            return Err(bad_verb(text, "the format ends inside of a verb; write %% for a percent sign"));
        };
        if !"%vdboxXeEfgGsqt".contains(letter) {
            return Err(bad_verb(text, &format!("there is no verb {letter:?}; write %% for a percent sign")));
        }
        verb.letter = letter;
        let (whole, after) = text.split_at(text.len() - rest.len() + letter.len_utf8());
        verb.text = whole;
        Ok((verb, after))
    }

    fn print(&self, value: &Value, argument: usize, into: &mut Text) -> Result<(), Fault> {
        let number = match &value.data {
            Data::Number(number) => Some(*number),
            Data::String(text) => parse_number(text).ok(),
            _ => None,
        };
        let wrong = |wanted: &str| {
            let got = match value.data {
                Data::String(_) => "a string that is none",
                _ => value.type_name(),
            };
            Fault::at(argument, "an argument does not fit its place in the format").detail(format!(
                "{} needs {wanted}, and argument {} is {got}",
                self.text,
                argument + 1
            ))
        };
        match self.letter {
            'v' => self.print_default(value, into),
            's' => self.pad_text(&scalar_text(value).ok_or_else(|| wrong("a string"))?, into),
            'q' => {
                let text = scalar_text(value).ok_or_else(|| wrong("a string"))?;
                self.pad_text(&json::encode(&Value::string(text))?, into)
            }
            // Terraform pads everything but this.
            't' => match &value.data {
                Data::Bool(b) => into.push(if *b { "true" } else { "false" }),
                Data::String(text) if matches!(&**text, "true" | "false") => into.push(text),
                _ => Err(wrong("a bool")),
            },
            'd' | 'b' | 'o' | 'x' | 'X' => {
                let whole = number.and_then(Number::as_i64).ok_or_else(|| wrong("a whole number"))?;
                self.print_whole(whole, into)
            }
            _ => self.print_number(number.ok_or_else(|| wrong("a number"))?, into),
        }
    }

    fn print_default(&self, value: &Value, into: &mut Text) -> Result<(), Fault> {
        match &value.data {
            _ if self.sharp => self.pad_text(&json::encode(value)?, into),
            Data::String(text) => self.pad_text(text, into),
            Data::Number(number) => {
                let plain = Self { plus: false, letter: 'g', ..*self };
                plain.print_number(*number, into)
            }
            _ => self.pad_text(&json::encode(value)?, into),
        }
    }

    fn print_whole(&self, whole: i64, into: &mut Text) -> Result<(), Fault> {
        let size = whole.unsigned_abs();
        let (prefix, digits) = match self.letter {
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0", format!("{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            _ => ("", size.to_string()),
        };
        let zeros = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let prefix = if self.sharp { prefix } else { "" };
        self.pad_number(whole < 0, &format!("{prefix}{}{digits}", "0".repeat(zeros)), into)
    }

    fn print_number(&self, number: Number, into: &mut Text) -> Result<(), Fault> {
        let negative = number < Number::Int(0);
        let size = number.as_f64().abs();
        let digits = match (self.letter, number) {
            // Exact where a float would not be.
            ('f', Number::Int(whole)) => match self.precision.unwrap_or(6) {
                0 => whole.unsigned_abs().to_string(),
                places => format!("{}.{}", whole.unsigned_abs(), "0".repeat(places)),
            },
            ('f', Number::Float(_)) => format!("{size:.*}", self.precision.unwrap_or(6)),
            ('e' | 'E', _) => scientific(&format!("{size:.*e}", self.precision.unwrap_or(6))),
            _ => general(number, self.precision),
        };
        let digits = if self.letter.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
        self.pad_number(negative, &digits, into)
    }

    fn pad_number(&self, negative: bool, digits: &str, into: &mut Text) -> Result<(), Fault> {
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        match (self.minus, self.zero) {
            (true, _) => {
                into.push(sign)?;
                into.push(digits)?;
                into.repeat(' ', missing)
            }
            (false, true) => {
                into.push(sign)?;
                into.repeat('0', missing)?;
                into.push(digits)
            }
            (false, false) => {
                into.repeat(' ', missing)?;
                into.push(sign)?;
                into.push(digits)
            }
        }
    }

    fn pad_text(&self, text: &str, into: &mut Text) -> Result<(), Fault> {
        let end =
            self.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(end, _)| end);
        let text = text.get(..end).unwrap_or(text);
        let missing = self.width.saturating_sub(text.chars().count());
        if self.minus {
            into.push(text)?;
            return into.repeat(' ', missing);
        }
        into.repeat(if self.zero { '0' } else { ' ' }, missing)?;
        into.push(text)
    }
}

fn bad_verb(text: &str, why: &str) -> Fault {
    let shown: String = text.chars().take(12).collect();
    Fault::at(0, "the format cannot be read").detail(format!("at {shown:?}: {why}"))
}

fn digits(text: &str) -> Result<Option<(usize, &str)>, Fault> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Ok(None);
    }
    let (number, after) = text.split_at(end);
    match number.parse() {
        Ok(number) => Ok(Some((number, after))),
        Err(_) => Err(Fault::at(0, "a number in the format is too large").detail(number)),
    }
}

/// Rust's `1.5e4` as C's `1.5e+04`.
fn scientific(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{mantissa}e-{exponent:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

/// `%g` without a sign: scientific below 1e-4 and from 1e6, or from the precision, on.
fn general(number: Number, precision: Option<usize>) -> String {
    let (mantissa, exponent) = match (number, precision) {
        (Number::Int(whole), None) => {
            let all = whole.unsigned_abs().to_string();
            (all.trim_end_matches('0').to_owned(), all.len() as i64 - 1)
        }
        (number, _) => {
            let size = number.as_f64().abs();
            let text = match precision {
                Some(precision) => format!("{size:.*e}", precision.max(1) - 1),
                None => format!("{size:e}"),
            };
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let mantissa = mantissa.replace('.', "");
            (mantissa.trim_end_matches('0').to_owned(), exponent.parse().unwrap_or(0))
        }
    };
    if mantissa.is_empty() {
        return "0".to_owned();
    }
    let limit = precision.map_or(6, |most| most.max(1) as i64);
    if exponent < -4 || exponent >= limit {
        let (first, others) = mantissa.split_at(1);
        let point = if others.is_empty() { "" } else { "." };
        return scientific(&format!("{first}{point}{others}e{exponent}"));
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("0.{zeros}{mantissa}");
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    match mantissa.split_at_checked(whole) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{mantissa:0<whole$}"),
    }
}
