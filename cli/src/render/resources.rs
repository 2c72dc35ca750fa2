//! Temporary resources in release order: what, where, whose, since when, and whether one may be released now.

use segue_plan::event::{Release, Resource, ResourceKind};
use segue_plan::state::{ResourceState, Standing, State};
use segue_run::clock::rfc3339;
use serde::Serialize;

use super::quantity::millis;
use crate::printer::{Look, Paint};

/// How much of a state's id tells it from others, in characters.
const ID_SHOWN: usize = 8;

/// One resource.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResourceView {
    /// Its place in the order of release, from 1.
    order: usize,
    pub(crate) id: String,
    kind: ResourceKind,
    what: String,
    place: String,
    /// Its owner tag: the cutover or migration, the attempt, the state.
    owner: String,
    epoch: u64,
    state_id: String,
    made: String,
    /// How long it is kept, and how much of that is left, in milliseconds.
    ttl_ms: Option<u64>,
    left_ms: u64,
    /// Releasing it began and did not end.
    releasing: bool,
    #[serde(flatten)]
    standing: Standing,
    /// What a person does to release it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand: Option<String>,
}

/// All resources of a state, in release order (`now_ms`: wall clock). `running`: another command is under way.
pub(crate) fn views(state: &State, now_ms: i64, running: bool) -> Vec<ResourceView> {
    let all = state.resources_in_order();
    all.into_iter().enumerate().map(|(i, known)| view(i + 1, known, state, now_ms, running)).collect()
}

fn view(order: usize, known: &ResourceState, state: &State, now_ms: i64, running: bool) -> ResourceView {
    let ResourceState { resource, state_id, made_ms, releasing } = known;
    let Resource { id, kind, what, place, owner, epoch, ttl_ms, release } = resource;
    ResourceView {
        order,
        id: id.clone(),
        kind: *kind,
        what: what.clone(),
        place: place.clone(),
        owner: owner.to_string(),
        epoch: *epoch,
        state_id: state_id.clone(),
        made: rfc3339(*made_ms),
        ttl_ms: *ttl_ms,
        left_ms: known.left_ms(now_ms),
        releasing: *releasing,
        standing: state.standing(known, now_ms, running),
        by_hand: match release {
            Release::ByHand(what) => Some(what.clone()),
            _ => None,
        },
    }
}

impl ResourceView {
    /// Whether `segue cleanup` may release it.
    pub(crate) fn is_left_over(&self) -> bool {
        self.standing.is_left_over()
    }
}

/// The list for people.
pub(crate) fn text(views: &[ResourceView], look: &Look) -> String {
    if views.is_empty() {
        return "Nothing temporary is anywhere.\n".to_owned();
    }
    views.iter().map(|view| one(view, look)).collect()
}

fn one(view: &ResourceView, look: &Look) -> String {
    let ResourceView {
        order,
        id,
        kind: _,
        what,
        place,
        owner,
        epoch,
        state_id,
        made,
        ttl_ms,
        left_ms,
        releasing,
        standing,
        by_hand,
    } = view;
    let (word, paint) = match standing {
        Standing::LeftOver(_) => ("left over", Paint::Warning),
        Standing::ByHand(_) => ("by hand", Paint::Warning),
        Standing::Needed(_) => ("needed", Paint::Good),
    };
    let tag: String = state_id.chars().take(ID_SHOWN).collect();
    let attempt = if *epoch > 0 { format!(", epoch {epoch}") } else { String::new() };
    let life = match ttl_ms {
        Some(ttl) if *left_ms > 0 => {
            format!("; lives {}, {} left", millis(*ttl), millis(*left_ms / 1000 * 1000))
        }
        Some(ttl) => format!("; lived {}", millis(*ttl)),
        None => String::new(),
    };
    let mut out = format!(
        "{order:>3}. {}  {}\n",
        look.paint(paint, &format!("{word:<9}")),
        look.paint(Paint::Title, id)
    );
    out.push_str(&format!("     {what}, at {place}\n"));
    out.push_str(&format!("     made {made} for {owner}{attempt} (state {tag}){life}\n"));
    let began = if *releasing { "; releasing it began and did not end" } else { "" };
    out.push_str(&format!("     {}{began}\n", standing.why()));
    if let Some(what) = by_hand {
        out.push_str(&format!("     to release it: {what}\n"));
    }
    out
}
