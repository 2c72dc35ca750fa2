//! The words of a block against its shape: labels, unknown, missing and doubled arguments and blocks. Nothing is
//! evaluated here.

use std::collections::BTreeMap;

use hcl::edit::Span as _;
use hcl::edit::structure::{Attribute, Block, Body, Structure};

use super::body::{Shapes, header_span};
use super::shape::BlockShape;
use super::table::comes_later;
use crate::syntax::{Base, Diagnostic, Diagnostics, Span, nearest};

/// So many unknown arguments of one body are looked at for what they were meant to be.
const MAX_MISTYPED: usize = 50;

/// Labels of a block: right in number, and its type known. Returns whether they are.
pub(super) fn check_labels(
    block: &Block,
    shape: &BlockShape,
    base: Base,
    diagnostics: &mut Diagnostics,
) -> bool {
    let keyword = &shape.keyword;
    if block.labels.len() != shape.labels.len() {
        let wanted: Vec<String> = shape.labels.iter().map(|l| format!("\"{}\"", l.to_uppercase())).collect();
        let example = [vec![keyword.clone()], wanted, vec!["{".to_owned()]].concat().join(" ");
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
    diagnostic = match diagnostics.near(name, &known) {
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
                    let told = unknown_argument(attribute, shapes, base, diagnostics);
                    diagnostics.push(told);
                }
            }
            Structure::Block(block) => {
                let keyword = block.ident.as_str();
                let Some(shape) = shapes.block(keyword) else {
                    let told = unknown_block(block, shapes, base, diagnostics);
                    diagnostics.push(told);
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
    check_missing(body, shapes, header, diagnostics);
}

/// Reports arguments that a body needs and has not; what was only mistyped is not missing, too.
fn check_missing(body: &Body, shapes: &Shapes<'_>, header: &Span, diagnostics: &mut Diagnostics) {
    let known: Vec<&str> = shapes.attributes().map(|a| a.name.as_str()).collect();
    let mistyped: Vec<String> = body
        .attributes()
        .filter(|a| shapes.attribute(a.key.as_str()).is_none())
        .take(MAX_MISTYPED)
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

fn unknown_argument(
    attribute: &Attribute,
    shapes: &Shapes<'_>,
    base: Base,
    told: &Diagnostics,
) -> Diagnostic {
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
    match told.near(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("it takes no arguments"),
        None => diagnostic.help(format!("it takes: {}", known.join(", "))),
    }
}

fn unknown_block(block: &Block, shapes: &Shapes<'_>, base: Base, told: &Diagnostics) -> Diagnostic {
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
    match told.near(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic.help("no blocks stand in it"),
        None => diagnostic.help(format!("it takes: {}", known.join(", "))),
    }
}
