//! A block's body, evaluated and decoded as its shape says.

use std::collections::BTreeMap;
use std::path::Path;

use hcl::edit::Span as _;
use hcl::edit::expr::Expression;
use hcl::edit::structure::{Attribute, Block, Body, Structure};
use hcl::edit::template::Element;
use segue_contract::Address;
use serde_json::Value as Json;

use super::decode::decode;
use super::shape::{AttributeShape, BlockShape, BodyShape, ShapeType};
use crate::lang::{Condition, Data, Evaluator, Value};
use crate::syntax::{Base, Diagnostic, Source, Span};

const LITERAL_SECRET: &str = "SPEC_LITERAL_SECRET";

/// An argument's value in the form that its reader wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    /// One of the contract's types: milliseconds, bytes, absolute paths.
    Plain(Json),
    /// The value of an environment variable, which is named.
    Env(String),
    /// A secret.
    Secret(String),
    /// A block.
    Block(Address),
    /// Blocks.
    Blocks(Vec<Address>),
    /// A condition that is evaluated again later.
    Condition(Condition),
    /// Any value.
    Any,
}

/// An argument as written.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// For its reader.
    pub(super) held: Held,
    /// As evaluated.
    pub(super) value: Value,
    /// Where the value stands.
    pub(super) span: Span,
}

/// A body, evaluated and checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Arguments that are there, or have a default.
    pub(super) values: BTreeMap<String, Setting>,
    /// Nested blocks in order.
    pub(super) blocks: Vec<Nested>,
    /// Whether something in it was reported: then it is not to be read any further.
    pub(super) broken: bool,
    /// Where the block's header stands.
    pub(super) header: Span,
}

/// A nested block.
#[derive(Clone, Debug)]
pub(super) struct Nested {
    pub(super) keyword: String,
    pub(super) label: Option<String>,
    pub(super) settings: Settings,
}

impl Settings {
    fn plain(&self, name: &str) -> Option<&Json> {
        match self.values.get(name).map(|s| &s.held) {
            Some(Held::Plain(json)) => Some(json),
            _ => None,
        }
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.plain(name).and_then(Json::as_str)
    }

    /// A count, milliseconds, bytes.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.plain(name).and_then(Json::as_u64)
    }

    /// A boolean; absent is false.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.plain(name).and_then(Json::as_bool).unwrap_or(false)
    }

    /// Strings; absent is none.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let list = self.plain(name).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(|w| w.as_str().map(str::to_owned)).collect()
    }

    /// Pairs of strings; absent is none.
    pub(super) fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let map = self.plain(name).and_then(Json::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    /// Whole numbers; `None`: absent.
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<u64>> {
        let list = self.plain(name).and_then(Json::as_array)?;
        Some(list.iter().filter_map(Json::as_u64).collect())
    }

    /// A block.
    pub(super) fn block(&self, name: &str) -> Option<&Address> {
        match self.values.get(name).map(|s| &s.held) {
            Some(Held::Block(address)) => Some(address),
            _ => None,
        }
    }

    /// A condition.
    pub(super) fn condition(&self, name: &str) -> Option<&Condition> {
        match self.values.get(name).map(|s| &s.held) {
            Some(Held::Condition(condition)) => Some(condition),
            _ => None,
        }
    }

    /// Blocks; absent is none.
    pub(super) fn references(&self, name: &str) -> &[Address] {
        match self.values.get(name).map(|s| &s.held) {
            Some(Held::Blocks(addresses)) => addresses,
            _ => &[],
        }
    }

    /// Where an argument stands, or the block's header.
    pub(super) fn place(&self, name: &str) -> Span {
        self.values.get(name).map_or_else(|| self.header.clone(), |s| s.span.clone())
    }

    /// The only nested block of a kind.
    pub(super) fn nested(&self, keyword: &str) -> Option<&Settings> {
        self.blocks.iter().find(|b| b.keyword == keyword).map(|b| &b.settings)
    }

    /// The nested blocks of a kind.
    pub(super) fn all<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = &'s Nested> {
        self.blocks.iter().filter(move |b| b.keyword == keyword)
    }
}

