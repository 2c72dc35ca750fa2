//! How a run ends badly, and the exit code that says so.

use std::path::PathBuf;

use segue_contract::{Address, ErrorClass, MarkerError, Side, StepError, segue};

use super::RecordError;

/// How a run, or a part of it, ends badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A step failed.
    #[error("{step}: {error}")]
    Step {
        /// Which.
        step: Address,
        /// Why.
        #[source]
        error: StepError,
    },
    /// The journal cannot be written: nothing that follows would count.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A gate was not met in its time.
    #[error("{step}: {what}")]
    Gate {
        /// Which.
        step: Address,
        /// What it waited for.
        what: String,
        /// What to type.
        remedy: String,
    },
    /// A pass stopped before its first deletion, and waits for a person (protocol P28).
    #[error("{step}: {what}")]
    Deletions {
        /// Which.
        step: Address,
        /// What would go.
        what: String,
        /// What to type.
        remedy: String,
    },
    /// A cutover is held.
    #[error("{cutover} is held: {reason}")]
    Held {
        /// Which.
        cutover: Address,
        /// Why.
        reason: String,
    },
    /// A cutover was aborted; the side that served never left.
    #[error("{cutover} was aborted, the {live} serves: {reason}")]
    Aborted {
        /// Which.
        cutover: Address,
        /// The side that serves.
        live: Side,
        /// Why.
        reason: String,
    },
    /// A cutover was switched and went back.
    #[error("{cutover} was switched and went back, the {live} serves: {reason}")]
    WentBack {
        /// Which.
        cutover: Address,
        /// The side that serves.
        live: Side,
        /// Why.
        reason: String,
    },
    /// Health was lost after a switch, and the side that serves was kept.
    #[error("{cutover}: HEALTH WAS LOST and the {live} still serves: {lost}; {why}")]
    Unhealthy {
        /// Which.
        cutover: Address,
        /// The side that serves.
        live: Side,
        /// What was seen.
        lost: String,
        /// Why it did not go back.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// A side that cannot be read is not left (protocol P22): held.
    #[error("{cutover} is held, nothing was touched: {why}")]
    Unreadable {
        /// Which.
        cutover: Address,
        /// The side that serves, as far as is known.
        live: Side,
        /// Why, and what leaving would lose.
        why: String,
        /// What to type.
        remedy: String,
    },
    /// Writes are refused on both sides, and the next step failed.
    #[error("{cutover}: BOTH SIDES ARE CLOSED: {error}")]
    BothClosed {
        /// Which.
        cutover: Address,
        /// Why.
        #[source]
        error: StepError,
        /// The file that says how a side is opened without Segue.
        by_hand: PathBuf,
    },
    /// A verification found differences.
    #[error("{step}: {total} records differ, the first: {first}")]
    Mismatch {
        /// Which.
        step: Address,
        /// How many.
        total: u64,
        /// One of them.
        first: String,
    },
    /// A verification found records missing that passes set aside and nobody waived.
    #[error("{step}: {total} records are missing, the first: {first}")]
    Missing {
        /// Which.
        step: Address,
        /// How many.
        total: u64,
        /// One of them, with the reason.
        first: String,
    },
    /// Passes set records aside and nobody waived them.
    #[error("{step}: {total} records were set aside, the first: {first}")]
    LeftOut {
        /// Which.
        step: Address,
        /// How many.
        total: u64,
        /// One of them, with the reason.
        first: String,
    },
    /// Somebody asked to stop.
    #[error("stopped as asked; the same command goes on from here")]
    Interrupted,
    /// A marker is another's.
    #[error("{endpoint}: {error}")]
    Marker {
        /// Where.
        endpoint: Address,
        /// Why.
        #[source]
        error: MarkerError,
    },
    /// The run itself could not be set up.
    #[error("{0}")]
    Setup(StepError),
}

impl RunError {
    /// The exit code (design 3).
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Gate { .. }
            | Self::Held { .. }
            | Self::Unreadable { .. }
            | Self::Deletions { .. }
            | Self::LeftOut { .. } => 3,
            Self::Aborted { .. } => 5,
            Self::WentBack { .. } => 7,
            Self::Mismatch { .. } | Self::Missing { .. } => 8,
            Self::Interrupted => 130,
            Self::Step { error, .. } | Self::Setup(error) if error.class == ErrorClass::Cancelled => 130,
            Self::Step { .. }
            | Self::Record(_)
            | Self::Unhealthy { .. }
            | Self::BothClosed { .. }
            | Self::Marker { .. }
            | Self::Setup(_) => 1,
        }
    }

    /// What to do next, where that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Step { error, .. } | Self::Setup(error) => error.remedy.clone(),
            Self::Gate { remedy, .. }
            | Self::Unhealthy { remedy, .. }
            | Self::Unreadable { remedy, .. }
            | Self::Deletions { remedy, .. } => Some(remedy.clone()),
            Self::Held { cutover, .. } => Some(format!(
                "`{}` lets it go on, or edit live in the spec",
                segue(&["unhold", cutover.as_str()])
            )),
            Self::Aborted { cutover, .. } | Self::WentBack { cutover, .. } => Some(format!(
                "mend the cause, then `{}` and apply again",
                segue(&["unhold", cutover.as_str()])
            )),
            Self::BothClosed { error, by_hand, .. } => Some(error.remedy.clone().unwrap_or_else(|| {
                format!("mend the cause and run the same command again; or follow {}", by_hand.display())
            })),
            Self::Mismatch { .. } => Some(format!(
                "`{}` lists them; verify {{ on_mismatch = \"repair\" }} carries them again",
                segue(&["drift", "--level", "full"])
            )),
            Self::Missing { .. } | Self::LeftOut { .. } => Some(format!(
                "`{}` lists them; mend each at the source, leave it out with select {{ exclude }}, or name it in waive \"SET_ASIDE\" {{ keys, reason }} of the migration; then `{}` tries again",
                segue(&["status"]),
                segue(&["apply"])
            )),
            Self::Marker { .. } => Some(format!(
                "work from that state directory; or, when it is gone for good, `{}`",
                segue(&["adopt"])
            )),
            Self::Interrupted | Self::Record(_) => None,
        }
    }

    /// Binds a step's error to the step.
    pub(super) fn step(step: &Address, error: StepError) -> Self {
        match error.class {
            ErrorClass::Cancelled => Self::Interrupted,
            ErrorClass::Transient | ErrorClass::Permanent | ErrorClass::Unknown => {
                Self::Step { step: step.clone(), error }
            }
        }
    }

    /// Binds a marker's error to its endpoint.
    pub(super) fn marker(endpoint: &Address, error: MarkerError) -> Self {
        match error {
            MarkerError::Failed(error) => Self::step(endpoint, error),
            MarkerError::Refused(_) => Self::Marker { endpoint: endpoint.clone(), error },
        }
    }
}
