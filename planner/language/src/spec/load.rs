//! From files to [`Desired`], with everything that is wrong: the entry of the language.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hcl::edit::Span as _;
use segue_contract::{BlockKind, BlockRef, Registry};

use super::body::{Settings, Shapes, blank_literal_secrets, evaluate_body};
use super::declare::{Declarations, declare};
use super::resolve::{Instance, Setting, config, resolve};
use super::shape::{AttributeShape, BlockShape};
use super::table::core_blocks;
use super::world::World;
use super::{apart, cutover, migration, semantic, variables, version};
use crate::desired::{Desired, Origin, RouteDecl, Secrets};
use crate::lang::{Evaluator, FunctionContext};
use crate::syntax::{
    Diagnostic, Diagnostics, Item, Source, SpecPath, on_deep_stack, parse_items, read_file, read_sources,
};

/// The state directory beside the spec, where the spec names none.
const STATE_DIR: &str = ".segue";
/// So much at once at most: each has threads of its own.
const AT_ONCE_MAX: usize = 64;

/// What to load.
#[derive(Clone, Debug)]
pub struct SpecInput {
    /// The spec's files.
    pub dir_or_file: SpecPath,
    /// `--var name=value`, in order.
    pub vars: Vec<(String, String)>,
    /// `--var-file`, in order.
    pub var_files: Vec<PathBuf>,
    /// The environment: `SEGUE_VAR_name`, and what `env()` reads.
    pub env: BTreeMap<String, String>,
    /// What a plan file kept of the variables that it was made with; files and `--var` come before it.
    pub kept: BTreeMap<String, serde_json::Value>,
}

/// The declared variables, as far as others need to know them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    /// Those that were given a value that may be shown.
    pub plain: BTreeMap<String, serde_json::Value>,
    /// Those whose values must not be repeated anywhere.
    pub secret: BTreeSet<String>,
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The texts that spans point into: the spec's files, then files of variables. Literal secrets are blanked.
    pub sources: Vec<Source>,
    /// The spec, resolved; `None` when there are errors.
    pub desired: Option<Desired>,
    /// The state directory, also where the spec has errors: what a dead run left is settled before anybody mends them.
    /// `None`: the `segue` block that names it cannot be read.
    pub state_dir: Option<PathBuf>,
    /// Values of secrets that the spec computed.
    pub secrets: Secrets,
    /// The variables that the spec declares.
    pub variables: Variables,
    /// All problems, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads a spec and checks it against what the registry's providers take. Reads files, and nothing of the systems.
pub fn load(input: &SpecInput, registry: &Registry) -> Loaded {
    on_deep_stack(|| load_here(input, registry))
}

fn load_here(input: &SpecInput, registry: &Registry) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let mut sources = read_sources(&input.dir_or_file, &mut diagnostics);
    let mut items = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        items.extend(parse_items(file, &source.text, &mut diagnostics));
    }
    let mut var_files = Vec::new();
    for path in &input.var_files {
        let file = sources.len();
        if let Some(source) = read_file(path.clone(), file, &mut diagnostics) {
            var_files.push((file, parse_items(file, &source.text, &mut diagnostics)));
            sources.push(source);
        }
    }
    let mut secrets = Secrets::default();
    let mut variables = Variables::default();
    let base_dir = input.dir_or_file.base_dir();
    let desired = if items.is_empty() && diagnostics.has_errors() {
        Desired { state_dir: base_dir.join(STATE_DIR), ..Desired::default() }
    } else {
        let read = Read { sources: &sources, items: &items, var_files: &var_files };
        evaluate(input, registry, read, &mut variables, &mut secrets, &mut diagnostics)
    };
    let unreadable = items.iter().any(|item| match item {
        Item::Broken(broken) => broken.header.first().is_some_and(|word| word == "segue"),
        Item::Parsed(_) => false,
    });
    let state_dir = (!unreadable).then(|| desired.state_dir.clone());
    let desired = (!diagnostics.has_errors()).then_some(desired);
    let diagnostics = diagnostics.into_sorted();
    blank_literal_secrets(&diagnostics, &mut sources);
    Loaded { desired, state_dir, sources, secrets, variables, diagnostics }
}

/// The texts of a spec, parsed.
#[derive(Clone, Copy)]
struct Read<'a> {
    sources: &'a [Source],
    items: &'a [Item],
    var_files: &'a [(usize, Vec<Item>)],
}

