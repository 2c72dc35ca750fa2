//! Tests of all functions: tables of calls, written in the language itself, and what they give. Most of the
//! expected results were read off `terraform console`.
//!
//! Besides literals the tables know `unknown()`, `secret(x)`, `rawset(x, ...)` and `block()`. Results are shown as
//! Terraform's console would in one line: sets as `set[...]`, sensitive values as `secret(...)` or `env:NAME`.

use std::collections::BTreeMap;
use std::path::Path;

use hcl::Expression;
use segue_contract::Address;

use super::super::value::{BlockValue, Data, Number, Sealed, Sensitivity, Value};
use super::{FunctionContext, FunctionError, call, names};

mod collections;
mod encodings;
mod shared;
mod texts;
mod world;

/// Environment variables of the tests.
fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("tok-123".to_owned()),
        "EMPTY" => Some(String::new()),
        "HOME" => Some("/home/tester".to_owned()),
        _ => None,
    }
}

fn literal(expression: &Expression, base: &Path) -> Result<Value, FunctionError> {
    Ok(match expression {
        Expression::Null => Value::null(),
        Expression::Bool(b) => Value::bool(*b),
        Expression::Number(n) => match n.as_i64() {
            Some(i) => Value::int(i),
            None => Value::open(Data::Number(Number::from_f64(n.as_f64().unwrap()).unwrap())),
        },
        Expression::String(s) => Value::string(s.as_str()),
        Expression::Array(items) => {
            Value::list(items.iter().map(|item| literal(item, base)).collect::<Result<_, _>>()?)
        }
        Expression::Object(entries) => {
            let mut map = BTreeMap::new();
            for (key, item) in entries {
                let key = match key {
                    hcl::ObjectKey::Identifier(name) => name.as_str().to_owned(),
                    other => other.to_string().trim_matches('"').to_owned(),
                };
                map.insert(key, literal(item, base)?);
            }
            Value::map(map)
        }
        Expression::Operation(operation) => match &**operation {
            hcl::expr::Operation::Unary(unary) => match literal(&unary.expr, base)?.data {
                Data::Number(Number::Int(i)) => Value::int(-i),
                Data::Number(Number::Float(f)) => Value::open(Data::Number(Number::Float(-f))),
                other => panic!("-{other:?}"),
            },
            hcl::expr::Operation::Binary(_) => panic!("no operators in tables"),
        },
        Expression::FuncCall(function) => {
            let args = function.args.iter().map(|arg| literal(arg, base)).collect::<Result<Vec<_>, _>>()?;
            return invoke(&function.name.to_string(), &args, base);
        }
        other => panic!("not a literal: {other:?}"),
    })
}

fn invoke(name: &str, args: &[Value], base: &Path) -> Result<Value, FunctionError> {
    match name {
        "unknown" => return Ok(Value::unknown()),
        "secret" => {
            let mut value = args[0].clone();
            value.sensitive = Sensitivity::Secret;
            return Ok(value);
        }
        "rawset" => return Ok(Value::set(args.to_vec())),
        "block" => {
            return Ok(Value::open(Data::Block(std::sync::Arc::new(BlockValue {
                address: Address::new("source.directory.old"),
                attributes: Sealed::new([("path".to_owned(), Value::string("/srv"))].into()),
            }))));
        }
        _ => {}
    }
    let context = FunctionContext { base_dir: base, env: &environment };
    call(name, args, &context).unwrap_or_else(|| panic!("no function {name}"))
}

fn eval_in(text: &str, base: &Path) -> Result<Value, FunctionError> {
    let expression: Expression = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    literal(&expression, base)
}

fn eval(text: &str) -> Result<Value, FunctionError> {
    eval_in(text, Path::new("/spec"))
}

fn show(value: &Value) -> String {
    let each = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(",");
    let data = match &value.data {
        Data::Null => "null".to_owned(),
        Data::Bool(b) => b.to_string(),
        Data::Number(Number::Int(i)) => i.to_string(),
        Data::Number(Number::Float(f)) => format!("{f:?}"),
        Data::String(s) => format!("{s:?}"),
        Data::List(items) => format!("[{}]", each(items)),
        Data::Set(items) => format!("set[{}]", each(items)),
        Data::Map(entries) => {
            let shown: Vec<_> = entries.iter().map(|(k, v)| format!("{k}={}", show(v))).collect();
            format!("{{{}}}", shown.join(","))
        }
        Data::Block(block) => block.address.to_string(),
        Data::Unknown => "unknown".to_owned(),
    };
    match &value.sensitive {
        Sensitivity::Open => data,
        Sensitivity::Env(name) => format!("env:{name}({data})"),
        Sensitivity::Secret => format!("secret({data})"),
    }
}

