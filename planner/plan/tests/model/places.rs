//! Two state directories at the same two endpoints (protocol P18): a stranger's, or a copy of the one that works.
//! What each does to the sides follows the transition table; what keeps them apart are the markers.

use segue_contract::QuiesceKind;
use segue_plan::cutover::{Action, Phase, Settle, action, advance, settle};
use stateright::{Model, Property};

use super::check::{self, Step, Told, bound};

/// Events after which whoever settles must be through.
const CALM_STEPS_MAX: usize = 60;

/// How the protocol is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// As it stands.
    Real,
    /// Nothing is claimed.
    NoMarker,
    /// Claims are read, and then written whatever is there meanwhile.
    ReadThenWritten,
    /// A copy, which has the same id and epoch, is taken for the state itself.
    CopyNotBound,
    /// A holder that is not proven dead is taken over from.
    AdoptedFromTheLiving,
    /// An abort reads the markers of both sides before it opens one.
    AbortWaitsForTarget,
}

/// A configuration.
#[derive(Clone, Copy, Debug)]
struct Places {
    reading: Reading,
    /// The second state directory is a copy that is made at any time; otherwise a stranger's.
    copied: bool,
    attempts: u8,
    faults: u8,
}

/// Which state directory: 0 works, 1 is the other.
type At = usize;
/// A side: 0 is the declared source, 1 the declared target.
type Side = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Marker {
    id: u8,
    epoch: u8,
    raised: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Runner {
    /// Before an attempt is recorded.
    claims: bool,
    aborting: bool,
    adopts: bool,
    op: u8,
    /// The sides that it claimed first.
    made: [bool; 2],
}

/// A state directory: its id, its journal, and the process that works in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    id: u8,
    /// It is not where it belongs.
    copy: bool,
    epoch: u8,
    phase: Phase,
    live: Side,
    from: Side,
    attempts_left: u8,
    runner: Option<Runner>,
}

impl Place {
    fn in_flight(&self) -> bool {
        settle(self.phase) != Settle::Nothing
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    accepts: [bool; 2],
    marker: [Option<Marker>; 2],
    /// The target and its marker can be read and written.
    readable: bool,
    places: [Place; 2],
    faults_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// Looks at both markers, and chooses an epoch above them.
    ReadMarkers,
    Claim(Side),
    Close,
    LastLook,
    LookForHand,
    Raise(Side),
    Open,
    Record(Phase),
    AwaitMarkers,
    OpenBack,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    NextCommand(At),
    Step(At),
    Dies(At),
    /// The state directory is copied, with what its journal says now.
    Copied,
    /// `segue adopt` from the other one.
    Adopts,
    TargetUnreadable,
}

impl Places {
    fn is(&self, reading: Reading) -> bool {
        self.reading == reading
    }

    fn program(&self, place: &Place, runner: &Runner) -> Vec<Op> {
        let quiescing = Op::Record(Phase::Quiescing);
        if runner.claims && self.is(Reading::NoMarker) {
            return vec![quiescing];
        }
        if runner.claims {
            return vec![Op::ReadMarkers, Op::Claim(0), Op::Claim(1), quiescing];
        }
        if runner.aborting {
            let waits = self.is(Reading::AbortWaitsForTarget).then_some(Op::AwaitMarkers);
            return waits.into_iter().chain([Op::OpenBack, Op::Aborted]).collect();
        }
        let (Some(act), Some(next)) =
            (action(place.phase, QuiesceKind::Data), advance(place.phase, QuiesceKind::Data))
        else {
            return Vec::new();
        };
        let mut ops = match act {
            Action::CloseAndDrain => vec![Op::Close],
            Action::Commit => vec![Op::LastLook],
            Action::RaiseAndOpen if self.is(Reading::NoMarker) => vec![Op::LookForHand, Op::Open],
            Action::RaiseAndOpen => {
                vec![Op::LookForHand, Op::Raise(place.from), Op::Raise(1 - place.from), Op::Open]
            }
            _ => Vec::new(),
        };
        ops.push(Op::Record(next));
        ops
    }

    /// Writes a claim where what is there allows it. A refused claimant takes back what it claimed first.
    fn claim(&self, world: &mut World, at: At, runner: &mut Runner, side: Side) -> bool {
        let Place { id, epoch, .. } = world.places[at];
        let there = world.marker[side];
        let allowed = there.is_none_or(|m| (m.id == id || runner.adopts) && m.epoch <= epoch);
        if side == 1 && !world.readable || !allowed && !self.is(Reading::ReadThenWritten) {
            (0..2).filter(|s| runner.made[*s]).for_each(|s| world.marker[s] = None);
            return false;
        }
        runner.made[side] = there.is_none();
        world.marker[side] = Some(Marker { id, epoch, raised: false });
        true
    }