/// A header's place: keyword and labels.
pub(super) fn header_span(block: &Block, base: Base) -> Span {
    let start = block.ident.span();
    let end = block.labels.last().and_then(|l| l.span()).or_else(|| start.clone());
    base.span(start.zip(end).map(|(s, e)| s.start..e.end))
}

/// The parts of a shape that apply to a block with this first label.
pub(super) struct Shapes<'s> {
    parts: Vec<&'s BodyShape>,
    /// How it is called in messages: `migration`, `source "directory"`.
    pub(super) title: String,
}

impl<'s> Shapes<'s> {
    /// For a block; `None` when its type is not known.
    pub(super) fn of(shape: &'s BlockShape, first_label: Option<&str>) -> Option<Self> {
        let Some(variants) = &shape.variants else {
            return Some(Self { parts: vec![&shape.body], title: format!("`{}`", shape.keyword) });
        };
        let label = first_label?;
        Some(Self {
            parts: vec![variants.get(label)?, &shape.body],
            title: format!("`{} {label:?}`", shape.keyword),
        })
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &'s AttributeShape> + '_ {
        self.parts.iter().flat_map(|p| &p.attributes)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'s AttributeShape> {
        self.parts.iter().find_map(|p| p.attribute(name))
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = &'s BlockShape> + '_ {
        self.parts.iter().flat_map(|p| &p.blocks)
    }

    pub(super) fn block(&self, keyword: &str) -> Option<&'s BlockShape> {
        self.parts.iter().find_map(|p| p.block(keyword))
    }
}

/// Evaluates and decodes a body. Words that the shape does not know have been reported and are passed over.
pub(super) fn evaluate_body(
    body: &Body,
    shapes: &Shapes<'_>,
    header: Span,
    evaluator: &mut Evaluator<'_>,
    base_dir: &Path,
) -> Settings {
    let mut settings = Settings { values: BTreeMap::new(), blocks: Vec::new(), broken: false, header };
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                let Some(shape) = shapes.attribute(attribute.key.as_str()) else {
                    settings.broken = true;
                    continue;
                };
                if shape.ty == ShapeType::Written {
                    continue;
                }
                match evaluate_attribute(attribute, shape, shapes, evaluator, base_dir) {
                    Some(Some(setting)) => {
                        settings.values.insert(shape.name.clone(), setting);
                    }
                    Some(None) => {}
                    None => settings.broken = true,
                }
            }
            Structure::Block(block) => {
                let label = block.labels.first().map(|l| l.as_str());
                let Some(inner) = shapes.block(block.ident.as_str()).and_then(|s| Shapes::of(s, label))
                else {
                    settings.broken = true;
                    continue;
                };
                let header = header_span(block, evaluator.base());
                let inner = evaluate_body(&block.body, &inner, header, evaluator, base_dir);
                settings.broken |= inner.broken;
                settings.blocks.push(Nested {
                    keyword: block.ident.as_str().to_owned(),
                    label: label.map(str::to_owned),
                    settings: inner,
                });
            }
        }
    }
    for shape in shapes.attributes() {
        if settings.values.contains_key(&shape.name) {
            continue;
        }
        settings.broken |= shape.required && shape.ty != ShapeType::Written;
        if let Some(default) = &shape.default {
            let setting = Setting {
                held: Held::Plain(default.clone()),
                value: Value::from_json(default),
                span: settings.header.clone(),
            };
            settings.values.insert(shape.name.clone(), setting);
        }
    }
    settings
}

