//! Collections that can no longer change, with what is known of everything inside of them. Values share their
//! insides, so a spec of `n` lines can say a value of `2^n` elements; questions about all of it are answered here,
//! once, when it is built, and never by a walk.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::{Data, Value};

/// What is known of everything inside of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inside {
    /// Something is unknown.
    pub(super) unknown: bool,
    /// Something is sensitive.
    pub(super) sensitive: bool,
    /// Something sensitive would be printed with it.
    pub(super) shows_secret: bool,
    /// What it takes written out, in bytes, roughly; sharing does not make it less.
    pub(super) weight: u64,
    /// How many collections stand inside of each other.
    pub(super) depth: u32,
}

impl Inside {
    fn and(self, other: Self) -> Self {
        Self {
            unknown: self.unknown || other.unknown,
            sensitive: self.sensitive || other.sensitive,
            shows_secret: self.shows_secret || other.shows_secret,
            weight: self.weight.saturating_add(other.weight),
            depth: self.depth.max(other.depth),
        }
    }
}

/// What can be sealed.
pub trait Collection {
    /// Everything in it.
    fn values(&self) -> impl Iterator<Item = &Value>;
    /// What its keys take, in bytes.
    fn key_bytes(&self) -> usize;
    /// Moves everything out of it.
    fn empty_into(&mut self, out: &mut Vec<Value>);
}

impl Collection for Vec<Value> {
    fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter()
    }

    fn key_bytes(&self) -> usize {
        0
    }

    fn empty_into(&mut self, out: &mut Vec<Value>) {
        out.append(self);
    }
}

impl Collection for BTreeMap<String, Value> {
    fn values(&self) -> impl Iterator<Item = &Value> {
        self.values()
    }

    fn key_bytes(&self) -> usize {
        self.keys().map(String::len).sum()
    }

    fn empty_into(&mut self, out: &mut Vec<Value>) {
        out.extend(std::mem::take(self).into_values());
    }
}

/// A collection that can no longer change. Reads like the collection itself.
#[derive(Clone, Debug)]
pub struct Sealed<C: Collection> {
    items: C,
    pub(super) inside: Inside,
}

impl<C: Collection> Sealed<C> {
    /// Seals a collection.
    pub fn new(items: C) -> Self {
        let keys = Inside { weight: items.key_bytes() as u64, ..Inside::default() };
        let inside = items.values().map(Value::inside).fold(keys, Inside::and);
        Self { items, inside }
    }
}

impl<C: Collection> Deref for Sealed<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.items
    }
}

impl<C: Collection + PartialEq> PartialEq for Sealed<C> {
    fn eq(&self, other: &Self) -> bool {
        self.inside == other.inside && self.items == other.items
    }
}

/// One after another, not one inside of another: blocks that refer to each other make chains of many thousand.
impl<C: Collection> Drop for Sealed<C> {
    fn drop(&mut self) {
        let mut left = Vec::new();
        self.items.empty_into(&mut left);
        while let Some(value) = left.pop() {
            match value.data {
                Data::List(items) | Data::Set(items) => last(items, &mut left),
                Data::Map(entries) => last(entries, &mut left),
                Data::Block(block) => {
                    if let Some(mut block) = Arc::into_inner(block) {
                        block.attributes.items.empty_into(&mut left);
                    }
                }
                Data::Null | Data::Bool(_) | Data::Number(_) | Data::String(_) | Data::Unknown => {}
            }
        }
    }
}

/// Takes what only this one holds.
fn last<C: Collection>(shared: Arc<Sealed<C>>, left: &mut Vec<Value>) {
    if let Some(mut sealed) = Arc::into_inner(shared) {
        sealed.items.empty_into(left);
    }
}
