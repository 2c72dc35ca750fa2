//! The plan file: exactly one plan, to be reviewed, approved and applied, and refused when what it rests
//! on has changed.

use std::collections::BTreeMap;

use segue_contract::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Basis, Plan};
use crate::state::State;

/// The version of the layout.
pub const PLAN_FILE_VERSION: u32 = 1;
const FORMAT: &str = "segue plan";

/// A plan as a file: canonical JSON, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanFile {
    /// `segue plan`
    pub format: String,
    /// [`PLAN_FILE_VERSION`] of the writer.
    pub version: u32,
    /// Segue's version that made it.
    pub tool: String,
    /// The plan.
    pub plan: Plan,
    /// SHA-256 of the plan's canonical JSON: a file cut short or edited is told.
    pub checksum: String,
    /// The variables that it was made with, less those that must not be shown: `apply FILE` needs only those. An edited
    /// one leads to another spec, which is told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, serde_json::Value>,
}

/// Why a plan file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// Not JSON, or cut short.
    #[error("is not a whole plan file: {0}")]
    Unreadable(String),
    /// JSON, but something else.
    #[error("is not a plan file (its format says {0:?})")]
    OtherFormat(String),
    /// Written by a later version.
    #[error("has plan file version {0}; this segue reads up to {PLAN_FILE_VERSION}")]
    Later(u32),
    /// Edited or damaged.
    #[error("was changed after it was written (its checksum does not match)")]
    Checksum,
}

/// One reason why a plan no longer fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale(pub String);

fn checksum(plan: &Plan) -> Result<String, serde_json::Error> {
    let text = serde_json::to_vec(plan)?;
    Ok(Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect())
}

impl PlanFile {
    /// Wraps a plan. `tool` is this version of Segue.
    pub fn new(plan: Plan, tool: &str) -> Result<Self, serde_json::Error> {
        let checksum = checksum(&plan)?;
        Ok(Self {
            format: FORMAT.to_owned(),
            version: PLAN_FILE_VERSION,
            tool: tool.to_owned(),
            plan,
            checksum,
            variables: BTreeMap::new(),
        })
    }

    /// With the variables that the plan was made with.
    #[must_use]
    pub fn with_variables(mut self, variables: BTreeMap<String, serde_json::Value>) -> Self {
        self.variables = variables;
        self
    }

    /// The file's text.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|mut text| {
            text.push('\n');
            text
        })
    }

    /// Reads a file's text.
    pub fn decode(text: &str) -> Result<Self, PlanFileError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            format: String,
            #[serde(default)]
            version: u32,
        }
        let unreadable = |e: serde_json::Error| PlanFileError::Unreadable(e.to_string());
        let head: Head = serde_json::from_str(text).map_err(unreadable)?;
        if head.format != FORMAT {
            return Err(PlanFileError::OtherFormat(head.format));
        }
        if head.version > PLAN_FILE_VERSION {
            return Err(PlanFileError::Later(head.version));
        }
        let file: Self = serde_json::from_str(text).map_err(unreadable)?;
        if checksum(&file.plan).ok().as_ref() != Some(&file.checksum)
            || file.plan.basis.hash().ok().as_ref() != Some(&file.plan.hash)
        {
            return Err(PlanFileError::Checksum);
        }
        Ok(file)
    }

    /// Why this file cannot be applied now; `fresh` is the plan made anew from this file's base, `tool` this
    /// version of Segue. The plan's own progress is no reason.
    pub fn stale(&self, fresh: &Plan, state: &State, tool: &str) -> Vec<Stale> {
        let mut reasons = Vec::new();
        let major = |v: &str| v.split('.').next().unwrap_or_default().to_owned();
        if major(&self.tool) != major(tool) {
            reasons.push(Stale(format!("it was made by segue {}, this is {tool}", self.tool)));
        }
        let begun = state.plans_begun.contains(&self.plan.hash);
        for (address, base) in &self.plan.basis.base {
            let now = state.cutovers.get(address).cloned().unwrap_or_default();
            let untouched =
                (now.live, now.finished, now.switches) == (base.live, base.finished, base.switches);
            if !(untouched || begun && now.switches <= base.switches + 1) {
                reasons.push(Stale(format!(
                    "{address} stood at live = {}, finished = {} when it was made, and stands at live = {}, finished = {} now",
                    base.live, base.finished, now.live, now.finished
                )));
            }
        }
        reasons.extend(differences(&self.plan.basis, &fresh.basis));
        if reasons.is_empty() && self.plan.hash != fresh.hash {
            reasons.push(Stale("the same spec now leads to other steps".to_owned()));
        }
        reasons
    }
}

/// Names what differs between what two plans rest on.
fn differences(then: &Basis, now: &Basis) -> Vec<Stale> {
    let mut found = Vec::new();
    let mut maps = |what: &str, then: serde_json::Value, now: serde_json::Value| {
        let (Some(then), Some(now)) = (then.as_object(), now.as_object()) else {
            return;
        };
        let keys: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        for key in keys {
            match (then.get(key), now.get(key)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => found.push(Stale(format!("{what} {key} has changed"))),
                (Some(_), None) => found.push(Stale(format!("{what} {key} is gone"))),
                (None, _) => found.push(Stale(format!("{what} {key} is new"))),
            }
        }
    };
    let json = |v: Result<serde_json::Value, serde_json::Error>| v.unwrap_or_default();
    let (a, b) = (&then.desired, &now.desired);
    maps(
        "the spec's block",
        json(serde_json::to_value(&a.endpoints)),
        json(serde_json::to_value(&b.endpoints)),
    );
    maps("the spec's block", json(serde_json::to_value(&a.routes)), json(serde_json::to_value(&b.routes)));
    maps(
        "the spec's block",
        json(serde_json::to_value(&a.migrations)),
        json(serde_json::to_value(&b.migrations)),
    );
    maps(
        "the spec's block",
        json(serde_json::to_value(&a.cutovers)),
        json(serde_json::to_value(&b.cutovers)),
    );
    maps(
        "the identity of",
        json(serde_json::to_value(&then.identities)),
        json(serde_json::to_value(&now.identities)),
    );
    let settings = |s: &BTreeMap<Address, BTreeMap<String, String>>| json(serde_json::to_value(s));
    maps("a setting of", settings(&then.settings), settings(&now.settings));
    if a.outputs != b.outputs {
        found.push(Stale("an output of the spec has changed".to_owned()));
    }
    found
}
