//! Operators. Arithmetic is checked: nothing wraps, nothing becomes infinite, nothing loses digits unseen.

use std::cmp::Ordering;

use hcl::edit::expr::{BinaryOperator, UnaryOperator};

use super::value::{Data, Number, Value};

/// Which operand is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Left,
    Right,
}

/// Why an operator cannot be applied.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) summary: String,
    pub(super) help: &'static str,
    /// `None`: the whole operation.
    pub(super) operand: Option<Operand>,
}

fn out_of_range() -> Problem {
    Problem {
        code: "EXPR_NUMBER_RANGE",
        summary: "the result is too large for a number".to_owned(),
        help: "whole numbers go from -9223372036854775808 to 9223372036854775807",
        operand: None,
    }
}

fn wrong(operator: &str, wanted: &str, value: &Value, operand: Option<Operand>) -> Problem {
    let help = match (wanted, &value.data) {
        ("numbers", Data::String(_)) => "strings are not turned into numbers by themselves: use tonumber()",
        _ => "",
    };
    Problem {
        code: "EXPR_WRONG_TYPE",
        summary: format!("`{operator}` takes {wanted}, not a {}", value.type_name()),
        help,
        operand,
    }
}

/// `-x`, `!x`
pub(super) fn unary(operator: UnaryOperator, value: &Value) -> Result<Value, Problem> {
    match (operator, &value.data) {
        (_, Data::Unknown) => Ok(Value::unknown()),
        (UnaryOperator::Not, Data::Bool(b)) => Ok(Value::bool(!b)),
        (UnaryOperator::Neg, Data::Number(Number::Int(i))) => {
            i.checked_neg().map(Value::int).ok_or_else(out_of_range)
        }
        (UnaryOperator::Neg, Data::Number(Number::Float(f))) => number(-f),
        (UnaryOperator::Not, _) => Err(wrong("!", "true or false", value, None)),
        (UnaryOperator::Neg, _) => Err(wrong("-", "numbers", value, None)),
    }
}

fn number(f: f64) -> Result<Value, Problem> {
    Number::from_f64(f).map(|n| Value::open(Data::Number(n))).ok_or_else(out_of_range)
}

/// All binary operators but `&&` and `||`, which are lazy.
pub(super) fn binary(operator: BinaryOperator, lhs: &Value, rhs: &Value) -> Result<Value, Problem> {
    use BinaryOperator::{And, Div, Eq, Greater, GreaterEq, Less, LessEq, Minus, Mod, Mul, NotEq, Or, Plus};
    if let Eq | NotEq = operator {
        if lhs.is_unknown_deep() || rhs.is_unknown_deep() {
            return Ok(Value::unknown());
        }
        let mut result = Value::bool((lhs.order(rhs) == Ordering::Equal) == (operator == Eq));
        if lhs.shows_secret() || rhs.shows_secret() {
            result.sensitive = super::value::Sensitivity::Secret;
        }
        return Ok(result);
    }
    let (l, r) = match (&lhs.data, &rhs.data) {
        (Data::Number(l), Data::Number(r)) => (*l, *r),
        (Data::Unknown, Data::Number(_) | Data::Unknown) | (Data::Number(_), Data::Unknown) => {
            return Ok(Value::unknown());
        }
        (Data::Number(_) | Data::Unknown, _) => {
            return Err(wrong(operator.as_str(), "numbers", rhs, Some(Operand::Right)));
        }
        _ => return Err(wrong(operator.as_str(), "numbers", lhs, Some(Operand::Left))),
    };
    match operator {
        Less => Ok(Value::bool(l < r)),
        LessEq => Ok(Value::bool(l <= r)),
        Greater => Ok(Value::bool(l > r)),
        GreaterEq => Ok(Value::bool(l >= r)),
        Plus => arithmetic(l, r, i64::checked_add, |a, b| a + b),
        Minus => arithmetic(l, r, i64::checked_sub, |a, b| a - b),
        Mul => arithmetic(l, r, i64::checked_mul, |a, b| a * b),
        Div | Mod if r.as_f64() == 0.0 => Err(Problem {
            code: "EXPR_DIVISION_BY_ZERO",
            summary: "division by zero".to_owned(),
            help: "",
            operand: Some(Operand::Right),
        }),
        Div => match (l, r) {
            (Number::Int(a), Number::Int(b)) if a.checked_rem(b) == Some(0) => {
                a.checked_div(b).map(Value::int).ok_or_else(out_of_range)
            }
            (Number::Int(a), Number::Int(b)) if a.checked_div(b).is_none() => Err(out_of_range()),
            _ => number(exact(l)? / exact(r)?),
        },
        Mod => match (l, r) {
            (Number::Int(a), Number::Int(b)) => Ok(Value::int(a.checked_rem(b).unwrap_or(0))),
            _ => number(exact(l)? % exact(r)?),
        },
        And | Or | Eq | NotEq => Ok(Value::unknown()),
    }
}

fn arithmetic(
    l: Number,
    r: Number,
    whole: impl Fn(i64, i64) -> Option<i64>,
    float: impl Fn(f64, f64) -> f64,
) -> Result<Value, Problem> {
    match (l, r) {
        (Number::Int(a), Number::Int(b)) => whole(a, b).map(Value::int).ok_or_else(out_of_range),
        _ => number(float(exact(l)?, exact(r)?)),
    }
}

/// As a float, if no digit is lost.
fn exact(n: Number) -> Result<f64, Problem> {
    const LARGEST_EXACT: u64 = 1 << 53;
    match n {
        Number::Int(i) if i.unsigned_abs() > LARGEST_EXACT => Err(Problem {
            code: "EXPR_NUMBER_RANGE",
            summary: format!("{i} loses digits when it is computed with a fraction"),
            help: "compute with whole numbers, or with smaller ones",
            operand: None,
        }),
        n => Ok(n.as_f64()),
    }
}
