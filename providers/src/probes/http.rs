//! `gate "http"`, `watch "http"`: a request whose status, body and latency are as wanted.

use regex::Regex;
use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Probe, Reading, StepError,
    StepIo,
};
use serde_json::{Value, json};

use super::{CODE, critical};
use crate::http::{self, HttpErrorKind, Reply, Request, Statuses, beginning, check_url, statuses_default};

/// More looks than this in one reading would themselves be load.
const SAMPLES_MAX: u64 = 1000;

pub(super) fn schema(kind: BlockKind) -> BlockSchema {
    let when = if kind == BlockKind::Gate { "lets the cutover go on" } else { "finds the new side healthy" };
    let mut attributes = vec![
        AttributeSchema::required("url", AttributeType::String, "The whole address."),
        AttributeSchema::optional("method", AttributeType::String, "Default GET.").default(json!("GET")),
        AttributeSchema::optional("body", AttributeType::String, "What is sent along."),
        AttributeSchema::optional(
            "expect_status",
            AttributeType::String,
            "The statuses that are well, codes and ranges: \"200-299, 404\". Default 200-299.",
        )
        .default(statuses_default()),
        AttributeSchema::optional(
            "body_matches",
            AttributeType::String,
            "A regular expression that the answer's body has to match somewhere.",
        ),
        AttributeSchema::optional(
            "json",
            AttributeType::Words,
            "What has to stand in a JSON answer: JSON pointers (RFC 6901) with their values, \"/status=green\".",
        ),
        AttributeSchema::optional(
            "max_latency",
            AttributeType::Duration,
            "The longest that an answer may take, at the percentile.",
        ),
        AttributeSchema::optional(
            "percentile",
            AttributeType::String,
            "Which of the samples' latencies counts. Default p99.",
        )
        .allowed(&["p50", "p75", "p90", "p95", "p99"])
        .default(json!("p99")),
        AttributeSchema::optional(
            "samples",
            AttributeType::Number,
            "How many requests one look makes, one after the other. Default 1.",
        )
        .default(json!(1)),
    ];
    attributes.extend(http::attributes());
    BlockSchema {
        kind,
        name: "http".to_owned(),
        doc: format!(
            "An HTTP request {when} by its status, and where that is asked, its body and its latency."
        ),
        attributes,
    }
}

/// What is wanted of an answer.
struct Wanted {
    statuses: Statuses,
    body: Option<Regex>,
    json: Vec<(String, String)>,
    max_latency_ms: Option<u64>,
    percentile: u64,
    samples: u64,
}

