//! Arguments that hold themselves so often that nobody could write them out: every function answers or refuses
//! at once.

use std::path::Path;

use super::super::{FunctionContext, call, names};
use super::environment;
use crate::lang::value::Value;

fn doubled(inner: Value) -> Value {
    (0..60).fold(inner, |value, _| Value::list(vec![value.clone(), value]))
}

/// What a call says, without the values.
fn said(name: &str, args: &[Value]) -> String {
    let context = FunctionContext { base_dir: Path::new("/"), env: &environment };
    match call(name, args, &context).unwrap() {
        Ok(value) => value.type_name().to_owned(),
        Err(error) => error.message,
    }
}

#[test]
fn every_function_ends_with_sixty_doublings() {
    let (one, other) = (doubled(Value::int(1)), doubled(Value::int(1)));
    for name in names() {
        for extra in [vec![], vec![other.clone()], vec![Value::int(1)], vec![other.clone(), other.clone()]] {
            let args: Vec<Value> = std::iter::once(one.clone()).chain(extra).collect();
            said(name, &args);
            let turned: Vec<Value> = args.into_iter().rev().collect();
            said(name, &turned);
        }
    }
}

#[test]
fn what_would_be_written_out_is_refused() {
    let (one, other) = (doubled(Value::int(1)), doubled(Value::int(1)));
    assert!(said("jsonencode", std::slice::from_ref(&one)).contains("more than 64 MiB"));
    assert!(said("format", &[Value::string("%v"), one.clone()]).contains("more than 64 MiB"));
    assert!(said("flatten", std::slice::from_ref(&one)).contains("more than 64 MiB"));
    assert!(said("flatten", &[doubled(Value::list(vec![]))]).contains("more than 64 MiB"));
    assert!(said("join", &[Value::string(","), one.clone()]).contains("element 0"));
    for name in ["toset", "distinct"] {
        let kind = said(name, &[Value::list(vec![one.clone(), other.clone()])]);
        assert!(["set", "list"].contains(&kind.as_str()), "{name}: {kind}");
    }
    assert_eq!(said("contains", &[Value::list(vec![one.clone()]), other.clone()]), "bool");
    assert_eq!(said("index", &[Value::list(vec![one]), other]), "number");
    let long = Value::string("x".repeat(1 << 20));
    let many = Value::list(vec![Value::int(1); 1000]);
    assert!(said("formatlist", &[Value::string("%s%s"), long, many]).contains("more than 64 MiB"));
}
