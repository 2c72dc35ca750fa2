//! Running a model: that nothing breaks, or that the right thing does; one row a test, and the table of all of them.

use std::fmt::{Debug, Write as _};
use std::hash::Hash;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use segue_plan::cutover::Phase;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

/// Every test adds one row.
const TESTS: [&str; 5] = [
    include_str!("group.rs"),
    include_str!("leaving.rs"),
    include_str!("one.rs"),
    include_str!("places.rs"),
    include_str!("reverse.rs"),
];
/// A step of a process, for those who read a counter-example.
pub(crate) struct Step {
    /// Whose, where there are several.
    pub(crate) who: &'static str,
    pub(crate) does: String,
    /// It records that a phase is reached, which tells of everything before.
    pub(crate) reaches: bool,
}

impl Step {
    pub(crate) fn does(who: &'static str, op: &impl Debug) -> Self {
        Self { who, does: format!("{op:?}"), reaches: false }
    }

    pub(crate) fn reaches(who: &'static str, phase: Phase) -> Self {
        Self { who, does: phase.to_string(), reaches: true }
    }

    /// There is nothing more to do.
    pub(crate) fn ends(who: &'static str) -> Self {
        Self { who, does: "ends".to_owned(), reaches: false }
    }
}

/// A model that can tell what a step of one of its processes is.
pub(crate) trait Told: Model {
    /// `None`: the event is no step.
    fn step(&self, world: &Self::State, event: &Self::Action) -> Option<Step>;
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// What a test found.
struct Row {
    /// The room and what is in it: `group data+writers`.
    model: String,
    /// `as it stands`, or what was read otherwise.
    reading: String,
    states: usize,
    /// What is broken, and the length of the shortest way there.
    broken: Option<(&'static str, usize)>,
}

/// `short`, or `long` where `SEGUE_TESTS_LONG` is set.
pub(crate) fn bound(short: u8, long: u8) -> u8 {
    if std::env::var_os("SEGUE_TESTS_LONG").is_some() { long } else { short }
}

/// The protocol as it stands breaks nothing within the bounds, and what may happen does.
#[track_caller]
pub(crate) fn holds<M>(model: &M, named: &str, bounds: &str)
where
    M: Told + Clone + Send + Sync + 'static,
    M::State: Hash + Debug + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let checker = model.clone().checker().threads(1).spawn_bfs().join();
    let states = checker.unique_state_count();
    let found = checker.discoveries();
    for property in model.properties() {
        let found = found.get(property.name).cloned().map(|path| trace(model, property.name, path).1);
        match property.expectation {
            // A model in which nothing happens breaks nothing.
            Expectation::Sometimes => assert!(found.is_some(), "in {named} never: {}", property.name),
            Expectation::Always | Expectation::Eventually => assert_eq!(found, None, "{}", property.name),
        }
    }
    say(&format!("model {named}, {bounds}: {states} states, nothing broken"));
    add(Row { model: named.to_owned(), reading: format!("as it stands, {bounds}"), states, broken: None });
}

/// The reading breaks the invariant whose name begins so.
#[track_caller]
pub(crate) fn breaks<M>(model: &M, named: &str, reading: &impl Debug, invariant: &str)
where
    M: Told + Clone + Send + Sync + 'static,
    M::State: Hash + Debug + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let names = model.properties().iter().map(|p| p.name).filter(|n| n.starts_with(invariant)).collect();
    let checker =
        model.clone().checker().threads(1).finish_when(HasDiscoveries::AnyOf(names)).spawn_bfs().join();
    let states = checker.unique_state_count();
    let broken = checker.discoveries().into_iter().find(|(name, _)| name.starts_with(invariant));
    assert!(broken.is_some(), "{reading:?} breaks nothing called {invariant} in {states} states");
    let Some((name, path)) = broken else { return };
    let (steps, shown) = trace(model, name, path);
    say(&format!("model {named}, {reading:?} breaks {name}: {steps} steps: {shown}"));
    add(Row {
        model: named.to_owned(),
        reading: format!("{reading:?}"),
        states,
        broken: Some((name, steps)),
    });
}

/// The events up to the first moment that breaks `property`: how many, and in words. Steps that lead to a phase are
/// told by that phase, runs of one event once.
fn trace<M>(model: &M, property: &str, path: Path<M::State, M::Action>) -> (usize, String)
where
    M: Told,
    M::State: Debug + PartialEq,
    M::Action: Debug + PartialEq,
{
    let holds = model.properties().into_iter().find(|p| p.name == property).map(|p| p.condition);
    let mut steps = 0;
    // Whose step, what, how often.
    let mut told: Vec<(Option<&'static str>, String, usize)> = Vec::new();
    for (world, event) in path.into_vec() {
        let Some(event) = event.filter(|_| holds.is_none_or(|holds| holds(model, &world))) else { break };
        steps += 1;
        let step = model.step(&world, &event);
        let who = step.as_ref().map(|step| step.who);
        if step.as_ref().is_some_and(|step| step.reaches) {
            while told.last().is_some_and(|(last, ..)| *last == who) {
                told.pop();
            }
        }
        let text = match step {
            Some(Step { who: "", does, .. }) => does,
            Some(Step { who, does, .. }) => format!("{who} {does}"),
            None => format!("{event:?}"),
        };
        match told.last_mut() {
            Some((_, last, count)) if *last == text => *count += 1,
            _ => told.push((who, text, 1)),
        }
    }
    let words =
        told.into_iter().map(|(_, text, count)| if count > 1 { format!("{text} x{count}") } else { text });
    (steps, words.collect::<Vec<_>>().join(", "))
}

/// The last test prints the table.
fn add(row: Row) {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.push(row);
    let tests: usize = TESTS.iter().map(|source| source.matches("#[test]\n").count()).sum();
    if rows.len() < tests {
        return;
    }
    rows.sort_by(|a, b| {
        (a.broken.is_some(), &a.model, &a.reading).cmp(&(b.broken.is_some(), &b.model, &b.reading))
    });
    let mut table = format!("\n{:<28} {:<48} {:>9}  {:>5}  broken\n", "model", "reading", "states", "steps");
    for Row { model, reading, states, broken } in rows.iter() {
        let (name, steps) =
            broken.map_or(("nothing", String::new()), |(name, steps)| (name, steps.to_string()));
        let _ = writeln!(table, "{model:<28} {reading:<48} {states:>9}  {steps:>5}  {name}");
    }
    let refuted = rows.iter().filter(|r| r.broken.is_some()).count();
    let states: usize = rows.iter().filter(|r| r.broken.is_none()).map(|r| r.states).sum();
    let _ = writeln!(
        table,
        "{} models break nothing in {states} states; {refuted} other orders and readings are refuted",
        rows.len() - refuted
    );
    say(&table);
}

fn say(text: &str) {
    // Not by a macro: the numbers are to be seen when the test passes, too.
    let _ = writeln!(std::io::stderr(), "{text}");
}
