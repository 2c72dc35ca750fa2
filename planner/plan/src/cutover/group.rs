//! What a group of migrations that switch as one decides (protocol P16, P20): who opens when, what a failure after
//! COMMITTED allows, and what becomes of a way back that was not finished.

use segue_contract::QuiesceKind;

use super::{Action, Phase, Settle, settle};

/// The members that an action opens: those of one kind, the writers after every route has moved.
pub fn opens_members(act: Action) -> Option<QuiesceKind> {
    match act {
        Action::RaiseAndOpen => Some(QuiesceKind::Data),
        Action::StartWriters => Some(QuiesceKind::Writers),
        Action::CloseAndDrain
        | Action::Fence
        | Action::CatchUp
        | Action::VerifyResidual
        | Action::Harden
        | Action::ArmReverse
        | Action::Commit
        | Action::RaiseAndRoute
        | Action::Route
        | Action::EnterWatch
        | Action::Watch => None,
    }
}

/// What a failure after COMMITTED allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retreat {
    /// Every new side is proven closed and nothing that opens one can still land: the commit is taken back (P16).
    TakeBack,
    /// Some members opened and took writes: the group goes back by the protocol (P20).
    GroupGoesBack,
    /// Neither: what is closed stays closed, and what is open stays open.
    None,
}

/// A failure after COMMITTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What failed.
    pub act: Action,
    /// The old side was opened by hand before the new one (P17).
    pub by_hand: bool,
    /// The call that failed cannot land any more.
    pub outcome_known: bool,
    /// Some member was opened.
    pub some_opened: bool,
    /// What the new sides took can be carried back.
    pub reverse: bool,
}

/// The way back after a failure; `proven_closed` looks whether every new side is closed.
pub fn retreat(failed: Failed, proven_closed: impl FnOnce() -> bool) -> Retreat {
    let Failed { act, by_hand, outcome_known, some_opened, reverse } = failed;
    if by_hand {
        return Retreat::TakeBack;
    }
    let opening = opens_members(act).is_some() || act == Action::RaiseAndRoute;
    if !opening || !outcome_known {
        return Retreat::None;
    }
    match (some_opened, reverse) {
        (true, true) => Retreat::GroupGoesBack,
        (true, false) => Retreat::None,
        (false, _) if proven_closed() => Retreat::TakeBack,
        (false, _) => Retreat::None,
    }
}

/// Whether an attempt that begins leads back from a side of which some members never opened; `before` is where the
/// cutover was, `was` whether that was so of the attempt before.
pub fn begins_in_part(before: Phase, was: bool) -> bool {
    match settle(before) {
        Settle::Nothing => false,
        Settle::Abort => was,
        Settle::Complete => before != Phase::Watching,
    }
}

/// Whether settling an attempt goes back once more instead of aborting it: the side that it leads away from can not
/// be expected to open, so that an abort might leave both closed for ever.
pub fn goes_back_again(phase: Phase, in_part: bool) -> bool {
    in_part && settle(phase) == Settle::Abort
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: Failed = Failed {
        act: Action::RaiseAndOpen,
        by_hand: false,
        outcome_known: true,
        some_opened: false,
        reverse: true,
    };

    #[test]
    fn a_commit_is_taken_back_only_while_every_new_side_is_proven_closed() {
        assert_eq!(retreat(OPENING, || true), Retreat::TakeBack);
        assert_eq!(retreat(OPENING, || false), Retreat::None);
        let routing = Failed { act: Action::Route, ..OPENING };
        assert_eq!(retreat(routing, || true), Retreat::None);
        let unknown = Failed { outcome_known: false, ..OPENING };
        assert_eq!(retreat(unknown, || true), Retreat::None);
    }

    #[test]
    fn a_group_goes_back_only_with_what_its_members_took() {
        let opened = Failed { some_opened: true, ..OPENING };
        assert_eq!(retreat(opened, || true), Retreat::GroupGoesBack);
        assert_eq!(retreat(Failed { reverse: false, ..opened }, || true), Retreat::None);
    }

    #[test]
    fn only_an_attempt_out_of_a_switch_that_was_not_finished_is_in_part() {
        assert!(begins_in_part(Phase::Opened, false));
        assert!(begins_in_part(Phase::Aborting, true));
        assert!(!begins_in_part(Phase::Watching, false), "lost health: every member is open");
        assert!(!begins_in_part(Phase::Soaking, true));
        assert!(goes_back_again(Phase::Drained, true));
        assert!(!goes_back_again(Phase::Committed, true));
    }
}
