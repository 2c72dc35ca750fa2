//! Variables: their declarations, and the values given by `--var`, `--var-file`, `SEGUE_VAR_name`.

use std::collections::BTreeMap;

use hcl::edit::Span as _;
use hcl::edit::expr::Expression;
use hcl::edit::structure::Structure;

use super::body::{Shapes, evaluate_body, header_span};
use super::declare::Declared;
use super::load::{SpecInput, Variables};
use super::shape::BlockShape;
use super::world::{Nothing, World};
use crate::lang::{Data, Evaluator, FunctionContext, Sensitivity, Type, Value, parse_type};
use crate::syntax::{Base, Diagnostic, Diagnostics, Item, Source, Span};

/// Environment variables that give values to variables start so.
const ENV_PREFIX: &str = "SEGUE_VAR_";

/// What evaluation of variables needs.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) shape: &'a BlockShape,
    pub(super) sources: &'a [Source],
    pub(super) functions: &'a FunctionContext<'a>,
}

/// A value that came from outside.
struct Given {
    value: Raw,
    /// `--var url`, `SEGUE_VAR_url`, a file's name.
    from: String,
    span: Option<Span>,
}

enum Raw {
    /// Text of a command line or environment.
    Text(String),
    /// From a file; `None`: it could not be evaluated, and was reported.
    Value(Option<Value>),
}

struct Variable<'i> {
    declared: Declared<'i>,
    name: String,
    ty: Type,
    default: Option<Value>,
    sensitive: bool,
    broken: bool,
}

/// Evaluates all variables into the world and checks their validations.
pub(super) fn resolve(
    input: &SpecInput,
    var_files: &[(usize, Vec<Item>)],
    declared: &[Declared<'_>],
    setting: Setting<'_>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> Variables {
    let variables: Vec<Variable<'_>> = declared.iter().map(|d| read(*d, setting, diagnostics)).collect();
    let known: Vec<String> = world.variables.keys().cloned().collect();
    let given = collect(input, var_files, &known, setting, diagnostics);
    let mut told = Variables::default();
    for variable in &variables {
        let value = value(variable, given.get(&variable.name), setting, diagnostics);
        // What could not be read may hold a secret, too.
        if variable.sensitive || variable.broken || value.as_ref().is_none_or(Value::shows_secret) {
            told.secret.insert(variable.name.clone());
        } else if given.contains_key(&variable.name)
            && let Some(json) = value.as_ref().and_then(|value| value.to_json().ok())
        {
            told.plain.insert(variable.name.clone(), json);
        }
        if let Some(value) = value.filter(|_| !variable.broken) {
            world.variables.insert(variable.name.clone(), value);
        }
    }
    for variable in &variables {
        validate(variable, setting, world, diagnostics);
    }
    told
}

fn read<'i>(declared: Declared<'i>, setting: Setting<'_>, diagnostics: &mut Diagnostics) -> Variable<'i> {
    let before = diagnostics.len();
    let body = &declared.block.body;
    let mut evaluator =
        Evaluator::new(&Nothing, setting.functions, setting.sources, diagnostics, declared.base);
    let mut settings_broken = true;
    let mut sensitive = false;
    if let Some(shapes) = Shapes::of(setting.shape, None) {
        let flat: hcl::edit::structure::Body = body
            .attributes()
            .filter(|a| a.has_key("sensitive") || a.has_key("description"))
            .cloned()
            .map(Structure::Attribute)
            .collect();
        let settings =
            evaluate_body(&flat, &shapes, declared.header(), &mut evaluator, std::path::Path::new(""));
        settings_broken = settings.broken;
        sensitive = settings.flag("sensitive");
    }
    let ty = match body.get_attribute("type") {
        None => Some(Type::Any),
        Some(attribute) => match parse_type(&attribute.value, &mut |e| evaluator.evaluate(e).ok()) {
            Ok(ty) => Some(ty),
            Err(error) => {
                let span = evaluator.span(error.span.or_else(|| attribute.value.span()));
                let mut diagnostic = Diagnostic::error("SPEC_BAD_TYPE", error.message).at(span, "").help(
                    "types are string, number, bool, any, list(T), set(T), map(T), object({ name = T })",
                );
                if let Some(word) = error.word {
                    diagnostic = diagnostic.suggest(&word, crate::lang::TYPE_WORDS);
                }
                evaluator.diagnostics.push(diagnostic);
                None
            }
        },
    };
    let default = body.get_attribute("default").and_then(|attribute| {
        let value = evaluator.evaluate(&attribute.value).ok()?;
        match ty.as_ref().map(|ty| ty.convert(&value)) {
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                let span = evaluator.span(attribute.value.span());
                evaluator.diagnostics.push(
                    Diagnostic::error(
                        "SPEC_WRONG_TYPE",
                        format!("the default does not fit the type: {error}"),
                    )
                    .at(span, ""),
                );
                None
            }
            None => None,
        }
    });
    let broken = evaluator.diagnostics.len() > before || settings_broken;
    Variable { declared, name: declared.name(), ty: ty.unwrap_or(Type::Any), default, sensitive, broken }
}

