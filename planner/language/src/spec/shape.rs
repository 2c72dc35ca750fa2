//! What a block may contain, as data: its arguments, the blocks in it, their types and defaults.

use std::collections::BTreeMap;

use segue_contract::{AttributeSchema, AttributeType};
use serde::Serialize;
use serde_json::Value as Json;

/// A kind of block.
#[derive(Clone, Debug, Serialize)]
pub struct BlockShape {
    /// `migration`
    pub keyword: String,
    /// What its labels are: `["type", "name"]`.
    pub labels: Vec<&'static str>,
    /// For users.
    pub doc: String,
    /// Whether there may be several.
    pub repeat: bool,
    /// What it may contain, whatever its first label.
    pub body: BodyShape,
    /// What else it may contain, by its first label; `None`: the first label is no type.
    pub variants: Option<BTreeMap<String, BodyShape>>,
}

/// What a block may contain.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BodyShape {
    /// For users.
    pub doc: String,
    /// Arguments.
    pub attributes: Vec<AttributeShape>,
    /// Blocks.
    pub blocks: Vec<BlockShape>,
}

/// An argument.
#[derive(Clone, Debug, Serialize)]
pub struct AttributeShape {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ShapeType,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is kept as a secret.
    pub sensitive: bool,
    /// The allowed values; empty: any.
    pub allowed: Vec<String>,
    /// Its value when absent: durations in milliseconds, sizes in bytes.
    pub default: Option<Json>,
    /// For users.
    pub doc: String,
}

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapeType {
    /// One of the contract's types.
    Of(AttributeType),
    /// Any value.
    Any,
    /// A list of whole numbers, zero or more.
    Numbers,
    /// A number of records, or a share of them in percent: `500`, `"20%"`.
    Deletions,
    /// A block of one of these kinds.
    Reference(&'static [&'static str]),
    /// A list of blocks of these kinds.
    References(&'static [&'static str]),
    /// A condition over what is observed, evaluated again while a cutover waits.
    Condition,
    /// Not evaluated with the block: a type constraint, an address, a condition, `for_each`.
    Written,
}

impl BodyShape {
    /// An argument by name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeShape> {
        self.attributes.iter().find(|a| a.name == name)
    }

    /// A kind of nested block by keyword.
    pub fn block(&self, keyword: &str) -> Option<&BlockShape> {
        self.blocks.iter().find(|b| b.keyword == keyword)
    }
}

impl From<&AttributeSchema> for AttributeShape {
    fn from(schema: &AttributeSchema) -> Self {
        let AttributeSchema { name, ty, required, sensitive, allowed, default, doc } = schema;
        Self {
            name: name.clone(),
            ty: ShapeType::Of(ty.clone()),
            required: *required,
            sensitive: *sensitive,
            allowed: allowed.clone(),
            default: default.clone(),
            doc: doc.clone(),
        }
    }
}

pub(super) fn attribute(name: &str, ty: ShapeType, doc: &str) -> AttributeShape {
    AttributeShape {
        name: name.to_owned(),
        ty,
        required: false,
        sensitive: false,
        allowed: Vec::new(),
        default: None,
        doc: doc.to_owned(),
    }
}

impl AttributeShape {
    pub(super) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) fn or(mut self, default: Json) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) fn one_of(mut self, allowed: &[&str]) -> Self {
        self.allowed = allowed.iter().map(|&a| a.to_owned()).collect();
        self
    }
}

pub(super) fn block(
    keyword: &str,
    labels: &[&'static str],
    doc: &str,
    attributes: Vec<AttributeShape>,
) -> BlockShape {
    BlockShape {
        keyword: keyword.to_owned(),
        labels: labels.to_vec(),
        doc: doc.to_owned(),
        repeat: false,
        body: BodyShape { doc: String::new(), attributes, blocks: Vec::new() },
        variants: None,
    }
}

impl BlockShape {
    pub(super) fn repeated(mut self) -> Self {
        self.repeat = true;
        self
    }

    pub(super) fn with(mut self, blocks: Vec<BlockShape>) -> Self {
        self.body.blocks = blocks;
        self
    }

    pub(super) fn typed(mut self, variants: BTreeMap<String, BodyShape>) -> Self {
        self.variants = Some(variants);
        self
    }
}
