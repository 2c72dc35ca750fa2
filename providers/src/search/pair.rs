//! What a pair of clusters says before anything is moved: one index twice, what the target would refuse, what it lacks.
//! Looks at both, and changes nothing.

mod ingest;
mod plain;
mod streams;

use std::collections::BTreeMap;

use segue_contract::{BlockRef, Finding, Severity, StepError, StepIo, UnitName};
use serde_json::Value;

use super::carry::{self, Said};
use super::cluster::{Ask, Cluster};
use super::dry::{self, Trial};
use super::indices::{self, Index};
use super::names::index_of;
use super::notes::{Kind, Notes};
use super::{make, observe, texts};

/// In how many indices versions are sampled.
const SAMPLED_MAX: usize = 100;

/// The clusters of a migration, and what moves between them.
struct Pair<'a> {
    from: &'a Cluster,
    to: &'a Cluster,
    units: Vec<Unit>,
    /// Data streams that the target block names.
    streams: Vec<String>,
}

/// One index at both ends.
struct Unit {
    at_source: String,
    at_target: String,
    source: Option<Index>,
    target: Option<Index>,
    /// Segue holds the index at the target already: what it would say now it has said before.
    begun: bool,
}

/// What is to be said of a pair. A side that cannot be looked at is told where it is observed.
pub(super) fn findings(
    source: &BlockRef,
    target: &BlockRef,
    units: &[UnitName],
    io: &dyn StepIo,
) -> Vec<Finding> {
    looked(source, target, units, io).unwrap_or_else(|error| {
        vec![Finding {
            severity: Severity::Warning,
            code: "SEARCH_NOT_COMPARED".to_owned(),
            summary: format!("{} and {} could not be compared: {error}", source.address, target.address),
            remedy: error.remedy.unwrap_or_else(|| "Plan again when both answer.".to_owned()),
        }]
    })
}

fn looked(
    source: &BlockRef,
    target: &BlockRef,
    units: &[UnitName],
    io: &dyn StepIo,
) -> Result<Vec<Finding>, StepError> {
    let (from, to) = (Cluster::of(source, io)?, Cluster::of(target, io)?);
    if units.is_empty() {
        let declared = target.words(super::DATA_STREAMS)?.unwrap_or_default();
        let nothing = nothing(source, &from)?;
        // Somebody may have named one.
        return Ok([vec![nothing], streams::left(&from, &declared)].concat());
    }
    let pair = Pair::of(source, target, units, &from, &to)?;
    let mut found = pair.same();
    if !found.is_empty() {
        return Ok(found);
    }
    for (at, unit) in pair.units.iter().enumerate() {
        let mut said = Said::new(&unit.at_source);
        match &unit.source {
            // What grew since is carried by the next pass; `drift` says it.
            _ if unit.begun => {}
            None => said.critical("SEARCH_MISSING", "it is not there", "Correct the selection, or make it."),
            Some(index) => {
                plain::index(&from, index, at < SAMPLED_MAX, &mut said)?;
                pair.carried(unit, index, &mut said)?;
            }
        }
        found.extend(said.findings);
    }
    found.extend(pair.room()?);
    found.extend(ingest::findings(&pair)?);
    found.extend(pair.plugins());
    found.extend(streams::findings(&pair));
    Ok(found)
}

