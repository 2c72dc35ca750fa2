//! `gate "search_queries"`, `watch "search_queries"`: the clients' own queries find the same on both sides, as fast.

use std::collections::BTreeSet;

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, ErrorClass, Finding, Probe, Reading,
    Side, StepError, StepIo, paths,
};
use serde_json::{Value, json};

use super::{CODE, critical};
use crate::http;
use crate::search::cluster::{self, Ask, Cluster};
use crate::search::names::encoded;

/// How many hits are compared when the spec says nothing.
const TOP_DEFAULT: u64 = 10;
/// More hits than this are a page that no client asks for.
const TOP_MAX: u64 = 1000;
/// More tries of one query than this in one look would themselves be load.
const SAMPLES_MAX: u64 = 100;
/// Added to both latencies before they are divided, in milliseconds: what takes 1 ms here and 2 ms there is as fast.
const NOISE_MS: f64 = 5.0;

pub(super) fn schema(kind: BlockKind) -> BlockSchema {
    let mut attributes = vec![
        AttributeSchema::optional(
            "queries",
            AttributeType::Words,
            "What clients ask, each a JSON text: jsonencode({ index = \"books\", body = { query = … } }), with target_index \
             where the index has another name there.",
        ),
        AttributeSchema::optional(
            "queries_file",
            AttributeType::Path,
            "A file with such queries, one a line, besides those of queries.",
        ),
        AttributeSchema::optional("top", AttributeType::Number, "How many hits are compared. Default 10.")
            .default(json!(TOP_DEFAULT)),
        AttributeSchema::optional(
            "min_overlap",
            AttributeType::Decimal,
            "How much of the top hits must be the same documents, in whatever order: 1.0 is all. Default 0.9.",
        )
        .default(json!(0.9)),
        AttributeSchema::optional(
            "max_total_difference",
            AttributeType::Decimal,
            "How far the numbers of all hits may be apart: 0.01 is one of a hundred. Default 0.",
        )
        .default(json!(0.0)),
        AttributeSchema::optional(
            "max_latency_ratio",
            AttributeType::Decimal,
            "How much longer the target may take, by the median of the samples: 1.5 is half as long again. Default: any.",
        ),
        AttributeSchema::optional(
            "samples",
            AttributeType::Number,
            "How often each query is asked of each side in one look. Default 1, or 5 where latency counts.",
        ),
    ];
    for side in [Side::Source, Side::Target] {
        attributes.extend(crate::search::connection().into_iter().map(|mut attribute| {
            attribute.name = format!("{side}_{}", attribute.name);
            attribute.doc = format!("Of the {side}: {}", attribute.doc);
            attribute
        }));
    }
    BlockSchema {
        kind,
        name: "search_queries".to_owned(),
        doc: "Asks both sides the queries that clients ask and compares the number of hits, the top hits and the time that \
              they take. Source and target are reached by attributes of their own: source_url, source_username, \
              target_url, …"
            .to_owned(),
        attributes,
    }
}

/// The block of one side: its attributes without what they begin with.
fn side_block(block: &BlockRef, side: Side) -> BlockRef {
    let head = format!("{side}_");
    let mut own = BlockRef { config: Default::default(), ..block.clone() };
    for (name, setting) in block.config.iter() {
        if let Some(name) = name.strip_prefix(&head) {
            own.config.insert(name, setting.clone());
        }
    }
    own
}

/// One query.
#[derive(Clone, Debug, PartialEq)]
struct Query {
    index: String,
    target_index: String,
    body: Value,
}

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("{text:?} is no JSON: {e}"))?;
        let (Some(index), true) = (value["index"].as_str(), value["body"].is_object()) else {
            return Err(format!("{text:?} has no index and body: write {{\"index\": …, \"body\": {{…}}}}"));
        };
        let target = value["target_index"].as_str().unwrap_or(index);
        Ok(Self { index: index.to_owned(), target_index: target.to_owned(), body: value["body"].clone() })
    }

    fn index_at(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.index,
            Side::Target => &self.target_index,
        }
    }
}

