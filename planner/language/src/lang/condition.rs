//! Conditions over facts that are known only while a cutover waits: checked when the spec is loaded, with what is
//! `observed` unknown; kept with the values of everything else that they name; evaluated again when it is known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, TraversalOperator};
use hcl::edit::parser::parse_body;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::evaluate::{Evaluator, Failed};
use super::functions::FunctionContext;
use super::references::{references_of_expression, visit_expression};
use super::scope::{Resolution, Scope};
use super::value::{BlockValue, Data, Value};
use crate::syntax::{Base, Diagnostics, Source, on_deep_stack};

/// The name of what is known only at run time.
const OBSERVED: &str = "observed";
/// What `observed` holds, so that a mistyped name is found when the spec is loaded.
const OBSERVED_PARTS: [&str; 5] = ["units", "source", "target", "now", "forecast_ms"];
/// These look at the machine that evaluates them: what they give belongs into the plan, so into `locals`.
const OUTSIDE: [&str; 4] = ["env", "file", "fileexists", "templatefile"];
/// A value longer than this is not evidence, but noise.
const SHOWN_CHARS_MAX: usize = 80;

/// An expression, and the values of everything that it names besides `observed`. Holds nothing sensitive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The expression, as it stands in the spec.
    pub text: String,
    /// Values of what it refers to: `var.limit`, `local.days.max`.
    pub known: BTreeMap<String, Json>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// Something that it depends on is not known yet.
    Unknown,
}

/// A condition as judged, with the observed values that it looked at: `observed.forecast_ms = 120`.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Whether it holds.
    pub verdict: Verdict,
    /// What it was judged by.
    pub by: Vec<(String, Json)>,
}

