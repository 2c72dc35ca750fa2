//! Leaving the new side, by itself when its health is lost (protocol P22, P23) or because a person types `switch-back`
//! (protocol P31): a side that cannot be read may come back, what went back must not go forward again by itself, and
//! what is typed once more leads nowhere else.

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use stateright::{Model, Property};

use super::check::{self, Step, Told, bound};

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// As it stands: a side that cannot be proven closed is not left.
    Real,
    /// A side that cannot be read is left without a look, because the loss is accepted.
    LeftUnproven,
    /// That the cutover is held is recorded when all is done.
    HeldRecordedLast,
    /// `switch-back` leads to the other side, whichever serves.
    Toggles,
    /// Where `switch-back` leads is decided before it settles what a dead run left.
    DecidedBeforeSettling,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    reading: Reading,
    /// A command that fences the new side from outside, and proves it.
    fence: bool,
    /// How often a person types `switch-back`.
    typed: u8,
    faults: u8,
}

/// A side: 0 is the declared source, 1 the declared target, which serves at first.
type Side = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Runner {
    aborting: bool,
    op: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// Whether clients are refused.
    closed: [bool; 2],
    /// The new side is there: it answers, and serves unless it is closed.
    up: bool,
    /// It is kept from serving from outside.
    fenced: bool,
    route: Side,
    phase: Phase,
    from: Side,
    live: Side,
    held: bool,
    /// The attempt was begun because health was lost.
    by_itself: bool,
    /// It went back, and forward again with nobody's word.
    flipped: bool,
    /// `switch-back` led away from the declared source.
    led_away: bool,
    /// What the command does once it has settled what a dead run left: it leaves this side.
    then_leaves: Option<Side>,
    typed_left: u8,
    runner: Option<Runner>,
    lost: bool,
    downs_left: u8,
    attempts_left: u8,
    faults_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    FenceOutside,
    Close,
    LookClosed,
    Open,
    Route,
    Record(Phase),
    RecordHeld,
    OpenBack,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    HealthLost,
    NewSideDown,
    ComesBack,
    Step,
    Dies,
    /// An apply: it settles, goes back when health is lost, or switches to what the spec wants, which is the target.
    NextCommand,
    /// `segue switch-back`: it settles, and then sees to it that the declared source serves.
    BackTyped,
}

impl Leaving {
    fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    fn serves(world: &World, side: Side) -> bool {
        !world.closed[side] && (side == 0 || world.up && !world.fenced)
    }

    fn at_rest(world: &World) -> bool {
        settle(world.phase) == Settle::Nothing && world.runner.is_none()
    }

    fn program(&self, world: &World, aborting: bool) -> Vec<Op> {
        if aborting {
            return vec![Op::OpenBack, Op::Aborted];
        }
        let (Some(act), Some(next)) =
            (action(world.phase, QuiesceKind::Data), advance(world.phase, QuiesceKind::Data))
        else {
            return if self.is(Reading::HeldRecordedLast) { vec![Op::RecordHeld] } else { Vec::new() };
        };
        let looks = !self.is(Reading::LeftUnproven);
        let mut ops = match act {
            Action::CloseAndDrain | Action::Harden | Action::Commit if looks => vec![Op::LookClosed],
            Action::RaiseAndOpen => vec![Op::Open],
            Action::Route => vec![Op::Route],
            _ => Vec::new(),
        };
        if act == Action::CloseAndDrain {
            ops.insert(0, Op::Close);
            if self.fence {
                ops.insert(0, Op::FenceOutside);
            }
        }
        ops.push(Op::Record(next));
        ops
    }

