//! Templates: interpolations, `%{ if }`, `%{ for }`, strip markers, heredocs.
//!
//! Strip markers work as Terraform's do: in a heredoc they reach to the end of the neighbouring line, in a
//! quoted string through all white space. The indentation of `<<-` is taken off every line, also of lines
//! inside directives (hcl-edit leaves those), and before strip markers act.

use std::borrow::Cow;
use std::ops::Range;

use hcl::edit::Span as _;
use hcl::edit::expr::Expression;
use hcl::edit::template::{
    Directive, Element, ForDirective, HeredocTemplate, IfDirective, StringTemplate, Strip, Template,
};

use super::evaluate::{Evaluator, Failed};
use super::value::{MAX_WEIGHT, Value};

/// How a template's literal text is read.
#[derive(Clone, Copy)]
enum Text {
    /// Quoted: escapes are resolved by the parser.
    Quoted,
    /// Heredoc.
    Lines,
    /// Indented heredoc: from the source, this much taken off every line.
    Dedented(usize),
}

/// The text so far, and what it depends on.
#[derive(Default)]
struct Rendered {
    text: String,
    unknown: bool,
    taint: Vec<Value>,
}

/// What stands next to a piece of template: whether it strips white space.
#[derive(Clone, Copy, Default)]
struct Neighbours {
    before: bool,
    after: bool,
}

impl Evaluator<'_> {
    pub(super) fn string_template(&mut self, template: &StringTemplate) -> Result<Value, Failed> {
        let elements: Vec<&Element> = template.iter().collect();
        // "${x}" is x itself, whatever its type.
        if let [Element::Interpolation(only)] = elements.as_slice() {
            return self.evaluate(&only.expr);
        }
        self.rendered(&elements, Text::Quoted)
    }

    pub(super) fn heredoc(
        &mut self,
        heredoc: &HeredocTemplate,
        at: Option<Range<usize>>,
    ) -> Result<Value, Failed> {
        let elements: Vec<&Element> = heredoc.template.iter().collect();
        let indented = at.is_some_and(|at| self.text(at).trim_start().starts_with("<<-"));
        let text = if indented {
            let mut lines = Indent { least: None, line_start: true };
            self.measure(&elements, &mut lines);
            Text::Dedented(lines.least.unwrap_or(0))
        } else {
            Text::Lines
        };
        self.rendered(&elements, text)
    }

    fn rendered(&mut self, elements: &[&Element], text: Text) -> Result<Value, Failed> {
        let mut out = Rendered::default();
        self.render(elements, text, Neighbours::default(), &mut out)?;
        let value = if out.unknown { Value::unknown() } else { Value::string(out.text) };
        Ok(value.tainted_by(&out.taint))
    }

    fn render(
        &mut self,
        elements: &[&Element],
        text: Text,
        around: Neighbours,
        out: &mut Rendered,
    ) -> Result<(), Failed> {
        let mut result = Ok(());
        for (i, element) in elements.iter().enumerate() {
            let one = match element {
                Element::Literal(literal) => {
                    let before = i.checked_sub(1).map_or(around.before, |p| strips(elements[p]).after);
                    let after = elements.get(i + 1).map_or(around.after, |n| strips(n).before);
                    let literal = self.literal(literal.value(), literal.span(), text);
                    self.push(stripped(&literal, text, before, after), element.span(), out)
                }
                Element::Interpolation(interpolation) => self.interpolate(&interpolation.expr, out),
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(directive) => self.if_directive(directive, text, out),
                    Directive::For(directive) => self.for_directive(directive, text, out),
                },
            };
            result = result.and(one);
        }
        result
    }

    fn push(&mut self, part: &str, at: Option<Range<usize>>, out: &mut Rendered) -> Result<(), Failed> {
        if (out.text.len() + part.len()) as u64 > MAX_WEIGHT {
            return self.too_large(at);
        }
        out.text.push_str(part);
        Ok(())
    }

    fn interpolate(&mut self, expr: &Expression, out: &mut Rendered) -> Result<(), Failed> {
        let value = self.evaluate(expr)?;
        if value.is_unknown() {
            out.unknown = true;
        } else if let Some(text) = value.to_text() {
            self.push(&text, expr.span(), out)?;
        } else {
            return self.fail(
                "EXPR_WRONG_TYPE",
                format!("a {} cannot be part of a text", value.type_name()),
                expr.span(),
                format!("this is a {}", value.type_name()),
                "use jsonencode(), join(), or an attribute of it",
            );
        }
        if value.is_sensitive() {
            out.taint.push(value);
        }
        Ok(())
    }

    fn if_directive(
        &mut self,
        directive: &IfDirective,
        text: Text,
        out: &mut Rendered,
    ) -> Result<(), Failed> {
        let Some((cond, value)) = self.condition(&directive.if_expr.cond_expr)? else {
            out.unknown = true;
            return Ok(());
        };
        out.taint.push(value);
        let end = start_of(directive.endif_expr.strip);
        let (template, around) = match (&directive.else_expr, cond) {
            (None, false) => return Ok(()),
            (None, true) => (
                &directive.if_expr.template,
                Neighbours { before: end_of(directive.if_expr.strip), after: end },
            ),
            (Some(other), true) => (
                &directive.if_expr.template,
                Neighbours { before: end_of(directive.if_expr.strip), after: start_of(other.strip) },
            ),
            (Some(other), false) => (&other.template, Neighbours { before: end_of(other.strip), after: end }),
        };
        self.render(&elements(template), text, around, out)
    }

    fn for_directive(
        &mut self,
        directive: &ForDirective,
        text: Text,
        out: &mut Rendered,
    ) -> Result<(), Failed> {
        let intro = &directive.for_expr;
        let body = elements(&intro.template);
        let around = Neighbours { before: end_of(intro.strip), after: start_of(directive.endfor_expr.strip) };
        let key = intro.key_var.as_ref().map(|k| k.value().as_str());
        let collection =
            self.each(key, intro.value_var.value().as_str(), &intro.collection_expr, |this| {
                this.render(&body, text, around, out)
            })?;
        match collection {
            Some(collection) => out.taint.push(collection),
            None => out.unknown = true,
        }
        Ok(())
    }

    fn literal<'t>(&self, value: &'t str, span: Option<Range<usize>>, text: Text) -> Cow<'t, str> {
        let Text::Dedented(indent) = text else {
            return Cow::Borrowed(value);
        };
        let Some(span) = span else {
            return Cow::Borrowed(value);
        };
        let raw = self.text(span.clone());
        let mut line_start = self.text(0..span.start).ends_with('\n');
        let mut out = String::with_capacity(raw.len());
        for line in raw.split_inclusive('\n') {
            let spaces = line.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let blank = line.ends_with('\n') && line.trim().is_empty();
            let cut = if line_start && !blank { indent.min(spaces) } else { 0 };
            out.push_str(&line[cut..]);
            line_start = true;
        }
        Cow::Owned(out.replace("$${", "${").replace("%%{", "%{"))
    }

    /// Finds the least indentation of all lines, through directives.
    fn measure(&self, elements_: &[&Element], lines: &mut Indent) {
        for element in elements_ {
            match element {
                Element::Literal(literal) => {
                    let raw = literal.span().map_or("", |span| self.text(span));
                    lines.text(raw);
                }
                Element::Interpolation(_) => lines.other(),
                Element::Directive(directive) => {
                    lines.other();
                    match directive.as_ref() {
                        Directive::If(directive) => {
                            self.measure(&elements(&directive.if_expr.template), lines);
                            lines.other();
                            if let Some(other) = &directive.else_expr {
                                self.measure(&elements(&other.template), lines);
                                lines.other();
                            }
                        }
                        Directive::For(directive) => {
                            self.measure(&elements(&directive.for_expr.template), lines);
                            lines.other();
                        }
                    }
                }
            }
        }
    }
}