/// All values given, later ways before earlier ones: environment, plan file, files, `--var`. Undeclared ones are told; `known`
/// is sorted.
fn collect(
    input: &SpecInput,
    var_files: &[(usize, Vec<Item>)],
    known: &[String],
    setting: Setting<'_>,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Given> {
    let mut given = BTreeMap::new();
    let mut give = |name: &str, one: Given, diagnostics: &mut Diagnostics| {
        if known.binary_search_by(|k| k.as_str().cmp(name)).is_ok() {
            given.insert(name.to_owned(), one);
            return;
        }
        let mut diagnostic = Diagnostic::error(
            "SPEC_UNDECLARED_VARIABLE",
            format!("{} gives a value to variable `{name}`, which the spec does not declare", one.from),
        )
        .help(match diagnostics.near(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it (variable {name:?} {{ }}), or take it away"),
        });
        if let Some(span) = one.span {
            diagnostic = diagnostic.at(span, "");
        }
        diagnostics.push(diagnostic);
    };
    for (name, text) in &input.env {
        if let Some(variable) = name.strip_prefix(ENV_PREFIX) {
            let one = Given { value: Raw::Text(text.clone()), from: name.clone(), span: None };
            give(variable, one, diagnostics);
        }
    }
    for (name, json) in &input.kept {
        let value = Raw::Value(Some(Value::from_json(json)));
        give(name, Given { value, from: "the plan file".to_owned(), span: None }, diagnostics);
    }
    for (file, items) in var_files {
        for (name, one) in from_file(*file, items, setting, diagnostics) {
            give(&name, one, diagnostics);
        }
    }
    for (name, text) in &input.vars {
        let one = Given { value: Raw::Text(text.clone()), from: format!("--var {name}"), span: None };
        give(name, one, diagnostics);
    }
    given
}

/// What a file of variables gives.
fn from_file(
    file: usize,
    items: &[Item],
    setting: Setting<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Given)> {
    let from = setting.sources.get(file).map_or("--var-file", |s| s.name.as_str()).to_owned();
    let mut given = Vec::new();
    for item in items {
        let Item::Parsed(parsed) = item else { continue };
        match &parsed.structure {
            Structure::Attribute(attribute) => {
                let mut evaluator =
                    Evaluator::new(&Nothing, setting.functions, setting.sources, diagnostics, parsed.base);
                let value = evaluator.evaluate(&attribute.value).ok();
                let span = evaluator.span(attribute.key.span());
                let one = Given { value: Raw::Value(value), from: from.clone(), span: Some(span) };
                given.push((attribute.key.as_str().to_owned(), one));
            }
            Structure::Block(block) => diagnostics.push(
                Diagnostic::error("SPEC_UNKNOWN_BLOCK", "a file of variables has no blocks")
                    .at(header_span(block, parsed.base), "")
                    .help("write name = value"),
            ),
        }
    }
    given
}