impl Judged {
    /// What it was judged by, for people.
    pub fn evidence(&self) -> String {
        let shown = self.by.iter().map(|(name, value)| {
            let mut text = value.to_string();
            if text.chars().count() > SHOWN_CHARS_MAX {
                text = text.chars().take(SHOWN_CHARS_MAX).chain("...".chars()).collect();
            }
            format!("{name} = {text}")
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// Which endpoints a condition has to be told about: asking one costs it something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LooksAt {
    /// The sources.
    pub source: bool,
    /// The targets.
    pub target: bool,
}

impl Condition {
    /// The endpoints that it names; both where a name is computed, as in `observed[local.side]`.
    pub fn looks_at(&self) -> LooksAt {
        on_deep_stack(|| {
            let body = parse_body(&format!("condition = {}\n", self.text));
            let expr = body.as_ref().ok().and_then(|body| body.get_attribute("condition"));
            expr.map(|attribute| endpoints_of(&attribute.value)).unwrap_or_default()
        })
    }

    /// Judges it by what was observed.
    ///
    /// # Errors
    /// It cannot be evaluated, or is neither true nor false: what is wrong, a sentence.
    pub fn judge(&self, observed: &Value) -> Result<Judged, String> {
        on_deep_stack(|| self.judge_here(observed))
    }

    fn judge_here(&self, observed: &Value) -> Result<Judged, String> {
        let text = format!("condition = {}\n", self.text);
        let body = parse_body(&text).map_err(|e| format!("the condition cannot be read: {e}"))?;
        let Some(attribute) = body.get_attribute("condition") else {
            return Err("the condition cannot be read".to_owned());
        };
        let known = Known(self.known.iter().map(|(k, v)| (k.clone(), Value::from_json(v))).collect());
        let functions = FunctionContext { base_dir: Path::new("/"), env: &|_| None };
        let sources = [Source { name: "condition".to_owned(), path: Default::default(), text }];
        let mut diagnostics = Diagnostics::default();
        let base = Base { file: 0, offset: 0 };
        let mut evaluator = Evaluator::new(&known, &functions, &sources, &mut diagnostics, base);
        evaluator.bind(OBSERVED, observed.clone());
        let result = evaluator.condition(&attribute.value);
        let by = evaluator.looked_at(&attribute.value);
        match result {
            Ok(Some((true, _))) => Ok(Judged { verdict: Verdict::Holds, by }),
            Ok(Some((false, _))) => Ok(Judged { verdict: Verdict::Fails, by }),
            Ok(None) => Ok(Judged { verdict: Verdict::Unknown, by }),
            Err(Failed) => {
                let told: Vec<String> = diagnostics
                    .into_sorted()
                    .into_iter()
                    .map(|d| match d.help {
                        Some(help) => format!("{} ({help})", d.summary),
                        None => d.summary,
                    })
                    .collect();
                Err(told.join("; "))
            }
        }
    }
}

/// The bytes of a unit are the source's answer, too.
fn endpoints_of(expr: &Expression) -> LooksAt {
    let mut found = LooksAt::default();
    let (mut units, mut bytes) = (false, false);
    visit_expression(expr, &mut |inner, bound| {
        let is_observed = |name: &str| name == OBSERVED && !bound.iter().any(|b| b == OBSERVED);
        match inner {
            Expression::Variable(name) if is_observed(name.value().as_str()) => {
                found = LooksAt { source: true, target: true };
            }
            Expression::Traversal(traversal) => {
                let mut steps = traversal.operators.iter().map(|operator| named_by(operator.value()));
                bytes |= steps.clone().any(|name| name.is_none_or(|name| name == "bytes"));
                let Expression::Variable(root) = &traversal.expr else { return };
                if !is_observed(root.value().as_str()) {
                    return;
                }
                match steps.next().flatten() {
                    Some("source") => found.source = true,
                    Some("target") => found.target = true,
                    Some("units") => units = true,
                    Some(_) => {}
                    None => found = LooksAt { source: true, target: true },
                }
            }
            _ => {}
        }
    });
    found.source |= units && bytes;
    found
}

/// The name that a step of a traversal has; `None`: it is computed, or there are several.
fn named_by(operator: &TraversalOperator) -> Option<&str> {
    match operator {
        TraversalOperator::GetAttr(name) => Some(name.value().as_str()),
        TraversalOperator::Index(Expression::String(name)) => Some(name.value().as_str()),
        _ => None,
    }
}

/// The names that a condition was kept with.
struct Known(BTreeMap<String, Value>);

impl Scope for Known {
    fn resolve(&self, root: &str, path: &[&str], _suggests: bool) -> Resolution {
        for taken in (0..=path.len()).rev() {
            let name = [&[root], &path[..taken]].concat().join(".");
            if let Some(value) = self.0.get(&name) {
                return Resolution::Found { value: value.clone(), consumed: taken };
            }
        }
        Resolution::Missing {
            part: 0,
            summary: format!("`{root}` was not kept with the condition"),
            candidates: Vec::new(),
            help: Some("plan again".to_owned()),
        }
    }
}

impl Evaluator<'_> {
    /// Checks a condition as far as it can be without what is observed, and keeps what it refers to.
    ///
    /// # Errors
    /// [`Failed`], when problems were reported.
    pub(crate) fn later(&mut self, expr: &Expression) -> Result<Condition, Failed> {
        let parts = OBSERVED_PARTS.iter().map(|part| ((*part).to_owned(), Value::unknown()));
        let bound = self.bindings.len();
        self.bind(OBSERVED, Value::map(parts.collect()));
        let result = self.checked(expr);
        self.bindings.truncate(bound);
        result
    }

    fn checked(&mut self, expr: &Expression) -> Result<Condition, Failed> {
        let secret = "what a condition refers to is kept in the plan, and this is sensitive";
        let advice = "compare it in `locals`, or let a gate \"command\" look at it";
        let mut outside: Option<(String, Option<Range<usize>>)> = None;
        visit_expression(expr, &mut |inner, _| {
            if let Expression::FuncCall(call) = inner {
                let name = call.name.name.value().as_str();
                if OUTSIDE.contains(&name) {
                    outside = Some((name.to_owned(), inner.span()));
                }
            }
        });
        if let Some((name, at)) = outside {
            let what = format!("`{name}()` cannot stand in a condition that is evaluated again later");
            let help = "compute it in `locals`: its value is then part of the plan";
            return self.fail("SPEC_BAD_VALUE", what, at, "", help);
        }
        if let Some((_, value)) = self.condition(expr)?
            && value.is_sensitive()
        {
            return self.fail("SPEC_SENSITIVE_VALUE", secret, expr.span(), "a sensitive value", advice);
        }
        let mut references = Vec::new();
        references_of_expression(expr, &mut references);
        let mut known = BTreeMap::new();
        for reference in references.iter().filter(|r| r.root != OBSERVED) {
            let (name, value) = self.kept(&reference.root, &reference.path, reference.span.as_ref())?;
            if value.shows_secret() {
                let at = reference.span.clone();
                return self.fail("SPEC_SENSITIVE_VALUE", secret, at, "a sensitive value", advice);
            }
            let Ok(json) = value.to_json() else {
                return self.too_large(reference.span.clone());
            };
            known.insert(name, json);
        }
        let text = expr.span().map(|at| self.text(at).trim().to_owned()).unwrap_or_default();
        Ok(Condition { text, known })
    }

    /// The value of a reference, as far as its names lead: what comes after is looked for when it is evaluated again.
    fn kept(
        &mut self,
        root: &str,
        path: &[String],
        at: Option<&Range<usize>>,
    ) -> Result<(String, Value), Failed> {
        let at = || at.cloned();
        let names: Vec<(&str, Option<Range<usize>>)> =
            path.iter().map(|name| (name.as_str(), at())).collect();
        let root_name = hcl::edit::Ident::new(root);
        let (mut value, mut taken) = self.reference(&root_name, at(), &names)?;
        for name in &path[taken.min(path.len())..] {
            let told = self.diagnostics.len();
            match self.attribute(&value, name, at()) {
                Ok(inner) => value = inner,
                // `try()` may have asked for what is not there.
                Err(Failed) => {
                    self.diagnostics.truncate(told);
                    break;
                }
            }
            taken += 1;
        }
        let name = std::iter::once(root).chain(path[..taken].iter().map(String::as_str));
        let name = name.collect::<Vec<_>>().join(".");
        Ok((name, open_block(value)))
    }

    /// The observed values that an expression names, as far as they are known.
    fn looked_at(&mut self, expr: &Expression) -> Vec<(String, Json)> {
        let mut named: Vec<Expression> = Vec::new();
        visit_expression(expr, &mut |inner, bound| {
            let Expression::Traversal(traversal) = inner else { return };
            let Expression::Variable(root) = &traversal.expr else { return };
            let literal = traversal.operators.iter().all(|o| match o.value() {
                TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_) => true,
                TraversalOperator::Index(index) => {
                    matches!(index, Expression::String(_) | Expression::Number(_))
                }
                TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => false,
            });
            if literal && root.value().as_str() == OBSERVED && !bound.iter().any(|b| b == OBSERVED) {
                named.push(inner.clone());
            }
        });
        let mut found = Vec::new();
        for expr in &named {
            let name = expr.span().map(|at| self.text(at).trim().to_owned()).unwrap_or_default();
            if let Ok(value) = self.attempt(expr)
                && !value.is_unknown_deep()
                && !found.iter().any(|(known, _)| *known == name)
                && let Ok(json) = value.to_json()
            {
                found.push((name, json));
            }
        }
        found
    }
}

/// A block is kept by its address; its attributes are kept one by one, where they are named.
fn open_block(value: Value) -> Value {
    match &value.data {
        Data::Block(block) => {
            let BlockValue { address, .. } = block.as_ref();
            Value::string(address.as_str())
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_that_a_condition_looks_at_are_told_by_its_names_and_not_by_its_text() {
        let both = LooksAt { source: true, target: true };
        let source = LooksAt { source: true, target: false };
        let target = LooksAt { source: false, target: true };
        let none = LooksAt::default();
        for (text, wanted) in [
            ("observed[local.side][\"migration.site\"].exists", both),
            ("length([for s in [\"source\"] : 1 if observed[s][\"migration.site\"].exists]) == 1", both),
            ("observed == null", both),
            ("observed.source[\"migration.site\"].records > 0", source),
            ("observed[\"target\"][\"migration.site\"].exists", target),
            ("observed.units[\"migration.target\"][\"source\"].records > 0 && \"bytes\" != \"target\"", none),
            ("observed.units[\"migration.site\"][\"tree\"].bytes > 0", source),
            ("length([for m in observed.units : 1 if m[\"tree\"].bytes > 0]) == 0", source),
            ("observed.forecast_ms < 100 && observed.now != local.bytes", none),
            ("length([for observed in local.lists : 1 if observed.source]) == 0", none),
        ] {
            let condition = Condition { text: text.to_owned(), known: BTreeMap::new() };
            assert_eq!(condition.looks_at(), wanted, "{text}");
        }
    }
}
