//! A block's body against its shape: unknown and missing words, evaluation and decoding of arguments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hcl::edit::Span as _;
use hcl::edit::structure::{Attribute, Block, Body, Structure};
use segue_contract::{Address, AttributeType};
use serde_json::Value as Json;

use super::quantity::{duration_ms, rate_bytes, size_bytes};
use super::shape::{AttributeShape, BlockShape, BodyShape, ShapeType, comes_later};
use crate::lang::{Data, Evaluator, Sensitivity, Value};
use crate::syntax::{Base, Diagnostic, Diagnostics, Span, nearest};

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
        list.into_iter()
            .flatten()
            .filter_map(|w| w.as_str().map(str::to_owned))
            .collect()
    }

    /// A block.
    pub(super) fn block(&self, name: &str) -> Option<&Address> {
        match self.values.get(name).map(|s| &s.held) {
            Some(Held::Block(address)) => Some(address),
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
        self.values
            .get(name)
            .map_or_else(|| self.header.clone(), |s| s.span.clone())
    }

    /// The only nested block of a kind.
    pub(super) fn nested(&self, keyword: &str) -> Option<&Settings> {
        self.blocks
            .iter()
            .find(|b| b.keyword == keyword)
            .map(|b| &b.settings)
    }

    /// The nested blocks of a kind.
    pub(super) fn all<'s>(&'s self, keyword: &'s str) -> impl Iterator<Item = &'s Nested> {
        self.blocks.iter().filter(move |b| b.keyword == keyword)
    }
}

/// A header's place: keyword and labels.
pub(super) fn header_span(block: &Block, base: Base) -> Span {
    let start = block.ident.span();
    let end = block
        .labels
        .last()
        .and_then(|l| l.span())
        .or_else(|| start.clone());
    base.span(start.zip(end).map(|(s, e)| s.start..e.end))
}

/// The parts of a shape that apply to a block with this first label.
pub(super) struct Shapes<'s> {
    parts: Vec<&'s BodyShape>,
    /// How it is called in messages: `migration`, `source "directory"`.
    title: String,
}

impl<'s> Shapes<'s> {
    /// For a block; `None` when its type is not known.
    pub(super) fn of(shape: &'s BlockShape, first_label: Option<&str>) -> Option<Self> {
        let Some(variants) = &shape.variants else {
            return Some(Self {
                parts: vec![&shape.body],
                title: format!("`{}`", shape.keyword),
            });
        };
        let label = first_label?;
        Some(Self {
            parts: vec![variants.get(label)?, &shape.body],
            title: format!("`{} {label:?}`", shape.keyword),
        })
    }

    fn attributes(&self) -> impl Iterator<Item = &'s AttributeShape> + '_ {
        self.parts.iter().flat_map(|p| &p.attributes)
    }

    fn attribute(&self, name: &str) -> Option<&'s AttributeShape> {
        self.parts.iter().find_map(|p| p.attribute(name))
    }

    fn blocks(&self) -> impl Iterator<Item = &'s BlockShape> + '_ {
        self.parts.iter().flat_map(|p| &p.blocks)
    }

    fn block(&self, keyword: &str) -> Option<&'s BlockShape> {
        self.parts.iter().find_map(|p| p.block(keyword))
    }
}

/// Labels of a block: right in number, and its type known. Returns whether they are.
pub(super) fn check_labels(
    block: &Block,
    shape: &BlockShape,
    base: Base,
    diagnostics: &mut Diagnostics,
) -> bool {
    let keyword = &shape.keyword;
    if block.labels.len() != shape.labels.len() {
        let wanted: Vec<String> = shape
            .labels
            .iter()
            .map(|l| format!("\"{}\"", l.to_uppercase()))
            .collect();
        let example = [vec![keyword.clone()], wanted, vec!["{".to_owned()]]
            .concat()
            .join(" ");
        diagnostics.push(
            Diagnostic::error(
                "SPEC_WRONG_LABELS",
                format!(
                    "`{keyword}` has {} labels here, and takes {}",
                    block.labels.len(),
                    shape.labels.len()
                ),
            )
            .at(header_span(block, base), "")
            .help(format!("write {example}")),
        );
        return false;
    }
    let (Some(variants), Some(label)) = (&shape.variants, block.labels.first()) else {
        return true;
    };
    let name = label.as_str();
    if variants.contains_key(name) {
        return true;
    }
    let known: Vec<&str> = variants.keys().map(String::as_str).collect();
    let mut diagnostic = Diagnostic::error(
        "SPEC_UNKNOWN_TYPE",
        format!("there is no {keyword} of type {name:?} in this version"),
    )
    .at(base.span(label.span()), "");
    diagnostic = match nearest(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic,
        None => diagnostic.help(format!("there are: {}", known.join(", "))),
    };
    diagnostics.push(diagnostic);
    false
}