    fn operate(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        let mut runner = world.runner?;
        let Some(op) = self.program(world, runner.aborting).get(usize::from(runner.op)).copied() else {
            return Some(self.ended(world));
        };
        let reachable = |side: Side| side == 0 || world.up;
        let from = world.from;
        runner.op += 1;
        let mut fails = false;
        let mut ends = false;
        match op {
            Op::FenceOutside => next.fenced |= from == 1 && !world.up,
            Op::Close => next.closed[from] |= reachable(from),
            Op::LookClosed => {
                let proven = world.closed[from] && reachable(from) || from == 1 && world.fenced;
                fails = !proven;
            }
            Op::Open | Op::OpenBack => {
                let side = if op == Op::Open { 1 - from } else { from };
                ends = !reachable(side);
                next.closed[side] &= !reachable(side);
            }
            Op::Route => next.route = 1 - from,
            Op::Record(phase) => {
                next.phase = phase;
                runner.op = 0;
                if phase == Phase::Committed {
                    next.live = 1 - from;
                }
            }
            Op::RecordHeld => next.held |= world.by_itself,
            Op::Aborted => {
                next.phase = Phase::Soaking;
                // A way back that ended so is gone again while health is lost.
                next.held &= !world.by_itself;
                ends = true;
            }
        }
        if fails {
            runner = Runner { aborting: true, op: 0 };
        }
        next.runner = (!ends).then_some(runner);
        Some(if ends { self.ended(&next) } else { next })
    }

    /// A run is at its end; a command that only settled goes on to what it is for.
    fn ended(&self, world: &World) -> World {
        let mut next = World { runner: None, then_leaves: None, ..world.clone() };
        match world.then_leaves {
            // It looks again at who serves.
            Some(_) if next.live == 0 && !self.is(Reading::DecidedBeforeSettling) => {}
            Some(_) => self.leave_for_a_person(&mut next),
            None => {}
        }
        next
    }

    fn leave_for_a_person(&self, next: &mut World) {
        let Some(left) = next.attempts_left.checked_sub(1) else { return };
        next.attempts_left = left;
        next.led_away |= next.live == 0;
        (next.by_itself, next.held) = (false, true);
        next.from = next.live;
        next.phase = Phase::Quiescing;
        next.runner = Some(Runner { aborting: false, op: 0 });
    }

    /// `switch-back`, typed while nothing runs: one that does is told what is wanted, and does the same.
    fn back_typed(&self, world: &World) -> Option<World> {
        let mut next = world.clone();
        next.typed_left -= 1;
        match settle(world.phase) {
            Settle::Nothing if world.live == 1 || self.is(Reading::Toggles) => {
                self.leave_for_a_person(&mut next);
            }
            Settle::Nothing => {}
            Settle::Abort | Settle::Complete => {
                next.then_leaves = Some(world.live);
                let aborting = settle(world.phase) == Settle::Abort;
                next.runner = Some(Runner { aborting, op: 0 });
            }
        }
        Some(next)
    }

    fn command(&self, world: &World) -> Option<World> {
        if world.runner.is_some() {
            return None;
        }
        let mut next = world.clone();
        let mut runner = Runner { aborting: false, op: 0 };
        match settle(world.phase) {
            Settle::Abort => runner.aborting = true,
            Settle::Complete => {}
            Settle::Nothing => {
                let goes_back = world.live == 1 && world.lost && !world.held;
                let forward = world.live == 0 && !world.held;
                if !goes_back && !forward {
                    return None;
                }
                next.flipped |= forward && world.from == 1;
                next.attempts_left = world.attempts_left.checked_sub(1)?;
                next.by_itself = goes_back;
                next.held |= goes_back && !self.is(Reading::HeldRecordedLast);
                next.from = world.live;
                next.phase = Phase::Quiescing;
            }
        }
        next.runner = Some(runner);
        Some(next)
    }

    fn happens(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::HealthLost => next.lost = true,
            Event::NewSideDown => {
                next.up = false;
                next.downs_left -= 1;
            }
            Event::ComesBack => next.up = true,
            Event::Step => return self.operate(world),
            Event::Dies => {
                (next.runner, next.then_leaves) = (None, None);
                next.faults_left -= 1;
            }
            Event::NextCommand => return self.command(world),
            Event::BackTyped => return self.back_typed(world),
        }
        Some(next)
    }
}

