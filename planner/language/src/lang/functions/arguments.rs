//! How a function reads its arguments: the conversions that Terraform makes for a parameter's type, and
//! the one form of a complaint about an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::value::{Data, MAX_WEIGHT, Number, TooLarge, Value};
use super::FunctionContext;
use super::conversion::{parse_number, scalar_text};

/// The longest string that a function makes, in bytes. Specs are read by people; what is longer is a
/// doubling that got out of hand, and would otherwise take the machine's memory.
pub(super) const MAX_TEXT_BYTES: usize = 16 << 20;

/// The longest list that a function makes: far above any plan that can be reviewed, and below what takes
/// the machine's memory (about 100 bytes an element).
pub(super) const MAX_ELEMENTS: usize = 1 << 18;

/// What a function returns.
pub(super) type Outcome = Result<Value, Fault>;

/// A complaint, before it is known whether it may be told in full.
#[derive(Debug)]
pub(super) struct Fault {
    /// What is wrong; quotes no value.
    pub(super) message: String,
    /// What may quote values, and so is withheld where an argument is sensitive.
    pub(super) detail: Option<String>,
    /// The index of the argument at fault.
    pub(super) argument: Option<usize>,
}

impl Fault {
    /// About the call as a whole.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None, argument: None }
    }

    /// About one argument, by its index.
    pub(super) fn at(argument: usize, message: impl Into<String>) -> Self {
        Self { argument: Some(argument), ..Self::new(message) }
    }

    /// With what may quote the argument.
    #[must_use]
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// The arguments of one call. Their number fits the table, so an index below the least number is there.
pub(super) struct Args<'a> {
    pub(super) values: &'a [Value],
    pub(super) context: &'a FunctionContext<'a>,
}

static NULL: Value = Value { data: Data::Null, sensitive: super::super::value::Sensitivity::Open };

impl<'a> Args<'a> {
    /// The argument; `null` where it was left out.
    pub(super) fn get(&self, index: usize) -> &'a Value {
        self.values.get(index).unwrap_or(&NULL)
    }

    /// A string; numbers and booleans are converted.
    pub(super) fn text(&self, index: usize) -> Result<Arc<str>, Fault> {
        let value = self.get(index);
        scalar_text(value).ok_or_else(|| wrong_type(index, "a string", value))
    }

    /// A number; strings that are decimal numbers are converted.
    pub(super) fn number(&self, index: usize) -> Result<Number, Fault> {
        let value = self.get(index);
        match &value.data {
            Data::Number(number) => Ok(*number),
            Data::String(text) => parse_number(text).map_err(|why| {
                Fault::at(
                    index,
                    format!("argument {} must be a number, got a string that is none", index + 1),
                )
                .detail(why)
            }),
            _ => Err(wrong_type(index, "a number", value)),
        }
    }

    /// A whole number.
    pub(super) fn whole(&self, index: usize) -> Result<i64, Fault> {
        let number = self.number(index)?;
        number.as_i64().ok_or_else(|| {
            Fault::at(index, format!("argument {} must be a whole number", index + 1))
                .detail(super::conversion::number_text(number))
        })
    }

    /// The elements of a list.
    pub(super) fn list(&self, index: usize) -> Result<&'a [Value], Fault> {
        let value = self.get(index);
        match &value.data {
            Data::List(items) => Ok(items),
            Data::Set(_) => Err(Fault::at(
                index,
                format!(
                    "argument {} must be a list, got a set, whose elements have no order; wrap it in tolist() to have them sorted",
                    index + 1
                ),
            )),
            _ => Err(wrong_type(index, "a list", value)),
        }
    }

    /// The elements of a list or set.
    pub(super) fn sequence(&self, index: usize) -> Result<&'a [Value], Fault> {
        let value = self.get(index);
        match &value.data {
            Data::List(items) | Data::Set(items) => Ok(items),
            _ => Err(wrong_type(index, "a list or set", value)),
        }
    }

    /// The entries of a map; those of a block are its attributes.
    pub(super) fn entries(&self, index: usize) -> Result<&'a BTreeMap<String, Value>, Fault> {
        let value = self.get(index);
        match &value.data {
            Data::Map(entries) => Ok(entries),
            Data::Block(block) => Ok(&block.attributes),
            _ => Err(wrong_type(index, "a map", value)),
        }
    }

    /// The elements of a list or set as strings.
    pub(super) fn texts(&self, index: usize) -> Result<Vec<Arc<str>>, Fault> {
        self.sequence(index)?
            .iter()
            .enumerate()
            .map(|(place, item)| {
                scalar_text(item).ok_or_else(|| wrong_element(index, place, "a string", item))
            })
            .collect()
    }
}

/// `argument 2 must be a string, got list`
pub(super) fn wrong_type(index: usize, wanted: &str, got: &Value) -> Fault {
    let number = index + 1;
    Fault::at(
        index,
        match got.data {
            Data::Null => format!("argument {number} must be {wanted}, and must not be null"),
            _ => format!("argument {number} must be {wanted}, got {}", got.type_name()),
        },
    )
}

/// `element 3 of argument 1 must be a string, got null`; elements are counted from 0, as `element()` does.
pub(super) fn wrong_element(index: usize, place: usize, wanted: &str, got: &Value) -> Fault {
    Fault::at(
        index,
        format!("element {place} of argument {} must be {wanted}, got {}", index + 1, got.type_name()),
    )
}

/// Refuses a list that is too long to make.
pub(super) fn check_elements(count: usize) -> Result<(), Fault> {
    if count <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(Fault::new(format!(
        "the result would have more than {MAX_ELEMENTS} elements; generate such data outside of the spec"
    )))
}

/// Refuses to walk through a value that is too large to be written out.
pub(super) fn check_weight(value: &Value) -> Result<(), Fault> {
    if value.weight() <= MAX_WEIGHT {
        return Ok(());
    }
    Err(Fault::new(format!("{TooLarge}; leave such data outside of the spec")))
}

/// A string under construction that refuses to outgrow [`MAX_TEXT_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Appends.
    pub(super) fn push(&mut self, part: &str) -> Result<(), Fault> {
        self.reserve(part.len())?;
        self.0.push_str(part);
        Ok(())
    }

    /// Appends the same character many times.
    pub(super) fn repeat(&mut self, c: char, count: usize) -> Result<(), Fault> {
        self.reserve(count.saturating_mul(c.len_utf8()))?;
        self.0.extend(std::iter::repeat_n(c, count));
        Ok(())
    }

    fn reserve(&mut self, more: usize) -> Result<(), Fault> {
        if self.0.len().saturating_add(more) <= MAX_TEXT_BYTES {
            return Ok(());
        }
        Err(Fault::new(format!(
            "the result would be longer than {} MiB; read such data from where it lives, not through the spec",
            MAX_TEXT_BYTES >> 20
        )))
    }

    /// What was built.
    pub(super) fn into_value(self) -> Value {
        Value::string(self.0)
    }

    /// What was built.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}
