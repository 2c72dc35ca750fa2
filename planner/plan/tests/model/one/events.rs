//! What happens: steps of the processes, faults, clients, time, the operator; and what must hold after each.

use std::collections::BTreeSet;

use segue_plan::cutover::{Phase, Settle, settle};
use stateright::{Model, Property};

use super::super::check::{Step, Told};
use super::protocol::{Op, Protocol};
use super::reading::Reading;
use super::world::{Late, Marker, Race, Record, Side, World};

/// Events after which whoever comes after a death must be through.
const CALM_STEPS_MAX: usize = 200;

/// Who makes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Apply,
    Settler,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// A client's write is let in.
    ClientWrites(Side),
    /// It lands, and is acknowledged.
    WriteLands,
    /// A process that nobody knows of writes to the data.
    HiddenWrite,
    /// Old answers of the route expire.
    AnswersExpire,
    Step(Who),
    /// The process dies, and the call that it was about to make is on its way.
    DiesSending(Who),
    Dies(Who),
    ApplyStops,
    ApplyGoesOn,
    WatchdogDies,
    MachineDies {
        keeps_unsynced: bool,
    },
    TailLost,
    LeaseLapses,
    ForwardLeaseLapses,
    WatchdogActs,
    NextCommand,
    Lands(Late),
    TimerFires,
    OperatorOpens,
    HostBoots,
    NewSideBreaks,
    Signal,
}

impl Protocol {
    /// The side whose clients' writes go through.
    pub(crate) fn serves(&self, world: &World, side: Side) -> bool {
        if self.data() {
            world.accepts[side]
        } else {
            world.running && world.cached == side && world.accepts[side]
        }
    }

    /// Nothing is in flight, nobody is at work, nothing is on its way.
    pub(crate) fn at_rest(&self, world: &World) -> bool {
        settle(world.seen().phase) == Settle::Nothing
            && world.apply.is_none()
            && world.settler.is_none()
            && world.flight.is_none()
            && world.late.is_empty()
            && world.cached == world.route
    }

    /// Whether the commands that come after a death bring it to rest, when nothing else fails.
    fn comes_to_rest(&self, world: &World) -> bool {
        let mut now = world.clone();
        for _ in 0..CALM_STEPS_MAX {
            if now.unknown {
                return true;
            }
            if self.at_rest(&now) {
                return self.serves(&now, now.route) && !self.serves(&now, 1 - now.route);
            }
            let lands = now.late.first().map(|late| Event::Lands(*late));
            let ways = [Event::WriteLands, Event::Step(Who::Settler), Event::AnswersExpire];
            let time = [Event::NextCommand, Event::LeaseLapses, Event::ForwardLeaseLapses];
            let ways = ways.into_iter().chain(lands).chain(time);
            let next = ways.filter_map(|event| self.happens(&now, event)).find(|next| *next != now);
            match next {
                Some(next) => now = next,
                None => return false,
            }
        }
        false
    }