fn value(
    variable: &Variable<'_>,
    given: Option<&Given>,
    setting: Setting<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Value> {
    let name = &variable.name;
    let value = match given {
        None if variable.declared.block.body.has_attribute("default") => variable.default.clone()?,
        None if variable.broken => return None,
        None => {
            diagnostics.push(
                Diagnostic::error("SPEC_MISSING_VARIABLE", format!("variable `{name}` has no value"))
                    .at(variable.declared.header(), "declared without a default")
                    .help(format!(
                        "give it with --var {name}=VALUE, in a file with --var-file FILE, or in the environment as {ENV_PREFIX}{name}"
                    )),
            );
            return None;
        }
        Some(given) => {
            let converted = match &given.value {
                Raw::Value(value) => variable.ty.convert(value.as_ref()?).map_err(|e| e.to_string()),
                Raw::Text(text) => from_text(text, variable, setting),
            };
            match converted {
                Ok(value) => value,
                Err(why) => {
                    let summary = format!(
                        "{} does not fit variable `{name}` of type {}: {why}",
                        given.from, variable.ty
                    );
                    let span = given.span.clone().unwrap_or_else(|| variable.declared.header());
                    diagnostics.push(Diagnostic::error("SPEC_WRONG_TYPE", summary).at(span, ""));
                    return None;
                }
            }
        }
    };
    Some(if variable.sensitive && value.sensitive == Sensitivity::Open {
        Value { sensitive: Sensitivity::Secret, ..value }
    } else {
        value
    })
}

/// Text of a command line: as it is for strings, an expression for collections.
fn from_text(text: &str, variable: &Variable<'_>, setting: Setting<'_>) -> Result<Value, String> {
    let literal = Value::string(text);
    match &variable.ty {
        Type::Any | Type::String | Type::Number | Type::Bool => {
            variable.ty.convert(&literal).map_err(|e| e.to_string())
        }
        Type::List(_) | Type::Set(_) | Type::Map(_) | Type::Object(_) => {
            let not_hcl = || "it is not written as HCL".to_owned();
            let expr: Expression = hcl::edit::parser::parse_expr(text.trim()).map_err(|_| not_hcl())?;
            // What goes wrong is not shown: it could hold a secret.
            let mut silent = Diagnostics::default();
            let source =
                Source { name: String::new(), path: std::path::PathBuf::new(), text: text.trim().to_owned() };
            let sources = [source];
            let base = Base { file: 0, offset: 0 };
            let value = Evaluator::new(&Nothing, setting.functions, &sources, &mut silent, base)
                .evaluate(&expr)
                .map_err(|_| not_hcl())?;
            variable.ty.convert(&value).map_err(|e| e.to_string())
        }
    }
}

fn validate(variable: &Variable<'_>, setting: Setting<'_>, world: &World, diagnostics: &mut Diagnostics) {
    if world.variables.get(&variable.name).is_none_or(Value::is_unknown) {
        return;
    }
    let base = variable.declared.base;
    for block in variable.declared.block.body.get_blocks("validation") {
        let (Some(condition), Some(message)) =
            (block.body.get_attribute("condition"), block.body.get_attribute("error_message"))
        else {
            continue;
        };
        let mut evaluator = Evaluator::new(world, setting.functions, setting.sources, diagnostics, base);
        let Ok(met) = evaluator.evaluate(&condition.value) else {
            continue;
        };
        match met.data {
            Data::Bool(true) | Data::Unknown => {}
            Data::Bool(false) => {
                let said = evaluator.evaluate(&message.value);
                let said = match said {
                    Ok(value) if !value.shows_secret() => value.to_text(),
                    _ => None,
                };
                let said = said.unwrap_or_else(|| "the value is not valid".to_owned());
                let span = evaluator.span(condition.value.span());
                evaluator.diagnostics.push(
                    Diagnostic::error(
                        "SPEC_INVALID_VARIABLE",
                        format!("variable `{}`: {said}", variable.name),
                    )
                    .at(variable.declared.header(), "")
                    .at(span, "this condition is not met"),
                );
            }
            _ => {
                let span = evaluator.span(condition.value.span());
                evaluator.diagnostics.push(
                    Diagnostic::error(
                        "EXPR_WRONG_TYPE",
                        format!("a condition is true or false, not a {}", met.type_name()),
                    )
                    .at(span, ""),
                );
            }
        }
    }
}