/// Reports unknown, missing and doubled words of a body and the blocks in it. Nothing is evaluated.
pub(super) fn check_words(
    body: &Body,
    shapes: &Shapes<'_>,
    header: &Span,
    base: Base,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                if shapes.attribute(attribute.key.as_str()).is_none() {
                    diagnostics.push(unknown_argument(attribute, shapes, base));
                }
            }
            Structure::Block(block) => {
                let keyword = block.ident.as_str();
                let Some(shape) = shapes.block(keyword) else {
                    diagnostics.push(unknown_block(block, shapes, base));
                    continue;
                };
                let header = header_span(block, base);
                if let Some(first) = seen.get(keyword).filter(|_| !shape.repeat) {
                    diagnostics.push(
                        Diagnostic::error(
                            "SPEC_DUPLICATE_BLOCK",
                            format!("`{keyword}` may stand only once in {}", shapes.title),
                        )
                        .at(header.clone(), "again here")
                        .at(first.clone(), "first here")
                        .help("put all of it into one block"),
                    );
                }
                seen.entry(keyword).or_insert_with(|| header.clone());
                if check_labels(block, shape, base, diagnostics)
                    && let Some(inner) = Shapes::of(shape, block.labels.first().map(|l| l.as_str()))
                {
                    check_words(&block.body, &inner, &header, base, diagnostics);
                }
            }
        }
    }
    // What was only mistyped is not missing, too.
    let known: Vec<&str> = shapes.attributes().map(|a| a.name.as_str()).collect();
    let mistyped: Vec<String> = body
        .attributes()
        .filter(|a| shapes.attribute(a.key.as_str()).is_none())
        .filter_map(|a| nearest(a.key.as_str(), &known))
        .collect();
    let missing = shapes
        .attributes()
        .filter(|a| a.required && !body.has_attribute(&a.name) && !mistyped.contains(&a.name));
    for attribute in missing {
        diagnostics.push(
            Diagnostic::error(
                "SPEC_MISSING_ARGUMENT",
                format!("{} needs `{}`", shapes.title, attribute.name),
            )
            .at(header.clone(), format!("`{}` is missing", attribute.name))
            .help(format!("{}: {}", attribute.name, attribute.doc)),
        );
    }
}

fn unknown_argument(attribute: &Attribute, shapes: &Shapes<'_>, base: Base) -> Diagnostic {
    let name = attribute.key.as_str();
    let summary = format!("{} has no argument `{name}`", shapes.title);
    let diagnostic =
        Diagnostic::error("SPEC_UNKNOWN_ARGUMENT", summary).at(base.span(attribute.key.span()), "");
    if shapes.block(name).is_some() {
        return diagnostic.help(format!("`{name}` is a block: write {name} {{ ... }} without `=`"));
    }
    if comes_later(name) {
        return diagnostic.help(format!("`{name}` is not in this version yet"));
    }
    let known: Vec<&str> = shapes.attributes().map(|a| a.name.as_str()).collect();
    match nearest(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("it takes no arguments"),
        None => diagnostic.help(format!("it takes: {}", known.join(", "))),
    }
}