    pub(crate) fn happens(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        let fault = |next: &mut World| next.faults_left -= 1;
        match event {
            Event::ClientWrites(side) => {
                next.flight = Some(side);
                next.writes_left -= 1;
            }
            Event::WriteLands => {
                let side = world.flight?;
                next.flight = None;
                self.write(&mut next, side);
            }
            Event::HiddenWrite => {
                fault(&mut next);
                next.writes_left -= 1;
                self.write(&mut next, world.seen().from);
            }
            Event::AnswersExpire => next.cached = world.route,
            Event::Step(who) => return self.operate(world, who),
            Event::Dies(who) => return Some(self.dies(world, who)),
            Event::DiesSending(who) => {
                let runner = self.runner(world, who)?;
                let op = *self.program(&runner).get(usize::from(runner.op))?;
                let call = self.call(world, &runner, op)?;
                if op == Op::Open && world.broken {
                    return None;
                }
                next = self.dies(world, who);
                next.late.insert(call);
            }
            Event::ApplyStops => {
                fault(&mut next);
                next.stopped = true;
            }
            Event::ApplyGoesOn => next.stopped = false,
            Event::WatchdogDies => {
                fault(&mut next);
                next.watchdog = false;
            }
            Event::MachineDies { keeps_unsynced } => {
                fault(&mut next);
                (next.apply, next.settler, next.stopped, next.watchdog) = (None, None, false, false);
                let unsynced = next.unsynced.take();
                if let Some(record) = unsynced.filter(|_| keeps_unsynced) {
                    next.durable = record;
                }
            }
            Event::TailLost => {
                fault(&mut next);
                (next.apply, next.settler, next.stopped, next.watchdog) = (None, None, false, false);
                next.unsynced = None;
                next.durable.phase = Phase::ReverseArmed;
            }
            Event::LeaseLapses => {
                next.lapsed = true;
                let on_its_way = world.unsynced.is_some_and(|r| r.phase == Phase::Committed);
                if let Some(runner) = next.apply.as_mut().filter(|_| on_its_way)
                    && self.is(Reading::CommitGivenUpOnItsWay)
                {
                    (runner.aborting, runner.op) = (true, 0);
                }
            }
            Event::ForwardLeaseLapses if !world.lapsed => return None,
            Event::ForwardLeaseLapses => next.forward_lapsed = true,
            Event::WatchdogActs | Event::NextCommand if self.may_settle(world) => {
                return self.take_over(world);
            }
            Event::NextCommand if world.apply.is_none() && settle(world.seen().phase) == Settle::Nothing => {
                return self.begin(world);
            }
            // Somebody holds the lock, or there is nothing to do.
            Event::WatchdogActs | Event::NextCommand => return None,
            Event::Lands(late) => {
                next.late.remove(&late);
                self.land(&mut next, late);
            }
            Event::TimerFires => {
                let side = next.timer.take()?;
                next.accepts[side] = true;
                if !self.data() {
                    (next.running, next.masked) = (true, false);
                }
            }
            Event::OperatorOpens => {
                fault(&mut next);
                let from = world.seen().from;
                next.accepts[from] = true;
                if !self.data() {
                    (next.running, next.masked) = (true, false);
                }
            }
            Event::HostBoots => {
                fault(&mut next);
                next.running |= !world.masked;
            }
            Event::NewSideBreaks => {
                fault(&mut next);
                next.broken = true;
            }
            Event::Signal => {
                fault(&mut next);
                let runner = next.apply.as_mut()?;
                match settle(runner.record.phase) {
                    Settle::Abort if !runner.aborting => (runner.aborting, runner.op) = (true, 0),
                    Settle::Abort | Settle::Nothing => return None,
                    Settle::Complete => {
                        // It stops where it is, and lets its watchdog go.
                        if self.is(Reading::SignalsDeferredToRouted) {
                            next.durable.phase = Phase::Soaking;
                        }
                        (next.apply, next.watchdog) = (None, false);
                    }
                }
            }
        }
        Some(next)
    }

    pub(crate) fn write(&self, world: &mut World, side: Side) {
        world.acknowledged += 1;
        world.version[side] = world.acknowledged;
        let record = world.seen();
        let in_attempt = settle(record.phase) != Settle::Nothing;
        if in_attempt && side == record.to() && record.reverse.is_none() {
            world.unarmed_write = true;
        }
    }

    pub(crate) fn faults(&self, world: &World, events: &mut Vec<Event>) {
        let record = world.seen();
        let in_flight = settle(record.phase) != Settle::Nothing;
        for (who, there) in [(Who::Apply, world.apply.is_some()), (Who::Settler, world.settler.is_some())] {
            if there {
                events.push(Event::Dies(who));
                events.push(Event::DiesSending(who));
            }
        }
        if world.apply.is_some() && !world.stopped {
            events.push(Event::ApplyStops);
            let deferred = match self.reading {
                Reading::SignalsDeferredToRouted => {
                    record.phase.defers_signals() && record.phase != Phase::Routed
                }
                _ => record.phase.defers_signals(),
            };
            if !deferred {
                events.push(Event::Signal);
            }
        }
        if world.watchdog {
            events.push(Event::WatchdogDies);
        }
        if in_flight {
            events.push(Event::MachineDies { keeps_unsynced: true });
            if world.unsynced.is_some() {
                events.push(Event::MachineDies { keeps_unsynced: false });
            }
            let nobody = world.apply.is_none() && world.settler.is_none() && !world.watchdog;
            let raised = world.marker[record.from].raised && world.marker[record.from].live != record.from;
            if nobody && !raised {
                events.push(Event::OperatorOpens);
            }
            if matches!(record.phase, Phase::Committed | Phase::Opened | Phase::Routed) {
                events.push(Event::TailLost);
            }
            if !world.broken && self.data() && record.phase < Phase::Opened {
                events.push(Event::NewSideBreaks);
            }
        }
        if !self.data() && !world.running {
            events.push(Event::HostBoots);
            // Where stale writers are reported, what one writes after the last look is found and listed.
            let listed =
                !self.barred && record.phase >= Phase::ReverseArmed && !self.is(Reading::HiddenWriter);
            if world.writes_left > 0 && world.accepts[record.from] && !listed {
                events.push(Event::HiddenWrite);
            }
        }
    }
}