/// The least indentation seen so far.
struct Indent {
    least: Option<usize>,
    line_start: bool,
}

impl Indent {
    fn text(&mut self, raw: &str) {
        for line in raw.split_inclusive('\n') {
            let blank = line.ends_with('\n') && line.trim().is_empty();
            if self.line_start && !blank {
                let spaces = line.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
                self.least = Some(self.least.map_or(spaces, |l| l.min(spaces)));
            }
            self.line_start = line.ends_with('\n');
        }
    }

    fn other(&mut self) {
        if self.line_start {
            self.least = Some(0);
        }
        self.line_start = false;
    }
}

fn elements(template: &Template) -> Vec<&Element> {
    template.iter().collect()
}

/// `${~`, `%{~`
fn start_of(strip: Strip) -> bool {
    matches!(strip, Strip::Start | Strip::Both)
}

/// `~}`
fn end_of(strip: Strip) -> bool {
    matches!(strip, Strip::End | Strip::Both)
}

/// Whether an element strips what stands before and after it.
fn strips(element: &Element) -> Neighbours {
    match element {
        Element::Literal(_) => Neighbours::default(),
        Element::Interpolation(i) => Neighbours { before: start_of(i.strip), after: end_of(i.strip) },
        Element::Directive(d) => match d.as_ref() {
            Directive::If(d) => {
                Neighbours { before: start_of(d.if_expr.strip), after: end_of(d.endif_expr.strip) }
            }
            Directive::For(d) => {
                Neighbours { before: start_of(d.for_expr.strip), after: end_of(d.endfor_expr.strip) }
            }
        },
    }
}

fn stripped(literal: &str, text: Text, before: bool, after: bool) -> &str {
    let mut out = literal;
    if before {
        let reach = match text {
            Text::Quoted => out.len(),
            Text::Lines | Text::Dedented(_) => out.find('\n').map_or(out.len(), |n| n + 1),
        };
        let trimmed = out[..reach].trim_start();
        out = &out[reach - trimmed.len()..];
    }
    if after {
        let from = match text {
            Text::Quoted => 0,
            Text::Lines | Text::Dedented(_) => {
                let body = out.strip_suffix('\n').unwrap_or(out);
                body.rfind('\n').map_or(0, |n| n + 1)
            }
        };
        let kept = out[from..].trim_end().len();
        out = &out[..from + kept];
    }
    out
}
