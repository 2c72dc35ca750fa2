//! `watch "metric"`: a query to Prometheus, or whatever speaks its HTTP API
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>).

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Probe, Reading, StepError,
    StepIo,
};
use serde_json::{Value, json};

use super::{CODE, critical};
use crate::http::{self, HttpErrorKind, Reply, Request, beginning, check_url};

pub(super) fn schema() -> BlockSchema {
    let mut attributes = vec![
        AttributeSchema::required(
            "url",
            AttributeType::String,
            "Where Prometheus answers, without /api: \"http://prometheus:9090\".",
        ),
        AttributeSchema::required(
            "query",
            AttributeType::String,
            "A PromQL expression. Every series that it gives has to keep within min and max.",
        ),
        AttributeSchema::optional("min", AttributeType::Decimal, "The least that is well."),
        AttributeSchema::optional("max", AttributeType::Decimal, "The most that is well."),
        AttributeSchema::optional(
            "absent",
            AttributeType::String,
            "What it means that the query gives nothing. Default fail.",
        )
        .allowed(&["fail", "ok"])
        .default(json!("fail")),
    ];
    attributes.extend(http::attributes());
    BlockSchema {
        kind: BlockKind::Watch,
        name: "metric".to_owned(),
        doc: "A Prometheus query whose value has to stay within bounds.".to_owned(),
        attributes,
    }
}

/// What a query gave: one value a series, with the series' labels.
type Series = Vec<(String, f64)>;

struct Bounds {
    min: Option<f64>,
    max: Option<f64>,
}

impl Bounds {
    fn read(block: &BlockRef) -> Result<Self, StepError> {
        Ok(Self { min: block.decimal("min")?, max: block.decimal("max")? })
    }

    /// How far a value is outside; 0 is inside. What is no number is farthest.
    fn outside(&self, value: f64) -> f64 {
        if value.is_nan() {
            return f64::INFINITY;
        }
        let below = self.min.map_or(0.0, |min| min - value);
        let above = self.max.map_or(0.0, |max| value - max);
        below.max(above).max(0.0)
    }

    fn said(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any".to_owned(),
        }
    }
}

pub(super) struct MetricProbe;

impl Probe for MetricProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let mut findings = http::check(CODE, block);
        findings.extend(check_url(CODE, "url", block.text("url").unwrap_or_default()));
        match Bounds::read(block) {
            Ok(Bounds { min: None, max: None }) => {
                findings.push(critical("there is neither min nor max", "write one of them, or both"));
            }
            Ok(Bounds { min: Some(min), max: Some(max) }) if min > max => {
                findings.push(critical(format!("min {min} is more than max {max}"), "nothing could be well"));
            }
            Ok(_) => {}
            Err(error) => findings.push(critical(error.to_string(), "write a number")),
        }
        findings
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let (client, headers) = http::client(block, io)?;
        let query = block.text("query")?;
        let url = format!("{}/api/v1/query", block.text("url")?.trim_end_matches('/'));
        let mut request = Request::new("POST", &url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("query={}", form_encoded(query)));
        request.headers.extend(headers);
        let no = |said: String| Ok(Reading { ok: false, said, value: None });
        let reply = match client.send(&request) {
            Ok(reply) => reply,
            Err(error) if error.kind == HttpErrorKind::Invalid => return Err(error.step()),
            Err(error) => return no(error.to_string()),
        };
        let series = match series(block, &reply)? {
            Ok(series) => series,
            Err(said) => return no(said),
        };
        let bounds = Bounds::read(block)?;
        let worst = series.iter().max_by(|a, b| bounds.outside(a.1).total_cmp(&bounds.outside(b.1)));
        let Some((labels, value)) = worst else {
            let ok = block.text("absent").is_ok_and(|a| a == "ok");
            return Ok(Reading { ok, said: format!("{query} gives nothing"), value: None });
        };
        let which = match series.len() {
            1 => String::new(),
            n => format!(", the worst of {n} series: {labels}"),
        };
        Ok(Reading {
            ok: bounds.outside(*value) == 0.0,
            said: format!("{query} = {value} ({}){which}", bounds.said()),
            value: Some(*value).filter(|v| v.is_finite()),
        })
    }
}