impl<'a> Pair<'a> {
    fn of(
        source: &BlockRef,
        target: &BlockRef,
        units: &[UnitName],
        from: &'a Cluster,
        to: &'a Cluster,
    ) -> Result<Self, StepError> {
        let ends: Vec<(String, String)> =
            units.iter().map(|u| (index_of(source, &u.unit), index_of(target, &u.at_target))).collect();
        let names =
            |end: fn(&(String, String)) -> &String| ends.iter().map(|e| end(e).clone()).collect::<Vec<_>>();
        let (at_source, at_target) = (names(|e| &e.0), names(|e| &e.1));
        let mut sources = indices::named(from, &at_source)?;
        let mut targets = indices::named(to, &at_target)?;
        let made = observe::made(to, &at_target)?;
        let markers: BTreeMap<String, Value> =
            Notes::new(to, Kind::Marker).read_all(&at_target)?.into_iter().collect();
        let unit = |(at_source, at_target): (String, String)| Unit {
            source: sources.remove(&at_source),
            target: targets.remove(&at_target),
            begun: made.contains_key(&at_target) || markers.contains_key(&at_target),
            at_source,
            at_target,
        };
        let streams = target.words(super::DATA_STREAMS)?.unwrap_or_default();
        Ok(Self { from, to, units: ends.into_iter().map(unit).collect(), streams })
    }

    fn is_one_cluster(&self) -> bool {
        matches!((self.from.about(), self.to.about()), (Ok(a), Ok(b)) if a.uuid == b.uuid)
    }

    /// The same index twice.
    fn same(&self) -> Vec<Finding> {
        let twice: Vec<&str> =
            self.units.iter().filter(|u| u.at_source == u.at_target).map(|u| u.at_source.as_str()).collect();
        if !self.is_one_cluster() || twice.is_empty() {
            return Vec::new();
        }
        vec![Finding {
            severity: Severity::Critical,
            code: "SEARCH_SAME".to_owned(),
            summary: format!(
                "{} and {} are the same cluster, and {} would be moved onto itself",
                self.from.address,
                self.to.address,
                shown(&twice)
            ),
            remedy: "Name another cluster as the target, or give the indices other names there with select { rename }.".to_owned(),
        }]
    }

    /// What becomes of an index at the target.
    fn carried(&self, unit: &Unit, index: &Index, said: &mut Said) -> Result<(), StepError> {
        let to = self.to.about()?;
        let mut wanted = make::wanted(self.from, index, self.to)?;
        if let Some(there) = &unit.target {
            wanted.settle(&there.mapping);
        }
        said.findings.append(&mut wanted.findings);
        if let Some(there) = &unit.target {
            there_already(unit, there, &wanted, said);
            return Ok(());
        }
        let (trial, dropped) = dry::tried(self.to, &unit.at_target, &mut wanted)?;
        for name in dropped {
            said.warning(
                "SEARCH_SETTING",
                format!("{name} is not known to {to}, and is left out"),
                "See whether the target needs something in its place.",
            );
        }
        match trial {
            Trial::Well => {}
            Trial::Refused(why) => said.critical(
                "SEARCH_REFUSED",
                format!("{to} would not make it: {why}"),
                "Install at the target what it lacks (an analysis plugin, a dictionary), or make the index there by hand, without it.",
            ),
            Trial::Unknown(why) => said.info(
                "SEARCH_NOT_TRIED",
                format!("whether the target would make it shows when it is made: {why}"),
                "Rehearse the cutover first.",
            ),
        }
        Ok(())
    }

