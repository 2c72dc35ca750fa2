//! What the files declare: items sorted by kind, their words checked, duplicates found. Nothing is evaluated.

use std::collections::BTreeMap;

use hcl::edit::Span as _;
use hcl::edit::expr::{Expression, TraversalOperator};
use hcl::edit::structure::{Attribute, Block, Structure};
use segue_contract::Address;

use super::body::{Shapes, header_span};
use super::shape::BlockShape;
use super::table::comes_later;
use super::words::{check_labels, check_words};
use super::world::{World, is_typed};
use crate::lang::Value;
use crate::syntax::{Base, Broken, Diagnostic, Diagnostics, Item, Span};

/// A block as declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared<'i> {
    pub(super) block: &'i Block,
    pub(super) base: Base,
}

impl Declared<'_> {
    pub(super) fn header(&self) -> Span {
        header_span(self.block, self.base)
    }

    /// The labels joined by dots: `old`, `directory.old`.
    pub(super) fn name(&self) -> String {
        let labels: Vec<&str> = self.block.labels.iter().map(|l| l.as_str()).collect();
        labels.join(".")
    }
}

/// A local value as declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local<'i> {
    pub(super) attribute: &'i Attribute,
    pub(super) base: Base,
}

/// All that the files declare.
#[derive(Debug, Default)]
pub(super) struct Declarations<'i> {
    pub(super) settings: Vec<Declared<'i>>,
    pub(super) variables: Vec<Declared<'i>>,
    pub(super) locals: Vec<Local<'i>>,
    pub(super) outputs: Vec<Declared<'i>>,
    pub(super) removed: Vec<(Address, Span)>,
    /// `source`, `target`, `route`, `migration`, `cutover`.
    pub(super) blocks: Vec<Declared<'i>>,
}

/// Sorts items by kind. Declared names go into the world, with unknown values.
pub(super) fn declare<'i>(
    items: &'i [Item],
    shapes: &[BlockShape],
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> Declarations<'i> {
    let mut out = Declarations::default();
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for item in items {
        let parsed = match item {
            Item::Parsed(parsed) => parsed,
            Item::Broken(broken) => {
                declare_broken(broken, world);
                continue;
            }
        };
        let base = parsed.base;
        match &parsed.structure {
            Structure::Attribute(attribute) => diagnostics.push(
                Diagnostic::error(
                    "SPEC_STRAY_ARGUMENT",
                    format!("`{}` stands outside of every block", attribute.key.as_str()),
                )
                .at(base.span(attribute.key.span()), "")
                .help("put it into a block; named values stand in locals { }"),
            ),
            Structure::Block(block) => {
                let Some(shape) = shapes.iter().find(|s| s.keyword == block.ident.as_str()) else {
                    let told = unknown(block, shapes, base, diagnostics);
                    diagnostics.push(told);
                    continue;
                };
                declare_block(&mut out, Declared { block, base }, shape, &mut seen, world, diagnostics);
            }
        }
    }
    out
}

fn unknown(block: &Block, shapes: &[BlockShape], base: Base, told: &Diagnostics) -> Diagnostic {
    let name = block.ident.as_str();
    let diagnostic = Diagnostic::error("SPEC_UNKNOWN_BLOCK", format!("there are no `{name}` blocks"))
        .at(header_span(block, base), "");
    if comes_later(name) {
        return diagnostic.help(format!("`{name}` is not in this version yet"));
    }
    let known: Vec<&str> = shapes.iter().map(|s| s.keyword.as_str()).collect();
    match told.near(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("there are: {}", known.join(", "))),
    }
}

/// What a broken item declares is known by name, so that references to it are not reported, too.
fn declare_broken(broken: &Broken, world: &mut World) {
    match broken.header.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["variable", name] => {
            world.variables.insert((*name).to_owned(), Value::unknown());
        }
        [kind, ty, name] if is_typed(kind) => {
            world.set_block(kind, &format!("{ty}.{name}"), Value::unknown());
        }
        [kind @ ("migration" | "cutover"), name] => world.set_block(kind, name, Value::unknown()),
        _ => {}
    }
}

