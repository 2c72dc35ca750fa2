//! The evaluator: expressions of `hcl::edit` to values, every problem reported with the place of the exact
//! sub-expression.
//!
//! Rules of conversion, fewer than Terraform's: templates turn numbers and booleans into text; object keys
//! may be strings, numbers or booleans; nothing else converts by itself. `"1" + 1` is an error that names
//! `tonumber`, `1 == "1"` is false, a condition is a boolean.
//!
//! Unknown and sensitive spread: a result is unknown if it depends on something unknown, and sensitive if it
//! depends on something sensitive.

use std::collections::BTreeMap;
use std::ops::Range;

use hcl::edit::expr::{Expression, ObjectKey};
use hcl::edit::{Ident, Span as _};

use super::functions::FunctionContext;
use super::operators;
use super::scope::{Resolution, Scope};
use super::value::{Data, MAX_DEPTH, MAX_WEIGHT, Number, TooLarge, Value};
use crate::syntax::{Base, Diagnostic, Diagnostics, Source, Span};

/// An evaluation failed; the collector of diagnostics has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// Names bound inside an expression (`for`, `each`).
pub(super) type Bindings = Vec<(String, Value)>;

/// Evaluates expressions.
pub(crate) struct Evaluator<'a> {
    /// What names mean.
    pub(crate) scope: &'a dyn Scope,
    /// What functions may know.
    pub(crate) functions: &'a FunctionContext<'a>,
    /// The texts that expressions come from.
    pub(crate) sources: &'a [Source],
    /// Where problems go.
    pub(crate) diagnostics: &'a mut Diagnostics,
    pub(super) bindings: Bindings,
    /// How many `try` and `can` stand around: what goes wrong inside is not told.
    pub(super) attempts: usize,
    base: Base,
}

impl<'a> Evaluator<'a> {
    /// An evaluator for expressions of one item.
    pub(crate) fn new(
        scope: &'a dyn Scope,
        functions: &'a FunctionContext<'a>,
        sources: &'a [Source],
        diagnostics: &'a mut Diagnostics,
        base: Base,
    ) -> Self {
        Self { scope, functions, sources, diagnostics, bindings: Vec::new(), attempts: 0, base }
    }

    /// Binds a name for everything that this evaluator evaluates: `each`.
    pub(crate) fn bind(&mut self, name: &str, value: Value) {
        self.bindings.push((name.to_owned(), value));
    }

    /// Where the item starts.
    pub(crate) fn base(&self) -> Base {
        self.base
    }

    /// The place of something in the item.
    pub(crate) fn span(&self, range: Option<Range<usize>>) -> Span {
        self.base.span(range)
    }