impl Wanted {
    fn read(block: &BlockRef) -> Result<Self, String> {
        let optional = |name| block.config.plain(name).and_then(Value::as_str);
        let number = |name| block.number(name).map_err(|e| e.to_string());
        let body = optional("body_matches").map(Regex::new).transpose();
        let json = block.words("json").map_err(|e| e.to_string())?.unwrap_or_default();
        let json = json.iter().map(|line| match line.split_once('=') {
            Some((pointer, value)) if pointer.trim().is_empty() || pointer.trim().starts_with('/') => {
                Ok((pointer.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("json: {line:?} is no pointer with a value: write \"/status=green\"")),
        });
        let percentile = optional("percentile").unwrap_or("p99");
        let percentile = percentile.trim_start_matches('p').parse().ok().filter(|p| (1..=100).contains(p));
        let samples = number("samples")?.unwrap_or(1);
        if !(1..=SAMPLES_MAX).contains(&samples) {
            return Err(format!("samples: between 1 and {SAMPLES_MAX}"));
        }
        Ok(Self {
            statuses: Statuses::parse(optional("expect_status").unwrap_or("200-299"))
                .map_err(|e| format!("expect_status: {e}"))?,
            body: body.map_err(|e| format!("body_matches is no regular expression: {e}"))?,
            json: json.collect::<Result<_, _>>()?,
            max_latency_ms: number("max_latency")?,
            percentile: percentile.ok_or("percentile: p50, p75, p90, p95 or p99")?,
            samples,
        })
    }

    /// Why an answer is not as wanted.
    fn refuses(&self, reply: &Reply) -> Option<String> {
        let status = reply.status;
        if !self.statuses.contain(status) {
            return Some(format!("HTTP {status}, not {}: {}", self.statuses, beginning(&reply.text())));
        }
        if let Some(pattern) = &self.body
            && !pattern.is_match(&reply.text())
        {
            let text = beginning(&reply.text());
            return Some(format!("HTTP {status}, and the body does not match {pattern}: {text}"));
        }
        if self.json.is_empty() {
            return None;
        }
        let Ok(found) = reply.json() else {
            return Some(format!("HTTP {status}, and the body is no JSON: {}", beginning(&reply.text())));
        };
        self.json.iter().find_map(|(pointer, wanted)| match found.pointer(pointer) {
            None => Some(format!("HTTP {status}, and there is no {pointer} in the answer")),
            Some(value) if is(value, wanted) => None,
            Some(value) => Some(format!(
                "HTTP {status}, and {pointer} is {}, not {wanted}",
                beginning(&value.to_string())
            )),
        })
    }
}

/// Whether a value is what a spec wrote: as text, or as JSON.
fn is(value: &Value, wanted: &str) -> bool {
    match (value, serde_json::from_str::<Value>(wanted)) {
        (Value::String(text), _) if text == wanted => true,
        // 3 and 3.0 are one number.
        (Value::Number(found), Ok(Value::Number(wanted))) => {
            found == &wanted || found.as_f64() == wanted.as_f64()
        }
        (_, Ok(wanted)) => *value == wanted,
        (_, Err(_)) => false,
    }
}

/// The value at a percentile, nearest rank (of 20 samples, p95 is the 19th).
fn at_percentile(sorted: &[f64], percentile: u64) -> Option<f64> {
    let rank = (sorted.len() as u64 * percentile).div_ceil(100).max(1);
    sorted.get(usize::try_from(rank - 1).ok()?).copied()
}

pub(super) struct HttpProbe;

impl Probe for HttpProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let mut findings = http::check(CODE, block);
        findings.extend(check_url(CODE, "url", block.text("url").unwrap_or_default()));
        if let Err(why) = Wanted::read(block) {
            findings.push(critical(why, "correct the block"));
        }
        findings
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let wrong = |why: String| StepError::permanent(format!("{}: {why}", block.address));
        let wanted = Wanted::read(block).map_err(wrong)?;
        let (client, headers) = http::client(block, io)?;
        let mut request = Request::new(block.text("method").unwrap_or("GET"), block.text("url")?);
        request.headers = headers;
        if let Some(body) = block.config.plain("body").and_then(Value::as_str) {
            request = request.body(body);
        }
        let mut took = Vec::new();
        let mut last = 0;
        for _ in 0..wanted.samples {
            if io.cancelled() {
                return Err(StepError::cancelled());
            }
            let no = |said: String, value: Option<f64>| Ok(Reading { ok: false, said, value });
            let reply = match client.send(&request) {
                Ok(reply) => reply,
                Err(error) if error.kind == HttpErrorKind::Invalid => return Err(error.step()),
                Err(error) => return no(error.to_string(), None),
            };
            if let Some(why) = wanted.refuses(&reply) {
                return no(why, Some(reply.took_ms()));
            }
            took.push(reply.took_ms());
            last = reply.status;
        }
        took.sort_by(f64::total_cmp);
        Ok(latency(&wanted, last, &took))
    }
}