/// `None`: reported. `Some(None)`: null, which is absent.
fn evaluate_attribute(
    attribute: &Attribute,
    shape: &AttributeShape,
    shapes: &Shapes<'_>,
    evaluator: &mut Evaluator<'_>,
    base_dir: &Path,
) -> Option<Option<Setting>> {
    let span = evaluator.span(attribute.value.span());
    if shape.ty == ShapeType::Condition {
        let held = Held::Condition(evaluator.later(&attribute.value).ok()?);
        return Some(Some(Setting { held, value: Value::unknown(), span }));
    }
    let value = evaluator.evaluate(&attribute.value).ok()?;
    let name = &shape.name;
    if value.is_unknown_deep() {
        if !evaluator.diagnostics.has_errors() {
            evaluator.diagnostics.push(
                Diagnostic::error(
                    "SPEC_UNKNOWN_VALUE",
                    format!("`{name}` must be known when the plan is made"),
                )
                .at(span, "this is not known before apply"),
            );
        }
        return None;
    }
    if let Data::Null = value.data {
        if shape.required {
            evaluator.diagnostics.push(
                Diagnostic::error("SPEC_MISSING_ARGUMENT", format!("{} needs `{name}`", shapes.title))
                    .at(span, "this is null")
                    .help(format!("{name}: {}", shape.doc)),
            );
            return None;
        }
        return Some(None);
    }
    if value.shows_secret() && !shape.sensitive {
        evaluator.diagnostics.push(
            Diagnostic::error("SPEC_SENSITIVE_VALUE", format!("`{name}` is shown and stored, and this value is sensitive"))
                .at(span, "a sensitive value")
                .help(
                    "give it to an argument that is kept secret, or let the command read it from its own environment",
                ),
        );
        return None;
    }
    if shape.sensitive && !value.is_sensitive() && is_literal_text(&attribute.value) {
        evaluator.diagnostics.push(literal_secret(name, shapes, span.clone()));
    }
    match decode(&value, shape, base_dir) {
        Ok(held) => Some(Some(Setting { held, value, span })),
        Err(problem) => {
            let mut diagnostic = Diagnostic::error(problem.code, problem.summary).at(span, "");
            diagnostic.help = problem.help;
            evaluator.diagnostics.push(diagnostic);
            None
        }
    }
}

/// Whether a text stands there letter by letter. An empty one is none.
fn is_literal_text(expr: &Expression) -> bool {
    let literal = |element: &Element| match element {
        Element::Literal(_) => true,
        Element::Interpolation(interpolation) => is_literal_text(&interpolation.expr),
        Element::Directive(_) => false,
    };
    match expr {
        Expression::String(text) => !text.value().is_empty(),
        Expression::Parenthesis(inner) => is_literal_text(inner.inner()),
        Expression::StringTemplate(template) => template.iter().all(literal),
        Expression::HeredocTemplate(heredoc) => heredoc.template.iter().all(literal),
        Expression::Conditional(c) => is_literal_text(&c.true_expr) || is_literal_text(&c.false_expr),
        _ => false,
    }
}

/// Its place is blanked in the sources before anybody sees them: [`blank_literal_secrets`].
fn literal_secret(name: &str, shapes: &Shapes<'_>, span: Span) -> Diagnostic {
    Diagnostic::warning(
        LITERAL_SECRET,
        format!("`{name}` of {} is a secret, and its value stands in the spec", shapes.title),
    )
    .at(span, "a literal value, not shown here")
    .help(format!(
        "write {name} = env(\"NAME\") and set NAME where Segue runs, or use a variable with sensitive = true; then change the secret: whoever could read the spec knows it"
    ))
}

/// Takes the letters of literal secrets out of the texts that are shown around problems. Every place stays where
/// it is.
pub(super) fn blank_literal_secrets(diagnostics: &[Diagnostic], sources: &mut [Source]) {
    let spans = diagnostics.iter().filter(|d| d.code == LITERAL_SECRET).filter_map(|d| d.labels.first());
    for Span { file, range } in spans.map(|label| &label.span) {
        let Some(source) = sources.get_mut(*file) else { continue };
        let Some(text) = source.text.get(range.clone()) else { continue };
        let last = text.len().saturating_sub(1);
        let blank: String = text
            .bytes()
            .enumerate()
            .map(|(at, byte)| match byte {
                b'\n' => '\n',
                b'"' if at == 0 || at == last => '"',
                _ => '*',
            })
            .collect();
        source.text.replace_range(range.clone(), &blank);
    }
}