    /// The source text of a place in the item.
    pub(super) fn text(&self, range: Range<usize>) -> &'a str {
        let range = range.start + self.base.offset..range.end + self.base.offset;
        self.sources.get(self.base.file).and_then(|s| s.text.get(range)).unwrap_or_default()
    }

    /// Reports a problem at a place.
    pub(super) fn fail<T>(
        &mut self,
        code: &'static str,
        summary: impl Into<String>,
        at: Option<Range<usize>>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Result<T, Failed> {
        let span = self.span(at);
        let help = help.into();
        let mut diagnostic = Diagnostic::error(code, summary).at(span, label);
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        self.diagnostics.push(diagnostic);
        Err(Failed)
    }

    /// Whether a problem found here is to name what could have been meant.
    pub(super) fn suggests(&self) -> bool {
        self.attempts == 0 && self.diagnostics.suggests()
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    ///
    /// [`Failed`], when problems were reported.
    pub(crate) fn evaluate(&mut self, expr: &Expression) -> Result<Value, Failed> {
        let value = self.expression(expr)?;
        if value.weight() <= MAX_WEIGHT && value.depth() <= MAX_DEPTH {
            return Ok(value);
        }
        // Grown out of what has been told about: telling of it again helps nobody.
        if value.is_unknown_deep() && self.diagnostics.has_errors() {
            return Ok(Value::unknown().tainted_by([&value]));
        }
        if value.depth() > MAX_DEPTH {
            return self.fail(
                "EXPR_TOO_DEEP",
                format!("this value has more than {MAX_DEPTH} lists or maps inside of each other"),
                expr.span(),
                "",
                "each value that holds the one before adds a level: use concat() or merge() to put it beside",
            );
        }
        self.too_large(expr.span())
    }

    /// Refuses a value that would take too much memory.
    pub(super) fn too_large<T>(&mut self, at: Option<Range<usize>>) -> Result<T, Failed> {
        self.fail(
            "EXPR_TOO_LARGE",
            TooLarge.to_string(),
            at,
            "it has grown too large here",
            "a value that holds another one twice doubles it: take out what repeats, or leave such data in a file that is migrated",
        )
    }

    fn expression(&mut self, expr: &Expression) -> Result<Value, Failed> {
        match expr {
            Expression::Null(_) => Ok(Value::null()),
            Expression::Bool(b) => Ok(Value::bool(*b.value())),
            Expression::Number(n) => self.number(n.value(), n.as_repr().map(|r| &**r), expr.span()),
            Expression::String(s) => Ok(Value::string(s.value().as_str())),
            Expression::Array(array) => {
                let items: Vec<_> = array.iter().map(|e| self.evaluate(e)).collect();
                Ok(Value::list(items.into_iter().collect::<Result<_, _>>()?))
            }
            Expression::Object(object) => self.object(object),
            Expression::StringTemplate(template) => self.string_template(template),
            Expression::HeredocTemplate(heredoc) => self.heredoc(heredoc, expr.span()),
            Expression::Parenthesis(inner) => self.evaluate(inner.inner()),
            Expression::Variable(name) => self.reference(name.value(), expr.span(), &[]).map(|(v, _)| v),
            Expression::Conditional(c) => {
                let Some((cond, cond_value)) = self.condition(&c.cond_expr)? else {
                    return Ok(Value::unknown());
                };
                let chosen = if cond { &c.true_expr } else { &c.false_expr };
                Ok(self.evaluate(chosen)?.tainted_by([&cond_value]))
            }
            Expression::FuncCall(call) => self.call(call, expr.span()),
            Expression::Traversal(traversal) => self.traversal(traversal),
            Expression::UnaryOp(op) => {
                let value = self.evaluate(&op.expr)?;
                self.told(operators::unary(*op.operator.value(), &value), op.expr.span(), &value)
            }
            Expression::BinaryOp(op) => self.binary(op, expr.span()),
            Expression::ForExpr(for_expr) => self.for_expr(for_expr),
        }
    }

    /// A condition: `None` when it is unknown.
    pub(super) fn condition(&mut self, expr: &Expression) -> Result<Option<(bool, Value)>, Failed> {
        let value = self.evaluate(expr)?;
        match value.data {
            Data::Bool(b) => Ok(Some((b, value))),
            Data::Unknown => Ok(None),
            _ => self.fail(
                "EXPR_WRONG_TYPE",
                format!("a condition is true or false, not a {}", value.type_name()),
                expr.span(),
                format!("this is a {}", value.type_name()),
                "compare it with something, or use tobool()",
            ),
        }
    }

    fn number(
        &mut self,
        n: &hcl::edit::Number,
        repr: Option<&str>,
        at: Option<Range<usize>>,
    ) -> Result<Value, Failed> {
        let digits_only = repr.is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        let number = match n.as_i64() {
            Some(i) => Some(Number::Int(i)),
            None if n.is_u64() || digits_only => None,
            None => n.as_f64().and_then(Number::from_f64),
        };
        match number {
            Some(number) => Ok(Value::open(Data::Number(number))),
            None => self.fail(
                "EXPR_NUMBER_RANGE",
                "this number is too large",
                at,
                "whole numbers go from -9223372036854775808 to 9223372036854775807",
                "",
            ),
        }
    }

    fn object(&mut self, object: &hcl::edit::expr::Object) -> Result<Value, Failed> {
        let mut entries = BTreeMap::new();
        let mut failed = false;
        let mut taint = Vec::new();
        let mut unknown = false;
        for (key, value) in object.iter() {
            let key_value = match key {
                ObjectKey::Ident(name) => Ok(Value::string(name.value().as_str())),
                // A bare name is a key, not a reference; (name) is a reference.
                ObjectKey::Expression(Expression::Variable(name)) => Ok(Value::string(name.value().as_str())),
                ObjectKey::Expression(expr) => self.evaluate(expr),
            };
            let value = self.evaluate(value.expr());
            let (Ok(key_value), Ok(value)) = (key_value, value) else {
                failed = true;
                continue;
            };
            let at = key.span();
            match self.key(&key_value, at.clone()) {
                Ok(Some(name)) => {
                    if entries.insert(name.clone(), value).is_some() {
                        let shown = if key_value.is_sensitive() { "…".to_owned() } else { name };
                        let _ = self.fail::<()>(
                            "EXPR_DUPLICATE_KEY",
                            format!("the key {shown:?} is there twice"),
                            at,
                            "again here",
                            "remove one of them",
                        );
                        failed = true;
                    }
                }
                Ok(None) => unknown = true,
                Err(Failed) => failed = true,
            }
            taint.push(key_value);
        }
        if failed {
            return Err(Failed);
        }
        let result = if unknown { Value::unknown() } else { Value::map(entries) };
        Ok(result.tainted_by(&taint))
    }

    /// A value as an object's key: `None` when it is unknown.
    pub(super) fn key(&mut self, value: &Value, at: Option<Range<usize>>) -> Result<Option<String>, Failed> {
        match &value.data {
            Data::Unknown => Ok(None),
            Data::String(_) | Data::Number(_) | Data::Bool(_) => Ok(value.to_text()),
            _ => self.fail(
                "EXPR_WRONG_TYPE",
                format!("an object's key is a string, not a {}", value.type_name()),
                at,
                format!("this is a {}", value.type_name()),
                "",
            ),
        }
    }

    /// Resolves a name with the names after it; returns the value and how many of them it took.
    pub(super) fn reference(
        &mut self,
        root: &Ident,
        root_at: Option<Range<usize>>,
        path: &[(&str, Option<Range<usize>>)],
    ) -> Result<(Value, usize), Failed> {
        if let Some((_, value)) = self.bindings.iter().rev().find(|(name, _)| name == root.as_str()) {
            return Ok((value.clone(), 0));
        }
        let names: Vec<&str> = path.iter().map(|(name, _)| *name).collect();
        let suggests = self.suggests();
        match self.scope.resolve(root.as_str(), &names, suggests) {
            Resolution::Found { value, consumed } => Ok((value, consumed)),
            Resolution::Missing { part, summary, mut candidates, help } => {
                let (wrong, at) = match part.checked_sub(1).and_then(|i| path.get(i)) {
                    Some((name, at)) => (*name, at.clone()),
                    None => (root.as_str(), root_at),
                };
                if part == 0 {
                    candidates.extend(self.bindings.iter().map(|(name, _)| name.clone()));
                }
                let span = self.span(at);
                let mut diagnostic = Diagnostic::error("SPEC_UNKNOWN_REFERENCE", summary).at(span, "");
                diagnostic.help = help;
                if suggests {
                    diagnostic = diagnostic.suggest(wrong, &candidates);
                }
                self.diagnostics.push(diagnostic);
                Err(Failed)
            }
        }
    }

    fn binary(&mut self, op: &hcl::edit::expr::BinaryOp, at: Option<Range<usize>>) -> Result<Value, Failed> {
        use hcl::edit::expr::BinaryOperator::{And, Or};
        let operator = *op.operator.value();
        if let And | Or = operator {
            let decides = operator == Or;
            let lhs = self.condition(&op.lhs_expr);
            if let Ok(Some((b, value))) = &lhs
                && *b == decides
            {
                return Ok(value.clone());
            }
            let rhs = self.condition(&op.rhs_expr)?;
            return Ok(match (lhs?, rhs) {
                (Some((_, l)), Some((r, value))) => Value::bool(r).tainted_by([&l, &value]),
                (None, Some((r, value))) if r == decides => value,
                (None, _) | (_, None) => Value::unknown(),
            });
        }
        let lhs = self.evaluate(&op.lhs_expr);
        let rhs = self.evaluate(&op.rhs_expr);
        let (lhs, rhs) = (lhs?, rhs?);
        match operators::binary(operator, &lhs, &rhs) {
            Ok(value) => Ok(value.tainted_by([&lhs, &rhs])),
            Err(problem) => {
                let at = match problem.operand {
                    Some(operators::Operand::Left) => op.lhs_expr.span(),
                    Some(operators::Operand::Right) => op.rhs_expr.span(),
                    None => at,
                };
                self.fail(problem.code, problem.summary, at, "", problem.help)
            }
        }
    }

    fn told(
        &mut self,
        result: Result<Value, operators::Problem>,
        at: Option<Range<usize>>,
        operand: &Value,
    ) -> Result<Value, Failed> {
        match result {
            Ok(value) => Ok(value.tainted_by([operand])),
            Err(problem) => self.fail(problem.code, problem.summary, at, "", problem.help),
        }
    }
}
