//! Values of the language: data, and two properties that spread through expressions: a value may be
//! unknown until apply, and it may be sensitive.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use segue_contract::Address;

use sealed::Inside;
pub use sealed::{Collection, Sealed};

mod sealed;
#[cfg(test)]
mod tests;

/// What a value may take written out, in bytes: above what the longest text and the longest list of the functions
/// take, and below what takes the machine's memory.
pub(super) const MAX_WEIGHT: u64 = 64 << 20;

/// What a value that is no text weighs, and a text beside its letters.
const VALUE_WEIGHT: u64 = 32;

/// How deep values may be nested: what is written as JSON can be read again by readers that stop at 128.
pub(super) const MAX_DEPTH: u32 = 100;

/// From this weight on, comparing remembers what was found equal: below, it is quicker to look again.
const REMEMBERED_WEIGHT: u64 = 64 << 10;

/// Written out, a value would take more than can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("written out, this value would take more than {} MiB", MAX_WEIGHT >> 20)]
pub struct TooLarge;

/// A value. Cloning is cheap: collections are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Whether it must not be shown or stored, and where it can be read again.
    pub sensitive: Sensitivity,
}

/// Whether a value must not be shown or stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sensitivity {
    /// It may be shown.
    #[default]
    Open,
    /// It must not; it is exactly the value of this environment variable.
    Env(Arc<str>),
    /// It must not; computed from sensitive values.
    Secret,
}

/// The kinds of data.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Arc<str>),
    /// A list.
    List(Arc<Sealed<Vec<Value>>>),
    /// A set: sorted, no two equal.
    Set(Arc<Sealed<Vec<Value>>>),
    /// A map or object; iterated in key order, as Terraform does.
    Map(Arc<Sealed<BTreeMap<String, Value>>>),
    /// A block: what `source.directory.old` evaluates to. Its attributes can be read with `.name`.
    Block(Arc<BlockValue>),
    /// Not known before apply.
    Unknown,
}

/// A block as a value.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockValue {
    /// Its address.
    pub address: Address,
    /// Its attributes.
    pub attributes: Sealed<BTreeMap<String, Value>>,
}

/// A number: whole where it can be, never silently wrapped.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other; never NaN or infinite.
    Float(f64),
}

impl Number {
    /// As a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }

    /// As a whole number, where it is one.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(i),
            Self::Float(f) if f.fract() == 0.0 && f.abs() < 9.0e15 => Some(f as i64),
            Self::Float(_) => None,
        }
    }

    /// From a float; whole values become [`Number::Int`]; `None` for NaN and infinities.
    pub fn from_f64(f: f64) -> Option<Self> {
        if !f.is_finite() {
            return None;
        }
        Some(match Self::Float(f).as_i64() {
            Some(i) => Self::Int(i),
            None => Self::Float(f),
        })
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Number {}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (a, b) => a.as_f64().total_cmp(&b.as_f64()),
        }
    }
}

impl Value {
    /// A value that may be shown.
    pub fn open(data: Data) -> Self {
        Self { data, sensitive: Sensitivity::Open }
    }
    /// `null`
    pub fn null() -> Self {
        Self::open(Data::Null)
    }
    /// Not known before apply.
    pub fn unknown() -> Self {
        Self::open(Data::Unknown)
    }
    /// A boolean.
    pub fn bool(b: bool) -> Self {
        Self::open(Data::Bool(b))
    }
    /// A whole number.
    pub fn int(i: i64) -> Self {
        Self::open(Data::Number(Number::Int(i)))
    }
    /// A string.
    pub fn string(s: impl Into<Arc<str>>) -> Self {
        Self::open(Data::String(s.into()))
    }
    /// A list.
    pub fn list(items: Vec<Value>) -> Self {
        Self::open(Data::List(Arc::new(Sealed::new(items))))
    }
    /// A set: sorts, drops equals.
    pub fn set(mut items: Vec<Value>) -> Self {
        items.sort_by(Value::order);
        items.dedup_by(|a, b| a.order(b) == Ordering::Equal);
        Self::open(Data::Set(Arc::new(Sealed::new(items))))
    }
    /// A map.
    pub fn map(entries: BTreeMap<String, Value>) -> Self {
        Self::open(Data::Map(Arc::new(Sealed::new(entries))))
    }

