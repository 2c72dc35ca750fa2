//! The phases of an attempt and the transition table.

use std::fmt;

use segue_contract::QuiesceKind;
use serde::{Deserialize, Serialize};

/// Where a cutover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No attempt is under way.
    Ready,
    /// Claims are made, then the side that serves is being closed.
    Quiescing,
    /// Writes are refused, and none is on its way.
    Drained,
    /// The position after the drain is known and recorded.
    Fenced,
    /// The new side has been carried to the fence.
    CaughtUp,
    /// What changed since the last whole verification is verified on quiet sides.
    Verified,
    /// The closed side cannot open by itself any more.
    Hardened,
    /// The position from which the way back starts is recorded.
    ReverseArmed,
    /// The point of no return: durable in the journal.
    Committed,
    /// The new sides that open by accepting writes take them.
    Opened,
    /// Every route points to the new side, observed.
    Routed,
    /// The writers that were stopped run again, on the new sides.
    Started,
    /// The new side serves; health and stale writers are looked at.
    Watching,
    /// The switch is complete; the old side is the fallback.
    Soaking,
    /// The fallback is given up, or the migration was abandoned.
    Finished,
    /// Going back: the side that served is re-opened before anything else is undone.
    Aborting,
}

impl Phase {
    /// The word in events, tables and `status`: `CAUGHT_UP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Quiescing => "QUIESCING",
            Self::Drained => "DRAINED",
            Self::Fenced => "FENCED",
            Self::CaughtUp => "CAUGHT_UP",
            Self::Verified => "VERIFIED",
            Self::Hardened => "HARDENED",
            Self::ReverseArmed => "REVERSE_ARMED",
            Self::Committed => "COMMITTED",
            Self::Opened => "TARGET_OPEN",
            Self::Routed => "ROUTED",
            Self::Started => "WRITERS_STARTED",
            Self::Watching => "WATCHING",
            Self::Soaking => "SOAKING",
            Self::Finished => "FINISHED",
            Self::Aborting => "ABORTING",
        }
    }

    /// Whether writes are, or may be, refused on both sides in this phase.
    pub fn is_pause(self) -> bool {
        match self {
            Self::Quiescing
            | Self::Drained
            | Self::Fenced
            | Self::CaughtUp
            | Self::Verified
            | Self::Hardened
            | Self::ReverseArmed
            | Self::Committed
            | Self::Opened
            | Self::Routed
            | Self::Aborting => true,
            Self::Ready | Self::Started | Self::Watching | Self::Soaking | Self::Finished => false,
        }
    }

    /// Whether signals are deferred (protocol P13): from HARDENED until the new side takes writes.
    pub fn defers_signals(self) -> bool {
        match self {
            Self::Hardened
            | Self::ReverseArmed
            | Self::Committed
            | Self::Opened
            | Self::Routed
            | Self::Started => true,
            Self::Ready
            | Self::Quiescing
            | Self::Drained
            | Self::Fenced
            | Self::CaughtUp
            | Self::Verified
            | Self::Watching
            | Self::Soaking
            | Self::Finished
            | Self::Aborting => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What opening the new sides of an attempt acts on: a group may have members of both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opens {
    /// Some side accepts writes again.
    pub data: bool,
    /// Some writers are started.
    pub writers: bool,
}

impl From<QuiesceKind> for Opens {
    fn from(kind: QuiesceKind) -> Self {
        Self { data: kind == QuiesceKind::Data, writers: kind == QuiesceKind::Writers }
    }
}

impl FromIterator<QuiesceKind> for Opens {
    fn from_iter<T: IntoIterator<Item = QuiesceKind>>(kinds: T) -> Self {
        kinds.into_iter().map(Self::from).fold(Self { data: false, writers: false }, |a, b| Self {
            data: a.data || b.data,
            writers: a.writers || b.writers,
        })
    }
}

/// When a row of the table applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// When some new side opens by accepting writes.
    OnData,
    /// When none does.
    NotOnData,
    /// When some new side opens by starting writers.
    OnWriters,
    /// When none does.
    NotOnWriters,
}

impl When {
    fn holds(self, opens: Opens) -> bool {
        match self {
            Self::Always => true,
            Self::OnData => opens.data,
            Self::NotOnData => !opens.data,
            Self::OnWriters => opens.writers,
            Self::NotOnWriters => !opens.writers,
        }
    }
}

/// What the executor does to leave a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close the side that serves, and prove that it is closed and drained (P3, P4).
    CloseAndDrain,
    /// Take the position that the new side is to reach; it has to be the same at the last look, `freeze` or more later
    /// (P4, P5, P6).
    Fence,
    /// Carry the new side to the fence (P5).
    CatchUp,
    /// Verify the residual on quiet sides (P24).
    VerifyResidual,
    /// Make the closed side unable to open by itself; check the deadline (P7).
    Harden,
    /// Record where the way back starts (P10).
    ArmReverse,
    /// Check fence, drain and deadline again, then record COMMITTED (P6, P10).
    Commit,
    /// Raise the markers, old side first (P18), then accept writes on the new side.
    RaiseAndOpen,
    /// Raise the markers, old side first (P18), then point the routes to the new side and observe them.
    RaiseAndRoute,
    /// Point the routes to the new side and observe them (P12).
    Route,
    /// Start the writers (P12).
    StartWriters,
    /// The new side serves: nothing more to do to enter the watch.
    EnterWatch,
    /// Look for stale writers on the old side (P6, P21).
    Watch,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Phase,
    /// When the row applies.
    pub when: When,
    /// What is done.
    pub action: Action,
    /// After.
    pub to: Phase,
    /// The rules that it obeys.
    pub rules: &'static str,
}

