//! STUB until the function library is merged: the same interface, with `env`, `duration`, `bytes`, `length`.

use std::path::Path;

use super::value::{Data, Sensitivity, Value};

/// What functions may know of the world.
pub(crate) struct FunctionContext<'a> {
    /// Relative paths start here.
    #[expect(dead_code, reason = "the stub reads no files")]
    pub(crate) base_dir: &'a Path,
    /// Environment variables.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a function failed.
pub(crate) struct FunctionError {
    /// One sentence.
    pub(crate) message: String,
    /// Index of the argument at fault.
    pub(crate) argument: Option<usize>,
}

fn wrong(message: &str) -> Result<Value, FunctionError> {
    Err(FunctionError {
        message: message.to_owned(),
        argument: Some(0),
    })
}

/// Calls a function; `None`: there is none of this name.
pub(crate) fn call(
    name: &str,
    args: &[Value],
    context: &FunctionContext<'_>,
) -> Option<Result<Value, FunctionError>> {
    if !names().any(|n| n == name) {
        return None;
    }
    if args.iter().any(Value::is_unknown) {
        return Some(Ok(Value::unknown()));
    }
    Some(match (name, args.first().map(|v| &v.data)) {
        ("env", Some(Data::String(name))) => match (context.env)(name) {
            Some(text) => Ok(Value {
                data: Data::String(text.into()),
                sensitive: Sensitivity::Env(name.clone()),
            }),
            None => wrong("this environment variable is not set"),
        },
        ("length", Some(Data::List(items) | Data::Set(items))) => Ok(Value::int(items.len() as i64)),
        ("length", Some(Data::String(s))) => Ok(Value::int(s.chars().count() as i64)),
        ("length", Some(Data::Map(map))) => Ok(Value::int(map.len() as i64)),
        _ => wrong("the stub does not know this"),
    })
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ["env", "duration", "bytes", "length"].into_iter()
}
