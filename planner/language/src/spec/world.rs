//! What names mean in a spec: variables, locals and blocks, as far as they are evaluated.

use std::collections::BTreeMap;
use std::path::Path;

use crate::lang::{Resolution, Scope, Value};
use crate::syntax::nearest;

/// Names that references can start with.
const ROOTS: [&str; 9] =
    ["var", "local", "each", "source", "target", "route", "migration", "cutover", "path"];

/// So many names are looked at for one that is near: a spec of many thousand blocks stays linear.
const MAX_CANDIDATES: usize = 500;

/// Kinds of blocks whose references have a type before the name.
pub(super) fn is_typed(kind: &str) -> bool {
    matches!(kind, "source" | "target" | "route")
}

/// All declared names. What is declared and not evaluated (yet, or because it was reported) is unknown.
#[derive(Debug, Default)]
pub(super) struct World {
    /// `var.x`
    pub(super) variables: BTreeMap<String, Value>,
    /// `local.x`
    pub(super) locals: BTreeMap<String, Value>,
    /// By kind, then by `old` or `directory.old`.
    pub(super) blocks: BTreeMap<String, BTreeMap<String, Value>>,
    /// `path.spec`
    pub(super) base_dir: String,
}

impl World {
    pub(super) fn new(base_dir: &Path) -> Self {
        Self { base_dir: base_dir.to_string_lossy().into_owned(), ..Self::default() }
    }

    /// Sets what a block's references mean.
    pub(super) fn set_block(&mut self, kind: &str, name: &str, value: Value) {
        self.blocks.entry(kind.to_owned()).or_default().insert(name.to_owned(), value);
    }

    fn flat(
        &self,
        root: &str,
        values: &BTreeMap<String, Value>,
        path: &[&str],
        suggests: bool,
    ) -> Resolution {
        let what = match root {
            "var" => "variable",
            "local" => "local value",
            other => other,
        };
        let Some(name) = path.first() else {
            return Resolution::Missing {
                part: 0,
                summary: format!("`{root}` alone is no value"),
                candidates: Vec::new(),
                help: Some(format!("write {root}.NAME")),
            };
        };
        match values.get(*name) {
            Some(value) => Resolution::Found { value: value.clone(), consumed: 1 },
            None => Resolution::Missing {
                part: 1,
                summary: format!("there is no {what} `{name}`"),
                candidates: values.keys().take(if suggests { MAX_CANDIDATES } else { 0 }).cloned().collect(),
                help: match root {
                    "var" => Some(format!("declare it: variable {name:?} {{ }}")),
                    _ if values.is_empty() => Some(format!("no {what} is declared")),
                    _ => None,
                },
            },
        }
    }

    fn typed(&self, kind: &str, path: &[&str], suggests: bool) -> Resolution {
        let empty = BTreeMap::new();
        let blocks = self.blocks.get(kind).unwrap_or(&empty);
        let (Some(ty), Some(name)) = (path.first(), path.get(1)) else {
            return Resolution::Missing {
                part: 0,
                summary: format!("a reference to a {kind} has its type and its name"),
                candidates: Vec::new(),
                help: Some(format!("write {kind}.TYPE.NAME")),
            };
        };
        let key = format!("{ty}.{name}");
        if let Some(value) = blocks.get(&key) {
            return Resolution::Found { value: value.clone(), consumed: 2 };
        }
        let all = || {
            let keys = blocks.keys().take(if suggests { MAX_CANDIDATES } else { 0 });
            keys.filter_map(|k| k.split_once('.'))
        };
        let of_type: Vec<String> = all().filter(|(t, _)| t == ty).map(|(_, n)| n.to_owned()).collect();
        let elsewhere = self
            .blocks
            .iter()
            .find(|(k, names)| *k != kind && names.contains_key(&key))
            .map(|(k, _)| format!("there is a {k}.{key}"));
        let declared = (!blocks.is_empty())
            .then(|| blocks.keys().take(8).map(|k| format!("{kind}.{k}")).collect::<Vec<_>>().join(", "))
            .map(|list| format!("there are: {list}"));
        let near_type = of_type.is_empty() && nearest(ty, all().map(|(t, _)| t)).is_some();
        Resolution::Missing {
            part: if near_type { 1 } else { 2 },
            summary: format!("there is no {kind} {ty:?} {name:?}"),
            candidates: if elsewhere.is_some() {
                Vec::new()
            } else if near_type {
                all().map(|(t, _)| t.to_owned()).collect()
            } else {
                of_type
            },
            help: elsewhere.or(declared),
        }
    }
}

impl Scope for World {
    fn resolve(&self, root: &str, path: &[&str], suggests: bool) -> Resolution {
        let empty = BTreeMap::new();
        match root {
            "var" => self.flat(root, &self.variables, path, suggests),
            "local" => self.flat(root, &self.locals, path, suggests),
            kind if is_typed(kind) => self.typed(kind, path, suggests),
            "migration" | "cutover" => {
                self.flat(root, self.blocks.get(root).unwrap_or(&empty), path, suggests)
            }
            "path" if path.first() == Some(&"spec") => {
                Resolution::Found { value: Value::string(self.base_dir.as_str()), consumed: 1 }
            }
            "path" => Resolution::Missing {
                part: usize::from(!path.is_empty()),
                summary: "there is only `path.spec`: the spec's directory".to_owned(),
                candidates: vec!["spec".to_owned()],
                help: None,
            },
            "each" => Resolution::Missing {
                part: 0,
                summary: "`each` has a meaning only in a block with for_each".to_owned(),
                candidates: Vec::new(),
                help: Some("add for_each to the block".to_owned()),
            },
            other => Resolution::Missing {
                part: 0,
                summary: format!("`{other}` is not the name of anything"),
                candidates: ROOTS.iter().map(|&r| r.to_owned()).collect(),
                help: Some(
                    "a text is written in quotes; references start with var, local, source, ...".to_owned(),
                ),
            },
        }
    }
}

/// The scope of what must not refer to anything: defaults, values of variables.
pub(super) struct Nothing;

impl Scope for Nothing {
    fn resolve(&self, root: &str, _path: &[&str], _suggests: bool) -> Resolution {
        Resolution::Missing {
            part: 0,
            summary: format!("`{root}` cannot be used here: the value of a variable refers to nothing else"),
            candidates: Vec::new(),
            help: Some("write the value itself, or compute it in `locals`".to_owned()),
        }
    }
}
