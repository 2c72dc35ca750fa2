//! Evaluates locals and blocks in order of dependency; `for_each` makes one instance a key.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use hcl::edit::Span as _;
use segue_contract::Address;

use super::body::{Held, Settings, Shapes, evaluate_body};
use super::declare::{Declarations, Declared, Local};
use super::graph::{Node, order};
use super::shape::BlockShape;
use super::world::{World, is_typed};
use crate::lang::{
    BlockValue, Data, Evaluator, FunctionContext, Reference, Sealed, Sensitivity, Value, references_of_body,
    references_of_expression,
};
use crate::syntax::{Diagnostic, Diagnostics, Source, Span};

/// One instance of a block.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// `source`, `migration`, ...
    pub(super) kind: String,
    /// The first label of typed blocks.
    pub(super) provider: Option<String>,
    pub(super) address: Address,
    pub(super) settings: Settings,
}

/// What evaluation needs besides the world.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) shapes: &'a [BlockShape],
    pub(super) sources: &'a [Source],
    pub(super) functions: &'a FunctionContext<'a>,
    pub(super) base_dir: &'a Path,
}

enum Unit<'i> {
    Local(Local<'i>),
    Block(Declared<'i>),
}

/// Evaluates everything; the world learns the values. Instances come in the order of the files.
pub(super) fn resolve(
    declarations: &Declarations<'_>,
    setting: Setting<'_>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> Vec<Instance> {
    let locals = declarations.locals.iter().map(|l| Unit::Local(*l));
    let blocks = declarations.blocks.iter().map(|b| Unit::Block(*b));
    let units: Vec<Unit<'_>> = locals.chain(blocks).collect();
    let nodes = nodes(&units);
    let mut instances: Vec<(usize, Vec<Instance>)> = Vec::new();
    for index in order(&nodes, diagnostics) {
        match &units[index] {
            Unit::Local(local) => {
                let mut evaluator =
                    Evaluator::new(world, setting.functions, setting.sources, diagnostics, local.base);
                if let Ok(value) = evaluator.evaluate(&local.attribute.value) {
                    world.locals.insert(local.attribute.key.as_str().to_owned(), value);
                }
            }
            Unit::Block(declared) => instances.push((index, block(*declared, setting, world, diagnostics))),
        }
    }
    instances.sort_by_key(|(index, _)| *index);
    instances.into_iter().flat_map(|(_, list)| list).collect()
}

fn nodes(units: &[Unit<'_>]) -> Vec<Node> {
    let names: Vec<String> = units
        .iter()
        .map(|unit| match unit {
            Unit::Local(local) => format!("local.{}", local.attribute.key.as_str()),
            Unit::Block(declared) => format!("{}.{}", declared.block.ident.as_str(), declared.name()),
        })
        .collect();
    let index: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    let needs: Vec<Vec<(usize, Span)>> = units
        .iter()
        .map(|unit| {
            let mut found = Vec::new();
            let base = match unit {
                Unit::Local(local) => {
                    references_of_expression(&local.attribute.value, &mut found);
                    local.base
                }
                Unit::Block(declared) => {
                    references_of_body(&declared.block.body, &mut found);
                    declared.base
                }
            };
            let known =
                found.iter().filter_map(|r| Some((*index.get(key(r)?.as_str())?, base.span(r.span.clone()))));
            known.collect()
        })
        .collect();
    names.into_iter().zip(needs).map(|(name, needs)| Node { name, needs }).collect()
}

/// The name of what a reference needs.
fn key(reference: &Reference) -> Option<String> {
    let words = match reference.root.as_str() {
        kind if is_typed(kind) => 2,
        "local" | "migration" | "cutover" => 1,
        _ => return None,
    };
    let path = reference.path.get(..words)?;
    Some(format!("{}.{}", reference.root, path.join(".")))
}

fn block(
    declared: Declared<'_>,
    setting: Setting<'_>,
    world: &mut World,
    diagnostics: &mut Diagnostics,
) -> Vec<Instance> {
    let kind = declared.block.ident.as_str();
    let name = declared.name();
    let first_label = declared.block.labels.first().map(|l| l.as_str());
    let shape = setting.shapes.iter().find(|s| s.keyword == kind);
    let Some((shape, shapes)) = shape.and_then(|s| Some((s, Shapes::of(s, first_label)?))) else {
        return Vec::new();
    };
    let keys = match keys(declared, setting, world, diagnostics) {
        Ok(keys) => keys,
        Err(Unusable) => return Vec::new(),
    };
    let mut instances = Vec::new();
    let mut values = BTreeMap::new();
    let mut single = Value::unknown();
    let each: Vec<(Option<String>, Value)> = match keys {
        None => vec![(None, Value::null())],
        Some(keys) => keys.into_iter().map(|(k, v)| (Some(k), v)).collect(),
    };
    let repeated = each.iter().all(|(k, _)| k.is_some());
    for (key, each_value) in each {
        let mut evaluator =
            Evaluator::new(world, setting.functions, setting.sources, diagnostics, declared.base);
        if let Some(key) = &key {
            let entries = [("key".to_owned(), Value::string(key.as_str())), ("value".to_owned(), each_value)];
            evaluator.bind("each", Value::map(BTreeMap::from(entries)));
        }
        let settings =
            evaluate_body(&declared.block.body, &shapes, declared.header(), &mut evaluator, setting.base_dir);
        let words: Vec<&str> = std::iter::once(kind).chain(name.split('.')).collect();
        let address = Address::block(&words, key.as_deref());
        let value = if settings.broken {
            Value::unknown()
        } else {
            as_value(&address, &settings, shape, first_label)
        };
        match key {
            Some(key) => {
                values.insert(key, value);
            }
            None => single = value,
        }
        instances.push(Instance {
            kind: kind.to_owned(),
            provider: is_typed(kind).then(|| first_label.unwrap_or_default().to_owned()),
            address,
            settings,
        });
    }
    world.set_block(kind, &name, if repeated { Value::map(values) } else { single });
    instances
}

/// What references to a block can read: its arguments as written, defaults filled in, null where absent.
fn as_value(address: &Address, settings: &Settings, shape: &BlockShape, label: Option<&str>) -> Value {
    let variant = shape.variants.as_ref().zip(label).and_then(|(v, l)| v.get(l));
    let mut attributes = BTreeMap::new();
    for attribute in variant.into_iter().chain([&shape.body]).flat_map(|b| &b.attributes) {
        let mut value = settings.values.get(&attribute.name).map_or_else(Value::null, |s| s.value.clone());
        if attribute.sensitive && !value.is_sensitive() && value.data != Data::Null {
            value.sensitive = Sensitivity::Secret;
        }
        if attribute.name != "for_each" {
            attributes.insert(attribute.name.clone(), value);
        }
    }
    let attributes = Sealed::new(attributes);
    Value::open(Data::Block(Arc::new(BlockValue { address: address.clone(), attributes })))
}

/// `for_each` cannot be used; the reason was reported.
struct Unusable;

type Keys = Option<BTreeMap<String, Value>>;

fn keys(
    declared: Declared<'_>,
    setting: Setting<'_>,
    world: &World,
    diagnostics: &mut Diagnostics,
) -> Result<Keys, Unusable> {
    let Some(attribute) = declared.block.body.get_attribute("for_each") else {
        return Ok(None);
    };
    let mut evaluator = Evaluator::new(world, setting.functions, setting.sources, diagnostics, declared.base);
    let value = evaluator.evaluate(&attribute.value).map_err(|_| Unusable)?;
    let span = evaluator.span(attribute.value.span());
    let reported = diagnostics.has_errors();
    let mut refuse = |summary: &str, help: &str| {
        diagnostics.push(Diagnostic::error("SPEC_BAD_FOR_EACH", summary).at(span.clone(), "").help(help));
        Err(Unusable)
    };
    if value.is_sensitive() {
        return refuse(
            "for_each cannot go through something sensitive: its keys become part of addresses, which are shown",
            "use keys that may be shown",
        );
    }
    match &value.data {
        Data::Map(entries) => Ok(Some(BTreeMap::clone(entries))),
        Data::Set(items) => {
            let mut keys = BTreeMap::new();
            for item in items.iter() {
                match &item.data {
                    Data::String(key) if !item.is_sensitive() => keys.insert(key.to_string(), item.clone()),
                    _ => {
                        return refuse(
                            "a set for for_each holds strings that may be shown",
                            "turn them into strings",
                        );
                    }
                };
            }
            Ok(Some(keys))
        }
        Data::Unknown if reported => Err(Unusable),
        Data::Unknown => refuse(
            "for_each must be known when the plan is made",
            "its keys become addresses: compute them from what the spec says",
        ),
        Data::List(_) => refuse("for_each takes a map or a set of strings, not a list", "write toset(...)"),
        _ => {
            let summary = format!("for_each takes a map or a set of strings, not a {}", value.type_name());
            refuse(&summary, "a set is written toset([\"a\", \"b\"])")
        }
    }
}

/// The part of an instance that a provider sees, and the secrets in it.
pub(super) fn config(
    settings: &Settings,
    address: &Address,
    attributes: &[super::shape::AttributeShape],
    secrets: &mut crate::Secrets,
) -> segue_contract::Config {
    use segue_contract::{Secret, SecretRef, Setting as Stored};
    let mut config = segue_contract::Config::default();
    for attribute in attributes {
        let name = &attribute.name;
        let stored = match settings.values.get(name).map(|s| &s.held) {
            Some(Held::Plain(json)) => Stored::Plain(json.clone()),
            Some(Held::Env(variable)) => Stored::Secret(SecretRef::Env(variable.clone())),
            Some(Held::Secret(text)) => {
                let reference = SecretRef::Spec { address: address.clone(), attribute: name.clone() };
                secrets.values.insert(reference.clone(), Secret::new(text.as_str()));
                Stored::Secret(reference)
            }
            Some(Held::Block(_) | Held::Blocks(_) | Held::Condition(_) | Held::Any) | None => continue,
        };
        config.insert(name.as_str(), stored);
    }
    config
}
