//! Function calls, and the two forms that look like functions and swallow errors: `try` and `can`.

use std::ops::Range;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, FuncCall};

use super::evaluate::{Evaluator, Failed};
use super::functions;
use super::value::{Data, Value};
use crate::syntax::Diagnostic;

/// The arguments of a call.
enum Given {
    /// All of them, and where each stands.
    All { args: Vec<Value>, places: Vec<Option<Range<usize>>> },
    /// How many there are is not known before apply.
    Unknown(Value),
    /// Some cannot be evaluated, which was reported.
    Broken,
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &FuncCall, at: Option<Range<usize>>) -> Result<Value, Failed> {
        let name = call.name.name.value().as_str();
        let name_at = call.name.name.span();
        if call.name.is_namespaced() {
            return self.fail("EXPR_UNKNOWN_FUNCTION", "there are no functions with `::`", name_at, "", "");
        }
        match name {
            "try" => return self.try_call(call, at),
            "can" => return self.can_call(call, at),
            _ => {}
        }
        let (args, places) = match self.arguments(call) {
            Given::All { args, places } => (args, places),
            Given::Unknown(value) => return Ok(value),
            Given::Broken if functions::names().any(|n| n == name) => return Err(Failed),
            // That there is no such function is to be told, too.
            Given::Broken => (Vec::new(), Vec::new()),
        };
        match functions::call(name, &args, self.functions) {
            None => {
                let span = self.span(name_at);
                let mut diagnostic =
                    Diagnostic::error("EXPR_UNKNOWN_FUNCTION", format!("there is no function `{name}`"))
                        .at(span, "");
                if self.suggests() {
                    diagnostic = diagnostic.suggest(name, functions::names().chain(["try", "can"]));
                }
                self.diagnostics.push(diagnostic);
                Err(Failed)
            }
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let place = error.argument.and_then(|i| places.get(i).cloned()).flatten();
                self.fail("EXPR_FUNCTION", error.message, place.or(at), "", "")
            }
        }
    }

    fn arguments(&mut self, call: &FuncCall) -> Given {
        let mut args = Vec::with_capacity(call.args.len());
        let mut places = Vec::with_capacity(call.args.len());
        let mut failed = false;
        let last = call.args.len().saturating_sub(1);
        for (i, arg) in call.args.iter().enumerate() {
            let Ok(value) = self.evaluate(arg) else {
                failed = true;
                continue;
            };
            if call.args.expand_final() && i == last {
                let taint = value.clone();
                match value.data {
                    Data::List(items) | Data::Set(items) => {
                        places.extend(std::iter::repeat_n(arg.span(), items.len()));
                        args.extend(items.iter().map(|v| v.clone().tainted_by([&taint])));
                    }
                    Data::Unknown => return Given::Unknown(Value::unknown().tainted_by([&taint])),
                    _ => {
                        failed = true;
                        let _ = self.fail::<()>(
                            "EXPR_WRONG_TYPE",
                            format!("`...` spreads a list, not a {}", taint.type_name()),
                            arg.span(),
                            format!("this is a {}", taint.type_name()),
                            "",
                        );
                    }
                }
            } else {
                places.push(arg.span());
                args.push(value);
            }
        }
        if failed { Given::Broken } else { Given::All { args, places } }
    }

    /// Evaluates and swallows what went wrong.
    pub(super) fn attempt(&mut self, expr: &Expression) -> Result<Value, Failed> {
        let kept = self.diagnostics.len();
        let bound = self.bindings.len();
        self.attempts += 1;
        let result = self.evaluate(expr);
        self.attempts -= 1;
        if result.is_err() {
            self.diagnostics.truncate(kept);
            self.bindings.truncate(bound);
        }
        result
    }

    fn try_call(&mut self, call: &FuncCall, at: Option<Range<usize>>) -> Result<Value, Failed> {
        for arg in call.args.iter() {
            if let Ok(value) = self.attempt(arg) {
                return Ok(value);
            }
        }
        self.fail(
            "EXPR_FUNCTION",
            "try: none of its arguments can be evaluated",
            at,
            "",
            "end it with a value that is always there: try(a, null)",
        )
    }

    fn can_call(&mut self, call: &FuncCall, at: Option<Range<usize>>) -> Result<Value, Failed> {
        let mut args = call.args.iter();
        match (args.next(), args.next()) {
            (Some(arg), None) => Ok(match self.attempt(arg) {
                Ok(value) if value.is_unknown() => Value::unknown(),
                result => Value::bool(result.is_ok()),
            }),
            _ => self.fail("EXPR_FUNCTION", "can: takes one argument", at, "", ""),
        }
    }
}
