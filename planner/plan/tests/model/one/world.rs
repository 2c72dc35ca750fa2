//! What the model is about: two sides, clients, a journal, processes, and what is on its way.

use std::collections::BTreeSet;

use segue_plan::cutover::Phase;

/// A side: 0 is the declared source, 1 the declared target.
pub(crate) type Side = usize;

/// A marker at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Marker {
    /// The attempt that raised it.
    pub(crate) epoch: u8,
    /// Who serves since.
    pub(crate) live: Side,
    pub(crate) raised: bool,
}

/// What the journal says of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) attempt: u8,
    pub(crate) from: Side,
    pub(crate) phase: Phase,
    pub(crate) fence: u8,
    /// Where the way back starts, once it is armed.
    pub(crate) reverse: Option<u8>,
    pub(crate) taken_back: bool,
    /// COMMITTED of an earlier attempt stands in the journal too.
    pub(crate) committed_before: bool,
}

impl Record {
    pub(crate) fn to(&self) -> Side {
        1 - self.from
    }
}

/// The file that `hardened` and `expired` race for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Race {
    Open,
    Hardened,
    Expired,
}

/// A call or a data write that is on its way, its sender dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Late {
    Close(Side),
    Open(Side),
    Route(Side),
    Stop,
    Start,
    /// A data write to a side, with the version that it carries and the epoch that it is stamped with.
    Copy(Side, u8, u8),
}

/// A process that runs the protocol: an apply, or whoever settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Runner {
    /// What it knows to be recorded.
    pub(crate) record: Record,
    /// Which operation of the phase is next.
    pub(crate) op: u8,
    pub(crate) aborting: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Whether clients' writes are let in, by side (quiesce on the data; on the writers: whether the data is not barred).
    pub(crate) accepts: [bool; 2],
    /// Whether the writers run (quiesce on the writers).
    pub(crate) running: bool,
    /// Whether they are kept from starting by themselves.
    pub(crate) masked: bool,
    pub(crate) route: Side,
    /// What the writers still believe of the route.
    pub(crate) cached: Side,
    /// A write that was let in and has not landed.
    pub(crate) flight: Option<Side>,
    /// What each side holds: the number of the last write in it.
    pub(crate) version: [u8; 2],
    /// The number of the last write that was acknowledged anywhere.
    pub(crate) acknowledged: u8,
    pub(crate) writes_left: u8,
    /// A write was acknowledged at the new side before the way back was recorded.
    pub(crate) unarmed_write: bool,
    /// The receiver refuses data writes of lower epochs.
    pub(crate) epoch: [u8; 2],
    pub(crate) marker: [Marker; 2],
    /// The endpoint's own timer that re-opens the side that served.
    pub(crate) timer: Option<Side>,
    pub(crate) durable: Record,
    /// Written and not synced: others see it, the machine's death may lose it.
    pub(crate) unsynced: Option<Record>,
    pub(crate) race: Race,
    /// The lease of the pause is over.
    pub(crate) lapsed: bool,
    /// The lease after it is over: what was hardened had the time to be completed (protocol P30).
    pub(crate) forward_lapsed: bool,
    pub(crate) apply: Option<Runner>,
    /// The apply is stopped and may be let go again.
    pub(crate) stopped: bool,
    pub(crate) watchdog: bool,
    pub(crate) settler: Option<Runner>,
    pub(crate) late: BTreeSet<Late>,
    pub(crate) attempts_left: u8,
    pub(crate) faults_left: u8,
    /// The new side cannot be opened any more.
    pub(crate) broken: bool,
    /// Somebody found a journal that is behind the markers: nothing is done from it.
    pub(crate) unknown: bool,
}

impl World {
    /// Whether an attempt is in flight, as whoever reads the journal sees it.
    pub(crate) fn seen(&self) -> Record {
        self.unsynced.unwrap_or(self.durable)
    }
}
