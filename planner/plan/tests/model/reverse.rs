//! Reverse passes over an old side that stale clients still write to (protocol P21), and the way back that ends with
//! one: whatever somebody wrote there is found and kept aside, and no write that the new side acknowledged is lost.
//!
//! A stale write that lands after the last look in the pause, at a side that is about to serve, comes after the
//! switch back: it is that side's own.

use std::collections::BTreeSet;

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use stateright::{Model, Property};

use super::check::{self, Step, Told, bound};

const KEYS: usize = 2;
/// What stale clients write is numbered from here.
const STALE: u8 = 100;

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// As it stands: every key of the side that is written, against what Segue last wrote there, conditionally.
    Real,
    /// What changed is written, whatever lies there.
    WrittenOver,
    /// Only the keys that are written are looked at.
    OnlyWrittenKeys,
    /// The first pass takes what it finds for what was there at the fence.
    NoBaseline,
    /// Looked at, and written whatever came in between.
    LooksThenWrites,
}

#[derive(Clone, Copy, Debug)]
struct Reverse {
    reading: Reading,
    writes: u8,
    stale_writes: u8,
    faults: u8,
}

/// A pass: which key is next, and what it saw there before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pass {
    key: u8,
    seen: Option<u8>,
    /// What it found to be true of the old side; published at its end.
    ledger: [u8; KEYS],
    /// It wrote the key: what is verified afterwards.
    written: [bool; KEYS],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The values of the new side, which serves, and of the old one.
    new: [u8; KEYS],
    old: [u8; KEYS],
    /// What Segue last wrote to the old side; without a baseline, nothing before the first pass.
    ledger: Option<[u8; KEYS]>,
    pass: Option<Pass>,
    /// The way back; `Soaking` while nothing is in flight.
    phase: Phase,
    /// Somebody drives it.
    driven: bool,
    /// The keys that the last pass in the pause wrote.
    residual: [bool; KEYS],
    new_open: bool,
    old_open: bool,
    kept: BTreeSet<u8>,
    /// Stale writes after the last look in the pause.
    own: [bool; KEYS],
    /// A stale write was written over and not kept.
    lost: bool,
    writes_left: u8,
    stale_left: u8,
    back_left: bool,
    faults_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    ClientWrites(usize),
    StaleWrites(usize),
    PassBegins,
    /// It looks at the next key, or writes it.
    PassGoesOn,
    PassDies,
    BackBegins,
    BackGoesOn,
    BackDies,
    /// COMMITTED absent: the new side is opened again. There: complete.
    Settles,
}

impl Reverse {
    fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    fn begin_pass(&self, world: &mut World) {
        let ledger = world.ledger.unwrap_or(world.old);
        world.pass = Some(Pass { key: 0, seen: None, ledger, written: [false; KEYS] });
    }

    fn go_on(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let mut pass = world.pass?;
        let key = usize::from(pass.key);
        let Some(&known) = pass.ledger.get(key) else {
            next.ledger = Some(pass.ledger);
            next.residual = pass.written;
            next.pass = None;
            return Some(next);
        };
        let (here, wanted) = (world.old[key], world.new[key]);
        let looks = match self.reading {
            Reading::Real | Reading::LooksThenWrites | Reading::NoBaseline => true,
            Reading::OnlyWrittenKeys => wanted != known,
            Reading::WrittenOver => false,
        };
        let in_pause = world.phase == Phase::Fenced;
        match pass.seen {
            None if looks => {
                // What is as the new side has it needs nothing; anything else that is not known is a stale writer's.
                if here != known && here != wanted {
                    next.kept.insert(here);
                }
                pass.seen = Some(here);
                next.own[key] = false;
            }
            // Somebody wrote since it looked: it looks again.
            Some(seen) if seen != here && !self.is(Reading::LooksThenWrites) => pass.seen = None,
            _ => {
                let writes = if looks { here != wanted } else { wanted != known };
                if writes {
                    next.lost |= here >= STALE && !world.kept.contains(&here);
                    next.old[key] = wanted;
                    pass.written[key] = true;
                }
                if looks || writes {
                    pass.ledger[key] = wanted;
                }
                next.own[key] &= !in_pause;
                (pass.key, pass.seen) = (pass.key + 1, None);
            }
        }
        next.pass = Some(pass);
        Some(next)
    }

    fn drive(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let act = action(world.phase, QuiesceKind::Data)?;
        let mut abort = false;
        match act {
            Action::CloseAndDrain => next.new_open = false,
            // It ends when its pass does.
            Action::CatchUp if world.pass.is_some() => return None,
            Action::VerifyResidual => {
                abort = (0..KEYS).any(|k| world.residual[k] && world.old[k] != world.new[k]);
            }
            Action::RaiseAndOpen => next.old_open = true,
            _ => {}
        }
        if abort {
            (next.phase, next.new_open, next.driven) = (Phase::Soaking, true, false);
            return Some(next);
        }
        next.phase = advance(world.phase, QuiesceKind::Data)?;
        if next.phase == Phase::Fenced {
            self.begin_pass(&mut next);
        }
        next.driven = settle(next.phase) != Settle::Nothing;
        Some(next)
    }

