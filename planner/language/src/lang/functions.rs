//! The functions of the language: one table, and one place where unknown and sensitive arguments spread
//! to results. Results and edge cases are Terraform's; where they differ, the function says so.
//!
//! `try` and `can` are not here: they look at expressions, not at values, so the evaluator has them.

use std::path::Path;

use arguments::{Args, Fault, Outcome};

use super::value::{Data, Sensitivity, Value};

mod arguments;
mod collections;
mod conversion;
mod encoding;
mod format;
mod json;
mod maps;
mod numbers;
mod paths;
mod patterns;
mod sequences;
mod strings;
#[cfg(test)]
mod tests;

/// What functions may know of the world.
pub(crate) struct FunctionContext<'a> {
    /// Where relative paths start: the directory of the spec.
    pub(crate) base_dir: &'a Path,
    /// Reads an environment variable; `None` where it is not set.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct FunctionError {
    /// What is wrong, starting with the function's name. Never shows anything of a sensitive argument.
    pub(crate) message: String,
    /// The index of the argument at fault, from 0; `None` where it is the call as a whole.
    pub(crate) argument: Option<usize>,
}

/// How unknown and sensitive arguments reach the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// The function looks at everything inside its arguments: anything unknown there makes the result
    /// unknown, anything sensitive there makes it sensitive.
    Deep,
    /// The function moves elements and does not look into them: only the arguments themselves count, and
    /// elements keep what they are.
    Shell,
    /// The function decides: the result may be one of its arguments, untouched.
    Own,
}