    /// Whether it must not be shown.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive != Sensitivity::Open
    }

    /// Whether it, or anything inside it, must not be shown.
    pub fn is_sensitive_deep(&self) -> bool {
        self.inside().sensitive
    }

    /// Whether it is itself unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self.data, Data::Unknown)
    }

    /// Whether it, or anything inside it, is unknown.
    pub fn is_unknown_deep(&self) -> bool {
        self.inside().unknown
    }

    /// Whether printing it would print something sensitive. Blocks print as their addresses, whatever
    /// secrets their attributes hold.
    pub fn shows_secret(&self) -> bool {
        self.inside().shows_secret
    }

    /// What it takes written out, in bytes, roughly.
    pub(super) fn weight(&self) -> u64 {
        self.inside().weight
    }

    /// How many collections stand inside of each other.
    pub(super) fn depth(&self) -> u32 {
        self.inside().depth
    }

    /// What is known of it and all in it; takes no walk.
    fn inside(&self) -> Inside {
        let text = |bytes: usize| Inside { weight: bytes as u64, ..Inside::default() };
        let mut inside = match &self.data {
            Data::List(items) | Data::Set(items) => Inside { depth: items.inside.depth + 1, ..items.inside },
            Data::Map(entries) => Inside { depth: entries.inside.depth + 1, ..entries.inside },
            Data::Block(block) => {
                let Inside { unknown, sensitive, .. } = block.attributes.inside;
                Inside { unknown, sensitive, ..text(block.address.as_str().len()) }
            }
            Data::String(letters) => text(letters.len()),
            Data::Unknown => Inside { unknown: true, ..Inside::default() },
            Data::Null | Data::Bool(_) | Data::Number(_) => Inside::default(),
        };
        inside.sensitive |= self.is_sensitive();
        inside.shows_secret |= self.is_sensitive();
        inside.weight = inside.weight.saturating_add(VALUE_WEIGHT);
        inside
    }

    /// The same data, at least as sensitive as `others`: the result of computing with them. Where
    /// something was computed, it is no longer exactly an environment variable's value.
    #[must_use]
    pub fn tainted_by<'a>(mut self, others: impl IntoIterator<Item = &'a Value>) -> Self {
        if others.into_iter().any(Value::is_sensitive) {
            self.sensitive = Sensitivity::Secret;
        }
        self
    }

    /// The word for messages: `string`, `number`, `list`, ...
    pub fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Bool(_) => "bool",
            Data::Number(_) => "number",
            Data::String(_) => "string",
            Data::List(_) => "list",
            Data::Set(_) => "set",
            Data::Map(_) => "map",
            Data::Block(_) => "block",
            Data::Unknown => "unknown value",
        }
    }

    /// A total order for sets and `sort`: by kind, then by value; sensitivity does not count. Takes as long as
    /// what is held is large, not as long as it would be written out.
    pub fn order(&self, other: &Self) -> Ordering {
        Comparison::default().values(self, other)
    }
}

/// A comparison of two values that looks at nothing twice.
#[derive(Default)]
struct Comparison {
    /// Collections found equal, by their places in memory: what differs ends a comparison, so nothing else needs
    /// to be remembered.
    equal: HashSet<(usize, usize)>,
}

