//! The units of a cluster as the documents engine makes, serves and removes them.

use std::sync::Arc;

use segue_contract::{BlockRef, Direction, Finding, LoadModeSchema, SetAside, StepError, StepIo, UnitJob};
use serde_json::{Map, Value};

use super::IndexCollection;
use crate::engines::documents::{Collection, Documents, Memo, Stand};
use crate::search::carry::settings::FINAL_PIPELINE;
use crate::search::cluster::Cluster;
use crate::search::indices::{self, Offer};
use crate::search::make::{self, Surroundings};
use crate::search::{fill, names, surroundings, tune};

/// How long the receiver remembers deletions, so that a late write of a dead sender is refused.
const GC_DELETES: &str = "index.gc_deletes";
/// Longer than any retry with the resume after it: a day.
const REMEMBERED: &str = "24h";

/// Indices of Elasticsearch and OpenSearch clusters as collections.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchDocuments;

/// The one index that a block is narrowed to.
pub(in crate::search) fn one(block: &BlockRef) -> Result<String, StepError> {
    let mut scope = names::scope(block)?;
    match (scope.pop(), scope.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(StepError::permanent(format!("{}: more than one index is named", block.address))),
    }
}

fn tell(io: &dyn StepIo, findings: Vec<Finding>) {
    for finding in findings {
        io.find(finding);
    }
}

impl Documents for SearchDocuments {
    fn open(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Arc<dyn Collection>, StepError> {
        Ok(Arc::new(IndexCollection::open(Cluster::kept(block, io)?, one(block)?)?))
    }

    fn exists(&self, block: &BlockRef, io: &dyn StepIo) -> Result<bool, StepError> {
        Ok(!indices::settings_if_there(&Cluster::kept(block, io)?, &one(block)?)?.is_empty())
    }

    /// Pipelines and templates come first, aliases last. The surroundings are made for the declared target alone: on the
    /// way back the source has its own.
    fn make(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        let (from, to) = (Cluster::kept(job.reads(), io)?, Cluster::kept(job.writes(), io)?);
        let (source, target) = (one(job.reads())?, one(job.writes())?);
        let Some(index) = indices::named(&from, std::slice::from_ref(&source))?.remove(&source) else {
            return Err(indices::absent(&from, &source));
        };
        let pair = [(source, target.clone())];
        let streams = job.target.words(crate::search::DATA_STREAMS)?.unwrap_or_default();
        let around = Surroundings { from: &from, to: &to, indices: &pair, streams: &streams };
        let is_for_clients = job.direction == Direction::Forward && names::prefix(job.writes()).is_empty();
        let mut made = if is_for_clients { make::make_around(&around)? } else { make::Around::default() };
        let index = make::make_index(&from, &index, &to, &target, true)?;
        if is_for_clients {
            make::make_aliases(&around, &mut made)?;
        }
        tell(io, index.findings);
        tell(io, made.findings);
        Ok(())
    }

    fn serve(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        make::loaded(&Cluster::kept(job.writes(), io)?, &one(job.writes())?)
    }

    fn surround(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
        surroundings::carry(job, io)
    }

    fn surroundings(&self, job: &UnitJob, io: &dyn StepIo) -> Result<Vec<SetAside>, StepError> {
        surroundings::differences(job, io)
    }

    fn remember(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        let wanted: Map<String, Value> =
            [(GC_DELETES.to_owned(), Value::from(REMEMBERED))].into_iter().collect();
        tune::tune(&Cluster::kept(job.writes(), io)?, &one(job.writes())?, &wanted).map(drop)
    }

    fn forget(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        tune::put_back(&Cluster::kept(job.writes(), io)?, &one(job.writes())?, &[GC_DELETES, FINAL_PIPELINE])
    }

    fn fill_modes(&self) -> Vec<LoadModeSchema> {
        fill::modes()
    }

    fn check_fill(&self, job: &UnitJob, io: &dyn StepIo) -> Vec<Finding> {
        fill::check(job, io)
    }

    fn fill(&self, job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<Option<Stand>, StepError> {
        fill::fill(job, memo, io)
    }

    fn unfill(&self, job: &UnitJob, memo: &Memo, io: &dyn StepIo) -> Result<(), StepError> {
        fill::unfill(job, memo, io)
    }

    fn remove(&self, job: &UnitJob, io: &dyn StepIo) -> Result<(), StepError> {
        make::release_index(&Cluster::kept(&job.target, io)?, &one(&job.target)?).map(drop)
    }

    fn names(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Vec<String>, StepError> {
        let offer = Offer::of(block)?;
        // Asked in the pause: statistics of every index would be waited for.
        let all = indices::known(&Cluster::kept(block, io)?)?;
        let prefix = names::prefix(block);
        let taken = all.iter().filter(|index| if prefix.is_empty() { offer.takes(index) } else { true });
        Ok(taken.filter_map(|index| index.name.strip_prefix(prefix).map(str::to_owned)).collect())
    }
}
