//! Steps of whoever drives or settles a group.

use segue_plan::cutover::{Failed, Phase, Retreat, Settle, begins_in_part, goes_back_again, retreat, settle};

use super::program::{Group, Op, Reading};
use super::world::{At, Call, Race, Record, Runner, Side, World};

/// How an operation ended.
enum Done {
    Next,
    Waits,
    /// What was proven is not so.
    Fails,
    /// The process ends; the attempt stays in flight.
    Ends,
}

impl Group {
    /// Whether a member's clients are let in on a side.
    pub(super) fn is_open(&self, world: &World, member: At, side: Side) -> bool {
        let m = &world.members[member];
        if self.is_data(member) { m.accepts[side] } else { m.running && m.route == side }
    }

    fn is_closed(&self, world: &World, side: Side) -> bool {
        (0..2).all(
            |m| if self.is_data(m) { !world.members[m].accepts[side] } else { !world.members[m].running },
        )
    }

    fn opens_late(world: &World, side: Side) -> bool {
        world.late.iter().any(|late| matches!(late, Call::Open(_, to) if *to == side))
    }

    /// Whether a call fails: it opens a side that cannot be opened, and is not open already.
    pub(super) fn fails(&self, world: &World, call: Call) -> bool {
        matches!(call, Call::Open(m, 1) if world.broken == Some(m) && !self.is_open(world, m, 1))
    }

    pub(super) fn next_op(&self, world: &World) -> Option<Op> {
        let runner = world.runner?;
        self.program(&world.record, runner.aborting).get(usize::from(runner.op)).copied()
    }

    /// One operation. `None`: it waits.
    pub(super) fn operate(&self, world: &World) -> Option<World> {
        let runner = world.runner?;
        let Some(op) = self.next_op(world) else {
            return Some(World { runner: None, watchdog: false, ..world.clone() });
        };
        let mut next = world.clone();
        match self.perform(&mut next, op) {
            Done::Waits => None,
            Done::Ends => {
                next.runner = None;
                Some(next)
            }
            Done::Fails if settle(world.record.phase) == Settle::Abort => {
                next.runner = Some(Runner { aborting: true, op: 0, ..runner });
                Some(next)
            }
            Done::Fails => self.after_commit(&next, runner),
            Done::Next => {
                let begun_anew = matches!(op, Op::Record(_)) && !runner.aborting;
                if let Some(runner) = next.runner.as_mut() {
                    runner.op = if begun_anew { 0 } else { runner.op + 1 };
                }
                Some(next)
            }
        }
    }

    fn perform(&self, world: &mut World, op: Op) -> Done {
        let (from, to) = (world.record.from, world.record.to());
        if let Some(call) = self.call(&world.record, op) {
            if !self.fails(world, call) {
                self.land(world, call);
            } else if matches!(op, Op::Open(_) | Op::OpenToClients(_)) {
                return Done::Fails;
            }
        }
        let fails_unless = |holds: bool| if holds { Done::Next } else { Done::Fails };
        match op {
            Op::Close(m) => world.members[m].timer = Some(from),
            Op::TakeFence => {
                world.members.iter_mut().for_each(|m| m.fence = m.version[from]);
                return fails_unless(self.is_closed(world, from));
            }
            Op::Copy(m) => world.members[m].version[to] = world.members[m].version[from],
            Op::Verify => return fails_unless(world.members.iter().all(|m| m.version[to] == m.fence)),
            Op::LookQuiet => return fails_unless(self.is_closed(world, from) && !world.lapsed),
            Op::CancelTimer(m) => return fails_unless(world.members[m].timer.take().is_some()),
            Op::Race if world.race == Race::Expired => return Done::Fails,
            Op::Race => world.race = Race::Hardened,
            Op::Arm => world.record.armed = true,
            Op::LastLook => {
                let still = world.members.iter().all(|m| m.version[from] == m.fence);
                return fails_unless(still && self.is_closed(world, from));
            }
            Op::Commit(m) => world.record.committed[m] = true,
            Op::Opened(m) => world.record.opened[m] = true,
            Op::AwaitOpened if world.record.opened != [true; 2] => return Done::Waits,
            Op::AwaitLate if !world.late.is_empty() => return Done::Waits,
            Op::OpenBack(m) => world.members[m].timer = None,
            Op::LookOpen => {
                let open = |m: At| {
                    let side = if world.record.committed[m] { to } else { from };
                    self.is_open(world, m, side) || !self.is_data(m) && world.members[m].running
                };
                if !(0..2).all(open) {
                    return Done::Ends;
                }
            }
            Op::Record(phase) => reach(world, phase),
            Op::Aborted => {
                let phase = if world.record.switches == 0 { Phase::Ready } else { Phase::Soaking };
                world.record = Record { phase, taken_back: false, in_part: false, ..world.record };
                rest(world);
            }
            _ => {}
        }
        Done::Next
    }

