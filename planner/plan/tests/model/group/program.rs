//! The operations behind each action of the transition table for two members, and those of the wrong readings.

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Opens, Phase, action, advance, opens_members};

use super::world::{At, Call, Record, World};

/// A configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) kinds: [QuiesceKind; 2],
    pub(super) reading: Reading,
    pub(super) writes: u8,
    pub(super) attempts: u8,
    pub(super) faults: u8,
}

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// As it stands.
    Real,
    /// The first member's endpoint gives up its lease, the second keeps it.
    HardenedInPart,
    /// Each member has a COMMITTED of its own, and is settled by that.
    CommitPerMember,
    /// That a target can be opened is proven by opening it to clients.
    ProvenByOpening,
    /// The routes wait until every member takes writes, and the writers until every route has moved.
    EachWaitsForTheOther,
    /// A commit is taken back although a member took writes: it is closed again, and that is all.
    TakenBackInPart,
    /// A way back that died is aborted: the side of which some member could not be opened is opened.
    WayBackAborted,
    /// An abort of a way back leaves the routes where they were.
    RoutesLeftBehind,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Close(At),
    TakeFence,
    Copy(At),
    Verify,
    /// The wrong proof that a target can be opened, and its end.
    OpenToClients(At),
    CloseToClients(At),
    LookQuiet,
    CancelTimer(At),
    Race,
    Arm,
    LastLook,
    /// COMMITTED of one member.
    Commit(At),
    Open(At),
    /// The record that a member is open.
    Opened(At),
    AwaitOpened,
    Route(At),
    /// Every earlier call has a known outcome.
    AwaitLate,
    Record(Phase),
    /// To the side that the attempt led away from.
    OpenBack(At),
    RouteBack(At),
    /// Ends, both sides closed, where one could not be opened.
    LookOpen,
    Aborted,
}

impl Group {
    pub(super) fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    pub(super) fn is_data(&self, member: At) -> bool {
        self.kinds[member] == QuiesceKind::Data
    }

    fn opens(&self) -> Opens {
        self.kinds.into_iter().collect()
    }

    /// What depends on another leaves before it.
    fn order(record: &Record) -> [At; 2] {
        if record.from == 0 { [0, 1] } else { [1, 0] }
    }

    pub(super) fn act(&self, record: &Record) -> Option<Action> {
        action(record.phase, self.opens())
    }

    pub(super) fn program(&self, record: &Record, aborting: bool) -> Vec<Op> {
        if aborting {
            return self.back(record);
        }
        let (Some(act), Some(next)) = (self.act(record), advance(record.phase, self.opens())) else {
            return Vec::new();
        };
        let mut ops = self.operations(act, Self::order(record));
        ops.push(Op::Record(next));
        ops
    }

    /// The side that served first; the routes where they may lead elsewhere, before any writers start.
    fn back(&self, record: &Record) -> Vec<Op> {
        let [a, b] = Self::order(record);
        let moved = record.taken_back || record.in_part && !self.is(Reading::RoutesLeftBehind);
        let routes = if moved { vec![Op::RouteBack(a), Op::RouteBack(b)] } else { Vec::new() };
        let opens =
            [Op::OpenBack(a), Op::OpenBack(b), Op::AwaitLate, Op::OpenBack(a), Op::OpenBack(b), Op::LookOpen];
        let mut ops = vec![Op::Record(Phase::Aborting)];
        if self.opens().writers {
            ops.extend(routes.into_iter().chain(opens));
        } else {
            ops.extend(opens.into_iter().chain(routes));
        }
        ops.push(Op::Aborted);
        ops
    }

    fn operations(&self, act: Action, [a, b]: [At; 2]) -> Vec<Op> {
        match act {
            Action::CloseAndDrain => vec![Op::Close(a), Op::Close(b)],
            Action::Fence => vec![Op::TakeFence],
            Action::CatchUp => vec![Op::Copy(a), Op::Copy(b)],
            Action::VerifyResidual if self.is(Reading::ProvenByOpening) => vec![
                Op::Verify,
                Op::OpenToClients(a),
                Op::CloseToClients(a),
                Op::OpenToClients(b),
                Op::CloseToClients(b),
            ],
            Action::VerifyResidual => vec![Op::Verify],
            Action::Harden if self.is(Reading::HardenedInPart) => {
                vec![Op::LookQuiet, Op::CancelTimer(a), Op::Race]
            }
            Action::Harden => vec![Op::LookQuiet, Op::CancelTimer(a), Op::CancelTimer(b), Op::Race],
            Action::ArmReverse => vec![Op::Arm],
            Action::Commit if self.is(Reading::CommitPerMember) => {
                vec![Op::LastLook, Op::Commit(a), Op::Commit(b)]
            }
            Action::Commit => vec![Op::LastLook],
            Action::RaiseAndOpen | Action::StartWriters => {
                let members = [a, b].into_iter().filter(|m| opens_members(act) == Some(self.kinds[*m]));
                members.flat_map(|m| [Op::Open(m), Op::Opened(m)]).collect()
            }
            Action::RaiseAndRoute | Action::Route => {
                let waits = self.is(Reading::EachWaitsForTheOther).then_some(Op::AwaitOpened);
                let routes = [Op::Route(a), Op::Route(b), Op::AwaitLate, Op::Route(a), Op::Route(b)];
                waits.into_iter().chain(routes).collect()
            }
            Action::EnterWatch | Action::Watch => Vec::new(),
        }
    }

    /// The call that an operation sends, where it sends one.
    pub(super) fn call(&self, record: &Record, op: Op) -> Option<Call> {
        match op {
            Op::Close(m) => Some(Call::Close(m, record.from)),
            Op::Open(m) => Some(Call::Open(m, record.to())),
            // A member with a COMMITTED of its own is completed.
            Op::OpenBack(m) if record.committed[m] => Some(Call::Open(m, record.to())),
            Op::OpenBack(m) => Some(Call::Open(m, record.from)),
            Op::Route(m) => Some(Call::Route(m, record.to())),
            Op::RouteBack(m) => Some(Call::Route(m, record.from)),
            Op::OpenToClients(m) => Some(Call::Open(m, record.to())),
            Op::CloseToClients(m) => Some(Call::Close(m, record.to())),
            _ => None,
        }
    }

    pub(super) fn land(&self, world: &mut World, call: Call) {
        match call {
            Call::Close(m, side) if self.is_data(m) => world.members[m].accepts[side] = false,
            Call::Close(m, _) => world.members[m].running = false,
            Call::Open(m, side) if self.is_data(m) => world.members[m].accepts[side] = true,
            Call::Open(m, _) => world.members[m].running = true,
            Call::Route(m, side) => world.members[m].route = side,
        }
    }
}
