//! What surrounds the documents of an index, kept alike while they are carried: its mapping, its aliases, the settings that
//! clients see, the templates that match it. Looked at anew before the documents of every pass, by one request a side.
//!
//! * *Before the records.* A server has a field in its mapping before it takes a document that has it. So who looks at the
//!   mapping after the last number that a pass will read knows every field of its documents, and puts it at the other side
//!   first. That side has the same `dynamic` and never guesses: its own guess of a field that the source was given as `ip`
//!   or `nested` would be `text` or `object`, and could not be taken back.
//! * *What cannot be carried* (another type, a limit) is set aside by its name, like a record: told, tried again by the next
//!   pass, and in the way of the switch.
//! * *Whose index it is.* Where Segue made the target's index both sides are to be alike. What somebody made by hand differs
//!   because they wanted it to, which the plan tells: there only what it lacks is added.
//! * *Aliases.* One that leads to another index at the other side is a route's, and is left to it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use segue_contract::{Direction, Finding, SetAside, Severity, StepError, StepIo, UnitJob};
use serde_json::{Map, Value, json};

use super::carry;
use super::carry::growth::{self, Difference};
use super::carry::settings::FINAL_PIPELINE;
use super::cluster::{Ask, Cluster, Effect};
use super::collection::one;
use super::indices::{self, Index};
use super::make::{self, MadeNote, Surroundings};
use super::names::{self, encoded};
use super::notes::{Kind, Notes};
use super::tune;

/// What stands for no pipeline.
const NO_PIPELINE: &str = "_none";
/// How many differences of one index are tried to be made right, and named.
const DIFFERENCES_MAX: usize = 100;
/// How many sentences are kept so that none is said twice; what is beyond is said again.
const TOLD_MAX: usize = 10_000;

/// One index as it is now, with its aliases.
struct Side {
    cluster: Cluster,
    index: Index,
    aliases: Map<String, Value>,
}

impl Side {
    fn of(cluster: Cluster, name: &str) -> Result<Self, StepError> {
        let (index, aliases) = indices::described(&cluster, name)?;
        Ok(Self { cluster, index, aliases })
    }
}

/// What a unit's two indices are to each other.
struct Around<'a> {
    job: &'a UnitJob,
    read: Side,
    write: Side,
    /// Whether clients are to find the side that is written: a rehearsal's copy has no aliases.
    is_for_clients: bool,
}

/// Carries what the side that is written lacks. Returns what cannot be carried.
///
/// # Errors
/// A side cannot be looked at, or not now.
pub(super) fn carry(job: &UnitJob, io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
    let mut around = Around::look(job, io)?;
    around.pipeline()?;
    let found = around.differences()?;
    let templates = around.templates()?;
    let mut left = Vec::new();
    if !found.is_empty() {
        around.put(&found)?;
        around.write = Side::of(Cluster::kept(job.writes(), io)?, &one(job.writes())?)?;
        left = around.differences()?.set_aside(&around.write.index.name, "and could not be put here");
    }
    for aside in &left {
        tell(io, finding(aside));
    }
    templates.into_iter().for_each(|finding| tell(io, finding));
    Ok(left)
}

/// What differs now; changes nothing.
///
/// # Errors
/// As of [`carry`].
pub(super) fn differences(job: &UnitJob, io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
    let around = Around::look(job, io)?;
    Ok(around.differences()?.set_aside(&around.write.index.name, "and not here yet: a pass puts it here"))
}

/// What is not alike.
#[derive(Default)]
struct Found {
    /// Fields that the side that is written lacks.
    additions: Map<String, Value>,
    missing: Vec<String>,
    mapping: Vec<Difference>,
    settings: Vec<Difference>,
    /// Aliases by name, as they are to be.
    aliases: Vec<(String, Value)>,
    /// Fields that have no counterpart.
    left_out: Vec<(String, String)>,
}

impl Found {
    fn is_empty(&self) -> bool {
        let Self { additions, missing, mapping, settings, aliases, left_out } = self;
        additions.is_empty()
            && missing.is_empty()
            && mapping.is_empty()
            && settings.is_empty()
            && aliases.is_empty()
            && left_out.is_empty()
    }

    fn set_aside(self, index: &str, lacking: &str) -> Vec<SetAside> {
        let key = |what: &str| format!("{index}: {what}");
        let missing = self.missing.iter().map(|path| SetAside {
            key: key(&format!("field {path:?}")),
            reason: format!("it is in the mapping of the other side, {lacking}"),
        });
        let differing = self.mapping.iter().chain(&self.settings).map(|difference| SetAside {
            key: key(&difference.what),
            reason: format!("the two sides differ: {}", difference.how),
        });
        let aliases = self.aliases.iter().map(|(alias, _)| SetAside {
            key: key(&format!("alias {alias:?}")),
            reason: format!("it is so at the other side, {lacking}"),
        });
        let left_out = self
            .left_out
            .iter()
            .map(|(path, why)| SetAside { key: key(&format!("field {path:?}")), reason: why.clone() });
        missing.chain(differing).chain(aliases).chain(left_out).take(DIFFERENCES_MAX).collect()
    }
}

