//! Traversals: `a.b`, `a[0]`, `a.*.b`, `a[*].b`.

use std::ops::Range;

use hcl::edit::Decorated;
use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, Traversal, TraversalOperator};

use super::evaluate::{Evaluator, Failed};
use super::value::{Data, Number, Value};
use crate::syntax::Diagnostic;

/// Splats in one traversal; each nests once more.
const MAX_SPLATS: usize = 16;

impl Evaluator<'_> {
    pub(super) fn traversal(&mut self, traversal: &Traversal) -> Result<Value, Failed> {
        let operators = &traversal.operators;
        let splats = operators
            .iter()
            .filter(|o| {
                matches!(o.value(), TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_))
            })
            .count();
        if splats > MAX_SPLATS {
            return self.fail(
                "EXPR_TOO_DEEP",
                format!("more than {MAX_SPLATS} splats in one expression"),
                traversal.span(),
                "",
                "use `for`, or give a part of it a name in `locals`",
            );
        }
        let (value, consumed) = match &traversal.expr {
            Expression::Variable(root) => {
                let path: Vec<(&str, Option<Range<usize>>)> = operators
                    .iter()
                    .map_while(|o| match o.value() {
                        TraversalOperator::GetAttr(name) => {
                            Some((name.value().as_str(), name.span().or(o.span())))
                        }
                        _ => None,
                    })
                    .collect();
                self.reference(root.value(), traversal.expr.span(), &path)?
            }
            other => (self.evaluate(other)?, 0),
        };
        self.walk(value, &operators[consumed..])
    }

    fn walk(
        &mut self,
        mut value: Value,
        operators: &[Decorated<TraversalOperator>],
    ) -> Result<Value, Failed> {
        for (i, operator) in operators.iter().enumerate() {
            let at = operator.span();
            value = match operator.value() {
                TraversalOperator::GetAttr(name) => {
                    self.attribute(&value, name.value().as_str(), name.span().or(at))?
                }
                TraversalOperator::Index(expr) => {
                    let index = self.evaluate(expr)?;
                    self.index(&value, &index, expr.span().or(at))?
                }
                TraversalOperator::LegacyIndex(index) => {
                    let index = Value::int(i64::try_from(*index.value()).unwrap_or(i64::MAX));
                    self.index(&value, &index, at)?
                }
                TraversalOperator::AttrSplat(_) => {
                    let rest = &operators[i + 1..];
                    let names = rest
                        .iter()
                        .take_while(|o| matches!(o.value(), TraversalOperator::GetAttr(_)))
                        .count();
                    value = self.splat(value, &rest[..names])?;
                    return self.walk(value, &rest[names..]);
                }
                TraversalOperator::FullSplat(_) => return self.splat(value, &operators[i + 1..]),
            };
        }
        Ok(value)
    }

    /// `null` has no elements, what is no list is one element.
    fn splat(&mut self, value: Value, rest: &[Decorated<TraversalOperator>]) -> Result<Value, Failed> {
        let items = match &value.data {
            Data::Unknown => return Ok(value),
            Data::Null => Vec::new(),
            Data::List(items) | Data::Set(items) => items
                .iter()
                .map(|item| self.walk(item.clone().tainted_by([&value]), rest))
                .collect::<Result<_, _>>()?,
            _ => vec![self.walk(value.clone(), rest)?],
        };
        Ok(Value::list(items).tainted_by([&value]))
    }

    pub(super) fn attribute(
        &mut self,
        value: &Value,
        name: &str,
        at: Option<Range<usize>>,
    ) -> Result<Value, Failed> {
        let entries = match &value.data {
            Data::Unknown => return Ok(value.clone()),
            Data::Map(entries) => entries.as_ref(),
            Data::Block(block) => &block.attributes,
            Data::Null => {
                return self.fail(
                    "EXPR_NULL",
                    format!("`.{name}` of null"),
                    at,
                    "what stands before this is null",
                    "use try(), or test for null first",
                );
            }
            _ => {
                return self.fail(
                    "EXPR_WRONG_TYPE",
                    format!("a {} has no attributes", value.type_name()),
                    at,
                    format!("what stands before this is a {}", value.type_name()),
                    "",
                );
            }
        };
        if let Some(found) = entries.get(name) {
            return Ok(found.clone().tainted_by([value]));
        }
        let span = self.span(at);
        let what = match &value.data {
            Data::Block(block) => format!("{} has no attribute `{name}`", block.address),
            _ => format!("there is no key `{name}` here"),
        };
        let mut diagnostic = Diagnostic::error("SPEC_UNKNOWN_REFERENCE", what).at(span, "");
        if !value.is_sensitive() {
            if self.suggests() {
                diagnostic = diagnostic.suggest(name, entries.keys());
            }
            if diagnostic.help.is_none() && entries.values().any(|v| matches!(v.data, Data::Block(_))) {
                let key = entries.keys().next().cloned().unwrap_or_default();
                diagnostic = diagnostic.help(format!("this has for_each: name the instance, [{key:?}]"));
            }
        }
        self.diagnostics.push(diagnostic);
        Err(Failed)
    }

    fn element(
        &mut self,
        list: &Value,
        items: &[Value],
        index: Number,
        at: Option<Range<usize>>,
    ) -> Result<Value, Failed> {
        let found = index.as_i64().and_then(|i| usize::try_from(i).ok()).and_then(|i| items.get(i));
        if let Some(found) = found {
            return Ok(found.clone());
        }
        let has = if list.is_sensitive() { "fewer".to_owned() } else { items.len().to_string() };
        self.fail(
            "EXPR_NO_ELEMENT",
            "there is no such element",
            at,
            format!("the list has {has}, counted from 0"),
            "",
        )
    }

    fn index(&mut self, value: &Value, index: &Value, at: Option<Range<usize>>) -> Result<Value, Failed> {
        let taint = [value, index];
        match (&value.data, &index.data) {
            (Data::Unknown, _) | (_, Data::Unknown) => Ok(Value::unknown().tainted_by(taint)),
            (Data::List(items), Data::Number(n)) => Ok(self.element(value, items, *n, at)?.tainted_by(taint)),
            (Data::Map(_) | Data::Block(_), Data::String(key)) if index.is_sensitive() => {
                let found = match &value.data {
                    Data::Map(entries) => entries.get(&**key),
                    Data::Block(block) => block.attributes.get(&**key),
                    _ => None,
                };
                match found {
                    Some(found) => Ok(found.clone().tainted_by(taint)),
                    None => {
                        self.fail("EXPR_NO_ELEMENT", "there is no such key", at, "this key is sensitive", "")
                    }
                }
            }
            (Data::Map(_) | Data::Block(_), Data::String(key)) => {
                Ok(self.attribute(value, key, at)?.tainted_by(taint))
            }
            (Data::Null, _) => self.fail(
                "EXPR_NULL",
                "an element of null",
                at,
                "what stands before this is null",
                "use try(), or test for null first",
            ),
            (Data::List(_) | Data::Map(_) | Data::Block(_), _) => {
                let wanted = if matches!(value.data, Data::List(_)) { "number" } else { "string" };
                self.fail(
                    "EXPR_WRONG_TYPE",
                    format!("an element of a {} is named by a {wanted}", value.type_name()),
                    at,
                    format!("this is a {}", index.type_name()),
                    "",
                )
            }
            _ => self.fail(
                "EXPR_WRONG_TYPE",
                format!("a {} has no elements that could be named", value.type_name()),
                at,
                "",
                if matches!(value.data, Data::Set(_)) {
                    "turn the set into a list with tolist()"
                } else {
                    ""
                },
            ),
        }
    }
}
