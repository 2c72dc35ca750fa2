//! A client that gives an index new fields while it is moved, and each field a document that has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use segue_tests::servers::Client;
use serde_json::{Value, json};

use crate::scene::Scene;

/// Between two fields.
const REST: Duration = Duration::from_millis(300);
/// After a refusal: somebody switches.
const REFUSED: Duration = Duration::from_millis(20);
/// Fields of one grower, at most: an index takes a thousand.
const FIELDS_MAX: usize = 300;

/// The type of each field. A server that guesses makes it text.
const TYPE: &str = "ip";

/// Grows an index until it is told to stop.
pub(crate) struct Grower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Value>>,
}

impl Grower {
    /// Its fields and the ids of its documents begin with `head`.
    pub(crate) fn start(scene: &Scene, head: &str) -> Self {
        let (door, name, head) = (scene.door(), scene.name.clone(), head.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut grown = BTreeMap::new();
            while !told.load(Ordering::Relaxed) && grown.len() < FIELDS_MAX {
                let n = grown.len();
                let (field, id) = (format!("{head}_{n}"), format!("{head}-grown-{n}"));
                let body = json!({ field.clone(): format!("10.0.{}.{}", n / 256, n % 256) });
                // As a client does: the mapping first, then the document, and both again where it was refused.
                while !has_grown(&door.client(), &name, &field, &id, &body) {
                    std::thread::sleep(REFUSED);
                }
                grown.insert(id, body);
                std::thread::sleep(REST);
            }
            grown
        });
        Self { stop, thread }
    }

    /// The documents that were acknowledged, by id.
    pub(crate) fn stop(self) -> BTreeMap<String, Value> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the grower ends")
    }
}

fn has_grown(at: &Client, alias: &str, field: &str, id: &str, body: &Value) -> bool {
    let good = |method, path: &str, body: &Value| {
        let bytes = body.to_string().into_bytes();
        at.ask(method, path, Some(&bytes)).is_ok_and(|reply| reply.is_good())
    };
    let mapping = json!({ "properties": { field: { "type": TYPE } } });
    good("PUT", &format!("/{alias}/_mapping"), &mapping)
        && good("PUT", &format!("{}?require_alias=true", Client::doc(alias, id)), body)
}

/// Every field has the type that it was given, at the side that serves.
#[track_caller]
pub(crate) fn has_types(at: &Client, index: &str, grown: &BTreeMap<String, Value>) {
    let found = at.get(&format!("/{index}/_mapping"));
    let properties = &found[index]["mappings"]["properties"];
    for field in grown.values().filter_map(Value::as_object).flat_map(|body| body.keys()) {
        assert_eq!(properties[field]["type"], TYPE, "{field}");
    }
}