impl Told for Protocol {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        let Event::Step(who) = event else { return None };
        let runner = self.runner(world, *who)?;
        let name = if *who == Who::Apply { "" } else { "settler" };
        Some(match (self.program(&runner).get(usize::from(runner.op)), world.unsynced) {
            (Some(Op::Sync), Some(record)) => Step::reaches(name, record.phase),
            (Some(op), _) => Step::does(name, op),
            (None, _) => Step::ends(name),
        })
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let record = Record {
            attempt: 0,
            from: 0,
            phase: Phase::Ready,
            fence: 0,
            reverse: None,
            taken_back: false,
            committed_before: false,
        };
        vec![World {
            accepts: [true, false],
            running: true,
            masked: false,
            route: 0,
            cached: 0,
            flight: None,
            version: [0, 0],
            acknowledged: 0,
            writes_left: self.writes,
            unarmed_write: false,
            epoch: [0, 0],
            marker: [Marker::default(); 2],
            timer: None,
            durable: record,
            unsynced: None,
            race: Race::Open,
            lapsed: false,
            forward_lapsed: false,
            apply: None,
            stopped: false,
            watchdog: false,
            settler: None,
            late: BTreeSet::new(),
            attempts_left: self.attempts,
            faults_left: self.faults,
            broken: false,
            unknown: false,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let in_flight = settle(world.seen().phase) != Settle::Nothing;
        for side in [0, 1] {
            if world.writes_left > 0 && world.flight.is_none() && self.serves(world, side) {
                events.push(Event::ClientWrites(side));
            }
        }
        if world.flight.is_some() {
            events.push(Event::WriteLands);
        }
        if world.cached != world.route {
            events.push(Event::AnswersExpire);
        }
        for who in [Who::Apply, Who::Settler] {
            if self.runner(world, who).is_some() {
                events.push(Event::Step(who));
            }
        }
        if world.stopped {
            events.push(Event::ApplyGoesOn);
        }
        if in_flight && !world.lapsed {
            events.push(Event::LeaseLapses);
        } else if in_flight && !world.forward_lapsed && world.race == Race::Hardened {
            events.push(Event::ForwardLeaseLapses);
        }
        if world.watchdog {
            events.push(Event::WatchdogActs);
        }
        let free = world.apply.is_none() || world.lapsed;
        if free && world.settler.is_none() && !world.unknown && (in_flight || world.apply.is_none()) {
            events.push(Event::NextCommand);
        }
        events.extend(world.late.iter().map(|late| Event::Lands(*late)));
        if world.timer.is_some() && world.lapsed {
            events.push(Event::TimerFires);
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
            Property::always(
                "S1: never two sides that take clients' writes",
                |model: &Self, world: &World| !(model.data() && world.accepts[0] && world.accepts[1]),
            ),
            Property::always("S2, S3: the side that serves has every acknowledged write", |model, world| {
                [0, 1]
                    .iter()
                    .all(|&side| !model.serves(world, side) || world.version[side] == world.acknowledged)
            }),
            Property::always("S4: the way back is recorded before the first write", |_, world: &World| {
                !world.unarmed_write
            }),
            Property::always(
                "liveness: at rest one side serves, and the route leads there",
                |model, world| {
                    !model.at_rest(world)
                        || (model.serves(world, world.route) && !model.serves(world, 1 - world.route))
                },
            ),
            Property::always(
                "liveness: whoever comes after a death brings it to rest",
                |model: &Self, world: &World| {
                    let in_flight = settle(world.seen().phase) != Settle::Nothing;
                    let died = in_flight && world.apply.is_none() && world.settler.is_none();
                    !died || model.comes_to_rest(world)
                },
            ),
            Property::always(
                "liveness: a holder that stands still is not waited for",
                |model: &Self, world: &World| {
                    let in_flight = settle(world.seen().phase) != Settle::Nothing;
                    !(in_flight && world.stopped && world.settler.is_none()) || model.comes_to_rest(world)
                },
            ),
            Property::always("liveness: there is always a way on", |model: &Self, world: &World| {
                let mut events = Vec::new();
                model.actions(&World { faults_left: 0, ..world.clone() }, &mut events);
                let done = model.at_rest(world) && world.attempts_left == 0;
                done || world.unknown || events.iter().any(|e| model.next_state(world, *e).is_some())
            }),
            Property::sometimes("a switch goes through", |_, world: &World| {
                world.durable.phase == Phase::Soaking && world.durable.from == 0
            }),
        ]
    }
}