const fn row(from: Phase, when: When, action: Action, to: Phase, rules: &'static str) -> Transition {
    Transition { from, when, action, to, rules }
}

/// The transition table: the truth about the order of a cutover. READY enters QUIESCING by the record
/// that an attempt began; everything before COMMITTED can also go to ABORTING.
pub const TABLE: &[Transition] = &[
    row(Phase::Quiescing, When::Always, Action::CloseAndDrain, Phase::Drained, "P3 P4 P18"),
    row(Phase::Drained, When::Always, Action::Fence, Phase::Fenced, "P4 P5"),
    row(Phase::Fenced, When::Always, Action::CatchUp, Phase::CaughtUp, "P5 P11"),
    row(Phase::CaughtUp, When::Always, Action::VerifyResidual, Phase::Verified, "P24"),
    row(Phase::Verified, When::Always, Action::Harden, Phase::Hardened, "P6 P7"),
    row(Phase::Hardened, When::Always, Action::ArmReverse, Phase::ReverseArmed, "P10"),
    row(Phase::ReverseArmed, When::Always, Action::Commit, Phase::Committed, "P6 P10"),
    row(Phase::Committed, When::OnData, Action::RaiseAndOpen, Phase::Opened, "P12 P17 P18 P20"),
    row(Phase::Opened, When::OnData, Action::Route, Phase::Routed, "P12 P20"),
    row(Phase::Committed, When::NotOnData, Action::RaiseAndRoute, Phase::Routed, "P12 P17 P18"),
    row(Phase::Routed, When::NotOnWriters, Action::EnterWatch, Phase::Watching, "P12"),
    row(Phase::Routed, When::OnWriters, Action::StartWriters, Phase::Started, "P12 P13 P20"),
    row(Phase::Started, When::OnWriters, Action::EnterWatch, Phase::Watching, "P12"),
    row(Phase::Watching, When::Always, Action::Watch, Phase::Soaking, "P6 P21"),
];

fn find(phase: Phase, opens: Opens) -> Option<&'static Transition> {
    TABLE.iter().find(|row| row.from == phase && row.when.holds(opens))
}

/// What is done to leave `phase`; `None`: nothing is under way there.
pub fn action(phase: Phase, opens: impl Into<Opens>) -> Option<Action> {
    find(phase, opens.into()).map(|row| row.action)
}

/// The phase after `phase`, once its action succeeded.
pub fn advance(phase: Phase, opens: impl Into<Opens>) -> Option<Phase> {
    find(phase, opens.into()).map(|row| row.to)
}

/// What whoever comes after a death does with an attempt (protocol P14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Nothing is in flight.
    Nothing,
    /// COMMITTED is absent: re-open the side that served, then undo the rest.
    Abort,
    /// COMMITTED is there: complete.
    Complete,
}

