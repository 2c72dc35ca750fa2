//! Markers: the note at each endpoint that says which state directory and which attempt may act on it
//! (protocol P18).

use serde::{Deserialize, Serialize};

use crate::{Address, Side};

/// The note at an endpoint. Higher epochs win; a foreign state id is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The cutover or, before there is one, the migration that holds the endpoint.
    pub owner: Address,
    /// Rises with each attempt.
    pub epoch: u64,
    /// The side that serves, as of this epoch.
    pub live: Side,
    /// Whether `live` was raised by a commit of this epoch (`false`: claimed only).
    pub raised: bool,
    /// The state that holds it.
    pub state_id: String,
    /// Where that state lives: its directory.
    pub state_dir: String,
    /// The machine's id where it lives.
    pub machine_id: String,
    /// Host and user who wrote this, for people.
    pub host: String,
    /// See `host`.
    pub user: String,
}

/// What a claim or a raise asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The marker to be there afterwards.
    pub marker: Marker,
    /// Take over from this foreign state (`segue adopt`), whose holder was proven dead.
    pub adopt_from: Option<String>,
}

/// Why a marker could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// Another state, or a later attempt, holds the endpoint; boxed because it is large.
    #[error(
        "held by {}@{} from {} (epoch {}, state {})",
        .0.user, .0.host, .0.state_dir, .0.epoch, .0.state_id
    )]
    Refused(Box<Marker>),
    /// The endpoint failed.
    #[error(transparent)]
    Failed(#[from] crate::StepError),
}