fn declare_block<'i>(
    out: &mut Declarations<'i>,
    declared: Declared<'i>,
    shape: &BlockShape,
    seen: &mut BTreeMap<String, Span>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) {
    let Declared { block, base } = declared;
    let keyword = shape.keyword.as_str();
    let header = declared.header();
    let labelled = check_labels(block, shape, base, diagnostics);
    if block.labels.len() == shape.labels.len() && !declare_name(declared, shape, seen, world, diagnostics) {
        return;
    }
    if keyword == "locals" {
        declare_locals(out, declared, seen, world, diagnostics);
        return;
    }
    let first_label = block.labels.first().map(|l| l.as_str());
    let Some(shapes) = Shapes::of(shape, first_label).filter(|_| labelled) else {
        return;
    };
    check_words(&block.body, &shapes, &header, base, diagnostics);
    match keyword {
        "segue" => out.settings.push(declared),
        "variable" => out.variables.push(declared),
        "output" => out.outputs.push(declared),
        "removed" => declare_removed(out, declared, diagnostics),
        _ => out.blocks.push(declared),
    }
}

/// Checks a block's name and makes it known; false: there is one of that name, which was reported.
fn declare_name(
    declared: Declared<'_>,
    shape: &BlockShape,
    seen: &mut BTreeMap<String, Span>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> bool {
    let Declared { block, base } = declared;
    let (keyword, header) = (shape.keyword.as_str(), declared.header());
    for (label, what) in block.labels.iter().zip(&shape.labels) {
        if *what == "name" && !is_name(label.as_str()) {
            diagnostics.push(
                Diagnostic::error("SPEC_BAD_NAME", format!("{:?} cannot be a name", label.as_str()))
                    .at(base.span(label.span()), "")
                    .help("names consist of letters, digits, `_` and `-`, and start with a letter"),
            );
        }
    }
    if !shape.labels.is_empty() && keyword != "segue" {
        let address = format!("{keyword}.{}", declared.name());
        if let Some(first) = seen.get(&address) {
            diagnostics.push(
                Diagnostic::error("SPEC_DUPLICATE", format!("{address} is declared twice"))
                    .at(header, "again here")
                    .at(first.clone(), "first here")
                    .help("rename one of them"),
            );
            return false;
        }
        seen.insert(address, header);
    }
    match keyword {
        "variable" => {
            world.variables.insert(declared.name(), Value::unknown());
        }
        "source" | "target" | "route" | "migration" | "cutover" => {
            world.set_block(keyword, &declared.name(), Value::unknown());
        }
        _ => {}
    }
    true
}

/// `removed { from = ... }`
fn declare_removed(out: &mut Declarations<'_>, declared: Declared<'_>, diagnostics: &mut Diagnostics) {
    let Declared { block, base } = declared;
    if let Some(from) = block.body.get_attribute("from") {
        match written_address(&from.value) {
            Some(address) => out.removed.push((address, base.span(from.value.span()))),
            None => diagnostics.push(
                Diagnostic::error("SPEC_BAD_ADDRESS", "`from` is the address of a block")
                    .at(base.span(from.value.span()), "")
                    .help("write it without quotes: migration.site, or migration.site[\"eu\"]"),
            ),
        }
    }
}

fn declare_locals<'i>(
    out: &mut Declarations<'i>,
    declared: Declared<'i>,
    seen: &mut BTreeMap<String, Span>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) {
    let base = declared.base;
    for structure in &declared.block.body {
        match structure {
            Structure::Attribute(attribute) => {
                let name = attribute.key.as_str();
                let span = base.span(attribute.key.span());
                if let Some(first) = seen.insert(format!("local.{name}"), span.clone()) {
                    diagnostics.push(
                        Diagnostic::error("SPEC_DUPLICATE", format!("local.{name} is declared twice"))
                            .at(span, "again here")
                            .at(first, "first here")
                            .help("rename one of them"),
                    );
                    continue;
                }
                world.locals.insert(name.to_owned(), Value::unknown());
                out.locals.push(Local { attribute, base });
            }
            Structure::Block(block) => diagnostics.push(
                Diagnostic::error("SPEC_UNKNOWN_BLOCK", "no blocks stand in `locals`")
                    .at(header_span(block, base), "")
                    .help("write a value: name = ..."),
            ),
        }
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// `migration.site["eu"]` as an address, without evaluating it.
fn written_address(expr: &Expression) -> Option<Address> {
    let Expression::Traversal(traversal) = expr else {
        return None;
    };
    let Expression::Variable(root) = &traversal.expr else {
        return None;
    };
    let mut words = vec![root.value().as_str()];
    let mut key = None;
    for operator in &traversal.operators {
        match operator.value() {
            TraversalOperator::GetAttr(name) if key.is_none() => words.push(name.value().as_str()),
            TraversalOperator::Index(Expression::String(text)) if key.is_none() => {
                key = Some(text.value().as_str());
            }
            _ => return None,
        }
    }
    let wanted = match words[0] {
        kind if is_typed(kind) => 3,
        "migration" | "cutover" => 2,
        _ => return None,
    };
    (words.len() == wanted).then(|| Address::block(&words, key))
}
