//! `format` and `formatlist`: the verbs of Go's `fmt` that Terraform has.
//!
//! `%[n]+-# 0width.precision` and a verb: `v` any value, `t` bool, `b d o x X` whole numbers, `e E f g G`
//! numbers, `s q` strings. One difference: `%v` shows a number with all its digits, as templates do, where
//! Terraform shows 1000000 as `1e+06`.

use super::super::value::{Data, Number, Value};
use super::arguments::{Args, Fault, Outcome, Text, check_elements};
use super::conversion::{number_text, parse_number, scalar_text};

/// The largest width and precision: longer than any line that a person reads, and below what Rust's own
/// formatting takes (65535).
const MAX_WIDTH: usize = 1000;

/// Precision of `%e` and `%f` where none is given.
const DEFAULT_PRECISION: usize = 6;

/// From this power of ten on, and below the other, `%g` takes the exponent form.
const G_LARGE: i32 = 6;
const G_SMALL: i32 = -4;

pub(super) fn format(args: &Args<'_>) -> Outcome {
    let spec = args.text(0)?;
    render(&spec, args.values.get(1..).unwrap_or_default()).map(Value::string)
}

/// `format` for each element of the lists among the arguments, the others repeated. A row is unknown or
/// sensitive where one of its values is.
pub(super) fn formatlist(args: &Args<'_>) -> Outcome {
    let spec = args.text(0)?;
    let rest = args.values.get(1..).unwrap_or_default();
    let items = |value: &'_ Value| match &value.data {
        Data::List(items) | Data::Set(items) => Some(items.len()),
        _ => None,
    };
    let mut count = None;
    for (i, value) in rest.iter().enumerate() {
        match (items(value), count) {
            (Some(here), Some(before)) if here != before => {
                return Err(Fault::at(i + 1, "all lists must have the same length")
                    .detail(format!("{before} and {here} elements")));
            }
            (Some(here), _) => count = Some(here),
            (None, _) => {}
        }
    }
    let count = count.unwrap_or(1);
    check_elements(count)?;
    let mut rows = Vec::with_capacity(count);
    for place in 0..count {
        let row: Vec<Value> = rest
            .iter()
            .filter_map(|value| match &value.data {
                Data::List(items) | Data::Set(items) => items.get(place).cloned(),
                _ => Some(value.clone()),
            })
            .collect();
        let mut cell = if row.iter().any(Value::is_unknown_deep) {
            Value::unknown()
        } else {
            Value::string(render(&spec, &row)?)
        };
        if row.iter().any(Value::is_sensitive_deep) {
            cell.sensitive = super::Sensitivity::Secret;
        }
        rows.push(cell);
    }
    Ok(Value::list(rows))
}

/// One verb as written.
#[derive(Debug, Default)]
struct Verb {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    mode: char,
}

fn render(spec: &str, args: &[Value]) -> Result<String, Fault> {
    let mut result = Text::default();
    let (mut rest, mut next, mut used) = (spec, 0, 0);
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        result.push(before)?;
        let mut scan = Scan(after.get(1..).unwrap_or_default());
        if let Some(after) = scan.0.strip_prefix('%') {
            result.push("%")?;
            rest = after;
            continue;
        }
        let (verb, chosen) = scan.verb()?;
        let place = chosen.unwrap_or(next);
        let argument = place + 1;
        let value = args.get(place).ok_or_else(|| {
            Fault::at(
                0,
                format!(
                    "`%{}` wants value {argument}, and there are {}",
                    verb.mode,
                    args.len()
                ),
            )
        })?;
        let text = verb.show(value, argument)?;
        verb.pad(&text, &mut result)?;
        next = argument;
        used = used.max(next);
        rest = scan.0;
    }
    result.push(rest)?;
    if used < args.len() {
        return Err(Fault::at(
            used + 1,
            format!(
                "{} values given, and only {used} used by the format; take them away, or add verbs such as %s",
                args.len()
            ),
        ));
    }
    Ok(result.into_string())
}

/// What is left of the format.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    /// A verb behind its `%`, and the place of the value where one is chosen with `[n]`.
    fn verb(&mut self) -> Result<(Verb, Option<usize>), Fault> {
        let mut verb = Verb::default();
        let mut chosen = self.index()?;
        while let Some(c @ ('+' | '-' | '#' | ' ' | '0')) = self.0.chars().next() {
            match c {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
            self.skip(c);
        }
        verb.width = self.count()?.unwrap_or(0);
        if let Some(after) = self.0.strip_prefix('.') {
            self.0 = after;
            verb.precision = Some(self.count()?.unwrap_or(0));
        }
        if chosen.is_none() {
            chosen = self.index()?;
        }
        let Some(mode) = self.0.chars().next() else {
            return Err(Fault::at(
                0,
                "the format ends inside of a verb; write %% for a percent sign",
            ));
        };
        if !"vtbdoxXeEfgGsq".contains(mode) {
            return Err(Fault::at(
                0,
                "the format has a verb that is none; there are %v %t %b %d %o %x %X %e %E %f %g %G %s %q, and %% for a percent sign",
            )
            .detail(format!("%{mode}")));
        }
        verb.mode = mode;
        self.skip(mode);
        Ok((verb, chosen))
    }

    fn skip(&mut self, c: char) {
        self.0 = self.0.get(c.len_utf8()..).unwrap_or_default();
    }

    /// `[2]`: the second value.
    fn index(&mut self) -> Result<Option<usize>, Fault> {
        let Some(after) = self.0.strip_prefix('[') else {
            return Ok(None);
        };
        self.0 = after;
        let place = self.count()?.and_then(|number| number.checked_sub(1));
        match (place, self.0.strip_prefix(']')) {
            (Some(place), Some(after)) => {
                self.0 = after;
                Ok(Some(place))
            }
            _ => Err(Fault::at(
                0,
                "values are chosen with their number from 1, such as %[2]s",
            )),
        }
    }

    fn count(&mut self) -> Result<Option<usize>, Fault> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, after) = self.0.split_at(end);
        self.0 = after;
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse() {
            Ok(count) if count <= MAX_WIDTH => Ok(Some(count)),
            _ => Err(Fault::at(
                0,
                format!("the format has a width, precision or number above {MAX_WIDTH}"),
            )),
        }
    }
}

