//! `for`: in expressions, and the loop that templates share with them.

use std::collections::BTreeMap;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, ForExpr};

use super::evaluate::{Evaluator, Failed};
use super::value::{Data, Value};

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
        let mut list = Vec::new();
        let mut map: BTreeMap<String, Value> = BTreeMap::new();
        let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut taint = Vec::new();
        let mut unknown = false;
        let collection =
            self.each(key_var, intro.value_var.value().as_str(), &intro.collection_expr, |this| {
                if let Some(cond) = &for_expr.cond {
                    match this.condition(&cond.expr)? {
                        None => {
                            unknown = true;
                            return Ok(());
                        }
                        Some((chosen, value)) => {
                            if value.is_sensitive() {
                                taint.push(value);
                            }
                            if !chosen {
                                return Ok(());
                            }
                        }
                    }
                }
                let Some(key_expr) = &for_expr.key_expr else {
                    list.push(this.evaluate(&for_expr.value_expr)?);
                    return Ok(());
                };
                let key_value = this.evaluate(key_expr)?;
                let value = this.evaluate(&for_expr.value_expr)?;
                if key_value.is_sensitive() {
                    taint.push(key_value.clone());
                }
                let Some(key) = this.key(&key_value, key_expr.span())? else {
                    unknown = true;
                    return Ok(());
                };
                if for_expr.grouping {
                    groups.entry(key).or_default().push(value);
                } else if map.insert(key.clone(), value).is_some() {
                    let shown = if key_value.is_sensitive() { "…".to_owned() } else { key };
                    return this.fail(
                        "EXPR_DUPLICATE_KEY",
                        format!("the key {shown:?} comes twice"),
                        key_expr.span(),
                        "",
                        "write `...` behind the value to collect all values of a key in a list",
                    );
                }
                Ok(())
            })?;
        let Some(collection) = collection else {
            return Ok(Value::unknown());
        };
        let result = if unknown {
            Value::unknown()
        } else if for_expr.key_expr.is_none() {
            Value::list(list)
        } else if for_expr.grouping {
            Value::map(groups.into_iter().map(|(k, v)| (k, Value::list(v))).collect())
        } else {
            Value::map(map)
        };
        Ok(result.tainted_by(taint.iter().chain([&collection])))
    }
}
