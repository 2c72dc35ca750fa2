//! Mass deletion (protocol P28): the side that serves may be emptied by accident, and passes and the way back carry what it
//! shows. The other side is emptied only when a person has accepted that accident.

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use stateright::{Model, Property};

use super::check::{self, Step, Told, bound};

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// As it stands: every pass counts before its first deletion; an acceptance names the ledger.
    Real,
    /// What is gone is deleted.
    NeverAsks,
    /// Passes ask; the last one, in the pause, carries whatever it finds.
    NotInThePause,
    /// It counts while it deletes, and stops in the middle.
    CountsOnTheWay,
    /// What was accepted once is accepted.
    AcceptedForGood,
}

#[derive(Clone, Copy, Debug)]
struct Deletions {
    reading: Reading,
    accidents: u8,
    faults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The records of the side that serves are there.
    new: bool,
    /// Those of the other one: whole, in part, none.
    old: u8,
    /// The last ledger: it rises with each pass that completes.
    ledger: u8,
    /// The ledger that a person accepted a deletion from.
    accepted: Option<u8>,
    /// A pass stopped and was told.
    asked: bool,
    /// The accident that is there now was accepted.
    meant: bool,
    /// The other side lost records of an accident that nobody accepted.
    lost: bool,
    phase: Phase,
    driven: bool,
    new_open: bool,
    old_open: bool,
    held: bool,
    accidents_left: u8,
    faults_left: u8,
}

/// Records of a side that is whole; one fewer is a part of them.
const WHOLE: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// `rm -rf`, or an application's bug.
    Emptied,
    /// Clients fill it again.
    Filled,
    PassRuns,
    PersonAccepts,
    PersonUnholds,
    BackBegins,
    BackGoesOn,
    BackDies,
    Settles,
}

impl Deletions {
    fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    /// One pass. Whether it came through.
    fn pass(&self, world: &mut World) -> bool {
        let in_pause = settle(world.phase) != Settle::Nothing;
        let deletes = !world.new && world.old > 0;
        let accepted = match self.reading {
            Reading::NeverAsks => true,
            Reading::NotInThePause if in_pause => true,
            Reading::AcceptedForGood => world.accepted.is_some(),
            _ => world.accepted == Some(world.ledger),
        };
        if deletes && !accepted {
            world.asked = true;
            if self.is(Reading::CountsOnTheWay) {
                world.old -= 1;
                world.lost = true;
            }
            return false;
        }
        world.lost |= deletes && !world.meant;
        world.old = if world.new { WHOLE } else { 0 };
        world.ledger += 1;
        world.asked = false;
        true
    }

    fn drive(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let came_through = match action(world.phase, QuiesceKind::Data)? {
            Action::CloseAndDrain => {
                next.new_open = false;
                true
            }
            Action::CatchUp => self.pass(&mut next),
            Action::RaiseAndOpen => {
                next.old_open = true;
                true
            }
            _ => true,
        };
        if !came_through {
            (next.phase, next.new_open, next.driven, next.held) = (Phase::Soaking, true, false, true);
            return Some(next);
        }
        next.phase = advance(world.phase, QuiesceKind::Data)?;
        next.driven = settle(next.phase) != Settle::Nothing;
        Some(next)
    }
}

impl Told for Deletions {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        let next = advance(world.phase, QuiesceKind::Data).filter(|_| *event == Event::BackGoesOn)?;
        Some(Step::reaches("", next))
    }
}

impl Model for Deletions {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            new: true,
            old: WHOLE,
            ledger: 0,
            accepted: None,
            asked: false,
            meant: false,
            lost: false,
            phase: Phase::Soaking,
            driven: false,
            new_open: true,
            old_open: false,
            held: false,
            accidents_left: self.accidents,
            faults_left: self.faults,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let soaks = world.phase == Phase::Soaking && !world.old_open;
        let in_flight = settle(world.phase) != Settle::Nothing;
        // A pause keeps clients out, not the operator's `rm`.
        if !world.old_open && world.new && world.accidents_left > 0 {
            events.push(Event::Emptied);
        }
        if world.new_open && !world.new {
            events.push(Event::Filled);
        }
        // Each pass that completes has a ledger of its own: as many as matter.
        if soaks && world.ledger < self.accidents + 2 {
            events.push(Event::PassRuns);
        }
        if soaks && world.asked && !world.new {
            events.push(Event::PersonAccepts);
        }
        if soaks && world.held {
            events.push(Event::PersonUnholds);
        } else if soaks {
            events.push(Event::BackBegins);
        }
        if world.driven {
            events.push(Event::BackGoesOn);
        } else if in_flight {
            events.push(Event::Settles);
        }
        if world.driven && world.faults_left > 0 {
            events.push(Event::BackDies);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::Emptied => {
                // From one ledger it is the same deletion, however often it happens.
                (next.new, next.meant) = (false, world.accepted == Some(world.ledger));
                next.accidents_left -= 1;
            }
            Event::Filled => next.new = true,
            Event::PassRuns => {
                self.pass(&mut next);
            }
            Event::PersonAccepts => (next.accepted, next.meant) = (Some(world.ledger), true),
            Event::PersonUnholds => next.held = false,
            Event::BackBegins => (next.phase, next.driven) = (Phase::Quiescing, true),
            Event::BackGoesOn => next = self.drive(world)?,
            Event::BackDies => {
                next.driven = false;
                next.faults_left -= 1;
            }
            Event::Settles => match settle(world.phase) {
                Settle::Nothing => return None,
                Settle::Abort => (next.phase, next.new_open) = (Phase::Soaking, true),
                Settle::Complete => next.driven = true,
            },
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: never two sides that take clients' writes", |_, world: &World| {
                !(world.old_open && world.new_open)
            }),
            Property::always("P28: no accident of one side empties the other", |_, world: &World| {
                !world.lost
            }),
            Property::sometimes("a switch goes through", |_, world: &World| world.old_open),
            Property::sometimes("a pause is aborted for its deletions", |_, world: &World| world.held),
            Property::sometimes("what was accepted goes", |_, world: &World| world.old == 0),
        ]
    }
}

fn deletions(reading: Reading, faults: u8) -> Deletions {
    Deletions { reading, accidents: 2, faults }
}

#[track_caller]
fn breaks(reading: Reading) {
    check::breaks(&deletions(reading, 0), "deletions", &reading, "P28");
}

#[test]
fn an_accident_on_one_side_empties_the_other_only_when_a_person_says_so() {
    let model = deletions(Reading::Real, bound(2, 3));
    let Deletions { accidents, faults, .. } = model;
    check::holds(&model, "deletions", &format!("{accidents} accidents, {faults} faults"));
}

#[test]
fn a_pass_that_never_asks_empties_the_other_side() {
    breaks(Reading::NeverAsks);
}

#[test]
fn a_pass_in_the_pause_that_does_not_ask_empties_the_other_side() {
    breaks(Reading::NotInThePause);
}

#[test]
fn a_pass_that_counts_on_its_way_has_deleted_when_it_stops() {
    breaks(Reading::CountsOnTheWay);
}

#[test]
fn an_acceptance_that_names_no_ledger_lets_the_next_accident_go() {
    breaks(Reading::AcceptedForGood);
}