struct Function {
    name: &'static str,
    least: usize,
    most: Option<usize>,
    spread: Spread,
    run: fn(&Args<'_>) -> Outcome,
}

const fn function(
    name: &'static str,
    least: usize,
    most: usize,
    spread: Spread,
    run: fn(&Args<'_>) -> Outcome,
) -> Function {
    Function { name, least, most: Some(most), spread, run }
}

const fn variadic(
    name: &'static str,
    least: usize,
    spread: Spread,
    run: fn(&Args<'_>) -> Outcome,
) -> Function {
    Function { name, least, most: None, spread, run }
}

/// Every function, sorted by name (a test holds that).
const FUNCTIONS: &[Function] = &[
    function("abs", 1, 1, Spread::Deep, numbers::abs),
    function("abspath", 1, 1, Spread::Deep, paths::abspath),
    function("base64decode", 1, 1, Spread::Deep, encoding::base64decode),
    function("base64encode", 1, 1, Spread::Deep, encoding::base64encode),
    function("basename", 1, 1, Spread::Deep, paths::basename),
    function("bytes", 1, 1, Spread::Deep, numbers::bytes),
    function("ceil", 1, 1, Spread::Deep, numbers::ceil),
    function("chomp", 1, 1, Spread::Deep, strings::chomp),
    variadic("coalesce", 1, Spread::Own, collections::coalesce),
    function("compact", 1, 1, Spread::Deep, sequences::compact),
    variadic("concat", 1, Spread::Shell, sequences::concat),
    function("contains", 2, 2, Spread::Own, collections::contains),
    function("csvdecode", 1, 1, Spread::Deep, encoding::csvdecode),
    function("dirname", 1, 1, Spread::Deep, paths::dirname),
    function("distinct", 1, 1, Spread::Deep, sequences::distinct),
    function("duration", 1, 1, Spread::Deep, numbers::duration),
    function("element", 2, 2, Spread::Shell, sequences::element),
    function("endswith", 2, 2, Spread::Deep, strings::endswith),
    function("env", 1, 1, Spread::Deep, paths::env),
    function("file", 1, 1, Spread::Deep, paths::file),
    function("fileexists", 1, 1, Spread::Deep, paths::fileexists),
    function("flatten", 1, 1, Spread::Shell, sequences::flatten),
    function("floor", 1, 1, Spread::Deep, numbers::floor),
    variadic("format", 1, Spread::Deep, format::format),
    variadic("formatlist", 1, Spread::Shell, format::formatlist),
    function("indent", 2, 2, Spread::Deep, strings::indent),
    function("index", 2, 2, Spread::Own, collections::index),
    variadic("join", 2, Spread::Deep, strings::join),
    function("jsondecode", 1, 1, Spread::Deep, json::jsondecode),
    function("jsonencode", 1, 1, Spread::Deep, json::jsonencode),
    function("keys", 1, 1, Spread::Shell, maps::keys),
    function("length", 1, 1, Spread::Shell, collections::length),
    function("lookup", 2, 3, Spread::Own, maps::lookup),
    function("lower", 1, 1, Spread::Deep, strings::lower),
    variadic("max", 1, Spread::Deep, numbers::max),
    variadic("merge", 0, Spread::Shell, maps::merge),
    variadic("min", 1, Spread::Deep, numbers::min),
    function("parseint", 2, 2, Spread::Deep, numbers::parseint),
    function("range", 1, 3, Spread::Deep, numbers::range),
    function("regex", 2, 2, Spread::Deep, patterns::regex),
    function("regexall", 2, 2, Spread::Deep, patterns::regexall),
    function("replace", 3, 3, Spread::Deep, patterns::replace),
    function("reverse", 1, 1, Spread::Shell, sequences::reverse),
    variadic("setproduct", 2, Spread::Shell, sequences::setproduct),
    function("sha256", 1, 1, Spread::Deep, encoding::sha256),
    function("slice", 3, 3, Spread::Shell, sequences::slice),
    function("sort", 1, 1, Spread::Deep, sequences::sort),
    function("split", 2, 2, Spread::Deep, strings::split),
    function("startswith", 2, 2, Spread::Deep, strings::startswith),
    function("strrev", 1, 1, Spread::Deep, strings::strrev),
    function("substr", 3, 3, Spread::Deep, strings::substr),
    function("sum", 1, 1, Spread::Deep, numbers::sum),
    function("title", 1, 1, Spread::Deep, strings::title),
    function("tobool", 1, 1, Spread::Own, conversion::tobool),
    function("tolist", 1, 1, Spread::Own, conversion::tolist),
    function("tomap", 1, 1, Spread::Own, conversion::tomap),
    function("tonumber", 1, 1, Spread::Own, conversion::tonumber),
    function("toset", 1, 1, Spread::Deep, conversion::toset),
    function("tostring", 1, 1, Spread::Own, conversion::tostring),
    function("trim", 2, 2, Spread::Deep, strings::trim),
    function("trimprefix", 2, 2, Spread::Deep, strings::trimprefix),
    function("trimspace", 1, 1, Spread::Deep, strings::trimspace),
    function("trimsuffix", 2, 2, Spread::Deep, strings::trimsuffix),
    function("upper", 1, 1, Spread::Deep, strings::upper),
    function("values", 1, 1, Spread::Shell, maps::values),
    function("yamldecode", 1, 1, Spread::Deep, encoding::yamldecode),
    function("zipmap", 2, 2, Spread::Shell, maps::zipmap),
];

/// The names of all functions, sorted; `try` and `can` are the evaluator's and not among them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Calls a function; `None` where there is no such function.
///
/// # Errors
/// A wrong number of arguments, an argument of the wrong type, or one that the function cannot use.
pub(crate) fn call(
    name: &str,
    args: &[Value],
    context: &FunctionContext<'_>,
) -> Option<Result<Value, FunctionError>> {
    let place = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
    Some(FUNCTIONS.get(place)?.call(args, context))
}

impl Function {
    fn call(&self, values: &[Value], context: &FunctionContext<'_>) -> Result<Value, FunctionError> {
        self.check_arity(values.len())?;
        let args = Args { values, context };
        let result = match self.spread {
            Spread::Deep if values.iter().any(Value::is_unknown_deep) => Ok(Value::unknown()),
            Spread::Shell if values.iter().any(hides) => Ok(Value::unknown()),
            Spread::Deep | Spread::Shell | Spread::Own => (self.run)(&args),
        };
        let mut value = result.map_err(|fault| self.error(fault, values))?;
        let secret = match self.spread {
            Spread::Deep => values.iter().any(Value::is_sensitive_deep),
            Spread::Shell => values.iter().any(guards),
            Spread::Own => false,
        };
        if secret {
            value.sensitive = Sensitivity::Secret;
        }
        Ok(value)
    }

    fn check_arity(&self, got: usize) -> Result<(), FunctionError> {
        if got >= self.least && self.most.is_none_or(|most| got <= most) {
            return Ok(());
        }
        let (wanted, plural) = match self.most {
            Some(most) if most == self.least => (most.to_string(), most != 1),
            Some(most) => (format!("{} to {most}", self.least), true),
            None => (format!("at least {}", self.least), self.least != 1),
        };
        Err(FunctionError {
            message: format!(
                "function `{}` takes {wanted} argument{}, got {got}",
                self.name,
                if plural { "s" } else { "" }
            ),
            // The first argument too many is the one to take away.
            argument: self.most.filter(|most| got > *most),
        })
    }

    /// The detail of a fault may quote an argument: with a sensitive one it stays untold.
    fn error(&self, fault: Fault, values: &[Value]) -> FunctionError {
        let Fault { message, detail, argument } = fault;
        let detail = match detail {
            None => String::new(),
            Some(_) if values.iter().any(Value::is_sensitive_deep) => {
                " (the detail is not shown: an argument is sensitive)".to_owned()
            }
            Some(detail) => format!(": {detail}"),
        };
        FunctionError { message: format!("function `{}`: {message}{detail}", self.name), argument }
    }
}

/// Whether even the shape of this is unknown: elements of a set that are unknown may turn out equal.
fn hides(value: &Value) -> bool {
    value.is_unknown() || matches!(value.data, Data::Set(_)) && value.is_unknown_deep()
}

/// Whether even the shape of this is sensitive: which elements of a set are equal tells of them.
fn guards(value: &Value) -> bool {
    value.is_sensitive() || matches!(value.data, Data::Set(_)) && value.is_sensitive_deep()
}