fn latency(wanted: &Wanted, status: u16, sorted: &[f64]) -> Reading {
    let ms = at_percentile(sorted, wanted.percentile).unwrap_or(0.0);
    let mut said = if wanted.samples == 1 {
        format!("HTTP {status} in {ms} ms")
    } else {
        format!("HTTP {status}, p{} of {} requests {ms} ms", wanted.percentile, wanted.samples)
    };
    let ok = match wanted.max_latency_ms {
        None => true,
        Some(max) => {
            said.push_str(&format!(" (at most {max} ms)"));
            ms <= max as f64
        }
    };
    Reading { ok, said, value: Some(ms) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::http::stub::{Answer, Stub, nobody};
    use crate::testing::{Io, block};

    fn probe(url: &str, settings: &[(&str, Value)]) -> BlockRef {
        let mut all = vec![("url", json!(url))];
        all.extend(settings.iter().cloned());
        block("cutover.a.watch.http", "http", &all)
    }

    fn look(url: &str, settings: &[(&str, Value)]) -> Reading {
        HttpProbe.look(&probe(url, settings), &Io::default()).expect("looks")
    }

    #[test]
    fn the_status_decides() {
        let server = Stub::new(|heard| Answer::status(heard.path[1..].parse().unwrap_or(500)));
        let at = |status: u16| format!("{}/{status}", server.url);
        let reading = look(&at(204), &[]);
        assert!(
            reading.ok && reading.said.starts_with("HTTP 204 in ") && reading.value.is_some(),
            "{reading:?}"
        );
        assert_eq!(look(&at(302), &[]).said, "HTTP 302, not 200-299: nothing");
        assert!(look(&at(404), &[("expect_status", json!("404"))]).ok);
    }

    #[test]
    fn the_body_decides_by_a_pattern_and_by_pointers() {
        let server = Stub::new(|_| Answer::ok(r#"{"status": "green", "n": 3, "ok": true}"#));
        let with = |name, value| look(&server.url, &[(name, value)]);
        assert!(with("body_matches", json!("gre+n")).ok);
        let no = with("body_matches", json!("^green"));
        assert!(!no.ok && no.said.contains("does not match ^green"), "{no:?}");
        assert!(with("json", json!(["/status=green", "/n = 3", "/ok=true"])).ok);
        assert_eq!(with("json", json!(["/n=4"])).said, "HTTP 200, and /n is \"3\", not 4");
        assert_eq!(with("json", json!(["/gone=1"])).said, "HTTP 200, and there is no /gone in the answer");
    }

    #[test]
    fn the_request_is_sent_as_the_block_says() {
        let server = Stub::new(|_| Answer::ok(""));
        let settings = [("method", json!("POST")), ("body", json!("hello")), ("headers", json!(["X-A: 1"]))];
        assert!(look(&server.url, &settings).ok);
        let heard = server.heard().remove(0);
        assert_eq!((heard.method.as_str(), heard.body.as_str()), ("POST", "hello"));
        assert!(heard.headers.contains(&"x-a: 1".to_owned()));
    }

    #[test]
    fn one_slow_answer_of_two_counts_at_p99_and_not_at_p50() {
        // Every second answer waits until 80 ms passed at the asker's side: its own time-out on a channel.
        let count = AtomicU64::new(0);
        let server = Stub::new(move |_| {
            if count.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                let (_never, waits) = mpsc::channel::<()>();
                let _ = waits.recv_timeout(std::time::Duration::from_millis(80));
            }
            Answer::ok("")
        });
        let with = |percentile: &str| {
            let settings =
                [("samples", json!(2)), ("max_latency", json!(79)), ("percentile", json!(percentile))];
            look(&server.url, &settings)
        };
        let slow = with("p99");
        assert!(!slow.ok && slow.said.starts_with("HTTP 200, p99 of 2 requests "), "{slow:?}");
        assert!(with("p50").value < slow.value);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        let at = |p| at_percentile(&twenty, p);
        assert_eq!([at(50), at(95), at(99)], [Some(10.0), Some(19.0), Some(20.0)]);
        assert_eq!(at_percentile(&[7.0], 50), Some(7.0));
        assert_eq!(at_percentile(&[], 50), None);
    }

    #[test]
    fn nobody_there_is_a_no_and_a_wrong_block_is_found() {
        let reading = look(&nobody(), &[]);
        assert!(!reading.ok && reading.said.contains("nobody listens there"), "{reading:?}");
        let wrong = probe("localhost", &[("body_matches", json!("(")), ("samples", json!(0))]);
        let found: Vec<String> = HttpProbe.check(&wrong).into_iter().map(|f| f.summary).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(HttpProbe.look(&wrong, &Io::default()).is_err());
        assert_eq!(HttpProbe.check(&probe("http://h/", &[])), []);
    }
}