/// The series of an answer; inside, why there is none now.
///
/// # Errors
/// The query is not valid, or gives no values that can be compared.
fn series(block: &BlockRef, reply: &Reply) -> Result<Result<Series, String>, StepError> {
    let Ok(answer) = reply.json() else {
        let text = beginning(&reply.text());
        return Ok(Err(format!("HTTP {}, and that is no Prometheus: {text}", reply.status)));
    };
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/status") != "success" {
        if text("/errorType") == "bad_data" {
            return Err(StepError::permanent(format!("{}: query: {}", block.address, text("/error")))
                .remedy("correct the query; Prometheus shows the same error on its own page"));
        }
        let why =
            if text("/error").is_empty() { beginning(&reply.text()) } else { text("/error").to_owned() };
        return Ok(Err(format!("HTTP {}: {why}", reply.status)));
    }
    let result = answer.pointer("/data/result");
    let one = |sample: Option<&Value>| {
        let text = sample.and_then(|s| s.get(1)).and_then(Value::as_str);
        text.and_then(number)
    };
    let found: Option<Series> = match text("/data/resultType") {
        "scalar" => one(result).map(|value| vec![(String::new(), value)]),
        "vector" => result.and_then(Value::as_array).and_then(|list| {
            list.iter().map(|s| Some((s.get("metric")?.to_string(), one(s.get("value"))?))).collect()
        }),
        _ => None,
    };
    found.map(Ok).ok_or_else(|| {
        let kind = text("/data/resultType");
        StepError::permanent(format!("{}: query gives a {kind}, not values of now", block.address))
            .remedy("leave out the range ([5m]) around the whole, or put a function around it")
    })
}

/// A sample's value as Prometheus writes it.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

/// A form's value (`application/x-www-form-urlencoded`).
fn form_encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{Answer, Stub};
    use crate::testing::{Io, block};

    fn look(answer: &'static str, settings: &[(&str, Value)]) -> Result<Reading, StepError> {
        let server = Stub::new(move |_| Answer::ok(answer));
        let mut all = vec![("url", json!(server.url)), ("query", json!("rate(a{b=\"c\"}[1m]) > 0"))];
        all.extend(settings.iter().cloned());
        let reading = MetricProbe.look(&block("w", "metric", &all), &Io::default());
        let heard = server.heard().remove(0);
        assert_eq!((heard.method.as_str(), heard.path.as_str()), ("POST", "/api/v1/query"));
        assert_eq!(heard.body, "query=rate%28a%7Bb%3D%22c%22%7D%5B1m%5D%29%20%3E%200");
        reading
    }

    const TWO: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"i":"1"},"value":[1.5,"3"]},{"metric":{"i":"2"},"value":[1.5,"0.5"]}]}}"#;
    const NONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

    #[test]
    fn the_worst_series_decides() {
        let reading = look(TWO, &[("min", json!(1)), ("max", json!(5))]).expect("looks");
        assert!(!reading.ok && reading.value == Some(0.5), "{reading:?}");
        assert!(
            reading.said.ends_with("= 0.5 (1 to 5), the worst of 2 series: {\"i\":\"2\"}"),
            "{reading:?}"
        );
        assert!(look(TWO, &[("min", json!(0.5))]).expect("looks").ok);
    }

    #[test]
    fn nothing_is_a_no_unless_the_block_says_otherwise() {
        assert!(!look(NONE, &[("max", json!(1))]).expect("looks").ok);
        assert!(look(NONE, &[("max", json!(1)), ("absent", json!("ok"))]).expect("looks").ok);
    }

    #[test]
    fn a_value_that_is_no_number_is_a_no() {
        let nan = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#;
        let reading = look(nan, &[("max", json!(1))]).expect("looks");
        assert_eq!((reading.ok, reading.value), (false, None));
    }

    #[test]
    fn a_query_that_is_wrong_is_an_error_and_a_server_that_is_ill_is_a_no() {
        let bad = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert!(look(bad, &[("max", json!(1))]).expect_err("wrong").to_string().contains("parse error"));
        let range = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(look(range, &[("max", json!(1))]).expect_err("wrong").to_string().contains("matrix"));
        let ill = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        assert_eq!(look(ill, &[("max", json!(1))]).expect("looks").said, "HTTP 200: query timed out");
        assert!(!look("<html>", &[("max", json!(1))]).expect("looks").ok);
    }

    #[test]
    fn bounds_that_nothing_meets_are_found() {
        let found = |settings: &[(&str, Value)]| {
            let mut all = vec![("url", json!("http://h:9090"))];
            all.extend(settings.iter().cloned());
            MetricProbe.check(&block("w", "metric", &all)).into_iter().map(|f| f.summary).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), ["there is neither min nor max"]);
        assert_eq!(found(&[("min", json!(2)), ("max", json!(1))]), ["min 2 is more than max 1"]);
        assert!(found(&[("min", json!(1))]).is_empty());
    }
}