impl Told for Leaving {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        if *event != Event::Step {
            return None;
        }
        let runner = world.runner?;
        Some(match self.program(world, runner.aborting).get(usize::from(runner.op)) {
            Some(Op::Record(phase)) => Step::reaches("", *phase),
            Some(op) => Step::does("", op),
            None => Step::ends(""),
        })
    }
}

impl Model for Leaving {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            closed: [true, false],
            up: true,
            fenced: false,
            route: 1,
            phase: Phase::Soaking,
            from: 0,
            live: 1,
            held: false,
            by_itself: false,
            flipped: false,
            led_away: false,
            then_leaves: None,
            typed_left: self.typed,
            runner: None,
            lost: false,
            downs_left: 1,
            attempts_left: 3,
            faults_left: self.faults,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if !world.lost {
            events.push(Event::HealthLost);
        }
        if world.up && world.downs_left > 0 {
            events.push(Event::NewSideDown);
        }
        if !world.up {
            events.push(Event::ComesBack);
        }
        if world.runner.is_some() {
            events.push(Event::Step);
            if world.faults_left > 0 {
                events.push(Event::Dies);
            }
        }
        if world.runner.is_none() && world.typed_left > 0 {
            events.push(Event::BackTyped);
        }
        events.push(Event::NextCommand);
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.happens(world, event).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: never two sides that take clients' writes", |_, world: &World| {
                !(Self::serves(world, 0) && Self::serves(world, 1))
            }),
            Property::always("held: what went back does not go forward by itself", |_, world: &World| {
                !world.flipped
            }),
            Property::always(
                "P31: typed at any time, switch-back leads to the declared source",
                |_, world: &World| !world.led_away,
            ),
            Property::always("liveness: at rest the side that is live serves", |_, world: &World| {
                let there = world.live == 0 || world.up;
                !Self::at_rest(world)
                    || !there
                    || Self::serves(world, world.live) && world.route == world.live
            }),
            Property::sometimes("a switch goes through", |_, world: &World| {
                Self::at_rest(world) && world.live == 0
            }),
        ]
    }
}

fn named(model: &Leaving) -> &'static str {
    match model {
        Leaving { fence: true, .. } => "leaving, fenced outside",
        Leaving { typed: 0, .. } => "leaving",
        Leaving { .. } => "leaving, by a person too",
    }
}

fn holds(fence: bool, typed: u8, faults: u8) {
    let model = Leaving { reading: Reading::Real, fence, typed, faults };
    check::holds(&model, named(&model), &format!("one outage, {typed} typed, {faults} faults"));
}

#[track_caller]
fn breaks(reading: Reading, typed: u8, faults: u8, invariant: &str) {
    let model = Leaving { reading, fence: false, typed, faults };
    check::breaks(&model, named(&model), &reading, invariant);
}

#[test]
fn going_back_by_itself_breaks_nothing() {
    holds(false, 0, bound(2, 3));
}

#[test]
fn going_back_because_a_person_says_so_again_and_again_breaks_nothing() {
    holds(false, 3, bound(2, 3));
}

#[test]
fn a_side_that_is_fenced_from_outside_may_be_left() {
    holds(true, 0, 0);
}

#[test]
fn a_side_that_was_left_because_loss_is_accepted_comes_back_open() {
    breaks(Reading::LeftUnproven, 0, 0, "S1");
}

#[test]
fn a_hold_that_is_recorded_last_flips_forward_again() {
    breaks(Reading::HeldRecordedLast, 0, 1, "held");
}

#[test]
fn a_switch_back_that_toggles_leads_forward_when_it_is_typed_again() {
    breaks(Reading::Toggles, 2, 0, "P31");
}

#[test]
fn a_switch_back_that_decides_before_it_settles_leads_forward_after_a_death() {
    breaks(Reading::DecidedBeforeSettling, 2, 1, "P31");
}