/// What settling means in `phase`.
pub fn settle(phase: Phase) -> Settle {
    match phase {
        Phase::Ready | Phase::Soaking | Phase::Finished => Settle::Nothing,
        Phase::Quiescing
        | Phase::Drained
        | Phase::Fenced
        | Phase::CaughtUp
        | Phase::Verified
        | Phase::Hardened
        | Phase::ReverseArmed
        | Phase::Aborting => Settle::Abort,
        Phase::Committed | Phase::Opened | Phase::Routed | Phase::Started | Phase::Watching => {
            Settle::Complete
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Opens = Opens { data: true, writers: false };
    const WRITERS: Opens = Opens { data: false, writers: true };
    const BOTH: Opens = Opens { data: true, writers: true };

    fn walk(kind: Opens) -> Vec<Phase> {
        let mut phase = Phase::Quiescing;
        let mut path = vec![phase];
        while let Some(next) = advance(phase, kind) {
            phase = next;
            path.push(phase);
        }
        path
    }

    fn place(path: &[Phase], phase: Phase) -> usize {
        path.iter().position(|p| *p == phase).expect("phase on the path")
    }

    #[test]
    fn every_kind_ends_in_soaking() {
        for kind in [DATA, WRITERS, BOTH] {
            assert_eq!(walk(kind).last(), Some(&Phase::Soaking));
        }
    }

    #[test]
    fn on_the_data_opens_before_it_routes_and_on_the_writers_routes_before_it_starts() {
        let data = walk(DATA);
        assert!(place(&data, Phase::Opened) < place(&data, Phase::Routed));
        assert!(!data.contains(&Phase::Started));
        let writers = walk(WRITERS);
        assert!(place(&writers, Phase::Routed) < place(&writers, Phase::Started));
        assert!(!writers.contains(&Phase::Opened));
    }

    #[test]
    fn a_group_of_both_kinds_opens_then_routes_then_starts_the_writers() {
        let both = walk(BOTH);
        assert!(place(&both, Phase::Opened) < place(&both, Phase::Routed));
        assert!(place(&both, Phase::Routed) < place(&both, Phase::Started));
    }

    #[test]
    fn the_fence_comes_after_the_drain_and_the_reverse_is_armed_before_anything_opens() {
        for kind in [DATA, WRITERS, BOTH] {
            let path = walk(kind);
            assert!(place(&path, Phase::Drained) < place(&path, Phase::Fenced));
            assert!(place(&path, Phase::Fenced) < place(&path, Phase::CaughtUp));
            assert!(place(&path, Phase::Hardened) < place(&path, Phase::Committed));
            assert!(place(&path, Phase::ReverseArmed) < place(&path, Phase::Committed));
            assert!(place(&path, Phase::Committed) < place(&path, Phase::Routed));
        }
    }

    #[test]
    fn settling_turns_at_committed_and_nowhere_else() {
        for kind in [DATA, WRITERS, BOTH] {
            let path = walk(kind);
            let commit = place(&path, Phase::Committed);
            for (i, phase) in path.iter().enumerate() {
                let wanted = match phase {
                    Phase::Soaking => Settle::Nothing,
                    _ if i < commit => Settle::Abort,
                    _ => Settle::Complete,
                };
                assert_eq!(settle(*phase), wanted, "{phase}");
            }
        }
    }

    #[test]
    fn signals_are_deferred_from_hardened_until_the_new_side_takes_writes() {
        let path = walk(WRITERS);
        let deferred: Vec<_> = path.iter().filter(|p| p.defers_signals()).copied().collect();
        assert_eq!(deferred.first(), Some(&Phase::Hardened));
        assert_eq!(deferred.last(), Some(&Phase::Started));
    }

    #[test]
    fn every_phase_but_the_resting_ones_has_exactly_one_way_on() {
        for kind in [DATA, WRITERS, BOTH] {
            for phase in walk(kind) {
                let ways = TABLE.iter().filter(|r| r.from == phase && r.when.holds(kind)).count();
                assert_eq!(ways, usize::from(phase != Phase::Soaking), "{phase}");
            }
        }
    }
}
