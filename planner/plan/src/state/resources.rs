//! Temporary resources as the state knows them, and whether one may be released now.

use segue_contract::{ArtifactName, Side, segue};
use serde::{Deserialize, Serialize};

use super::{CutoverState, State};
use crate::cutover::{Settle, settle};
use crate::event::{Release, Resource, ResourceKind};
use crate::plan::duration;

/// A resource, and since when it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceState {
    /// What, where, whose, how it is released.
    pub resource: Resource,
    /// The state that it belongs to: with `owner` and `epoch` its owner tag.
    pub state_id: String,
    /// Wall clock when it was first made, or about to be, in milliseconds.
    pub made_ms: i64,
    /// Whether releasing it began and did not end.
    #[serde(default)]
    pub releasing: bool,
}

/// Whether a resource may be released now, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", content = "why", rename_all = "snake_case")]
pub enum Standing {
    /// Something under way needs it, or its time is not over.
    Needed(String),
    /// It is kept by design, or cannot be told to be free: only a person decides.
    ByHand(String),
    /// Nobody needs it any more.
    LeftOver(String),
}

impl Standing {
    /// Whether `segue cleanup` may release it.
    pub fn is_left_over(&self) -> bool {
        matches!(self, Self::LeftOver(_))
    }

    /// Why.
    pub fn why(&self) -> &str {
        match self {
            Self::Needed(why) | Self::ByHand(why) | Self::LeftOver(why) => why,
        }
    }
}

