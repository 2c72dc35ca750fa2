//! What one would use without Segue: the target's own reindex from remote, and elasticdump. And the least that a verification can
//! cost: reading both sides and looking at nothing.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use segue_tests::servers::Client;
use serde_json::{Value, json};

use crate::site::{INDEX, Servers};
use crate::words;

/// Documents that each of them takes at once: the best of 1,000, 2,000 and 5,000 for both.
pub(crate) const PAGE: usize = 5_000;
/// Documents that elasticdump takes at once where nobody says otherwise.
pub(crate) const DUMP_DEFAULT: usize = 100;
/// Between two looks at a task.
const LOOK: Duration = Duration::from_millis(20);

/// The target's own reindex from remote, by so many tasks at once. A task takes no slices from a remote source; where a field
/// happens to divide the documents, several with a query each do.
pub(crate) fn reindex(servers: &Servers, count: usize, tasks: usize) -> f64 {
    let (old, new) = (servers.source(), servers.target());
    words::make(&new, INDEX);
    let queries = match tasks {
        1 => vec![json!({ "match_all": {} })],
        more => divided(&old, more),
    };
    let began = Instant::now();
    let started: Vec<String> = queries
        .iter()
        .map(|query| {
            let source = json!({ "remote": { "host": servers.old.url() }, "index": INDEX, "size": PAGE, "query": query });
            let body = json!({ "source": source, "dest": { "index": INDEX } });
            let answer = new.post("/_reindex?wait_for_completion=false", &body);
            answer["task"].as_str().expect("a task").to_owned()
        })
        .collect();
    for task in started {
        loop {
            let told = new.get(&format!("/_tasks/{task}"));
            if told["completed"] == true {
                assert!(told["error"].is_null() && told["response"]["failures"] == json!([]), "{told}");
                break;
            }
            std::thread::sleep(LOOK);
        }
    }
    over(&new, count, began)
}

/// Queries that divide the documents into parts of about the same size.
fn divided(old: &Client, parts: usize) -> Vec<Value> {
    let ask = json!({ "size": 0, "aggs": { "files": { "terms": { "field": "lexfile", "size": 100 } } } });
    let answer = old.post(&format!("/{INDEX}/_search"), &ask);
    let files = answer["aggregations"]["files"]["buckets"].as_array().expect("lexicographers' files");
    let mut groups: Vec<(u64, Vec<Value>)> = vec![(0, Vec::new()); parts];
    for file in files {
        let least = groups.iter_mut().min_by_key(|(size, _)| *size).expect("a part");
        least.0 += file["doc_count"].as_u64().unwrap_or_default();
        least.1.push(file["key"].clone());
    }
    groups.into_iter().map(|(_, files)| json!({ "terms": { "lexfile": files } })).collect()
}

/// Serves, and has every document.
fn over(new: &Client, count: usize, began: Instant) -> f64 {
    words::refreshes(new, INDEX, "1s");
    new.refresh(INDEX);
    let took = began.elapsed().as_secs_f64();
    assert_eq!(new.count(INDEX), count as u64);
    took
}

/// Where elasticdump is, installed below the target directory the first time; `None`, with a word, where that fails.
pub(crate) fn elasticdump() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("elasticdump");
    let program = place.join("node_modules/.bin/elasticdump");
    if !program.exists() {
        let install = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&place)
            .arg("elasticdump@6")
            .status();
        if !install.as_ref().is_ok_and(std::process::ExitStatus::success) {
            println!("elasticdump is left out: npm cannot install it ({install:?}); apt-get install npm");
            return None;
        }
    }
    Some(program)
}

/// elasticdump, so many documents at once.
pub(crate) fn dump(program: &Path, servers: &Servers, count: usize, page: usize) -> f64 {
    let new = servers.target();
    words::make(&new, INDEX);
    let side = |url: &str| format!("{url}/{INDEX}");
    let began = Instant::now();
    let ended = Command::new(program)
        .arg(format!("--input={}", side(servers.old.url())))
        .arg(format!("--output={}", side(servers.new.url())))
        .arg("--type=data")
        .arg(format!("--limit={page}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(ended.expect("elasticdump starts").success(), "elasticdump failed");
    over(&new, count, began)
}

/// Reads every document of both sides, one after the other, each shard by a scroll of its own, and looks at nothing.
pub(crate) fn raw_scan(servers: &Servers) -> f64 {
    let began = Instant::now();
    for url in [servers.old.url(), servers.new.url()] {
        std::thread::scope(|scope| {
            for shard in 0..3 {
                scope.spawn(move || read_shard(url, shard));
            }
        });
    }
    began.elapsed().as_secs_f64()
}

fn read_shard(url: &str, shard: usize) {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
    let ask = |path: &str, body: &Value| {
        let sent = agent.post(format!("{url}{path}")).content_type("application/json").send(body.to_string());
        let mut bytes = Vec::new();
        sent.expect("an answer").body_mut().as_reader().read_to_end(&mut bytes).expect("a whole answer");
        bytes
    };
    let first = json!({ "size": 2_000, "sort": ["_doc"], "version": true, "seq_no_primary_term": true });
    let mut page = ask(&format!("/{INDEX}/_search?scroll=1m&preference=_shards%3A{shard}"), &first);
    loop {
        let text = String::from_utf8_lossy(page.get(..page.len().min(4_096)).unwrap_or_default());
        if text.contains("\"hits\":[]") {
            return;
        }
        let id = text.split("\"_scroll_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let next = json!({ "scroll": "1m", "scroll_id": id.expect("a scroll") });
        page = ask("/_search/scroll", &next);
    }
}