fn evaluate(
    input: &SpecInput,
    registry: &Registry,
    Read { sources, items, var_files }: Read<'_>,
    known: &mut Variables,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Desired {
    let base_dir = input.dir_or_file.base_dir();
    let env = |name: &str| input.env.get(name).cloned();
    let functions = FunctionContext { base_dir: &base_dir, env: &env };
    let shapes = core_blocks(registry);
    let mut world = World::new(&base_dir);
    let declarations = declare(items, &shapes, &mut world, diagnostics);
    if let Some(shape) = shapes.iter().find(|s| s.keyword == "variable") {
        let setting = variables::Setting { shape, sources, functions: &functions };
        let declared = &declarations.variables;
        *known = variables::resolve(input, var_files, declared, setting, &mut world, diagnostics);
    }
    let setting = Setting { shapes: &shapes, sources, functions: &functions, base_dir: &base_dir };
    let instances = resolve(&declarations, setting, &mut world, diagnostics);
    let mut desired = Desired { state_dir: base_dir.join(STATE_DIR), ..Desired::default() };
    settings(&declarations, setting, &world, &mut desired, diagnostics);
    outputs(&declarations, setting, &world, &mut desired, diagnostics);
    decode(&instances, &shapes, registry, &base_dir, &mut desired, secrets, diagnostics);
    desired.removed = declarations.removed.iter().map(|(address, _)| address.clone()).collect();
    semantic::check(&desired, &instances, &declarations.removed, diagnostics);
    semantic::weights(&desired, &instances, registry, diagnostics);
    semantic::modes(&desired, &instances, registry, diagnostics);
    apart::check(&desired, &instances, registry, diagnostics);
    desired
}

/// `segue { }`
fn settings(
    declarations: &Declarations<'_>,
    setting: Setting<'_>,
    world: &World,
    desired: &mut Desired,
    diagnostics: &mut Diagnostics,
) {
    let Some(shape) = setting.shapes.iter().find(|s| s.keyword == "segue") else {
        return;
    };
    let Some(shapes) = Shapes::of(shape, None) else {
        return;
    };
    for declared in &declarations.settings {
        let mut evaluator =
            Evaluator::new(world, setting.functions, setting.sources, diagnostics, declared.base);
        let settings =
            evaluate_body(&declared.block.body, &shapes, declared.header(), &mut evaluator, setting.base_dir);
        if let Some(constraint) = settings.text("required_version") {
            let running = env!("CARGO_PKG_VERSION");
            let problem = match version::meets(constraint, running) {
                Ok(true) => None,
                Ok(false) => Some((
                    "SPEC_VERSION",
                    format!("this spec wants Segue {constraint}, and this is {running}"),
                    "run a version that it allows, or change required_version".to_owned(),
                )),
                Err(part) => Some((
                    "SPEC_BAD_VALUE",
                    format!("{part:?} is no constraint of versions"),
                    "write for example \">= 0.1, < 2\" or \"~> 0.1\"".to_owned(),
                )),
            };
            if let Some((code, summary, help)) = problem {
                diagnostics.push(
                    Diagnostic::error(code, summary).at(settings.place("required_version"), "").help(help),
                );
            }
        }
        limits(&settings, desired, diagnostics);
        for backend in settings.all("backend") {
            if backend.label.as_deref() != Some("local") {
                diagnostics.push(
                    Diagnostic::error("SPEC_UNKNOWN_TYPE", "the only backend in this version is \"local\"")
                        .at(backend.settings.header.clone(), "")
                        .help("write backend \"local\" { path = \".segue\" }"),
                );
            }
            if let Some(path) = backend.settings.text("path") {
                desired.state_dir = PathBuf::from(path);
            }
        }
    }
}

/// `parallelism`, `rate_limit`, `cutovers`
fn limits(settings: &Settings, desired: &mut Desired, diagnostics: &mut Diagnostics) {
    for (name, limit) in
        [("parallelism", &mut desired.limits.parallelism), ("cutovers", &mut desired.limits.cutovers)]
    {
        match settings.number(name).map(usize::try_from) {
            None => {}
            Some(Ok(number)) if (1..=AT_ONCE_MAX).contains(&number) => *limit = number,
            Some(_) => diagnostics.push(
                Diagnostic::error("SPEC_BAD_VALUE", format!("`{name}` is a number from 1 to {AT_ONCE_MAX}"))
                    .at(settings.place(name), ""),
            ),
        }
    }
    // A rate of zero was refused when it was decoded.
    desired.limits.rate_limit = settings.number("rate_limit").or(desired.limits.rate_limit);
}

fn outputs(
    declarations: &Declarations<'_>,
    setting: Setting<'_>,
    world: &World,
    desired: &mut Desired,
    diagnostics: &mut Diagnostics,
) {
    let shape = setting.shapes.iter().find(|s| s.keyword == "output");
    let Some(shapes) = shape.and_then(|s| Shapes::of(s, None)) else {
        return;
    };
    for declared in &declarations.outputs {
        let mut evaluator =
            Evaluator::new(world, setting.functions, setting.sources, diagnostics, declared.base);
        let settings =
            evaluate_body(&declared.block.body, &shapes, declared.header(), &mut evaluator, setting.base_dir);
        let Some(attribute) = declared.block.body.get_attribute("value") else {
            continue;
        };
        let Ok(value) = evaluator.evaluate(&attribute.value) else {
            continue;
        };
        let hidden = settings.flag("sensitive");
        if value.shows_secret() && !hidden {
            let span = evaluator.span(attribute.value.span());
            diagnostics.push(
                Diagnostic::error(
                    "SPEC_SENSITIVE_VALUE",
                    format!("output `{}` would show something sensitive", declared.name()),
                )
                .at(span, "a sensitive value")
                .help("add sensitive = true to the output, or leave the secret out"),
            );
            continue;
        }
        let json = if hidden { Ok(serde_json::Value::Null) } else { value.to_json() };
        match json {
            Ok(json) => {
                desired.outputs.insert(declared.name(), json);
            }
            Err(why) => {
                let span = evaluator.span(attribute.value.span());
                diagnostics.push(
                    Diagnostic::error("EXPR_TOO_LARGE", why.to_string())
                        .at(span, "too large to be shown")
                        .help("leave such data in a file, and name the file"),
                );
            }
        }
    }
}

fn decode(
    instances: &[Instance],
    shapes: &[BlockShape],
    registry: &Registry,
    base_dir: &Path,
    desired: &mut Desired,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) {
    let none = BTreeMap::new();
    let cutovers = shapes.iter().find(|s| s.keyword == "cutover");
    let quiesces = cutovers.and_then(|s| s.body.block("quiesce")).and_then(|s| s.variants.as_ref());
    let provided = |kind: BlockKind| {
        let schemas = registry.schemas().iter().filter(move |s| s.kind == kind);
        schemas.map(|s| (s.name.clone(), s.attributes.iter().map(AttributeShape::from).collect())).collect()
    };
    let around = cutover::Surroundings {
        quiesces: quiesces.unwrap_or(&none),
        gates: provided(BlockKind::Gate),
        watches: provided(BlockKind::Watch),
        base_dir,
    };
    for instance in instances {
        let header = &instance.settings.header;
        let origin = Origin { file: header.file, span: header.range.clone() };
        desired.origins.insert(instance.address.clone(), origin);
        if instance.settings.broken {
            continue;
        }
        let address = instance.address.clone();
        match instance.kind.as_str() {
            "migration" => {
                let decoded = migration::decode(instance, shapes, secrets, diagnostics);
                desired.migrations.extend(decoded.map(|m| (address, m)));
            }
            "cutover" => {
                let decoded = cutover::decode(instance, &around, secrets, diagnostics);
                desired.cutovers.extend(decoded.map(|c| (address, c)));
            }
            kind => {
                let provider = instance.provider.clone().unwrap_or_default();
                let variants = shapes.iter().find(|s| s.keyword == kind).and_then(|s| s.variants.as_ref());
                let attributes = variants.and_then(|v| v.get(&provider)).map_or(&[][..], |b| &b.attributes);
                let block = BlockRef {
                    config: config(&instance.settings, &address, attributes, secrets),
                    address: address.clone(),
                    provider,
                    base_dir: base_dir.to_path_buf(),
                    scope: Vec::new(),
                };
                if kind == "route" {
                    desired.routes.insert(address, RouteDecl { block });
                } else {
                    desired.endpoints.insert(address, block);
                }
            }
        }
    }
}
