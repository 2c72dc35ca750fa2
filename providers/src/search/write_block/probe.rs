//! A write by the writers' own way that cannot do anything when it gets through.
//!
//! It deletes a document on the condition that its last change has a number that no shard reaches. An open shard refuses
//! that as a conflict before it gives the operation a number: nothing is written, no position moves. A closed one refuses
//! it before it looks.

use segue_contract::{BarrierState, StepError};
use serde_json::{Map, Value};

use super::BLOCK;
use crate::search::cluster::{Ask, Cluster};
use crate::search::indices::{self, Index};
use crate::search::names::encoded;
use crate::search::refusal::Refusal;

/// The condition: half of the highest number that there is.
const NUMBER: u64 = 1 << 62;
/// Of nothing that exists.
const ID: &str = "segue-probe";

/// Tries each index. One that takes writes is enough for `Open`, one that says neither for `Unknown`.
pub(super) fn indices(cluster: &Cluster, names: &[String]) -> Result<BarrierState, StepError> {
    let settings = indices::settings_of(cluster, names)?;
    let types =
        if cluster.about()?.has_types() { indices::named(cluster, names)? } else { Default::default() };
    let mut unknown = None;
    let mut said = String::new();
    for (name, settings) in &settings {
        match one(cluster, name, settings, types.get(name))? {
            BarrierState::Open => return Ok(BarrierState::Open),
            BarrierState::Unknown(why) => unknown = unknown.or(Some(why)),
            BarrierState::Closed(why) => said = why,
        }
    }
    Ok(match (unknown, names.len()) {
        (Some(why), _) => BarrierState::Unknown(why),
        (None, 1) => BarrierState::Closed(said),
        (None, n) => BarrierState::Closed(format!("the probe writes to {n} indices were refused ({said})")),
    })
}

fn one(
    cluster: &Cluster,
    name: &str,
    settings: &Map<String, Value>,
    typed: Option<&Index>,
) -> Result<BarrierState, StepError> {
    if typed.is_some_and(|index| index.types.is_empty()) {
        return Ok(by_setting(name, settings));
    }
    let ty = typed.map_or("_doc", Index::document_type);
    let path = format!(
        "/{}/{}/{ID}?routing={ID}&if_seq_no={NUMBER}&if_primary_term=1&wait_for_active_shards=1&timeout=2s",
        encoded(name),
        encoded(ty)
    );
    Ok(match cluster.answer(&Ask::change("DELETE", path, None)) {
        Ok(Err(refusal)) if refusal.status == 409 && refusal.is("version_conflict_engine_exception") => {
            BarrierState::Open
        }
        Ok(Err(refusal)) if refusal.is("cluster_block_exception") => blocked(name, settings, &refusal),
        Ok(Err(refusal)) => BarrierState::Unknown(refusal.to_string()),
        Ok(Ok(_)) => BarrierState::Unknown(format!("index {name} took a delete that no server should take")),
        Err(error) => BarrierState::Unknown(error.to_string()),
    })
}

/// An index of Elasticsearch 6 without a type yet would get one by a probe.
fn by_setting(name: &str, settings: &Map<String, Value>) -> BarrierState {
    match settings.get(BLOCK).and_then(Value::as_str) {
        Some("true") => BarrierState::Closed(format!("index {name} has {BLOCK}")),
        _ => BarrierState::Open,
    }
}

/// A block that stays until somebody lifts it, or one for a full disk, which goes by itself.
fn blocked(name: &str, settings: &Map<String, Value>, refusal: &Refusal) -> BarrierState {
    let is = |name: &str| settings.get(name).is_some_and(|value| value == "true");
    if is(BLOCK) || is("index.blocks.read_only") {
        return BarrierState::Closed(format!(
            "the probe write to {name} was refused: {}",
            refusal.reason.trim_end_matches(';')
        ));
    }
    BarrierState::Unknown(format!(
        "index {name} refuses writes by a block that can go by itself: {}",
        refusal.reason.trim_end_matches(';')
    ))
}