fn unknown_block(block: &Block, shapes: &Shapes<'_>, base: Base) -> Diagnostic {
    let name = block.ident.as_str();
    let summary = format!("{} has no block `{name}`", shapes.title);
    let diagnostic = Diagnostic::error("SPEC_UNKNOWN_BLOCK", summary).at(header_span(block, base), "");
    if shapes.attribute(name).is_some() {
        return diagnostic.help(format!("`{name}` is an argument: write {name} = ..."));
    }
    if comes_later(name) {
        return diagnostic.help(format!("`{name}` is not in this version yet"));
    }
    let known: Vec<&str> = shapes.blocks().map(|b| b.keyword.as_str()).collect();
    match nearest(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("no blocks stand in it"),
        None => diagnostic.help(format!("it takes: {}", known.join(", "))),
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
    let mut settings = Settings {
        values: BTreeMap::new(),
        blocks: Vec::new(),
        broken: false,
        header,
    };
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
                let Some(inner) = shapes
                    .block(block.ident.as_str())
                    .and_then(|s| Shapes::of(s, label))
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
    let value = evaluator.evaluate(&attribute.value).ok()?;
    let span = evaluator.span(attribute.value.span());
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
                Diagnostic::error(
                    "SPEC_MISSING_ARGUMENT",
                    format!("{} needs `{name}`", shapes.title),
                )
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

struct Problem {
    code: &'static str,
    summary: String,
    help: Option<String>,
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> Problem {
    let help = match (&value.data, wanted) {
        (Data::Number(_) | Data::Bool(_), "a string") => Some("write it in quotes"),
        (Data::Number(_), w) if w.contains("unit") => Some("write it in quotes, with its unit"),
        (Data::String(_), w) if w.starts_with("a list") => Some("write it in brackets: [\"...\"]"),
        (Data::String(_), "a whole number" | "true or false") => Some("write it without quotes"),
        (Data::Block(_), _) => Some("name one of its attributes"),
        _ => None,
    };
    Problem {
        code: "SPEC_WRONG_TYPE",
        summary: format!("`{name}` is {wanted}, not a {}", value.type_name()),
        help: help.map(str::to_owned),
    }
}

fn decode(value: &Value, shape: &AttributeShape, base_dir: &Path) -> Result<Held, Problem> {
    let ty = match &shape.ty {
        ShapeType::Any | ShapeType::Written => return Ok(Held::Any),
        ShapeType::Reference(kinds) => return reference(value, &shape.name, kinds).map(Held::Block),
        ShapeType::References(kinds) => return references(value, &shape.name, kinds).map(Held::Blocks),
        ShapeType::Of(ty) => ty,
    };
    let json = plain(value, ty, &shape.name, base_dir)?;
    if let Some(word) = json
        .as_str()
        .filter(|w| !shape.allowed.is_empty() && !shape.allowed.iter().any(|a| a == w))
    {
        let allowed: Vec<String> = shape.allowed.iter().map(|a| format!("{a:?}")).collect();
        let (summary, help) = if value.is_sensitive() {
            (format!("`{}` has a value that is not allowed", shape.name), None)
        } else {
            (
                format!("`{}` cannot be {word:?}", shape.name),
                nearest(word, &shape.allowed),
            )
        };
        return Err(Problem {
            code: "SPEC_NOT_ALLOWED",
            summary,
            help: Some(match help {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it is one of {}", allowed.join(", ")),
            }),
        });
    }
    if !shape.sensitive {
        return Ok(Held::Plain(json));
    }
    Ok(match &value.sensitive {
        Sensitivity::Env(name) => Held::Env(name.to_string()),
        Sensitivity::Open | Sensitivity::Secret => {
            Held::Secret(json.as_str().map_or_else(|| json.to_string(), str::to_owned))
        }
    })
}

fn plain(value: &Value, ty: &AttributeType, name: &str, base_dir: &Path) -> Result<Json, Problem> {
    let wanted = match ty {
        AttributeType::String => "a string",
        AttributeType::Number => "a whole number",
        AttributeType::Bool => "true or false",
        AttributeType::Duration => "a duration with its unit, \"30s\"",
        AttributeType::Size => "a size with its unit, \"50MiB\"",
        AttributeType::Rate => "a rate with its unit, \"50MiB/s\"",
        AttributeType::Path => "a path",
        AttributeType::Words => "a list of strings",
    };
    let wrong = || wrong_type(name, wanted, value);
    let quantity = |result: Result<u64, String>| {
        result.map(Json::from).map_err(|why| Problem {
            code: "SPEC_BAD_VALUE",
            summary: if value.is_sensitive() {
                format!("`{name}` is not {wanted}")
            } else {
                format!("`{name}`: {why}")
            },
            help: None,
        })
    };
    match (ty, &value.data) {
        (AttributeType::String, Data::String(s)) => Ok(Json::from(&**s)),
        (AttributeType::Bool, Data::Bool(b)) => Ok(Json::from(*b)),
        (AttributeType::Number, Data::Number(n)) => n
            .as_i64()
            .and_then(|i| u64::try_from(i).ok())
            .map(Json::from)
            .ok_or_else(|| Problem {
                code: "SPEC_BAD_VALUE",
                summary: format!("`{name}` is a whole number, zero or more"),
                help: None,
            }),
        (AttributeType::Duration, Data::String(s)) => quantity(duration_ms(s)),
        (AttributeType::Size, Data::String(s)) => quantity(size_bytes(s)),
        (AttributeType::Rate, Data::String(s)) => quantity(rate_bytes(s)),
        (AttributeType::Path, Data::String(s)) if s.is_empty() || s.contains('\0') => Err(Problem {
            code: "SPEC_BAD_VALUE",
            summary: format!("`{name}` is a path, and this is none"),
            help: Some("`.` is the directory of the spec".to_owned()),
        }),
        (AttributeType::Path, Data::String(s)) => {
            let path: PathBuf = base_dir.join(&**s).components().collect();
            Ok(Json::from(path.to_string_lossy()))
        }
        (AttributeType::Words, Data::List(items) | Data::Set(items)) => items
            .iter()
            .map(|item| match &item.data {
                Data::String(s) => Ok(Json::from(&**s)),
                _ => Err(wrong_type(name, "a list of strings, all of them strings", item)),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

fn kinds_text(kinds: &[&str]) -> String {
    format!("a {}", kinds.join(" or "))
}

fn reference(value: &Value, name: &str, kinds: &[&str]) -> Result<Address, Problem> {
    match &value.data {
        Data::Block(block) if kinds.contains(&block.address.kind()) => Ok(block.address.clone()),
        Data::Block(block) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!(
                "`{name}` names {}, and {} is none",
                kinds_text(kinds),
                block.address
            ),
            help: None,
        }),
        Data::Map(entries) if entries.values().any(|v| matches!(v.data, Data::Block(_))) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!(
                "`{name}` names {}, and this is all instances of one with for_each",
                kinds_text(kinds)
            ),
            help: Some(
                "name one, [each.key] or [\"...\"], or take all where a list is wanted: values(...)"
                    .to_owned(),
            ),
        }),
        _ => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!(
                "`{name}` names {}, and this is a {}",
                kinds_text(kinds),
                value.type_name()
            ),
            help: Some(format!("write a reference without quotes: {}", example(kinds))),
        }),
    }
}

fn example(kinds: &[&str]) -> String {
    let kind = kinds.first().copied().unwrap_or("migration");
    match kind {
        "migration" | "cutover" => format!("{kind}.NAME"),
        _ => format!("{kind}.TYPE.NAME"),
    }
}

fn references(value: &Value, name: &str, kinds: &[&str]) -> Result<Vec<Address>, Problem> {
    match &value.data {
        Data::List(items) | Data::Set(items) => {
            items.iter().map(|item| reference(item, name, kinds)).collect()
        }
        Data::Block(_) => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` is a list"),
            help: Some("write it in brackets: [...]".to_owned()),
        }),
        _ => Err(Problem {
            code: "SPEC_WRONG_REFERENCE",
            summary: format!("`{name}` is a list of references, not a {}", value.type_name()),
            help: Some(format!("write [{}]", example(kinds))),
        }),
    }
}
