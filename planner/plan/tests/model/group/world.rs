//! What the model of a group is about: two members of two sides each, one journal, one lease, and what is on its way.

use std::collections::BTreeSet;

use segue_plan::cutover::Phase;

/// A side: 0 is the declared source, 1 the declared target.
pub(super) type Side = usize;
/// A member of the group.
pub(super) type At = usize;

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    /// Whether clients' writes are let in, by side (quiesce on the data).
    pub(super) accepts: [bool; 2],
    /// Whether the writers run (quiesce on the writers).
    pub(super) running: bool,
    pub(super) route: Side,
    /// The number of the last write in each side.
    pub(super) version: [u8; 2],
    pub(super) acknowledged: u8,
    pub(super) fence: u8,
    /// The endpoint's own timer that re-opens a side.
    pub(super) timer: Option<Side>,
}

/// What the journal says of the attempt. Records are durable at once: the model of one migration has the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) from: Side,
    pub(super) phase: Phase,
    /// The way back is recorded.
    pub(super) armed: bool,
    /// The members that are recorded to be opened.
    pub(super) opened: [bool; 2],
    /// It leads back from a side of which some members never opened.
    pub(super) in_part: bool,
    pub(super) taken_back: bool,
    pub(super) live: Side,
    pub(super) switches: u8,
    /// COMMITTED of each, where each has its own.
    pub(super) committed: [bool; 2],
}

impl Record {
    pub(super) fn to(&self) -> Side {
        1 - self.from
    }
}

/// The file that `hardened` and `expired` race for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Race {
    Open,
    Hardened,
    Expired,
}

/// A call that is on its way, its sender dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Call {
    Close(At, Side),
    Open(At, Side),
    Route(At, Side),
}

/// The process that drives or settles. There is one: whoever settles kills the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Runner {
    /// An apply, which may be killed when its lease is over; otherwise one that settles.
    pub(super) applies: bool,
    pub(super) aborting: bool,
    /// Which operation of its program is next.
    pub(super) op: u8,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) members: [Member; 2],
    pub(super) record: Record,
    pub(super) race: Race,
    pub(super) lapsed: bool,
    pub(super) runner: Option<Runner>,
    pub(super) watchdog: bool,
    pub(super) late: BTreeSet<Call>,
    /// A write was acknowledged at the new side before the way back was recorded.
    pub(super) unarmed_write: bool,
    /// The member whose new side cannot be opened.
    pub(super) broken: Option<At>,
    pub(super) writes_left: u8,
    pub(super) attempts_left: u8,
    pub(super) faults_left: u8,
}

impl World {
    pub(super) fn first(writes_left: u8, attempts_left: u8, faults_left: u8) -> Self {
        let member = Member {
            accepts: [true, false],
            running: true,
            route: 0,
            version: [0; 2],
            acknowledged: 0,
            fence: 0,
            timer: None,
        };
        let record = Record {
            from: 0,
            phase: Phase::Ready,
            armed: false,
            opened: [false; 2],
            in_part: false,
            taken_back: false,
            live: 0,
            switches: 0,
            committed: [false; 2],
        };
        Self {
            members: [member; 2],
            record,
            race: Race::Open,
            lapsed: false,
            runner: None,
            watchdog: false,
            late: BTreeSet::new(),
            unarmed_write: false,
            broken: None,
            writes_left,
            attempts_left,
            faults_left,
        }
    }
}
