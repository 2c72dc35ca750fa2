//! Which migrations would be in each other's way: two that write one thing, or one that reads what another writes.
//!
//! The same question is asked twice. The language asks it of what the spec says, and the plan of what was observed: two
//! paths may be one directory, two addresses one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use segue_contract::{Address, Side, SystemPath};

use crate::desired::{CutoverDecl, Desired, MigrationDecl};

/// So many are told: whoever copied one block a thousand times sees it from the first.
const CONFLICTS_MAX: usize = 100;

/// One end of a migration.
#[derive(Clone, Debug, Default)]
pub struct Use {
    /// Where its endpoint is; several where that can be said in several ways.
    pub places: Vec<SystemPath>,
    /// The names of its units there, as far as they are known.
    pub units: Vec<String>,
}

/// Two migrations that cannot both be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The first migration in order; it writes to its target.
    pub first: Address,
    /// The other one.
    pub second: Address,
    /// Which side of the second meets the target of the first.
    pub side: Side,
    /// Whether the two are one place, rather than one inside the other.
    pub same: bool,
    /// The place of the first.
    pub first_at: String,
    /// The place of the second.
    pub second_at: String,
}

impl Conflict {
    /// What is wrong, one sentence.
    pub fn summary(&self) -> String {
        let Self { first, second, side, same, first_at, second_at } = self;
        match (side, same) {
            (Side::Target, true) => format!("{first} and {second} both write to {first_at}"),
            (Side::Target, false) => {
                format!("{first} writes to {first_at} and {second} to {second_at}: one lies inside the other")
            }
            (Side::Source, true) => format!("{first} writes to {first_at}, which {second} reads"),
            (Side::Source, false) => {
                format!(
                    "{first} writes to {first_at} and {second} reads {second_at}: one lies inside the other"
                )
            }
        }
    }

    /// What to do.
    pub fn help(&self, desired: &Desired) -> String {
        let Self { first, second, side, same, .. } = self;
        match side {
            Side::Target if *same => {
                "give each migration a target of its own; units with other names in one cluster are such"
                    .to_owned()
            }
            Side::Source if *same => {
                match (owner(desired, first), owner(desired, second)) {
                    (Some(one), Some(other)) => format!(
                        "where one follows the other, say so in {other}: depends_on = [{one}]; else name another target"
                    ),
                    _ => "where one follows the other, give each a cutover, the second with depends_on on the first; \
                          else name another target"
                        .to_owned(),
                }
            }
            Side::Target | Side::Source => "name directories of which none lies inside another".to_owned(),
        }
    }
}

fn owner<'d>(desired: &'d Desired, migration: &Address) -> Option<&'d Address> {
    cutover_of(desired, migration).map(|c| &c.address)
}

fn cutover_of<'d>(desired: &'d Desired, migration: &Address) -> Option<&'d CutoverDecl> {
    desired.cutovers.values().find(|c| c.migrations.contains(migration))
}

/// A thing that migrations write or read: a tree's root, or a unit by its name.
type Thing = (String, PathBuf);

#[derive(Default)]
struct Users<'d> {
    writers: Vec<&'d MigrationDecl>,
    readers: Vec<&'d MigrationDecl>,
}

/// The conflicts of a spec; `ends` says where a migration's end is.
pub fn conflicts(desired: &Desired, ends: impl Fn(&MigrationDecl, Side) -> Use) -> Vec<Conflict> {
    let cutovers: BTreeMap<&Address, &CutoverDecl> =
        desired.cutovers.values().flat_map(|c| c.migrations.iter().map(move |m| (m, c))).collect();
    let order = Order { desired, cutovers };
    let mut users: BTreeMap<Thing, Users<'_>> = BTreeMap::new();
    for decl in desired.migrations.values() {
        for thing in things(&ends(decl, Side::Target)) {
            users.entry(thing).or_default().writers.push(decl);
        }
        for thing in things(&ends(decl, Side::Source)) {
            users.entry(thing).or_default().readers.push(decl);
        }
    }
    let mut found = BTreeMap::new();
    for (thing, inner) in &users {
        for above in thing.1.ancestors() {
            let Some(outer) = users.get(&(thing.0.clone(), above.to_path_buf())) else { continue };
            let same = above == thing.1;
            let mut meet = |writer: (&MigrationDecl, &Path), other: (&MigrationDecl, &Path), side| {
                if found.len() < CONFLICTS_MAX && order.clash(writer.0, other.0, side, same) {
                    let conflict = conflict(&thing.0, writer, other, side, same);
                    let key = (conflict.first.clone(), conflict.second.clone(), side);
                    found.entry(key).or_insert(conflict);
                }
            };
            let inside = thing.1.as_path();
            // Of many that share one thing, each meets the first: that shows it, and takes no square of their number.
            for writer in &inner.writers {
                outer.writers.first().iter().for_each(|o| meet((o, above), (writer, inside), Side::Target));
                outer.readers.iter().for_each(|o| meet((writer, inside), (o, above), Side::Source));
            }
            if !same {
                for reader in &inner.readers {
                    outer.writers.iter().for_each(|o| meet((o, above), (reader, inside), Side::Source));
                }
            }
        }
    }
    found.into_values().collect()
}

fn things(used: &Use) -> BTreeSet<Thing> {
    let of = |place: &SystemPath| match &place.path {
        Some(path) => vec![(place.system.clone(), path.clone())],
        None => used.units.iter().map(|unit| (place.system.clone(), PathBuf::from(unit))).collect(),
    };
    used.places.iter().flat_map(of).collect()
}

fn conflict(
    system: &str,
    (writer, at): (&MigrationDecl, &Path),
    (other, other_at): (&MigrationDecl, &Path),
    side: Side,
    same: bool,
) -> Conflict {
    let shown =
        |path: &Path| SystemPath { system: system.to_owned(), path: Some(path.to_path_buf()) }.to_string();
    Conflict {
        first: writer.address.clone(),
        second: other.address.clone(),
        side,
        same,
        first_at: shown(at),
        second_at: shown(other_at),
    }
}

/// Which migrations are over, and which come after others.
struct Order<'d> {
    desired: &'d Desired,
    cutovers: BTreeMap<&'d Address, &'d CutoverDecl>,
}

impl Order<'_> {
    fn clash(&self, writer: &MigrationDecl, other: &MigrationDecl, side: Side, same: bool) -> bool {
        let of = |decl: &MigrationDecl| self.cutovers.get(&decl.address).copied();
        let abandoned = |c: Option<&CutoverDecl>| c.is_some_and(|c| c.finished && c.live == Side::Source);
        let finished = |c: Option<&CutoverDecl>| c.is_some_and(|c| c.finished);
        let (one, two) = (of(writer), of(other));
        match side {
            Side::Target => writer.address != other.address && !abandoned(one) && !abandoned(two),
            // Whether a migration's own two sides are one is told by the check of the pair, which knows more ways.
            // What is finished neither reads nor writes any more.
            Side::Source if finished(one) || finished(two) => false,
            Side::Source => {
                let chained = one.zip(two).is_some_and(|(one, two)| self.follows(two, &one.address));
                writer.address != other.address && !(same && chained)
            }
        }
    }

    /// Whether a cutover depends on another one, directly or not.
    fn follows(&self, cutover: &CutoverDecl, on: &Address) -> bool {
        let mut open = vec![cutover];
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if at.depends_on.contains(on) {
                return true;
            }
            let next = at.depends_on.iter().filter_map(|a| self.desired.cutovers.get(a));
            open.extend(next.filter(|c| seen.insert(&c.address)));
        }
        false
    }
}
