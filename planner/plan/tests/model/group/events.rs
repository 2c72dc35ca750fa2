//! What happens to a group, and what must hold after it.

use segue_plan::cutover::{Phase, Settle, settle};
use stateright::{Model, Property};

use super::super::check::{Step, Told};
use super::program::{Group, Op};
use super::world::{At, Call, Side, World};

/// Events after which whoever comes after a death must be through.
const CALM_STEPS_MAX: usize = 200;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    ClientWrites(At, Side),
    Step,
    /// The process dies, and the call that it was about to make is on its way.
    DiesSending,
    Dies,
    WatchdogDies,
    /// Nobody is left.
    MachineDies,
    LeaseLapses,
    WatchdogActs,
    NextCommand,
    Lands(Call),
    TimerFires(At),
    NewSideBreaks(At),
    NewSideMended,
}

impl Group {
    fn in_flight(world: &World) -> bool {
        settle(world.record.phase) != Settle::Nothing
    }

    /// Nothing is in flight, nobody is at work, nothing is on its way.
    fn at_rest(world: &World) -> bool {
        !Self::in_flight(world) && world.runner.is_none() && world.late.is_empty()
    }

    /// All members are served from one side, and their routes lead there.
    fn serves_as_one(&self, world: &World) -> bool {
        let side = world.members[0].route;
        (0..2).all(|m| {
            world.members[m].route == side
                && self.is_open(world, m, side)
                && !self.is_open(world, m, 1 - side)
        })
    }

    /// Whether the commands that come after a death bring the group to rest, when nothing else fails.
    fn comes_to_rest(&self, world: &World) -> bool {
        let mut now = world.clone();
        for _ in 0..CALM_STEPS_MAX {
            if Self::at_rest(&now) {
                return self.serves_as_one(&now);
            }
            let lands = now.late.first().map(|late| Event::Lands(*late));
            let ways = [Some(Event::Step), lands, Some(Event::NextCommand)];
            let next = ways.into_iter().flatten().find_map(|event| self.happens(&now, event));
            match next {
                Some(next) => now = next,
                None => return false,
            }
        }
        false
    }

    fn happens(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::ClientWrites(m, side) => {
                next.writes_left -= 1;
                let member = &mut next.members[m];
                member.acknowledged += 1;
                member.version[side] = member.acknowledged;
                let record = &world.record;
                next.unarmed_write |= Self::in_flight(world) && side == record.to() && !record.armed;
            }
            Event::Step => return self.operate(world),
            Event::DiesSending => {
                let call = self.call(&world.record, self.next_op(world)?)?;
                if self.fails(world, call) {
                    return None;
                }
                next.runner = None;
                next.late.insert(call);
                next.faults_left -= 1;
            }
            Event::Dies => {
                next.runner = None;
                next.faults_left -= 1;
            }
            Event::WatchdogDies => {
                next.watchdog = false;
                next.faults_left -= 1;
            }
            Event::MachineDies => {
                (next.runner, next.watchdog) = (None, false);
                next.faults_left -= 1;
            }
            Event::LeaseLapses => next.lapsed = true,
            Event::WatchdogActs | Event::NextCommand if self.may_settle(world) => return self.settles(world),
            Event::NextCommand if world.runner.is_none() && !Self::in_flight(world) => {
                return self.begins(world);
            }
            Event::WatchdogActs | Event::NextCommand => return None,
            Event::Lands(call) => {
                next.late.remove(&call);
                // What opens a side that cannot be opened does nothing.
                if !self.fails(world, call) {
                    self.land(&mut next, call);
                }
            }
            Event::TimerFires(m) => {
                let side = next.members[m].timer.take()?;
                let call = Call::Open(m, side);
                if !self.fails(&next, call) {
                    self.land(&mut next, call);
                }
            }
            Event::NewSideBreaks(m) => {
                next.broken = Some(m);
                next.faults_left -= 1;
            }
            Event::NewSideMended => next.broken = None,
        }
        Some(next)
    }

    fn faults(&self, world: &World, events: &mut Vec<Event>) {
        if world.runner.is_some() {
            events.extend([Event::Dies, Event::DiesSending]);
        }
        if world.watchdog {
            events.push(Event::WatchdogDies);
        }
        if world.runner.is_some() && world.watchdog {
            events.push(Event::MachineDies);
        }
        // A side that breaks while it is closed for an ordinary way back is nobody's fault but its own.
        let to_open = world.record.from == 0 || world.record.in_part;
        if Self::in_flight(world) && world.broken.is_none() && to_open {
            events.extend((0..2).filter(|m| !self.is_open(world, *m, 1)).map(Event::NewSideBreaks));
        }
    }
}