    fn happens(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::ClientWrites(key) => {
                next.new[key] = self.writes - world.writes_left + 1;
                next.writes_left -= 1;
            }
            Event::StaleWrites(key) => {
                next.old[key] = STALE + world.stale_left;
                next.own[key] = true;
                next.stale_left -= 1;
                // A stale write over another is theirs to settle.
                if world.old[key] >= STALE {
                    next.kept.insert(world.old[key]);
                }
            }
            Event::PassBegins => self.begin_pass(&mut next),
            Event::PassGoesOn => return self.go_on(world),
            Event::PassDies => {
                next.pass = None;
                next.faults_left -= 1;
            }
            Event::BackBegins => {
                (next.phase, next.driven, next.back_left, next.pass) = (Phase::Quiescing, true, false, None);
            }
            Event::BackGoesOn => return self.drive(world),
            Event::BackDies => {
                (next.driven, next.pass) = (false, None);
                next.faults_left -= 1;
            }
            Event::Settles => match settle(world.phase) {
                Settle::Nothing => return None,
                Settle::Abort => (next.phase, next.new_open) = (Phase::Soaking, true),
                Settle::Complete => next.driven = true,
            },
        }
        Some(next)
    }
}

impl Told for Reverse {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        let next = advance(world.phase, QuiesceKind::Data).filter(|_| *event == Event::BackGoesOn)?;
        Some(Step::reaches("", next))
    }
}

impl Model for Reverse {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            new: [0; KEYS],
            old: [0; KEYS],
            ledger: (!self.is(Reading::NoBaseline)).then_some([0; KEYS]),
            pass: None,
            phase: Phase::Soaking,
            driven: false,
            residual: [false; KEYS],
            new_open: true,
            old_open: false,
            kept: BTreeSet::new(),
            own: [false; KEYS],
            lost: false,
            writes_left: self.writes,
            stale_left: self.stale_writes,
            back_left: true,
            faults_left: self.faults,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let soaks = world.phase == Phase::Soaking && !world.old_open;
        for key in 0..KEYS {
            if world.new_open && world.writes_left > 0 {
                events.push(Event::ClientWrites(key));
            }
            if !world.old_open && world.stale_left > 0 {
                events.push(Event::StaleWrites(key));
            }
        }
        match world.pass {
            Some(_) => events.push(Event::PassGoesOn),
            None if soaks => events.push(Event::PassBegins),
            None => {}
        }
        if soaks && world.back_left {
            events.push(Event::BackBegins);
        }
        let in_flight = settle(world.phase) != Settle::Nothing;
        if world.driven {
            events.push(Event::BackGoesOn);
        } else if in_flight {
            events.push(Event::Settles);
        }
        if world.faults_left > 0 {
            if world.driven {
                events.push(Event::BackDies);
            } else if world.pass.is_some() {
                events.push(Event::PassDies);
            }
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.happens(world, event).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: never two sides that take clients' writes", |_, world: &World| {
                !(world.old_open && world.new_open)
            }),
            Property::always(
                "S3: the side that serves again has what the other acknowledged",
                |_, world: &World| {
                    !world.old_open || (0..KEYS).all(|k| world.old[k] == world.new[k] || world.own[k])
                },
            ),
            Property::always("S3: no stale write is written over and not kept", |_, world: &World| {
                !world.lost
            }),
            Property::sometimes("a switch goes through", |_, world: &World| world.old_open),
            Property::sometimes("what a stale writer wrote is kept", |_, world: &World| {
                !world.kept.is_empty()
            }),
        ]
    }
}

fn reverse(reading: Reading, faults: u8) -> Reverse {
    Reverse { reading, writes: 2, stale_writes: 2, faults }
}

#[track_caller]
fn breaks(reading: Reading, invariant: &str) {
    check::breaks(&reverse(reading, 0), "reverse", &reading, invariant);
}

#[test]
fn reverse_passes_lose_nothing_of_either_side() {
    let model = reverse(Reading::Real, bound(2, 3));
    let Reverse { writes, stale_writes, faults, .. } = model;
    check::holds(&model, "reverse", &format!("{writes} writes, {stale_writes} stale, {faults} faults"));
}

#[test]
fn a_pass_that_writes_over_a_stale_write_loses_it() {
    breaks(Reading::WrittenOver, "S3: no stale");
}

#[test]
fn a_pass_that_looks_only_at_the_keys_that_it_writes_goes_back_to_a_stale_write() {
    breaks(Reading::OnlyWrittenKeys, "S3: the side");
}

#[test]
fn without_a_baseline_the_first_pass_takes_a_stale_write_for_its_own() {
    breaks(Reading::NoBaseline, "S3: no stale");
}

#[test]
fn a_pass_that_looks_and_then_writes_unconditionally_loses_what_came_in_between() {
    breaks(Reading::LooksThenWrites, "S3: no stale");
}