fn queries(block: &BlockRef) -> Result<Vec<Query>, String> {
    let mut texts = block.words("queries").map_err(|e| e.to_string())?.unwrap_or_default();
    if block.config.plain("queries_file").is_some() {
        let path = block.path("queries_file").map_err(|e| e.to_string())?;
        let file = paths::read_to_string(path).map_err(|e| e.to_string())?;
        texts.extend(file.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    if texts.is_empty() {
        return Err("there is no query".to_owned());
    }
    texts.iter().map(|text| Query::parse(text)).collect()
}

/// What is wanted.
struct Wanted {
    top: u64,
    overlap: f64,
    total: f64,
    ratio: Option<f64>,
    samples: u64,
}

impl Wanted {
    fn read(block: &BlockRef) -> Result<Self, String> {
        let number = |name| block.number(name).map_err(|e| e.to_string());
        let decimal = |name| block.decimal(name).map_err(|e| e.to_string());
        let ratio = decimal("max_latency_ratio")?;
        let wanted = Self {
            top: number("top")?.unwrap_or(TOP_DEFAULT),
            overlap: decimal("min_overlap")?.unwrap_or(0.9),
            total: decimal("max_total_difference")?.unwrap_or(0.0),
            ratio,
            samples: number("samples")?.unwrap_or(if ratio.is_some() { 5 } else { 1 }),
        };
        match wanted {
            Self { top, .. } if !(1..=TOP_MAX).contains(&top) => Err(format!("top: between 1 and {TOP_MAX}")),
            Self { samples, .. } if !(1..=SAMPLES_MAX).contains(&samples) => {
                Err(format!("samples: between 1 and {SAMPLES_MAX}"))
            }
            Self { overlap, .. } if !(0.0..=1.0).contains(&overlap) => {
                Err("min_overlap: between 0 and 1".to_owned())
            }
            Self { total, .. } if !(0.0..=1.0).contains(&total) => {
                Err("max_total_difference: between 0 and 1".to_owned())
            }
            wanted => Ok(wanted),
        }
    }
}

/// What one side answers.
#[derive(Clone, Debug, Default)]
struct Answered {
    total: u64,
    ids: BTreeSet<String>,
    /// In milliseconds, the median.
    took_ms: f64,
}

fn ask(cluster: &Cluster, side: Side, query: &Query, wanted: &Wanted) -> Result<Answered, StepError> {
    let mut body = query.body.clone();
    body["size"] = json!(wanted.top);
    body["track_total_hits"] = json!(true);
    let look = Ask::look(format!("/{}/_search", encoded(query.index_at(side))), &body);
    let mut took = Vec::new();
    let mut answered = Answered::default();
    for _ in 0..wanted.samples {
        let reply = cluster.send(&look)?;
        took.push(reply.took_ms());
        if reply.status != 200 {
            // Refusals are told as everywhere.
            cluster.json(&look)?;
        }
        let found = reply.json()?;
        // Elasticsearch 6 gives a number.
        let total = &found["hits"]["total"];
        answered.total = total.as_u64().or(total["value"].as_u64()).unwrap_or(0);
        let hits = found["hits"]["hits"].as_array().into_iter().flatten();
        answered.ids = hits.filter_map(|hit| hit["_id"].as_str().map(str::to_owned)).collect();
        let failed = found["_shards"]["failed"].as_u64().unwrap_or(0);
        if failed > 0 || found["timed_out"] == true {
            let what = format!("the {side}: {failed} shards of {} did not answer", query.index_at(side));
            return Err(StepError::transient(what));
        }
    }
    took.sort_by(f64::total_cmp);
    answered.took_ms = took.get(took.len() / 2).copied().unwrap_or(0.0);
    Ok(answered)
}

/// How much of the hits are the same.
fn overlap(a: &Answered, b: &Answered) -> f64 {
    let most = a.ids.len().max(b.ids.len());
    if most == 0 { 1.0 } else { a.ids.intersection(&b.ids).count() as f64 / most as f64 }
}

fn ratio(source: &Answered, target: &Answered) -> f64 {
    (target.took_ms + NOISE_MS) / (source.took_ms + NOISE_MS)
}

/// Why what both say is not as wanted.
fn differs(source: &Answered, target: &Answered, wanted: &Wanted) -> Option<String> {
    let (a, b) = (source.total, target.total);
    if a.abs_diff(b) as f64 > wanted.total * a.max(b) as f64 {
        return Some(format!("{a} hits at the source, {b} at the target"));
    }
    let same = overlap(source, target);
    // A hair below is what a fraction of small numbers is.
    if same + 1e-9 < wanted.overlap {
        let said = format!(
            "{:.0} % of the top {} are the same, not {:.0} %",
            same * 100.0,
            wanted.top,
            wanted.overlap * 100.0
        );
        let only = |x: &Answered, y: &Answered| x.ids.difference(&y.ids).next().cloned();
        return Some(match (only(source, target), only(target, source)) {
            (Some(one), _) => format!("{said}: {one} is only the source's"),
            (None, Some(one)) => format!("{said}: {one} is only the target's"),
            (None, None) => said,
        });
    }
    let most = wanted.ratio.filter(|most| ratio(source, target) > *most)?;
    Some(format!(
        "{:.1} ms at the source, {:.1} ms at the target: more than {most} times as long",
        source.took_ms, target.took_ms
    ))
}

pub(super) struct QueriesProbe;

impl Probe for QueriesProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let mut findings = Vec::new();
        for side in [Side::Source, Side::Target] {
            let own = side_block(block, side);
            findings.extend(http::check(CODE, &own));
            if let Err(error) = cluster::nodes(&own) {
                findings.push(critical(
                    format!("the {side}: {error}"),
                    &format!("write {side}_url = \"https://host:9200\", or {side}_urls with several"),
                ));
            }
        }
        for wrong in [queries(block).err(), Wanted::read(block).err()].into_iter().flatten() {
            findings.push(critical(wrong, "correct the block"));
        }
        findings
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let wrong = |why: String| StepError::permanent(format!("{}: {why}", block.address));
        let (queries, wanted) = (queries(block).map_err(wrong)?, Wanted::read(block).map_err(wrong)?);
        let source = Cluster::of(&side_block(block, Side::Source), io)?;
        let target = Cluster::of(&side_block(block, Side::Target), io)?;
        let (mut least, mut slowest) = (1.0_f64, 0.0_f64);
        for (at, query) in queries.iter().enumerate() {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let both = ask(&source, Side::Source, query, &wanted)
                .and_then(|a| Ok((a, ask(&target, Side::Target, query, &wanted)?)));
            let (a, b) = match both {
                Ok(both) => both,
                Err(error) if error.class == ErrorClass::Cancelled => return Err(error),
                Err(error) => return Ok(no(at, query, &error.to_string(), least)),
            };
            least = least.min(overlap(&a, &b));
            slowest = slowest.max(ratio(&a, &b));
            if let Some(why) = differs(&a, &b, &wanted) {
                return Ok(no(at, query, &why, least));
            }
        }
        let said = format!(
            "{} queries find the same: at least {:.0} % of the top {}, at most {slowest:.2} times as long",
            queries.len(),
            least * 100.0,
            wanted.top
        );
        Ok(Reading { ok: true, said, value: Some(least * 100.0) })
    }
}

