//! What the language's tests share: a registry as the providers of files would fill it, specs from text, and
//! diagnostics as plain text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Checkpoint, DriftReport, Engine,
    Finding, LoadModeSchema, PassReport, Position, Registry, Route, RouteAt, Side, StaleReport, StepError,
    StepIo, UnitJob, VerifyCall, VerifyLevel, VerifyReport,
};
use segue_language::{Loaded, Severity, SpecInput, SpecPath, load};

/// One attribute that is a string, or a list of them.
fn balancer() -> Vec<AttributeSchema> {
    vec![AttributeSchema::optional("hosts", AttributeType::OneOrMore, "Whom it serves.")]
}

/// The schemas of directories, symlinks and commands, and a search system with a secret.
pub(crate) fn registry() -> Registry {
    let path = || AttributeSchema::required("path", AttributeType::Path, "Where it is.");
    let doc = || "For tests.".to_owned();
    let block =
        |kind, name: &str, attributes| BlockSchema { kind, name: name.to_owned(), doc: doc(), attributes };
    let optional = AttributeSchema::optional;
    let search = || {
        let mut password = optional("password", AttributeType::String, "Secret.");
        password.sensitive = true;
        vec![
            AttributeSchema::required("url", AttributeType::String, "Where it is."),
            password,
            optional("batch", AttributeType::Size, "Bytes at once.").default(1_048_576.into()),
            optional("mode", AttributeType::String, "How.").allowed(&["fast", "careful"]),
        ]
    };
    let probe = || {
        let mut token = optional("token", AttributeType::String, "Secret.");
        token.sensitive = true;
        vec![
            AttributeSchema::required("url", AttributeType::String, "Whom to ask."),
            token,
            optional("timeout", AttributeType::Duration, "For each look.").default(10_000.into()),
        ]
    };
    let mut registry = Registry::default();
    registry
        .schema(block(BlockKind::Source, "directory", vec![path()]))
        .schema(block(BlockKind::Target, "directory", vec![path()]))
        .schema(block(BlockKind::Source, "search", search()))
        .schema(block(BlockKind::Target, "search", search()))
        .schema(block(
            BlockKind::Route,
            "symlink",
            vec![
                path(),
                AttributeSchema::required("source", AttributeType::String, "What it holds for the source."),
                AttributeSchema::required("target", AttributeType::String, "What it holds for the target."),
            ],
        ))
        .schema(block(
            BlockKind::Quiesce,
            "command",
            vec![
                AttributeSchema::required("stop", AttributeType::Words, "Stops the writers."),
                AttributeSchema::required("start", AttributeType::Words, "Starts the writers."),
                AttributeSchema::required("probe", AttributeType::Words, "Must fail while stopped."),
                optional("timeout", AttributeType::Duration, "For each command.").default(30_000.into()),
            ],
        ))
        .schema(block(BlockKind::Route, "balancer", balancer()))
        .schema(block(BlockKind::Quiesce, "manual", vec![]))
        .schema(block(BlockKind::Gate, "ask", probe()))
        .schema(block(BlockKind::Watch, "ask", probe()));
    for (name, weighs) in [("symlink", false), ("balancer", true)] {
        registry.add_route(name, Arc::new(Pointer { weighs }));
    }
    registry.add_engine("search", "search", Arc::new(Modes));
    registry
}

/// An engine that moves nothing: only its modes are asked for.
struct Modes;

impl Engine for Modes {
    fn load_modes(&self) -> Vec<LoadModeSchema> {
        let mode = |name: &str, attributes| LoadModeSchema {
            name: name.to_owned(),
            doc: "For tests.".to_owned(),
            attributes,
            by_others: false,
            voids: Vec::new(),
        };
        let location = AttributeSchema::required("location", AttributeType::String, "Where.");
        vec![mode("reindex", Vec::new()), mode("snapshot", vec![location])]
    }
    fn load(&self, _: &UnitJob, _: Option<&Checkpoint>, _: &dyn StepIo) -> Result<PassReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn pass(&self, _: &UnitJob, _: Option<&Checkpoint>, _: &dyn StepIo) -> Result<PassReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn position(&self, _: &UnitJob, _: &dyn StepIo) -> Result<Position, StepError> {
        unreachable!("nothing runs here")
    }
    fn verify(&self, _: &UnitJob, _: &VerifyCall, _: &dyn StepIo) -> Result<VerifyReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn repair(&self, _: &UnitJob, _: &VerifyReport, _: &dyn StepIo) -> Result<PassReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn drift(&self, _: &UnitJob, _: VerifyLevel, _: &dyn StepIo) -> Result<DriftReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn stale(&self, _: &UnitJob, _: &dyn StepIo) -> Result<StaleReport, StepError> {
        unreachable!("nothing runs here")
    }
    fn release(&self, _: &UnitJob, _: bool, _: &dyn StepIo) -> Result<(), StepError> {
        unreachable!("nothing runs here")
    }
}

/// A route that nobody follows: only whether it can weigh is asked.
struct Pointer {
    weighs: bool,
}

impl Route for Pointer {
    fn atomic(&self) -> bool {
        true
    }
    fn ttl_ms(&self, _: &BlockRef) -> u64 {
        0
    }
    fn check(&self, _: &BlockRef) -> Vec<Finding> {
        Vec::new()
    }
    fn observe(&self, _: &BlockRef, _: &dyn StepIo) -> Result<RouteAt, StepError> {
        Ok(RouteAt::Missing)
    }
    fn set(&self, _: &BlockRef, _: Side, _: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }
    fn set_by_hand(&self, _: &BlockRef, _: Side) -> String {
        String::new()
    }
    fn can_weigh(&self, _: &BlockRef) -> bool {
        self.weighs
    }
}

/// A spec in a directory of its own.
pub(crate) struct Spec {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) input: SpecInput,
}

impl Spec {
    pub(crate) fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = Self {
            input: SpecInput {
                dir_or_file: SpecPath::Dir(dir.path().to_path_buf()),
                vars: vec![],
                var_files: vec![],
                kept: BTreeMap::new(),
                env: BTreeMap::from([("OLD_PASSWORD".to_owned(), "s3cret".to_owned())]),
            },
            dir,
        };
        spec.file("main.segue.hcl", text);
        spec
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        segue_contract::paths::replace(&path, text.as_bytes()).unwrap();
        path
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.input.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.input.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn load(&self) -> Loaded {
        load(&self.input, &registry())
    }

    /// All diagnostics, as a person could read them without a renderer.
    pub(crate) fn problems(&self) -> String {
        let loaded = self.load();
        let dir = format!("{}/", self.dir.path().display());
        let mut out = String::new();
        for diagnostic in &loaded.diagnostics {
            let word = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            out.push_str(&format!("{word} {}: {}\n", diagnostic.code, diagnostic.summary));
            for label in &diagnostic.labels {
                let source = &loaded.sources[label.span.file];
                let range = label.span.range.clone();
                let line = source.text[..range.start].matches('\n').count() + 1;
                let text = source.text[range].replace('\n', "⏎");
                out.push_str(&format!("  {}:{line} `{text}` {}\n", source.name, label.text));
            }
            if let Some(help) = &diagnostic.help {
                out.push_str(&format!("  help: {help}\n"));
            }
        }
        out.lines().map(|l| l.trim_end().replace(&dir, "")).collect::<Vec<_>>().join("\n")
    }
}

/// The codes of all diagnostics of a text.
pub(crate) fn codes(text: &str) -> Vec<&'static str> {
    Spec::new(text).load().diagnostics.iter().map(|d| d.code).collect()
}
