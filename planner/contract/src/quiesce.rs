//! Quiesce: refusing writes on a side, or stopping the writers, and proving it.

use serde::{Deserialize, Serialize};

use crate::{BlockRef, Side, StepError, StepIo};

/// What a quiesce acts on (protocol, two kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuiesceKind {
    /// The endpoint refuses writes.
    Data,
    /// The writers are stopped.
    Writers,
}

/// One quiesce block applied to one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuiesceCall {
    /// The `quiesce` block.
    pub block: BlockRef,
    /// The endpoint that it closes.
    pub endpoint: BlockRef,
    /// The side of that endpoint.
    pub side: Side,
}

/// Whether clients' writes get through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierState {
    /// Writes are accepted.
    Open,
    /// Writes are refused, or the writers are stopped. Holds what proved it.
    Closed(String),
    /// Cannot be told, and why.
    Unknown(String),
}

/// A process that holds something below a tree open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command line, shortened.
    pub command: String,
    /// What it holds: `descriptor 7 (writable) /a/b`, `mapping /a/b`, `working directory /a`.
    pub what: String,
}

/// Who still holds an endpoint open: the drain barrier of stopped writers (protocol P3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// The holders found.
    pub holders: Vec<Holder>,
    /// Why not every process could be looked at (not root, hidden processes); `None`: all were seen.
    pub incomplete: Option<String>,
}

/// Who re-opens a closed side without Segue, sentences without a full stop; `None`: nobody (protocol P9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopeners {
    /// When the process that runs Segue dies, beside its watchdog.
    pub process: Option<String>,
    /// When the machine that runs Segue dies.
    pub machine: Option<String>,
}

/// Keeps a side from serving from outside, whatever state it is in (protocol P22): power, a firewall, credentials.
pub trait Fence: Send + Sync {
    /// Whether the spec allows it here: a critical finding refuses the plan.
    fn check(&self, block: &BlockRef) -> Vec<crate::Finding>;

    /// Fences the endpoint and proves it: from now on it takes no write, and it comes back only by hand. May be
    /// repeated: fencing what is fenced proves it again. Says by what it is proven.
    ///
    /// # Errors
    /// It is not proven. What was done is not known.
    fn fence(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<String, StepError>;

    /// What a person types to do the same.
    fn by_hand(&self, block: &BlockRef) -> String;
}

/// A way to quiesce. Every operation may be repeated: closing what is closed and opening what is open
/// succeed and change nothing.
pub trait Quiesce: Send + Sync {
    /// What this method acts on.
    fn kind(&self) -> QuiesceKind;

    /// Whether a person at a terminal has to close and open it: no pause is begun where nobody is there.
    fn needs_person(&self) -> bool {
        false
    }

    /// What this block acts on, for methods where the block says so.
    fn kind_of(&self, _block: &BlockRef) -> QuiesceKind {
        self.kind()
    }

    /// Whether what it closes is closed to Segue as well, whatever barrier the endpoint has: then it is opened wherever Segue
    /// writes to a side that does not serve, and the endpoint's barrier alone keeps clients out there.
    fn stops_segue(&self) -> bool {
        false
    }

    /// Whether the spec and the world allow this method here: a critical finding refuses the plan.
    fn check(&self, call: &QuiesceCall) -> Vec<crate::Finding>;

    /// Refuses writes at the side, or stops its writers. Returns when the method's own drain barrier holds.
    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError>;

    /// Accepts writes again, or starts the writers; restores what was there before.
    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError>;

    /// Tries a write by the writers' own way (protocol P4) or looks at the barrier.
    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError>;

    /// Looks whether the side that `call` is to open could be opened, admitting nobody (protocol P20): asked of every
    /// side of a cutover before its pause, and again before HARDENED. Says by what that is proven; `None`: this method
    /// cannot tell beforehand.
    ///
    /// # Errors
    /// It could not be opened, or cannot be looked at.
    fn openable(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<Option<String>, StepError>;

    /// Who re-opens the side that `call` closes, without Segue (protocol P9).
    fn reopeners(&self, _call: &QuiesceCall) -> Reopeners {
        Reopeners::default()
    }

    /// Arms or renews a timer that the endpoint itself holds and that re-opens the side `lease_ms` milliseconds from
    /// now, whether or not Segue still lives (protocol P7, P9). Called before [`Quiesce::close`], and again to renew.
    /// Says who re-opens; `None`: this method has no such timer.
    ///
    /// # Errors
    /// The timer is not armed, or ran out before it was renewed.
    fn lease(
        &self,
        _call: &QuiesceCall,
        _lease_ms: u64,
        _io: &dyn StepIo,
    ) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    /// Takes that timer away, so that the side cannot open by itself any more (protocol P7).
    ///
    /// # Errors
    /// It was not certainly still pending: it ran out, is not known, or cannot be asked. Then abort.
    fn harden(&self, _call: &QuiesceCall, _io: &dyn StepIo) -> Result<(), StepError> {
        Ok(())
    }

    /// What a person types to re-open the side without Segue.
    fn open_by_hand(&self, call: &QuiesceCall) -> String;
}