fn no(at: usize, query: &Query, why: &str, least: f64) -> Reading {
    Reading {
        ok: false,
        said: format!("query {} ({}): {why}", at + 1, query.index),
        value: Some(least * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{Answer, Stub, nobody};
    use crate::testing::{Io, block};

    fn server(total: &Value, ids: &'static [&'static str]) -> Stub {
        let hits: Vec<Value> = ids.iter().map(|id| json!({"_id": id})).collect();
        let body = json!({"hits": {"total": total, "hits": hits}, "_shards": {"failed": 0}}).to_string();
        Stub::new(move |_| Answer::ok(&body))
    }

    fn probe(source: &str, target: &str, settings: &[(&str, Value)]) -> BlockRef {
        let query =
            json!({"index": "books", "target_index": "books-2", "body": {"query": {"match_all": {}}}})
                .to_string();
        let mut all =
            vec![("source_url", json!(source)), ("target_url", json!(target)), ("queries", json!([query]))];
        all.retain(|(name, _)| !settings.iter().any(|(n, _)| n == name));
        all.extend(settings.iter().cloned());
        block("w", "search_queries", &all)
    }

    #[test]
    fn the_same_hits_are_well_whatever_their_order_and_whatever_a_version_calls_the_total() {
        let (a, b) =
            (server(&json!(2), &["x", "y"]), server(&json!({"value": 2, "relation": "eq"}), &["y", "x"]));
        let probe = probe(&a.url, &b.url, &[]);
        assert_eq!(QueriesProbe.check(&probe), []);
        let reading = QueriesProbe.look(&probe, &Io::default()).expect("looks");
        assert!(reading.ok && reading.value == Some(100.0), "{reading:?}");
        assert_eq!(b.heard()[0].path, "/books-2/_search");
        let sent: Value = serde_json::from_str(&a.heard()[0].body).expect("json");
        assert_eq!(sent, json!({"query": {"match_all": {}}, "size": 10, "track_total_hits": true}));
    }

    #[test]
    fn what_differs_is_said() {
        let look = |total: u64, ids, settings: &[(&str, Value)]| {
            let (a, b) = (server(&json!(100), &["x", "y"]), server(&json!(total), ids));
            QueriesProbe.look(&probe(&a.url, &b.url, settings), &Io::default()).expect("looks")
        };
        assert_eq!(
            look(99, &["x", "y"], &[]).said,
            "query 1 (books): 100 hits at the source, 99 at the target"
        );
        assert!(look(99, &["x", "y"], &[("max_total_difference", json!(0.01))]).ok);
        let half = look(100, &["x", "z"], &[]);
        let wanted = "query 1 (books): 50 % of the top 10 are the same, not 90 %: y is only the source's";
        assert_eq!((half.said.as_str(), half.value), (wanted, Some(50.0)));
        assert!(look(100, &["x", "z"], &[("min_overlap", json!(0.5))]).ok);
        let slow = look(100, &["x", "y"], &[("max_latency_ratio", json!(0.001))]);
        assert!(slow.said.ends_with("more than 0.001 times as long"), "{slow:?}");
    }

    #[test]
    fn a_side_that_does_not_answer_is_a_no_and_a_wrong_block_is_found() {
        let a = server(&json!(1), &["x"]);
        let reading = QueriesProbe.look(&probe(&a.url, &nobody(), &[]), &Io::default()).expect("a reading");
        assert!(!reading.ok && reading.said.contains("nobody listens"), "{reading:?}");
        let wrong = probe("h:9200", "http://h", &[("queries", json!(["{}"])), ("top", json!(0))]);
        let found: Vec<String> = QueriesProbe.check(&wrong).into_iter().map(|f| f.summary).collect();
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