impl Verb {
    fn wrong(&self, argument: usize, wanted: &str, value: &Value) -> Fault {
        Fault::at(
            argument,
            format!("`%{}` shows {wanted}, got {}", self.mode, value.type_name()),
        )
    }

    fn show(&self, value: &Value, argument: usize) -> Result<String, Fault> {
        match self.mode {
            'v' => Ok(match &value.data {
                Data::String(text) if !self.sharp => text.to_string(),
                Data::Number(number) if !self.sharp => number_text(*number),
                _ => value.to_json().to_string(),
            }),
            't' => match scalar_text(value).as_deref() {
                Some("true" | "1") if !matches!(value.data, Data::Number(_)) => Ok("true".to_owned()),
                Some("false" | "0") if !matches!(value.data, Data::Number(_)) => Ok("false".to_owned()),
                _ => Err(self.wrong(argument, "a bool", value)),
            },
            's' | 'q' => {
                let text = scalar_text(value).ok_or_else(|| self.wrong(argument, "a string", value))?;
                let text: String = match self.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text.to_string(),
                };
                Ok(match self.mode {
                    'q' => serde_json::Value::from(text).to_string(),
                    _ => text,
                })
            }
            'b' | 'd' | 'o' | 'x' | 'X' => {
                let whole = self.number(value, argument)?.as_i64().ok_or_else(|| {
                    Fault::at(argument, format!("`%{}` shows whole numbers only", self.mode))
                })?;
                Ok(self.integer(whole))
            }
            _ => Ok(self.float(self.number(value, argument)?)),
        }
    }

    fn number(&self, value: &Value, argument: usize) -> Result<Number, Fault> {
        match &value.data {
            Data::Number(number) => Ok(*number),
            Data::String(text) => {
                parse_number(text).map_err(|why| self.wrong(argument, "a number", value).detail(why))
            }
            _ => Err(self.wrong(argument, "a number", value)),
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    fn integer(&self, whole: i64) -> String {
        let size = whole.unsigned_abs();
        let mut digits = match self.mode {
            'b' => format!("{size:b}"),
            'o' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            _ => size.to_string(),
        };
        let prefix = match (self.sharp, self.mode) {
            (true, 'b') => "0b",
            (true, 'o') => "0",
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            _ => "",
        };
        let sign = self.sign(whole < 0);
        match self.precision {
            // Asked for no digits at all.
            Some(0) if size == 0 => return String::new(),
            Some(least) => digits = format!("{digits:0>least$}"),
            None => {}
        }
        let filled = self.width.saturating_sub(sign.len() + prefix.len());
        if self.zero && !self.minus && self.precision.is_none() {
            digits = format!("{digits:0>filled$}");
        }
        format!("{sign}{prefix}{digits}")
    }

    fn float(&self, number: Number) -> String {
        let f = number.as_f64();
        let sign = self.sign(f < 0.0);
        let precision = self.precision.unwrap_or(DEFAULT_PRECISION);
        let mut digits = match (self.mode, number) {
            // Exact where a float would not be.
            ('f', Number::Int(i)) if precision > 0 => {
                format!("{}.{:0<precision$}", i.unsigned_abs(), "")
            }
            ('f', Number::Int(i)) => i.unsigned_abs().to_string(),
            ('f', Number::Float(_)) => format!("{:.precision$}", f.abs()),
            ('e' | 'E', _) => with_exponent(&format!("{:.precision$e}", f.abs())),
            _ => self.shortest(f.abs()),
        };
        if self.mode.is_ascii_uppercase() {
            digits = digits.to_ascii_uppercase();
        }
        let filled = self.width.saturating_sub(sign.len());
        if self.zero && !self.minus {
            digits = format!("{digits:0>filled$}");
        }
        format!("{sign}{digits}")
    }

    /// `%g`: the shorter of the two forms, without trailing zeros.
    fn shortest(&self, f: f64) -> String {
        let most = self.precision.map(|precision| precision.max(1));
        let exact = match most {
            Some(most) => format!("{f:.*e}", most - 1),
            None => format!("{f:e}"),
        };
        let (mantissa, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let large = most.map_or(G_LARGE, |most| i32::try_from(most).unwrap_or(i32::MAX));
        let strip = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        if exponent < G_SMALL || exponent >= large {
            return with_exponent(&format!("{}e{exponent}", strip(mantissa)));
        }
        match most.and_then(|most| i32::try_from(most).ok()) {
            Some(most) => {
                let places = usize::try_from(most - 1 - exponent).unwrap_or(0);
                strip(&format!("{f:.places$}"))
            }
            None => f.to_string(),
        }
    }

    /// Fills up to the width, in characters.
    fn pad(&self, text: &str, result: &mut Text) -> Result<(), Fault> {
        let missing = self.width.saturating_sub(text.chars().count());
        // Numbers have taken their zeros behind the sign already.
        let fill = if self.zero && !self.minus && "vtsq".contains(self.mode) {
            '0'
        } else {
            ' '
        };
        if !self.minus {
            result.repeat(fill, missing)?;
        }
        result.push(text)?;
        if self.minus {
            result.repeat(fill, missing)?;
        }
        Ok(())
    }
}

/// `1.5e7` as Go writes it: `1.5e+07`.
fn with_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}
