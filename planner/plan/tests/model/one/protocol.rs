//! The operations behind each action of the transition table, in the order that the table gives, and in those that
//! the wrong readings would.

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};

use super::reading::Reading;
use super::world::{Late, Runner, World};

/// A configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) kind: QuiesceKind,
    /// Stopped writers: whether the data is barred, too, from HARDENED on (otherwise stale writers are reported).
    pub(crate) barred: bool,
    pub(crate) reading: Reading,
    pub(crate) writes: u8,
    pub(crate) attempts: u8,
    pub(crate) faults: u8,
}

/// One operation of a phase's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Close,
    Drain,
    TakeFence,
    Copy,
    Verify,
    LookQuiet,
    CancelTimer,
    Race,
    Arm,
    LastLook,
    LookForHand,
    RaiseOld,
    RaiseNew,
    Open,
    Route,
    Believe,
    Start,
    /// Written to the journal; others may read it.
    Write(Phase),
    /// Durable.
    Sync,
    /// A record of its own that takes the commit back.
    TakeBack,
    /// The markers say again who serves.
    RaiseBack,
    RouteBack,
    OpenBack,
    /// Every earlier call has a known outcome.
    AwaitLate,
    WriteOver,
}

impl Protocol {
    pub(crate) fn data(&self) -> bool {
        self.kind == QuiesceKind::Data
    }

    pub(crate) fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    /// The operations that lead out of a phase, in order. Which phase comes next is the table's.
    pub(crate) fn program(&self, runner: &Runner) -> Vec<Op> {
        let phase = runner.record.phase;
        if runner.aborting {
            let mut back = Vec::new();
            if settle(phase) == Settle::Complete && !runner.record.taken_back {
                back.push(Op::TakeBack);
                back.push(Op::Sync);
            }
            if settle(phase) == Settle::Complete || runner.record.taken_back {
                back.extend([Op::RaiseBack, Op::RouteBack]);
            }
            back.push(Op::OpenBack);
            if !self.is(Reading::AbortedWithLateCalls) {
                back.extend([Op::AwaitLate, Op::OpenBack]);
            }
            back.extend([Op::WriteOver, Op::Sync]);
            return back;
        }
        let (Some(act), Some(next)) = (action(phase, self.kind), advance(phase, self.kind)) else {
            return vec![Op::WriteOver, Op::Sync];
        };
        let mut ops = self.operations(act);
        ops.extend([Op::Write(next), Op::Sync]);
        ops
    }

    pub(crate) fn operations(&self, act: Action) -> Vec<Op> {
        match act {
            Action::CloseAndDrain if self.is(Reading::NoDrain) || self.is(Reading::FenceBeforeDrain) => {
                vec![Op::Close]
            }
            Action::CloseAndDrain => vec![Op::Close, Op::Drain],
            Action::Fence => vec![Op::TakeFence],
            Action::CatchUp => vec![Op::Copy],
            Action::VerifyResidual => vec![Op::Verify],
            Action::Harden => match self.reading {
                Reading::LeaseWithoutHardening | Reading::LeaseCheckedOnlyAtCommit => vec![Op::LookQuiet],
                Reading::SettleWithoutKilling => vec![Op::LookQuiet, Op::CancelTimer],
                Reading::TimerAfterHardened => vec![Op::LookQuiet, Op::Race],
                _ => vec![Op::LookQuiet, Op::CancelTimer, Op::Race],
            },
            Action::ArmReverse if self.is(Reading::ReverseArmedAfterOpen) => Vec::new(),
            Action::ArmReverse => vec![Op::Arm],
            Action::Commit if self.is(Reading::OpenBeforeCommitted) => vec![Op::LastLook, Op::Open],
            Action::Commit if self.is(Reading::FenceBeforeDrain) => vec![Op::LastLook, Op::Drain],
            Action::Commit => vec![Op::LastLook],
            Action::RaiseAndOpen => {
                let mut ops = self.raise();
                ops.push(Op::Open);
                if self.is(Reading::ReverseArmedAfterOpen) {
                    ops.push(Op::Arm);
                }
                ops
            }
            Action::RaiseAndRoute => {
                let mut ops = self.raise();
                if self.is(Reading::StartBeforeRoute) {
                    ops.push(Op::Start);
                } else {
                    ops.extend([Op::Route, Op::AwaitLate, Op::Route]);
                }
                ops
            }
            Action::Route => vec![Op::Route, Op::AwaitLate, Op::Route],
            Action::StartWriters => match self.reading {
                Reading::StartBeforeRoute => vec![Op::Route],
                Reading::RouteBelievedTooEarly => vec![Op::Start],
                _ => vec![Op::Believe, Op::Start],
            },
            Action::EnterWatch | Action::Watch => Vec::new(),
        }
    }

    pub(crate) fn raise(&self) -> Vec<Op> {
        // Two readings break nothing as long as the old side is looked at: the model takes them without.
        let looks = !matches!(
            self.reading,
            Reading::HandNotLookedFor | Reading::SettleWithoutKilling | Reading::CommitGivenUpOnItsWay
        );
        let hand = if looks { vec![Op::LookForHand] } else { vec![] };
        hand.into_iter().chain([Op::RaiseOld, Op::RaiseNew]).collect()
    }

    /// The call that an operation sends, where it sends one.
    pub(crate) fn call(&self, world: &World, runner: &Runner, op: Op) -> Option<Late> {
        let record = &runner.record;
        match op {
            Op::Close if self.data() => Some(Late::Close(record.from)),
            Op::Close => Some(Late::Stop),
            Op::Copy => Some(Late::Copy(record.to(), world.version[record.from], record.attempt)),
            Op::Open if self.data() => Some(Late::Open(record.to())),
            Op::Route => Some(Late::Route(record.to())),
            Op::Start => Some(Late::Start),
            Op::OpenBack if self.data() => Some(Late::Open(record.from)),
            Op::OpenBack => Some(Late::Start),
            Op::RouteBack => Some(Late::Route(record.from)),
            _ => None,
        }
    }

    pub(crate) fn land(&self, world: &mut World, call: Late) {
        match call {
            Late::Close(side) => world.accepts[side] = false,
            Late::Open(side) => world.accepts[side] = true,
            Late::Route(side) => world.route = side,
            Late::Stop => (world.running, world.masked) = (false, !self.is(Reading::WritersNotMasked)),
            Late::Start => (world.running, world.masked) = (true, false),
            Late::Copy(side, version, epoch) => {
                if epoch >= world.epoch[side] || self.is(Reading::LateDataWritesLand) {
                    world.version[side] = version;
                }
            }
        }
    }
}