#[track_caller]
fn gives_in(base: &Path, table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, expected)| {
            let got = match eval_in(text, base) {
                Ok(value) => show(&value),
                Err(error) => format!("error: {error}"),
            };
            (got != *expected).then(|| format!("{text}\n   gives {got}\n  wanted {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Asserts that each call gives exactly this.
#[track_caller]
fn gives(table: &[(&str, &str)]) {
    gives_in(Path::new("/spec"), table);
}

/// Each call fails with a message that has this, and with this argument at fault.
#[track_caller]
fn fails(table: &[(&str, Option<usize>, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, argument, expected)| match eval(text) {
            Ok(value) => Some(format!("{text}\n   gives {}\n  wanted {expected}", show(&value))),
            Err(error) if error.message.contains(expected) && error.argument == *argument => None,
            Err(error) => Some(format!("{text}\n   fails {error:?}\n  wanted {argument:?} {expected}")),
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_promised_function_is_there_and_the_table_is_sorted() {
    let promised = "abs ceil floor max min parseint chomp format formatlist indent join lower regex regexall \
        replace split startswith endswith strrev substr title trim trimprefix trimsuffix trimspace upper \
        coalesce compact concat contains distinct element flatten index keys length lookup merge range reverse \
        setproduct slice sort sum toset values zipmap jsondecode jsonencode csvdecode yamldecode base64decode \
        base64encode sha256 abspath basename dirname file fileexists tobool tolist tomap tonumber tostring env \
        duration bytes";
    let mut promised: Vec<&str> = promised.split_whitespace().collect();
    promised.sort_unstable();
    assert_eq!(names().collect::<Vec<_>>(), promised);
    let context = FunctionContext { base_dir: Path::new("/spec"), env: &environment };
    for name in names() {
        assert!(call(name, &[], &context).is_some(), "{name} is not found");
    }
    assert!(call("nope", &[], &context).is_none());
    assert!(call("", &[], &context).is_none());
}

#[test]
fn a_wrong_number_of_arguments_is_told_alike_by_all() {
    fails(&[
        ("substr(\"a\", 1)", None, "function `substr` takes 3 arguments, got 2"),
        ("upper()", None, "function `upper` takes 1 argument, got 0"),
        ("upper(\"a\", \"b\")", Some(1), "function `upper` takes 1 argument, got 2"),
        ("lookup({})", None, "function `lookup` takes 2 to 3 arguments, got 1"),
        ("lookup({}, 1, 2, 3)", Some(3), "function `lookup` takes 2 to 3 arguments, got 4"),
        ("max()", None, "function `max` takes at least 1 argument, got 0"),
        ("join(\",\")", None, "function `join` takes at least 2 arguments, got 1"),
        ("setproduct([])", None, "function `setproduct` takes at least 2 arguments, got 1"),
        ("coalesce()", None, "at least 1 argument, got 0"),
        ("concat()", None, "at least 1 argument, got 0"),
        ("range()", None, "function `range` takes 1 to 3 arguments, got 0"),
    ]);
}

#[test]
fn every_function_survives_every_kind_of_argument() {
    let kinds = [
        Value::null(),
        Value::unknown(),
        Value::bool(true),
        Value::int(-1),
        Value::int(i64::MIN),
        Value::int(i64::MAX),
        Value::open(Data::Number(Number::Float(1.5))),
        Value::open(Data::Number(Number::Float(-1e300))),
        Value::string(""),
        Value::string("é%/(\"\u{1F468}\u{200D}"),
        Value::list(vec![]),
        Value::list(vec![Value::unknown(), Value::null(), Value::list(vec![Value::int(1)])]),
        Value::set(vec![Value::string("a"), Value::int(2)]),
        Value::map([("k".to_owned(), Value::unknown())].into()),
        eval("block()").unwrap(),
    ];
    for name in names() {
        for a in &kinds {
            let _ = invoke(name, std::slice::from_ref(a), Path::new("/nowhere"));
            for b in &kinds {
                let _ = invoke(name, &[a.clone(), b.clone()], Path::new("/nowhere"));
                for c in &kinds {
                    let _ = invoke(name, &[a.clone(), b.clone(), c.clone()], Path::new("/nowhere"));
                }
            }
        }
    }
}

#[test]
fn no_error_quotes_a_sensitive_argument() {
    for text in [
        r#"tonumber(secret("hunter2"))"#,
        r#"tobool(secret("hunter2"))"#,
        r#"abs(secret("hunter2"))"#,
        r#"parseint(secret("hunter2"), 10)"#,
        r#"jsondecode(secret("{hunter2"))"#,
        r#"jsondecode(secret("[99999999999999999999]"))"#,
        r#"yamldecode(secret("hunter2: [hunter2"))"#,
        r#"yamldecode(secret("!hunter2 x"))"#,
        r#"csvdecode(secret("hunter2,hunter2\n1,2"))"#,
        r#"base64decode(secret("hunter2!"))"#,
        r#"duration(secret("hunter2"))"#,
        r#"bytes(secret("hunter2"))"#,
        r#"regex(secret("(hunter2"), "x")"#,
        r#"regex("x", secret("hunter2"))"#,
        r#"replace("x", secret("/(hunter2/"), "y")"#,
        r#"format(secret("%hunter2"))"#,
        r#"format("%d", secret("hunter2"))"#,
        r#"file(secret("hunter2"))"#,
        r#"fileexists(secret("/dev/../dev"))"#,
        r#"env(secret("hunter2"))"#,
        r#"lookup(secret({hunter2=1}), "b")"#,
        r#"lookup({b=1}, secret("hunter2"))"#,
        r#"sum([secret("hunter2")])"#,
        r#"slice(secret([1]), 0, 99)"#,
    ] {
        let error = eval(text).unwrap_err().message;
        assert!(!error.contains("hunter2") && !error.contains("999"), "{text}: {error}");
    }
}

#[test]
fn errors_tell_the_detail_of_open_arguments() {
    assert_eq!(
        eval(r#"tonumber("five")"#).unwrap_err(),
        FunctionError {
            message: "function `tonumber`: argument 1 must be a number, got a string that is none: \"five\" is not a decimal number".to_owned(),
            argument: Some(0),
        }
    );
    assert_eq!(
        eval(r#"tonumber(secret("five"))"#).unwrap_err().message,
        "function `tonumber`: argument 1 must be a number, got a string that is none (the detail is not shown: an argument is sensitive)"
    );
}