impl Told for Group {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        if *event != Event::Step {
            return None;
        }
        let Some(op) = self.next_op(world) else { return Some(Step::ends("")) };
        Some(match op {
            Op::Record(phase) => Step::reaches("", phase),
            op => Step::does("", &op),
        })
    }
}

impl Model for Group {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::first(self.writes, self.attempts, self.faults)]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for m in 0..2 {
            for side in 0..2 {
                if world.writes_left > 0 && self.is_open(world, m, side) {
                    events.push(Event::ClientWrites(m, side));
                }
            }
            if world.lapsed && world.members[m].timer.is_some() {
                events.push(Event::TimerFires(m));
            }
        }
        if world.runner.is_some() {
            events.push(Event::Step);
        }
        if Self::in_flight(world) && !world.lapsed {
            events.push(Event::LeaseLapses);
        }
        if world.watchdog {
            events.push(Event::WatchdogActs);
        }
        events.push(Event::NextCommand);
        events.extend(world.late.iter().map(|call| Event::Lands(*call)));
        if world.broken.is_some() {
            events.push(Event::NewSideMended);
        }
        if world.faults_left > 0 {
            self.faults(world, events);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.happens(world, event).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: never two sides of the group that take writes", |group: &Self, world| {
                let any = |side| (0..2).any(|m| group.is_open(world, m, side));
                !(any(0) && any(1))
            }),
            Property::always("S2, S3: the side that serves has every acknowledged write", |group, world| {
                let whole = |m: At, side: Side| {
                    !group.is_open(world, m, side)
                        || world.members[m].version[side] == world.members[m].acknowledged
                };
                (0..2).all(|m| whole(m, 0) && whole(m, 1))
            }),
            Property::always("S4: the way back is recorded before the first write", |_, world: &World| {
                !world.unarmed_write
            }),
            Property::always(
                "liveness: at rest one side serves, and the routes lead there",
                |group, world| !Self::at_rest(world) || group.serves_as_one(world),
            ),
            Property::always("liveness: there is always a way on", |group: &Self, world: &World| {
                let calm = World { faults_left: 0, writes_left: 0, lapsed: true, ..world.clone() };
                let mut events = Vec::new();
                group.actions(&calm, &mut events);
                let done = Self::at_rest(world) && world.attempts_left == 0;
                done || events.iter().any(|e| group.next_state(&calm, *e).is_some())
            }),
            Property::always(
                "liveness: whoever comes after a death brings it to rest",
                |group: &Self, world: &World| {
                    let died = world.runner.is_none() && Self::in_flight(world);
                    !died || group.comes_to_rest(world)
                },
            ),
            Property::sometimes("a switch goes through", |_, world: &World| {
                world.record.phase == Phase::Soaking && world.record.live == 1
            }),
            Property::sometimes("a group goes back with what a member took", |_, world: &World| {
                let took = world.members.iter().any(|m| m.version[0] > m.fence);
                world.record.in_part && world.record.phase == Phase::Routed && took
            }),
            Property::sometimes("a way back dies and is gone again", |_, world: &World| {
                let settles = world.runner.is_some_and(|r| !r.applies && !r.aborting);
                world.record.in_part && world.record.phase == Phase::Quiescing && settles
            }),
            Property::sometimes("a commit is taken back", |_, world: &World| world.record.taken_back),
        ]
    }
}