impl ResourceState {
    /// The ledgers that releasing it needs, and that it is.
    pub(super) fn ledgers(&self) -> Vec<ArtifactName> {
        match &self.resource.release {
            Release::Target { jobs, .. } => jobs.iter().filter_map(|job| job.ledger.clone()).collect(),
            Release::Artifact(name) if self.resource.kind == ResourceKind::Ledger => {
                vec![ArtifactName(name.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// How long its time to live still is, in milliseconds; 0: over, or it has none.
    pub fn left_ms(&self, now_ms: i64) -> u64 {
        let age = u64::try_from(now_ms.saturating_sub(self.made_ms)).unwrap_or(0);
        self.resource.ttl_ms.unwrap_or(0).saturating_sub(age)
    }
}

/// What became of the owner of a resource.
enum Owner<'a> {
    /// Nothing of it is in the state.
    Gone,
    /// A migration that belongs to no cutover.
    Alone,
    /// A cutover, or a migration of one.
    Of(&'a CutoverState),
}

impl State {
    /// Every resource, in the order in which they are released.
    pub fn resources_in_order(&self) -> Vec<&ResourceState> {
        let mut all: Vec<&ResourceState> = self.resources.values().collect();
        all.sort_by(|a, b| {
            let key = |r: &ResourceState| (r.resource.kind, std::cmp::Reverse(r.made_ms));
            key(a).cmp(&key(b)).then_with(|| a.resource.id.cmp(&b.resource.id))
        });
        all
    }

    fn owner_of(&self, resource: &Resource) -> Owner<'_> {
        if let Some(cutover) = self.cutovers.get(&resource.owner) {
            return Owner::Of(cutover);
        }
        match self.migrations.get(&resource.owner) {
            None => Owner::Gone,
            Some(_) => self.cutover_of(&resource.owner).map_or(Owner::Alone, Owner::Of),
        }
    }

    /// Whether a resource may be released now (wall clock, milliseconds). `running`: another command is under way.
    pub fn standing(&self, known: &ResourceState, now_ms: i64, running: bool) -> Standing {
        let owner = self.owner_of(&known.resource);
        if running {
            return Standing::Needed("a command is under way".to_owned());
        }
        if let Owner::Of(cutover) = &owner
            && settle(cutover.phase) != Settle::Nothing
            && !cutover.watches()
        {
            return Standing::Needed(
                "an attempt is in flight: any command that writes settles it first".to_owned(),
            );
        }
        if let Some(cutover) = self.rehearsal_on(&known.resource.owner) {
            return Standing::LeftOver(format!(
                "the rehearsal of {cutover} is not over: all of it goes, or `{}` goes on",
                segue(&["rehearse"])
            ));
        }
        match known.resource.kind {
            ResourceKind::Quiesce | ResourceKind::Fence => closed(known, &owner),
            ResourceKind::Lease => Standing::LeftOver("its attempt is over".to_owned()),
            ResourceKind::Scratch => scratch(known, now_ms),
            ResourceKind::KeptAside => self.kept_aside(known, &owner, now_ms),
            ResourceKind::KeptDeleted => kept_deleted(known, &owner, now_ms),
            ResourceKind::Fallback => way_back(known, &owner, now_ms),
            ResourceKind::Unfinished | ResourceKind::Target | ResourceKind::Marker | ResourceKind::Ledger => {
                of_migration(known, &owner)
            }
        }
    }

    fn kept_aside(&self, known: &ResourceState, owner: &Owner<'_>, now_ms: i64) -> Standing {
        let Release::Artifact(name) = &known.resource.release else {
            return Standing::ByHand("how it is released is not known".to_owned());
        };
        if let Owner::Of(cutover) = owner
            && cutover.stale_total > 0
            && cutover.stale.iter().any(|find| find.kept.as_ref() == Some(name))
        {
            let unhold = format!("`{}`", segue(&["unhold", known.resource.owner.as_str(), "--stale"]));
            return Standing::Needed(format!("nobody has settled it: look at it, then {unhold}"));
        }
        match (known.left_ms(now_ms), owner) {
            (0, _) => Standing::LeftOver("it is settled, and its time is over".to_owned()),
            (_, Owner::Gone) => Standing::LeftOver("its cutover was forgotten".to_owned()),
            (left, _) => {
                Standing::Needed(format!("settled, and kept for another {}", duration(left / 1000 * 1000)))
            }
        }
    }
}

fn kept_deleted(known: &ResourceState, owner: &Owner<'_>, now_ms: i64) -> Standing {
    match (known.resource.ttl_ms, known.left_ms(now_ms), owner) {
        (_, _, Owner::Gone) => Standing::LeftOver("its cutover was forgotten".to_owned()),
        (_, _, Owner::Of(cutover)) if cutover.finished => {
            Standing::LeftOver("the cutover is finished".to_owned())
        }
        (None, _, _) => Standing::Needed("kept until finished = true".to_owned()),
        (Some(_), 0, _) => Standing::LeftOver("its time is over".to_owned()),
        (Some(_), left, _) => Standing::Needed(format!("kept for another {}", duration(left / 1000 * 1000))),
    }
}

fn closed(known: &ResourceState, owner: &Owner<'_>) -> Standing {
    let Release::Open(call) = &known.resource.release else {
        return Standing::ByHand(
            "segue lifts no fence: the side came to be left without being read".to_owned(),
        );
    };
    let side = call.side;
    match owner {
        Owner::Of(cutover) if cutover.finished && cutover.live != side => {
            Standing::ByHand(format!("the {} serves for good: the {side} is kept closed", cutover.live))
        }
        Owner::Of(cutover) if cutover.live != side => {
            Standing::Needed(format!("the {} serves: writes on the {side} would be stale", cutover.live))
        }
        Owner::Of(_) => Standing::LeftOver(format!("the {side} serves and shall take writes")),
        Owner::Gone | Owner::Alone => {
            Standing::ByHand("its cutover was forgotten: who serves is not known here".to_owned())
        }
    }
}

fn scratch(known: &ResourceState, now_ms: i64) -> Standing {
    match known.left_ms(now_ms) {
        0 => Standing::LeftOver("what it was made for is over".to_owned()),
        left => {
            Standing::Needed(format!("kept to be looked at for another {}", duration(left / 1000 * 1000)))
        }
    }
}

fn way_back(known: &ResourceState, owner: &Owner<'_>, now_ms: i64) -> Standing {
    match (known.resource.ttl_ms, known.left_ms(now_ms), owner) {
        (_, _, Owner::Gone | Owner::Alone) => Standing::ByHand("its cutover was forgotten".to_owned()),
        (None, _, _) => Standing::Needed("the way back, until finished = true".to_owned()),
        (Some(retain), 0, _) => {
            Standing::ByHand(format!("retained for {}, which are over", duration(retain)))
        }
        (Some(_), left, _) => {
            Standing::Needed(format!("the way back, retained for another {}", duration(left / 1000 * 1000)))
        }
    }
}

fn of_migration(known: &ResourceState, owner: &Owner<'_>) -> Standing {
    let Resource { kind, owner: address, .. } = &known.resource;
    match owner {
        Owner::Gone => Standing::LeftOver(format!("{address} was forgotten, and its target does not serve")),
        Owner::Of(cutover) if cutover.finished => match (kind, cutover.live) {
            (ResourceKind::Target, Side::Target) => Standing::ByHand("the target serves for good".to_owned()),
            (_, Side::Target) => Standing::LeftOver("the cutover is finished".to_owned()),
            (_, Side::Source) => Standing::LeftOver("the migration was abandoned".to_owned()),
        },
        Owner::Of(CutoverState { live: Side::Target, .. }) if *kind == ResourceKind::Target => {
            Standing::Needed("the target serves".to_owned())
        }
        Owner::Of(_) | Owner::Alone if *kind == ResourceKind::Unfinished => {
            Standing::Needed("the next load or pass goes on with them, or removes them".to_owned())
        }
        Owner::Of(_) | Owner::Alone => Standing::Needed(format!("{address} is under way")),
    }
}
