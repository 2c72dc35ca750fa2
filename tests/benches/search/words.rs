//! WordNet's documents, as many as are wanted: beyond all of them each comes again under another id.

use segue_tests::servers::{Client, wordnet};
use serde_json::{Value, json};

/// Documents in one bulk request.
const BATCH: usize = 2_000;

fn documents(count: usize) -> impl Iterator<Item = (String, Value)> {
    let copies = count.div_ceil(wordnet::COUNT);
    let copy = |copy: usize| wordnet::synsets().map(move |(id, body)| (name(&id, copy), body));
    (0..copies).flat_map(copy).take(count)
}

fn name(id: &str, copy: usize) -> String {
    if copy == 0 { id.to_owned() } else { format!("{id}.{copy}") }
}

/// Makes an index of three shards, without refreshes.
pub(crate) fn make(client: &Client, index: &str) {
    if client.has(index) {
        client.delete(&format!("/{index}"));
    }
    client.make_index(index, 3, &wordnet::properties());
    refreshes(client, index, "-1");
}

/// How often the index is refreshed.
pub(crate) fn refreshes(client: &Client, index: &str, interval: &str) {
    client.put(&format!("/{index}/_settings"), &json!({ "index.refresh_interval": interval }));
}

/// Fills an index with so many documents.
pub(crate) fn fill(client: &Client, index: &str, count: usize) {
    make(client, index);
    let mut batch: Vec<(String, Value)> = Vec::with_capacity(BATCH);
    let send = |batch: &mut Vec<(String, Value)>| {
        client.bulk(index, batch.iter().map(|(id, body)| (id.as_str(), body)));
        batch.clear();
    };
    for document in documents(count) {
        batch.push(document);
        if batch.len() == BATCH {
            send(&mut batch);
        }
    }
    send(&mut batch);
    refreshes(client, index, "1s");
    assert_eq!(client.count(index), count as u64);
}

/// Changes one document of a hundred.
pub(crate) fn touch(client: &Client, index: &str, count: usize, round: usize) -> usize {
    let some: Vec<(String, Value)> = documents(count)
        .step_by(100)
        .map(|(id, mut body)| {
            body["gloss"] = json!(format!("changed {round}"));
            (id, body)
        })
        .collect();
    for batch in some.chunks(BATCH) {
        client.bulk(index, batch.iter().map(|(id, body)| (id.as_str(), body)));
    }
    some.len()
}

/// Every so many-th id.
pub(crate) fn ids(count: usize, step: usize) -> Vec<String> {
    documents(count).step_by(step).map(|(id, _)| id).collect()
}
