//! State and world without what may differ between two runs that come to the same: runs, times, measurements,
//! epochs, and what depends on which write came when.

use segue_plan::state::State;
use segue_tests::memory::World;
use serde_json::{Value, json};

/// Keys of the state that are left out, wherever they stand.
const LEFT_OUT: &[&str] = &[
    "last_run",
    "epoch",
    "passes",
    "passes_total",
    "records_total",
    "bytes_total",
    "records_seen",
    "records",
    "ledger",
    "ledgers",
    "position",
    "positions",
    "said",
    "began",
    "at",
    "pauses",
    "pause_us",
    "at_ms",
    "since_ms",
    "binding",
    // How long a watch had been watched, and when it was looked at.
    "watched_ms",
    "last",
    "state_id",
    "watchdog",
    // Of temporary resources: when they were made, names of ledgers, jobs with their epochs.
    "made_ms",
    "place",
    "release",
    // What leaving a side loses is told in seconds, and its fence by the number of the run.
    "loses",
    "fenced",
];

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in LEFT_OUT {
                map.remove(*key);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(crate) fn state(state: &State) -> String {
    let mut value = serde_json::to_value(state).expect("JSON");
    strip(&mut value);
    serde_json::to_string_pretty(&value).expect("JSON")
}

/// The world once the writers have written everything. The side that does not serve has what the last pass
/// carried, which depends on the time: only that it is there, and whether it is open.
pub(crate) fn world(world: &World) -> String {
    let mut world = world.clone();
    for _ in 0..=world.writes_max {
        world.tick();
    }
    let serving = world.serving().map(str::to_owned);
    let stores: Vec<Value> = world
        .stores
        .iter()
        // A place that a rehearsal made and took away has a name of the state's own.
        .filter(|(name, store)| store.exists || !name.contains("-rehearsal-"))
        .map(|(name, store)| {
            let mut marker = serde_json::to_value(&store.marker).expect("JSON");
            strip(&mut marker);
            let records = (Some(name) == serving.as_ref()).then(|| store.live());
            json!({"name": name, "exists": store.exists, "open": store.open, "marker": marker, "records": records})
        })
        .collect();
    let all =
        json!({"running": world.running, "routes": world.routes, "weights": world.weights, "stores": stores});
    serde_json::to_string_pretty(&all).expect("JSON")
}

/// Fails where two of them differ, with the first lines that do.
#[track_caller]
pub(crate) fn similar(found: &str, wanted: &str, what: &str) {
    if found != wanted {
        let changes: Vec<String> = found
            .lines()
            .zip(wanted.lines())
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!("found {a}, clean {b}"))
            .take(12)
            .collect();
        panic!("{what} differs from the clean run's:\n{}", changes.join("\n"));
    }
}
