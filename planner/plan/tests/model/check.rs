//! Running a model: that nothing breaks, or that the right thing does; one row a test, and the table of all of them.

use std::fmt::{Debug, Write as _};
use std::hash::Hash;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Path};

/// Every test adds one row.
const TESTS: [&str; 5] = [
    include_str!("group.rs"),
    include_str!("leaving.rs"),
    include_str!("one.rs"),
    include_str!("places.rs"),
    include_str!("reverse.rs"),
];
/// The property that shows that a model does something.
const GOES_THROUGH: &str = "a switch goes through";

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

/// The protocol as it stands breaks nothing within the bounds, and a switch goes through.
#[track_caller]
pub(crate) fn holds<M>(model: M, named: &str, bounds: &str)
where
    M: Model + Send + Sync + 'static,
    M::State: Hash + Debug + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let checker = model.checker().threads(1).spawn_bfs().join();
    let states = checker.unique_state_count();
    say(&format!("model {named}, {bounds}: {states} states, nothing broken"));
    for (name, path) in checker.discoveries() {
        assert!(name == GOES_THROUGH, "{name}: {}", trace(path).1);
    }
    checker.assert_any_discovery(GOES_THROUGH);
    add(Row { model: named.to_owned(), reading: format!("as it stands, {bounds}"), states, broken: None });
}

/// The reading breaks the invariant whose name begins so.
#[track_caller]
pub(crate) fn breaks<M>(model: M, named: &str, reading: &impl Debug, invariant: &str)
where
    M: Model + Send + Sync + 'static,
    M::State: Hash + Debug + PartialEq + Clone + Send + Sync + 'static,
    M::Action: Debug + PartialEq + Clone + Send + Sync + 'static,
{
    let names = model.properties().iter().map(|p| p.name).filter(|n| n.starts_with(invariant)).collect();
    let checker = model.checker().threads(1).finish_when(HasDiscoveries::AnyOf(names)).spawn_bfs().join();
    let states = checker.unique_state_count();
    let broken = checker.discoveries().into_iter().find(|(name, _)| name.starts_with(invariant));
    assert!(broken.is_some(), "{reading:?} breaks nothing called {invariant} in {states} states");
    let Some((name, path)) = broken else { return };
    let (steps, shown) = trace(path);
    say(&format!("model {named}, {reading:?} breaks {name}: {steps} steps: {shown}"));
    add(Row { model: named.to_owned(), reading: format!("{reading:?}"), states, broken: Some((name, steps)) });
}

/// How many events, and the events, with runs of the same one counted.
fn trace<S, A: Debug>(path: Path<S, A>) -> (usize, String) {
    let mut events: Vec<(String, usize)> = Vec::new();
    for (_, event) in path.into_vec() {
        let Some(event) = event.map(|e| format!("{e:?}")) else { continue };
        match events.last_mut() {
            Some((last, count)) if *last == event => *count += 1,
            _ => events.push((event, 1)),
        }
    }
    let steps = events.iter().map(|(_, count)| count).sum();
    let shown: Vec<String> = events
        .into_iter()
        .map(|(event, count)| if count > 1 { format!("{event} x{count}") } else { event })
        .collect();
    (steps, shown.join(", "))
}

/// The last test prints the table.
fn add(row: Row) {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.push(row);
    let tests: usize = TESTS.iter().map(|source| source.matches("#[test]\n").count()).sum();
    if rows.len() < tests {
        return;
    }
    rows.sort_by(|a, b| (a.broken.is_some(), &a.model, &a.reading).cmp(&(b.broken.is_some(), &b.model, &b.reading)));
    let mut table = format!("\n{:<28} {:<48} {:>9}  {:>5}  broken\n", "model", "reading", "states", "steps");
    for Row { model, reading, states, broken } in rows.iter() {
        let (name, steps) = broken.map_or(("nothing", String::new()), |(name, steps)| (name, steps.to_string()));
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
