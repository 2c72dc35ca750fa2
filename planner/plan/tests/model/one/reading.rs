//! The readings of the protocol that the model can follow: the real one, and those that somebody might have followed.

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// As it stands.
    Real,
    /// What was let in is waited for only after the position was fixed and looked at again.
    FenceBeforeDrain,
    /// Nobody waits for what was let in.
    NoDrain,
    /// The lease is not raced for: the watchdog re-opens whenever it is over.
    LeaseWithoutHardening,
    /// The lease's time is looked at once, before COMMITTED.
    LeaseCheckedOnlyAtCommit,
    /// The new side is opened, then COMMITTED recorded.
    OpenBeforeCommitted,
    /// The way back is recorded after the new side was opened.
    ReverseArmedAfterOpen,
    /// Stopped writers are started before the route is moved.
    StartBeforeRoute,
    /// Whoever settles leaves the holder alive, and the lease is not raced for.
    SettleWithoutKilling,
    /// The disk loses what was synced, and nobody looks at the markers.
    TailLostWithoutMarker,
    /// The endpoint's own timer is left to fire after `hardened`.
    TimerAfterHardened,
    /// COMMITTED that is not durable in time is given up, and the old side is not looked at before the new one opens.
    CommitGivenUpOnItsWay,
    /// ABORTED is recorded while calls of a dead sender are on their way.
    AbortedWithLateCalls,
    /// Data writes of a dead run are not refused.
    LateDataWritesLand,
    /// The operator's hand is not looked for before the markers are raised.
    HandNotLookedFor,
    /// The position is not looked at again before COMMITTED, and the data is not barred.
    HiddenWriter,
    /// Stopped writers may start by themselves when their host boots.
    WritersNotMasked,
    /// Signals are deferred to ROUTED only.
    SignalsDeferredToRouted,
    /// A settler acts on a record that is not synced, and the markers are not believed.
    SettlesUnsynced,
    /// COMMITTED of an earlier attempt counts.
    OldCommittedCounts,
    /// Writers are started while they may still believe the old route.
    RouteBelievedTooEarly,
    /// A commit is taken back while a call that opens the new side is on its way.
    TakenBackWithLateOpen,
    /// A holder that hardened is waited for, however long it stands still.
    NoForwardLease,
    /// Who comes when a holder's time to complete is over goes back.
    ForwardLeaseGoesBack,
}
