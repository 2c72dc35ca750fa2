//! Schemas: what a provider's block may contain. The planner checks specs against them and names the
//! nearest word; documentation is generated from them.

use serde::Serialize;

/// Which block a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// `source "directory" "old" {}`
    Source,
    /// `target "directory" "new" {}`
    Target,
    /// `route "symlink" "site" {}`
    Route,
    /// `quiesce "command" {}` inside a cutover
    Quiesce,
    /// `gate "http" {}` inside a cutover
    Gate,
    /// `watch "http" {}` inside a cutover
    Watch,
}

impl BlockKind {
    /// The word in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Route => "route",
            Self::Quiesce => "quiesce",
            Self::Gate => "gate",
            Self::Watch => "watch",
        }
    }
}

/// One block type.
#[derive(Clone, Debug, Serialize)]
pub struct BlockSchema {
    /// Which block.
    pub kind: BlockKind,
    /// The first label: `directory`.
    pub name: String,
    /// One paragraph for users.
    pub doc: String,
    /// The attributes.
    pub attributes: Vec<AttributeSchema>,
}

/// One attribute.
#[derive(Clone, Debug, Serialize)]
pub struct AttributeSchema {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: AttributeType,
    /// Whether it must be there.
    pub required: bool,
    /// Whether its value is a secret: kept by reference, never shown. A sensitive value given to an
    /// attribute that is not is refused.
    pub sensitive: bool,
    /// The allowed values; empty: any.
    pub allowed: Vec<String>,
    /// The value when absent, in the form that [`crate::Config`] holds.
    pub default: Option<serde_json::Value>,
    /// One sentence for users.
    pub doc: String,
}

/// The type of an attribute and the form in which [`crate::Config`] holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// A string.
    String,
    /// A whole number, held as `u64`.
    Number,
    /// Any number, held as `f64`.
    Decimal,
    /// `true` or `false`.
    Bool,
    /// `"30s"`: held as milliseconds.
    Duration,
    /// `"50MiB"`: held as bytes.
    Size,
    /// `"50MiB/s"`: held as bytes a second.
    Rate,
    /// A path: relative ones start at the spec's directory; held absolute (not resolved).
    Path,
    /// A list of strings.
    Words,
    /// A string, or a list of them: held as a list.
    OneOrMore,
    /// A map of strings to strings, held as an object.
    Pairs,
}

impl AttributeSchema {
    /// An optional attribute.
    pub fn optional(name: &str, ty: AttributeType, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            ty,
            required: false,
            sensitive: false,
            allowed: Vec::new(),
            default: None,
            doc: doc.to_owned(),
        }
    }

    /// An attribute that must be there.
    pub fn required(name: &str, ty: AttributeType, doc: &str) -> Self {
        Self { required: true, ..Self::optional(name, ty, doc) }
    }

    /// With a value when absent.
    #[must_use]
    pub fn default(mut self, value: serde_json::Value) -> Self {
        self.default = Some(value);
        self
    }

    /// With a value that is a secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// With a closed set of values.
    #[must_use]
    pub fn allowed(mut self, values: &[&str]) -> Self {
        self.allowed = values.iter().map(|&v| v.to_owned()).collect();
        self
    }
}
