//! `for`: in expressions, and the loop that templates share with them.

use std::collections::BTreeMap;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, ForExpr};

use super::evaluate::{Evaluator, Failed};
use super::value::{Data, MAX_WEIGHT, Value};

impl Evaluator<'_> {
    /// Runs `body` for each element of a collection with its names bound. `None`: the collection is unknown.
    pub(super) fn each(
        &mut self,
        key_var: Option<&str>,
        value_var: &str,
        collection: &Expression,
        mut body: impl FnMut(&mut Self) -> Result<(), Failed>,
    ) -> Result<Option<Value>, Failed> {
        let value = self.evaluate(collection)?;
        let pairs: Box<dyn Iterator<Item = (Value, Value)> + '_> = match &value.data {
            Data::Unknown => return Ok(None),
            Data::List(items) => {
                Box::new(items.iter().enumerate().map(|(i, v)| (Value::int(i as i64), v.clone())))
            }
            Data::Set(items) => Box::new(items.iter().map(|v| (v.clone(), v.clone()))),
            Data::Map(entries) => {
                Box::new(entries.iter().map(|(k, v)| (Value::string(k.as_str()), v.clone())))
            }
            _ => {
                return self.fail(
                    "EXPR_WRONG_TYPE",
                    format!("`for` goes through a list, set or map, not a {}", value.type_name()),
                    collection.span(),
                    format!("this is a {}", value.type_name()),
                    "",
                );
            }
        };
        let bound = self.bindings.len();
        for (k, v) in pairs {
            if let Some(key_var) = key_var {
                self.bindings.push((key_var.to_owned(), k.tainted_by([&value])));
            }
            self.bindings.push((value_var.to_owned(), v.tainted_by([&value])));
            let result = body(self);
            self.bindings.truncate(bound);
            result?;
        }
        Ok(Some(value.clone()))
    }

    pub(super) fn for_expr(&mut self, for_expr: &ForExpr) -> Result<Value, Failed> {
        let intro = &for_expr.intro;
        let key_var = intro.key_var.as_ref().map(|k| k.value().as_str());
        let mut made = Made::default();
        let collection =
            self.each(key_var, intro.value_var.value().as_str(), &intro.collection_expr, |this| {
                this.for_element(for_expr, &mut made)
            })?;
        let Some(collection) = collection else {
            return Ok(Value::unknown());
        };
        let result = if made.unknown {
            Value::unknown()
        } else if for_expr.key_expr.is_none() {
            Value::list(made.list)
        } else if for_expr.grouping {
            Value::map(made.groups.into_iter().map(|(k, v)| (k, Value::list(v))).collect())
        } else {
            Value::map(made.map)
        };
        Ok(result.tainted_by(made.taint.iter().chain([&collection])))
    }

    /// One round of a `for`.
    fn for_element(&mut self, for_expr: &ForExpr, made: &mut Made) -> Result<(), Failed> {
        if let Some(cond) = &for_expr.cond {
            let Some((chosen, value)) = self.condition(&cond.expr)? else {
                made.unknown = true;
                return Ok(());
            };
            if value.is_sensitive() {
                made.taint.push(value);
            }
            if !chosen {
                return Ok(());
            }
        }
        let Some(key_expr) = &for_expr.key_expr else {
            let value = self.evaluate(&for_expr.value_expr)?;
            if self.fits(&value, for_expr, made)? {
                made.list.push(value);
            }
            return Ok(());
        };
        let key_value = self.evaluate(key_expr)?;
        let value = self.evaluate(&for_expr.value_expr)?;
        if !self.fits(&value, for_expr, made)? {
            return Ok(());
        }
        if key_value.is_sensitive() {
            made.taint.push(key_value.clone());
        }
        let Some(key) = self.key(&key_value, key_expr.span())? else {
            made.unknown = true;
            return Ok(());
        };
        if for_expr.grouping {
            made.groups.entry(key).or_default().push(value);
        } else if made.map.insert(key.clone(), value).is_some() {
            let shown = if key_value.is_sensitive() { "…".to_owned() } else { key };
            return self.fail(
                "EXPR_DUPLICATE_KEY",
                format!("the key {shown:?} comes twice"),
                key_expr.span(),
                "",
                "write `...` behind the value to collect all values of a key in a list",
            );
        }
        Ok(())
    }

    /// Whether there is room for one more. Loops inside of loops are stopped on the way: what they make would not
    /// fit before it could be refused whole.
    fn fits(&mut self, value: &Value, for_expr: &ForExpr, made: &mut Made) -> Result<bool, Failed> {
        made.weight = made.weight.saturating_add(value.weight());
        if made.weight <= MAX_WEIGHT {
            return Ok(true);
        }
        if value.is_unknown_deep() && self.diagnostics.has_errors() {
            made.unknown = true;
            return Ok(false);
        }
        self.too_large(for_expr.value_expr.span())
    }
}

/// What a `for` has made so far.
#[derive(Default)]
struct Made {
    list: Vec<Value>,
    map: BTreeMap<String, Value>,
    groups: BTreeMap<String, Vec<Value>>,
    taint: Vec<Value>,
    unknown: bool,
    weight: u64,
}
