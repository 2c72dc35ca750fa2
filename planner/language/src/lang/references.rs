//! Which names an expression refers to, without evaluating it: the edges of the dependency graph. A walk of
//! our own, because hcl-edit's visitor skips the collection of `%{ for }`.

use std::ops::Range;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, ObjectKey, TraversalOperator};
use hcl::edit::structure::{Body, Structure};
use hcl::edit::template::{Directive, Element};

/// One reference: `source.directory.old.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `source`
    pub(crate) root: String,
    /// `directory`, `old`, `path`: the names that follow, up to the first index or splat.
    pub(crate) path: Vec<String>,
    /// Where, in the item's text.
    pub(crate) span: Option<Range<usize>>,
}

/// Every reference in a block's body and the blocks inside.
pub(crate) fn references_of_body(body: &Body, found: &mut Vec<Reference>) {
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => references_of_expression(&attribute.value, found),
            Structure::Block(block) => references_of_body(&block.body, found),
        }
    }
}

/// Every reference in an expression.
pub(crate) fn references_of_expression(expr: &Expression, found: &mut Vec<Reference>) {
    Walk { bound: Vec::new(), found, visit: &mut |_, _| {} }.expression(expr);
}

/// What is called with an expression, and with the names that are bound around it.
type Visit<'f> = &'f mut dyn FnMut(&Expression, &[String]);

/// Shows an expression and every one inside it, with the names that `for` binds there.
pub(crate) fn visit_expression(expr: &Expression, visit: Visit<'_>) {
    Walk { bound: Vec::new(), found: &mut Vec::new(), visit }.expression(expr);
}

struct Walk<'f> {
    bound: Vec<String>,
    found: &'f mut Vec<Reference>,
    visit: Visit<'f>,
}

impl Walk<'_> {
    fn expression(&mut self, expr: &Expression) {
        (self.visit)(expr, &self.bound);
        match expr {
            Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) | Expression::String(_) => {}
            Expression::Array(array) => array.iter().for_each(|e| self.expression(e)),
            Expression::Object(object) => {
                for (key, value) in object.iter() {
                    match key {
                        ObjectKey::Ident(_) | ObjectKey::Expression(Expression::Variable(_)) => {}
                        ObjectKey::Expression(key) => self.expression(key),
                    }
                    self.expression(value.expr());
                }
            }
            Expression::StringTemplate(template) => template.iter().for_each(|e| self.element(e)),
            Expression::HeredocTemplate(heredoc) => heredoc.template.iter().for_each(|e| self.element(e)),
            Expression::Parenthesis(inner) => self.expression(inner.inner()),
            Expression::Variable(name) => self.name(name.value().as_str(), Vec::new(), expr.span()),
            Expression::Conditional(c) => {
                self.expression(&c.cond_expr);
                self.expression(&c.true_expr);
                self.expression(&c.false_expr);
            }
            Expression::FuncCall(call) => call.args.iter().for_each(|e| self.expression(e)),
            Expression::Traversal(traversal) => {
                if let Expression::Variable(root) = &traversal.expr {
                    let path = traversal.operators.iter().map_while(|o| match o.value() {
                        TraversalOperator::GetAttr(name) => Some(name.value().as_str().to_owned()),
                        _ => None,
                    });
                    self.name(root.value().as_str(), path.collect(), expr.span());
                } else {
                    self.expression(&traversal.expr);
                }
                for operator in &traversal.operators {
                    if let TraversalOperator::Index(index) = operator.value() {
                        self.expression(index);
                    }
                }
            }
            Expression::UnaryOp(op) => self.expression(&op.expr),
            Expression::BinaryOp(op) => {
                self.expression(&op.lhs_expr);
                self.expression(&op.rhs_expr);
            }
            Expression::ForExpr(f) => {
                let key = f.intro.key_var.as_ref().map(|k| k.value().as_str());
                self.expression(&f.intro.collection_expr);
                self.binding(key, f.intro.value_var.value().as_str(), |this| {
                    f.key_expr.iter().for_each(|e| this.expression(e));
                    this.expression(&f.value_expr);
                    f.cond.iter().for_each(|c| this.expression(&c.expr));
                });
            }
        }
    }

    fn element(&mut self, element: &Element) {
        match element {
            Element::Literal(_) => {}
            Element::Interpolation(i) => self.expression(&i.expr),
            Element::Directive(directive) => match directive.as_ref() {
                Directive::If(d) => {
                    self.expression(&d.if_expr.cond_expr);
                    d.if_expr.template.iter().for_each(|e| self.element(e));
                    if let Some(other) = &d.else_expr {
                        other.template.iter().for_each(|e| self.element(e));
                    }
                }
                Directive::For(d) => {
                    self.expression(&d.for_expr.collection_expr);
                    let key = d.for_expr.key_var.as_ref().map(|k| k.value().as_str());
                    self.binding(key, d.for_expr.value_var.value().as_str(), |this| {
                        d.for_expr.template.iter().for_each(|e| this.element(e));
                    });
                }
            },
        }
    }

    fn binding(&mut self, key: Option<&str>, value: &str, inside: impl FnOnce(&mut Self)) {
        let bound = self.bound.len();
        self.bound.extend(key.map(str::to_owned));
        self.bound.push(value.to_owned());
        inside(self);
        self.bound.truncate(bound);
    }

    fn name(&mut self, root: &str, path: Vec<String>, span: Option<Range<usize>>) {
        if !self.bound.iter().any(|b| b == root) {
            self.found.push(Reference { root: root.to_owned(), path, span });
        }
    }
}