impl Comparison {
    fn values(&mut self, one: &Value, other: &Value) -> Ordering {
        fn rank(data: &Data) -> u8 {
            match data {
                Data::Null => 0,
                Data::Bool(_) => 1,
                Data::Number(_) => 2,
                Data::String(_) => 3,
                Data::List(_) => 4,
                Data::Set(_) => 5,
                Data::Map(_) => 6,
                Data::Block(_) => 7,
                Data::Unknown => 8,
            }
        }
        match (&one.data, &other.data) {
            (Data::Bool(a), Data::Bool(b)) => a.cmp(b),
            (Data::Number(a), Data::Number(b)) => a.cmp(b),
            (Data::String(a), Data::String(b)) => a.cmp(b),
            (Data::List(a) | Data::Set(a), Data::List(b) | Data::Set(b)) => {
                self.shared(a, b, |this| this.each(a, b))
            }
            (Data::Map(a), Data::Map(b)) => self.shared(a, b, |this| this.entries(a, b)),
            (Data::Block(a), Data::Block(b)) => a.address.cmp(&b.address),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    fn shared<C: Collection>(
        &mut self,
        one: &Arc<Sealed<C>>,
        other: &Arc<Sealed<C>>,
        compare: impl FnOnce(&mut Self) -> Ordering,
    ) -> Ordering {
        if Arc::ptr_eq(one, other) {
            return Ordering::Equal;
        }
        let remember = one.inside.weight.min(other.inside.weight) >= REMEMBERED_WEIGHT;
        let places = (Arc::as_ptr(one).addr(), Arc::as_ptr(other).addr());
        if remember && self.equal.contains(&places) {
            return Ordering::Equal;
        }
        let order = compare(self);
        if remember && order == Ordering::Equal {
            self.equal.insert(places);
        }
        order
    }

    fn each(&mut self, one: &[Value], other: &[Value]) -> Ordering {
        one.iter()
            .zip(other)
            .map(|(a, b)| self.values(a, b))
            .find(|order| *order != Ordering::Equal)
            .unwrap_or_else(|| one.len().cmp(&other.len()))
    }

    /// The first key in which they differ decides; not to have it is less.
    fn entries(&mut self, one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> Ordering {
        for ((a_key, a), (b_key, b)) in one.iter().zip(other) {
            let order = b_key.cmp(a_key).then_with(|| self.values(a, b));
            if order != Ordering::Equal {
                return order;
            }
        }
        one.len().cmp(&other.len())
    }
}

impl Value {
    /// As text, where it has one: strings, numbers, booleans. What templates and object keys print.
    pub fn to_text(&self) -> Option<String> {
        match &self.data {
            Data::String(s) => Some(s.to_string()),
            Data::Number(Number::Int(i)) => Some(i.to_string()),
            Data::Number(Number::Float(f)) => Some(f.to_string()),
            Data::Bool(b) => Some(b.to_string()),
            Data::Null | Data::List(_) | Data::Set(_) | Data::Map(_) | Data::Block(_) | Data::Unknown => None,
        }
    }

    /// As JSON; blocks are their addresses, the unknown is null.
    ///
    /// # Errors
    /// It would take more memory than can be had.
    pub fn to_json(&self) -> Result<serde_json::Value, TooLarge> {
        if self.weight() > MAX_WEIGHT { Err(TooLarge) } else { Ok(self.json()) }
    }

    fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.data {
            Data::Null | Data::Unknown => Json::Null,
            Data::Bool(b) => Json::Bool(*b),
            Data::Number(Number::Int(i)) => Json::from(*i),
            Data::Number(Number::Float(f)) => Json::from(*f),
            Data::String(s) => Json::from(&**s),
            Data::List(items) | Data::Set(items) => items.iter().map(Self::json).collect(),
            Data::Map(map) => map.iter().map(|(k, v)| (k.clone(), v.json())).collect(),
            Data::Block(block) => Json::from(block.address.as_str()),
        }
    }

    /// From JSON.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::null(),
            Json::Bool(b) => Self::bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_f64().and_then(Number::from_f64)) {
                (Some(i), _) => Self::int(i),
                (None, Some(n)) => Self::open(Data::Number(n)),
                (None, None) => Self::null(),
            },
            Json::String(s) => Self::string(s.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => {
                Self::map(map.iter().map(|(k, v)| (k.clone(), Self::from_json(v))).collect())
            }
        }
    }
}
