//! What a plan's hash covers: the spec, what the endpoints are, their settings, and all steps from the
//! recorded to the desired state, whether done or not. Never positions, counts, estimates or progress.

use std::collections::BTreeMap;

use segue_contract::{Address, Identity, Side};
use segue_language::Desired;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PlanStep, StepKind};
use crate::observe::Observed;
use crate::state::State;

/// Where a cutover stood when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoverBase {
    /// The side that served.
    pub live: Side,
    /// Whether it was finished.
    pub finished: bool,
    /// How often it had switched.
    pub switches: u64,
}

/// Everything that the hash covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// The spec, resolved.
    pub desired: Desired,
    /// Where each cutover stood.
    pub base: BTreeMap<Address, CutoverBase>,
    /// What each endpoint is.
    pub identities: BTreeMap<Address, Identity>,
    /// Each endpoint's settings.
    pub settings: BTreeMap<Address, BTreeMap<String, String>>,
    /// All steps.
    pub steps: Vec<(Address, StepKind)>,
}

/// Where every cutover of a spec stands in a state.
pub(super) fn base_of(desired: &Desired, state: &State) -> BTreeMap<Address, CutoverBase> {
    let one = |address: &Address| {
        let known = state.cutovers.get(address);
        CutoverBase {
            live: known.map_or(Side::Source, |c| c.live),
            finished: known.is_some_and(|c| c.finished),
            switches: known.map_or(0, |c| c.switches),
        }
    };
    desired.cutovers.keys().map(|address| (address.clone(), one(address))).collect()
}

/// Gathers what the hash covers.
pub fn basis(
    desired: &Desired,
    base: BTreeMap<Address, CutoverBase>,
    observed: &Observed,
    steps: &[PlanStep],
) -> Basis {
    let facts = || observed.endpoints.iter().filter_map(|(a, seen)| seen.fact().map(|f| (a, f)));
    Basis {
        desired: desired.clone(),
        base,
        identities: facts().map(|(a, f)| (a.clone(), f.identity.clone())).collect(),
        settings: facts().map(|(a, f)| (a.clone(), f.settings.clone())).collect(),
        steps: steps.iter().map(|s| (s.address.clone(), s.kind)).collect(),
    }
}

impl Basis {
    /// SHA-256 of the canonical JSON (maps are ordered, fields have a fixed order), in hexadecimal.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_vec(self)?;
        Ok(Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