    /// A member could not be opened after COMMITTED: what the executor decides.
    fn after_commit(&self, world: &World, runner: Runner) -> Option<World> {
        let record = world.record;
        let failed = Failed {
            act: self.act(&record)?,
            by_hand: false,
            outcome_known: true,
            some_opened: record.opened.contains(&true) && !self.is(Reading::TakenBackInPart),
            reverse: true,
        };
        let closed = || self.is_closed(world, record.to()) || self.is(Reading::TakenBackInPart);
        let mut next = world.clone();
        match retreat(failed, closed) {
            Retreat::TakeBack if Self::opens_late(world, record.to()) => return None,
            Retreat::TakeBack => {
                if self.is(Reading::TakenBackInPart) {
                    next.members.iter_mut().for_each(|m| m.accepts[record.to()] = false);
                }
                next.record.taken_back = true;
                next.record.phase = Phase::Aborting;
                next.record.live = record.from;
                next.record.switches -= 1;
                next.runner = Some(Runner { aborting: true, op: 0, ..runner });
            }
            // No attempt begins while a call is on its way.
            Retreat::GroupGoesBack if !world.late.is_empty() => return None,
            Retreat::GroupGoesBack => enter(&mut next, record.to(), runner),
            Retreat::None => next.runner = None,
        }
        Some(next)
    }

    /// Whoever settles: by what the journal says.
    pub(super) fn settles(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        if next.runner.is_some() {
            next.race = Race::Expired;
        }
        let record = world.record;
        let runner = Runner { applies: false, aborting: false, op: 0 };
        match settle(record.phase) {
            Settle::Nothing => return None,
            Settle::Complete => next.runner = Some(runner),
            Settle::Abort
                if goes_back_again(record.phase, record.in_part) && !self.is(Reading::WayBackAborted) =>
            {
                if !world.late.is_empty() {
                    return None;
                }
                enter(&mut next, record.from, runner);
            }
            Settle::Abort => next.runner = Some(Runner { aborting: true, ..runner }),
        }
        Some(next)
    }

    /// Whether somebody may settle: the holder is dead, or its lease is over and was not hardened.
    pub(super) fn may_settle(&self, world: &World) -> bool {
        let in_flight = settle(world.record.phase) != Settle::Nothing;
        let holder = world.runner.is_none_or(|r| r.applies && world.lapsed && world.race != Race::Hardened);
        in_flight && holder
    }

    /// An apply that begins an attempt away from the side that serves.
    pub(super) fn begins(&self, world: &World) -> Option<World> {
        if !world.late.is_empty() {
            return None;
        }
        let mut next = world.clone();
        next.attempts_left = world.attempts_left.checked_sub(1)?;
        next.watchdog = true;
        enter(&mut next, world.record.live, Runner { applies: true, aborting: false, op: 0 });
        Some(next)
    }
}

/// An attempt begins.
fn enter(world: &mut World, from: Side, runner: Runner) {
    let before = world.record;
    world.record = Record {
        from,
        phase: Phase::Quiescing,
        armed: false,
        opened: [false; 2],
        in_part: begins_in_part(before.phase, before.in_part),
        taken_back: false,
        committed: [false; 2],
        live: from,
        switches: before.switches,
    };
    rest(world);
    world.runner = Some(Runner { aborting: false, op: 0, ..runner });
}

/// No lease is running.
fn rest(world: &mut World) {
    (world.race, world.lapsed) = (Race::Open, false);
    world.members.iter_mut().for_each(|m| m.timer = None);
}

fn reach(world: &mut World, phase: Phase) {
    world.record.phase = phase;
    match phase {
        Phase::Committed => {
            world.record.live = world.record.to();
            world.record.switches += 1;
        }
        Phase::Soaking => world.record.in_part = false,
        _ => {}
    }
}