    /// Whether the target takes as many shards more.
    fn room(&self) -> Result<Vec<Finding>, StepError> {
        let health = self.to.json(&Ask::get("/_cluster/health"))?;
        let Some(left) = observe::shards_left(self.to, &health)? else {
            return Ok(Vec::new());
        };
        let number =
            |index: &Index, name: &str| index.setting(name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(1);
        let new = self.units.iter().filter(|u| u.target.is_none()).filter_map(|u| u.source.as_ref());
        let shards =
            |i: &Index| number(i, "index.number_of_shards") * (1 + number(i, "index.number_of_replicas"));
        let needed: u64 = new.map(shards).sum();
        if needed <= left {
            return Ok(Vec::new());
        }
        Ok(vec![Finding {
            severity: Severity::Critical,
            code: "SEARCH_SHARDS".to_owned(),
            summary: format!(
                "{}: the indices need {needed} shards, and it takes {left} more",
                self.to.address
            ),
            remedy: "Raise cluster.max_shards_per_node there, add nodes, or move fewer indices at once."
                .to_owned(),
        }])
    }

    /// Plugins that could matter and that the target lacks. A cluster that does not list them says nothing.
    fn plugins(&self) -> Vec<Finding> {
        let of = |cluster: &Cluster| {
            let rows = cluster.maybe(&Ask::get("/_cat/plugins?format=json&h=component")).ok().flatten();
            let rows = rows.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
            let mut names: Vec<String> =
                rows.iter().filter_map(|row| row["component"].as_str().map(str::to_owned)).collect();
            names.sort();
            names.dedup();
            names
        };
        let there = of(self.to);
        let matters =
            |name: &str| ["analysis-", "mapper-", "ingest-"].iter().any(|head| name.starts_with(head));
        let ours = of(self.from);
        let lacking: Vec<&str> =
            ours.iter().filter(|name| matters(name) && !there.contains(name)).map(String::as_str).collect();
        if lacking.is_empty() {
            return Vec::new();
        }
        vec![Finding {
            severity: Severity::Info,
            code: "SEARCH_PLUGINS".to_owned(),
            summary: format!(
                "{} has plugins that {} lacks: {}",
                self.from.address,
                self.to.address,
                shown(&lacking)
            ),
            remedy: "An index that needs one is refused, and is told above; queries that need one fail."
                .to_owned(),
        }]
    }
}

/// A migration that would move nothing.
fn nothing(source: &BlockRef, from: &Cluster) -> Result<Finding, StepError> {
    let offer = indices::Offer::of(source)?;
    let all = indices::all(from)?;
    let offered: Vec<&str> =
        all.values().filter(|index| offer.takes(index)).map(|i| i.name.as_str()).collect();
    let what = if offered.is_empty() {
        "it offers none".to_owned()
    } else {
        format!("it offers {}", shown(&offered))
    };
    Ok(Finding {
        severity: Severity::Critical,
        code: "SEARCH_MISSING".to_owned(),
        summary: format!("no index of {} is selected: {what}", source.address),
        remedy: "Correct select { include } or the source's indices, or make the index.".to_owned(),
    })
}

/// An index of that name is at the target, and Segue did not make it.
fn there_already(unit: &Unit, there: &Index, wanted: &carry::Translated, said: &mut Said) {
    let name = &unit.at_target;
    if !there.is_open {
        said.critical("SEARCH_CLOSED", format!("{name:?} at the target is closed"), "Open it, or delete it.");
    }
    if there.records.is_some_and(|n| n > 0) {
        said.critical(
            "SEARCH_NOT_EMPTY",
            format!("{name:?} at the target holds {} documents that segue did not carry there", there.records.unwrap_or(0)),
            "Look at what is in it, then delete it, or move to another name with select { rename }: what the source does not have would be deleted there.",
        );
    }
    if there.is("index.blocks.read_only_allow_delete")
        || there.is("index.blocks.write")
        || there.is("index.blocks.read_only")
    {
        said.critical(
            "SEARCH_BLOCKED",
            format!("{name:?} at the target refuses writes"),
            "Lift its block (`PUT /INDEX/_settings`); one for a full disk goes when there is room.",
        );
    }
    let mut other = Vec::new();
    if !texts::alike(&texts::sorted(&wanted.mapping), &texts::sorted(&there.mapping)) {
        other.push("mapping");
    }
    let analysis = |settings: &serde_json::Map<String, Value>| -> Value {
        let kept = settings.iter().filter(|(name, _)| name.starts_with("index.analysis."));
        Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    if !texts::alike(&analysis(&wanted.settings), &analysis(&there.settings)) {
        other.push("analysis");
    }
    if !other.is_empty() {
        said.warning(
            "SEARCH_DIFFERS",
            format!("{name:?} at the target was made with another {}", other.join(" and another ")),
            "It is filled as it is: see the difference in the plan, or delete it to have it made from the source's.",
        );
    }
}

/// The first names of a list.
fn shown(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