    /// One operation of a place's process. `None`: it waits.
    fn operate(&self, world: &World, at: At) -> Option<World> {
        let mut next = world.clone();
        let place = world.places[at];
        let mut runner = place.runner?;
        let Some(op) = self.program(&place, &runner).get(usize::from(runner.op)).copied() else {
            next.places[at].runner = None;
            return Some(next);
        };
        let reachable = |side: Side| side == 0 || world.readable;
        let foreign = |side: Side| world.marker[side].is_some_and(|m| m.id != place.id && !runner.adopts);
        let mut ends = false;
        let mut fails = false;
        match op {
            Op::ReadMarkers => {
                let seen = world.marker.iter().flatten().map(|m| m.epoch).max().unwrap_or(0);
                next.places[at].epoch = place.epoch.max(seen) + 1;
                ends = !world.readable || foreign(0) || foreign(1);
            }
            Op::Claim(side) => ends = !self.claim(&mut next, at, &mut runner, side),
            Op::Close if !reachable(place.from) => fails = true,
            Op::Close => next.accepts[place.from] = false,
            Op::LastLook => fails = world.accepts[place.from] || !world.readable,
            Op::LookForHand => {
                let raised = world.marker[place.from].is_some_and(|m| m.raised && m.epoch == place.epoch);
                // By hand, or by somebody: what happens then is the other model's.
                ends = !raised && world.accepts[place.from];
            }
            Op::Raise(side) if foreign(side) || !reachable(side) => ends = true,
            Op::Raise(side) => {
                next.marker[side] = Some(Marker { id: place.id, epoch: place.epoch, raised: true });
            }
            Op::Open if !reachable(1 - place.from) => ends = true,
            Op::Open => next.accepts[1 - place.from] = true,
            Op::Record(phase) => {
                let known = &mut next.places[at];
                known.phase = phase;
                match phase {
                    Phase::Quiescing => known.from = known.live,
                    Phase::Committed => known.live = 1 - known.from,
                    _ => {}
                }
                runner = Runner { claims: false, adopts: false, ..runner };
            }
            Op::AwaitMarkers if !world.readable => return None,
            Op::AwaitMarkers => {}
            Op::OpenBack if !reachable(place.from) => ends = true,
            Op::OpenBack => next.accepts[place.from] = true,
            Op::Aborted => {
                next.places[at].phase = if place.live == 0 { Phase::Ready } else { Phase::Soaking };
                ends = true;
            }
        }
        runner.op = if matches!(op, Op::Record(_)) { 0 } else { runner.op + 1 };
        if fails {
            runner = Runner { aborting: true, op: 0, ..runner };
        }
        next.places[at].runner = (!ends).then_some(runner);
        Some(next)
    }

    /// A command: it settles what its journal has in flight, or begins.
    fn command(&self, world: &World, at: At, adopts: bool) -> Option<World> {
        let place = world.places[at];
        if place.runner.is_some() || place.copy && !self.is(Reading::CopyNotBound) {
            return None;
        }
        let mut next = world.clone();
        let mut runner = Runner { claims: false, aborting: false, adopts, op: 0, made: [false; 2] };
        match settle(place.phase) {
            Settle::Nothing => {
                next.places[at].attempts_left = place.attempts_left.checked_sub(1)?;
                runner.claims = true;
            }
            // Nothing is settled from a state that an endpoint knows to be another's, or behind.
            _ if !self.is(Reading::NoMarker) && self.is_strange(world, &place) => return None,
            Settle::Abort => runner.aborting = true,
            Settle::Complete => {}
        }
        next.places[at].runner = Some(runner);
        Some(next)
    }

    fn is_strange(&self, world: &World, place: &Place) -> bool {
        let abort = settle(place.phase) == Settle::Abort;
        (0..2)
            .filter(|side| *side == 0 || world.readable)
            .filter_map(|side| world.marker[side])
            .any(|m| m.id != place.id || m.epoch > place.epoch || m.raised && m.epoch == place.epoch && abort)
    }

    fn happens(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::NextCommand(at) => return self.command(world, at, false),
            Event::Step(at) => return self.operate(world, at),
            Event::Dies(at) => {
                next.places[at].runner = None;
                next.faults_left -= 1;
            }
            Event::Copied => next.places[1] = Place { copy: true, runner: None, ..world.places[0] },
            Event::Adopts => return self.command(world, 1, true),
            Event::TargetUnreadable => {
                next.readable = false;
                next.faults_left -= 1;
            }
        }
        Some(next)
    }