impl<'a> Around<'a> {
    fn look(job: &'a UnitJob, io: &dyn StepIo) -> Result<Self, StepError> {
        let (from, to) = (Cluster::kept(job.reads(), io)?, Cluster::kept(job.writes(), io)?);
        let (reads, writes) = (one(job.reads())?, one(job.writes())?);
        let (read, write) = std::thread::scope(|scope| {
            let read = scope.spawn(move || Side::of(from, &reads));
            let write = Side::of(to, &writes);
            match read.join() {
                Ok(read) => (read, write),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        let is_for_clients = names::prefix(&job.target).is_empty();
        Ok(Self { job, read: read?, write: write?, is_for_clients })
    }

    fn source_and_target(&self) -> (&Side, &Side) {
        match self.job.direction {
            Direction::Forward => (&self.read, &self.write),
            Direction::Reverse => (&self.write, &self.read),
        }
    }

    /// Whether Segue made the index of the declared target.
    fn is_made(&self) -> Result<bool, StepError> {
        let (_, target) = self.source_and_target();
        let note = Notes::new(&target.cluster, Kind::Made).read::<MadeNote>(&target.index.name)?;
        Ok(note.is_some_and(|note| note.body.uuid.is_none_or(|uuid| uuid == target.index.uuid)))
    }

    /// Whether a field has another name, or is not carried: then it has no counterpart.
    fn is_transformed(&self, path: &str) -> bool {
        let transform = &self.job.transform;
        let mut named = transform.rename.keys().chain(transform.rename.values()).chain(&transform.drop);
        named.any(|name| path == name || path.starts_with(&format!("{name}.")))
    }

    fn differences(&self) -> Result<Found, StepError> {
        let (read, write) = (&self.read, &self.write);
        let leave = |path: &str| self.is_transformed(path);
        let wanted = carry::translated(&read.index, read.cluster.about()?, write.cluster.about()?);
        let lacking = growth::of_mappings(&wanted.mapping, &write.index.mapping, &leave);
        let mut there = BTreeSet::new();
        indices::fields(&write.index.mapping, &mut |path, _| {
            there.insert(path.to_owned());
        });
        let is_lacking = |(path, _): &(String, String)| !leave(path) && !there.contains(path);
        let mut found = Found {
            additions: lacking.additions,
            missing: lacking.missing,
            left_out: wanted.left_out.into_iter().filter(is_lacking).collect(),
            aliases: self.aliases()?,
            ..Found::default()
        };
        let settings = growth::of_settings(&wanted.settings, &write.index.settings);
        // What was translated on its way there would differ on its way back.
        let mapping = match self.job.direction {
            Direction::Forward => lacking.differing,
            Direction::Reverse => self.forward()?,
        };
        if !(mapping.is_empty() && settings.is_empty()) && self.is_made()? {
            (found.mapping, found.settings) = (mapping, settings);
        }
        Ok(found)
    }

    /// How fields that both have differ, as they were translated from the declared source.
    fn forward(&self) -> Result<Vec<Difference>, StepError> {
        let (source, target) = self.source_and_target();
        let wanted = carry::translated(&source.index, source.cluster.about()?, target.cluster.about()?);
        let leave = |path: &str| self.is_transformed(path);
        let mut found = growth::of_mappings(&wanted.mapping, &target.index.mapping, &leave).differing;
        // It is the declared source that is written: what it has is not undone.
        found.iter_mut().for_each(|difference| difference.put = Value::Null);
        Ok(found)
    }

    /// Aliases that the side that is written lacks, or has otherwise.
    fn aliases(&self) -> Result<Vec<(String, Value)>, StepError> {
        let (read, write) = (&self.read, &self.write);
        // In one cluster an alias would find every document twice.
        if !self.is_for_clients || read.cluster.about()?.uuid == write.cluster.about()?.uuid {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (alias, wanted) in &read.aliases {
            let is_wanted = match write.aliases.get(alias) {
                Some(there) => {
                    self.job.direction == Direction::Forward
                        && !super::texts::alike(&super::texts::sorted(wanted), &super::texts::sorted(there))
                        && self.is_made()?
                }
                None => !leads_elsewhere(&write.cluster, alias)?,
            };
            if is_wanted {
                found.push((alias.clone(), wanted.clone()));
            }
        }
        Ok(found)
    }

    /// Puts what was found at the side that is written. What that refuses is left for the next look to tell.
    fn put(&self, found: &Found) -> Result<(), StepError> {
        let name = encoded(&self.write.index.name);
        // Limits first: what is added may need them.
        for difference in found.settings.iter().take(DIFFERENCES_MAX) {
            self.ask(&Ask::change("PUT", format!("/{name}/_settings"), Some(&difference.put)))?;
        }
        let ty = match self.write.cluster.about()?.has_types() {
            true => format!("/{}", encoded(self.write.index.document_type())),
            false => String::new(),
        };
        let mapping = |body: &Value| Ask::change("PUT", format!("/{name}/_mapping{ty}"), Some(body));
        if !found.additions.is_empty() && !self.ask(&mapping(&json!({ "properties": found.additions })))? {
            // One that is refused keeps no other away.
            for (field, definition) in found.additions.iter().take(DIFFERENCES_MAX) {
                self.ask(&mapping(&json!({ "properties": { field: definition } })))?;
            }
        }
        let puts = found.mapping.iter().filter(|difference| !difference.put.is_null());
        for difference in puts.take(DIFFERENCES_MAX) {
            self.ask(&mapping(&difference.put))?;
        }
        for (alias, wanted) in found.aliases.iter().take(DIFFERENCES_MAX) {
            let mut add = wanted.as_object().cloned().unwrap_or_default();
            add.insert("index".to_owned(), json!(self.write.index.name));
            add.insert("alias".to_owned(), json!(alias));
            let body = json!({ "actions": [{ "add": add }] });
            self.ask(&Ask::change("POST", "/_aliases", Some(&body)))?;
        }
        Ok(())
    }

    /// Whether a change was taken. One that the server does not want is no error: it is told by what differs then.
    fn ask(&self, ask: &Ask) -> Result<bool, StepError> {
        match self.write.cluster.answer(ask)? {
            Ok(answer) => self.write.cluster.is_acknowledged(ask, &answer).map(|()| true),
            Err(refusal) if matches!(refusal.status, 400 | 403..=405 | 409) => Ok(false),
            Err(refusal) => Err(refusal.step(Effect::Write)),
        }
    }

    /// A pipeline that runs last at the declared source runs on whatever is written there, and would change what is carried
    /// back. It is lifted while that is: what it was is noted there, and is put back before the source is opened
    /// (`write_block`), or else before anything is carried away from it again.
    fn pipeline(&self) -> Result<(), StepError> {
        let (source, _) = self.source_and_target();
        let name = &source.index.name;
        let runs = source.index.setting(FINAL_PIPELINE);
        match (self.job.direction, runs) {
            (Direction::Reverse, Some(pipeline)) if pipeline != NO_PIPELINE => {
                let lifted = [(FINAL_PIPELINE.to_owned(), Value::from(NO_PIPELINE))].into_iter().collect();
                tune::tune(&source.cluster, name, &lifted).map(drop)
            }
            (Direction::Forward, Some(NO_PIPELINE)) => {
                tune::put_back(&source.cluster, name, &[FINAL_PIPELINE])
            }
            (Direction::Forward | Direction::Reverse, _) => Ok(()),
        }
    }

    /// Templates and pipelines of the source that are new or others since this process looked last.
    fn templates(&self) -> Result<Vec<Finding>, StepError> {
        if self.job.direction == Direction::Reverse || !self.is_for_clients {
            return Ok(Vec::new());
        }
        let from = &self.read.cluster;
        let mut seen = format!("{:?}", self.read.index.settings.get("index.default_pipeline"));
        for path in ["/_index_template", "/_component_template", "/_template"] {
            let ask = Ask::get(format!("{path}?flat_settings=true"));
            if path == "/_template" || from.about()?.has_composable_templates() {
                seen.push_str(&from.maybe(&ask)?.unwrap_or(Value::Null).to_string());
            }
        }
        let hash = xxhash_rust::xxh3::xxh3_128(seen.as_bytes());
        let unit = [&self.job.migration.to_string(), &from.about()?.uuid, &self.write.index.uuid]
            .map(String::as_str)
            .join(" ");
        if !first_time(format!("{unit} {hash:x}")) {
            return Ok(Vec::new());
        }
        let pair = [(self.read.index.name.clone(), self.write.index.name.clone())];
        let streams = self.job.target.words(super::DATA_STREAMS)?.unwrap_or_default();
        let all = Surroundings { from, to: &self.write.cluster, indices: &pair, streams: &streams };
        Ok(make::make_around(&all)?.findings)
    }
}

/// Whether an alias leads to any index of a cluster.
fn leads_elsewhere(cluster: &Cluster, alias: &str) -> Result<bool, StepError> {
    let found = cluster.maybe(&Ask::get(format!("/_alias/{}", encoded(alias))))?.unwrap_or(Value::Null);
    Ok(found.as_object().into_iter().flatten().any(|(_, index)| index["aliases"][alias].is_object()))
}

fn finding(aside: &SetAside) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "SEARCH_SURROUNDINGS".to_owned(),
        summary: format!("{}: {}", aside.key, aside.reason),
        remedy: "Make both sides alike by hand, or load the index anew: the switch waits until they are."
            .to_owned(),
    }
}

/// Says something once in a process: passes come every few seconds.
fn tell(io: &dyn StepIo, finding: Finding) {
    if first_time(finding.summary.clone()) {
        io.find(finding);
    }
}

fn first_time(what: String) -> bool {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= TOLD_MAX {
        told.clear();
    }
    told.insert(what)
}