    /// The next commands in a place open the side that served, when nothing else fails.
    fn re_opens(&self, world: &World, at: At) -> bool {
        let mut now = world.clone();
        for _ in 0..CALM_STEPS_MAX {
            if !now.places[at].in_flight() {
                return now.accepts[now.places[at].live];
            }
            let ways = [Event::Step(at), Event::NextCommand(at)];
            match ways.into_iter().find_map(|event| self.happens(&now, event)) {
                Some(next) => now = next,
                None => return false,
            }
        }
        false
    }
}

impl Told for Places {
    fn step(&self, world: &World, event: &Event) -> Option<Step> {
        let Event::Step(at) = event else { return None };
        let place = world.places[*at];
        let runner = place.runner?;
        let who = ["first", "second"][*at];
        Some(match self.program(&place, &runner).get(usize::from(runner.op)) {
            Some(Op::Record(phase)) => Step::reaches(who, *phase),
            Some(op) => Step::does(who, op),
            None => Step::ends(who),
        })
    }
}

impl Model for Places {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let place = |id| Place {
            id,
            copy: false,
            epoch: 0,
            phase: Phase::Ready,
            live: 0,
            from: 0,
            attempts_left: self.attempts,
            runner: None,
        };
        let second = Place { attempts_left: if self.copied { 0 } else { self.attempts }, ..place(1) };
        vec![World {
            accepts: [true, false],
            marker: [None; 2],
            readable: true,
            places: [place(0), second],
            faults_left: self.faults,
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for at in 0..2 {
            events.extend([Event::NextCommand(at), Event::Step(at)]);
            if world.places[at].runner.is_some() && world.faults_left > 0 {
                events.push(Event::Dies(at));
            }
        }
        if self.copied && !world.places[1].copy {
            events.push(Event::Copied);
        }
        if self.is(Reading::AdoptedFromTheLiving) {
            events.push(Event::Adopts);
        }
        if world.readable && world.faults_left > 0 {
            events.push(Event::TargetUnreadable);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.happens(world, event).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1: never two sides that take clients' writes", |_, world: &World| {
                world.accepts != [true; 2]
            }),
            Property::always("S5: one state directory is effective", |_, world: &World| {
                !world.places.iter().all(|p| p.in_flight() && p.runner.is_some())
            }),
            Property::always(
                "liveness: an abort opens the side that served",
                |places: &Self, world: &World| {
                    // A copy never settles; where the state belongs, somebody does.
                    let place = world.places[0];
                    let dead = place.runner.is_none() && settle(place.phase) == Settle::Abort;
                    let reachable = place.from == 0 || world.readable;
                    !dead
                        || !reachable
                        || places.is(Reading::AdoptedFromTheLiving)
                        || places.re_opens(world, 0)
                },
            ),
            Property::sometimes("a switch goes through", |_, world: &World| {
                world.places.iter().any(|p| p.phase == Phase::Soaking && p.live == 1)
            }),
        ]
    }
}

fn places(reading: Reading, copied: bool, faults: u8) -> Places {
    Places { reading, copied, attempts: 1, faults }
}

fn named(places: &Places) -> &'static str {
    if places.copied { "places, a copy" } else { "places, a stranger" }
}

fn holds(copied: bool) {
    let model = Places { attempts: 2, ..places(Reading::Real, copied, bound(2, 3)) };
    check::holds(
        &model,
        named(&model),
        &format!("{} attempts each, {} faults", model.attempts, model.faults),
    );
}

#[track_caller]
fn breaks(reading: Reading, copied: bool, faults: u8, invariant: &str) {
    let model = places(reading, copied, faults);
    check::breaks(&model, named(&model), &reading, invariant);
}

#[test]
fn two_state_directories_break_nothing() {
    holds(false);
}

#[test]
fn a_copied_state_directory_breaks_nothing() {
    holds(true);
}

#[test]
fn a_second_state_directory_without_a_marker_opens_two_sides() {
    breaks(Reading::NoMarker, false, 1, "S1");
}

#[test]
fn claims_that_are_read_and_then_written_let_two_in() {
    breaks(Reading::ReadThenWritten, false, 0, "S5");
}

#[test]
fn a_copy_with_the_same_id_and_epoch_opens_two_sides() {
    breaks(Reading::CopyNotBound, true, 0, "S1");
}

#[test]
fn taking_over_from_a_holder_that_lives_lets_two_in() {
    breaks(Reading::AdoptedFromTheLiving, false, 0, "S5");
}

#[test]
fn an_abort_that_waits_for_the_marker_of_a_target_that_cannot_be_read_keeps_both_closed() {
    breaks(Reading::AbortWaitsForTarget, false, 2, "liveness");
}
